/* method/part_rank: the lowest or highest share of some numbers, and their quantiles.
 *
 *     count(share, n) = floor(share n)               a product within 1e-9 of an integer is that integer: 0.29 * 100
 *                                                    is 28.999... in binary
 *     quantile(x, q)  = x_(j) + (p - j) (x_(j+1) - x_(j))     p = q (n - 1), j = floor(p), with the same care
 *
 * Equal values keep the order in which they were given, so that the same numbers always choose the same tokens.
 */
#ifndef ASSAY_METHOD_PART_RANK_H
#define ASSAY_METHOD_PART_RANK_H

#include <stdbool.h>
#include <stdint.h>

struct ranked {
  double value;
  int32_t index; /* where it stood */
};

enum rank_round { RANK_CEIL, RANK_FLOOR, RANK_ROUND };
#define RANK_ROUND_WORDS "ceil|floor|round"

/* share * n as a whole number, within 0 .. n. */
int32_t rank_count(double share, int32_t n, enum rank_round rule);
/* Sorts by value, rising or falling; equal values by index, rising. */
void rank_sort(struct ranked *x, int32_t n, bool falling);
/* out: [n], x with its indices, sorted. */
void rank_values(const double *x, int32_t n, bool falling, struct ranked *out);
/* x: [n] sorted, rising; n > 0; q in 0 .. 1. */
double rank_quantile(const struct ranked *x, int32_t n, double q);

#endif

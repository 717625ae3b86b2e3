/* reward/math_approx: values as balls, complex numbers with an error bound that is proved (Arb), and how close two
 * different algebraic numbers can be.
 *
 * Letters get values from a point: rational numbers between 0.3 and 3, times a power of two, drawn from the letter's
 * name and the point's number alone, so that a verdict never depends on anything else.
 */
#ifndef ASSAY_REWARD_MATH_APPROX_H
#define ASSAY_REWARD_MATH_APPROX_H

#include "reward/math_exact.h"

struct math_point {
  uint64_t seed;
  int scale;      /* values times 2^scale, 0..4 */
  int signs;      /* 0: all letters are above 0, 1: all below, 2: either */
  bool constants; /* pi and e are letters too */
  bool real;      /* what is not real is not defined, also on the way: the root of x times that of y needs both >= 0 */
};

/* The value of n at the point within prec bits of working precision. False: not defined there, a number on the way is
 * too large (beyond 2^30 in an exponent), or n is no value. */
bool math_evaluate(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out);

/* The bits b such that two values a and b that are algebraic numbers at the point and differ, differ by more than 2^-b.
 * False: one is not algebraic as far as is known here (sin 1, pi, a letter in an exponent).
 *
 * The bound of Burnikel, Funke, Mehlhorn, Schirra and Schmitt, "A separation bound for real algebraic expressions" (ESA
 * 2001), Theorem 1: an expression over integers with + - * / and roots is a quotient U / L of algebraic integers whose
 * conjugates are at most u and l by the table there, in a field of degree at most D, the product of the degrees of its
 * different roots; so it is 0 or at least 1 / (l u^(D - 1)). Its proof holds for complex numbers and any branch. Values
 * of sine and cosine at rational multiples of pi are sums of roots of unity: the N-th ones for all of them together
 * multiply D by at most N. */
bool math_separation(struct math *m, const struct math_node *a, const struct math_node *b, const struct math_point *p,
                     double *bits);

/* The value of a letter at a point, exactly. */
void math_letter(const struct math_node *n, const struct math_point *p, fmpq_t out);

#endif

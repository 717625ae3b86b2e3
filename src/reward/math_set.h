/* reward/math_set: sets of real numbers, however they are written: intervals, finite sets, unions, intersections,
 * differences, inequalities in one letter that are linear or |linear| (chains, and, or), x \in A, x \ne 5.
 *
 * Two sets are compared at the ends that occur in either, sorted, and once between each two: a set made of these pieces
 * is the same everywhere between two neighbouring ends.
 */
#ifndef ASSAY_REWARD_MATH_SET_H
#define ASSAY_REWARD_MATH_SET_H

#include "reward/math_value.h"

/* Something that is certainly a set of numbers: (2, \infty), x < 3, A \cup B. (1, 2) and {1, 2} alone are not. */
bool math_is_set(const struct math_node *n);
/* MATH_UNDECIDED: one is no such set, or an order could not be decided. */
enum math_verdict math_sets_equal(struct math *m, struct math_node *a, struct math_node *b);
/* n with a number in place of the letter. */
struct math_node *math_substitute(struct math *m, struct math_node *n, const struct math_node *letter,
                                  struct math_node *by);
/* The only letter of n, or NULL where there is none or more than one (*several). */
const struct math_node *math_only_letter(const struct math_node *n, bool *several);

#endif

/* reward/math_value: are two expressions the same value, the same function? In this order, the cheapest first:
 *
 *     the same tree; the same digits; two rational numbers (proof either way);
 *     powers of one base > 1: their exponents;
 *     constants: balls that do not meet are a proof of difference. Balls that still meet beyond the separation bound
 *       of two algebraic numbers are a proof of equality. With pi or e in them: an identity of rational functions in
 *       pi and e, or of algebraic numbers with pi and e as free letters. What is left (logarithms, e^..., sines of 1)
 *       is equal where both agree to 420 digits and to four times all the digits written, and undecided otherwise;
 *     letters: an identity of rational functions (proof either way, if nothing else occurs); otherwise the same
 *       decision at points: one point where they differ is a proof, six where they are equal (to 77 digits, where no
 *       bound is known) count as equality.
 *
 * Points where a side is not defined, or (if no i occurs) not real, do not count. Undecided is not equal.
 */
#ifndef ASSAY_REWARD_MATH_VALUE_H
#define ASSAY_REWARD_MATH_VALUE_H

#include "reward/math_exact.h"

enum math_verdict math_value_equal(struct math *m, const struct math_node *a, const struct math_node *b);
/* The sign of a - b for real constants: MATH_EQUAL with *sign 0, MATH_DIFFERENT with 1 or -1, MATH_UNDECIDED.
 * Infinities count. */
enum math_verdict math_value_order(struct math *m, const struct math_node *a, const struct math_node *b, int *sign);
/* No letters in it. */
bool math_is_constant(const struct math_node *n);
/* A value at all: no set, list, relation. */
bool math_is_value(const struct math_node *n);
/* a = c b for some c != 0: a / b does not depend on the letters. */
enum math_verdict math_value_proportional(struct math *m, struct math_node *a, struct math_node *b);
/* Is the rational value of n at least 1 in size? */
bool math_at_least_one(struct math *m, const struct math_node *n);

#endif

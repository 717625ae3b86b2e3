/* reward/math_exact: values that are rational numbers, and identities of rational functions. Both answers are proofs.
 */
#ifndef ASSAY_REWARD_MATH_EXACT_H
#define ASSAY_REWARD_MATH_EXACT_H

#include "reward/math_flint.h"
#include "reward/math_node.h"

/* The value of n, where it is rational by integers, + - * /, whole powers, exact roots, factorials, binomials, gcd,
 * lcm, floors, absolute values and logarithms that come out. False: it is not, or a number on the way is over
 * MATH_MAX_BITS, or there is a division by 0. out must be initialised. */
bool math_rational(struct math *m, const struct math_node *n, fmpq_t out);

/* The r with n = r pi, for sums and multiples of pi (90 degrees are pi / 2). False: it is no such multiple. */
bool math_pi_multiple(struct math *m, const struct math_node *n, fmpq_t out);

enum math_verdict { MATH_DIFFERENT, MATH_EQUAL, MATH_UNDECIDED };

/* a and b as rational functions over Q in their letters, pi, e, i (with i^2 = -1) and, each as a letter of its own,
 * roots and functions. Equal ones are equal; that two are not equal is a proof only where nothing but letters occurs:
 * MATH_UNDECIDED otherwise, and where a size is over its limit. */
enum math_verdict math_identity(struct math *m, const struct math_node *a, const struct math_node *b);

/* The c != 0 with a = c b, as rational functions (`tops`: of their numerators only, as the equations a = 0 and b = 0
 * need it). *sign is that of c. MATH_EQUAL: there is one. */
enum math_verdict math_proportional(struct math *m, const struct math_node *a, const struct math_node *b, bool tops,
                                    int *sign);

#endif

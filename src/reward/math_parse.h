/* reward/math_parse: tokens -> one tree (math_node.h).
 *
 *     answer    = item { (, | ; | and | or) item }        a list; what stands in front of \implies is left out
 *     item      = [label =] set { sign set }               a chain of relations: 1 < x <= 2
 *     set       = sum { (\cup | \cap | \setminus) sum }
 *     sum       = [sign] term { (+ | - | \pm | \mp) term }
 *     term      = factor { [* | /] factor } [unit]         from the left: 1/2x is (1/2)x
 *     factor    = primary { ^exponent | ! | % | degrees }
 *
 * A whole number in front of a proper fraction of whole numbers is a mixed number (4\frac{2}{3}, "4 2/3"), two numbers
 * side by side are nothing. A function without brackets takes the numbers, letters, roots and fractions behind it
 * (\sin 2x\cos x is a product of two). Brackets: ( ) and [ ] hold one expression, or a tuple, which comparing may take
 * for an interval; ]a, b[ is the open interval.
 */
#ifndef ASSAY_REWARD_MATH_PARSE_H
#define ASSAY_REWARD_MATH_PARSE_H

#include "reward/math_lex.h"

/* NULL where the tokens are no such answer; *why says so. m->rc is set where memory was lacking. */
struct math_node *math_parse(struct math *m, const struct math_tokens *tokens, const char **why);

#endif

/* reward/math_text: answers that are words: names, days, yes and no, letters of choices. */
#ifndef ASSAY_REWARD_MATH_TEXT_H
#define ASSAY_REWARD_MATH_TEXT_H

#include "reward/math_node.h"

/* Small letters, without articles, punctuation, brackets and commands of LaTeX for styles; runs of white space are one
 * blank. NULL: no memory. */
const char *math_plain_words(struct math *m, const char *s, size_t n);
/* Nothing but words: no signs of calculation, no command that is not about style. */
bool math_is_words(const char *s, size_t n);
/* The same words; "Yes, it is" for yes; "(C) 12" for the choice C. */
bool math_same_words(struct math *m, const char *gold, size_t gold_n, const char *given, size_t given_n);
/* One letter from A to H, in brackets or not. */
bool math_is_choice(struct math *m, const char *s, size_t n);
/* The same characters, white space and \left, \right, \, left out. */
bool math_same_spelling(const char *a, size_t an, const char *b, size_t bn);
bool math_braces_match(const char *s, size_t n);

#endif

/* reward/math_number: the digits of one number in a text. */
#ifndef ASSAY_REWARD_MATH_NUMBER_H
#define ASSAY_REWARD_MATH_NUMBER_H

#include "reward/math_node.h"

/* The value is digits * 10^exponent; of the last `repeat` digits it is the block that repeats for ever (0.1\overline{6}
 * has digits 16, exponent -2, repeat 1). */
struct math_digits {
  const char *digits; /* [count], in the arena or in the text */
  size_t count;
  int64_t exponent;
  int repeat;
  bool whole;   /* no point, no exponent */
  bool grouped; /* a plain comma joins groups of three */
};

/* Reads the number that begins at s[at]; its length, or 0. Sets m->rc where memory is lacking. */
size_t math_read_digits(struct math *m, const char *s, size_t n, size_t at, bool split_commas, struct math_digits *out);

#endif

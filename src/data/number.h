/* data/number: numbers as people and models write them, exactly. A value is a fraction of two whole numbers, so that
 * 0.1 + 0.2 never happens: "0.15", "15%", "3/20" and "1.5e-1" are one value.
 *
 * What is read as one number: an optional sign (- + U+2212), an optional currency sign, digits with thousands
 * separators ("1,234,567"; also "{,}", "\,", no-break and thin spaces), decimals, an exponent ("1.5e-3", "6.72 \times
 * 10^{-5}"), a percent sign, a fraction ("3/4", "\frac{3}{4}", "4 2/3"). Digits glued to a letter or an underscore in
 * front ("x2", "H2O"), dates and versions ("1/2/2024", "1.2.3") are no numbers; a unit behind ("18kg") is left aside. A
 * minus right behind a word, a digit or a bracket is subtraction, not a sign.
 *
 * Which number of a text is its answer (number_extract), the first rule that fits:
 *   1. what stands in <think> ... </think> does not count; a <think> that never ends leaves no answer.
 *   2. \boxed{...}: the last number in the last box; a box that is not closed is no answer.
 *   3. "#### 72": the first number behind the last #### .
 *   4. "answer is", "answer:", "answer =" (any case): the first number behind the last of them, before a blank line;
 *      of a calculation ("48 + 24 = 72") the number behind its last "=".
 *   5. the last number of the text.
 * "18 or 20" and "not 18" are no answers: one must be given.
 */
#ifndef ASSAY_DATA_NUMBER_H
#define ASSAY_DATA_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  NUMBER_LIMBS = 128,      /* of 9 decimal digits */
  NUMBER_MAX_DIGITS = 200, /* longer ones are not read */
  NUMBER_MAX_EXPONENT = 300
};

/* A whole number >= 0 in base 10^9, little-endian, without leading zero limbs (0 has size 0). */
struct natural {
  int size;
  uint32_t limb[NUMBER_LIMBS];
};

struct number {
  bool negative;              /* never for 0 */
  bool percent;               /* written with a percent sign; top / bottom is the number in front of it */
  struct natural top, bottom; /* bottom > 0; not reduced */
};

struct number_found {
  struct number value;
  size_t start, length; /* where it stands in the text */
  const char *rule;     /* "boxed", "####", "answer is", "last number" */
};

/* Reads one number that begins at s[at] (at is not inside a word). Returns its length, or 0. */
size_t number_read(const char *s, size_t n, size_t at, struct number *out);

/* True where both are the same value. "15%" equals 0.15 and, since a unit may be left out, 15; two percentages are
 * compared as such. */
bool number_equal(const struct number *a, const struct number *b);

/* The answer of a free text by the rules above. false: none, and *why is a sentence that says so. */
bool number_extract(const char *s, size_t n, struct number_found *out, const char **why);

#endif

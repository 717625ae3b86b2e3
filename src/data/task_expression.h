/* data/task_expression: arithmetic over whole numbers and decimals, read from text and evaluated exactly.
 *
 *     expression := product (("+" | "-") product)*
 *     product    := factor (("*" | "/") factor)*
 *     factor     := ("+" | "-") factor | number | "(" expression ")" | "\frac{" expression "}{" expression "}"
 *
 * Also read: [ ] { } for ( ), the signs U+00D7 U+00B7 U+22C5 U+2212 U+00F7 U+2215, "x" for times, \times \cdot \div
 * \left \right \, and dollar signs. Numbers are plain: digits with a point. There are no powers and no multiplication
 * without a sign. Values are fractions of two 128-bit whole numbers; what does not fit has no value.
 */
#ifndef ASSAY_DATA_TASK_EXPRESSION_H
#define ASSAY_DATA_TASK_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef __int128 int128;

enum { EXPRESSION_NUMBERS = 64, EXPRESSION_DEPTH = 64 };

struct rational {
  int128 top, bottom; /* bottom > 0, no common factor */
};

/* out = x OP y for + - * /. false: division by zero, or too large for 128 bits. out may be x or y. */
bool rational_apply(char op, const struct rational *x, const struct rational *y, struct rational *out);
struct rational rational_whole(int64_t value);
bool rational_equal(const struct rational *x, const struct rational *y);

struct expression {
  struct rational value;
  struct rational numbers[EXPRESSION_NUMBERS]; /* those that stand in it, in order; without signs */
  size_t count;
};

/* Reads all of s[0..n), linear in n. false: *why says what is wrong with it (syntax, more than EXPRESSION_NUMBERS
 * numbers, deeper than EXPRESSION_DEPTH, no value). */
bool expression_read(const char *s, size_t n, struct expression *out, const char **why);

/* The value in at most `digits` significant digits (1..30), rounded half up (by magnitude), without zeros at the end:
 * "-0.478700039446". size >= 64. false: it does not fit. */
bool rational_decimal(const struct rational *x, int digits, char *buf, size_t size);

#endif

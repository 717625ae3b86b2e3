/* text/unicode: what the tokenizers and templates need of Unicode beyond core/cursor. Categories and case are
 * utf8proc's. */
#ifndef ASSAY_TEXT_UNICODE_H
#define ASSAY_TEXT_UNICODE_H

#include "core/json.h"

bool unicode_is_space(uint32_t c); /* White_Space of Unicode: \s of most regular expression engines */
bool unicode_is_word(uint32_t c);  /* \w: alphabetic, marks, decimal digits, connectors, joiners */
bool unicode_is_alpha(uint32_t c); /* category L */
bool unicode_is_digit(uint32_t c); /* category Nd */
bool unicode_prints(uint32_t c);   /* Python's str.isprintable for one character */

/* The code point at s[i] of n bytes of UTF-8, and its length in *step (1 and U+FFFD for a byte that is not UTF-8). */
uint32_t unicode_at(const char *s, size_t n, size_t i, size_t *step);
/* The code point that ends before s[i]; i > 0. */
uint32_t unicode_before(const char *s, size_t i, size_t *step);

/* Appends n bytes, each byte that is not UTF-8 as U+FFFD. */
void unicode_put_valid(struct text *out, const char *s, size_t n);

enum unicode_form { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
/* Appends the normal form of n bytes of UTF-8 to out. */
int unicode_normalize(enum unicode_form form, const char *s, size_t n, struct text *out, struct error *err) MUST_USE;

#endif

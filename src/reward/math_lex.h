/* reward/math_lex: the tokens of an answer in LaTeX, plain notation or Unicode: one stream, in which \dfrac and \frac,
 * \le, <= and U+2264, "sin" and \sin are the same.
 *
 * What the letters mean is settled here, since nothing else can: a run of letters is a function's name ("sin"), a
 * number in words, a unit behind a number ("15 cm"), a word (four letters and more, or three with a vowel that are not
 * in the order of the alphabet), or letters that multiply ("xy", "abc"). Inside \text{...} all runs are words.
 *
 * Digits join across thousands separators ("1,234", "1{,}234", "1\,234", "1 234", "1,\!234"): groups of exactly three.
 */
#ifndef ASSAY_REWARD_MATH_LEX_H
#define ASSAY_REWARD_MATH_LEX_H

#include "reward/math_node.h"

enum math_token_type {
  MATH_T_END,
  MATH_T_NUMBER, /* text: digits; exponent; repeat: how many of the last digits repeat for ever */
  MATH_T_NAME,   /* text: "x", "\\alpha" */
  MATH_T_WORD,
  MATH_T_FUNCTION, /* value: enum math_function */
  MATH_T_CHAR, /* value: the character; 'O' 'C' for \{ \}, 'f' 'F' for floors, 'k' 'K' for ceilings, '<' '>' angles */
  MATH_T_SIGN, /* of a relation; value: enum math_sign */
  MATH_T_FRACTION,
  MATH_T_ROOT, /* \sqrt: one LaTeX argument; value 0 */
  MATH_T_SURD, /* a root sign in front of a whole number or bracket; value: its index */
  MATH_T_BINOMIAL,
  MATH_T_CHOOSE,
  MATH_T_BEGIN, /* text: name of the environment */
  MATH_T_FINISH,
  MATH_T_ROW, /* \\ */
  MATH_T_PI,
  MATH_T_INFINITY,
  MATH_T_EMPTY, /* the empty set */
  MATH_T_REALS,
  MATH_T_UNION,
  MATH_T_INTERSECTION,
  MATH_T_DIFFERENCE,
  MATH_T_SIGNS, /* value 1: +-, -1: -+ */
  MATH_T_DEGREE,
  MATH_T_ACCENT, /* text: "\\overline" */
  MATH_T_CURRENCY,
  MATH_T_BASED, /* text: digits with letters, in front of _ */
  MATH_T_ARROW, /* \implies: what stands behind counts */
  MATH_T_DOTS,
  MATH_T_OTHER /* a command that is not known here */
};

struct math_token {
  enum math_token_type type;
  int value;
  const char *text;
  size_t length;
  int64_t exponent;
  int repeat;
  bool whole; /* MATH_T_NUMBER: digits only, as in 17 */
  bool space; /* white space in front */
  bool words; /* inside \text{} */
};

struct math_lex_options {
  bool split_commas; /* 1,234 is two numbers */
  bool unit_letters; /* "3h", "5 m": a letter behind a number is a unit */
};

struct math_tokens {
  struct math_token *token; /* [count + 1], the last is MATH_T_END */
  int count;
  bool has_group;  /* a comma was read as a thousands separator: another reading exists */
  bool has_letter; /* a single letter stands behind a number: another reading exists */
  const char *why; /* why there are none, or NULL */
};

/* Unicode signs as LaTeX, full-width forms as ASCII: *out is s itself where nothing has to change. */
int math_clean(struct math *m, const char **s, size_t *n) MUST_USE;
/* s must be clean, and stay. 0, or ERROR_RESOURCE; out->why says where the text has no tokens. */
int math_lex(struct math *m, const char *s, size_t n, struct math_lex_options o, struct math_tokens *out) MUST_USE;

bool math_word_is(const struct math_token *t, const char *word); /* any case */
bool math_text_is(const char *s, size_t n, const char *word);    /* any case */

#endif

/* reward/math_names: what LaTeX commands, functions in plain letters, words and units mean. Tables only. */
#ifndef ASSAY_REWARD_MATH_NAMES_H
#define ASSAY_REWARD_MATH_NAMES_H

#include "reward/math_lex.h"

enum math_use {
  MATH_USE_TOKEN,  /* stands for a token */
  MATH_USE_SPACE,  /* white space */
  MATH_USE_NONE,   /* nothing: \displaystyle, \left */
  MATH_USE_TEXT,   /* its argument is words */
  MATH_USE_STYLE,  /* its argument is what it is: \mathbf{42} */
  MATH_USE_UPRIGHT /* \mathrm{i}, \mathrm{cm}, \operatorname{lcm} */
};

struct math_name {
  const char *name;
  enum math_use use;
  enum math_token_type type;
  int value;
};

/* NULL: unknown. */
const struct math_name *math_command(const char *s, size_t n);
/* "sin", "arctan", "sqrt": 0 and *value, or -1. *root: it is a root sign. */
int math_plain_function(const char *s, size_t n, int *value, bool *root);
bool math_is_greek(const char *s, size_t n);
bool math_is_keyword(const char *s, size_t n); /* and, or, not, is, ... */

/* "seventeen" 17, "hundred" 100, "million", ...: the value, or -1. "half" and ordinals are not here. */
int64_t math_number_word(const char *s, size_t n);
/* "half" 2, "third" 3, "quarters" 4, ...: the denominator, or 0. */
int math_part_word(const char *s, size_t n);

/* A unit as powers of base units times a number; what no table knows is a noun. Prices are units too. */
enum { MATH_LENGTH, MATH_MASS, MATH_TIME, MATH_ANGLE, MATH_MONEY, MATH_WARMTH, MATH_BASES };
struct math_unit {
  int64_t top, bottom; /* times the base unit: metre, gram, second, degree, dollar, kelvin */
  int pi;              /* times pi to this power: a radian is 180 / pi degrees */
  int8_t power[MATH_BASES];
  const char *noun; /* "eggs", "euro"; "" for none */
  size_t length;
};

enum { MATH_UNIT_SURE, MATH_UNIT_SYMBOL, MATH_UNIT_LETTER };
/* 1 and *out for a unit that the tables know; *how: written out, a symbol of two letters and more, or one letter. */
bool math_unit_find(const char *s, size_t n, struct math_unit *out, int *how);
/* a times b^power. False: a number got too large. */
bool math_unit_times(struct math_unit *a, const struct math_unit *b, int power);
bool math_unit_same_dimension(const struct math_unit *a, const struct math_unit *b);
bool math_unit_same_noun(const struct math_unit *a, const struct math_unit *b);

#endif

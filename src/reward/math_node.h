/* reward/math_node: one tree for an answer, however it was written. "\frac{1}{2}", "1/2" and "½" are the same three
 * nodes; what differs only in spelling is gone after parsing, what differs in form (2/4 and 1/2) is not.
 *
 * Nodes live in an arena and are never changed once made. Every size has a limit here, so that no text, however odd,
 * costs more than a bounded time: what is over a limit is unreadable or undecided, and a reason says so.
 */
#ifndef ASSAY_REWARD_MATH_NODE_H
#define ASSAY_REWARD_MATH_NODE_H

#include "core/arena.h"

enum {
  MATH_MAX_TOKENS = 4000,  /* of one answer */
  MATH_MAX_DEPTH = 400,    /* brackets within brackets */
  MATH_MAX_DIGITS = 20000, /* of a number that is calculated with; longer ones are compared digit by digit */
  MATH_MAX_BITS = 40000,   /* of any number that arises on the way */
  MATH_MAX_FACTORIAL = 3000,
  MATH_MAX_BRANCHES = 16 /* that the signs of one expression open: four +- */
};

enum math_kind {
  MATH_NUMBER, /* text: digits without leading noughts ("" is 0), value: exponent of ten */
  MATH_SYMBOL, /* text: "x", "x_1", "\\alpha" */
  MATH_PI,
  MATH_E,
  MATH_I,
  MATH_INFINITY,
  MATH_SUM,      /* n-ary */
  MATH_PRODUCT,  /* n-ary */
  MATH_QUOTIENT, /* top, bottom */
  MATH_POWER,    /* base, exponent */
  MATH_NEGATE,
  MATH_SIGNS,  /* +- child; value -1 for -+ */
  MATH_CALL,   /* value: enum math_function */
  MATH_DEGREE, /* child in degrees: an angle inside a function, a unit outside */
  MATH_PERCENT,
  MATH_QUANTITY, /* child with a unit */
  MATH_BASED,    /* text: digits in base `value`, upper case */
  MATH_RATIO,    /* a : b : c */
  MATH_LIST,     /* "1, 2", "1 or 2"; value: enum math_joint */
  MATH_SET,      /* { ... } */
  MATH_TUPLE,    /* between open and close: (1, 2), [1, 2), <1, 2> */
  MATH_MATRIX,   /* row by row; value: columns */
  MATH_RELATION, /* count terms, count - 1 signs in text: "<=" is 'l', see enum math_sign */
  MATH_UNION,
  MATH_INTERSECTION,
  MATH_DIFFERENCE,
  MATH_WORDS /* text: words that name something ("Area" of "Area = 5") */
};

enum math_function {
  MATH_ROOT, /* radicand, index */
  MATH_ABS,
  MATH_EXP,
  MATH_LN,
  MATH_LOG, /* argument, base */
  MATH_SIN,
  MATH_COS,
  MATH_TAN,
  MATH_COT,
  MATH_SEC,
  MATH_CSC,
  MATH_ASIN,
  MATH_ACOS,
  MATH_ATAN,
  MATH_ACOT,
  MATH_ASEC,
  MATH_ACSC,
  MATH_SINH,
  MATH_COSH,
  MATH_TANH,
  MATH_COTH,
  MATH_ASINH,
  MATH_ACOSH,
  MATH_ATANH,
  MATH_FLOOR,
  MATH_CEIL,
  MATH_FACTORIAL,
  MATH_DOUBLE_FACTORIAL,
  MATH_BINOMIAL,
  MATH_GCD,
  MATH_LCM,
  MATH_MOD,
  MATH_MAX,
  MATH_MIN,
  MATH_RE,
  MATH_IM,
  MATH_CONJUGATE,
  MATH_APPLY /* an unknown function: name as a symbol, then its arguments */
};

enum math_sign {
  MATH_EQUALS = '=',
  MATH_UNEQUAL = '!',
  MATH_LESS = '<',
  MATH_GREATER = '>',
  MATH_AT_MOST = 'l',
  MATH_AT_LEAST = 'g',
  MATH_ABOUT = '~',
  MATH_ELEMENT = 'e',
  MATH_OTHER = '?' /* congruent, similar, subset, divides: compared as it stands */
};

enum math_joint { MATH_COMMA, MATH_AND, MATH_OR };

struct math_unit;

struct math_node {
  enum math_kind kind;
  int count;
  struct math_node **child; /* [count] */
  const char *text;         /* [length], no NUL at its end */
  size_t length;
  int64_t value;
  char open, close;             /* MATH_TUPLE: ( [ < or ) ] > */
  const struct math_unit *unit; /* MATH_QUANTITY */
  uint64_t hash;                /* of the structure */
};

/* One verdict's work: where nodes live, and how much of it is left. */
struct math {
  struct arena *arena;
  struct error *err;
  int rc;        /* memory was lacking: an error of the caller, not of an answer */
  int64_t steps; /* left; at 0 everything undecided stays so */
  bool rounding; /* a tolerance is allowed: see math_value.h */
  double tolerance;
};

/* All return NULL when memory is lacking (m->rc is set then) or where a child is NULL, so that calls can be nested. */
struct math_node *math_new(struct math *m, enum math_kind kind, int count, struct math_node *const *child);
struct math_node *math_leaf(struct math *m, enum math_kind kind, const char *text, size_t n, int64_t value);
struct math_node *math_one(struct math *m, enum math_kind kind, struct math_node *a);
struct math_node *math_two(struct math *m, enum math_kind kind, struct math_node *a, struct math_node *b);
struct math_node *math_call(struct math *m, enum math_function f, struct math_node *a, struct math_node *b);
struct math_node *math_integer(struct math *m, int64_t value); /* negative: MATH_NEGATE of a number */
struct math_node *math_valued(struct math *m, enum math_kind kind, int64_t value, int count,
                              struct math_node *const *child);
/* digits (any, with leading noughts) times 10^exponent. */
struct math_node *math_decimal(struct math *m, const char *digits, size_t n, int64_t exponent);

/* The same tree. */
bool math_same(const struct math_node *a, const struct math_node *b);
bool math_has(const struct math_node *n, enum math_kind kind);
bool math_is_integer(const struct math_node *n, int64_t value); /* the number as written: 2, not 4/2 */
/* The value of a MATH_NUMBER (or its negative) that is a whole number of at most 18 digits. */
bool math_small(const struct math_node *n, int64_t *out);
uint64_t math_hash(const char *s, size_t n, uint64_t seed);

/* n with `by` in place of `what`, which must occur exactly once as a factor: NULL otherwise. */
const struct math_node *math_replace_once(struct math *m, const struct math_node *n, const struct math_node *what,
                                          struct math_node *by);

/* A growing list of nodes. */
struct math_list {
  struct math_node **item;
  int count, room;
};
bool math_push(struct math *m, struct math_list *list, struct math_node *n);

/* Takes `cost` steps; false once they are spent. */
bool math_step(struct math *m, int64_t cost);

#endif

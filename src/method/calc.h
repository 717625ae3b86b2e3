/* method/calc: the formulas of a method on numbers given in a file, without a model: `assay calc`. It is how a paper's
 * table, or what another framework returned, is compared.
 *
 * A document is {function, source, note?, inputs, cases}. `inputs` holds named sets of numbers; {"like": NAME, ...}
 * means as NAME, except. A case is {case, args, inputs, outputs, grads?}, its `inputs` the name of a set, a set, or
 * null. The result is the same document with outputs and grads computed; a case that is refused has `raises`, a
 * sentence, instead.
 *
 * One file a function, calc_<name>.c, defining `const struct calc calc_<name>`; the table is generated from the file
 * names. It computes with the functions that runs use, never with a copy of them. Where frameworks give one name to
 * different formulas, `dialect` says whose: args.dialect, else the repository in `source`; a name "DIALECT/FUNCTION" in
 * `also` is found before FUNCTION.
 */
#ifndef ASSAY_METHOD_CALC_H
#define ASSAY_METHOD_CALC_H

#include "core/json.h"

struct calc_case {
  struct arena *arena;     /* of the case */
  const char *file;        /* the document, for errors */
  const char *function;    /* as the document spells it */
  const char *dialect;     /* "verl", "trl", "openrlhf", ...; NULL: nobody's in particular */
  const char *name;        /* of the case: what stands before the colon often says which formula is meant */
  const json_t *args;      /* an object */
  const json_t *inputs;    /* the named set, "like" followed; NULL: none */
  const json_t *sets;      /* all named sets of the document, as they stand there, or NULL */
  const json_t *stated;    /* outputs of the document, or NULL: sequences state there what a step was given */
  json_t *outputs, *grads; /* objects to fill; grads is left out where it stays empty */
};

struct calc {
  const char *function;    /* "cot_pass_at_k" */
  const char *const *also; /* further functions that it computes, NULL-terminated, or NULL */
  const char *help;        /* one line */
  int (*compute)(struct calc_case *c, struct error *err);
};

size_t calc_count(void);
const struct calc *calc_at(size_t i);
const char *calc_name(size_t i);                    /* of the file: src/method/calc_<name>.c */
const struct calc *calc_find(const char *function); /* NULL: none */
/* By a document's function and source; function NULL: the document's. NULL: none. */
const struct calc *calc_find_for(struct arena *a, const json_t *document, const char *function);

/* Computes every case. function NULL: the document's; the name of a baseline: its function of the document's kind
 * ("rloo" on adv_grpo: adv_rloo). overrides: an object whose members replace those of every case's
 * args, or NULL. *out lives as long as the arena. */
int calc_run(struct arena *a, const json_t *document, const char *file, const char *function, const json_t *overrides,
             json_t **out, struct error *err) MUST_USE;

/* ---- for the functions ------------------------------------------------------------------------------------------- */

bool calc_is(const struct calc_case *c, const char *prefix); /* the case's name begins with it */
/* Members of args. A wrong type is ERROR_INPUT; an absent or null one is the fallback. */
int calc_real(const struct calc_case *c, const char *key, double fallback, double *out, struct error *err) MUST_USE;
int calc_int(const struct calc_case *c, const char *key, int64_t fallback, int64_t *out, struct error *err) MUST_USE;
const char *calc_text(const struct calc_case *c, const char *key, const char *fallback);
bool calc_flag(const struct calc_case *c, const char *key, bool fallback);
/* A member of the inputs, else of args; NULL and ERROR_INPUT where it is absent. */
const json_t *calc_need(const struct calc_case *c, const char *key, struct error *err);

/* A list, or a list of lists, of numbers (null: NaN; true, false: 1, 0). rows: [row_count], each with its own length;
 * a plain list is one row. In the case's arena. */
struct calc_row {
  double *at;
  size_t count;
};
struct calc_matrix {
  struct calc_row *rows;
  size_t row_count;
};
int calc_matrix(const struct calc_case *c, const json_t *v, struct calc_matrix *out, struct error *err) MUST_USE;

/* A rectangle: every row has `width` entries, row after row; a plain list is a column. null: NaN. */
struct calc_grid {
  double *at;
  size_t rows, width;
};
int calc_grid(const struct calc_case *c, const char *key, struct calc_grid *out, struct error *err) MUST_USE;
/* The same, of the shape of `like`; a column is repeated over the width. Absent: every entry is `fallback`; NaN as
 * fallback: it must be there. */
int calc_grid_like(const struct calc_case *c, const char *key, const struct calc_grid *like, double fallback,
                   struct calc_grid *out, struct error *err) MUST_USE;
/* A grid of zeros; NULL: no memory. */
double *calc_zeros(const struct calc_case *c, const struct calc_grid *like, struct error *err);
json_t *calc_grid_json(const double *at, size_t rows, size_t width);

/* Labels (numbers or texts) to groups, numbered as they are first met. member: the rows of group g are
 * member[first[g]] .. member[first[g + 1] - 1], ascending. */
struct calc_groups {
  size_t count;
  size_t *first, *member;
};
/* key absent: groups of `size` rows one after the other (0: one group). */
int calc_groups(const struct calc_case *c, const char *key, size_t rows, size_t size, struct calc_groups *out,
                struct error *err) MUST_USE;

/* The mini-batch of the entries where mask is not 0, a row a sequence: for part_aggregate.h and the objectives.
 * token[i] is the entry's place in the grid. empty: rows without tokens are sequences, too. */
struct minibatch;
int calc_minibatch(const struct calc_case *c, const struct calc_grid *mask, bool empty, struct minibatch **out,
                   struct error *err) MUST_USE;
/* An input of the mask's shape, or one number a row, at the tokens of such a mini-batch: [count]. */
int calc_tokens(const struct calc_case *c, const char *key, const struct calc_grid *mask, const struct minibatch *m,
                double **out, struct error *err) MUST_USE;
/* The other way: [count] as rows of numbers, 0 where no token stands; x NULL: all 0. */
json_t *calc_tokens_json(const struct calc_grid *mask, const struct minibatch *m, const double *x);

/* JSON numbers; NaN becomes null, infinities "inf" and "-inf". */
json_t *calc_number(double x);
json_t *calc_list(const double *x, size_t n);
void calc_put(json_t *object, const char *key, double x);

#endif

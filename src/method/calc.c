#include "method/calc.h"
#include <stdio.h>
#include <string.h>
#include "core/math.h"
#include "core/yaml.h"
#include "method/method.h"

#define X(name) extern const struct calc calc_##name;
#include "calc_table.h"
#undef X

static const struct calc *const table[] = {
#define X(name) &calc_##name,
#include "calc_table.h"
#undef X
};

static const char *const names[] = {
#define X(name) #name,
#include "calc_table.h"
#undef X
};

size_t calc_count(void)
{
  return sizeof table / sizeof *table;
}

const struct calc *calc_at(size_t i)
{
  ASSAY_BUG_IF(i >= calc_count());
  return table[i];
}

const char *calc_name(size_t i)
{
  ASSAY_BUG_IF(i >= calc_count());
  return names[i];
}

const struct calc *calc_find(const char *function)
{
  for (size_t i = 0; i < calc_count(); i++) {
    if (!strcmp(table[i]->function, function)) return table[i];
    for (const char *const *name = table[i]->also; name && *name; name++)
      if (!strcmp(*name, function)) return table[i];
  }
  return NULL;
}

/* The part of the repository's name behind the slash, in small letters: verl, trl, openrlhf. */
static const char *framework(struct arena *a, const json_t *document, struct error *err)
{
  const char *repo = json_string_value(json_object_get(json_object_get(document, "source"), "repo"));
  const char *slash = repo ? strrchr(repo, '/') : NULL;
  if (!slash) return NULL;
  char *word = arena_strndup(a, slash + 1, strlen(slash + 1), "calc", err);
  for (char *p = word; p && *p; p++)
    if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
  return word;
}

const struct calc *calc_find_for(struct arena *a, const json_t *document, const char *function)
{
  struct error unused = {0};
  char name[160];
  const char *dialect = framework(a, document, &unused);
  if (!function) function = json_string_value(json_object_get(document, "function"));
  if (!function) return NULL;
  if (dialect && snprintf(name, sizeof name, "%s/%s", dialect, function) < (int)sizeof name && calc_find(name))
    return calc_find(name);
  return calc_find(function);
}

/* What a baseline's name means for a document: its part of the kind that the document is about, else the first that it
 * has. NULL: no such method, or none of its parts is here. */
static const char *function_of_method(struct arena *a, const char *method, const json_t *document)
{
  static const char *const others[][2] = {{"ppo", "gae"},
                                          {"passk_training", "grpo_passk"},
                                          {"reinforce_pp", "reinforce_plus_plus"},
                                          {"reinforce_pp_baseline", "reinforce_plus_plus_baseline"}};
  const char *own = json_string_value(json_object_get(document, "function")), *part = method;
  const char *const kinds[] = {own ? own : "adv_", "adv_", "loss_", "grpo_"};
  struct error unused = {0};
  if (!method_find(method)) return NULL;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (!strcmp(others[i][0], method)) part = others[i][1];
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const int kind = (int)(strcspn(kinds[i], "_") + 1);
    const char *name = arena_printf(a, "calc", &unused, "%.*s%s", kind, kinds[i], part);
    if (name && calc_find_for(a, document, name)) return name;
  }
  return NULL;
}

static int unknown_function(const char *function, const char *file, struct error *err)
{
  const char *known[256];
  size_t count = 0;
  for (size_t i = 0; i < calc_count(); i++) {
    if (count < sizeof known / sizeof *known) known[count++] = table[i]->function;
    for (const char *const *name = table[i]->also; name && *name && count < sizeof known / sizeof *known; name++)
      known[count++] = *name;
  }
  const char *nearest = name_nearest(function, known, count);
  FAIL_AT(err, ERROR_INPUT, file, 0, "function", "found function \"%s\"; expected one that `assay calc` lists%s%s%s",
          function, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* ---- the document ------------------------------------------------------------------------------------------------ */

/* A named set with "like" followed: a new object, or NULL and an error. */
static json_t *resolve(const json_t *inputs, const char *name, const char *file, int depth, struct error *err)
{
  const json_t *set = json_object_get(inputs, name), *like = json_object_get(set, "like");
  if (!json_is_object(set) || depth > 16) {
    (void)!error_fail(err, ERROR_INPUT, file, 0, name, "found inputs \"%s\", which %s; expected the name of a set",
                      name, depth > 16 ? "are like each other in a circle" : "are not there");
    return NULL;
  }
  json_t *out = json_is_string(like) ? resolve(inputs, json_string_value(like), file, depth + 1, err) : json_object();
  if (out) json_object_update(out, (json_t *)(uintptr_t)set);
  return out;
}

/* What all cases of a document share. */
struct document {
  const struct calc *f;
  struct arena *scratch;
  const char *file, *function, *dialect;
  const json_t *overrides, *inputs;
};

static int compute_case(const struct document *d, json_t *object, struct error *err)
{
  const char *file = d->file;
  json_t *args = json_object_get(object, "args");
  const json_t *name = json_object_get(object, "case"), *set = json_object_get(object, "inputs");
  if (!json_is_string(name) || (args && !json_is_object(args)))
    FAIL_AT(err, ERROR_INPUT, file, 0, "cases", "found a case without a name or with args that are no object");
  json_t *own = args ? json_deep_copy(args) : json_object(), *values = NULL;
  json_t *stated = json_incref(json_object_get(object, "outputs"));
  if (d->overrides) json_object_update(own, (json_t *)(uintptr_t)d->overrides);
  json_object_set(object, "args", own);
  json_object_del(object, "outputs");
  json_object_del(object, "grads");
  json_object_del(object, "raises");
  struct calc_case c = {.arena = d->scratch,
                        .file = file,
                        .function = d->function,
                        .name = json_string_value(name),
                        .args = own,
                        .sets = d->inputs,
                        .stated = stated,
                        .outputs = json_object(),
                        .grads = json_object()};
  struct error refused = {0};
  int rc = 0;
  if (json_is_string(set))
    rc = (values = resolve(d->inputs, json_string_value(set), file, 0, &refused)) ? 0 : ERROR_INPUT;
  else if (json_is_object(set))
    values = json_incref((json_t *)(uintptr_t)set);
  c.inputs = values;
  c.dialect = calc_text(&c, "dialect", d->dialect);
  if (!rc) rc = d->f->compute(&c, &refused);
  if (!rc) {
    json_object_set(object, "outputs", c.outputs);
    if (json_object_size(c.grads)) json_object_set(object, "grads", c.grads);
  } else if (refused.code == ERROR_INPUT) {
    json_object_set_new(object, "raises", json_string(refused.message));
    rc = 0;
  } else {
    *err = refused;
  }
  json_decref(c.outputs);
  json_decref(c.grads);
  json_decref(values);
  json_decref(stated);
  json_decref(own);
  return rc;
}

static void release(void *arg)
{
  json_decref(arg);
}

int calc_run(struct arena *a, const json_t *document, const char *file, const char *function, const json_t *overrides,
             json_t **out, struct error *err)
{
  const json_t *named = json_object_get(document, "function");
  if (!json_is_object(document) || !json_is_array(json_object_get(document, "cases")))
    FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "found no {function, inputs, cases}; expected a document of that form");
  if (!function) function = json_string_value(named);
  if (!function) FAIL_AT(err, ERROR_INPUT, file, 0, "function", "found no function; expected its name, or --function");
  const struct calc *f = calc_find_for(a, document, function);
  const char *part = f ? function : function_of_method(a, function, document);
  if (!part) return unknown_function(function, file, err);
  if (!f) f = calc_find_for(a, document, function = part);
  json_t *copy = json_deep_copy(document), *c;
  size_t i;
  TRY(arena_on_reset(a, release, copy, err));
  struct arena *scratch = arena_create("calc", 0, err);
  if (!copy || !scratch) return scratch ? error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "out of memory") : err->code;
  const struct document d = {
      f, scratch, file, function, framework(a, document, err), overrides, json_object_get(document, "inputs")};
  int rc = 0;
  json_array_foreach(json_object_get(copy, "cases"), i, c)
  {
    if (!rc) rc = compute_case(&d, c, err);
    arena_reset(scratch);
  }
  arena_destroy(scratch);
  *out = copy;
  return rc;
}

/* ---- for the functions ------------------------------------------------------------------------------------------- */

bool calc_is(const struct calc_case *c, const char *prefix)
{
  return !strncmp(c->name, prefix, strlen(prefix));
}

int calc_real(const struct calc_case *c, const char *key, double fallback, double *out, struct error *err)
{
  const json_t *v = json_object_get(c->args, key);
  *out = fallback;
  if (!v || json_is_null(v)) return 0;
  if (json_is_boolean(v)) return (*out = json_is_true(v)), 0;
  if (json_is_string(v) && !strcmp(json_string_value(v), "inf")) return (*out = __builtin_inf()), 0;
  if (!json_is_number(v))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found args.%s of another type; expected a number", key);
  *out = json_number_value(v);
  return 0;
}

int calc_int(const struct calc_case *c, const char *key, int64_t fallback, int64_t *out, struct error *err)
{
  double x;
  TRY(calc_real(c, key, (double)fallback, &x, err));
  if (!(x > -9e15 && x < 9e15) || x != (double)(int64_t)x)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found args.%s: %.15g; expected a whole number", key, x);
  *out = (int64_t)x;
  return 0;
}

const char *calc_text(const struct calc_case *c, const char *key, const char *fallback)
{
  const char *s = json_string_value(json_object_get(c->args, key));
  return s ? s : fallback;
}

bool calc_flag(const struct calc_case *c, const char *key, bool fallback)
{
  const json_t *v = json_object_get(c->args, key);
  return json_is_boolean(v) ? json_is_true(v) : json_is_number(v) ? json_number_value(v) != 0 : fallback;
}

const json_t *calc_need(const struct calc_case *c, const char *key, struct error *err)
{
  const json_t *v = json_object_get(c->inputs, key);
  if (!v) v = json_object_get(c->args, key);
  if (!v)
    (void)!error_fail(err, ERROR_INPUT, c->file, 0, key, "case \"%s\": found no %s in its inputs or args", c->name,
                      key);
  return v;
}

static int read_row(const struct calc_case *c, const json_t *v, struct calc_row *out, struct error *err)
{
  size_t n = json_is_array(v) ? json_array_size(v) : 1;
  out->count = n;
  out->at = ARENA_NEW(c->arena, double, n + 1, "calc", err);
  if (!out->at) return err->code;
  for (size_t i = 0; i < n; i++) {
    const json_t *x = json_is_array(v) ? json_array_get(v, i) : v;
    if (!json_is_number(x) && !json_is_null(x) && !json_is_boolean(x))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name, "case \"%s\": found something else where numbers are expected",
              c->name);
    out->at[i] = json_is_number(x) ? json_number_value(x)
                 : json_is_true(x) ? 1
                 : json_is_null(x) ? __builtin_nan("")
                                   : 0;
  }
  return 0;
}

int calc_matrix(const struct calc_case *c, const json_t *v, struct calc_matrix *out, struct error *err)
{
  bool nested = json_is_array(v) && json_is_array(json_array_get(v, 0));
  size_t n = nested ? json_array_size(v) : 1;
  out->row_count = n;
  out->rows = ARENA_NEW(c->arena, struct calc_row, n, "calc", err);
  if (!out->rows) return err->code;
  for (size_t i = 0; i < n; i++) TRY(read_row(c, nested ? json_array_get(v, i) : v, &out->rows[i], err));
  return 0;
}

int calc_grid(const struct calc_case *c, const char *key, struct calc_grid *out, struct error *err)
{
  const json_t *v = calc_need(c, key, err);
  struct calc_matrix m;
  if (!v) return err->code;
  TRY(calc_matrix(c, v, &m, err));
  bool nested = json_is_array(json_array_get(v, 0));
  *out = (struct calc_grid){.rows = nested ? m.row_count : m.rows[0].count, .width = nested ? m.rows[0].count : 1};
  out->at = ARENA_NEW(c->arena, double, out->rows * out->width + 1, "calc", err);
  for (size_t r = 0; out->at && r < m.row_count; r++) {
    if (nested && m.rows[r].count != out->width)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "case \"%s\": found rows of %zu and %zu entries in %s", c->name,
              out->width, m.rows[r].count, key);
    memcpy(out->at + r * m.rows[r].count, m.rows[r].at, m.rows[r].count * sizeof(double));
  }
  return out->at ? 0 : err->code;
}

int calc_grid_like(const struct calc_case *c, const char *key, const struct calc_grid *like, double fallback,
                   struct calc_grid *out, struct error *err)
{
  struct calc_grid got = {0};
  const json_t *v = json_object_get(c->inputs, key);
  if (!v) v = json_object_get(c->args, key);
  bool there = (v && !json_is_null(v)) || math_is_nan(fallback);
  if (there) TRY(calc_grid(c, key, &got, err));
  if (there && (got.rows != like->rows || (got.width != like->width && got.width != 1)))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "case \"%s\": found %s of %zu by %zu; expected %zu by %zu", c->name, key,
            got.rows, got.width, like->rows, like->width);
  *out = (struct calc_grid){calc_zeros(c, like, err), like->rows, like->width};
  if (!out->at) return err->code;
  for (size_t i = 0; i < like->rows * like->width; i++)
    out->at[i] = !there ? fallback : got.width == 1 ? got.at[i / like->width] : got.at[i];
  return 0;
}

double *calc_zeros(const struct calc_case *c, const struct calc_grid *like, struct error *err)
{
  return ARENA_NEW(c->arena, double, like->rows * like->width + 1, "calc", err);
}

json_t *calc_grid_json(const double *at, size_t rows, size_t width)
{
  json_t *out = json_array();
  for (size_t r = 0; r < rows; r++) json_array_append_new(out, calc_list(at + r * width, width));
  return out;
}

/* Row r's group: that of the first row with an equal label; without labels, r / size. */
static size_t group_of(const json_t *labels, size_t size, size_t r, const size_t *group)
{
  for (size_t q = 0; q < r; q++)
    if (labels ? json_equal(json_array_get(labels, q), json_array_get(labels, r)) : !size || q / size == r / size)
      return group[q];
  size_t next = 0;
  for (size_t q = 0; q < r; q++) next = group[q] + 1 > next ? group[q] + 1 : next;
  return next;
}

int calc_groups(const struct calc_case *c, const char *key, size_t rows, size_t size, struct calc_groups *out,
                struct error *err)
{
  const json_t *labels = key ? json_object_get(c->inputs, key) : NULL;
  size_t *group = ARENA_NEW(c->arena, size_t, rows + 1, "calc", err);
  *out = (struct calc_groups){.first = ARENA_NEW(c->arena, size_t, rows + 2, "calc", err),
                              .member = ARENA_NEW(c->arena, size_t, rows + 1, "calc", err)};
  if (!group || !out->first || !out->member) return err->code;
  if (labels && json_array_size(labels) != rows)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "case \"%s\": found %zu labels in %s; expected one for each of %zu rows",
            c->name, json_array_size(labels), key, rows);
  for (size_t r = 0; r < rows; r++) {
    group[r] = group_of(labels, size, r, group);
    if (group[r] == out->count) out->count++;
  }
  for (size_t g = 0, at = 0; g < out->count; g++) {
    for (size_t r = 0; r < rows; r++)
      if (group[r] == g) out->member[at++] = r;
    out->first[g + 1] = at;
  }
  return 0;
}

int calc_minibatch(const struct calc_case *c, const struct calc_grid *mask, bool empty, struct minibatch **out,
                   struct error *err)
{
  size_t most = mask->rows * mask->width + 1;
  struct minibatch *m = ARENA_NEW(c->arena, struct minibatch, 1, "calc", err);
  struct minibatch_sequence *q = ARENA_NEW(c->arena, struct minibatch_sequence, mask->rows + 1, "calc", err);
  int32_t *token = ARENA_NEW(c->arena, int32_t, most, "calc", err);
  double *one = ARENA_NEW(c->arena, double, most, "calc", err);
  if (!m || !q || !token || !one) return err->code;
  for (size_t r = 0; r < mask->rows; r++) {
    struct minibatch_sequence s = {.rollout = (int32_t)r, .first = m->count};
    for (size_t t = r * mask->width; t < (r + 1) * mask->width; t++)
      if (mask->at[t] != 0) token[m->count++] = (int32_t)t;
    s.count = m->count - s.first;
    if (s.count || empty) q[m->sequence_count++] = s;
  }
  for (size_t i = 0; i < most; i++) one[i] = 1;
  m->rollout_count = (int32_t)mask->rows;
  m->token = token;
  m->sequences = q;
  m->weight = m->counted = one;
  *out = m;
  return 0;
}

int calc_tokens(const struct calc_case *c, const char *key, const struct calc_grid *mask, const struct minibatch *m,
                double **out, struct error *err)
{
  struct calc_grid all;
  TRY(calc_grid_like(c, key, mask, __builtin_nan(""), &all, err));
  if (!(*out = ARENA_NEW(c->arena, double, (size_t)m->count + 1, "calc", err))) return err->code;
  for (int32_t i = 0; i < m->count; i++) (*out)[i] = all.at[m->token[i]];
  return 0;
}

json_t *calc_tokens_json(const struct calc_grid *mask, const struct minibatch *m, const double *x)
{
  json_t *out = json_array();
  int32_t next = 0;
  for (size_t r = 0; r < mask->rows; r++) {
    json_t *row = json_array();
    for (size_t t = r * mask->width; t < (r + 1) * mask->width; t++) {
      bool here = next < m->count && m->token[next] == (int32_t)t;
      json_array_append_new(row, here && x ? calc_number(x[next]) : json_integer(0));
      next += here;
    }
    json_array_append_new(out, row);
  }
  return out;
}

json_t *calc_number(double x)
{
  if (math_is_nan(x)) return json_null();
  if (!math_is_finite(x)) return json_string(x < 0 ? "-inf" : "inf");
  return x == (double)(int64_t)x && x > -1e15 && x < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

json_t *calc_list(const double *x, size_t n)
{
  json_t *out = json_array();
  for (size_t i = 0; i < n; i++) json_array_append_new(out, calc_number(x[i]));
  return out;
}

void calc_put(json_t *object, const char *key, double x)
{
  json_object_set_new(object, key, calc_number(x));
}

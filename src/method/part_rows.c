#include "method/part_rows.h"

#include <string.h>

#include "method/part_group.h"
#include "method/part_kl.h"

static int wrong_shape(const struct calc_case *c, const char *key, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, c->file, 0, key,
          "case \"%s\": found %s of a shape that does not fit; expected rows and tokens as response_mask has them",
          c->name, key);
}

static const char *group_text(struct calc_case *c, const json_t *v, struct error *err)
{
  if (json_is_string(v)) return json_string_value(v);
  char text[32];
  snprintf(text, sizeof text, "%lld", json_is_integer(v) ? (long long)json_integer_value(v) : 0);
  return arena_strndup(c->arena, text, strlen(text), "calc", err);
}

/* Groups in order of first appearance. */
static int name_groups(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  const json_t *group = json_object_get(c->inputs, "group");
  if (group && json_array_size(group) != (size_t)b->rows) return wrong_shape(c, "group", err);
  for (int32_t i = 0; i < b->rows; i++) {
    const char *key = group ? group_text(c, json_array_get(group, (size_t)i), err) : "0";
    if (!key) return err->code;
    int32_t g = 0;
    while (g < b->group_count && strcmp(b->group_key[g], key)) g++;
    if (g == b->group_count) b->group_key[b->group_count++] = key;
    b->group[i] = g;
  }
  return 0;
}

static int read_groups(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  size_t n = (size_t)b->rows;
  b->group = ARENA_NEW(c->arena, int32_t, n, "calc", err);
  b->group_key = ARENA_NEW(c->arena, const char *, n + 1, "calc", err);
  b->member = ARENA_NEW(c->arena, int32_t, n, "calc", err);
  b->group_first = ARENA_NEW(c->arena, int32_t, n + 1, "calc", err);
  if (!b->group || !b->group_key || !b->member || !b->group_first) return err->code;
  TRY(name_groups(c, b, err));
  int32_t at = 0;
  for (int32_t g = 0; g < b->group_count; g++) {
    b->group_first[g] = at;
    for (int32_t i = 0; i < b->rows; i++)
      if (b->group[i] == g) b->member[at++] = i;
  }
  b->group_first[b->group_count] = at;
  return 0;
}

static int read_mask(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  struct calc_matrix mask;
  TRY(calc_matrix(c, calc_need(c, "response_mask", err), &mask, err));
  b->rows = (int32_t)mask.row_count;
  b->width = (int32_t)mask.rows[0].count;
  size_t cells = (size_t)b->rows * (size_t)b->width;
  b->first = ARENA_NEW(c->arena, int32_t, (size_t)b->rows + 1, "calc", err);
  b->row = ARENA_NEW(c->arena, int32_t, cells, "calc", err);
  b->at = ARENA_NEW(c->arena, int32_t, cells, "calc", err);
  if (!b->first || !b->row || !b->at) return err->code;
  for (int32_t i = 0; i < b->rows; i++) {
    if (mask.rows[i].count != (size_t)b->width) return wrong_shape(c, "response_mask", err);
    b->first[i] = b->count;
    for (int32_t t = 0; t < b->width; t++) {
      if (!(mask.rows[i].at[t] > 0)) continue;
      b->row[b->count] = i;
      b->at[b->count++] = t;
    }
  }
  b->first[b->rows] = b->count;
  return 0;
}

/* The mini-batch of all rows: what aggregation reads of it. */
static int make_batch(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  size_t n = (size_t)b->rows;
  b->step.rollouts = ARENA_NEW(c->arena, struct rollout, n, "calc", err);
  struct minibatch_sequence *s = ARENA_NEW(c->arena, struct minibatch_sequence, n, "calc", err);
  if (!b->step.rollouts || !s) return err->code;
  b->batch = (struct minibatch){.step = &b->step, .count = b->count, .sequences = s};
  for (int32_t i = 0; i < b->rows; i++) {
    b->step.rollouts[i].group = b->group[i];
    int32_t tokens = b->first[i + 1] - b->first[i];
    if (tokens) s[b->batch.sequence_count++] = (struct minibatch_sequence){i, b->first[i], tokens};
  }
  return 0;
}

int calc_rows_open(struct calc_case *c, struct calc_rows *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  TRY(read_mask(c, out, err));
  TRY(read_groups(c, out, err));
  out->reward = ARENA_NEW(c->arena, double, (size_t)out->rows, "calc", err);
  if (!out->reward) return err->code;
  const json_t *rewards = json_object_get(c->inputs, "rewards");
  if (rewards) {
    struct calc_matrix m;
    TRY(calc_matrix(c, rewards, &m, err));
    if (m.rows[0].count != (size_t)out->rows) return wrong_shape(c, "rewards", err);
    memcpy(out->reward, m.rows[0].at, (size_t)out->rows * sizeof(double));
  }
  if (json_object_get(c->inputs, "old_log_prob")) TRY(calc_rows_tokens(c, out, "old_log_prob", &out->old, err));
  if (json_object_get(c->inputs, "log_prob")) TRY(calc_rows_tokens(c, out, "log_prob", &out->logp, err));
  return make_batch(c, out, err);
}

int calc_rows_tokens(struct calc_case *c, const struct calc_rows *b, const char *key, double **out, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, key, err), &m, err));
  if (!(*out = ARENA_NEW(c->arena, double, (size_t)b->count + 1, "calc", err))) return err->code;
  if (m.row_count != (size_t)b->rows) return wrong_shape(c, key, err);
  for (int32_t i = 0; i < b->count; i++) {
    if (m.rows[b->row[i]].count <= (size_t)b->at[i]) return wrong_shape(c, key, err);
    (*out)[i] = m.rows[b->row[i]].at[b->at[i]];
  }
  return 0;
}

int calc_rows_vectors(struct calc_case *c, const struct calc_rows *b, const char *key, double **out, int32_t *depth,
                      struct error *err)
{
  const json_t *rows = calc_need(c, key, err);
  if (!rows) return err->code;
  *depth = (int32_t)json_array_size(json_array_get(json_array_get(rows, 0), 0));
  size_t n = (size_t)b->count * (size_t)*depth;
  if (!(*out = ARENA_NEW(c->arena, double, n + 1, "calc", err))) return err->code;
  for (int32_t i = 0; i < b->count; i++) {
    const json_t *cell = json_array_get(json_array_get(rows, (size_t)b->row[i]), (size_t)b->at[i]), *x;
    size_t k;
    if (json_array_size(cell) != (size_t)*depth) return wrong_shape(c, key, err);
    json_array_foreach(cell, k, x)
    {
      if (!json_is_number(x)) return wrong_shape(c, key, err);
      (*out)[(size_t)i * (size_t)*depth + k] = json_number_value(x);
    }
  }
  return 0;
}

json_t *calc_rows_matrix(const struct calc_rows *b, const double *x)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < b->rows; i++) {
    json_t *row = json_array();
    int32_t next = b->first[i];
    for (int32_t t = 0; t < b->width; t++) {
      bool here = next < b->first[i + 1] && b->at[next] == t;
      json_array_append_new(row, here && x ? calc_number(x[next]) : json_integer(0));
      next += here;
    }
    json_array_append_new(out, row);
  }
  return out;
}

json_t *calc_rows_vectors_matrix(const struct calc_rows *b, const double *x, int32_t depth)
{
  json_t *out = calc_rows_matrix(b, NULL);
  double *none = NULL;
  for (int32_t i = 0; i < b->rows; i++) {
    int32_t next = b->first[i];
    for (int32_t t = 0; t < b->width; t++) {
      bool here = next < b->first[i + 1] && b->at[next] == t;
      json_t *cell = here ? calc_list(x + (size_t)next * (size_t)depth, (size_t)depth) : calc_list(none, 0);
      for (int32_t k = 0; !here && k < depth; k++) json_array_append_new(cell, json_integer(0));
      json_array_set_new(json_array_get(out, (size_t)i), (size_t)t, cell);
      next += here;
    }
  }
  return out;
}

int calc_rows_advantage(struct calc_case *c, const struct calc_rows *b, const double *reward, bool unbiased, double eps,
                        double *advantage, struct error *err)
{
  double *x = ARENA_NEW(c->arena, double, 2 * (size_t)b->rows + 1, "calc", err);
  if (!x) return err->code;
  for (int32_t g = 0; g < b->group_count; g++) {
    const int32_t *member = b->member + b->group_first[g];
    int32_t n = b->group_first[g + 1] - b->group_first[g];
    for (int32_t i = 0; i < n; i++) x[i] = reward[member[i]];
    group_normalised(x, n, unbiased, eps, x + n);
    for (int32_t i = 0; i < n; i++) advantage[member[i]] = x[n + i];
  }
  return 0;
}

void calc_rows_spread(const struct calc_rows *b, const double *per_row, double *per_token)
{
  for (int32_t i = 0; i < b->count; i++) per_token[i] = per_row[b->row[i]];
}

int calc_rows_aggregation(const struct calc_case *c, const char *word, enum aggregation *out, struct error *err)
{
  static const char *const WORDS[] = {"token-mean", "seq-mean-token-mean", "seq-mean-token-sum",
                                      "constant",   "token-sum",           "group-token-mean"};
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
    *out = (enum aggregation)i;
    if (!strcmp(word, WORDS[i])) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "agg",
          "found aggregation \"%s\"; expected token-mean, seq-mean-token-mean, seq-mean-token-sum or group-token-mean",
          word);
}

int calc_rows_scale(struct calc_case *c, struct calc_rows *b, const char *aggregation, const double *counted,
                    double *scale, struct error *err)
{
  enum aggregation mode;
  TRY(calc_rows_aggregation(c, aggregation, &mode, err));
  aggregate_scale(&b->batch, mode, 1, counted, scale);
  return 0;
}

int calc_rows_loss(struct calc_case *c, struct calc_rows *b, const struct calc_loss *l, double *loss, double *coef,
                   struct error *err)
{
  double *scale = ARENA_NEW(c->arena, double, (size_t)b->count + 1, "calc", err);
  if (!scale) return err->code;
  TRY(calc_rows_scale(c, b, l->aggregation, l->counted, scale, err));
  *loss = 0;
  for (int32_t i = 0; i < b->count; i++) {
    struct clip_value v = clip_surrogate(b->logp[i], b->old[i], l->advantage[i], &l->bounds);
    double w = scale[i] * (l->weight ? l->weight[i] : 1);
    *loss += w * v.loss;
    coef[i] = w * v.coef;
  }
  return 0;
}

int calc_rows_kl(struct calc_case *c, struct calc_rows *b, const char *aggregation, double weight, double *kl,
                 double *coef, struct error *err)
{
  double *reference, *scale = ARENA_NEW(c->arena, double, (size_t)b->count + 1, "calc", err);
  if (!scale) return err->code;
  TRY(calc_rows_tokens(c, b, "ref_log_prob", &reference, err));
  TRY(calc_rows_scale(c, b, aggregation, NULL, scale, err));
  *kl = 0;
  for (int32_t i = 0; i < b->count; i++) {
    struct kl_value k = kl_estimate(KL_K3, b->logp[i], reference[i], true);
    *kl += scale[i] * k.value;
    coef[i] += weight * scale[i] * k.coef;
  }
  return 0;
}

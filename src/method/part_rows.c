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

static int read_groups(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  size_t n = (size_t)b->rows;
  struct calc_groups g;
  TRY(calc_groups(c, "group", n, 0, &g, err));
  b->group = ARENA_NEW(c->arena, int32_t, n, "calc", err);
  b->group_key = ARENA_NEW(c->arena, const char *, n + 1, "calc", err);
  b->member = ARENA_NEW(c->arena, int32_t, n, "calc", err);
  b->group_first = ARENA_NEW(c->arena, int32_t, n + 1, "calc", err);
  if (!b->group || !b->group_key || !b->member || !b->group_first) return err->code;
  b->group_count = (int32_t)g.count;
  for (size_t k = 0; k < g.count; k++) {
    const json_t *label = json_array_get(json_object_get(c->inputs, "group"), g.member[g.first[k]]);
    if (!(b->group_key[k] = group_text(c, label, err))) return err->code;
    b->group_first[k + 1] = (int32_t)g.first[k + 1];
    for (size_t i = g.first[k]; i < g.first[k + 1]; i++) {
      b->member[i] = (int32_t)g.member[i];
      b->group[g.member[i]] = (int32_t)k;
    }
  }
  return 0;
}

static int read_mask(struct calc_case *c, struct calc_rows *b, struct error *err)
{
  struct minibatch *m;
  TRY(calc_grid(c, "response_mask", &b->mask, err));
  TRY(calc_minibatch(c, &b->mask, false, &m, err));
  b->batch = *m;
  b->rows = (int32_t)b->mask.rows;
  b->width = (int32_t)b->mask.width;
  b->count = m->count;
  b->first = ARENA_NEW(c->arena, int32_t, (size_t)b->rows + 1, "calc", err);
  b->row = ARENA_NEW(c->arena, int32_t, (size_t)b->count + 1, "calc", err);
  b->at = ARENA_NEW(c->arena, int32_t, (size_t)b->count + 1, "calc", err);
  b->step.rollouts = ARENA_NEW(c->arena, struct rollout, (size_t)b->rows, "calc", err);
  if (!b->first || !b->row || !b->at || !b->step.rollouts) return err->code;
  for (int32_t i = 0; i < b->count; i++) {
    b->row[i] = m->token[i] / b->width;
    b->at[i] = m->token[i] % b->width;
    b->first[b->row[i] + 1] = i + 1;
  }
  for (int32_t i = 0; i < b->rows; i++)
    if (b->first[i + 1] < b->first[i]) b->first[i + 1] = b->first[i]; /* no tokens */
  return 0;
}

int calc_rows_open(struct calc_case *c, struct calc_rows *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  TRY(read_mask(c, out, err));
  TRY(read_groups(c, out, err));
  out->batch.step = &out->step;
  for (int32_t i = 0; i < out->rows; i++) out->step.rollouts[i].group = out->group[i];
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
  return 0;
}

int calc_rows_tokens(struct calc_case *c, const struct calc_rows *b, const char *key, double **out, struct error *err)
{
  return calc_tokens(c, key, &b->mask, &b->batch, out, err);
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
  return calc_tokens_json(&b->mask, &b->batch, x);
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

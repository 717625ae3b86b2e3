/* A sampler that is not the policy which is trained: part_correction.h. verl: rollout_correction; TRL: sampler_ratio.
 */
#include <stdio.h>
#include <string.h>
#include "method/calc.h"
#include "method/part_correction.h"

struct tokens {
  struct calc_grid mask;
  struct correction c;
  const int32_t *place; /* [count] entries of the grid */
};

/* The tokens where the mask is 1; rows without any are sequences without tokens. */
static int gather(struct calc_case *c, const char *sampler_key, const struct calc_grid *mask, struct tokens *out,
                  struct error *err)
{
  struct calc_grid old, sampler;
  size_t most = mask->rows * mask->width + 1;
  TRY(calc_grid_like(c, "old_log_prob", mask, __builtin_nan(""), &old, err));
  TRY(calc_grid_like(c, sampler_key, mask, __builtin_nan(""), &sampler, err));
  struct correction_span *spans = ARENA_NEW(c->arena, struct correction_span, mask->rows + 1, "calc", err);
  int32_t *place = ARENA_NEW(c->arena, int32_t, most, "calc", err);
  double *a = ARENA_NEW(c->arena, double, most, "calc", err), *b = ARENA_NEW(c->arena, double, most, "calc", err);
  if (!spans || !place || !a || !b) return err->code;
  int32_t n = 0;
  for (size_t r = 0; r < mask->rows; r++) {
    spans[r].first = n;
    for (size_t t = r * mask->width; t < (r + 1) * mask->width; t++) {
      if (mask->at[t] == 0) continue;
      place[n] = (int32_t)t;
      a[n] = old.at[t];
      b[n++] = sampler.at[t];
    }
    spans[r].count = n - spans[r].first;
  }
  *out = (struct tokens){*mask, {n, (int32_t)mask->rows, spans, a, b}, place};
  return 0;
}

/* ---- verl ------------------------------------------------------------------------------------------------------- */

static const char *text_of(const struct calc_case *c, const char *key, char *buf, size_t size)
{
  const json_t *v = json_object_get(c->args, key);
  if (json_is_number(v))
    snprintf(buf, size, "%.17g", json_number_value(v));
  else
    snprintf(buf, size, "%s", json_is_string(v) ? json_string_value(v) : "");
  return buf;
}

struct sink {
  json_t *metrics;
  char prefix[64];
};

static void put(void *arg, const char *name, double value)
{
  const struct sink *s = arg;
  char key[160];
  snprintf(key, sizeof key, "rollout_corr/%s%s", s->prefix, name);
  calc_put(s->metrics, key, value);
}

static int apply_weights(struct calc_case *c, const struct tokens *t, struct sink *sink, struct error *err)
{
  const char *level = calc_text(c, "rollout_is", NULL);
  char text[64];
  struct correction_weighting o = {.normalise = calc_flag(c, "rollout_is_batch_normalize", false)};
  if (!level) return 0;
  if (strcmp(level, "token") && strcmp(level, "sequence"))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rollout_is", "found \"%s\"; expected token or sequence", level);
  o.level = !strcmp(level, "token") ? CORRECTION_TOKEN : CORRECTION_SEQUENCE;
  TRY(correction_read_bounds(text_of(c, "rollout_is_threshold", text, sizeof text), &o, err));
  double *raw = calc_zeros(c, &t->mask, err), *weight = calc_zeros(c, &t->mask, err),
         *out = calc_zeros(c, &t->mask, err);
  if (!raw || !weight || !out) return err->code;
  struct correction_weighting plain = o;
  plain.normalise = false;
  correction_weights(&t->c, &plain, raw, weight);
  correction_measure_weights(&t->c, &o, raw, weight, put, sink);
  double by = correction_weights(&t->c, &o, raw, weight);
  if (o.normalise) put(sink, "rollout_is_batch_norm_factor", by);
  for (int32_t i = 0; i < t->c.count; i++) out[t->place[i]] = weight[i];
  json_object_set_new(c->outputs, "rollout_is_weights", calc_grid_json(out, t->mask.rows, t->mask.width));
  return 0;
}

static int reject_by(struct calc_case *c, const struct tokens *t, const struct correction_rejection *o, bool *keep,
                     struct sink *sink, struct error *err)
{
  double *statistic = calc_zeros(c, &t->mask, err);
  bool *own = ARENA_NEW(c->arena, bool, (size_t)t->c.count + 1, "calc", err);
  if (!statistic || !own) return err->code;
  memset(own, 1, (size_t)t->c.count);
  correction_reject(&t->c, o, statistic, own);
  snprintf(sink->prefix, sizeof sink->prefix, "rollout_rs_%s_", correction_rule_name(o->rule));
  correction_measure_rejection(&t->c, o, statistic, own, put, sink);
  sink->prefix[0] = '\0';
  for (int32_t i = 0; i < t->c.count; i++) keep[i] = keep[i] && own[i];
  return 0;
}

/* What all rules together take out. */
static void measure_kept(const struct tokens *t, const bool *keep, struct sink *sink)
{
  double gone = 0, cut = 0;
  for (int32_t s = 0; s < t->c.span_count; s++) {
    double before = gone;
    for (int32_t i = t->c.spans[s].first; i < t->c.spans[s].first + t->c.spans[s].count; i++) gone += !keep[i];
    cut += gone > before;
  }
  put(sink, "rollout_rs_masked_fraction", gone / t->c.count);
  put(sink, "rollout_rs_seq_masked_fraction", cut / t->c.span_count);
}

static int apply_rejection(struct calc_case *c, const struct tokens *t, struct sink *sink, struct error *err)
{
  const char *rules = calc_text(c, "rollout_rs", NULL);
  char bounds[256];
  struct correction_rules all;
  if (!rules) return 0;
  TRY(correction_read_rules(rules, text_of(c, "rollout_rs_threshold", bounds, sizeof bounds), &all, err));
  bool *keep = ARENA_NEW(c->arena, bool, (size_t)t->c.count + 1, "calc", err);
  double *out = calc_zeros(c, &t->mask, err);
  if (!keep || !out) return err->code;
  memset(keep, 1, (size_t)t->c.count);
  for (int i = 0; i < all.count; i++) TRY(reject_by(c, t, &all.at[i], keep, sink, err));
  measure_kept(t, keep, sink);
  for (int32_t i = 0; i < t->c.count; i++) out[t->place[i]] = keep[i];
  json_object_set_new(c->outputs, "modified_response_mask", calc_grid_json(out, t->mask.rows, t->mask.width));
  return 0;
}

static int correct(struct calc_case *c, struct error *err)
{
  struct calc_grid mask;
  struct tokens t;
  struct sink sink = {.metrics = json_object()};
  json_object_set_new(c->outputs, "metrics", sink.metrics);
  TRY(calc_grid(c, "response_mask", &mask, err));
  TRY(gather(c, "rollout_log_prob", &mask, &t, err));
  if (!t.c.count)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "response_mask", "case \"%s\": found no token in the mask", c->name);
  TRY(apply_weights(c, &t, &sink, err));
  TRY(apply_rejection(c, &t, &sink, err));
  correction_measure(&t.c, put, &sink);
  return 0;
}

/* ---- TRL -------------------------------------------------------------------------------------------------------- */

static int read_mode(const struct calc_case *c, struct correction_weighting *o, struct error *err)
{
  const char *mode = calc_text(c, "mode", "token_truncate");
  bool sequence = !strncmp(mode, "sequence_", 9), truncate = strstr(mode, "_truncate") != NULL;
  if ((!sequence && strncmp(mode, "token_", 6)) || (!truncate && !strstr(mode, "_mask")))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "mode",
            "found \"%s\"; expected token_truncate, token_mask, sequence_truncate or sequence_mask", mode);
  o->level = sequence ? CORRECTION_SEQUENCE : CORRECTION_TOKEN;
  o->kind = truncate ? CORRECTION_TRUNCATE : CORRECTION_DROP;
  TRY(calc_real(c, "clip_min", 0, &o->low, err));
  return calc_real(c, "clip_max", __builtin_inf(), &o->high, err);
}

/* `lengths` tokens a row; behind them the log-ratio is 0. */
static int ratio(struct calc_case *c, struct error *err)
{
  struct calc_grid old, lengths, mask;
  struct tokens t;
  struct correction_weighting o = {.low = 0};
  TRY(read_mode(c, &o, err));
  TRY(calc_grid(c, "old_log_prob", &old, err));
  const struct calc_grid column = {.rows = old.rows, .width = 1};
  TRY(calc_grid_like(c, "lengths", &column, __builtin_nan(""), &lengths, err));
  TRY(calc_grid_like(c, "completion_mask", &old, 1, &mask, err));
  for (size_t i = 0; i < old.rows * old.width; i++)
    if ((double)(i % old.width) >= lengths.at[i / old.width]) mask.at[i] = 0;
  TRY(gather(c, "rollout_log_prob", &mask, &t, err));
  double *raw = calc_zeros(c, &old, err), *weight = calc_zeros(c, &old, err), *out = calc_zeros(c, &old, err);
  if (!raw || !weight || !out) return err->code;
  correction_weights(&t.c, &o, raw, weight);
  bool sequence = o.level == CORRECTION_SEQUENCE;
  for (size_t i = 0; i < old.rows * old.width; i++) out[i] = correction_weight(&o, 1);
  for (int32_t i = 0; i < t.c.count; i++)
    out[sequence ? (size_t)t.place[i] / old.width : (size_t)t.place[i]] = weight[i];
  json_object_set_new(c->outputs, "importance_sampling_ratio", calc_grid_json(out, old.rows, sequence ? 1 : old.width));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  return !strcmp(c->function, "sampler_ratio") ? ratio(c, err) : correct(c, err);
}

static const char *const also[] = {"sampler_ratio", NULL};
const struct calc calc_rollout_correction = {
    .function = "rollout_correction",
    .also = also,
    .help = "sampler against trainer: weights (TIS, IcePop), rejection rules, metrics",
    .compute = compute,
};

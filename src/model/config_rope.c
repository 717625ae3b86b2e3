/* Rotary positions in config.json: rope_theta and rope_scaling (transformers 4), rope_parameters (5, in Gemma 3 by kind
 * of layer). */
#include <limits.h>
#include <string.h>

#include "model/config_parts.h"
#include "model/rope.h"

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* The kind of one object; phi3's first files call longrope "su" or "yarn". */
static int read_kind(const json_t *rope, const char *key, const struct model_family *f, enum rope_kind *out,
                     const char *where, struct error *err)
{
  const json_t *type = json_object_get(rope, "rope_type");
  if (!type) type = json_object_get(rope, "type");
  const char *name = json_string_value(type);
  if (!name) FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s has no rope_type; expected \"default\"", key);
  bool su = f->fused && (!strcmp(name, "su") || !strcmp(name, "yarn"));
  for (int kind = ROPE_PLAIN; kind <= ROPE_LONG; kind++) {
    if (strcmp(su ? "longrope" : name, model_rope_name((enum rope_kind)kind))) continue;
    *out = (enum rope_kind)kind;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, where, 0, key,
          "rope_type \"%.64s\" is not supported; supported are default, linear, dynamic, llama3, yarn and longrope",
          name);
}

static int read_factors(const json_t *rope, const char *key, int pairs, double *to, const char *where,
                        struct error *err)
{
  const json_t *list = json_object_get(rope, key), *x;
  size_t i;
  if (!json_is_array(list) || json_array_size(list) != (size_t)pairs || pairs > ROPE_FACTORS_MAX)
    FAIL_AT(err, ERROR_INPUT, where, 0, key,
            "%s must be a list of %d numbers, one for each pair of a head's dimensions", key, pairs);
  json_array_foreach(list, i, x)
  {
    if (!json_is_number(x)) FAIL_AT(err, ERROR_INPUT, where, 0, key, "entry %zu of %s is no number", i, key);
    to[i] = json_number_value(x);
  }
  return 0;
}

static int read_yarn(const json_t *rope, struct rope_scaling *s, const char *where, struct error *err)
{
  bool truncate;
  TRY(json_real_or(rope, "beta_fast", 0, 1e9, 0, &s->beta_fast, where, err));
  TRY(json_real_or(rope, "beta_slow", 0, 1e9, 0, &s->beta_slow, where, err));
  TRY(json_real_or(rope, "mscale", 0, 1e9, 0, &s->mscale, where, err));
  TRY(json_real_or(rope, "mscale_all_dim", 0, 1e9, 0, &s->mscale_all, where, err));
  TRY(json_bool_or(rope, "truncate", true, &truncate, where, err));
  s->no_truncate = !truncate;
  return 0;
}

/* The original length: in the object, beside it, or else the stated one. */
static int read_original(const json_t *o, const json_t *rope, struct rope_scaling *s, const char *where,
                         struct error *err)
{
  const char *key = "original_max_position_embeddings";
  int beside;
  TRY(config_size_or(o, key, 0, &beside, where, err));
  if (s->kind == ROPE_LONG && beside) {
    s->original = beside;
    return 0;
  }
  return config_size_or(rope, key, beside ? beside : s->stated_positions, &s->original, where, err);
}

static int read_scaling(const json_t *o, const json_t *rope, struct model_config *c, const char *where,
                        struct error *err)
{
  struct rope_scaling *s = &c->rope;
  int pairs = model_rope_pairs(c);
  if (s->kind == ROPE_PLAIN) return 0;
  s->stated_positions = c->max_positions;
  TRY(json_real_or(rope, "factor", 0, 1e9, 0, &s->factor, where, err));
  TRY(json_real_or(rope, "attention_factor", 0, 1e9, 0, &s->attention_factor, where, err));
  if (s->kind == ROPE_LLAMA3 || s->kind == ROPE_YARN || s->kind == ROPE_LONG)
    TRY(read_original(o, rope, s, where, err));
  if (s->kind == ROPE_YARN) return read_yarn(rope, s, where, err);
  if (s->kind == ROPE_LONG) {
    TRY(read_factors(rope, "short_factor", pairs, s->short_factor, where, err));
    TRY(read_factors(rope, "long_factor", pairs, s->long_factor, where, err));
    // behind the original length transformers turns every position of a sequence otherwise
    if (s->original < c->max_positions) c->max_positions = s->original;
    return 0;
  }
  if (s->kind != ROPE_LLAMA3) return 0;
  TRY(json_real_or(rope, "low_freq_factor", 0, 1e9, 0, &s->low_freq, where, err));
  return json_real_or(rope, "high_freq_factor", 0, 1e9, 0, &s->high_freq, where, err);
}

/* A value that may stand in two places; 0: in neither. */
static int join(double old, double new, const char *key, const char *where, double *out, struct error *err)
{
  if (old > 0 && new > 0 && (old < new || old > new))
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s is %g, and %g in rope_parameters; remove one", key, old, new);
  *out = new > 0 ? new : old;
  return 0;
}

static int read_theta(const json_t *o, const json_t *rope, const char *key, double fallback, double *out,
                      const char *where, struct error *err)
{
  double old, new = 0;
  TRY(json_real_or(o, key, 1, 1e15, 0, &old, where, err));
  if (rope) TRY(json_real_or(rope, "rope_theta", 1, 1e15, 0, &new, where, err));
  TRY(join(old, new, key, where, out, err));
  if (!(*out > 0)) *out = fallback;
  return 0;
}

static int read_rotary(const json_t *o, const json_t *rope, const struct model_family *f, struct model_config *c,
                       const char *where, struct error *err)
{
  double beside, inside = 0, factor;
  if (rope && !f->fused && !config_is_neutral(json_object_get(rope, "partial_rotary_factor"), 1))
    FAIL_AT(err, ERROR_INPUT, where, 0, "partial_rotary_factor",
            "partial_rotary_factor other than 1 is not supported for model_type \"%s\"", f->model_type);
  if (!f->fused) return 0;
  TRY(json_real_or(o, "partial_rotary_factor", 1e-3, 1, 0, &beside, where, err));
  if (rope) TRY(json_real_or(rope, "partial_rotary_factor", 1e-3, 1, 0, &inside, where, err));
  TRY(join(beside, inside, "partial_rotary_factor", where, &factor, err));
  c->rotary = factor > 0 && factor < 1 ? (int)(c->head_dim * factor) : 0;
  return 0;
}

/* An object under a key, or NULL. */
static int get_object(const json_t *o, const char *key, const json_t **out, const char *where, struct error *err)
{
  *out = json_object_get(o, key);
  if (!*out || json_is_null(*out)) {
    *out = NULL;
  } else if (!json_is_object(*out)) {
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s must be an object or null", key);
  }
  return 0;
}

int config_read_rope(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                     struct error *err)
{
  const json_t *new, *old, *local = NULL;
  enum rope_kind kinds[2] = {ROPE_PLAIN, ROPE_PLAIN}, local_kind = ROPE_PLAIN;
  TRY(get_object(o, "rope_parameters", &new, where, err));
  TRY(get_object(o, "rope_scaling", &old, where, err));
  if (new && f->rope_local_theta > 0 && json_object_get(new, "full_attention")) {
    TRY(get_object(new, "sliding_attention", &local, where, err));
    TRY(get_object(new, "full_attention", &new, where, err));
  }
  if (new) TRY(read_kind(new, "rope_parameters", f, &kinds[0], where, err));
  if (old) TRY(read_kind(old, "rope_scaling", f, &kinds[1], where, err));
  if (local) TRY(read_kind(local, "rope_parameters", f, &local_kind, where, err));
  if (local_kind != ROPE_PLAIN)
    FAIL_AT(err, ERROR_INPUT, where, 0, "rope_parameters",
            "rope_type \"%s\" in sliding_attention is not supported; supported is \"default\"",
            model_rope_name(local_kind));
  TRY(read_theta(o, new, "rope_theta", f->rope_theta, &c->rope_theta, where, err));
  if (f->rope_local_theta > 0)
    TRY(read_theta(o, local, "rope_local_base_freq", f->rope_local_theta, &c->rope_local_theta, where, err));
  TRY(read_rotary(o, new ? new : old, f, c, where, err));
  bool scaled = kinds[0] != ROPE_PLAIN;
  c->rope.kind = scaled ? kinds[0] : kinds[1];
  return read_scaling(o, scaled ? new : old, c, where, err);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void put_member(struct text *t, const char *key, double value)
{
  if (!(value > 0)) return;
  text_printf(t, ", \"%s\": ", key);
  json_put_f64(t, value);
}

static void put_factors(struct text *t, const char *key, const double *factors, int n)
{
  text_printf(t, ", \"%s\": ", key);
  for (int i = 0; i < n; i++) {
    text_puts(t, i ? ", " : "[");
    json_put_f64(t, factors[i]);
  }
  text_puts(t, "]");
}

/* transformers 4 wants of phi3's longrope these three members and no other. */
static void put_scaling(struct text *t, const struct model_config *c)
{
  const struct rope_scaling *s = &c->rope;
  text_printf(t, "{\"%s\": \"%s\"", s->kind == ROPE_LONG ? "type" : "rope_type", model_rope_name(s->kind));
  put_member(t, "factor", s->factor);
  put_member(t, "attention_factor", s->attention_factor);
  put_member(t, "low_freq_factor", s->low_freq);
  put_member(t, "high_freq_factor", s->high_freq);
  put_member(t, "beta_fast", s->beta_fast);
  put_member(t, "beta_slow", s->beta_slow);
  put_member(t, "mscale", s->mscale);
  put_member(t, "mscale_all_dim", s->mscale_all);
  if (s->no_truncate) text_puts(t, ", \"truncate\": false");
  if (s->original && s->kind != ROPE_LONG) text_printf(t, ", \"original_max_position_embeddings\": %d", s->original);
  if (s->kind == ROPE_LONG) {
    put_factors(t, "short_factor", s->short_factor, model_rope_pairs(c));
    put_factors(t, "long_factor", s->long_factor, model_rope_pairs(c));
  }
  text_puts(t, "}");
}

void config_put_rope(struct text *t, const struct model_config *c, const struct model_family *f)
{
  int stated = c->rope.stated_positions ? c->rope.stated_positions : c->max_positions;
  config_put_number(t, "max_position_embeddings", stated);
  if (c->rope.kind == ROPE_LONG) config_put_number(t, "original_max_position_embeddings", c->rope.original);
  config_put_real(t, "rope_theta", c->rope_theta);
  if (f->rope_local_theta > 0) config_put_real(t, "rope_local_base_freq", c->rope_local_theta);
  if (c->rotary) config_put_real(t, "partial_rotary_factor", (double)c->rotary / c->head_dim);
  config_put_key(t, "rope_scaling");
  if (c->rope.kind == ROPE_PLAIN) {
    text_puts(t, "null");
  } else {
    put_scaling(t, c);
  }
}

#include "model/gguf_family.h"

#include <stdio.h>
#include <string.h>

#include "core/math.h"
#include "model/config.h"
#include "model/open.h"
#include "model/rope.h"

const char *gguf_family_name(const struct model_config *c)
{
  const struct model_family *f = model_family_find(c->model_type);
  return !f ? NULL : f->gguf ? f->gguf : "llama";
}

static int refuse(const char *path, const char *key, const char *what, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, path, 0, key, "%s cannot be written as GGUF; write a folder", what);
}

static int check_rope(const struct model_config *c, const char *path, struct error *err)
{
  const struct rope_scaling *s = &c->rope;
  bool plain_yarn = !(s->beta_fast > 0 && (s->beta_fast < 32 || s->beta_fast > 32)) &&
                    !(s->beta_slow > 0 && (s->beta_slow < 1 || s->beta_slow > 1)) && !(s->attention_factor > 0) &&
                    !(s->mscale > 0) && !s->no_truncate;
  if (s->kind == ROPE_YARN && !plain_yarn)
    return refuse(path, "rope_scaling", "yarn with other than its usual parameters", err);
  if ((s->kind == ROPE_LONG || s->kind == ROPE_LLAMA3) && model_rope_pairs(c) > ROPE_FACTORS_MAX)
    return refuse(path, "rope_scaling", "scaled rotary positions of so wide heads", err);
  return 0;
}

static int check_layers(const struct model_config *c, const struct model_family *f, const char *path, struct error *err)
{
  bool nope = true, windows = true;
  for (int i = 0; i < c->layers; i++) {
    nope = nope && layer_in(&c->nope_layers, i) == (f->nope && (i + 1) % 4 == 0);
    if (f->window == WINDOW_PATTERN)
      windows = windows && c->window && layer_in(&c->full_layers, i) == ((i + 1) % f->window_pattern == 0);
  }
  if (!nope) return refuse(path, "no_rope_layers", "layers without positions other than every fourth", err);
  if (f->window == WINDOW_PATTERN && !windows)
    return refuse(path, "layer_types", "another pattern of sliding windows than the family's", err);
  if (f->window != WINDOW_PATTERN && !f->fused && c->window && c->window < c->max_positions)
    return refuse(path, "sliding_window", "a sliding window, which llama.cpp does not give this family,", err);
  return 0;
}

int gguf_family_check(const struct model_config *c, const char *path, struct error *err)
{
  const struct model_family *f = model_family_find(c->model_type);
  ASSAY_BUG_IF(!f);
  TRY(check_rope(c, path, err));
  TRY(check_layers(c, f, path, err));
  if (!f->gemma) return 0;
  double known = 1 / math_sqrt((double)(model_gguf_wide_scalar(c) ? c->hidden / c->heads : c->head_dim));
  if (math_abs(c->attention_scale / known - 1) > 1e-12)
    return refuse(path, "query_pre_attn_scalar", "query_pre_attn_scalar other than llama.cpp's for this size", err);
  if (!f->caps && c->attention_cap > 0)
    return refuse(path, "attn_logit_softcapping", "a soft cap of attention in this family", err);
  return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void put_real(struct gguf_pairs *p, const struct model_config *c, const char *key, double x)
{
  char full[128];
  snprintf(full, sizeof full, "%s.%s", gguf_family_name(c), key);
  gguf_put_f32(p, full, (float)x);
}

static void put_count(struct gguf_pairs *p, const struct model_config *c, const char *key, int x)
{
  char full[128];
  snprintf(full, sizeof full, "%s.%s", gguf_family_name(c), key);
  gguf_put_u32(p, full, (uint32_t)x);
}

static void put_rope(struct gguf_pairs *p, const struct model_config *c)
{
  const struct rope_scaling *s = &c->rope;
  char key[128];
  if (s->kind == ROPE_LINEAR || s->kind == ROPE_YARN || s->kind == ROPE_LONG) {
    const char *name = model_rope_name(s->kind);
    snprintf(key, sizeof key, "%s.rope.scaling.type", gguf_family_name(c));
    gguf_put_string(p, key, name, strlen(name));
  }
  double factor = s->factor > 0 ? s->factor : s->original ? (double)s->stated_positions / s->original : 1;
  if (s->kind == ROPE_LINEAR || s->kind == ROPE_YARN) put_real(p, c, "rope.scaling.factor", factor);
  if (s->kind == ROPE_YARN || s->kind == ROPE_LONG)
    put_count(p, c, "rope.scaling.original_context_length", s->original);
  if (s->kind == ROPE_LONG) {
    double frequency[ROPE_FACTORS_MAX], amplitude;
    model_rope_frequencies(c, false, frequency, &amplitude);
    put_real(p, c, "rope.scaling.attn_factor", amplitude);
  }
  if (c->rope_local_theta > 0) put_real(p, c, "rope.freq_base_swa", c->rope_local_theta);
}

void gguf_family_put(struct gguf_pairs *p, const struct model_config *c)
{
  const struct model_family *f = model_family_find(c->model_type);
  put_rope(p, c);
  if (c->window && (f->window == WINDOW_PATTERN || f->fused)) put_count(p, c, "attention.sliding_window", c->window);
  if (c->attention_cap > 0) put_real(p, c, "attn_logit_softcapping", c->attention_cap);
  if (c->logit_cap > 0) put_real(p, c, "final_logit_softcapping", c->logit_cap);
  if (!f->multipliers) return;
  put_real(p, c, "attention.scale", c->attention_scale);
  put_real(p, c, "embedding_scale", c->embed_scale > 0 ? c->embed_scale : 1);
  put_real(p, c, "residual_scale", c->residual_scale > 0 ? c->residual_scale : 1);
  put_real(p, c, "logit_scale", c->logit_divisor > 0 ? c->logit_divisor : 1);
}

size_t gguf_family_factors(const struct model_config *c, struct gguf_factors out[2])
{
  int pairs = model_rope_pairs(c);
  if (c->rope.kind == ROPE_LLAMA3) {
    struct model_config plain = *c;
    double scaled[ROPE_FACTORS_MAX], base[ROPE_FACTORS_MAX], amplitude;
    plain.rope.kind = ROPE_PLAIN;
    model_rope_frequencies(c, false, scaled, &amplitude);
    model_rope_frequencies(&plain, false, base, &amplitude);
    out[0] = (struct gguf_factors){.name = "rope_freqs.weight", .count = pairs};
    for (int i = 0; i < pairs; i++) out[0].values[i] = (float)(base[i] / scaled[i]);
    return 1;
  }
  if (c->rope.kind != ROPE_LONG) return 0;
  out[0] = (struct gguf_factors){.name = "rope_factors_short.weight", .count = pairs};
  out[1] = (struct gguf_factors){.name = "rope_factors_long.weight", .count = pairs};
  for (int i = 0; i < pairs; i++) {
    out[0].values[i] = (float)c->rope.short_factor[i];
    out[1].values[i] = (float)c->rope.long_factor[i];
  }
  return 2;
}

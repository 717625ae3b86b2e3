#include "model/layout.h"

#include <stdio.h>
#include <string.h>

enum dim { DIM_ONE, DIM_HIDDEN, DIM_QUERY, DIM_KEY, DIM_HEAD, DIM_QUERY_NORM, DIM_KEY_NORM, DIM_FFN, DIM_VOCAB };
enum when {
  ALWAYS,
  IF_QKV_BIAS,
  IF_O_BIAS,
  IF_MLP_BIAS,
  IF_QK_NORM,
  IF_UNTIED,
  IF_SCORES,
  IF_PRE_NORM,  /* before both branches, and */
  IF_PRE_ALONE, /* without norms behind them */
  IF_POST_NORM,
  IF_BOTH_NORMS
};
enum role { PLAIN, ROTARY, NORM };

struct entry {
  const char *name, *gguf;
  enum dim n, k;
  enum when when;
  size_t slot;
  enum role role;
};

#define IN_LAYER(field) offsetof(struct model_layer, field)
#define IN_MODEL(field) offsetof(struct model, field)

/* Norms before and behind a branch share a name: "post_attention_layernorm" is the MLP's first norm where there are
   none behind branches, and the attention's last one where there are. */
static const struct entry layer_entries[] = {
    {"input_layernorm.weight", "attn_norm.weight", DIM_HIDDEN, DIM_ONE, IF_PRE_NORM, IN_LAYER(attn_norm), NORM},
    {"self_attn.q_proj.weight", "attn_q.weight", DIM_QUERY, DIM_HIDDEN, ALWAYS, IN_LAYER(q), ROTARY},
    {"self_attn.k_proj.weight", "attn_k.weight", DIM_KEY, DIM_HIDDEN, ALWAYS, IN_LAYER(k), ROTARY},
    {"self_attn.v_proj.weight", "attn_v.weight", DIM_KEY, DIM_HIDDEN, ALWAYS, IN_LAYER(v), PLAIN},
    {"self_attn.o_proj.weight", "attn_output.weight", DIM_HIDDEN, DIM_QUERY, ALWAYS, IN_LAYER(o), PLAIN},
    {"self_attn.q_proj.bias", "attn_q.bias", DIM_QUERY, DIM_ONE, IF_QKV_BIAS, IN_LAYER(q_bias), ROTARY},
    {"self_attn.k_proj.bias", "attn_k.bias", DIM_KEY, DIM_ONE, IF_QKV_BIAS, IN_LAYER(k_bias), ROTARY},
    {"self_attn.v_proj.bias", "attn_v.bias", DIM_KEY, DIM_ONE, IF_QKV_BIAS, IN_LAYER(v_bias), PLAIN},
    {"self_attn.o_proj.bias", "attn_output.bias", DIM_HIDDEN, DIM_ONE, IF_O_BIAS, IN_LAYER(o_bias), PLAIN},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", DIM_QUERY_NORM, DIM_ONE, IF_QK_NORM, IN_LAYER(q_norm), NORM},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", DIM_KEY_NORM, DIM_ONE, IF_QK_NORM, IN_LAYER(k_norm), NORM},
    {"post_attention_layernorm.weight", "ffn_norm.weight", DIM_HIDDEN, DIM_ONE, IF_PRE_ALONE, IN_LAYER(mlp_norm), NORM},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", DIM_HIDDEN, DIM_ONE, IF_POST_NORM,
     IN_LAYER(attn_post_norm), NORM},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", DIM_HIDDEN, DIM_ONE, IF_BOTH_NORMS, IN_LAYER(mlp_norm),
     NORM},
    {"mlp.gate_proj.weight", "ffn_gate.weight", DIM_FFN, DIM_HIDDEN, ALWAYS, IN_LAYER(gate), PLAIN},
    {"mlp.up_proj.weight", "ffn_up.weight", DIM_FFN, DIM_HIDDEN, ALWAYS, IN_LAYER(up), PLAIN},
    {"mlp.down_proj.weight", "ffn_down.weight", DIM_HIDDEN, DIM_FFN, ALWAYS, IN_LAYER(down), PLAIN},
    {"mlp.gate_proj.bias", "ffn_gate.bias", DIM_FFN, DIM_ONE, IF_MLP_BIAS, IN_LAYER(gate_bias), PLAIN},
    {"mlp.up_proj.bias", "ffn_up.bias", DIM_FFN, DIM_ONE, IF_MLP_BIAS, IN_LAYER(up_bias), PLAIN},
    {"mlp.down_proj.bias", "ffn_down.bias", DIM_HIDDEN, DIM_ONE, IF_MLP_BIAS, IN_LAYER(down_bias), PLAIN},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", DIM_HIDDEN, DIM_ONE, IF_POST_NORM,
     IN_LAYER(mlp_post_norm), NORM},
};
enum { LAYER_ENTRIES = sizeof layer_entries / sizeof layer_entries[0] };

static const struct entry embed_entry = {
    "model.embed_tokens.weight", "token_embd.weight", DIM_VOCAB, DIM_HIDDEN, ALWAYS, IN_MODEL(embed), PLAIN};
static const struct entry norm_entry = {
    "model.norm.weight", "output_norm.weight", DIM_HIDDEN, DIM_ONE, ALWAYS, IN_MODEL(norm), NORM};
static const struct entry head_entry = {"lm_head.weight", "output.weight", DIM_VOCAB, DIM_HIDDEN,
                                        IF_UNTIED,        IN_MODEL(head),  PLAIN};

static const struct entry score_entry = {"score.weight", "score.weight",  DIM_ONE, DIM_HIDDEN,
                                         IF_SCORES,      IN_MODEL(score), PLAIN};

static bool entry_present(const struct model_config *c, const struct entry *e)
{
  switch (e->when) {
    case ALWAYS:
      return true;
    case IF_QKV_BIAS:
      return c->qkv_bias;
    case IF_O_BIAS:
      return c->o_bias;
    case IF_MLP_BIAS:
      return c->mlp_bias;
    case IF_QK_NORM:
      return c->qk_norm;
    case IF_UNTIED:
      return !c->tied;
    case IF_SCORES:
      return c->scores;
    case IF_PRE_NORM:
      return !c->pre_norm_off;
    case IF_PRE_ALONE:
      return !c->pre_norm_off && !c->post_norm;
    case IF_POST_NORM:
      return c->post_norm;
    case IF_BOTH_NORMS:
      return !c->pre_norm_off && c->post_norm;
  }
  return false;
}

static size_t dim_size(const struct model_config *c, enum dim d)
{
  switch (d) {
    case DIM_ONE:
      return 1;
    case DIM_HIDDEN:
      return (size_t)c->hidden;
    case DIM_QUERY:
      return (size_t)c->heads * (size_t)c->head_dim;
    case DIM_KEY:
      return (size_t)c->kv_heads * (size_t)c->head_dim;
    case DIM_HEAD:
      return (size_t)c->head_dim;
    case DIM_QUERY_NORM:
      return dim_size(c, c->qk_norm_wide ? DIM_QUERY : DIM_HEAD);
    case DIM_KEY_NORM:
      return dim_size(c, c->qk_norm_wide ? DIM_KEY : DIM_HEAD);
    case DIM_FFN:
      return (size_t)c->ffn;
    case DIM_VOCAB:
      return (size_t)c->vocab;
  }
  return 0;
}

static size_t entries_per_layer(const struct model_config *c)
{
  size_t n = 0;
  for (int i = 0; i < LAYER_ENTRIES; i++) n += entry_present(c, &layer_entries[i]);
  return n;
}

static const struct entry *present_entry(const struct model_config *c, size_t nth)
{
  for (int i = 0; i < LAYER_ENTRIES; i++) {
    if (!entry_present(c, &layer_entries[i])) continue;
    if (nth-- == 0) return &layer_entries[i];
  }
  ASSAY_BUG_IF(true);
}

/* Phi-3's joined matrices, each with its parts in order. */
static const struct {
  const char *name, *gguf;
  size_t part[3];
  int count;
} joined[] = {
    {"self_attn.qkv_proj.weight", "attn_qkv.weight", {IN_LAYER(q), IN_LAYER(k), IN_LAYER(v)}, 3},
    {"mlp.gate_up_proj.weight", "ffn_up.weight", {IN_LAYER(gate), IN_LAYER(up)}, 2},
};

static size_t rows_of(const struct model_config *c, size_t slot)
{
  for (int i = 0; i < LAYER_ENTRIES; i++)
    if (layer_entries[i].slot == slot) return dim_size(c, layer_entries[i].n);
  ASSAY_BUG_IF(true);
}

/* Where files hold a tensor that is already named. */
static void place_stored(const struct model_config *c, struct model_tensor *t)
{
  memcpy(t->stored, t->name, sizeof t->stored);
  memcpy(t->stored_gguf, t->gguf_name, sizeof t->stored_gguf);
  t->stored_row = 0;
  t->stored_rows = t->n;
  t->part = 0;
  t->parts = 1;
  if (!c->fused || t->layer < 0) return;
  for (size_t i = 0; i < sizeof joined / sizeof joined[0]; i++) {
    size_t rows = 0, first = 0;
    bool here = false;
    for (int p = 0; p < joined[i].count; p++) {
      if (joined[i].part[p] == t->slot) {
        here = true;
        first = rows;
        t->part = p;
      }
      rows += rows_of(c, joined[i].part[p]);
    }
    if (!here) continue;
    t->stored_row = first;
    t->stored_rows = rows;
    t->parts = joined[i].count;
    snprintf(t->stored, sizeof t->stored, "model.layers.%d.%s", t->layer, joined[i].name);
    snprintf(t->stored_gguf, sizeof t->stored_gguf, "blk.%d.%s", t->layer, joined[i].gguf);
  }
}

bool model_gguf_interleaves(const struct model_config *c)
{
  static const char *const families[] = {"llama", "mistral", "smollm3", "granite"};
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    if (!strcmp(c->model_type, families[i])) return true;
  return false;
}

size_t model_tensor_count(const struct model_config *c)
{
  return (c->tied ? 2 : 3) + (size_t)c->scores + entries_per_layer(c) * (size_t)c->layers;
}

void model_tensor_at(const struct model_config *c, size_t i, struct model_tensor *out)
{
  size_t per_layer = entries_per_layer(c), in_layers = per_layer * (size_t)c->layers;
  ASSAY_BUG_IF(i >= model_tensor_count(c));
  const struct entry *e;
  out->layer = -1;
  if (i == 0) {
    e = &embed_entry;
  } else if (i <= in_layers) {
    out->layer = (int)((i - 1) / per_layer);
    e = present_entry(c, (i - 1) % per_layer);
  } else {
    e = i == in_layers + 1 ? &norm_entry : c->scores ? &score_entry : &head_entry;
  }
  if (out->layer < 0) {
    snprintf(out->name, sizeof out->name, "%s", e->name);
    snprintf(out->gguf_name, sizeof out->gguf_name, "%s", e->gguf);
  } else {
    snprintf(out->name, sizeof out->name, "model.layers.%d.%s", out->layer, e->name);
    snprintf(out->gguf_name, sizeof out->gguf_name, "blk.%d.%s", out->layer, e->gguf);
  }
  out->kind = e->k == DIM_ONE ? WEIGHT_VECTOR : WEIGHT_MATRIX;
  out->n = dim_size(c, e->n);
  out->k = dim_size(c, e->k);
  out->slot = e->slot;
  out->rotary_dim = e->role == ROTARY ? (size_t)c->head_dim : 0;
  out->norm = e->role == NORM;
  place_stored(c, out);
}

#include "model/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "model/adapter.h"
#include "model/layout.h"
#include "model/rope.h"

enum { CHUNK_REALS = 1 << 16 }; /* host numbers held at a time while a weight is filled */

/* ---- configuration ------------------------------------------------------------------------------------------- */

/* What no family has, and the decoder does not do. */
static int check_combinations(const struct model_config *c, const char *file, struct error *err)
{
  if (c->post_norm && c->residual_scale > 0)
    FAIL_AT(err, ERROR_INPUT, file, 0, "residual_multiplier", "residual_multiplier is not supported beside post-norms");
  if (c->rotary < 0 || c->rotary % 2 || c->rotary > c->head_dim)
    FAIL_AT(err, ERROR_INPUT, file, 0, "partial_rotary_factor",
            "%d of a head's %d numbers are rotated; expected an even number of them", c->rotary, c->head_dim);
  return model_rope_check(c, file, err);
}

static int check_relations(const struct model_config *c, const char *file, struct error *err)
{
  if (c->heads % c->kv_heads)
    FAIL_AT(err, ERROR_INPUT, file, 0, "num_key_value_heads",
            "%d query heads cannot share %d key-value heads; expected a divisor of num_attention_heads", c->heads,
            c->kv_heads);
  if (c->head_dim % 2)
    FAIL_AT(err, ERROR_INPUT, file, 0, "head_dim", "head_dim is %d; expected an even number, as rotary halves need",
            c->head_dim);
  if (!(c->norm_eps > 0 && c->norm_eps < 1))
    FAIL_AT(err, ERROR_INPUT, file, 0, "rms_norm_eps", "rms_norm_eps is %g; expected a number between 0 and 1",
            c->norm_eps);
  if (!(c->rope_theta >= 1 && c->rope_theta <= 1e15))
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_theta", "rope_theta is %g; expected a number from 1 to 1e15",
            c->rope_theta);
  return check_combinations(c, file, err);
}

int model_config_check(const struct model_config *c, const char *file, struct error *err)
{
  const struct {
    const char *key;
    int value, low, high;
  } sizes[] = {
      {"vocab_size", c->vocab, 1, 1 << 24}, /* widths are at least 2, so that a weight of one column is a vector */
      {"hidden_size", c->hidden, 2, 1 << 17},
      {"num_hidden_layers", c->layers, 1, MODEL_LAYERS_MAX},
      {"num_attention_heads", c->heads, 1, 4096},
      {"num_key_value_heads", c->kv_heads, 1, 4096},
      {"head_dim", c->head_dim, 2, 4096},
      {"intermediate_size", c->ffn, 2, 1 << 20},
      {"max_position_embeddings", c->max_positions, 1, 1 << 28},
      {"sliding_window", c->window, 0, INT_MAX},
      {"bos_token_id", c->bos, -1, INT_MAX},
      {"eos_token_id", c->eos, -1, INT_MAX},
      {"pad_token_id", c->pad, -1, INT_MAX},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    if (sizes[i].value < sizes[i].low || sizes[i].value > sizes[i].high)
      FAIL_AT(err, ERROR_INPUT, file, 0, sizes[i].key, "%s is %d; expected %d to %d", sizes[i].key, sizes[i].value,
              sizes[i].low, sizes[i].high);
  return check_relations(c, file, err);
}

size_t model_parameters(const struct model_config *c)
{
  size_t total = 0;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    total += t.n * t.k;
  }
  return total;
}

size_t model_part_bytes(const struct model_config *c, size_t real_size)
{
  size_t total = 0;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    total += weight_part_bytes(t.kind, t.n, t.k, real_size);
  }
  return total;
}

size_t model_copy_bytes(const struct model_config *c, enum compute_type type)
{
  size_t total = 0;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    total += weight_copy_bytes(t.kind, t.n, t.k, type);
  }
  return total;
}

size_t model_fixed_bytes(const struct model_config *c, enum compute_type type)
{
  size_t total = 0;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    size_t copy = weight_copy_bytes(t.kind, t.n, t.k, type);
    enum quant_type quant = model_tensor_quant(c, &t);
    if (quant) copy = quant_matrix_bytes(quant, t.n, t.k);
    total += copy ? copy : weight_part_bytes(t.kind, t.n, t.k, sizeof(float));
  }
  return total;
}

/* ---- creation ------------------------------------------------------------------------------------------------ */

static void model_close(void *arg)
{
  struct model *m = arg;
  for (size_t i = 0; i < m->weight_count; i++) weight_destroy(m->weights[i]);
  buffer_destroy(m->rope);
  buffer_destroy(m->rope_local);
}

static int compare_weights(const void *a, const void *b)
{
  return strcmp(weight_name(*(struct weight *const *)a), weight_name(*(struct weight *const *)b));
}

static int create_weights(struct arena *a, struct model *m, size_t count, bool fixed, struct error *err)
{
  for (size_t i = 0; i < count; i++) {
    struct model_tensor t;
    model_tensor_at(&m->config, i, &t);
    const char *name = arena_strdup(a, t.name, "model.names", err);
    if (!name) return ERROR_RESOURCE;
    struct weight *w = NULL;
    enum quant_type quant = fixed ? model_tensor_quant(&m->config, &t) : QUANT_NONE;
    if (quant)
      TRY(weight_create_quantised(m->device, quant, t.n, t.k, name, &w, err));
    else
      TRY((fixed ? weight_create_rounded : weight_create)(m->device, t.kind, t.n, t.k, name, &w, err));
    m->weights[m->weight_count++] = w;
    if (t.norm && m->config.norm_plus_one) weight_set_plus_one(w);
    char *owner = t.layer < 0 ? (char *)m : (char *)&m->layer[t.layer];
    memcpy(owner + t.slot, &w, sizeof w);
  }
  if (m->config.tied) m->head = m->embed;
  weight_set_logits(m->head, m->config.logit_divisor > 0 ? 1 / m->config.logit_divisor : 1, m->config.logit_cap);
  qsort(m->weights, m->weight_count, sizeof m->weights[0], compare_weights);
  return 0;
}

static int create(struct arena *a, struct device *d, const struct model_config *c, int positions, bool fixed,
                  struct model **out, struct error *err)
{
  *out = NULL;
  TRY(model_config_check(c, NULL, err));
  if (positions < 1 || positions > c->max_positions)
    FAIL(err, ERROR_INPUT, "%d positions asked for; the model has %d (max_position_embeddings)", positions,
         c->max_positions);
  size_t count = model_tensor_count(c);
  struct model *m = ARENA_NEW(a, struct model, 1, "model", err);
  if (!m) return ERROR_RESOURCE;
  m->config = *c;
  m->device = d;
  m->rope_positions = positions;
  m->layer = ARENA_NEW(a, struct model_layer, (size_t)c->layers, "model", err);
  m->weights = ARENA_NEW(a, struct weight *, count, "model", err);
  if (!m->layer || !m->weights) return ERROR_RESOURCE;
  TRY(arena_on_reset(a, model_close, m, err));
  TRY(create_weights(a, m, count, fixed || c->adapter.rank, err));
  m->trained = m->weights;
  m->trained_count = m->weight_count;
  if (c->adapter.rank) TRY(adapter_create(a, m, err));
  TRY(model_rope_create(d, c, false, positions, &m->rope, err));
  if (c->rope_local_theta > 0) TRY(model_rope_create(d, c, true, positions, &m->rope_local, err));
  *out = m;
  return device_sync(d, err);
}

int model_create(struct arena *a, struct device *d, const struct model_config *c, int positions, struct model **out,
                 struct error *err)
{
  return create(a, d, c, positions, false, out, err);
}

int model_create_fixed(struct arena *a, struct device *d, const struct model_config *c, int positions,
                       struct model **out, struct error *err)
{
  return create(a, d, c, positions, true, out, err);
}

static struct weight *find(struct weight *const *weights, size_t count, const char *name)
{
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = strcmp(name, weight_name(weights[middle]));
    if (order == 0) return weights[middle];
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return NULL;
}

struct weight *model_find(const struct model *m, const char *name)
{
  struct weight *w = find(m->weights, m->weight_count, name);
  return w || !m->adapter ? w : find(m->adapter->weights, m->adapter->count, name);
}

/* ---- filling ------------------------------------------------------------------------------------------------- */

static bool is_bias(const struct weight *w)
{
  const char *name = weight_name(w), *dot = strrchr(name, '.');
  return dot && !strcmp(dot, ".bias");
}

/* Values of element first .. first+n-1 of the weight with this ordinal. zero: norms are 1 + w. */
static void initial_values(const struct weight *w, bool zero, uint64_t seed, size_t ordinal, size_t first, size_t n,
                           float *to)
{
  if (weight_cols(w) == 1) {
    for (size_t i = 0; i < n; i++) to[i] = zero || is_bias(w) ? 0.0f : 1.0f;
    return;
  }
  struct rng_at at = {.purpose = RNG_INIT, .step = (uint32_t)ordinal};
  for (size_t i = 0; i < n; i++) {
    at.group = (uint32_t)((uint64_t)(first + i) >> 32);
    at.position = (uint32_t)(first + i);
    to[i] = (float)(0.02 * rng_normal(seed, &at));
  }
}

int model_randomise(struct model *m, uint64_t seed, struct error *err)
{
  for (size_t ordinal = 0; ordinal < m->weight_count; ordinal++) {
    struct weight *w = m->weights[ordinal];
    size_t rows = weight_rows(w), cols = weight_cols(w), chunk = CHUNK_REALS / cols + 1;
    if (chunk > rows) chunk = rows;
    float *values = memory_alloc(chunk * cols, sizeof *values, "model.init", err);
    if (!values) return ERROR_RESOURCE;
    for (size_t row = 0; row < rows; row += chunk) {
      size_t count = rows - row < chunk ? rows - row : chunk;
      initial_values(w, m->config.norm_plus_one, seed, ordinal, row * cols, count * cols, values);
      weight_write(w, WEIGHT_MASTER, row, count, values, HOST_F32);
    }
    memory_free(values);
  }
  return device_sync(m->device, err);
}

int model_make_trainable(struct model *m, struct error *err)
{
  for (size_t i = 0; i < m->trained_count; i++) TRY(weight_make_trainable(m->trained[i], err));
  return 0;
}

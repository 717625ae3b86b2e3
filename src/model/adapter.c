#include "model/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"
#include "core/pool.h"
#include "core/rng.h"
#include "model/layout.h"

static const struct {
  const char *name, *module;
  size_t weight; /* in struct model_layer */
} targets[ADAPTER_TARGETS] = {
    [ADAPTER_Q] = {"q", "self_attn.q_proj", offsetof(struct model_layer, q)},
    [ADAPTER_K] = {"k", "self_attn.k_proj", offsetof(struct model_layer, k)},
    [ADAPTER_V] = {"v", "self_attn.v_proj", offsetof(struct model_layer, v)},
    [ADAPTER_O] = {"o", "self_attn.o_proj", offsetof(struct model_layer, o)},
    [ADAPTER_GATE] = {"gate", "mlp.gate_proj", offsetof(struct model_layer, gate)},
    [ADAPTER_UP] = {"up", "mlp.up_proj", offsetof(struct model_layer, up)},
    [ADAPTER_DOWN] = {"down", "mlp.down_proj", offsetof(struct model_layer, down)},
};

const char *adapter_target_name(enum adapter_target t)
{
  return targets[t].name;
}

const char *adapter_target_module(enum adapter_target t)
{
  return targets[t].module;
}

enum adapter_target adapter_target_find(const char *name)
{
  for (int t = 0; t < ADAPTER_TARGETS; t++) {
    const char *last = strrchr(targets[t].module, '.') + 1;
    if (!strcmp(name, targets[t].name) || !strcmp(name, targets[t].module) || !strcmp(name, last))
      return (enum adapter_target)t;
  }
  return ADAPTER_TARGETS;
}

double adapter_scale(const struct adapter_config *c)
{
  return c->alpha / (c->rslora ? math_sqrt((double)c->rank) : (double)c->rank);
}

static bool is_target(const struct adapter_config *c, int target)
{
  return c->rank && (c->targets & (1u << target));
}

static struct weight *base_weight(const struct model *m, int layer, int target)
{
  struct weight *w;
  memcpy(&w, (const char *)&m->layer[layer] + targets[target].weight, sizeof w);
  return w;
}

/* ---- creation ---------------------------------------------------------------------------------------------------- */

static void adapter_close(void *arg)
{
  struct adapter *x = arg;
  for (size_t i = 0; i < x->count; i++) weight_destroy(x->weights[i]);
}

static int compare_weights(const void *a, const void *b)
{
  return strcmp(weight_name(*(struct weight *const *)a), weight_name(*(struct weight *const *)b));
}

static int create_one(struct model *m, int layer, int target, char part, size_t k, struct weight **out,
                      struct error *err)
{
  char name[128];
  struct adapter *x = m->adapter;
  snprintf(name, sizeof name, "model.layers.%d.%s.lora_%c.weight", layer, targets[target].module, part);
  TRY(weight_create(m->device, WEIGHT_MATRIX, (size_t)m->config.adapter.rank, k, name, out, err));
  x->weights[x->count++] = *out;
  return 0;
}

/* Where files join weights, an adapter's halves stand beside all of them. */
static int check_joined(const struct model_config *c, struct error *err)
{
  static const unsigned joined[] = {1u << ADAPTER_Q | 1u << ADAPTER_K | 1u << ADAPTER_V,
                                    1u << ADAPTER_GATE | 1u << ADAPTER_UP};
  for (size_t i = 0; c->fused && i < sizeof joined / sizeof *joined; i++) {
    unsigned some = c->adapter.targets & joined[i];
    if (some && some != joined[i])
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "lora.targets",
              "found some of %s; files of %s join them in one matrix; expected all of them or none",
              i ? "gate, up" : "q, k, v", c->model_type);
  }
  return 0;
}

int adapter_create(struct arena *a, struct model *m, struct error *err)
{
  const struct adapter_config *c = &m->config.adapter;
  size_t layers = (size_t)m->config.layers;
  struct adapter *x = m->adapter = ARENA_NEW(a, struct adapter, 1, "adapter", err);
  if (!x) return ERROR_RESOURCE;
  TRY(check_joined(&m->config, err));
  x->scale = adapter_scale(c);
  x->pairs = arena_push(a, layers, sizeof *x->pairs, "adapter", err);
  x->weights = ARENA_NEW(a, struct weight *, 2 * ADAPTER_TARGETS * layers, "adapter", err);
  if (!x->pairs || !x->weights) return ERROR_RESOURCE;
  TRY(arena_on_reset(a, adapter_close, x, err));
  for (int layer = 0; layer < m->config.layers; layer++) {
    for (int t = 0; t < ADAPTER_TARGETS; t++) {
      if (!is_target(c, t)) continue;
      const struct weight *w = base_weight(m, layer, t);
      struct adapter_pair *pair = &x->pairs[layer][t];
      TRY(create_one(m, layer, t, 'A', weight_cols(w), &pair->a, err));
      TRY(create_one(m, layer, t, 'B', weight_rows(w), &pair->b, err));
    }
  }
  qsort(x->weights, x->count, sizeof x->weights[0], compare_weights);
  m->trained = x->weights;
  m->trained_count = x->count;
  return 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

enum adapter_target adapter_target_of(const struct model_config *c, const struct model_tensor *t)
{
  if (t->layer < 0 || t->kind != WEIGHT_MATRIX) return ADAPTER_TARGETS;
  int i = 0;
  while (i < ADAPTER_TARGETS && !(is_target(&c->adapter, i) && targets[i].weight == t->slot)) i++;
  return (enum adapter_target)i;
}

typedef size_t size_fn(size_t n, size_t k, size_t arg);

/* The sum over all weights of an adapter of size(rows, columns, arg). */
static size_t add_up(const struct model_config *c, size_fn *size, size_t arg)
{
  size_t total = 0, rank = (size_t)c->adapter.rank;
  for (size_t i = 0; rank && i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    if (adapter_target_of(c, &t) < ADAPTER_TARGETS) total += size(rank, t.k, arg) + size(rank, t.n, arg);
  }
  return total;
}

static size_t part_size(size_t n, size_t k, size_t real_size)
{
  return weight_part_bytes(WEIGHT_MATRIX, n, k, real_size);
}

static size_t copy_size(size_t n, size_t k, size_t type)
{
  return weight_copy_bytes(WEIGHT_MATRIX, n, k, (enum compute_type)type);
}

static size_t plain_size(size_t n, size_t k, size_t unused)
{
  (void)unused;
  return n * k;
}

size_t adapter_part_bytes(const struct model_config *c, size_t real_size)
{
  return add_up(c, part_size, real_size);
}

size_t adapter_copy_bytes(const struct model_config *c, enum compute_type type)
{
  return add_up(c, copy_size, (size_t)type);
}

size_t adapter_parameters(const struct model_config *c)
{
  return add_up(c, plain_size, 0);
}

/* ---- values as files have them ----------------------------------------------------------------------------------- */

bool adapter_is_b(const struct weight *w)
{
  return strstr(weight_name(w), ".lora_B.") != NULL;
}

size_t adapter_file_rows(const struct weight *w)
{
  return adapter_is_b(w) ? weight_cols(w) : weight_rows(w);
}

size_t adapter_file_cols(const struct weight *w)
{
  return adapter_is_b(w) ? weight_rows(w) : weight_cols(w);
}

static void transpose(const float *from, size_t rows, size_t cols, float *to)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++) to[j * rows + i] = from[i * cols + j];
}

void adapter_file_read(const struct weight *w, float *to, float *scratch)
{
  bool turned = adapter_is_b(w);
  weight_read(w, WEIGHT_MASTER, 0, weight_rows(w), turned ? scratch : to, HOST_F32);
  if (turned) transpose(scratch, weight_rows(w), weight_cols(w), to);
}

void adapter_file_write(struct weight *w, const float *from, float *scratch)
{
  bool turned = adapter_is_b(w);
  if (turned) transpose(from, weight_cols(w), weight_rows(w), scratch);
  weight_write(w, WEIGHT_MASTER, 0, weight_rows(w), turned ? scratch : from, HOST_F32);
}

/* ---- a start ----------------------------------------------------------------------------------------------------- */

/* As PEFT does: kaiming is uniform within 1 / sqrt(K) (Kaiming with a = sqrt(5)), gaussian Normal(0, 1 / r). */
static float initial_value(const struct model *m, uint64_t seed, const struct rng_at *at, size_t k)
{
  const struct adapter_config *c = &m->config.adapter;
  if (c->init == ADAPTER_GAUSSIAN) return (float)(rng_normal(seed, at) / (double)c->rank);
  return (float)((2 * rng_uniform(seed, at) - 1) / math_sqrt((double)k));
}

static void randomise_one(struct model *m, int layer, int target, uint64_t seed, float *values)
{
  struct adapter_pair *pair = &m->adapter->pairs[layer][target];
  size_t k = weight_cols(pair->a), n = weight_rows(pair->a) * k;
  struct rng_at at = {.purpose = RNG_INIT, .attempt = 1, .step = (uint32_t)(layer * ADAPTER_TARGETS + target)};
  for (size_t i = 0; i < n; i++) {
    at.group = (uint32_t)((uint64_t)i >> 32);
    at.position = (uint32_t)i;
    values[i] = initial_value(m, seed, &at, k);
  }
  weight_write(pair->a, WEIGHT_MASTER, 0, weight_rows(pair->a), values, HOST_F32);
  memset(values, 0, weight_rows(pair->b) * weight_cols(pair->b) * sizeof *values);
  weight_write(pair->b, WEIGHT_MASTER, 0, weight_rows(pair->b), values, HOST_F32);
}

/* Numbers of the largest weight of an adapter. */
static size_t largest(const struct adapter *x)
{
  size_t most = 0;
  for (size_t i = 0; i < x->count; i++) {
    size_t n = weight_rows(x->weights[i]) * weight_cols(x->weights[i]);
    most = n > most ? n : most;
  }
  return most;
}

int adapter_randomise(struct model *m, uint64_t seed, struct error *err)
{
  float *values = memory_alloc(largest(m->adapter), sizeof *values, "adapter", err);
  if (!values) return ERROR_RESOURCE;
  for (int layer = 0; layer < m->config.layers; layer++)
    for (int t = 0; t < ADAPTER_TARGETS; t++)
      if (m->adapter->pairs[layer][t].a) randomise_one(m, layer, t, seed, values);
  memory_free(values);
  return device_sync(m->device, err);
}

/* ---- one base, two models ---------------------------------------------------------------------------------------- */

static int copy_values(const struct adapter *from, struct adapter *to, struct error *err)
{
  float *values = memory_alloc(largest(from), sizeof *values, "adapter", err);
  if (!values) return ERROR_RESOURCE;
  for (size_t i = 0; i < from->count; i++) {
    size_t rows = weight_rows(from->weights[i]);
    weight_read(from->weights[i], WEIGHT_MASTER, 0, rows, values, HOST_F32);
    weight_write(to->weights[i], WEIGHT_MASTER, 0, rows, values, HOST_F32);
  }
  memory_free(values);
  return 0;
}

int model_view(struct arena *a, const struct model *m, bool own, struct model **out, struct error *err)
{
  *out = NULL;
  ASSAY_BUG_IF(own && !m->adapter);
  struct model *view = ARENA_NEW(a, struct model, 1, "model", err);
  if (!view) return ERROR_RESOURCE;
  *view = *m;
  view->adapter = NULL;
  view->trained = NULL;
  view->trained_count = 0;
  if (own) {
    TRY(adapter_create(a, view, err));
    TRY(copy_values(m->adapter, view->adapter, err));
  } else {
    view->config.adapter = (struct adapter_config){0};
  }
  *out = view;
  return 0;
}

/* ---- folding ----------------------------------------------------------------------------------------------------- */

void adapter_add_product(const float *a, const float *b, size_t rank, size_t k, size_t row, size_t count, double factor,
                         float *rows, double *sum)
{
  for (size_t i = 0; i < count; i++) {
    memset(sum, 0, k * sizeof *sum);
    for (size_t r = 0; r < rank; r++) {
      double left = (double)b[(row + i) * rank + r];
      for (size_t j = 0; j < k; j++) sum[j] += left * (double)a[r * k + j];  // the product of two f32 is exact
    }
    for (size_t j = 0; j < k; j++) rows[i * k + j] = (float)((double)rows[i * k + j] + factor * sum[j]);
  }
}

struct fold {
  struct weight *w;
  const float *a, *b;
  float *rows; /* [threads, k] */
  double *sum; /* [threads, k] */
  size_t rank;
  double factor;
  struct compute_mode plain; /* of the caller: weights keep their denormals */
};

static void fold_share(void *arg, int thread, size_t begin, size_t end)
{
  const struct fold *f = arg;
  struct compute_mode inside = compute_mode_enter();
  compute_mode_leave(f->plain);
  size_t k = weight_cols(f->w);
  float *row = f->rows + (size_t)thread * k;
  for (size_t n = begin; n < end; n++) {
    weight_read(f->w, WEIGHT_MASTER, n, 1, row, HOST_F32);
    adapter_add_product(f->a, f->b, f->rank, k, n, 1, f->factor, row, f->sum + (size_t)thread * k);
    weight_write(f->w, WEIGHT_MASTER, n, 1, row, HOST_F32);
  }
  compute_mode_leave(inside);
}

static int fold_one(struct arena *a, struct model *m, int layer, int target, double sign, struct error *err)
{
  enum { PANEL_ROWS = 64 }; /* rows of one panel stay on one thread: they may share words of a copy */
  const struct adapter_pair *pair = &m->adapter->pairs[layer][target];
  struct weight *w = base_weight(m, layer, target);
  struct pool *pool = device_pool(m->device);
  size_t rank = weight_rows(pair->a), n = weight_rows(w), k = weight_cols(w), threads = (size_t)pool_threads(pool);
  struct arena_mark mark = arena_mark(a);
  float *left = ARENA_NEW(a, float, rank *k, "adapter", err), *right = ARENA_NEW(a, float, n *rank, "adapter", err),
        *scratch = ARENA_NEW(a, float, n *rank, "adapter", err);
  struct fold f = {.w = w, .a = left, .b = right, .rank = rank, .factor = sign * m->adapter->scale};
  f.rows = ARENA_NEW(a, float, threads *k, "adapter", err);
  f.sum = ARENA_NEW(a, double, threads *k, "adapter", err);
  if (!left || !right || !scratch || !f.rows || !f.sum) return ERROR_RESOURCE;
  f.plain = compute_mode_enter();
  compute_mode_leave(f.plain);
  adapter_file_read(pair->a, left, NULL);
  adapter_file_read(pair->b, right, scratch);
  pool_run_grain(pool, n, PANEL_ROWS, fold_share, &f);
  arena_release(a, mark);
  return 0;
}

int adapter_fold(struct arena *a, struct model *m, double sign, struct error *err)
{
  for (int layer = 0; layer < m->config.layers; layer++)
    for (int t = 0; t < ADAPTER_TARGETS; t++)
      if (m->adapter->pairs[layer][t].a) TRY(fold_one(a, m, layer, t, sign, err));
  m->adapter = NULL;
  m->config.adapter = (struct adapter_config){0};
  m->trained = m->weights;
  m->trained_count = m->weight_count;
  return device_sync(m->device, err);
}

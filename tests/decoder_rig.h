/* decoder_rig: a device, a small random model of each family's kind, and runs over forests (rows_build.h), for tests of
 * the decoder. */
#ifndef ASSAY_TESTS_DECODER_RIG_H
#define ASSAY_TESTS_DECODER_RIG_H

#include "rows_build.h"

#include "core/math.h"
#include "core/rng.h"
#include "model/adapter.h"
#include "model/decoder.h"

/* ---- models ---------------------------------------------------------------------------------- */

#define VARIANT_COMMON                                                                                         \
  .vocab = 77, .layers = 2, .ffn = 40, .max_positions = 256, .norm_eps = 1e-5, .rope_theta = 10000, .bos = -1, \
  .eos = -1, .pad = -1
/* A variant for each option of a family: shared KV heads, tied head, window in all or some layers, odd widths, biases
 * everywhere, QK-norm. */
static const struct variant {
  const char *name;
  struct model_config config;
} variants[] = {
    {"llama", {VARIANT_COMMON, .model_type = "llama", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 8}},
    {"smollm",
     {VARIANT_COMMON, .model_type = "llama", .hidden = 36, .heads = 6, .kv_heads = 2, .head_dim = 6, .tied = true}},
    {"mistral",
     {VARIANT_COMMON, .model_type = "mistral", .hidden = 32, .heads = 3, .kv_heads = 1, .head_dim = 20, .window = 5}},
    {"qwen2",
     {VARIANT_COMMON, .model_type = "qwen2", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 6, .window = 7,
      .full_layers = {{1}}, .qkv_bias = true, .tied = true}},
    {"qwen3",
     {VARIANT_COMMON, .model_type = "qwen3", .hidden = 20, .heads = 4, .kv_heads = 2, .head_dim = 12, .qk_norm = true}},
    {"biases",
     {VARIANT_COMMON, .model_type = "llama", .hidden = 24, .heads = 2, .kv_heads = 2, .head_dim = 10, .qkv_bias = true,
      .o_bias = true, .mlp_bias = true}},
    {"lora",
     {VARIANT_COMMON, .model_type = "qwen2", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 6, .qkv_bias = true,
      .tied = true, .adapter = {.rank = 3, .alpha = 5, .targets = 127}}},
    {"rslora",
     {VARIANT_COMMON, .model_type = "qwen3", .hidden = 20, .heads = 4, .kv_heads = 2, .head_dim = 12, .qk_norm = true,
      .adapter = {.rank = 19, .alpha = 3, .rslora = true, .targets = 1u << ADAPTER_K | 1u << ADAPTER_DOWN}}},
    {"gemma2",
     {VARIANT_COMMON, .model_type = "gemma2", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 8, .window = 6,
      .full_layers = {{2}}, .post_norm = true, .norm_plus_one = true, .gelu = true, .tied = true, .embed_scale = 4.9,
      .attention_scale = 0.4, .attention_cap = 2, .logit_cap = 4}},
    {"gemma3",
     {VARIANT_COMMON, .model_type = "gemma3_text", .hidden = 20, .heads = 4, .kv_heads = 1, .head_dim = 16, .window = 5,
      .full_layers = {{2}}, .rope_local_theta = 100, .rope = {.kind = ROPE_LINEAR, .factor = 3}, .qk_norm = true,
      .post_norm = true, .norm_plus_one = true, .gelu = true, .tied = true, .embed_scale = 4.5}},
    {"phi3",
     {VARIANT_COMMON, .model_type = "phi3", .hidden = 24, .heads = 3, .kv_heads = 3, .head_dim = 8, .rotary = 6,
      .window = 9, .fused = true,
      .rope = {.kind = ROPE_LONG, .original = 256, .stated_positions = 1024, .short_factor = {1, 1.5, 2}}}},
    {"granite",
     {VARIANT_COMMON, .model_type = "granite", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 6, .tied = true,
      .embed_scale = 6, .residual_scale = 0.3, .attention_scale = 0.2, .logit_divisor = 3}},
    {"olmo2",
     {VARIANT_COMMON, .model_type = "olmo2", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 6, .qk_norm = true,
      .qk_norm_wide = true, .pre_norm_off = true, .post_norm = true}},
    {"smollm3",
     {VARIANT_COMMON, .model_type = "smollm3", .hidden = 24, .heads = 4, .kv_heads = 2, .head_dim = 6,
      .nope_layers = {{2}}, .tied = true}},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static CHECK_UNUSED double noise(uint64_t seed, size_t i)
{
  struct rng_at at = {.purpose = RNG_TEST, .group = (uint32_t)(i >> 32), .position = (uint32_t)i};
  return rng_normal(seed, &at);
}

struct decoder_rig {
  struct arena *arena;
  struct device *device;
  struct model *model;
};

static CHECK_UNUSED void rig_fill_weights(struct weight *const *weights, size_t count, double size, uint64_t seed)
{
  struct error err = {0};
  struct arena *a = arena_create("fill", 0, &err);
  for (size_t i = 0; i < count; i++) {
    struct weight *w = weights[i];
    size_t n = weight_rows(w), k = weight_cols(w);
    float *x = ARENA_NEW(a, float, n *k, "fill", &err);
    CHECK(x != NULL);
    const char *name = weight_name(w);
    bool bias = strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".bias");
    for (size_t e = 0; e < n * k; e++)
      x[e] = (float)((k > 1 || bias ? 0 : 1) + (k > 1 ? size : 0.2) * noise(seed + i, e));
    weight_write(w, WEIGHT_MASTER, 0, n, x, HOST_F32);
  }
  arena_destroy(a);
}

/* Weights with which every gradient is far from zero: f32 values, matrices Normal(0, 0.3) (of adapters, which stand two
 * in a row, 0.1), norms around 1, biases around 0. */
static CHECK_UNUSED void rig_fill(struct model *m, uint64_t seed)
{
  rig_fill_weights(m->weights, m->weight_count, 0.3, seed);
  if (m->adapter) rig_fill_weights(m->trained, m->trained_count, 0.1, seed + 1000);
}

static enum compute_type rig_type; /* of the devices that rig_open opens */

/* false where this machine lacks the instruction set. */
static CHECK_UNUSED bool rig_open(struct decoder_rig *r, const char *kind, const char *isa, int threads,
                                  const struct model_config *c)
{
  struct error err = {0};
  memset(r, 0, sizeof *r);
  struct device_options options = {.kind = kind, .isa = isa, .threads = threads, .type = rig_type};
  int rc = device_open(&options, &r->device, &err);
  if (rc == ERROR_RESOURCE && isa) return false;
  CHECK_OK(rc, &err);
  r->arena = arena_create("decoder test", 0, &err);
  CHECK(r->arena != NULL);
  if (!c) return true;
  CHECK_OK(model_create(r->arena, r->device, c, c->max_positions, &r->model, &err), &err);
  rig_fill(r->model, 5);
  return true;
}

static CHECK_UNUSED void rig_close(struct decoder_rig *r)
{
  arena_destroy(r->arena);
  device_close(r->device);
}

static CHECK_UNUSED void rig_gradients(struct model *m)
{
  struct error err = {0};
  for (size_t i = 0; i < m->trained_count; i++) CHECK_OK(weight_make_gradient(m->trained[i], &err), &err);
}

/* A part of all weights that train, in order of name, one behind the other; NULL to: only the count. */
static CHECK_UNUSED size_t rig_read(const struct model *m, enum weight_part part, double *to)
{
  size_t n = 0;
  for (size_t i = 0; i < m->trained_count; i++) {
    const struct weight *w = m->trained[i];
    if (to) weight_read(w, part, 0, weight_rows(w), to + n, HOST_F64);
    n += weight_rows(w) * weight_cols(w);
  }
  return n;
}

/* ---- forests --------------------------------------------------------------------------------- */

static CHECK_UNUSED int32_t random_branch(struct forest *f, int32_t parent, int32_t count, int vocab, uint64_t seed)
{
  int32_t ids[256];
  CHECK(count <= 256);
  for (int32_t i = 0; i < count; i++) {
    struct rng_at at = {.purpose = RNG_TEST, .step = 1, .position = (uint32_t)i};
    ids[i] = (int32_t)rng_below(seed, &at, (uint32_t)vocab);
  }
  return forest_add(f, parent, ids, count);
}

/* A branch of 1 to `longest` tokens; *draw counts what was drawn. */
static CHECK_UNUSED int32_t drawn_branch(struct forest *f, int32_t parent, uint32_t longest, int vocab, uint64_t seed,
                                         uint32_t *draw)
{
  struct rng_at at = {.purpose = RNG_TEST, .step = 2, .position = (*draw)++};
  return random_branch(f, parent, 1 + (int32_t)rng_below(seed, &at, longest), vocab, seed + *draw);
}

/* Trees of three levels: `roots` roots, each with 1 to 4 children, each of these with none to 3; 1 to `longest` tokens
 * a branch. */
static CHECK_UNUSED void random_forest(struct forest *f, struct arena *a, int32_t block, int vocab, int32_t roots,
                                       uint32_t longest, uint64_t seed)
{
  struct rng_at at = {.purpose = RNG_TEST, .step = 5};
  uint32_t draw = 0;
  forest_open(f, a, block);
  for (int32_t r = 0; r < roots; r++) {
    int32_t root = drawn_branch(f, -1, longest, vocab, seed, &draw);
    at.position++;
    for (uint32_t children = 1 + rng_below(seed, &at, 4); children > 0; children--) {
      int32_t child = drawn_branch(f, root, longest, vocab, seed, &draw);
      at.position++;
      for (uint32_t leaves = rng_below(seed, &at, 4); leaves > 0; leaves--)
        drawn_branch(f, child, longest, vocab, seed, &draw);
    }
  }
}

/* The path that ends in a branch, as a branch of its own. */
static CHECK_UNUSED int32_t forest_add_path(struct forest *to, const struct forest *f, int32_t branch)
{
  int32_t ids[1024], length = f->branch[branch].start + f->branch[branch].count;
  CHECK(length <= 1024);
  for (int32_t b = branch; b >= 0; b = f->branch[b].parent)
    memcpy(ids + f->branch[b].start, f->branch[b].ids, (size_t)f->branch[b].count * sizeof *ids);
  return forest_add(to, -1, ids, length);
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct run_options {
  bool train, recompute, sample;
  int vocab_chunk;    /* 0: 32 */
  int micro_rows;     /* rows of a micro-batch; 0: all */
  double temperature; /* 0: 1 */
};

/* A decoder with everything for a forest. logp by number of the target, entropy by number of the row; NaN where there
 * is none. */
struct run {
  struct decoder_rig *rig;
  struct forest *f;
  struct run_options o;
  struct arena *arena;
  struct decoder *d;
  struct kv *kv;
  struct decoder_gradients *g;
  struct pass pass;
  double *logp, *entropy;
  double *pair, *row; /* scratch by pair, by head row */
  double *row_coef;
};

static CHECK_UNUSED double *run_reals(struct run *r, size_t n)
{
  struct error err = {0};
  double *p = ARENA_NEW(r->arena, double, n, "run", &err);
  CHECK(p != NULL);
  return p;
}

/* Where a unit of training starts: tests/rows_build.h fills up to there. */
static CHECK_UNUSED int32_t run_row_block(const struct decoder_rig *rig)
{
  return device_type(rig->device) == COMPUTE_BF16 ? 32 : 1;
}

static CHECK_UNUSED void run_open(struct run *r, struct decoder_rig *rig, struct forest *f, struct run_options o)
{
  struct error err = {0};
  const struct model_config *c = &rig->model->config;
  *r = (struct run){.rig = rig, .f = f, .o = o, .arena = arena_create("run", 0, &err)};
  CHECK(r->arena != NULL);
  if (r->o.temperature == 0) r->o.temperature = 1;
  int rows = f->tokens + (o.train ? f->count * run_row_block(rig) : 0);
  struct decoder_options options = {.max_rows = rows,
                                    .max_head_rows = rows,
                                    .max_pairs = f->tokens + f->count,
                                    .train = o.train,
                                    .recompute = o.recompute,
                                    .sample = o.sample,
                                    .vocab_chunk = o.vocab_chunk ? o.vocab_chunk : 32};
  CHECK_OK(decoder_create(r->arena, rig->model, &options, &r->d, &err), &err);
  struct kv_shape shape = {c->layers, c->kv_heads, c->head_dim, f->block, f->blocks};
  CHECK_OK(kv_create(rig->device, &shape, &r->kv, &err), &err);
  if (o.train)
    CHECK_OK(decoder_gradients_create(r->arena, rig->model, f->tokens + 1, f->embed_count, &r->g, &err), &err);
  size_t n = (size_t)(rows + f->count);
  r->logp = run_reals(r, n);
  r->entropy = run_reals(r, n);
  r->pair = run_reals(r, n);
  r->row = run_reals(r, n);
  r->row_coef = run_reals(r, n);
  for (int32_t i = 0; i < f->tokens; i++) r->logp[i] = r->entropy[i] = (double)__builtin_nanf("");
}

static CHECK_UNUSED void run_close(struct run *r)
{
  kv_destroy(r->kv);
  arena_destroy(r->arena);
}

static CHECK_UNUSED void run_forward(struct run *r, const struct piece *pieces, int32_t n, bool keep)
{
  struct error err = {0};
  struct pass *p = &r->pass;
  pass_build(r->f, p, pieces, n);
  CHECK_OK(decoder_forward(r->d, &p->rows, r->kv, &p->head, keep, &err), &err);
  CHECK_OK(decoder_score(r->d, r->o.temperature, &p->head, r->pair, r->row, &err), &err);
  for (int32_t i = 0; i < p->head.pair_count; i++) {
    int32_t h = p->head.pair_row[i];  // rows of padding have no pair
    r->logp[p->pair_number[i]] = r->pair[i];
    r->entropy[p->number[p->head.row[h]]] = r->row[h];
  }
}

/* Coefficients by number: of targets, of rows (or NULL). */
static CHECK_UNUSED void run_backward(struct run *r, const double *coef, const double *entropy_coef)
{
  struct error err = {0};
  const struct pass *p = &r->pass;
  for (int32_t i = 0; i < p->head.pair_count; i++) r->pair[i] = coef[p->pair_number[i]];
  for (int32_t i = 0; i < p->head.count; i++) r->row_coef[i] = 0;
  for (int32_t i = 0; entropy_coef && i < p->head.pair_count; i++) {
    int32_t h = p->head.pair_row[i];
    r->row_coef[h] = entropy_coef[p->number[p->head.row[h]]];
  }
  struct decoder_backward_input in = {&p->head,   r->o.temperature, r->pair, entropy_coef ? r->row_coef : NULL,
                                      p->kv_slot, p->embed_slot,    NULL};
  CHECK_OK(decoder_backward(r->d, &p->rows, r->kv, &in, r->g, &err), &err);
}

static CHECK_UNUSED bool among(const struct piece *pieces, int32_t n, int32_t branch)
{
  for (int32_t i = 0; i < n; i++)
    if (pieces[i].branch == branch) return true;
  return false;
}

/* Ancestors whose turn comes after this micro-batch are forwarded before it, once. */
static CHECK_UNUSED void run_ahead(struct run *r, const struct piece *pieces, int32_t n, bool *ready)
{
  struct piece ahead[FOREST_BRANCHES] = {0};
  bool wanted[FOREST_BRANCHES] = {0};
  int32_t count = 0;
  for (int32_t i = 0; i < n; i++)
    for (int32_t b = r->f->branch[pieces[i].branch].parent; b >= 0; b = r->f->branch[b].parent)
      wanted[b] = !ready[b] && !among(pieces, n, b);
  for (int32_t b = 0; b < r->f->count; b++) {
    if (!wanted[b]) continue;
    ahead[count++] = (struct piece){b, 0, r->f->branch[b].count};
    ready[b] = true;
  }
  if (!count) return;
  struct error err = {0};
  struct pass p;
  pass_build(r->f, &p, ahead, count);
  CHECK_OK(decoder_forward(r->d, &p.rows, r->kv, NULL, false, &err), &err);
}

/* The whole forest in post-order, in micro-batches: forward, and backward where coef is given. Gradients are added to
 * the weights'. */
static CHECK_UNUSED void run_all(struct run *r, const double *coef, const double *entropy_coef)
{
  struct error err = {0};
  struct piece order[FOREST_BRANCHES];
  bool ready[FOREST_BRANCHES] = {0};
  int32_t n = forest_post_order(r->f, order);
  if (coef) decoder_gradients_clear_slots(r->g, 0, r->f->tokens + 1);
  for (int32_t i = 0, end; i < n; i = end) {
    int32_t rows = order[i].count;
    for (end = i + 1; end < n && (!r->o.micro_rows || rows + order[end].count <= r->o.micro_rows); end++)
      rows += order[end].count;
    r->f->row_block = 1;
    run_ahead(r, order + i, end - i, ready);
    if (coef) r->f->row_block = run_row_block(r->rig);
    run_forward(r, order + i, end - i, coef != NULL);
    if (coef) run_backward(r, coef, entropy_coef);
  }
  if (coef) CHECK_OK(decoder_gradients_join(r->g, r->rig->model, r->f->embed_ids, r->f->embed_count, &err), &err);
}

#endif

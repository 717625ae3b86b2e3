/* cuda/blocks: slices of a matrix in blocks made into numbers, and rows of the embedding. */
#include "compute/cuda/blocks.h"
#include "compute/cuda/draws.h"

enum { SLICE_STEP = 128 };
#ifdef __CUDACC__
enum { SLICE_BYTES = 16 << 20 };
#else
enum { SLICE_BYTES = 64 << 10 }; /* tests see several slices of small matrices */
#endif

size_t CUDA_NAME(blocks_slice_rows)(const struct weight *w)
{
  const size_t rows = SLICE_BYTES / (w->k * sizeof(real)) / SLICE_STEP * SLICE_STEP;
  return rows > SLICE_STEP ? rows : (size_t)SLICE_STEP;
}

static size_t slice_reals(const struct weight *w, size_t count)
{
  const size_t padded = (count + PANEL - 1) / PANEL * PANEL;
  return padded * (w->device->type == COMPUTE_BF16 ? block_round(w->k) / 2 : w->k);
}

size_t CUDA_NAME(blocks_slice_bytes)(const struct weight *w)
{
  return slice_reals(w, size_min(w->n, CUDA_NAME(blocks_slice_rows)(w))) * sizeof(real);
}

struct slice_args {
  struct blocks blocks;
  real *reals;     /* panels, or NULL */
  uint32_t *words; /* the copy in bf16 */
  size_t count, k; /* outputs, padding included */
};

/* A thread a step of one output; neighbours have the outputs of a panel. Behind the last value words are 0. */
KERNEL(slice_numbers, struct slice_args)
{
  const size_t i = index_here(), steps = block_round(a.k) / QUANT_STEP, panel = i / PANEL / steps,
               k = i / PANEL % steps * QUANT_STEP, n = panel * PANEL + i % PANEL;
  if (n >= a.count) return;
  const bool there = k < a.k;
  const struct block_step step = block_step_of(&a.blocks, n, there ? k : 0);
  real x[QUANT_STEP];
  UNROLL
  for (size_t t = 0; t < QUANT_STEP; t++) x[t] = there ? block_value(&a.blocks, &step, t) : 0;
  if (a.words) {
    core_put(a.words, core_at(a.k, n, k), x);
    core_put(a.words, core_at(a.k, n, k + CORE), x + CORE);
    return;
  }
  for (size_t t = 0; there && t < QUANT_STEP; t++) a.reals[panel_here(a.k, n, k + t)] = x[t];
}

struct weight CUDA_NAME(blocks_slice)(struct device *d, const struct weight *w, size_t first, size_t count, void *room)
{
  const struct weight part = weight_slice(w, first, count);
  struct weight made = part;
  made.quant = NULL;
  made.quant_type = QUANT_NONE;
  if (d->type == COMPUTE_BF16)
    made.copy = (uint32_t *)room;
  else
    made.part[WEIGHT_MASTER] = room;
  struct slice_args a = {blocks_of(&part), (real *)made.part[WEIGHT_MASTER], made.copy, part.padded, w->k};
  LAUNCH(d, slice_numbers, blocks_for(part.padded * block_round(w->k) / QUANT_STEP), 1, TEAM, a);
  return made;
}

struct block_rows_args {
  struct blocks blocks;
  struct tokens tokens;
  real *to;
  size_t m, k;
  bool half;
};

/* y[m, :] = W[token[m], :], in bf16 rounded: a thread a step. */
KERNEL(embed_steps, struct block_rows_args)
{
  const size_t i = index_here(), steps = a.k / QUANT_STEP, row = i / steps, k = i % steps * QUANT_STEP;
  if (row >= a.m) return;
  const struct block_step step = block_step_of(&a.blocks, token_at(&a.tokens, row), k);
  for (size_t t = 0; t < QUANT_STEP; t++) {
    const real x = block_value(&a.blocks, &step, t);
    a.to[row * a.k + k + t] = a.half ? bf16_round(x) : x;
  }
}

void CUDA_NAME(embed_blocks)(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y)
{
  struct block_rows_args a = {blocks_of(w), tokens_upload(d, token, m), view_reals(y), (size_t)m, w->k,
                              d->type == COMPUTE_BF16};
  if (a.tokens.token) LAUNCH(d, embed_steps, blocks_for(a.m * (a.k / QUANT_STEP)), 1, TEAM, a);
}

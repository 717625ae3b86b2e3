/* cuda/weight: the rounded copy of a matrix (device.h): made from the master or from the host's rows, and read
 * by the host. */
#include "compute/cuda/cuda.h"

struct round_args {
  const real *master;
  uint32_t *copy;
  size_t panel, rows, k; /* the first panel; rows of cores in all panels to round */
};

/* A thread eight k of one output. */
KERNEL(round_cores, struct round_args)
{
  const size_t i = index_here(), cores = block_round(a.k) / CORE;
  if (i >= a.rows) return;
  const size_t n = (a.panel + i / (cores * PANEL)) * PANEL + i % PANEL, k = i / PANEL % cores * CORE;
  real x[CORE];
  UNROLL
  for (size_t j = 0; j < CORE; j++) x[j] = k + j < a.k ? a.master[panel_here(a.k, n, k + j)] : 0;
  core_put(a.copy, core_at(a.k, n, k), x);
}

/* Rows of a weight without a master, between the host's rows and whole panels of words that come to the host. */
static void rows_through_panels(const struct weight *w, size_t row, size_t count, const void *from, void *to,
                                enum host_type type)
{
  struct device *d = w->device;
  const size_t panel_words = PANEL * block_round(w->k) / 2, bytes = panel_words * sizeof *w->copy;
  uint32_t *staged = (uint32_t *)device_stage(d, bytes);
  if (!staged) return;
  for (size_t i = 0, n; i < count; i += n) {
    const size_t first = (row + i) / PANEL * PANEL;
    uint32_t *place = w->copy + first / PANEL * panel_words;
    n = size_min(PANEL - (row + i) % PANEL, count - i);
    d->memory->get(d, staged, place, bytes);
    for (size_t j = i * w->k; j < (i + n) * w->k; j++) {
      const size_t k = j % w->k;
      uint32_t *word = staged + core_at(w->k, row + j / w->k - first, k) / 2;
      if (from) word_set(word, k, type == HOST_F32 ? ((const float *)from)[j] : (float)((const double *)from)[j]);
      if (to && type == HOST_F32) ((float *)to)[j] = word_half(*word, k);
      if (to && type == HOST_F64) ((double *)to)[j] = (double)word_half(*word, k);
    }
    if (from) d->memory->put(d, place, staged, bytes);
  }
  memory_free(staged);
}

void CUDA_NAME(weight_round_rows)(struct weight *w, size_t row, size_t count, const void *from, enum host_type type)
{
  if (!w->part[WEIGHT_MASTER]) {
    rows_through_panels(w, row, count, from, NULL, type);
    return;
  }
  const size_t panel = row / PANEL, end = (row + count + PANEL - 1) / PANEL;
  struct round_args a = {weight_reals(w, WEIGHT_MASTER), w->copy, panel, (end - panel) * PANEL * block_round(w->k) / CORE,
                         w->k};
  if (count) LAUNCH(w->device, round_cores, blocks_for(a.rows), 1, TEAM, a);
}

void CUDA_NAME(weight_widen_rows)(const struct weight *w, size_t row, size_t count, void *to, enum host_type type)
{
  rows_through_panels(w, row, count, NULL, to, type);
}

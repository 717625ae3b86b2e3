/* cuda/embed: rows of the embedding, and its sparse gradient. */
#include "compute/cuda/draws.h"

struct embed_args {
  struct tokens tokens;
  const real *from;
  real *to;
  size_t m, c;
};

/* y[m, :] = W[token[m], :] */
KERNEL(embed_rows, struct embed_args)
{
  size_t i = index_here();
  if (i < a.m * a.c) a.to[i] = a.from[panel_here(a.c, token_at(&a.tokens, i / a.c), i % a.c)];
}

void CUDA_NAME(embed)(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y)
{
  if (m <= 0) return;
  tokens_check(d, w, m, token);
  if (w->quant) {
    CUDA_NAME(embed_blocks)(d, w, m, token, y);
    return;
  }
  struct embed_args a = {tokens_upload(d, token, m), weight_reals(w, WEIGHT_MASTER), view_reals(y), (size_t)m, w->k};
  if (a.tokens.token) LAUNCH(d, embed_rows, blocks_for(a.m * a.c), 1, TEAM, a);
}

/* In bf16 from the rounded copy. */
struct embed_words_args {
  struct tokens tokens;
  const uint32_t *copy;
  real *to;
  size_t m, c;
};

KERNEL(embed_words, struct embed_words_args)
{
  const size_t i = index_here(), c = i % a.c;
  if (i < a.m * a.c) a.to[i] = word_half(a.copy[core_at(a.c, token_at(&a.tokens, i / a.c), c) / 2], c);
}

void CUDA_NAME(embed_bf16)(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y)
{
  if (m <= 0) return;
  tokens_check(d, w, m, token);
  if (w->quant) {
    CUDA_NAME(embed_blocks)(d, w, m, token, y);
    return;
  }
  struct embed_words_args a = {tokens_upload(d, token, m), w->copy, view_reals(y), (size_t)m, w->k};
  if (a.tokens.token) LAUNCH(d, embed_words, blocks_for(a.m * a.c), 1, TEAM, a);
}

struct embed_sum_args {
  const int32_t *index; /* slots or ids */
  const real *from;
  real *to;
  size_t m, c;
};

/* accum[slot[m], :] += dy[m, :], m ascending: a thread has a column, so that rows of one slot stay in order. */
KERNEL(embed_columns, struct embed_sum_args)
{
  size_t c = index_here();
  if (c >= a.c) return;
  for (size_t m = 0; m < a.m; m++) {
    real *to = a.to + (size_t)a.index[m] * a.c + c;
    *to = *to + a.from[m * a.c + c];
  }
}

void CUDA_NAME(embed_backward)(struct device *d, int32_t m, const int32_t *slot, size_t c, struct view dy,
                               struct view accum)
{
  if (m <= 0) return;
  struct embed_sum_args a = {CUDA_UPLOAD(d, slot, (size_t)m), view_reals(dy), view_reals(accum), (size_t)m, c};
  if (a.index) LAUNCH(d, embed_columns, blocks_for(c), 1, TEAM, a);
}

/* grad(W)[id[s], :] += accum[s, :] */
KERNEL(embed_joins, struct embed_sum_args)
{
  size_t i = index_here();
  if (i >= a.m * a.c) return;
  real *to = a.to + panel_here(a.c, (size_t)a.index[i / a.c], i % a.c);
  *to = *to + a.from[i];
}

void CUDA_NAME(embed_join)(struct device *d, struct weight *w, int32_t slots, const int32_t *id, struct view accum)
{
  if (slots <= 0 || !w->part[WEIGHT_GRAD]) return;
  for (int32_t i = 0; i < slots; i++) ASSAY_BUG_IF(id[i] < 0 || (size_t)id[i] >= w->n);
  struct embed_sum_args a = {CUDA_UPLOAD(d, id, (size_t)slots), view_reals(accum), weight_reals(w, WEIGHT_GRAD),
                             (size_t)slots, w->k};
  if (a.index) LAUNCH(d, embed_joins, blocks_for(a.m * a.c), 1, TEAM, a);
}

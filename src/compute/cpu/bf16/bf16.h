/* cpu/bf16: compute type bf16, in plain C: the definition that every instruction set repeats bit for bit. Which sums
 * there are and in which order stands in backend.h; how numbers lie in memory in cpu.h.
 */
#ifndef ASSAY_COMPUTE_CPU_BF16_BF16_H
#define ASSAY_COMPUTE_CPU_BF16_BF16_H

#include <string.h>
#include "compute/cpu/ref/path.h"

/* Every slot that differs from f32's. */
#define BF16_SLOTS(X) \
  X(embed) X(gemm) X(gemm_dx) X(gemm_dw) X(kv_write) X(kv_read) X(attention) X(attention_backward) X(adamw)

#define BF16_DECLARE(slot) __typeof__(*((struct backend_ops *)0)->slot) slot##_bf16;
BF16_SLOTS(BF16_DECLARE)

/* ---- one block of a sum ---- */

/* acc + (even + odd) for 32 terms a[t] b[t] of two sides that are rounded already. */
static inline float bf16_block(const float *a, const float *b, float acc)
{
  float even = 0, odd = 0;
  for (size_t t = 0; t < TERM_BLOCK; t += 2) {
    even = math_fmaf(a[t], b[t], even);
    odd = math_fmaf(a[t + 1], b[t + 1], odd);
  }
  return acc + (even + odd);
}

/* ---- where things are ---- */

/* First word of K and of V of a KV head in a storage block. */
static inline uint32_t *kv_keys(const struct kv *kv, int layer, int32_t block, int head)
{
  const size_t index = ((size_t)layer * (size_t)kv->shape.blocks + (size_t)block) * (size_t)kv->shape.heads;
  return (uint32_t *)kv->keys +
         (index + (size_t)head) * (size_t)kv->shape.block * (block_round((size_t)kv->shape.head_dim) / 2);
}
static inline uint32_t *kv_values(const struct kv *kv, int layer, int32_t block, int head)
{
  const size_t index = ((size_t)layer * (size_t)kv->shape.blocks + (size_t)block) * (size_t)kv->shape.heads;
  return (uint32_t *)kv->values + (index + (size_t)head) * ((size_t)kv->shape.block / 2) * (size_t)kv->shape.head_dim;
}

/* Of one position of a path: key element d is the half d % 2 of word[d / 2 * kv block], value element d the half
 * position % 2 of word[d]. */
static inline uint32_t *path_key_words(const struct kv *kv, int layer, int head, const int32_t *table, int32_t position)
{
  return kv_keys(kv, layer, table[position / kv->shape.block], head) + position % kv->shape.block;
}
static inline uint32_t *path_value_words(const struct kv *kv, int layer, int head, const int32_t *table,
                                         int32_t position)
{
  const int32_t size = kv->shape.block;
  return kv_values(kv, layer, table[position / size], head) +
         (size_t)(position % size / 2) * (size_t)kv->shape.head_dim;
}

/* blocks over d of bf16(x[d]) and a key, or a value, of one position */
static inline float blocks_by_key(const float *x, const uint32_t *key, size_t dim, size_t step)
{
  float acc = 0;
  for (size_t at = 0; at < dim; at += TERM_BLOCK) {
    float a[TERM_BLOCK] = {0}, b[TERM_BLOCK] = {0};
    for (size_t t = 0; t < TERM_BLOCK && at + t < dim; t++) {
      a[t] = bf16_round(x[at + t]);
      b[t] = word_half(key[(at + t) / 2 * step], t);
    }
    acc = bf16_block(a, b, acc);
  }
  return acc;
}
static inline float blocks_by_value(const float *x, const uint32_t *value, size_t dim, int32_t position)
{
  float acc = 0;
  for (size_t at = 0; at < dim; at += TERM_BLOCK) {
    float a[TERM_BLOCK] = {0}, b[TERM_BLOCK] = {0};
    for (size_t t = 0; t < TERM_BLOCK && at + t < dim; t++) {
      a[t] = bf16_round(x[at + t]);
      b[t] = word_half(value[at + t], (size_t)position);
    }
    acc = bf16_block(a, b, acc);
  }
  return acc;
}

#endif

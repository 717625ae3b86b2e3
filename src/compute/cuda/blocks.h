/* cuda/blocks: numbers of a matrix in ggml's blocks (quant_form.h), as kernels make them: the steps of cpu/quant.h,
 * each operation exact or rounded once, so the same bits.
 *
 * With few rows kernels make the numbers in registers as they multiply: the bytes come once. With more, a slice of
 * outputs at a time is made into panels (or cores of bf16) in a room of the device, and the kernels for those go on as
 * ever: no order of a sum knows of it.
 */
#ifndef ASSAY_COMPUTE_CUDA_BLOCKS_H
#define ASSAY_COMPUTE_CUDA_BLOCKS_H

#include "compute/cuda/cuda.h"
#ifdef __cplusplus
extern "C" {
#endif
#include "compute/quant_form.h"
#ifdef __cplusplus
}
#endif

struct blocks {
  const uint8_t *bytes; /* of the first panel */
  struct quant_form form;
  size_t panel, record, scales_at, low_at, high_at; /* bytes */
};

static inline struct blocks blocks_of(const struct weight *w)
{
  const struct quant_form *f = quant_forms + w->quant_type;
  struct blocks b = {w->quant,        *f, w->quant_panel, quant_record_bytes(f), quant_scales_at(f), quant_low_at(f),
                     quant_high_at(f)};
  return b;
}

/* Scale and offset of a step of QUANT_STEP values of one output: value = (code - zero) s (+ m). */
struct block_step {
  const uint8_t *record; /* from this output's lane on */
  size_t k;              /* of the step's first value in its record */
  real s, m;
};

/* An f16 as it is: subnormal ones are normal here. */
HERE real half_value(const uint8_t *at)
{
  const uint32_t bits = (uint32_t)at[0] | (uint32_t)at[1] << 8, sign = (bits & 0x8000) << 16,
                 exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (!exponent) return real_of(bits_of((real)(int)fraction * 0x1p-24f) | sign);
  if (exponent == 31) return real_of(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0));
  return real_of(sign | (exponent + 112) << 23 | fraction << 13);
}

/* The step of output n that begins at value k. */
HERE struct block_step block_step_of(const struct blocks *b, size_t n, size_t k)
{
  const struct quant_form *f = &b->form;
  const size_t lane = n % PANEL;
  const uint8_t *record = b->bytes + n / PANEL * b->panel + k / f->block * b->record;
  struct block_step step = {record + lane, k % f->block, half_value(record + 2 * lane), 0};
  if (f->offset) step.m = half_value(record + 2 * (PANEL + lane));
  if (!f->sub) return step;
  const uint8_t *sub = record + lane + b->scales_at + step.k / f->sub * PANEL * (f->offset ? 2u : 1u);
  step.s = step.s * (real)(f->signed_scale ? (int)(int8_t)sub[0] : (int)sub[0]);
  if (f->offset) step.m = -(step.m * (real)(int)sub[PANEL]);
  return step;
}

/* Value t of the step. */
HERE real block_value(const struct blocks *b, const struct block_step *step, size_t t)
{
  const struct quant_form *f = &b->form;
  const size_t k = step->k + t;
  const uint32_t low = step->record[b->low_at + (f->low == 4 ? k / 2 : k) * PANEL];
  uint32_t code = f->low == 8 ? low : k % 2 ? low >> 4 : low & 15;
  if (f->high == 1) code |= (uint32_t)(step->record[b->high_at + k / 8 * PANEL] >> (k % 8) & 1) << 4;
  if (f->high == 2) code |= (uint32_t)(step->record[b->high_at + k / 4 * PANEL] >> (2 * (k % 4)) & 3) << 4;
  const real x = (real)((f->signed_code ? (int)(int8_t)code : (int)code) - (int)f->zero) * step->s;
  return f->offset ? x + step->m : x;
}

/* Outputs of a slice: a multiple of 128. */
size_t CUDA_NAME(blocks_slice_rows)(const struct weight *w);
/* Bytes that the largest slice takes. */
size_t CUDA_NAME(blocks_slice_bytes)(const struct weight *w);
/* Rows first .. first+count-1 (first: a multiple of PANEL) as a matrix of numbers in `room` (cuda_room), which may be
   the last slice's: a master or, where the compute type is bf16, a copy. */
struct weight CUDA_NAME(blocks_slice)(struct device *d, const struct weight *w, size_t first, size_t count, void *room);

#endif

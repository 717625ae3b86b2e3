/* compute/cpu/simd/blocks: numbers of a weight in blocks (quant.h) on vectors: steps of a panel for products of many
 * rows, and products of a few rows that never store them.
 *
 * The bits are quant_step's. Where a format has an offset, code * scale and the addition are one fused multiply-add
 * here: code * scale is exact (at most 6 bits times 18), so either way the sum is rounded once.
 *
 * Floors of a product of one row, per 16 weights: with 512-bit registers widen, convert, scale and multiply-add, some
 * 2.5 cycles where the units are 256 bits wide; 17 bytes in Q8_0, 9 in Q4_0, which at 20 GB/s a core come in as many.
 * So there Q8_0 waits for both and Q4_0 for the conversions.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_BLOCKS_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_BLOCKS_INC_H

#include "compute/cpu/quant.h"

/* Scale and offset of the values from k on (quant_scale). */
INLINE void blocks_scale(const struct quant_form f, const uint8_t *record, size_t k, struct f16 *s, struct f16 *m)
{
  *s = f16_halves(record);
  *m = f.offset ? f16_halves(record + 2 * PANEL) : f16_zero();
  if (!f.sub) return;
  const uint8_t *sub = record + quant_scales_at(&f) + k / f.sub * PANEL * (f.offset ? 2u : 1u);
  *s = f16_mul(*s, f16_codes(f.signed_scale ? c16_load_signed(sub) : c16_load(sub), 0));
  if (f.offset) *m = f16_neg(f16_mul(*m, f16_codes(c16_load(sub + PANEL), 0)));
}

/* Codes, less zero, of the values k and k + 1 (k even). */
INLINE void blocks_codes(const struct quant_form f, const uint8_t *record, size_t k, struct f16 x[2])
{
  const uint8_t *low = record + quant_low_at(&f);
  if (f.low == 8) {
    for (size_t i = 0; i < 2; i++) {
      const uint8_t *at = low + (k + i) * PANEL;
      x[i] = f16_codes(f.signed_code ? c16_load_signed(at) : c16_load(at), f.zero);
    }
    return;
  }
  const struct c16 both = c16_load(low + k / 2 * PANEL);
  if (!f.high) {
    f16_nibbles(both, f.zero, &x[0], &x[1]);
    return;
  }
  const struct c16 high = c16_load(record + quant_high_at(&f) + (f.high == 1 ? k / 8 : k / 4) * PANEL);
  const unsigned at = f.high == 1 ? (unsigned)k % 8 : 2 * ((unsigned)k % 4);
  const int mask = f.high == 1 ? 1 : 3;
  for (unsigned i = 0; i < 2; i++)
    x[i] = f16_codes(c16_join(c16_bits(both, 4 * i, 15), c16_bits(high, at + i * f.high, mask)), f.zero);
}

/* The values k and k + 1. */
INLINE void blocks_pair(const struct quant_form f, const uint8_t *record, size_t k, struct f16 s, struct f16 m,
                        struct f16 x[2])
{
  blocks_codes(f, record, k, x);
  for (size_t i = 0; i < 2; i++) x[i] = f.offset ? f16_fma(x[i], s, m) : f16_mul(x[i], s);
}

/* The bytes of QUANT_STEP values, `far` bytes behind: panels are read side by side, some records of each at a time,
 * which the processor does not take for a stream. Any address will do. */
INLINE void blocks_fetch(const struct quant_form f, const uint8_t *panel, size_t k, size_t far)
{
  enum { LINE = 64 };
  const size_t share = quant_record_bytes(&f) * QUANT_STEP / f.block;
  const uintptr_t at = (uintptr_t)panel + k / QUANT_STEP * share + far;
  for (size_t i = 0; i < share; i += LINE) __builtin_prefetch((const void *)(at + i), 0, 2);
}
enum { BLOCKS_NEAR = 2048 };

/* ---- steps of a panel ---- */

INLINE void blocks_made(const struct quant_form f, const uint8_t *panel, size_t k, size_t depth, float *to)
{
  for (size_t end = k + depth; k < end; k += QUANT_STEP) {
    const uint8_t *record = panel + k / f.block * quant_record_bytes(&f);
    struct f16 s, m, x[2];
    blocks_fetch(f, panel, k, BLOCKS_NEAR);
    blocks_scale(f, record, k % f.block, &s, &m);
    for (size_t i = 0; i < QUANT_STEP; i += 2, to += 2 * PANEL) {
      blocks_pair(f, record, k % f.block + i, s, m, x);
      f16_store(to, x[0]);
      f16_store(to + PANEL, x[1]);
    }
  }
}

/* As quant_steps. */
static void blocks_steps(const struct weight *w, size_t p, size_t k, size_t depth, float *to)
{
  const uint8_t *panel = w->quant + p * w->quant_panel;
#define BLOCKS_CASE(name)                                                   \
  case QUANT_##name:                                                        \
    blocks_made((struct quant_form)QUANT_FORM_##name, panel, k, depth, to); \
    return;
  switch (w->quant_type) {
    QUANT_LIST(BLOCKS_CASE)
    case QUANT_NONE:
      break;
  }
#undef BLOCKS_CASE
}

#endif

/* compute/cpu/quant: how a quantised matrix lies in memory, and how its panels become numbers again on their way into a
 * product (quant_form.h has the layout).
 *
 * The bytes are the file's (K types: scales of 6 bits take 8), only in another order. quant_steps gives the numbers of
 * some steps of a panel in the layout of f32 panels: what a product does with them is the same, bit for bit, as with a
 * matrix that was f32 all along. simd/blocks.inc.h has the same on vectors; all operations are exact or rounded once,
 * so all agree. */
#ifndef ASSAY_COMPUTE_CPU_QUANT_H
#define ASSAY_COMPUTE_CPU_QUANT_H

#include "compute/cpu/cpu.h"
#include "compute/quant_form.h"
#include "core/math.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

#define QUANT_FORM_Q4_0                     \
  {                                         \
    32, 18, 4, 0, 0, 8, false, false, false \
  }
#define QUANT_FORM_Q4_1                    \
  {                                        \
    32, 20, 4, 0, 0, 0, true, false, false \
  }
#define QUANT_FORM_Q5_0                      \
  {                                          \
    32, 22, 4, 1, 0, 16, false, false, false \
  }
#define QUANT_FORM_Q5_1                    \
  {                                        \
    32, 24, 4, 1, 0, 0, true, false, false \
  }
#define QUANT_FORM_Q8_0                    \
  {                                        \
    32, 34, 8, 0, 0, 0, false, false, true \
  }
#define QUANT_FORM_Q4_K                       \
  {                                           \
    256, 144, 4, 0, 32, 0, true, false, false \
  }
#define QUANT_FORM_Q5_K                       \
  {                                           \
    256, 176, 4, 1, 32, 0, true, false, false \
  }
#define QUANT_FORM_Q6_K                        \
  {                                            \
    256, 210, 4, 2, 16, 32, false, true, false \
  }
#define QUANT_LIST(X) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q4_K) X(Q5_K) X(Q6_K)

/* 16 f16 as f32. */
static inline void quant_halves(const uint8_t *from, float to[PANEL])
{
#ifdef __F16C__
  for (int i = 0; i < 2; i++)
    _mm256_storeu_ps(to + 8 * i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(from + 16 * i))));
#else
  for (size_t i = 0; i < PANEL; i++) to[i] = math_f32_from_f16((uint16_t)(from[2 * i] | from[2 * i + 1] << 8));
#endif
}

#define QUANT_INLINE static inline __attribute__((always_inline))

/* Scale and offset of the values from k on: value = (code - zero) * s (+ m). */
QUANT_INLINE void quant_scale(const struct quant_form f, const uint8_t *record, size_t k, float s[PANEL],
                              float m[PANEL])
{
  quant_halves(record, s);
  if (f.offset) quant_halves(record + 2 * PANEL, m);
  if (!f.sub) return;
  const uint8_t *sub = record + quant_scales_at(&f) + k / f.sub * PANEL * (f.offset ? 2u : 1u);
  for (size_t i = 0; i < PANEL; i++) s[i] = s[i] * (float)(f.signed_scale ? (int)(int8_t)sub[i] : (int)sub[i]);
  for (size_t i = 0; i < PANEL && f.offset; i++) m[i] = -(m[i] * (float)(int)sub[PANEL + i]);
}

/* The 16 codes of value k of a record. */
QUANT_INLINE void quant_codes(const struct quant_form f, const uint8_t *record, size_t k, uint8_t code[PANEL])
{
  const uint8_t *low = record + quant_low_at(&f) + (f.low == 4 ? k / 2 : k) * PANEL;
  const uint8_t *high = record + quant_high_at(&f) + (f.high == 1 ? k / 8 : k / 4) * PANEL;
  const unsigned at = f.high == 1 ? (unsigned)k % 8 : 2 * ((unsigned)k % 4);
  for (size_t i = 0; i < PANEL; i++) code[i] = (uint8_t)(f.low == 8 ? low[i] : k % 2 ? low[i] >> 4 : low[i] & 15);
  for (size_t i = 0; i < PANEL && f.high; i++)
    code[i] = (uint8_t)(code[i] | ((high[i] >> at) & (f.high == 1 ? 1 : 3)) << 4);
}

/* QUANT_STEP values from k on, to: [QUANT_STEP][16]. */
QUANT_INLINE void quant_step(const struct quant_form f, const uint8_t *record, size_t k, float *to)
{
  float s[PANEL], m[PANEL];
  quant_scale(f, record, k, s, m);
  for (size_t t = 0; t < QUANT_STEP; t++, to += PANEL) {
    uint8_t code[PANEL];
    quant_codes(f, record, k + t, code);
    for (size_t i = 0; i < PANEL; i++) {
      const float x = (float)((f.signed_code ? (int)(int8_t)code[i] : (int)code[i]) - (int)f.zero) * s[i];
      to[i] = f.offset ? x + m[i] : x;
    }
  }
}

QUANT_INLINE void quant_run(const struct quant_form f, const uint8_t *panel, size_t k, size_t depth, float *to)
{
  for (size_t end = k + depth; k < end; k += QUANT_STEP, to += QUANT_STEP * PANEL)
    quant_step(f, panel + k / f.block * quant_record_bytes(&f), k % f.block, to);
}

/* Values k .. k + depth - 1 (multiples of 16) of panel p, to: [depth][16]. */
__attribute__((unused)) static void quant_steps(const struct weight *w, size_t p, size_t k, size_t depth, float *to)
{
  const uint8_t *panel = w->quant + p * w->quant_panel;
#define QUANT_CASE(name)                                                  \
  case QUANT_##name:                                                      \
    quant_run((struct quant_form)QUANT_FORM_##name, panel, k, depth, to); \
    return;
  switch (w->quant_type) {
    QUANT_LIST(QUANT_CASE)
    case QUANT_NONE:
      break;
  }
#undef QUANT_CASE
}

#endif

/* cpu/quant_pack: rows of ggml's blocks into panels, and rows of numbers out of them. The block formats are those of
 * ggml's ggml-common.h. */
#include <string.h>
#include "compute/cpu/quant.h"

#define QUANT_ENTRY(name) [QUANT_##name] = QUANT_FORM_##name,
const struct quant_form quant_forms[QUANT_FORMS] = {QUANT_LIST(QUANT_ENTRY)};

enum { MOST_VALUES = 256, MOST_SCALES = 16 };

/* A block taken apart. */
struct parts {
  const uint8_t *d, *m; /* f16 */
  uint8_t scale[MOST_SCALES], offset[MOST_SCALES];
  uint8_t code[MOST_VALUES];
};

/* The 6-bit scale and offset of sub-block i of 8 in 12 bytes (ggml's get_scale_min_k4). */
static void split_scales(const uint8_t *b, struct parts *p)
{
  for (int i = 0; i < 8; i++) {
    p->scale[i] = (uint8_t)(i < 4 ? b[i] & 63 : (b[i + 4] & 15) | (b[i - 4] >> 6) << 4);
    p->offset[i] = (uint8_t)(i < 4 ? b[i + 4] & 63 : (b[i + 4] >> 4) | (b[i] >> 6) << 4);
  }
}

/* 32 values: low nibbles are the first half; high: 32 bits, or NULL. */
static void split_32(const uint8_t *nibbles, const uint8_t *high, struct parts *p)
{
  for (int i = 0; i < 32; i++) {
    p->code[i] = (uint8_t)(i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4);
    if (high) p->code[i] = (uint8_t)(p->code[i] | ((high[i / 8] >> (i % 8)) & 1) << 4);
  }
}

/* 256 values in pairs of 32 that share bytes; high: bit j of byte i is that of sub-block j, or NULL. */
static void split_256(const uint8_t *nibbles, const uint8_t *high, struct parts *p)
{
  for (int k = 0; k < 256; k++) {
    const int sub = k / 32, byte = k / 64 * 32 + k % 32;
    p->code[k] = (uint8_t)(sub % 2 ? nibbles[byte] >> 4 : nibbles[byte] & 15);
    if (high) p->code[k] = (uint8_t)(p->code[k] | ((high[k % 32] >> sub) & 1) << 4);
  }
}

/* 256 values of 6 bits: halves of 128, in them four quarters of 32. */
static void split_q6(const uint8_t *b, struct parts *p)
{
  for (int k = 0; k < 256; k++) {
    const int half = k / 128, quarter = k % 128 / 32, i = k % 32;
    const uint8_t low = b[half * 64 + quarter % 2 * 32 + i], high = b[128 + half * 32 + i];
    p->code[k] = (uint8_t)((quarter < 2 ? low & 15 : low >> 4) | ((high >> (2 * quarter)) & 3) << 4);
  }
  memcpy(p->scale, b + 192, 16);
}

static void split(enum quant_type type, const uint8_t *b, struct parts *p)
{
  p->d = b;
  p->m = b + 2;
  switch (type) {
    case QUANT_Q4_0:
      split_32(b + 2, NULL, p);
      break;
    case QUANT_Q4_1:
      split_32(b + 4, NULL, p);
      break;
    case QUANT_Q5_0:
      split_32(b + 6, b + 2, p);
      break;
    case QUANT_Q5_1:
      split_32(b + 8, b + 4, p);
      break;
    case QUANT_Q8_0:
      for (int i = 0; i < 32; i++) p->code[i] = b[2 + i];
      break;
    case QUANT_Q4_K:
      split_scales(b + 4, p);
      split_256(b + 16, NULL, p);
      break;
    case QUANT_Q5_K:
      split_scales(b + 4, p);
      split_256(b + 48, b + 16, p);
      break;
    case QUANT_Q6_K:
      split_q6(b, p);
      p->d = b + 208;
      break;
    case QUANT_NONE:
      break;
  }
}

/* Bits `at` .. of a byte that other values share. */
static void put_bits(uint8_t *byte, unsigned at, unsigned count, unsigned bits)
{
  const unsigned mask = ((1u << count) - 1) << at;
  *byte = (uint8_t)((*byte & ~mask) | (bits << at & mask));
}

static void join(const struct quant_form *f, const struct parts *p, uint8_t *record, size_t lane)
{
  memcpy(record + 2 * lane, p->d, 2);
  if (f->offset) memcpy(record + 2 * (PANEL + lane), p->m, 2);
  for (size_t i = 0; f->sub && i < (size_t)f->block / f->sub; i++) {
    uint8_t *to = record + quant_scales_at(f) + i * PANEL * (f->offset ? 2u : 1u) + lane;
    to[0] = p->scale[i];
    if (f->offset) to[PANEL] = p->offset[i];
  }
  uint8_t *low = record + quant_low_at(f) + lane, *high = record + quant_high_at(f) + lane;
  for (size_t k = 0; k < f->block; k++) {
    const unsigned code = p->code[k], at = (unsigned)k;
    if (f->low == 8)
      low[k * PANEL] = (uint8_t)code;
    else
      put_bits(low + k / 2 * PANEL, at % 2 * 4, 4, code);
    if (f->high == 1) put_bits(high + k / 8 * PANEL, at % 8, 1, code >> 4);
    if (f->high == 2) put_bits(high + k / 4 * PANEL, at % 4 * 2, 2, code >> 4);
  }
}

void quant_pack(struct weight *w, size_t row, size_t k, size_t count, const uint8_t *blocks)
{
  const struct quant_form *f = &quant_forms[w->quant_type];
  uint8_t *record = w->quant + row / PANEL * w->quant_panel + quant_panel_bytes(f, k);
  for (size_t i = 0; i < count; i += f->block, blocks += f->bytes, record += quant_record_bytes(f)) {
    struct parts p;
    split(w->quant_type, blocks, &p);
    join(f, &p, record, row % PANEL);
  }
}

void quant_row(const struct weight *w, size_t row, size_t k, size_t count, float *to)
{
  for (size_t i = 0; i < count; i += QUANT_STEP) {
    float steps[QUANT_STEP * PANEL];
    quant_steps(w, row / PANEL, k + i, QUANT_STEP, steps);
    for (size_t t = 0; t < QUANT_STEP; t++) to[i + t] = steps[t * PANEL + row % PANEL];
  }
}

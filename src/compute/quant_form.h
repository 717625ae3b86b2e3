/* compute/quant_form: how a quantised matrix lies in memory, on every device.
 *
 *   matrix   [N, K] in panels of 16 outputs as in cpu.h; a panel is K / block records, a record `block` values of 16
 *            outputs: d (and m) as 16 f16 each; in the K types for each sub-block 16 scales (and 16 offsets), a byte
 *            each; then the codes, lanes across the outputs: low bits of value k in byte [k][16], or, of 4 bits, two
 *            values to a byte, [k / 2][16], the even one low; high bits [k / 8][16] (one bit each) or [k / 4][16]
 * (two).
 */
#ifndef ASSAY_COMPUTE_QUANT_FORM_H
#define ASSAY_COMPUTE_QUANT_FORM_H

#include "compute/quant.h"
#include "compute/words.h"

enum { QUANT_STEP = 16 /* values that are made at a time: every type's sub-blocks are multiples */ };

struct quant_form {
  uint16_t block, bytes; /* ggml's: values, bytes */
  uint8_t low, high;     /* bits of a code in the two places */
  uint8_t sub;           /* values of one scale of the second level; 0: there is none */
  uint8_t zero;          /* subtracted from a code */
  bool offset;           /* there is an m */
  bool signed_scale;     /* of the second level */
  bool signed_code;      /* else from 0 on */
};

enum { QUANT_FORMS = QUANT_Q6_K + 1 };
extern const struct quant_form quant_forms[QUANT_FORMS]; /* cpu/quant_pack.c */

/* Where the parts of a record begin. */
WORDS_STEP size_t quant_scales_at(const struct quant_form *f)
{
  return 2 * PANEL * (f->offset ? 2u : 1u);
}
WORDS_STEP size_t quant_low_at(const struct quant_form *f)
{
  return quant_scales_at(f) + (f->sub ? (size_t)f->block / f->sub * PANEL * (f->offset ? 2u : 1u) : 0);
}
WORDS_STEP size_t quant_high_at(const struct quant_form *f)
{
  return quant_low_at(f) + (size_t)f->block * PANEL * f->low / 8;
}
WORDS_STEP size_t quant_record_bytes(const struct quant_form *f)
{
  return quant_high_at(f) + (size_t)f->block * PANEL * f->high / 8;
}
WORDS_STEP size_t quant_panel_bytes(const struct quant_form *f, size_t k)
{
  return k / f->block * quant_record_bytes(f);
}

#endif

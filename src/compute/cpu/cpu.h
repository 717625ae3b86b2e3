/* compute/cpu/cpu: what the CPU backend is inside: layouts, the slot table and how an overlay gets into it.
 *
 * The reference (ref/<op>.c, plain C, one source with `real`) fills every slot; avx2/ and avx512/ overwrite the slots
 * they have. With compute type bf16 the slots of bf16/ (plain C, the definition) and then the bf16 slots of avx2/,
 * avx512/ and amx/ come over those. An overlay must give the same bits as the reference (memcmp, NaN = NaN):
 * tests/unit/compute_overlay.c compares every slot. Only this folder and ../device.c include this header.
 *
 * Layouts
 *   buffer   one 64-byte aligned array of reals.
 *   matrix   [N, K] in panels of PANEL = 16 outputs: element (n, k) at ((n / 16) * K + k) * 16 + n % 16; N is padded to
 *            a multiple of 16, the padding is 0 in every part and stays 0. The same for master, gradient and moments,
 *            so AdamW is elementwise. No second resident layout: gemm streams panels as they are (lanes run across N),
 *            gemm_dx packs transposed tiles as it goes, gemm_dw writes gradient panels. Rows from a multiple of 16 on
 *            are a matrix of their own: the LM head takes its weight in such slices.
 *   vector   [N], padded to 16.
 *   KV       per layer: block b, KV head h: K as [D][block] (lanes run across positions), V as [block][D].
 *
 * Layouts of bf16: pairs of neighbouring terms of a sum stand in one 32-bit word, the even one in the low half, so that
 * a vector of words is widened by one shift (even) or one mask (odd), and sixteen words of sixteen lanes are one AMX
 * tile.
 *   copy     of a matrix: panels of 16 outputs as above; word (n, k / 2) at ((n / 16) * K' / 2 + k / 2) * 16 + n % 16,
 *            K' = K up to a multiple of 32, the padding 0.
 *   KV       K as [D' / 2][block] words, pairs across D; V as [block / 2][D] words, pairs across positions.
 */
#ifndef ASSAY_COMPUTE_CPU_CPU_H
#define ASSAY_COMPUTE_CPU_CPU_H

#include "compute/backend.h"
#include "core/pool.h"

#ifdef ASSAY_REAL64
typedef double real;
#define REAL_NAME(name) name##_ref64
#else
typedef float real;
#define REAL_NAME(name) name##_ref
#endif

enum { PANEL = 16, KEY_BLOCK = 32, VOCAB_BLOCK = 32, TERM_BLOCK = 32 /* of a sum in bf16 */ };

struct buffer {
  struct device *device;
  void *reals;
  size_t count;
};

struct weight {
  struct device *device;
  enum weight_kind kind;
  size_t n, k, padded; /* padded = N up to a multiple of 16 */
  void *part[4];       /* by enum weight_part, padded * K reals each, NULL where absent */
  uint32_t *copy;      /* bf16: padded * block_round(K) / 2 words; NULL where there is none */
  enum quant_type quant_type;
  uint8_t *quant;     /* cpu/quant.h: a matrix in blocks, which has no part and no copy; else NULL */
  size_t quant_panel; /* bytes of one of its panels */
  char name[128];
};

struct kv {
  struct device *device;
  struct kv_shape shape;
  size_t block_reals;  /* of one layer's K (or V) block: heads * D * block */
  void *keys, *values; /* [layers][blocks][heads][D][block] and [layers][blocks][heads][block][D]; bf16: words, above */
};

struct device {
  struct backend_ops ops;
  struct pool *pool;
  const char *isa;
  enum compute_type type;
  void (*adamw_f32)(struct device *, struct weight *, const struct adamw_params *); /* that of bf16 begins with it */
  size_t real_size;
  void *scratch; /* threads * scratch_each bytes, 64-byte aligned: packing space of gemm and attention */
  size_t scratch_each;
  struct error failed; /* first failure, reported by device_sync */
};

/* Address of a view or a weight's part in reals. */
static inline real *view_reals(struct view v)
{
  return (real *)v.buffer->reals + v.at;
}
static inline real *weight_reals(const struct weight *w, enum weight_part part)
{
  return (real *)w->part[part];
}
static inline size_t panel_at(const struct weight *w, size_t n, size_t k)
{
  return ((n / PANEL) * w->k + k) * PANEL + n % PANEL;
}

/* Up to whole blocks of terms of a sum in bf16. */
static inline size_t block_round(size_t n)
{
  return (n + TERM_BLOCK - 1) / TERM_BLOCK * TERM_BLOCK;
}

/* table.c: opens a device of this folder, float64 reference where real64. device.c calls it by kind. */
int cpu_device_open(const struct device_options *options, bool real64, struct device **out, struct error *err) MUST_USE;

/* Items of `reals` numbers each that one thread takes at least: to wake another costs as much as some thousands. */
static inline size_t grain_of(size_t reals)
{
  enum { ENOUGH = 4096 };
  return reals >= ENOUGH ? 1 : ENOUGH / (reals ? reals : 1);
}

/* Each fills or overwrites its slots. cpu/table.c calls ref, then avx2, then avx512, up to the isa in force. */
void ops_fill_ref(struct backend_ops *ops);
void ops_fill_ref64(struct backend_ops *ops);
void ops_overlay_avx2(struct backend_ops *ops);
void ops_overlay_avx512(struct backend_ops *ops);
/* The same for compute type bf16, after those above: bf16/ first. */
void ops_fill_bf16(struct backend_ops *ops);
void ops_overlay_bf16_avx2(struct backend_ops *ops);
void ops_overlay_bf16_avx512(struct backend_ops *ops);
void ops_overlay_bf16_amx(struct backend_ops *ops);
void ops_overlay_bf16_model(struct backend_ops *ops); /* amx with its tiles in plain C, for tests */
bool amx_permitted(void);                             /* asks the kernel */

/* bf16/weight.c: rows first .. first+count-1 (first a multiple of 16) of the copy, from the master. */
void weight_round(struct weight *w, size_t first, size_t count);
/* Logical row `row` of a weight without a master, to and from the host. */
void weight_round_row(struct weight *w, size_t row, const void *from, enum host_type type);
void weight_widen_row(const struct weight *w, size_t row, void *to, enum host_type type);

#endif

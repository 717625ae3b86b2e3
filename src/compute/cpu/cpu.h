/* compute/cpu/cpu: what the CPU backend is inside: layouts, the slot table and how an overlay gets into it.
 *
 * The reference (ref/<op>.c, plain C, one source with `real`) fills every slot; avx2/ and avx512/ overwrite the slots
 * they have. With compute type bf16 the slots of bf16/ (plain C, the definition) and then the bf16 slots of avx2/,
 * avx512/ and amx/ come over those. An overlay must give the same bits as the reference (memcmp, NaN = NaN):
 * tests/unit/compute_overlay.c compares every slot. Only this folder includes this header.
 *
 * Layouts are those of compute/device.h. No second resident one: gemm streams panels as they are (lanes run across N),
 * gemm_dx packs transposed tiles as it goes, gemm_dw writes gradient panels.
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

#include "compute/device.h"

#ifdef ASSAY_REAL64
typedef double real;
#define REAL_NAME(name) name##_ref64
#else
typedef float real;
#define REAL_NAME(name) name##_ref
#endif

/* Address of a view or a weight's part in reals. */
static inline real *view_reals(struct view v)
{
  return (real *)v.buffer->reals + v.at;
}
static inline real *weight_reals(const struct weight *w, enum weight_part part)
{
  return (real *)w->part[part];
}
/* Items of `reals` numbers each that one thread takes at least: to wake another costs as much as some thousands. */
static inline size_t grain_of(size_t reals)
{
  enum { ENOUGH = 4096 };
  return reals >= ENOUGH ? 1 : ENOUGH / (reals ? reals : 1);
}

/* cpu/draws.c: a draw is made when it is started; its results wait to be taken. */
int host_draws(struct device *d, int32_t rows, struct error *err) MUST_USE;
void host_sample_start(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                       struct view hidden, struct view scratch, const struct sample_params *params);
void host_sample_take(struct device *d, struct sample_result *out);
/* The tokens may be of this weight and this device (embed); and the one that is meant. */
void host_tokens_check(const struct device *d, const struct weight *w, int32_t count, const int32_t *token);
static inline size_t host_token(const struct device *d, int32_t token)
{
  const struct draws *all = &d->draws;
  return (size_t)(token < 0 ? all->results[(all->started + DRAWS_STARTED - 1) % DRAWS_STARTED][~token].id : token);
}

/* Each fills or overwrites its slots. cpu/table.c calls ref, then avx2, then avx512, up to the isa in force. */
void ops_fill_ref(struct backend_ops *ops);
void ops_fill_ref64(struct backend_ops *ops);
void ops_overlay_avx2(struct backend_ops *ops);
void ops_overlay_avx512(struct backend_ops *ops);
void ops_overlay_neon(struct backend_ops *ops);
/* The same for compute type bf16, after those above: bf16/ first. */
void ops_fill_bf16(struct backend_ops *ops);
void ops_overlay_bf16_avx2(struct backend_ops *ops);
void ops_overlay_bf16_avx512(struct backend_ops *ops);
void ops_overlay_bf16_neon(struct backend_ops *ops);
void ops_overlay_bf16_amx(struct backend_ops *ops);
void ops_overlay_bf16_model(struct backend_ops *ops); /* amx with its tiles in plain C, for tests */
bool amx_permitted(void);                             /* asks the kernel */

/* bf16/weight.c: rows first .. first+count-1 (first a multiple of 16) of the copy, from the master. */
void weight_round(struct weight *w, size_t first, size_t count);
/* Logical rows row .. row+count-1 of the copy, from and to the host. */
void weight_round_rows(struct weight *w, size_t row, size_t count, const void *from, enum host_type type);
void weight_widen_rows(const struct weight *w, size_t row, size_t count, void *to, enum host_type type);

#endif

/* compute/logits: the LM head's weight in slices of the vocabulary, and its logits with their scale and cap, as every
 * device's head_* takes them. Only compute/ includes it.
 */
#ifndef ASSAY_COMPUTE_LOGITS_H
#define ASSAY_COMPUTE_LOGITS_H

#include "compute/device.h"

/* Rows first .. first+count-1 of a matrix as a weight of its own: panels are contiguous. first: a multiple of PANEL. */
static inline struct weight weight_slice(const struct weight *w, size_t first, size_t count)
{
  struct weight slice = *w;
  slice.n = count;
  slice.padded = (count + PANEL - 1) / PANEL * PANEL;
  for (int i = 0; i < 4; i++)
    if (slice.part[i]) slice.part[i] = (char *)slice.part[i] + first * w->k * w->device->real_size;
  if (slice.copy) slice.copy += first * block_round(w->k) / 2;
  if (slice.quant) slice.quant += first / PANEL * w->quant_panel;
  return slice;
}

/* Logits of `count` rows, and where the weight has a cap the slopes of its softcap. */
static inline void head_logits_and(struct device *d, const struct weight *w, int32_t count, struct view hidden,
                                   struct view logits, const struct view *slope)
{
  size_t n = (size_t)count * w->n;
  d->ops.gemm(d, w, NULL, count, hidden, logits);
  if (w->logit_scale < 1 || w->logit_scale > 1) d->ops.scale(d, n, w->logit_scale, logits);
  if (w->logit_cap > 0) d->ops.softcap(d, n, w->logit_cap, logits, slope);
}

/* From dL/dlogit to the gradient of gemm's result. */
static inline void head_logits_backward(struct device *d, const struct weight *w, int32_t count, struct view dz,
                                        struct view slope)
{
  size_t n = (size_t)count * w->n;
  if (w->logit_cap > 0) d->ops.mul(d, n, dz, slope);
  if (w->logit_scale < 1 || w->logit_scale > 1) d->ops.scale(d, n, w->logit_scale, dz);
}

#endif

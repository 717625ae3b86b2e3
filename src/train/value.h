/* train/value: a linear value head, V = w . h + b on the input of the LM head, with its own AdamW in f64. It begins at
 * zero. What moves it: dL/dV per token from the methods (struct loss, value_coef).
 */
#ifndef ASSAY_TRAIN_VALUE_H
#define ASSAY_TRAIN_VALUE_H

#include "core/json.h"
#include "method/method.h"

struct value_head {
  struct value_need options;
  int32_t width;
  double *w;                     /* [width + 1] the bias last */
  double *grad, *first, *second; /* [width + 1] of AdamW */
  int64_t updates;
};

size_t value_bytes(int32_t width);
int value_create(struct arena *a, const struct value_need *o, int32_t width, struct value_head **out,
                 struct error *err) MUST_USE;
/* Chains over the width, ascending, then the bias. */
double value_at(const struct value_head *v, const float *h);
/* grad += coef * (h, 1) */
void value_add_gradient(struct value_head *v, const float *h, double coef);
/* One AdamW step as backend.h has it, in f64; the gradient is zero afterwards. One that is not finite is ERROR_INPUT.
 */
int value_update(struct value_head *v, struct error *err) MUST_USE;
void value_save(const struct value_head *v, struct text *out);
int value_load(struct value_head *v, const void *bytes, size_t size, struct error *err) MUST_USE;

#endif

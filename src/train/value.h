/* train/value: a linear value head, V = w . h + b on the input of the LM head: a small network (part_network.h) with
 * its own AdamW in f64. It begins at zero. What moves it: dL/dV per token from the methods (struct loss, value_coef).
 */
#ifndef ASSAY_TRAIN_VALUE_H
#define ASSAY_TRAIN_VALUE_H

#include "method/method.h"
#include "method/part_network.h"

struct value_head {
  struct network_options options;
  struct network *net; /* net->w: [width] and the bias */
  double *h;           /* [width] a state in f64 */
  bool unbiased;       /* the bias has no gradient */
};

size_t value_bytes(int32_t width);
int value_create(struct arena *a, const struct value_need *o, int32_t width, struct value_head **out,
                 struct error *err) MUST_USE;
/* h: [width] */
double value_at(struct value_head *v, const float *h);
/* gradient += coef * (h, 1) */
void value_add_gradient(struct value_head *v, const float *h, double coef);
/* One AdamW step; the gradient is zero afterwards. One that is not finite is ERROR_INPUT. */
int value_update(struct value_head *v, struct error *err) MUST_USE;

#endif

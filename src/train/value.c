#include "train/value.h"

size_t value_bytes(int32_t width)
{
  return ((size_t)width + 1) * 5 * sizeof(double);
}

int value_create(struct arena *a, const struct value_need *o, int32_t width, struct value_head **out, struct error *err)
{
  struct value_head *v = ARENA_NEW(a, struct value_head, 1, "value head", err);
  const struct rng_at nowhere = {0}; /* a linear network draws nothing */
  if (!v) return err->code;
  v->options = (struct network_options){.lr = o->lr,
                                        .beta1 = o->beta1,
                                        .beta2 = o->beta2,
                                        .eps = o->eps,
                                        .weight_decay = o->weight_decay,
                                        .clip_norm = o->clip_norm};
  v->unbiased = o->unbiased;
  v->h = ARENA_NEW(a, double, (size_t)width, "value head", err);
  if (!v->h) return err->code;
  TRY(network_create(a, width, 0, 0, &nowhere, &v->net, err));
  *out = v;
  return 0;
}

static const double *widen(struct value_head *v, const float *h)
{
  for (int32_t c = 0; c < v->net->inputs; c++) v->h[c] = (double)h[c];
  return v->h;
}

double value_at(struct value_head *v, const float *h)
{
  return network_at(v->net, widen(v, h));
}

void value_add_gradient(struct value_head *v, const float *h, double coef)
{
  network_add(v->net, widen(v, h), coef);
}

int value_update(struct value_head *v, struct error *err)
{
  if (v->unbiased) v->net->gradient[v->net->inputs] = 0;
  int rc = network_update(v->net, &v->options, err);
  return rc ? error_context(err, "value head") : 0;
}

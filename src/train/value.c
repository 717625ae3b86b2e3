#include "train/value.h"

#include <string.h>

#include "core/math.h"

size_t value_bytes(int32_t width)
{
  return ((size_t)width + 1) * 4 * sizeof(double);
}

int value_create(struct arena *a, const struct value_need *o, int32_t width, struct value_head **out, struct error *err)
{
  struct value_head *v = ARENA_NEW(a, struct value_head, 1, "value head", err);
  double *all = ARENA_NEW(a, double, ((size_t)width + 1) * 4, "value head", err);
  if (!v || !all) return err->code;
  size_t n = (size_t)width + 1;
  *v = (struct value_head){
      .options = *o, .width = width, .w = all, .grad = all + n, .first = all + 2 * n, .second = all + 3 * n};
  *out = v;
  return 0;
}

double value_at(const struct value_head *v, const float *h)
{
  double sum = 0;
  for (int32_t c = 0; c < v->width; c++) sum = math_fma(v->w[c], (double)h[c], sum);
  return sum + v->w[v->width];
}

void value_add_gradient(struct value_head *v, const float *h, double coef)
{
  for (int32_t c = 0; c < v->width; c++) v->grad[c] = math_fma(coef, (double)h[c], v->grad[c]);
  v->grad[v->width] += coef;
}

int value_update(struct value_head *v, struct error *err)
{
  const struct value_need *o = &v->options;
  double sum = 0, power1 = 1, power2 = 1;
  for (int32_t c = 0; c <= v->width; c++) sum = math_fma(v->grad[c], v->grad[c], sum);
  if (!math_is_finite(sum))
    FAIL(err, ERROR_INPUT,
         "the value head's gradient is not finite; expected finite value targets; look at the rewards, or lower the "
         "method's value learning rate");
  double norm = math_sqrt(sum), scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
  v->updates++;
  for (int64_t i = 0; i < v->updates; i++) {
    power1 *= o->beta1;
    power2 *= o->beta2;
  }
  for (int32_t c = 0; c <= v->width; c++) {
    double g = v->grad[c] * scale;
    v->first[c] = math_fma(o->beta1, v->first[c], (1 - o->beta1) * g);
    v->second[c] = math_fma(o->beta2, v->second[c], (1 - o->beta2) * (g * g));
    v->w[c] = math_fma(-(o->lr * o->weight_decay), v->w[c], v->w[c]);
    v->w[c] -= o->lr * ((v->first[c] / (1 - power1)) / (math_sqrt(v->second[c] / (1 - power2)) + o->eps));
    v->grad[c] = 0;
  }
  return 0;
}

void value_save(const struct value_head *v, struct text *out)
{
  size_t n = ((size_t)v->width + 1) * sizeof(double);
  text_add(out, &v->updates, sizeof v->updates);
  text_add(out, v->w, n);
  text_add(out, v->first, n);
  text_add(out, v->second, n);
}

int value_load(struct value_head *v, const void *bytes, size_t size, struct error *err)
{
  size_t n = ((size_t)v->width + 1) * sizeof(double);
  const char *from = bytes;
  if (size != sizeof v->updates + 3 * n)
    FAIL(err, ERROR_INPUT,
         "found %zu bytes for the value head; expected %zu for a model of width %d; take another "
         "checkpoint",
         size, sizeof v->updates + 3 * n, v->width);
  memcpy(&v->updates, from, sizeof v->updates);
  memcpy(v->w, from + sizeof v->updates, n);
  memcpy(v->first, from + sizeof v->updates + n, n);
  memcpy(v->second, from + sizeof v->updates + 2 * n, n);
  return 0;
}

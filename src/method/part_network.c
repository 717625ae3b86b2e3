#include "method/part_network.h"

#include <string.h>

#include "core/math.h"

static void randomise(struct network *n, uint64_t seed, const struct rng_at *at)
{
  struct rng_at where = *at;
  double first = 1 / math_sqrt((double)n->inputs), second = 1 / math_sqrt((double)n->hidden);
  int32_t matrix = n->hidden * n->inputs;
  for (int32_t i = 0; i < matrix + n->hidden; i++) {
    bool in_first = i < matrix;
    where.position = (uint32_t)i;
    n->w[in_first ? i : i + n->hidden] = (2 * rng_uniform(seed, &where) - 1) * (in_first ? first : second);
  }
}

int network_create(struct arena *a, int32_t inputs, int32_t hidden, uint64_t seed, const struct rng_at *at,
                   struct network **out, struct error *err)
{
  struct network *n = ARENA_NEW(a, struct network, 1, "network", err);
  ASSAY_BUG_IF(inputs < 1 || hidden < 0);
  if (!n) return err->code;
  n->inputs = inputs;
  n->hidden = hidden;
  n->count = hidden ? hidden * (inputs + 2) + 1 : inputs + 1;
  double *all = ARENA_NEW(a, double, 4 * (size_t)n->count + (size_t)hidden, "network", err);
  if (!all) return err->code;
  n->w = all;
  n->gradient = all + n->count;
  n->first = all + 2 * n->count;
  n->second = all + 3 * n->count;
  n->active = all + 4 * n->count;
  if (hidden) randomise(n, seed, at);
  *out = n;
  return 0;
}

static double dot(const double *a, const double *b, int32_t count, double start)
{
  for (int32_t i = 0; i < count; i++) start = math_fma(a[i], b[i], start);
  return start;
}

double network_at(struct network *n, const double *x)
{
  if (!n->hidden) return dot(n->w, x, n->inputs, 0) + n->w[n->inputs];
  const double *bias = n->w + n->hidden * n->inputs, *out = bias + n->hidden;
  for (int32_t j = 0; j < n->hidden; j++)
    n->active[j] = math_tanh(dot(n->w + j * n->inputs, x, n->inputs, 0) + bias[j]);
  return dot(out, n->active, n->hidden, 0) + out[n->hidden];
}

double network_add(struct network *n, const double *x, double coef)
{
  double f = network_at(n, x), *g = n->gradient;
  if (!n->hidden) {
    for (int32_t i = 0; i < n->inputs; i++) g[i] = math_fma(coef, x[i], g[i]);
    g[n->inputs] += coef;
    return f;
  }
  int32_t bias = n->hidden * n->inputs, out = bias + n->hidden;
  for (int32_t j = 0; j < n->hidden; j++) {
    double inner = coef * n->w[out + j] * (1 - n->active[j] * n->active[j]);
    for (int32_t i = 0; i < n->inputs; i++) g[j * n->inputs + i] = math_fma(inner, x[i], g[j * n->inputs + i]);
    g[bias + j] += inner;
    g[out + j] = math_fma(coef, n->active[j], g[out + j]);
  }
  g[out + n->hidden] += coef;
  return f;
}

int network_update(struct network *n, const struct network_options *o, struct error *err)
{
  double power1 = 1, power2 = 1, square = dot(n->gradient, n->gradient, n->count, 0), norm = math_sqrt(square);
  double scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
  if (!math_is_finite(square))
    FAIL(err, ERROR_INPUT,
         "the gradient of a method's network is not finite; expected finite inputs and targets; lower its learning "
         "rate, or look at the rewards");
  n->updates++;
  for (int64_t i = 0; i < n->updates; i++) {
    power1 *= o->beta1;
    power2 *= o->beta2;
  }
  for (int32_t i = 0; i < n->count; i++) {
    double g = n->gradient[i] * scale;
    n->first[i] = math_fma(o->beta1, n->first[i], (1 - o->beta1) * g);
    n->second[i] = math_fma(o->beta2, n->second[i], (1 - o->beta2) * (g * g));
    n->w[i] = math_fma(-(o->lr * o->weight_decay), n->w[i], n->w[i]);
    n->w[i] -= o->lr * ((n->first[i] / (1 - power1)) / (math_sqrt(n->second[i] / (1 - power2)) + o->eps));
    n->gradient[i] = 0;
  }
  return 0;
}

void network_save(const struct network *n, struct text *out)
{
  size_t bytes = (size_t)n->count * sizeof(double);
  text_add(out, &n->updates, sizeof n->updates);
  text_add(out, n->w, bytes);
  text_add(out, n->first, bytes);
  text_add(out, n->second, bytes);
}

int network_load(struct network *n, const void *bytes, size_t size, struct error *err)
{
  size_t part = (size_t)n->count * sizeof(double);
  const char *from = bytes;
  if (size != sizeof n->updates + 3 * part)
    FAIL(err, ERROR_INPUT,
         "found %zu bytes for a method's network; expected %zu for %d parameters; resume with the options that the run "
         "began with",
         size, sizeof n->updates + 3 * part, n->count);
  memcpy(&n->updates, from, sizeof n->updates);
  memcpy(n->w, from + sizeof n->updates, part);
  memcpy(n->first, from + sizeof n->updates + part, part);
  memcpy(n->second, from + sizeof n->updates + 2 * part, part);
  return 0;
}

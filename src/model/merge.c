#include "model/merge.h"

#include <string.h>

#include "core/math.h"
#include "core/rng.h"

/* ---- task vectors -------------------------------------------------------------------------------------------------
 */

static float task_number(float x, float base)
{
  return (float)((double)x - (double)base);
}

static bool is_kept(const struct merge_rule *r, const struct merge_place *at, size_t model, size_t i)
{
  uint64_t element = at->element + i;
  const struct rng_at address = {.purpose = RNG_MERGE,
                                 .step = at->tensor,
                                 .group = (uint32_t)(element >> 32),
                                 .rollout = (uint32_t)model,
                                 .position = (uint32_t)element};
  return rng_uniform(r->seed, &address) < r->density;
}

/* tau_t of number i after trimming or dropping. */
static double sparse_number(const struct merge_rule *r, const struct merge_place *at, size_t model, size_t i, float x,
                            float base)
{
  float tau = task_number(x, base);
  switch (r->method) {
    case MERGE_TIES:
      return math_abs((double)tau) >= (double)r->thresholds[model] ? (double)tau : 0;
    case MERGE_DARE:
    case MERGE_DARE_TIES:
      return is_kept(r, at, model, i) ? (double)tau / r->density : 0;
    case MERGE_AVERAGE:
    case MERGE_TASK:
      break;
  }
  return (double)tau;
}

/* ---- the methods --------------------------------------------------------------------------------------------------
 */

static double average(const struct merge_rule *r, size_t i, const float *const *models)
{
  double sum = 0, weight = 0;
  for (size_t t = 0; t < r->models; t++) {
    sum += r->weights[t] * (double)models[t][i];
    weight += r->weights[t];
  }
  return sum / weight;
}

static double add_tasks(const struct merge_rule *r, const struct merge_place *at, size_t i, const float *const *models,
                        float base)
{
  double sum = 0;
  for (size_t t = 0; t < r->models; t++) sum += r->weights[t] * sparse_number(r, at, t, i, models[t][i], base);
  return (double)base + r->scale * sum;
}

/* Elects the sign and takes the mean of those that have it. */
static double elect(const struct merge_rule *r, const struct merge_place *at, size_t i, const float *const *models,
                    float base)
{
  double all = 0, sum = 0, weight = 0;
  for (size_t t = 0; t < r->models; t++) all += r->weights[t] * sparse_number(r, at, t, i, models[t][i], base);
  for (size_t t = 0; t < r->models; t++) {
    double tau = sparse_number(r, at, t, i, models[t][i], base);
    if (!(all > 0 ? tau > 0 : all < 0 && tau < 0)) continue;
    sum += r->weights[t] * tau;
    weight += r->weights[t];
  }
  return (double)base + (weight > 0 ? r->scale * (sum / weight) : 0);
}

void merge_numbers(const struct merge_rule *r, const struct merge_place *at, size_t n, const float *const *models,
                   const float *base, float *out)
{
  bool elects = r->method == MERGE_TIES || r->method == MERGE_DARE_TIES;
  for (size_t i = 0; i < n; i++) {
    if (r->method == MERGE_AVERAGE)
      out[i] = (float)average(r, i, models);
    else
      out[i] = (float)(elects ? elect : add_tasks)(r, at, i, models, base[i]);
  }
}

/* ---- the largest of a task vector ---------------------------------------------------------------------------------
 */

static uint32_t magnitude(float x, float base)
{
  float tau = task_number(x, base);
  uint32_t bits;
  memcpy(&bits, &tau, sizeof bits);
  return bits & 0x7fffffffu;
}

void merge_select_add(struct merge_select *s, size_t n, const float *model, const float *base)
{
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = magnitude(model[i], base[i]);
    if (s->pass == 0) s->bins[bits >> 16]++;
    if (s->pass == 1 && bits >> 16 == s->upper) s->bins[bits & 0xffff]++;
  }
  if (s->pass == 0) s->total += n;
}

/* The bin that holds the left-th largest; left becomes its place within the bin. */
static uint32_t find_bin(const uint64_t *bins, uint64_t *left)
{
  uint32_t bin = MERGE_BINS - 1;
  while (bin > 0 && bins[bin] < *left) *left -= bins[bin--];
  return bin;
}

void merge_select_turn(struct merge_select *s, double density)
{
  double kept = math_floor(density * (double)s->total);
  s->left = kept < 1 ? 1 : (uint64_t)kept;
  s->upper = find_bin(s->bins, &s->left);
  memset(s->bins, 0, MERGE_BINS * sizeof *s->bins);
  s->pass = 1;
}

float merge_select_threshold(const struct merge_select *s)
{
  uint64_t left = s->left;
  uint32_t bits = s->upper << 16 | find_bin(s->bins, &left);
  float threshold;
  memcpy(&threshold, &bits, sizeof threshold);
  return threshold;
}

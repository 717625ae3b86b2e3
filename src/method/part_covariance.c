#include "method/part_covariance.h"

void covariance_of(const struct minibatch *m, double *out)
{
  double advantage = 0, logp = 0;
  for (int32_t i = 0; i < m->count; i++) {
    advantage += m->advantage[i];
    logp += m->logp[i];
  }
  for (int32_t i = 0; i < m->count; i++)
    out[i] = (m->advantage[i] - advantage / m->count) * (m->logp[i] - logp / m->count);
}

int32_t covariance_between(const double *covariance, const uint8_t *clipped, int32_t count, double low, double high,
                           int32_t *out)
{
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++)
    if (!clipped[i] && covariance[i] > low && covariance[i] < high) out[n++] = i;
  return n;
}

int32_t covariance_share(double share, int32_t count)
{
  if (!count) return 0;
  double n = share * count;
  return n >= count ? count : n < 1 ? 1 : (int32_t)n;
}

/* Down the heap of the taken, whose root is the smallest of them, of equal ones the last. */
static bool before(const double *c, int32_t a, int32_t b)
{
  return c[a] < c[b] || (!(c[b] < c[a]) && a > b);
}

static void sink(const double *c, int32_t *heap, int32_t n, int32_t at)
{
  for (;;) {
    int32_t least = at;
    for (int32_t child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++)
      if (before(c, heap[child], heap[least])) least = child;
    if (least == at) return;
    int32_t held = heap[at];
    heap[at] = heap[least];
    heap[least] = held;
    at = least;
  }
}

void covariance_largest(const double *covariance, int32_t count, int32_t take, int32_t *heap)
{
  for (int32_t i = 0; i < take; i++) heap[i] = i;
  for (int32_t i = take / 2 - 1; i >= 0; i--) sink(covariance, heap, take, i);
  for (int32_t i = take; i < count; i++) {
    if (!take || !before(covariance, heap[0], i)) continue;
    heap[0] = i;
    sink(covariance, heap, take, 0);
  }
}

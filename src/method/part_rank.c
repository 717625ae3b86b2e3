#include "method/part_rank.h"

#include <stdlib.h>

#include "core/math.h"

static const double NEAR = 1e-9;

int32_t rank_count(double share, int32_t n, enum rank_round rule)
{
  double x = share * n;
  switch (rule) {
    case RANK_CEIL:
      x = -math_floor(-(x - NEAR));
      break;
    case RANK_FLOOR:
      x = math_floor(x + NEAR);
      break;
    case RANK_ROUND:
      x = math_floor(x + 0.5 + NEAR);
      break;
  }
  return (int32_t)math_clamp(x, 0, n);
}

static int compare(const struct ranked *a, const struct ranked *b, bool falling)
{
  if (a->value < b->value) return falling ? 1 : -1;
  if (a->value > b->value) return falling ? -1 : 1;
  return (a->index > b->index) - (a->index < b->index);
}

static int rising_order(const void *a, const void *b)
{
  return compare(a, b, false);
}

static int falling_order(const void *a, const void *b)
{
  return compare(a, b, true);
}

void rank_sort(struct ranked *x, int32_t n, bool falling)
{
  /* No two entries are equal, so the order does not depend on the library's algorithm. */
  if (n > 1) qsort(x, (size_t)n, sizeof *x, falling ? falling_order : rising_order);
}

void rank_values(const double *x, int32_t n, bool falling, struct ranked *out)
{
  for (int32_t i = 0; i < n; i++) out[i] = (struct ranked){x[i], i};
  rank_sort(out, n, falling);
}

double rank_quantile(const struct ranked *x, int32_t n, double q)
{
  double place = q * (n - 1), whole = math_round(place);
  if (math_abs(place - whole) < NEAR) place = whole;
  int32_t j = (int32_t)math_floor(place);
  double past = place - j;
  return past > 0 ? x[j].value + past * (x[j + 1].value - x[j].value) : x[j].value;
}

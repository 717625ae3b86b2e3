/* links: model. The formulas of merging on numbers worked by hand (model/merge.h; Ilharco et al. 2022, Yadav et al.
   2023, Yu et al. 2023). */
#include "check.h"

#include <stdlib.h>

#include "core/arena.h"
#include "core/math.h"
#include "core/rng.h"
#include "model/merge.h"

enum { N = 6, MODELS = 3 };

/* Differences to the base:      2     -4     1     0     3    -1
                                 1      2    -1     0    -3    -2
                                -6      1     1     4     0    -3 */
static const float base[N] = {1, 2, 3, 4, 5, 6};
static const float models[MODELS][N] = {{3, -2, 4, 4, 8, 5}, {2, 4, 2, 4, 2, 4}, {-5, 3, 4, 8, 5, 3}};
static const float *const rows[MODELS] = {models[0], models[1], models[2]};
static const double even[MODELS] = {1, 1, 1}, uneven[MODELS] = {1, 2, 0.5};
static const struct merge_place start;

static void check(const char *what, const struct merge_rule *rule, const float want[N])
{
  float got[N];
  merge_numbers(rule, &start, N, rows, base, got);
  for (int i = 0; i < N; i++)
    if (got[i] < want[i] || got[i] > want[i])
      fail_msg("%s, number %d: got %.9g, want %.9g", what, i, (double)got[i], (double)want[i]);
}

static void test_average(void **state)
{
  (void)state;
  struct merge_rule r = {.method = MERGE_AVERAGE, .models = MODELS, .weights = even};
  check("average", &r, (const float[]){0, 5 / 3.f, 10 / 3.f, 16 / 3.f, 5, 4});
  r.weights = uneven; /* (x + 2 y + z / 2) / 3.5 */
  check("weighted", &r, (const float[]){4.5f / 3.5f, 7.5f / 3.5f, 10 / 3.5f, 16 / 3.5f, 14.5f / 3.5f, 14.5f / 3.5f});
  /* a model with itself is itself, to the bit */
  const float *const twice[] = {models[1], models[1]};
  float got[N];
  r.weights = even;
  r.models = 2;
  merge_numbers(&r, &start, N, twice, NULL, got);
  CHECK_BITS(got, models[1], sizeof got);
}

/* theta + lambda * sum of tau */
static void test_task_arithmetic(void **state)
{
  (void)state;
  struct merge_rule r = {.method = MERGE_TASK, .models = MODELS, .weights = even, .scale = 1};
  check("task", &r, (const float[]){-2, 1, 4, 8, 5, 0});
  r.scale = 0.5;
  check("half", &r, (const float[]){-0.5f, 1.5f, 3.5f, 6, 5, 3});
  r.scale = -1; /* forgetting by negation */
  check("negated", &r, (const float[]){4, 3, 2, 0, 5, 12});
  r.scale = 1;
  r.weights = uneven; /* 2 + 2 - 3, -4 + 4 + 0.5, 1 - 2 + 0.5, 2, 3 - 6, -1 - 4 - 1.5 */
  check("weighted", &r, (const float[]){2, 2.5f, 2.5f, 6, 2, -0.5f});
}

/* Trim to the half with the largest magnitudes, elect, mean of those that agree.
     2 -4 0 0 3 0      threshold 2 (magnitudes 4 3 2)
     0  2 0 0 -3 -2    threshold 2 (3 2 2)
    -6  0 0 4 0 -3     threshold 3 (6 4 3)
   signs of the sums -4, -2, 0, 4, 0, -5 */
static void test_ties(void **state)
{
  (void)state;
  float thresholds[MODELS];
  uint64_t bins[MERGE_BINS];
  for (int t = 0; t < MODELS; t++) {
    struct merge_select s = {.bins = bins};
    memset(bins, 0, sizeof bins);
    merge_select_add(&s, 2, models[t], base);
    merge_select_add(&s, N - 2, models[t] + 2, base + 2);
    merge_select_turn(&s, 0.5);
    merge_select_add(&s, N, models[t], base);
    thresholds[t] = merge_select_threshold(&s);
  }
  CHECK(thresholds[0] == 2 && thresholds[1] == 2 && thresholds[2] == 3);
  struct merge_rule r = {.method = MERGE_TIES, .models = MODELS, .weights = even, .scale = 1, .thresholds = thresholds};
  check("ties", &r, (const float[]){1 - 6, 2 - 4, 3, 4 + 4, 5, 6 - 2.5f});
  r.scale = 0.5;
  check("half", &r, (const float[]){1 - 3, 2 - 2, 3, 4 + 2, 5, 6 - 1.25f});
  r.scale = 1;
  r.weights = uneven; /* sums 2 - 3 = -1, -4 + 4 = 0, 0, 2, 3 - 6 = -3, -4 - 1.5 */
  check("weighted", &r, (const float[]){1 - 6, 2, 3, 4 + 4, 5 - 3, 6 - 5.5f / 2.5f});
  /* all of it: elects among all (sums -3 -1 1 4 0 -6) */
  const float none[MODELS] = {0, 0, 0};
  r.weights = even;
  r.thresholds = none;
  check("untrimmed", &r, (const float[]){1 - 6, 2 - 4, 3 + 1, 4 + 4, 5, 6 - 2});
}

/* Of many numbers the share that stays is the density, what stays is divided by it, and the address decides. */
static void test_dare(void **state)
{
  (void)state;
  enum { MANY = 20000 };
  static float x[MANY], zero[MANY], got[2][MANY];
  const float *const one[] = {x};
  struct merge_rule r = {.method = MERGE_DARE, .models = 1, .weights = even, .scale = 1, .density = 0.25, .seed = 3};
  for (int i = 0; i < MANY; i++) x[i] = 2;
  merge_numbers(&r, &start, MANY, one, zero, got[0]);
  int kept = 0;
  for (int i = 0; i < MANY; i++) {
    const struct rng_at at = {.purpose = RNG_MERGE, .position = (uint32_t)i};
    CHECK(got[0][i] == (rng_uniform(3, &at) < 0.25 ? 8 : 0));
    kept += got[0][i] > 0;
  }
  CHECK_CLOSE((double)kept / MANY, 0.25, 0.02, "six standard deviations of a share of 20,000");
  /* in pieces it is the same, with another seed it is not */
  const float *const rest[] = {x + 777};
  const struct merge_place later = {0, 777};
  merge_numbers(&r, &start, 777, one, zero, got[1]);
  merge_numbers(&r, &later, MANY - 777, rest, zero, got[1] + 777);
  CHECK_BITS(got[1], got[0], sizeof got[0]);
  r.seed = 4;
  merge_numbers(&r, &start, MANY, one, zero, got[1]);
  CHECK(memcmp(got[1], got[0], sizeof got[0]) != 0);
  /* density 1 drops nothing: task arithmetic, and ties without a trim */
  const float none[MODELS] = {0, 0, 0};
  struct merge_rule all = {.models = MODELS, .weights = uneven, .scale = 0.7, .density = 1, .thresholds = none};
  static const enum merge_method pairs[][2] = {{MERGE_DARE, MERGE_TASK}, {MERGE_DARE_TIES, MERGE_TIES}};
  for (int i = 0; i < 2; i++) {
    for (int k = 0; k < 2; k++) {
      all.method = pairs[i][k];
      merge_numbers(&all, &start, N, rows, base, got[k]);
    }
    CHECK_BITS(got[0], got[1], N * sizeof(float));
  }
}

/* The threshold is that of sorting, whatever the numbers. */
static int by_size(const void *a, const void *b)
{
  float x = *(const float *)a, y = *(const float *)b;
  return (x < y) - (x > y);
}

static void test_threshold_is_that_of_sorting(void **state)
{
  (void)state;
  enum { MANY = 5000 };
  static float x[MANY], zero[MANY], sorted[MANY];
  static uint64_t bins[MERGE_BINS];
  for (int i = 0; i < MANY; i++) {
    const struct rng_at at = {.purpose = RNG_TEST, .position = (uint32_t)i};
    x[i] = (float)(1e-3 * rng_normal(9, &at));
    sorted[i] = (float)math_abs((double)x[i]);
  }
  qsort(sorted, MANY, sizeof *sorted, by_size);
  const double densities[] = {1e-6, 0.001, 0.2, 0.5, 0.9999, 1};
  for (size_t d = 0; d < sizeof densities / sizeof *densities; d++) {
    struct merge_select s = {.bins = bins};
    memset(bins, 0, sizeof bins);
    merge_select_add(&s, MANY, x, zero);
    merge_select_turn(&s, densities[d]);
    merge_select_add(&s, MANY, x, zero);
    int keep = (int)math_floor(densities[d] * MANY);
    float want = sorted[keep < 1 ? 0 : keep - 1], got = merge_select_threshold(&s);
    CHECK_BITS(&got, &want, sizeof got);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_average), cmocka_unit_test(test_task_arithmetic),
                                     cmocka_unit_test(test_ties), cmocka_unit_test(test_dare),
                                     cmocka_unit_test(test_threshold_is_that_of_sorting)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The sampler's chain in f64 on a GPU is added as pairs of integers (cuda/sample.cu): for terms of all sizes, halves
   that the last bit decides, sums that pass a power of two, and terms that are no numbers, the bits are those of adding
   one after the other. */
#include "check.h"
#include "source.h"

#include "compute/cuda/sample.cu"

static struct draw_shared shared;

/* Terms like those of a softmax, around `below` powers of two below the sum; odd: the last bit is set, so that halves
   of the sum's last place are met. */
static real make_term(struct source *s, double sum, int below, bool odd)
{
  uint32_t bits;
  real x = (real)(sum * (1 + (double)source_below(s, 1 << 20) * 0x1p-20));
  memcpy(&bits, &x, sizeof bits);
  const uint32_t down = (uint32_t)below + (uint32_t)source_below(s, 3);
  if (bits >> 23 <= down) return 0;
  bits -= down << 23;
  if (odd) bits |= 1;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Chunk 0 of the shared weights on top of `sum`; *fast: by integers. */
static double add_chunk(double sum, bool *fast)
{
  const double scale = unit_scale(sum);
  for (int i = 0; i < TEAM; i++) shared.unit[0][i] = unit_of(shared.weight[0][i], scale);
  for (int part = 0; part < WARP; part++) chunk_part(&shared, 0, part);
  const double by_units = chunk_add(&shared, 0, sum, scale);
  // the same with terms that one by one would count twice: only integers can have given the sum
  for (int i = 0; i < TEAM; i++) shared.weight[0][i] *= 2;
  const double other = chunk_add(&shared, 0, sum, scale);
  for (int i = 0; i < TEAM; i++) shared.weight[0][i] /= 2;
  *fast = !memcmp(&other, &by_units, sizeof other);
  return by_units;
}

static double add_one_by_one(double sum)
{
  for (int i = 0; i < TEAM; i++) sum += (double)shared.weight[0][i];
  return sum;
}

static void check_sum(double sum, int *fast_ones)
{
  bool fast;
  const double got = add_chunk(sum, &fast), want = add_one_by_one(sum);
  CHECK_BITS(&got, &want, sizeof got);
  *fast_ones += fast;
}

static void test_terms_of_all_sizes(void **state)
{
  (void)state;
  struct source s = {1, 0};
  int fast = 0, cases = 0;
  for (int below = 1; below < 70; below++)
    for (int odd = 0; odd < 2; odd++)
      for (int i = 0; i < 40; i++, cases++) {
        const double sum =
            (1 + (double)source_below(&s, 1 << 30) * 0x1p-30 + (double)source_below(&s, 1 << 22) * 0x1p-52) *
            (double)(1 << source_below(&s, 18));
        for (int t = 0; t < TEAM; t++) shared.weight[0][t] = make_term(&s, sum, below, odd);
        check_sum(sum, &fast);
      }
  print_message("%d of %d by integers\n", fast, cases);
  CHECK(fast > cases / 2);
}

/* All terms exactly half a unit: from an even sum each goes nowhere, from an odd one the first moves it. */
static void test_halves(void **state)
{
  (void)state;
  int fast = 0;
  for (int i = 0; i < TEAM; i++) shared.weight[0][i] = 0x1p-53f;
  check_sum(1, &fast);
  check_sum(1 + 0x1p-52, &fast);
  CHECK_INT(fast, 2);
  bool by_units;
  CHECK(add_chunk(1, &by_units) == 1);
  CHECK(add_chunk(1 + 0x1p-52, &by_units) == 1 + 0x1p-51);
  for (int i = 0; i < TEAM; i++)
    shared.weight[0][i] = (i % 3 ? 3 : 5) * 0x1p-53f; /* one unit and a half, two and a half */
  check_sum(1, &fast);
  check_sum(1 + 0x1p-52, &fast);
  CHECK_INT(fast, 4);
}

/* Powers of two that are reached exactly, passed, and nearly reached. */
static void test_edges(void **state)
{
  (void)state;
  struct source s = {2, 0};
  int fast = 0;
  for (int i = 0; i < 4000; i++) {
    const double edge = (double)(1 << (1 + source_below(&s, 10)));
    const double sum = edge - edge * (double)(1 + source_below(&s, 600)) * 0x1p-53;
    for (int t = 0; t < TEAM; t++)
      shared.weight[0][t] = (real)((double)source_below(&s, 5) * edge * (source_below(&s, 2) ? 0x1p-54 : 0x1p-55));
    check_sum(sum, &fast);
  }
  CHECK(fast > 100 && fast < 3900);
  memset(shared.weight, 0, sizeof shared.weight);
  shared.weight[0][7] = 1;
  check_sum(0, &fast); /* nothing yet */
  shared.weight[0][9] = real_of(0x7fc00000u);
  check_sum(1, &fast);
  shared.weight[0][9] = REAL_INFINITY;
  check_sum(1, &fast);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_terms_of_all_sizes), cmocka_unit_test(test_halves),
                                     cmocka_unit_test(test_edges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

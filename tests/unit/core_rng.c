#include "check.h"
#include "core/math.h"
#include "core/rng.h"

/* The known-answer vectors of Random123 (kat_vectors, "philox4x32 10"). */
static void test_published_vectors(void **state)
{
  (void)state;
  static const uint32_t rows[3][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                       {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
                                        0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                       {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                        0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; i++) {
    uint32_t out[4];
    rng_philox(rows[i], rows[i] + 4, out);
    CHECK_BITS(out, rows[i] + 6, sizeof out);
  }
}

/* Each field of the address, and each half of the seed, changes the block. */
static void test_every_field_counts(void **state)
{
  (void)state;
  uint32_t blocks[10][4];
  for (uint32_t i = 0; i < 10; i++) {
    uint32_t f[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    if (i < 9) f[i] ^= 0x80000000u;
    struct rng_at at = {f[0], f[1], f[2], f[3], f[4], f[5], f[6]};
    rng_block((uint64_t)f[8] << 32 | f[7], &at, blocks[i]);
    for (uint32_t j = 0; j < i; j++) CHECK(memcmp(blocks[i], blocks[j], sizeof blocks[i]) != 0);
  }
  uint32_t again[4];
  struct rng_at at = {1, 2, 3, 4, 5, 6, 7};
  rng_block(9ull << 32 | 8, &at, again);
  CHECK_BITS(again, blocks[9], sizeof again);
}

enum { DRAWS = 200000 };

static void test_moments(void **state)
{
  (void)state;
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0, normal_fourth = 0;
  struct rng_at at = {.purpose = RNG_TEST};
  for (uint32_t i = 0; i < DRAWS; i++) {
    at.position = i;
    double u = rng_uniform(7, &at), z = rng_normal(7, &at);
    CHECK(u >= 0 && u < 1);
    sum += u;
    squares += u * u;
    normal_sum += z;
    normal_squares += z * z;
    normal_fourth += z * z * z * z;
  }
  CHECK_CLOSE(sum / DRAWS, 0.5, 5 * 0.2887 / 447, "5 sigma of a mean of 200000");
  CHECK_CLOSE(squares / DRAWS, 1.0 / 3, 5 * 0.2981 / 447, "5 sigma");
  CHECK_CLOSE(normal_sum / DRAWS, 0.0, 5 * 1.0 / 447, "5 sigma");
  CHECK_CLOSE(normal_squares / DRAWS, 1.0, 5 * 1.4142 / 447, "5 sigma");
  CHECK_CLOSE(normal_fourth / DRAWS, 3.0, 5 * 9.798 / 447, "5 sigma");
}

static void test_below(void **state)
{
  (void)state;
  struct rng_at at = {.purpose = RNG_TEST};
  int counts[7] = {0};
  for (uint32_t i = 0; i < 70000; i++) {
    at.draw = i;
    counts[rng_below(3, &at, 7)]++;
  }
  for (int i = 0; i < 7; i++) CHECK_CLOSE(counts[i], 10000, 5 * 92.6, "5 sigma of a binomial");
  CHECK_INT(rng_below(3, &at, 1), 0);
  /* Just above 2^31, half of all draws are rejected: the walk must go on and stay in range. */
  double mean = 0;
  for (uint32_t i = 0; i < 10000; i++) {
    at.draw = i;
    uint32_t x = rng_below(5, &at, 0x80000001u);
    CHECK(x <= 0x80000000u);
    mean += x;
  }
  CHECK_CLOSE(mean / 10000 / 0x1p31, 0.5, 5 * 0.2887 / 100, "5 sigma");
}

static void test_shuffle(void **state)
{
  (void)state;
  struct rng_at at = {.purpose = RNG_SHUFFLE, .step = 1};
  uint32_t order[100], again[100];
  rng_shuffle(11, &at, order, 100);
  rng_shuffle(11, &at, again, 100);
  CHECK_BITS(order, again, sizeof order);
  bool seen[100] = {false};
  int moved = 0;
  for (uint32_t i = 0; i < 100; i++) {
    CHECK(order[i] < 100 && !seen[order[i]]);
    seen[order[i]] = true;
    moved += order[i] != i;
  }
  CHECK(moved > 80);
  /* All six orders of three come equally often. */
  int counts[27] = {0};
  for (uint32_t i = 0; i < 6000; i++) {
    at.step = i;
    uint32_t o[3];
    rng_shuffle(11, &at, o, 3);
    counts[o[0] * 9 + o[1] * 3 + o[2]]++;
  }
  static const int orders[6] = {5, 7, 11, 15, 19, 21};
  for (int i = 0; i < 6; i++) CHECK_CLOSE(counts[orders[i]], 1000, 5 * 28.9, "5 sigma of a binomial");
  rng_shuffle(11, &at, order, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_published_vectors),
                                     cmocka_unit_test(test_every_field_counts), cmocka_unit_test(test_moments),
                                     cmocka_unit_test(test_below), cmocka_unit_test(test_shuffle)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

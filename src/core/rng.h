/* core/rng: counter-based random numbers (law 2). Philox 4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"), keyed by the run's seed, counted by what the number is for. There is no state to save. */
#ifndef ASSAY_CORE_RNG_H
#define ASSAY_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum rng_purpose {
  RNG_TRAIN = 1,
  RNG_EVAL,
  RNG_GENERATE,
  RNG_SHUFFLE,
  RNG_TASK,
  RNG_INIT,
  RNG_BENCH,
  RNG_TEST,
  RNG_MERGE,
  RNG_METHOD = 256
};

/* What a random number is for. Equal addresses under one seed give equal numbers, whatever ran before. RNG_METHOD + i
   is method i's own. The fields are hashed (Philox over two blocks), so each may use its full range. */
struct rng_at {
  uint32_t purpose; /* enum rng_purpose */
  uint32_t step;
  uint32_t group; /* group ordinal in the step */
  uint32_t attempt;
  uint32_t rollout;
  uint32_t position; /* absolute position of the token, or the index of the item */
  uint32_t draw;
};

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
void rng_block(uint64_t seed, const struct rng_at *at, uint32_t out[4]);
double rng_uniform(uint64_t seed, const struct rng_at *at); /* in [0, 1), 53 bits */
double rng_normal(uint64_t seed, const struct rng_at *at);  /* mean 0, variance 1 (Box-Muller in f64, core/math) */
uint32_t rng_below(uint64_t seed, const struct rng_at *at,
                   uint32_t n); /* 0..n-1, unbiased: rejection walks `draw` in the 2^31 upper half */
/* Fisher-Yates of 0..n-1 into order; uses position = 0..n-1 of `at`. */
void rng_shuffle(uint64_t seed, const struct rng_at *at, uint32_t *order, size_t n);

#endif

#include "core/rng.h"

#include "core/error.h"
#include "core/math.h"

/* Philox 4x32-10, constants of the paper (table 2 and section 4.3). */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)b;
    c3 = (uint32_t)a;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* Two blocks chained: the first binds purpose, step, group, attempt to the seed, the second its result (as key and by
 * xor) to rollout, position and draw. */
void rng_block(uint64_t seed, const struct rng_at *at, uint32_t out[4])
{
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, mixed[4];
  const uint32_t where[4] = {at->purpose, at->step, at->group, at->attempt};
  rng_philox(where, key, mixed);
  const uint32_t next[4] = {mixed[0] ^ at->rollout, mixed[1] ^ at->position, mixed[2] ^ at->draw, mixed[3]};
  rng_philox(next, key, out);
}

static double uniform_of(uint32_t high, uint32_t low)
{
  uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
  return (double)bits * 0x1p-53;
}

double rng_uniform(uint64_t seed, const struct rng_at *at)
{
  uint32_t block[4];
  rng_block(seed, at, block);
  return uniform_of(block[0], block[1]);
}

double rng_normal(uint64_t seed, const struct rng_at *at)
{
  uint32_t block[4];
  rng_block(seed, at, block);
  /* 1 - u lies in (0, 1], so the logarithm is finite. */
  double radius = math_sqrt(-2.0 * math_log(1.0 - uniform_of(block[0], block[1])));
  return radius * math_cos(6.283185307179586 * uniform_of(block[2], block[3]));
}

uint32_t rng_below(uint64_t seed, const struct rng_at *at, uint32_t n)
{
  ASSAY_BUG_IF(n == 0);
  /* Numbers below 2^32 mod n would be too frequent by one: they are drawn again, in the upper half of `draw`. */
  uint32_t excess = (uint32_t)(-n) % n;
  struct rng_at again = *at;
  for (uint32_t walk = 0;; walk++) {
    uint32_t block[4];
    rng_block(seed, &again, block);
    for (int i = 0; i < 4; i++) {
      if (block[i] >= excess) return (block[i] - excess) % n;
    }
    again.draw = (at->draw + walk) | 0x80000000u;
  }
}

void rng_shuffle(uint64_t seed, const struct rng_at *at, uint32_t *order, size_t n)
{
  ASSAY_BUG_IF(n > UINT32_MAX);
  for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
  struct rng_at here = *at;
  for (size_t i = n; i > 1; i--) {
    here.position = (uint32_t)(i - 1);
    uint32_t j = rng_below(seed, &here, (uint32_t)i), kept = order[i - 1];
    order[i - 1] = order[j];
    order[j] = kept;
  }
}

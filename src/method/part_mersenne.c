#include "method/part_mersenne.h"

enum { STATE = 624, SHIFT = 397 };
struct mersenne {
  uint32_t state[STATE];
  int at;
};

static void seed_state(struct mersenne *m, uint32_t seed)
{
  m->state[0] = seed;
  for (uint32_t i = 1; i < STATE; i++) {
    uint32_t last = m->state[i - 1];
    m->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
  }
  m->at = STATE;
}

static uint32_t next(struct mersenne *m)
{
  if (m->at == STATE) {
    for (int k = 0; k < STATE; k++) {
      uint32_t y = (m->state[k] & 0x80000000u) | (m->state[(k + 1) % STATE] & 0x7fffffffu);
      m->state[k] = m->state[(k + SHIFT) % STATE] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    m->at = 0;
  }
  uint32_t y = m->state[m->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

void mersenne_permutation(uint32_t seed, int32_t n, int32_t *out)
{
  struct mersenne m;
  seed_state(&m, seed);
  for (int32_t i = 0; i < n; i++) out[i] = i;
  for (int32_t i = 0; i + 1 < n; i++) {
    int32_t other = i + (int32_t)(next(&m) % (uint32_t)(n - i)), held = out[i];
    out[i] = out[other];
    out[other] = held;
  }
}

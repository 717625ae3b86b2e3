#include "compute/quant.h"

#include <string.h>
#include "compute/cpu/quant.h"
#include "core/math.h"

bool quant_known(uint32_t type)
{
  return type > 0 && type < QUANT_FORMS && quant_forms[type].block > 0;
}

size_t quant_block(enum quant_type type)
{
  return quant_forms[type].block;
}

size_t quant_block_bytes(enum quant_type type)
{
  return quant_forms[type].bytes;
}

size_t quant_matrix_bytes(enum quant_type type, size_t n, size_t k)
{
  return (n + PANEL - 1) / PANEL * quant_panel_bytes(&quant_forms[type], k);
}

bool quant_can_write(enum quant_type type)
{
  return type == QUANT_Q8_0 || type == QUANT_Q4_0;
}

static void put_f16(uint8_t *to, float x)
{
  const uint16_t bits = math_f16_from_f32(x);
  to[0] = (uint8_t)bits;
  to[1] = (uint8_t)(bits >> 8);
}

static float absolute(float x)
{
  return x < 0 ? -x : x;
}

/* 1/d; where that is no number all codes are those of 0, and so is d as f16. */
static float inverse(float d)
{
  const float x = d < 0 || d > 0 ? 1.0f / d : 0.0f;
  return absolute(x) <= 3.4e38f ? x : 0.0f;
}

/* To the nearest, halves away from zero: |x| <= 127.5. */
static int round_away(float x)
{
  const int whole = (int)x;
  const float rest = x - (float)whole;
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* d = max |x| / 127; q = round(x / d). */
static void write_q8_0(const float *x, uint8_t *to)
{
  float most = 0;
  for (int i = 0; i < 32; i++) most = absolute(x[i]) > most ? absolute(x[i]) : most;
  const float d = most / 127.0f, id = inverse(d);
  put_f16(to, d);
  for (int i = 0; i < 32; i++) to[2 + i] = (uint8_t)(int8_t)round_away(x[i] * id);
}

/* d = the x of the largest |x|, over -8; q = floor(x / d + 8.5), at most 15. The first half has the low nibbles. */
static void write_q4_0(const float *x, uint8_t *to)
{
  float most = 0, edge = 0;
  for (int i = 0; i < 32; i++)
    if (absolute(x[i]) > most) {
      most = absolute(x[i]);
      edge = x[i];
    }
  const float d = edge / -8.0f, id = inverse(d);
  put_f16(to, d);
  for (int i = 0; i < 16; i++) {
    const int low = (int)(x[i] * id + 8.5f), high = (int)(x[16 + i] * id + 8.5f);
    to[2 + i] = (uint8_t)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
  }
}

void quant_write(enum quant_type type, const float *from, size_t n, uint8_t *to)
{
  ASSAY_BUG_IF(!quant_can_write(type) || n % 32);
  const size_t bytes = quant_block_bytes(type);
  for (size_t i = 0; i < n; i += 32, to += bytes) (type == QUANT_Q8_0 ? write_q8_0 : write_q4_0)(from + i, to);
}

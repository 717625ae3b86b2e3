/* Tensor types of GGUF and their values. The block formats are those of ggml's ggml-common.h; values come out with the
 * same operations as ggml's reference (product and sum rounded one after the other), so bits are equal. */
#include <string.h>

#include "core/math.h"
#include "model/gguf.h"

static const struct {
  uint32_t type;
  const char *name;
  uint32_t elements, bytes;
} types[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
};
enum { TYPES = sizeof types / sizeof types[0], MOST_BYTES = 292 /* of a block */ };

bool gguf_block(uint32_t type, uint32_t *elements, uint32_t *bytes)
{
  for (int i = 0; i < TYPES; i++) {
    if (types[i].type != type) continue;
    *elements = types[i].elements;
    *bytes = types[i].bytes;
    return true;
  }
  return false;
}

const char *gguf_tensor_type_name(uint32_t type)
{
  for (int i = 0; i < TYPES; i++)
    if (types[i].type == type) return types[i].name;
  return "unknown";
}

static uint16_t load_u16(const uint8_t *p)
{
  return (uint16_t)(p[0] | p[1] << 8);
}

static float load_f16(const uint8_t *p)
{
  return math_f32_from_f16(load_u16(p));
}

/* ---- numbers by themselves ------------------------------------------------------------------------------------- */

static void read_f32(const uint8_t *p, float *to)
{
  uint32_t bits = (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
  memcpy(to, &bits, sizeof bits);
}

static void read_f16(const uint8_t *p, float *to)
{
  *to = load_f16(p);
}

static void read_bf16(const uint8_t *p, float *to)
{
  *to = math_f32_from_bf16(load_u16(p));
}

/* ---- blocks of 32: a byte of codes holds value i low, value i + 16 high ------------------------------------------ */

enum { HALF = 16, BLOCK = 32 };

/* x = d * q, q a signed byte. */
static void read_q8_0(const uint8_t *b, float *to)
{
  float d = load_f16(b);
  for (int i = 0; i < BLOCK; i++) to[i] = d * (float)(int8_t)b[2 + i];
}

/* x = d * (q - 8) */
static void read_q4_0(const uint8_t *b, float *to)
{
  float d = load_f16(b);
  for (int i = 0; i < HALF; i++) {
    to[i] = (float)((b[2 + i] & 15) - 8) * d;
    to[i + HALF] = (float)((b[2 + i] >> 4) - 8) * d;
  }
}

/* x = d * q + m */
static void read_q4_1(const uint8_t *b, float *to)
{
  float d = load_f16(b), m = load_f16(b + 2);
  for (int i = 0; i < HALF; i++) {
    to[i] = (float)(b[4 + i] & 15) * d + m;
    to[i + HALF] = (float)(b[4 + i] >> 4) * d + m;
  }
}

/* The fifth bit of value i in 4 bytes. */
static int fifth(const uint8_t *bits, int i)
{
  return ((bits[i / 8] >> (i % 8)) & 1) << 4;
}

/* x = d * (q - 16) */
static void read_q5_0(const uint8_t *b, float *to)
{
  float d = load_f16(b);
  for (int i = 0; i < HALF; i++) {
    to[i] = (float)(((b[6 + i] & 15) | fifth(b + 2, i)) - 16) * d;
    to[i + HALF] = (float)(((b[6 + i] >> 4) | fifth(b + 2, i + HALF)) - 16) * d;
  }
}

/* x = d * q + m */
static void read_q5_1(const uint8_t *b, float *to)
{
  float d = load_f16(b), m = load_f16(b + 2);
  for (int i = 0; i < HALF; i++) {
    to[i] = (float)((b[8 + i] & 15) | fifth(b + 4, i)) * d + m;
    to[i + HALF] = (float)((b[8 + i] >> 4) | fifth(b + 4, i + HALF)) * d + m;
  }
}

/* Sixteen values that lie denser around 0. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void read_iq4_nl(const uint8_t *b, float *to)
{
  float d = load_f16(b);
  for (int i = 0; i < HALF; i++) {
    to[i] = d * (float)iq4_values[b[2 + i] & 15];
    to[i + HALF] = d * (float)iq4_values[b[2 + i] >> 4];
  }
}

/* E2M1 times two, and half the power of two of an E8M0 exponent. */
static void read_mxfp4(const uint8_t *b, float *to)
{
  static const int8_t values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  uint32_t bits = b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23;
  float d;
  memcpy(&d, &bits, sizeof d);
  for (int i = 0; i < HALF; i++) {
    to[i] = (float)values[b[1 + i] & 15] * d;
    to[i + HALF] = (float)values[b[1 + i] >> 4] * d;
  }
}

/* ---- blocks of 256: sub-blocks of 16 or 32 with scales of their own ---------------------------------------------- */

enum { SUPER = 256 };

/* x = (d * s) * q - (dmin * t), 2 bits; four sub-blocks of 32 share their bytes. */
static void read_q2_k(const uint8_t *b, float *to)
{
  const uint8_t *scales = b, *codes = b + 16;
  float d = load_f16(b + 80), least = load_f16(b + 82);
  for (int k = 0; k < SUPER; k++) {
    int q = (codes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2)) & 3, s = scales[k / 16];
    to[k] = d * (float)(s & 15) * (float)q - least * (float)(s >> 4);
  }
}

/* The 6 bits of scale i of 16, which lie in 12 bytes: low halves, then the pairs above them. */
static int q3_scale(const uint8_t *b, int i)
{
  int low = i < 8 ? b[i] & 15 : b[i - 8] >> 4, high = (b[8 + i % 4] >> (i / 4 * 2)) & 3;
  return (low | high << 4) - 32;
}

/* x = (d * s) * (q - 4), 3 bits of which the third lies apart. */
static void read_q3_k(const uint8_t *b, float *to)
{
  const uint8_t *third = b, *codes = b + 32;
  float d = load_f16(b + 108);
  for (int k = 0; k < SUPER; k++) {
    int q = (codes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2)) & 3, high = (third[k % 32] >> (k / 32)) & 1;
    to[k] = d * (float)q3_scale(b + 96, k / 16) * (float)(q - (high ? 0 : 4));
  }
}

/* Scale and offset of sub-block i of 8, 6 bits each in 12 bytes. */
static void k4_scale(const uint8_t *b, int i, int *scale, int *offset)
{
  *scale = i < 4 ? b[i] & 63 : (b[i + 4] & 15) | (b[i - 4] >> 6) << 4;
  *offset = i < 4 ? b[i + 4] & 63 : b[i + 4] >> 4 | (b[i] >> 6) << 4;
}

/* x = (d * s) * q - (dmin * t); sub-blocks 2 j and 2 j + 1 share 32 bytes. high: the fifth bits, or NULL. */
static void read_k4(const uint8_t *b, const uint8_t *codes, const uint8_t *high, float *to)
{
  float d = load_f16(b), least = load_f16(b + 2);
  for (int i = 0; i < 8; i++) {
    int scale, offset;
    k4_scale(b + 4, i, &scale, &offset);
    float s = d * (float)scale, m = least * (float)offset;
    for (int j = 0; j < BLOCK; j++) {
      int byte = codes[i / 2 * BLOCK + j], q = i % 2 ? byte >> 4 : byte & 15;
      if (high) q |= ((high[j] >> i) & 1) << 4;
      to[i * BLOCK + j] = s * (float)q - m;
    }
  }
}

static void read_q4_k(const uint8_t *b, float *to)
{
  read_k4(b, b + 16, NULL, to);
}

static void read_q5_k(const uint8_t *b, float *to)
{
  read_k4(b, b + 48, b + 16, to);
}

/* x = (d * s) * (q - 32), 6 bits: 4 of them in nibbles, 2 apart. */
static void read_q6_k(const uint8_t *b, float *to)
{
  const uint8_t *low = b, *high = b + 128;
  float d = load_f16(b + 208);
  for (int k = 0; k < SUPER; k++) {
    int half = k / 128, quarter = k % 128 / 32, byte = low[half * 64 + quarter % 2 * 32 + k % 32];
    int q = (quarter < 2 ? byte & 15 : byte >> 4) | ((high[half * 32 + k % 32] >> (2 * quarter)) & 3) << 4;
    to[k] = d * (float)(int8_t)b[192 + k / 16] * (float)(q - 32);
  }
}

/* IQ4_NL's values with scales of 6 bits for each 32. */
static void read_iq4_xs(const uint8_t *b, float *to)
{
  float d = load_f16(b);
  unsigned high = load_u16(b + 2);
  for (int i = 0; i < 8; i++) {
    int scale = ((b[4 + i / 2] >> (i % 2 * 4)) & 15) | (int)((high >> (2 * i)) & 3) << 4;
    float s = d * (float)(scale - 32);
    for (int j = 0; j < HALF; j++) {
      to[i * BLOCK + j] = s * (float)iq4_values[b[8 + i * HALF + j] & 15];
      to[i * BLOCK + j + HALF] = s * (float)iq4_values[b[8 + i * HALF + j] >> 4];
    }
  }
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* swap2: places of 16-bit numbers in a block, which stand the other way round in a big-endian file; -1: none. Types
   whose blocks nobody writes big-endian have no_swap. */
static const struct reader {
  uint32_t type;
  void (*read)(const uint8_t *block, float *to);
  bool no_swap;
  int swap2[2];
} readers[] = {
    {GGUF_F32, read_f32, false, {-1, -1}},     {GGUF_F16, read_f16, false, {0, -1}},
    {GGUF_BF16, read_bf16, false, {0, -1}},    {GGUF_Q8_0, read_q8_0, false, {0, -1}},
    {GGUF_Q4_0, read_q4_0, false, {0, -1}},    {GGUF_Q4_1, read_q4_1, false, {0, 2}},
    {GGUF_Q5_0, read_q5_0, true, {-1, -1}},    {GGUF_Q5_1, read_q5_1, true, {-1, -1}},
    {GGUF_Q2_K, read_q2_k, false, {80, 82}},   {GGUF_Q3_K, read_q3_k, false, {108, -1}},
    {GGUF_Q4_K, read_q4_k, false, {0, 2}},     {GGUF_Q5_K, read_q5_k, false, {0, 2}},
    {GGUF_Q6_K, read_q6_k, false, {208, -1}},  {GGUF_IQ4_NL, read_iq4_nl, false, {0, -1}},
    {GGUF_IQ4_XS, read_iq4_xs, false, {0, 2}}, {GGUF_MXFP4, read_mxfp4, false, {-1, -1}},
};

static const struct reader *find_reader(uint32_t type)
{
  for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
    if (readers[i].type == type) return &readers[i];
  return NULL;
}

bool gguf_can_read(const struct gguf_tensor *t)
{
  const struct reader *r = find_reader(t->type);
  return r && !(t->big_endian && r->no_swap);
}

static void swap(uint8_t *b, int i, int j)
{
  uint8_t x = b[i];
  b[i] = b[j];
  b[j] = x;
}

/* One block of a big-endian file as it would stand in a little-endian one. */
static void turn_block(const struct reader *r, uint8_t *b)
{
  for (int i = 0; i < 2; i++)
    if (r->swap2[i] >= 0) swap(b, r->swap2[i], r->swap2[i] + 1);
  if (r->type != GGUF_F32) return;
  swap(b, 0, 3);
  swap(b, 1, 2);
}

void gguf_read_blocks(const struct gguf_tensor *t, uint64_t first, size_t n, uint8_t *to)
{
  uint32_t elements, bytes;
  const struct reader *r = find_reader(t->type);
  ASSAY_BUG_IF(!r || first > t->elements || n > t->elements - first);
  ASSAY_BUG_IF(!gguf_block(t->type, &elements, &bytes) || first % elements || n % elements);
  if (!n) return;
  memcpy(to, t->data + first / elements * bytes, n / elements * bytes);
  for (size_t i = 0; t->big_endian && i < n / elements; i++) turn_block(r, to + i * bytes);
}

void gguf_read_f32(const struct gguf_tensor *t, uint64_t first, size_t n, float *to)
{
  uint32_t elements, bytes;
  const struct reader *r = find_reader(t->type);
  ASSAY_BUG_IF(!r || first > t->elements || n > t->elements - first);
  ASSAY_BUG_IF(!gguf_block(t->type, &elements, &bytes) || first % elements || n % elements);
  const uint8_t *p = t->data + first / elements * bytes;
  for (size_t i = 0; i < n; i += elements, p += bytes) {
    uint8_t turned[MOST_BYTES];
    if (!t->big_endian) {
      r->read(p, to + i);
      continue;
    }
    memcpy(turned, p, bytes);
    turn_block(r, turned);
    r->read(turned, to + i);
  }
}

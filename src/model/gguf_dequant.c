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
enum { TYPES = sizeof types / sizeof types[0], BLOCK = 32 };

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

bool gguf_can_read(const struct gguf_tensor *t)
{
  return t->type <= GGUF_Q4_1 || t->type == GGUF_Q8_0 || t->type == GGUF_BF16;
}

static uint16_t load_u16(const uint8_t *p)
{
  return (uint16_t)(p[0] | p[1] << 8);
}

static void read_plain(const struct gguf_tensor *t, uint64_t first, size_t n, float *to)
{
  const uint8_t *p = t->data + first * (t->type == GGUF_F32 ? 4 : 2);
  for (size_t i = 0; i < n; i++) {
    if (t->type == GGUF_F32) {
      uint32_t bits = (uint32_t)load_u16(p + 4 * i) | (uint32_t)load_u16(p + 4 * i + 2) << 16;
      memcpy(to + i, &bits, sizeof bits);
    } else {
      uint16_t bits = load_u16(p + 2 * i);
      to[i] = t->type == GGUF_F16 ? math_f32_from_f16(bits) : math_f32_from_bf16(bits);
    }
  }
}

/* x = d * q, q a signed byte. */
static void block_q8_0(const uint8_t *b, float *to)
{
  float d = math_f32_from_f16(load_u16(b));
  for (int i = 0; i < BLOCK; i++) to[i] = d * (float)(int8_t)b[2 + i];
}

/* x = d * (q - 8); the low nibbles are the first half of the block. */
static void block_q4_0(const uint8_t *b, float *to)
{
  float d = math_f32_from_f16(load_u16(b));
  for (int i = 0; i < BLOCK / 2; i++) {
    to[i] = (float)((b[2 + i] & 15) - 8) * d;
    to[i + BLOCK / 2] = (float)((b[2 + i] >> 4) - 8) * d;
  }
}

/* x = d * q + m. */
static void block_q4_1(const uint8_t *b, float *to)
{
  float d = math_f32_from_f16(load_u16(b)), m = math_f32_from_f16(load_u16(b + 2));
  for (int i = 0; i < BLOCK / 2; i++) {
    to[i] = (float)(b[4 + i] & 15) * d + m;
    to[i + BLOCK / 2] = (float)(b[4 + i] >> 4) * d + m;
  }
}

void gguf_read_f32(const struct gguf_tensor *t, uint64_t first, size_t n, float *to)
{
  ASSAY_BUG_IF(!gguf_can_read(t) || first > t->elements || n > t->elements - first);
  void (*block)(const uint8_t *, float *) = NULL;
  if (t->type == GGUF_Q8_0) block = block_q8_0;
  if (t->type == GGUF_Q4_0) block = block_q4_0;
  if (t->type == GGUF_Q4_1) block = block_q4_1;
  if (!block) {
    read_plain(t, first, n, to);
    return;
  }
  uint32_t elements, bytes;
  ASSAY_BUG_IF(!gguf_block(t->type, &elements, &bytes) || first % BLOCK || n % BLOCK);
  const uint8_t *p = t->data + first / BLOCK * bytes;
  for (size_t i = 0; i < n; i += BLOCK, p += bytes) block(p, to + i);
}

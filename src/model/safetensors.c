#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/file.h"
#include "core/json.h"
#include "core/math.h"

enum { MAX_HEADER = 100000000 }; /* the limit of the safetensors library */

static const struct {
  const char *name;
  unsigned bits;
} dtypes[] = {
    {"BOOL", 8},    {"U8", 8},      {"I8", 8},          {"I16", 16},        {"U16", 16},    {"I32", 32},
    {"U32", 32},    {"I64", 64},    {"U64", 64},        {"F16", 16},        {"BF16", 16},   {"F32", 32},
    {"F64", 64},    {"C64", 64},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"F8_E8M0", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8},
};

/* What the parser carries along. */
struct parse {
  struct arena *arena;
  const char *path;
  const uint8_t *data;
  uint64_t data_size;
};

static int bad_tensor(const struct parse *p, const char *name, const char *what, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, p->path, 0, name, "header, tensor \"%.200s\": %s", name, what);
}

static int read_natural(const struct parse *p, const json_t *v, const char *name, const char *what, uint64_t *out,
                        struct error *err)
{
  if (!json_is_integer(v) || json_integer_value(v) < 0) return bad_tensor(p, name, what, err);
  *out = (uint64_t)json_integer_value(v);
  return 0;
}

static int read_dtype(const struct parse *p, const json_t *entry, struct safetensors_tensor *t, unsigned *bits,
                      struct error *err)
{
  const json_t *v = json_object_get(entry, "dtype");
  if (!json_is_string(v)) return bad_tensor(p, t->name, "dtype must be a string such as \"F32\"", err);
  for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
    if (strcmp(dtypes[i].name, json_string_value(v))) continue;
    t->dtype = dtypes[i].name;
    *bits = dtypes[i].bits;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, p->path, 0, t->name, "header, tensor \"%.200s\": unknown dtype \"%.40s\"", t->name,
          json_string_value(v));
}

static int read_shape(const struct parse *p, const json_t *entry, struct safetensors_tensor *t, struct error *err)
{
  const json_t *shape = json_object_get(entry, "shape"), *v;
  if (!json_is_array(shape)) return bad_tensor(p, t->name, "shape must be a list of sizes", err);
  t->rank = json_array_size(shape);
  uint64_t *dims = ARENA_NEW(p->arena, uint64_t, t->rank, "safetensors", err);
  if (!dims) return ERROR_RESOURCE;
  t->elements = 1;
  size_t i;
  json_array_foreach(shape, i, v)
  {
    TRY(read_natural(p, v, t->name, "shape must hold whole numbers >= 0", &dims[i], err));
    if (!size_mul(t->elements, dims[i], &t->elements))
      return bad_tensor(p, t->name, "the number of elements does not fit into 64 bits", err);
  }
  t->dims = dims;
  return 0;
}

static int read_tensor(const struct parse *p, const char *name, const json_t *entry, struct safetensors_tensor *t,
                       struct error *err)
{
  t->name = name;
  if (!json_is_object(entry) || json_object_size(entry) != 3)
    return bad_tensor(p, name, "expected exactly dtype, shape and data_offsets", err);
  unsigned bits;
  uint64_t size;
  TRY(read_dtype(p, entry, t, &bits, err));
  TRY(read_shape(p, entry, t, err));
  const json_t *offsets = json_object_get(entry, "data_offsets");
  if (json_array_size(offsets) != 2) return bad_tensor(p, name, "data_offsets must be [begin, end]", err);
  TRY(read_natural(p, json_array_get(offsets, 0), name, "data_offsets must be whole numbers >= 0", &t->begin, err));
  TRY(read_natural(p, json_array_get(offsets, 1), name, "data_offsets must be whole numbers >= 0", &t->end, err));
  if (t->end < t->begin) return bad_tensor(p, name, "data_offsets end before they begin", err);
  if (t->end > p->data_size)
    FAIL_AT(err, ERROR_INPUT, p->path, 0, name,
            "header, tensor \"%.200s\": data ends at byte %llu, but the file holds only %llu bytes of data; it may be "
            "cut off",
            name, (unsigned long long)t->end, (unsigned long long)p->data_size);
  if (!size_mul(t->elements, bits, &size) || size % 8 || size / 8 != t->end - t->begin)
    return bad_tensor(p, name, "shape and dtype do not give the size that data_offsets say", err);
  t->data = p->data ? p->data + t->begin : NULL;
  return 0;
}

static int read_metadata(const struct parse *p, json_t *o, struct safetensors *out, struct error *err)
{
  if (!json_is_object(o))
    FAIL_AT(err, ERROR_INPUT, p->path, 0, "__metadata__", "header: __metadata__ must be an object");
  out->metadata = ARENA_NEW(p->arena, const char *, 2 * json_object_size(o), "safetensors", err);
  if (!out->metadata) return ERROR_RESOURCE;
  const char *key;
  json_t *v;
  json_object_foreach(o, key, v)
  {
    if (!json_is_string(v))
      FAIL_AT(err, ERROR_INPUT, p->path, 0, "__metadata__",
              "header: __metadata__ may hold strings only, \"%.100s\" is none", key);
    out->metadata[2 * out->metadata_count] = key;
    out->metadata[2 * out->metadata_count + 1] = json_string_value(v);
    out->metadata_count++;
  }
  return 0;
}

static int compare_place(const void *a, const void *b)
{
  const struct safetensors_tensor *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int compare_name(const void *a, const void *b)
{
  const struct safetensors_tensor *x = a, *y = b;
  return strcmp(x->name, y->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static int check_cover(const struct parse *p, struct safetensors *s, struct error *err)
{
  qsort(s->tensors, s->count, sizeof s->tensors[0], compare_place);
  uint64_t at = 0;
  for (size_t i = 0; i < s->count; i++) {
    const struct safetensors_tensor *t = &s->tensors[i];
    if (t->begin != at)
      FAIL_AT(err, ERROR_INPUT, p->path, 0, t->name,
              "header, tensor \"%.200s\": data begins at byte %llu, expected %llu: tensors may neither overlap nor "
              "leave holes",
              t->name, (unsigned long long)t->begin, (unsigned long long)at);
    at = t->end;
  }
  if (at != p->data_size)
    FAIL_AT(err, ERROR_INPUT, p->path, 0, NULL, "the tensors end at byte %llu of the data, but the file holds %llu",
            (unsigned long long)at, (unsigned long long)p->data_size);
  qsort(s->tensors, s->count, sizeof s->tensors[0], compare_name);
  return 0;
}

int safetensors_parse(struct arena *a, const uint8_t *bytes, size_t size, const char *path, struct safetensors *out,
                      struct error *err)
{
  memset(out, 0, sizeof *out);
  out->path = path;
  struct cursor c = cursor_over(bytes, size, path);
  uint64_t length;
  const uint8_t *text;
  TRY(cursor_u64(&c, &length, "the length of the header", err));
  if (length > MAX_HEADER)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "at byte 0: the header claims %llu bytes; expected at most %d: this is no safetensors file",
            (unsigned long long)length, MAX_HEADER);
  TRY(cursor_bytes(&c, length, &text, "the header", err));
  if (length == 0 || text[0] != '{')
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "at byte 8: the header does not begin with '{'; this is no safetensors file");

  json_t *header, *entry;
  const char *name;
  TRY(json_parse(a, (const char *)text, (size_t)length, path, 0, JSON_READ_UNIQUE, &header, err));
  if (!json_is_object(header)) FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "at byte 8: the header must be a JSON object");
  struct parse p = {a, path, c.at, cursor_left(&c)};
  out->tensors = ARENA_NEW(a, struct safetensors_tensor, json_object_size(header), "safetensors", err);
  if (!out->tensors) return ERROR_RESOURCE;
  json_object_foreach(header, name, entry)
  {
    if (!strcmp(name, "__metadata__")) {
      TRY(read_metadata(&p, entry, out, err));
    } else {
      TRY(read_tensor(&p, name, entry, &out->tensors[out->count++], err));
    }
  }
  return check_cover(&p, out, err);
}

int safetensors_open(struct arena *a, const char *path, struct safetensors *out, struct error *err)
{
  struct file_map map;
  TRY(file_map(a, path, &map, err));
  return safetensors_parse(a, map.bytes, map.size, path, out, err);
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
  struct safetensors_tensor key = {.name = name};
  return s->count ? bsearch(&key, s->tensors, s->count, sizeof key, compare_name) : NULL;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
  for (size_t i = 0; i < s->metadata_count; i++)
    if (!strcmp(s->metadata[2 * i], key)) return s->metadata[2 * i + 1];
  return NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static uint64_t load_bits(const uint8_t *p, unsigned size)
{
  uint64_t x = 0;
  for (unsigned i = 0; i < size; i++) x |= (uint64_t)p[i] << (8 * i);
  return x;
}

static float read_f64(const uint8_t *p)
{
  const uint64_t bits = load_bits(p, 8);
  double x;
  memcpy(&x, &bits, sizeof x);
  return (float)x;
}

static float read_f32(const uint8_t *p)
{
  const uint32_t bits = (uint32_t)load_bits(p, 4);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float read_bf16(const uint8_t *p)
{
  return math_f32_from_bf16((uint16_t)load_bits(p, 2));
}

static float read_f16(const uint8_t *p)
{
  return math_f32_from_f16((uint16_t)load_bits(p, 2));
}

/* The upper half of an f16. */
static float read_f8_e5m2(const uint8_t *p)
{
  return math_f32_from_f16((uint16_t)(*p << 8));
}

/* OCP 8-bit floating point, E4M3: bias 7, no infinity, NaN where all but the sign is 1. Below the smallest normal
   number steps of 2^-9. */
static float read_f8_e4m3(const uint8_t *p)
{
  const uint32_t sign = (uint32_t)(*p >> 7) << 31, rest = *p & 0x7fu;
  const uint32_t bits = sign | (rest == 0x7f ? 0x7fc00000u : (rest << 20) + (120u << 23));
  float x;
  memcpy(&x, &bits, sizeof x);
  return rest >= 8 ? x : (sign ? -1.0f : 1.0f) * ((float)rest * 0x1p-9f);
}

static const struct reader {
  const char *dtype;
  unsigned size;
  float (*read)(const uint8_t *p);
} readers[] = {
    {"F64", 8, read_f64},   {"F32", 4, read_f32},         {"F16", 2, read_f16},
    {"BF16", 2, read_bf16}, {"F8_E5M2", 1, read_f8_e5m2}, {"F8_E4M3", 1, read_f8_e4m3},
};

static const struct reader *find_reader(const struct safetensors_tensor *t)
{
  for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
    if (!strcmp(t->dtype, readers[i].dtype)) return &readers[i];
  return NULL;
}

bool safetensors_is_float(const struct safetensors_tensor *t)
{
  return find_reader(t);
}

void safetensors_read_f32(const struct safetensors_tensor *t, uint64_t first, size_t n, float *to)
{
  const struct reader *r = find_reader(t);
  ASSAY_BUG_IF(!r || first > t->elements || n > t->elements - first);
  const uint8_t *p = t->data + first * r->size;
  switch (r->size) { /* the usual ones as loops that a compiler sees whole */
    case 4:
      for (size_t i = 0; i < n; i++) to[i] = read_f32(p + 4 * i);
      break;
    default:
      for (size_t i = 0; i < n; i++) to[i] = r->read(p + i * r->size);
  }
}

#include "model/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/file.h"

enum {
  MAX_KEY = 65535, /* the specification's limits */
  MAX_NAME = 64,
  MAX_DEPTH = 4,   /* arrays in arrays: nobody writes even two */
  LEAST_PAIR = 13, /* bytes of the smallest pair, string, array and tensor: bounds for counts */
  LEAST_STRING = 8,
  LEAST_ARRAY = 12,
  LEAST_TENSOR = 24
};

static const struct {
  const char *name;
  unsigned size; /* 0: variable */
} value_types[GGUF_TYPES] = {
    {"uint8", 1}, {"int8", 1},   {"uint16", 2}, {"int16", 2},  {"uint32", 4}, {"int32", 4},   {"float32", 4},
    {"bool", 1},  {"string", 0}, {"array", 0},  {"uint64", 8}, {"int64", 8},  {"float64", 8},
};

const char *gguf_type_name(enum gguf_type type)
{
  return (unsigned)type < GGUF_TYPES ? value_types[type].name : "unknown";
}

/* ---- values -------------------------------------------------------------------------------------------------- */

#define FAIL_HERE(err, c, ...) FAIL_AT((err), ERROR_INPUT, (c)->file, 0, NULL, "at byte %zu: " __VA_ARGS__)

static uint64_t load_bits(const uint8_t *p, unsigned size, bool big)
{
  uint64_t x = 0;
  for (unsigned i = 0; i < size; i++) x |= (uint64_t)p[big ? size - 1 - i : i] << (8 * i);
  return x;
}

static int64_t load_int(enum gguf_type type, const uint8_t *p, bool big)
{
  uint64_t x = load_bits(p, value_types[type].size, big);
  switch (type) {
    case GGUF_INT8:
      return (int8_t)x;
    case GGUF_INT16:
      return (int16_t)x;
    case GGUF_INT32:
      return (int32_t)x;
    default:
      return (int64_t)x;
  }
}

static double load_real(enum gguf_type type, const uint8_t *p, bool big)
{
  uint64_t bits = load_bits(p, value_types[type].size, big);
  if (type == GGUF_FLOAT64) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  uint32_t low = (uint32_t)bits;
  float x;
  memcpy(&x, &low, sizeof x);
  return (double)x;
}

static int read_string(struct cursor *c, struct gguf_string *out, const char *what, struct error *err)
{
  uint64_t size;
  const uint8_t *bytes;
  TRY(cursor_u64(c, &size, what, err));
  TRY(cursor_bytes(c, size, &bytes, what, err));
  out->bytes = size ? (const char *)bytes : "";
  out->size = (size_t)size;
  return 0;
}

/* A key or a tensor's name: UTF-8, no NUL, at most `most` bytes, and terminated in the copy. */
static int read_name(struct arena *a, struct cursor *c, size_t most, const char *what, const char **out,
                     struct error *err)
{
  size_t at = cursor_offset(c);
  struct gguf_string s;
  TRY(read_string(c, &s, what, err));
  if (s.size > most) FAIL_HERE(err, c, "%s has %zu bytes; the format allows %zu", at, what, s.size, most);
  if (memchr(s.bytes, 0, s.size)) FAIL_HERE(err, c, "%s contains a NUL byte", at, what);
  if (utf8_valid_prefix(s.bytes, s.size) != s.size) FAIL_HERE(err, c, "%s is not UTF-8", at, what);
  *out = arena_strndup(a, s.bytes, s.size, "gguf", err);
  return *out ? 0 : ERROR_RESOURCE;
}

static int read_type(struct cursor *c, enum gguf_type *out, struct error *err)
{
  size_t at = cursor_offset(c);
  uint32_t type;
  TRY(cursor_u32(c, &type, "the type of a value", err));
  if (type >= GGUF_TYPES) FAIL_HERE(err, c, "unknown value type %u; expected 0 to %d", at, type, GGUF_TYPES - 1);
  *out = (enum gguf_type)type;
  return 0;
}

static int check_bools(const struct cursor *c, size_t at, const uint8_t *bytes, uint64_t n, struct error *err)
{
  for (uint64_t i = 0; i < n; i++)
    if (bytes[i] > 1) FAIL_HERE(err, c, "a bool is %u; expected 0 or 1", at, bytes[i]);
  return 0;
}

/* How many there may be at most, each taking `least` bytes of what is left. */
static int check_count(const struct cursor *c, size_t at, uint64_t count, size_t least, const char *what,
                       struct error *err)
{
  if (count > cursor_left(c) / least)
    FAIL_HERE(err, c, "%llu %s are claimed; the %zu bytes left cannot hold them", at, (unsigned long long)count, what,
              cursor_left(c));
  return 0;
}

static int read_array(struct arena *a, struct cursor *c, int depth, struct gguf_array *out, struct error *err)
{
  size_t at = cursor_offset(c);
  TRY(read_type(c, &out->type, err));
  TRY(cursor_u64(c, &out->count, "the length of an array", err));
  out->big_endian = c->big_endian;
  unsigned size = value_types[out->type].size;
  uint64_t bytes;
  if (size) {
    if (!size_mul(out->count, size, &bytes))
      FAIL_HERE(err, c, "an array claims %llu elements; the file cannot hold them", at, (unsigned long long)out->count);
    TRY(cursor_bytes(c, bytes, &out->bytes, "an array", err));
    return out->type == GGUF_BOOL ? check_bools(c, at, out->bytes, out->count, err) : 0;
  }
  if (out->type == GGUF_STRING) {
    TRY(check_count(c, at, out->count, LEAST_STRING, "strings", err));
    struct gguf_string *strings = ARENA_NEW(a, struct gguf_string, (size_t)out->count, "gguf", err);
    if (!strings) return ERROR_RESOURCE;
    out->strings = strings;
    for (uint64_t i = 0; i < out->count; i++) TRY(read_string(c, &strings[i], "a string of an array", err));
    return 0;
  }
  if (depth >= MAX_DEPTH) FAIL_HERE(err, c, "arrays are nested more than %d deep", at, MAX_DEPTH);
  TRY(check_count(c, at, out->count, LEAST_ARRAY, "arrays", err));
  struct gguf_array *arrays = ARENA_NEW(a, struct gguf_array, (size_t)out->count, "gguf", err);
  if (!arrays) return ERROR_RESOURCE;
  out->arrays = arrays;
  for (uint64_t i = 0; i < out->count; i++) TRY(read_array(a, c, depth + 1, &arrays[i], err));
  return 0;
}

static int read_value(struct arena *a, struct cursor *c, struct gguf_value *v, struct error *err)
{
  size_t at = cursor_offset(c);
  TRY(read_type(c, &v->type, err));
  if (v->type == GGUF_STRING) return read_string(c, &v->s, "a string", err);
  if (v->type == GGUF_ARRAY) return read_array(a, c, 1, &v->array, err);
  const uint8_t *bytes;
  TRY(cursor_bytes(c, value_types[v->type].size, &bytes, gguf_type_name(v->type), err));
  if (v->type == GGUF_FLOAT32 || v->type == GGUF_FLOAT64) {
    v->f = load_real(v->type, bytes, c->big_endian);
    return 0;
  }
  v->i = load_int(v->type, bytes, c->big_endian);
  return v->type == GGUF_BOOL ? check_bools(c, at, bytes, 1, err) : 0;
}

static int compare_pairs(const void *a, const void *b)
{
  const struct gguf_pair *x = a, *y = b;
  return strcmp(x->key, y->key);
}

static int read_pairs(struct arena *a, struct cursor *c, uint64_t count, struct gguf *g, struct error *err)
{
  TRY(check_count(c, 16, count, LEAST_PAIR, "key-value pairs", err));
  g->pairs = ARENA_NEW(a, struct gguf_pair, (size_t)count, "gguf", err);
  if (!g->pairs) return ERROR_RESOURCE;
  g->pair_count = (size_t)count;
  for (size_t i = 0; i < g->pair_count; i++) {
    TRY(read_name(a, c, MAX_KEY, "a key", &g->pairs[i].key, err));
    if (read_value(a, c, &g->pairs[i].value, err))
      return error_context(err, "reading the value of \"%.100s\"", g->pairs[i].key);
  }
  qsort(g->pairs, g->pair_count, sizeof g->pairs[0], compare_pairs);
  for (size_t i = 1; i < g->pair_count; i++)
    if (!strcmp(g->pairs[i - 1].key, g->pairs[i].key))
      FAIL_AT(err, ERROR_INPUT, g->path, 0, g->pairs[i].key, "the key \"%.200s\" is there twice", g->pairs[i].key);
  return 0;
}

/* ---- tensors ------------------------------------------------------------------------------------------------- */

static int read_tensor(struct arena *a, struct cursor *c, struct gguf_tensor *t, struct error *err)
{
  size_t at = cursor_offset(c);
  uint32_t block, block_bytes;
  TRY(read_name(a, c, MAX_NAME, "a tensor's name", &t->name, err));
  TRY(cursor_u32(c, &t->rank, "the number of dimensions", err));
  if (t->rank > 4) FAIL_HERE(err, c, "tensor \"%s\" has %u dimensions; at most 4 are allowed", at, t->name, t->rank);
  t->elements = 1;
  t->big_endian = c->big_endian;
  for (int i = 0; i < 4; i++) t->dims[i] = 1;
  for (uint32_t i = 0; i < t->rank; i++) {
    TRY(cursor_u64(c, &t->dims[i], "a dimension", err));
    if (t->dims[i] > INT64_MAX || !size_mul(t->elements, t->dims[i], &t->elements))
      FAIL_HERE(err, c, "the dimensions of tensor \"%s\" do not fit into 64 bits", at, t->name);
  }
  TRY(cursor_u32(c, &t->type, "a tensor's type", err));
  TRY(cursor_u64(c, &t->offset, "a tensor's offset", err));
  if (!gguf_block(t->type, &block, &block_bytes))
    FAIL_HERE(err, c, "tensor \"%s\" is of unknown type %u; readable are %s", at, t->name, t->type, GGUF_READABLE);
  if (t->dims[0] % block)
    FAIL_HERE(err, c, "tensor \"%s\" has rows of %llu values; %s needs a multiple of %u", at, t->name,
              (unsigned long long)t->dims[0], gguf_tensor_type_name(t->type), block);
  if (!size_mul(t->elements / block, block_bytes, &t->bytes))
    FAIL_HERE(err, c, "the dimensions of tensor \"%s\" do not fit into 64 bits", at, t->name);
  return 0;
}

static int compare_offsets(const void *a, const void *b)
{
  const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
  const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
  return strcmp(x->name, y->name);
}

static int read_alignment(const struct gguf *g, uint64_t *out, struct error *err)
{
  const struct gguf_value *v = gguf_find(g, "general.alignment");
  *out = 32;
  if (!v) return 0;
  if (v->type != GGUF_UINT32)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, "general.alignment", "general.alignment is a %s; expected uint32",
            gguf_type_name(v->type));
  if (v->u == 0 || (v->u & (v->u - 1)))
    FAIL_AT(err, ERROR_INPUT, g->path, 0, "general.alignment", "general.alignment is %llu; expected a power of two",
            (unsigned long long)v->u);
  *out = v->u;
  return 0;
}

/* Data lies inside the file, aligned, and no two tensors share a byte. by_name serves for both orders. */
static int place_data(struct gguf *g, const struct cursor *c, struct error *err)
{
  uint64_t alignment, at = cursor_offset(c), size = (uint64_t)(c->end - c->start);
  TRY(read_alignment(g, &alignment, err));
  uint64_t start = (at + alignment - 1) & ~(alignment - 1), room = start < size ? size - start : 0, end;
  for (size_t i = 0; i < g->tensor_count; i++) {
    struct gguf_tensor *t = &g->tensors[i];
    g->by_name[i] = t;
    if (t->offset % alignment)
      FAIL_AT(err, ERROR_INPUT, g->path, 0, t->name, "tensor \"%s\": offset %llu is no multiple of the alignment %llu",
              t->name, (unsigned long long)t->offset, (unsigned long long)alignment);
    if (!size_add(t->offset, t->bytes, &end) || end > room)
      FAIL_AT(err, ERROR_INPUT, g->path, 0, t->name,
              "tensor \"%s\": %llu bytes at offset %llu, but the data section has %llu; the file may be cut off",
              t->name, (unsigned long long)t->bytes, (unsigned long long)t->offset, (unsigned long long)room);
    if (t->bytes) t->data = c->start + start + t->offset;
  }
  qsort(g->by_name, g->tensor_count, sizeof g->by_name[0], compare_offsets);
  for (size_t i = 1; i < g->tensor_count; i++) {
    const struct gguf_tensor *last = g->by_name[i - 1], *t = g->by_name[i];
    if (last->offset + last->bytes > t->offset)
      FAIL_AT(err, ERROR_INPUT, g->path, 0, t->name, "tensors \"%s\" and \"%s\" share bytes of the data", last->name,
              t->name);
  }
  return 0;
}

/* by_name holds all tensors, in any order. */
static int sort_names(struct gguf *g, struct error *err)
{
  qsort(g->by_name, g->tensor_count, sizeof g->by_name[0], compare_names);
  for (size_t i = 1; i < g->tensor_count; i++)
    if (!strcmp(g->by_name[i - 1]->name, g->by_name[i]->name))
      FAIL_AT(err, ERROR_INPUT, g->path, 0, g->by_name[i]->name, "the tensor \"%s\" is there twice",
              g->by_name[i]->name);
  return 0;
}

static int read_tensors(struct arena *a, struct cursor *c, uint64_t count, struct gguf *g, struct error *err)
{
  TRY(check_count(c, 8, count, LEAST_TENSOR, "tensors", err));
  g->tensor_count = (size_t)count;
  g->tensors = ARENA_NEW(a, struct gguf_tensor, g->tensor_count, "gguf", err);
  g->by_name = ARENA_NEW(a, const struct gguf_tensor *, g->tensor_count, "gguf", err);
  if (!g->tensors || !g->by_name) return ERROR_RESOURCE;
  for (size_t i = 0; i < g->tensor_count; i++) TRY(read_tensor(a, c, &g->tensors[i], err));
  TRY(place_data(g, c, err));
  return sort_names(g, err);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

/* The version, which also tells the byte order: none has as many as 65536. */
static int read_version(struct cursor *c, struct gguf *g, struct error *err)
{
  TRY(cursor_u32(c, &g->version, "the version", err));
  g->big_endian = c->big_endian = (g->version & 0xffff) == 0;
  if (g->big_endian) g->version = __builtin_bswap32(g->version);
  if (g->version == 2 || g->version == 3) return 0;
  FAIL_AT(err, ERROR_INPUT, g->path, 0, NULL, "at byte 4: GGUF version %u; supported are 2 and 3", g->version);
}

int gguf_parse(struct arena *a, const uint8_t *bytes, size_t size, const char *path, struct gguf **out,
               struct error *err)
{
  *out = NULL;
  struct gguf *g = ARENA_NEW(a, struct gguf, 1, "gguf", err);
  if (!g) return ERROR_RESOURCE;
  g->path = path;
  struct cursor c = cursor_over(bytes, size, path);
  const uint8_t *magic;
  uint64_t tensors, pairs;
  TRY(cursor_bytes(&c, 4, &magic, "the magic", err));
  if (memcmp(magic, "GGUF", 4))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "at byte 0: the file does not begin with \"GGUF\"; this is no GGUF file");
  TRY(read_version(&c, g, err));
  TRY(cursor_u64(&c, &tensors, "the number of tensors", err));
  TRY(cursor_u64(&c, &pairs, "the number of key-value pairs", err));
  TRY(read_pairs(a, &c, pairs, g, err));
  TRY(read_tensors(a, &c, tensors, g, err));
  *out = g;
  return 0;
}

int gguf_open(struct arena *a, const char *path, struct gguf **out, struct error *err)
{
  struct file_map map;
  *out = NULL;
  TRY(file_map(a, path, &map, err));
  return gguf_parse(a, map.bytes, map.size, path, out, err);
}

/* ---- split models -------------------------------------------------------------------------------------------- */

enum { MAX_PARTS = 4096 };

/* Where "-00001-of-0000N.gguf" begins in the path of a first part of `count`; NULL: it has another name. */
static const char *part_suffix(const char *path, int count)
{
  char suffix[64];
  size_t n = strlen(path), m = (size_t)snprintf(suffix, sizeof suffix, "-00001-of-%05d.gguf", count);
  return n > m && !strcmp(path + n - m, suffix) ? path + n - m : NULL;
}

static int open_part(struct arena *a, const char *first, const char *suffix, int number, int count, struct gguf **out,
                     struct error *err)
{
  int64_t no, of;
  char *path = arena_printf(a, "gguf", err, "%.*s-%05d-of-%05d.gguf", (int)(suffix - first), first, number, count);
  if (!path) return ERROR_RESOURCE;
  if (gguf_open(a, path, out, err)) return error_context(err, "opening part %d of %d of %s", number, count, first);
  TRY(gguf_get_int(*out, "split.no", 0, MAX_PARTS, -1, &no, err));
  TRY(gguf_get_int(*out, "split.count", 0, MAX_PARTS, 1, &of, err));
  if (no != number - 1 || of != count)
    FAIL_AT(err, ERROR_INPUT, path, 0, "split.no", "the file says that it is part %lld of %lld; its name says %d of %d",
            (long long)no + 1, (long long)of, number, count);
  return 0;
}

/* The tensors of all parts in the first. */
static int join_parts(struct arena *a, struct gguf *g, struct gguf *const *parts, int count, struct error *err)
{
  size_t total = 0;
  int64_t claimed;
  for (int i = 0; i < count; i++) total += parts[i]->tensor_count;
  TRY(gguf_get_int(g, "split.tensors.count", 0, INT64_MAX, (int64_t)total, &claimed, err));
  if ((uint64_t)claimed != total)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, "split.tensors.count", "the parts hold %zu tensors; the first says %lld",
            total, (long long)claimed);
  struct gguf_tensor *tensors = ARENA_NEW(a, struct gguf_tensor, total, "gguf", err);
  g->by_name = ARENA_NEW(a, const struct gguf_tensor *, total, "gguf", err);
  if (!tensors || !g->by_name) return ERROR_RESOURCE;
  for (size_t i = 0, at = 0; i < (size_t)count; i++)
    for (size_t j = 0; j < parts[i]->tensor_count; j++, at++) {
      tensors[at] = parts[i]->tensors[j];
      g->by_name[at] = &tensors[at];
    }
  g->tensors = tensors;
  g->tensor_count = total;
  return sort_names(g, err);
}

int gguf_open_parts(struct arena *a, const char *path, struct gguf **out, struct error *err)
{
  struct gguf *g;
  int64_t count, no;
  *out = NULL;
  TRY(gguf_open(a, path, &g, err));
  TRY(gguf_get_int(g, "split.count", 0, MAX_PARTS, 1, &count, err));
  TRY(gguf_get_int(g, "split.no", 0, MAX_PARTS, 0, &no, err));
  *out = g;
  if (count <= 1) return 0;
  const char *suffix = part_suffix(path, (int)count);
  if (no != 0 || !suffix)
    FAIL_AT(err, ERROR_INPUT, path, 0, "split.no",
            "the file is part %lld of a model in %lld files; expected the first, NAME-00001-of-%05lld.gguf, beside the "
            "others",
            (long long)no + 1, (long long)count, (long long)count);
  struct gguf **parts = ARENA_NEW(a, struct gguf *, (size_t)count, "gguf", err);
  if (!parts) return ERROR_RESOURCE;
  parts[0] = g;
  for (int i = 1; i < (int)count; i++) TRY(open_part(a, path, suffix, i + 1, (int)count, &parts[i], err));
  return join_parts(a, g, parts, (int)count, err);
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
  struct gguf_tensor key = {.name = name}, *at = &key;
  const struct gguf_tensor **found =
      g->tensor_count ? bsearch(&at, g->by_name, g->tensor_count, sizeof g->by_name[0], compare_names) : NULL;
  return found ? *found : NULL;
}

/* ---- metadata ------------------------------------------------------------------------------------------------ */

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
  struct gguf_pair wanted = {.key = key};
  const struct gguf_pair *found =
      g->pair_count ? bsearch(&wanted, g->pairs, g->pair_count, sizeof wanted, compare_pairs) : NULL;
  return found ? &found->value : NULL;
}

static int wrong_type(const struct gguf *g, const char *key, const struct gguf_value *v, const char *want,
                      struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "%s is a %s; expected %s", key, gguf_type_name(v->type), want);
}

static bool is_int(enum gguf_type type)
{
  return type <= GGUF_INT32 || type == GGUF_UINT64 || type == GGUF_INT64;
}

int gguf_get_int(const struct gguf *g, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out,
                 struct error *err)
{
  const struct gguf_value *v = gguf_find(g, key);
  *out = fallback;
  if (!v) return 0;
  if (!is_int(v->type)) return wrong_type(g, key, v, "an integer", err);
  if ((v->type == GGUF_UINT64 && v->u > INT64_MAX) || v->i < low || v->i > high)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "%s is out of range; expected %lld to %lld", key, (long long)low,
            (long long)high);
  *out = v->i;
  return 0;
}

int gguf_need_int(const struct gguf *g, const char *key, int64_t low, int64_t high, int64_t *out, struct error *err)
{
  if (!gguf_find(g, key)) FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "the key %s is missing", key);
  return gguf_get_int(g, key, low, high, low, out, err);
}

int gguf_get_real(const struct gguf *g, const char *key, double fallback, double *out, struct error *err)
{
  const struct gguf_value *v = gguf_find(g, key);
  *out = fallback;
  if (!v) return 0;
  if (v->type != GGUF_FLOAT32 && v->type != GGUF_FLOAT64) return wrong_type(g, key, v, "a float", err);
  *out = v->f;
  return 0;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool fallback, bool *out, struct error *err)
{
  const struct gguf_value *v = gguf_find(g, key);
  *out = fallback;
  if (!v) return 0;
  if (v->type != GGUF_BOOL) return wrong_type(g, key, v, "a bool", err);
  *out = v->u != 0;
  return 0;
}

int gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out, struct error *err)
{
  const struct gguf_value *v = gguf_find(g, key);
  *out = (struct gguf_string){NULL, 0};
  if (!v) return 0;
  if (v->type != GGUF_STRING) return wrong_type(g, key, v, "a string", err);
  *out = v->s;
  return 0;
}

int gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type, const struct gguf_array **out,
                   struct error *err)
{
  const struct gguf_value *v = gguf_find(g, key);
  *out = NULL;
  if (!v) return 0;
  if (v->type != GGUF_ARRAY) return wrong_type(g, key, v, "an array", err);
  if (v->array.type != type)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "%s is an array of %s; expected an array of %s", key,
            gguf_type_name(v->array.type), gguf_type_name(type));
  *out = &v->array;
  return 0;
}

int64_t gguf_array_int(const struct gguf_array *v, uint64_t i)
{
  ASSAY_BUG_IF(i >= v->count || !(is_int(v->type) || v->type == GGUF_BOOL));
  return load_int(v->type, v->bytes + i * value_types[v->type].size, v->big_endian);
}

double gguf_array_real(const struct gguf_array *v, uint64_t i)
{
  ASSAY_BUG_IF(i >= v->count || !(v->type == GGUF_FLOAT32 || v->type == GGUF_FLOAT64));
  return load_real(v->type, v->bytes + i * value_types[v->type].size, v->big_endian);
}

bool gguf_string_is(struct gguf_string s, const char *text)
{
  return s.bytes && s.size == strlen(text) && !memcmp(s.bytes, text, s.size);
}

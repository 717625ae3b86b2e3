/* model/gguf: a bounded reader of GGUF, versions 2 and 3, of either byte order, in one file or split by gguf-split.
 *
 *     "GGUF" | u32 version | u64 tensors | u64 pairs | pairs: key, type, value
 *            | tensors: name, dims, type, offset | padding | data
 *
 * All of it is checked on opening: no count is believed before it was compared with the bytes left, keys and names are
 * unique UTF-8 without NUL, rows are whole blocks, and data is aligned, inside the file and without overlap. Strings
 * and data point into the map: they carry a length and no NUL. */
#ifndef ASSAY_MODEL_GGUF_H
#define ASSAY_MODEL_GGUF_H

#include "core/arena.h"

enum gguf_type {
  GGUF_UINT8,
  GGUF_INT8,
  GGUF_UINT16,
  GGUF_INT16,
  GGUF_UINT32,
  GGUF_INT32,
  GGUF_FLOAT32,
  GGUF_BOOL,
  GGUF_STRING,
  GGUF_ARRAY,
  GGUF_UINT64,
  GGUF_INT64,
  GGUF_FLOAT64,
  GGUF_TYPES
};

struct gguf_string {
  const char *bytes; /* not terminated; NULL: absent */
  size_t size;
};

struct gguf_array {
  enum gguf_type type; /* of the elements */
  uint64_t count;
  const uint8_t *bytes; /* numbers and bools as in the file, any alignment: gguf_array_int, gguf_array_real */
  const struct gguf_string *strings; /* GGUF_STRING */
  const struct gguf_array *arrays;   /* GGUF_ARRAY */
  bool big_endian;
};

struct gguf_value {
  enum gguf_type type;
  union {
    uint64_t u; /* unsigned integers, bool */
    int64_t i;  /* signed integers */
    double f;   /* floats */
    struct gguf_string s;
    struct gguf_array array;
  };
};

struct gguf_pair {
  const char *key;
  struct gguf_value value;
};

/* Tensor types that gguf_read_f32 knows; others are carried by number. */
enum gguf_tensor_type {
  GGUF_F32 = 0,
  GGUF_F16 = 1,
  GGUF_Q4_0 = 2,
  GGUF_Q4_1 = 3,
  GGUF_Q5_0 = 6,
  GGUF_Q5_1 = 7,
  GGUF_Q8_0 = 8,
  GGUF_Q2_K = 10,
  GGUF_Q3_K = 11,
  GGUF_Q4_K = 12,
  GGUF_Q5_K = 13,
  GGUF_Q6_K = 14,
  GGUF_IQ4_NL = 20,
  GGUF_IQ4_XS = 23,
  GGUF_BF16 = 30,
  GGUF_MXFP4 = 39
};

struct gguf_tensor {
  const char *name;
  uint32_t type;
  uint32_t rank;
  uint64_t dims[4]; /* dims[0] is the row length; those behind rank are 1 */
  uint64_t elements;
  const uint8_t *data;
  uint64_t offset, bytes; /* in the data section of its file */
  bool big_endian;        /* data, as the file has it: gguf_read_f32 and gguf_read_blocks turn it */
};

struct gguf {
  const char *path;
  uint32_t version;
  bool big_endian;
  struct gguf_pair *pairs; /* sorted by key, bytewise */
  size_t pair_count;
  struct gguf_tensor *tensors; /* in file order */
  size_t tensor_count;
  const struct gguf_tensor **by_name;
};

/* Maps the file until the arena resets. Of a split model it opens this part alone. */
int gguf_open(struct arena *a, const char *path, struct gguf **out, struct error *err) MUST_USE;
/* The same, and where the file is the first part of a split model (NAME-00001-of-0000N.gguf, as gguf-split writes it)
   the tensors of all parts, which are opened beside it. */
int gguf_open_parts(struct arena *a, const char *path, struct gguf **out, struct error *err) MUST_USE;
/* The same as gguf_open over bytes that outlive the arena's use. */
int gguf_parse(struct arena *a, const uint8_t *bytes, size_t size, const char *path, struct gguf **out,
               struct error *err) MUST_USE;

/* ---- metadata ---- */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* NULL if absent */
const char *gguf_type_name(enum gguf_type type);
/* Any integer type; absent: fallback. Another type or a value out of range is ERROR_INPUT naming the key. */
int gguf_get_int(const struct gguf *g, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out,
                 struct error *err) MUST_USE;
int gguf_need_int(const struct gguf *g, const char *key, int64_t low, int64_t high, int64_t *out,
                  struct error *err) MUST_USE;
int gguf_get_real(const struct gguf *g, const char *key, double fallback, double *out, struct error *err) MUST_USE;
int gguf_get_bool(const struct gguf *g, const char *key, bool fallback, bool *out, struct error *err) MUST_USE;
int gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
                    struct error *err) MUST_USE; /* absent: bytes NULL */
/* An array with elements of this type; absent: NULL. */
int gguf_get_array(const struct gguf *g, const char *key, enum gguf_type type, const struct gguf_array **out,
                   struct error *err) MUST_USE;
int64_t gguf_array_int(const struct gguf_array *v, uint64_t i); /* integers and bools; UINT64 beyond INT64_MAX wraps */
double gguf_array_real(const struct gguf_array *v, uint64_t i); /* floats */
bool gguf_string_is(struct gguf_string s, const char *text);

/* ---- tensors ---- */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name); /* NULL if absent */
const char *gguf_tensor_type_name(uint32_t type);                                   /* "Q4_1" */
bool gguf_can_read(const struct gguf_tensor *t);
#define GGUF_READABLE "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4"
/* Values first .. first+n-1, dequantised as ggml does; both multiples of the type's block (1, 32 or 256). */
void gguf_read_f32(const struct gguf_tensor *t, uint64_t first, size_t n, float *to);
/* Their blocks as they stand in a little-endian file. */
void gguf_read_blocks(const struct gguf_tensor *t, uint64_t first, size_t n, uint8_t *to);
/* Elements and bytes of one block; false for an unknown type. */
bool gguf_block(uint32_t type, uint32_t *elements, uint32_t *bytes);

#endif

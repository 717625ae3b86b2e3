#include "model/gguf_write.h"

#include <stdio.h>
#include <string.h>

#include "compute/quant.h"
#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "model/gguf_family.h"

enum { ALIGNMENT = 32, CHUNK_REALS = 1 << 18 };

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static void put_bits(struct text *t, uint64_t x, unsigned bytes)
{
  uint8_t to[8];
  for (unsigned i = 0; i < bytes; i++) to[i] = (uint8_t)(x >> (8 * i));
  text_add(t, to, bytes);
}

static void put_text(struct text *t, const char *bytes, size_t n)
{
  put_bits(t, n, 8);
  text_add(t, bytes, n);
}

static void begin_pair(struct gguf_pairs *p, const char *key, enum gguf_type type)
{
  put_text(&p->bytes, key, strlen(key));
  put_bits(&p->bytes, type, 4);
  p->count++;
}

void gguf_pairs_free(struct gguf_pairs *p)
{
  text_free(&p->bytes);
}

void gguf_put_u32(struct gguf_pairs *p, const char *key, uint32_t x)
{
  begin_pair(p, key, GGUF_UINT32);
  put_bits(&p->bytes, x, 4);
}

static uint32_t bits_of(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

void gguf_put_f32(struct gguf_pairs *p, const char *key, float x)
{
  begin_pair(p, key, GGUF_FLOAT32);
  put_bits(&p->bytes, bits_of(x), 4);
}

void gguf_put_bool(struct gguf_pairs *p, const char *key, bool x)
{
  begin_pair(p, key, GGUF_BOOL);
  put_bits(&p->bytes, x, 1);
}

void gguf_put_string(struct gguf_pairs *p, const char *key, const char *bytes, size_t n)
{
  begin_pair(p, key, GGUF_STRING);
  put_text(&p->bytes, bytes, n);
}

static void begin_array(struct gguf_pairs *p, const char *key, enum gguf_type type, uint64_t count)
{
  begin_pair(p, key, GGUF_ARRAY);
  put_bits(&p->bytes, type, 4);
  put_bits(&p->bytes, count, 8);
}

void gguf_put_ints(struct gguf_pairs *p, const char *key, const int32_t *x, size_t n)
{
  begin_array(p, key, GGUF_INT32, n);
  for (size_t i = 0; i < n; i++) put_bits(&p->bytes, (uint32_t)x[i], 4);
}

void gguf_put_reals(struct gguf_pairs *p, const char *key, const float *x, size_t n)
{
  begin_array(p, key, GGUF_FLOAT32, n);
  for (size_t i = 0; i < n; i++) put_bits(&p->bytes, bits_of(x[i]), 4);
}

void gguf_put_strings(struct gguf_pairs *p, const char *key, size_t count)
{
  begin_array(p, key, GGUF_STRING, count);
}

void gguf_put_item(struct gguf_pairs *p, const char *bytes, size_t n)
{
  put_text(&p->bytes, bytes, n);
}

/* ---- pairs of another file -----------------------------------------------------------------------------------------
 */

static unsigned number_bytes(enum gguf_type type)
{
  static const unsigned sizes[GGUF_TYPES] = {
      [GGUF_UINT8] = 1, [GGUF_INT8] = 1,    [GGUF_UINT16] = 2, [GGUF_INT16] = 2, [GGUF_UINT32] = 4, [GGUF_INT32] = 4,
      [GGUF_BOOL] = 1,  [GGUF_FLOAT32] = 4, [GGUF_UINT64] = 8, [GGUF_INT64] = 8, [GGUF_FLOAT64] = 8};
  return sizes[type];
}

static void put_real(struct text *t, enum gguf_type type, double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  put_bits(t, type == GGUF_FLOAT32 ? bits_of((float)x) : bits, number_bytes(type));
}

static void put_array(struct text *t, const struct gguf_array *v)
{
  put_bits(t, v->type, 4);
  put_bits(t, v->count, 8);
  for (uint64_t i = 0; i < v->count; i++) {
    if (v->type == GGUF_STRING)
      put_text(t, v->strings[i].bytes, v->strings[i].size);
    else if (v->type == GGUF_ARRAY)
      put_array(t, &v->arrays[i]);
    else if (v->type == GGUF_FLOAT32 || v->type == GGUF_FLOAT64)
      put_real(t, v->type, gguf_array_real(v, i));
    else
      put_bits(t, (uint64_t)gguf_array_int(v, i), number_bytes(v->type));
  }
}

void gguf_copy_pairs(struct gguf_pairs *p, const struct gguf *from, const char *prefix)
{
  for (size_t i = 0; i < from->pair_count; i++) {
    const struct gguf_value *v = &from->pairs[i].value;
    if (strncmp(from->pairs[i].key, prefix, strlen(prefix)) != 0) continue;
    begin_pair(p, from->pairs[i].key, v->type);
    if (v->type == GGUF_STRING)
      put_text(&p->bytes, v->s.bytes, v->s.size);
    else if (v->type == GGUF_ARRAY)
      put_array(&p->bytes, &v->array);
    else if (v->type == GGUF_FLOAT32 || v->type == GGUF_FLOAT64)
      put_real(&p->bytes, v->type, v->f);
    else
      put_bits(&p->bytes, v->u, number_bytes(v->type));
  }
}

/* ---- the configuration
 * ----------------------------------------------------------------------------------------------- */

struct writing {
  const struct model_config *c;
  enum save_type type;
  const char *architecture;
  bool permuted;
  const struct gguf *from;
  gguf_rows_fn *rows;
  void *arg;
  struct file_writer *out;
  struct gguf_factors factors[2];
  size_t factor_count;
};

static int find_architecture(struct writing *w, struct error *err)
{
  w->architecture = gguf_family_name(w->c);
  ASSAY_BUG_IF(!w->architecture);
  w->permuted = model_gguf_interleaves(w->c);
  w->factor_count = gguf_family_factors(w->c, w->factors);
  return gguf_family_check(w->c, NULL, err);
}

static void put_size(struct gguf_pairs *p, const struct writing *w, const char *key, int x)
{
  char full[128];
  snprintf(full, sizeof full, "%s.%s", w->architecture, key);
  gguf_put_u32(p, full, (uint32_t)x);
}

static void put_scale(struct gguf_pairs *p, const struct writing *w, const char *key, double x)
{
  char full[128];
  snprintf(full, sizeof full, "%s.%s", w->architecture, key);
  gguf_put_f32(p, full, (float)x);
}

/* llama.cpp's numbers of types of whole files (enum llama_ftype). */
static const uint32_t file_types[] = {[SAVE_F32] = 0, [SAVE_F16] = 1, [SAVE_Q8_0] = 7, [SAVE_BF16] = 32};

static void put_config(struct gguf_pairs *p, const struct writing *w)
{
  const struct model_config *c = w->c;
  gguf_put_string(p, "general.architecture", w->architecture, strlen(w->architecture));
  gguf_put_u32(p, "general.file_type", file_types[w->type]);
  gguf_put_u32(p, "general.quantization_version", 2);
  put_size(p, w, "block_count", c->layers);
  put_size(p, w, "context_length", c->rope.stated_positions ? c->rope.stated_positions : c->max_positions);
  put_size(p, w, "embedding_length", c->hidden);
  put_size(p, w, "feed_forward_length", c->ffn);
  put_size(p, w, "attention.head_count", c->heads);
  put_size(p, w, "attention.head_count_kv", c->kv_heads);
  put_size(p, w, "attention.key_length", c->head_dim);
  put_size(p, w, "attention.value_length", c->head_dim);
  put_size(p, w, "rope.dimension_count", c->rotary ? c->rotary : c->head_dim);
  put_size(p, w, "vocab_size", c->vocab);
  put_scale(p, w, "attention.layer_norm_rms_epsilon", c->norm_eps);
  put_scale(p, w, "rope.freq_base", c->rope_theta);
  gguf_family_put(p, c);
}

/* ---- tensors
 * ----------------------------------------------------------------------------------------------------------- */

static enum gguf_tensor_type tensor_type(const struct writing *w, const struct model_tensor *t)
{
  if (t->kind == WEIGHT_VECTOR || w->type == SAVE_F32) return GGUF_F32;
  if (w->type == SAVE_BF16) return GGUF_BF16;
  return w->type == SAVE_Q8_0 && t->k % 32 == 0 ? GGUF_Q8_0 : GGUF_F16;
}

static uint64_t tensor_bytes(const struct writing *w, const struct model_tensor *t)
{
  uint32_t elements = 1, bytes = 0;
  ASSAY_BUG_IF(!gguf_block(tensor_type(w, t), &elements, &bytes));
  return (uint64_t)t->stored_rows * t->k / elements * bytes;
}

static uint64_t align(uint64_t x)
{
  return (x + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The tensors of the file: a joined one is told of at its first part. */
static size_t stored_count(const struct writing *w)
{
  size_t count = w->factor_count;
  for (size_t i = 0; i < model_tensor_count(w->c); i++) {
    struct model_tensor t;
    model_tensor_at(w->c, i, &t);
    count += t.stored_row == 0;
  }
  return count;
}

static void put_tensor_infos(struct text *t, const struct writing *w)
{
  uint64_t at = 0;
  for (size_t i = 0; i < w->factor_count; i++) {
    put_text(t, w->factors[i].name, strlen(w->factors[i].name));
    put_bits(t, 1, 4);
    put_bits(t, (uint64_t)w->factors[i].count, 8);
    put_bits(t, GGUF_F32, 4);
    put_bits(t, at, 8);
    at = align(at + 4 * (uint64_t)w->factors[i].count);
  }
  for (size_t i = 0; i < model_tensor_count(w->c); i++) {
    struct model_tensor x;
    model_tensor_at(w->c, i, &x);
    if (x.stored_row) continue;
    const bool vector = x.kind == WEIGHT_VECTOR;
    put_text(t, x.stored_gguf, strlen(x.stored_gguf));
    put_bits(t, vector ? 1 : 2, 4);
    if (!vector) put_bits(t, x.k, 8);
    put_bits(t, x.stored_rows, 8);
    put_bits(t, tensor_type(w, &x), 4);
    put_bits(t, at, 8);
    at = align(at + tensor_bytes(w, &x));
  }
}

/* The row that stands at place `at` where a head's halves are interleaved (llama.cpp's LlamaModel.permute). */
static size_t row_at(size_t at, size_t rotary)
{
  const size_t in_head = at % rotary;
  return at - in_head + in_head % 2 * (rotary / 2) + in_head / 2;
}

/* Rows at .. at+count-1 in the file's order. whole: room for a vector. */
static int read_rows(const struct writing *w, const struct model_tensor *t, size_t at, size_t count, float *whole,
                     float *to, struct error *err)
{
  const bool permuted = w->permuted && t->rotary_dim;
  if (!permuted) return w->rows(w->arg, t, at, count, to, err);
  if (t->kind == WEIGHT_VECTOR) {
    TRY(w->rows(w->arg, t, 0, t->n, whole, err));
    for (size_t i = 0; i < t->n; i++) to[i] = whole[row_at(i, t->rotary_dim)];
    return 0;
  }
  for (size_t i = 0; i < count; i++) TRY(w->rows(w->arg, t, row_at(at + i, t->rotary_dim), 1, to + i * t->k, err));
  return 0;
}

/* n numbers in the type; false where one is no longer finite. Returns the bytes through *size. */
static bool encode(enum gguf_tensor_type type, const float *x, size_t n, uint8_t *to, size_t *size)
{
  *size = type == GGUF_F32 ? 4 * n : type == GGUF_Q8_0 ? n / 32 * 34 : 2 * n;
  if (type == GGUF_Q8_0) {
    quant_write(QUANT_Q8_0, x, n, to);
    for (size_t i = 0; i < n / 32; i++)
      if ((to[34 * i + 1] & 0x7c) == 0x7c) return false;
    return true;
  }
  bool finite = true;
  for (size_t i = 0; i < n; i++) {
    const uint32_t bits = type == GGUF_F32   ? bits_of(x[i])
                          : type == GGUF_F16 ? math_f16_from_f32(x[i])
                                             : math_bf16_from_f32(x[i]);
    const uint32_t top = type == GGUF_F32 ? 0x7f800000u : type == GGUF_F16 ? 0x7c00u : 0x7f80u;
    const unsigned bytes = type == GGUF_F32 ? 4 : 2;
    finite = finite && (bits & top) != top;
    for (unsigned j = 0; j < bytes; j++) to[i * bytes + j] = (uint8_t)(bits >> (8 * j));
  }
  return finite;
}

static int write_zeros(struct file_writer *out, uint64_t n, struct error *err)
{
  static const uint8_t zeros[ALIGNMENT] = {0};
  return n ? file_writer_write(out, zeros, (size_t)n, err) : 0;
}

static int write_chunks(const struct writing *w, const struct model_tensor *t, size_t chunk, float *whole,
                        float *values, uint8_t *bytes, struct error *err)
{
  for (size_t at = 0; at < t->n; at += chunk) {
    const size_t count = t->n - at < chunk ? t->n - at : chunk;
    size_t size;
    TRY(read_rows(w, t, at, count, whole, values, err));
    for (size_t i = 0; t->norm && w->c->norm_plus_one && i < count * t->k; i++) values[i] += 1;
    if (!encode(tensor_type(w, t), values, count * t->k, bytes, &size))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, t->name,
              "the weight \"%s\" holds a number that %s cannot hold; use bf16 or f32", t->name,
              gguf_tensor_type_name(tensor_type(w, t)));
    TRY(file_writer_write(w->out, bytes, size, err));
  }
  return 0;
}

/* The tensor of the source file that may be copied as it stands, or NULL. */
static const struct gguf_tensor *same_tensor(const struct writing *w, const struct model_tensor *t)
{
  const struct gguf_tensor *x = w->from ? gguf_find_tensor(w->from, t->stored_gguf) : NULL;
  return x && t->stored_rows == t->n && x->type == (uint32_t)tensor_type(w, t) && x->elements == (uint64_t)t->n * t->k
             ? x
             : NULL;
}

static int copy_tensor(const struct writing *w, const struct gguf_tensor *x, struct error *err)
{
  uint32_t elements = 1, block = 0;
  ASSAY_BUG_IF(!gguf_block(x->type, &elements, &block));
  const size_t piece = (size_t)CHUNK_REALS / elements;
  uint8_t *bytes = memory_alloc(piece, block, "gguf", err);
  int rc = bytes ? 0 : ERROR_RESOURCE;
  for (uint64_t at = 0; at < x->elements && !rc; at += piece * elements) {
    const uint64_t left = x->elements - at, n = left < piece * elements ? left : piece * elements;
    gguf_read_blocks(x, at, (size_t)n, bytes);
    rc = file_writer_write(w->out, bytes, (size_t)n / elements * block, err);
  }
  memory_free(bytes);
  return rc ? rc : write_zeros(w->out, align(x->bytes) - x->bytes, err);
}

static int write_tensor(const struct writing *w, const struct model_tensor *t, struct error *err)
{
  const struct gguf_tensor *same = same_tensor(w, t);
  if (same) return copy_tensor(w, same, err);
  const bool vector = t->kind == WEIGHT_VECTOR;
  size_t chunk = vector ? t->n : CHUNK_REALS / t->k + 1;
  if (chunk > t->n) chunk = t->n;
  float *values = memory_alloc(chunk * t->k, sizeof *values, "gguf", err);
  float *whole = memory_alloc(vector ? t->n : 1, sizeof *whole, "gguf", err);
  uint8_t *bytes = memory_alloc(chunk * t->k, 4, "gguf", err);
  int rc = values && whole && bytes ? write_chunks(w, t, chunk, whole, values, bytes, err) : ERROR_RESOURCE;
  memory_free(values);
  memory_free(whole);
  memory_free(bytes);
  if (t->stored_row + t->n < t->stored_rows) return rc; /* the next part follows at once */
  const uint64_t size = tensor_bytes(w, t);
  return rc ? rc : write_zeros(w->out, align(size) - size, err);
}

static int write_factors(const struct writing *w, const struct gguf_factors *f, struct error *err)
{
  uint8_t bytes[4 * ROPE_FACTORS_MAX];
  size_t size;
  if (!encode(GGUF_F32, f->values, (size_t)f->count, bytes, &size))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, f->name, "the factors of %s are not finite", f->name);
  TRY(file_writer_write(w->out, bytes, size, err));
  return write_zeros(w->out, align(size) - size, err);
}

static int write_all(struct writing *w, const struct gguf_pairs *pairs, const struct gguf_pairs *extra,
                     struct error *err)
{
  struct text head = {0};
  text_puts(&head, "GGUF");
  put_bits(&head, 3, 4);
  put_bits(&head, stored_count(w), 8);
  put_bits(&head, pairs->count + (extra ? extra->count : 0), 8);
  text_add(&head, pairs->bytes.bytes, pairs->bytes.size);
  if (extra && extra->count) text_add(&head, extra->bytes.bytes, extra->bytes.size);
  put_tensor_infos(&head, w);
  int rc = text_finish(&head, err);
  if (!rc && extra) rc = text_finish(&extra->bytes, err);
  if (!rc) rc = file_writer_write(w->out, head.bytes, head.size, err);
  if (!rc) rc = write_zeros(w->out, align(head.size) - head.size, err);
  text_free(&head);
  for (size_t i = 0; i < w->factor_count && !rc; i++) rc = write_factors(w, &w->factors[i], err);
  for (size_t i = 0; i < model_tensor_count(w->c) && !rc; i++) {
    struct model_tensor t;
    model_tensor_at(w->c, i, &t);
    rc = write_tensor(w, &t, err);
    log_progress("write", (double)(i + 1), (double)model_tensor_count(w->c), "tensors");
  }
  log_progress_end();
  return rc;
}

int gguf_write_model(struct arena *a, const char *path, const struct model_config *c, enum save_type type,
                     const struct gguf_pairs *extra, const struct gguf *from, gguf_rows_fn *rows, void *arg,
                     struct error *err)
{
  struct writing w = {.c = c, .type = type, .from = from, .rows = rows, .arg = arg};
  struct gguf_pairs pairs = {0};
  if (find_architecture(&w, err)) return error_place(err, path, 0);
  TRY(file_writer_open(a, path, &w.out, err));
  put_config(&pairs, &w);
  int rc = text_finish(&pairs.bytes, err);
  if (!rc) rc = write_all(&w, &pairs, extra, err);
  gguf_pairs_free(&pairs);
  if (!rc) rc = file_writer_commit(w.out, err);
  file_writer_close(w.out);
  return rc;
}

/* compute_fixture: a device with everything a compute test puts on it, host arrays in f64 whatever the device's real
 * (f32 values are exact in it, so bits compare), and a builder for struct rows. rig_close gives all of it back. */
#ifndef ASSAY_TESTS_COMPUTE_FIXTURE_H
#define ASSAY_TESTS_COMPUTE_FIXTURE_H

#include "check.h"

#include "compute/backend.h"
#include "core/arena.h"
#include "core/math.h"
#include "core/pool.h"
#include "core/rng.h"

#define U32 0x1p-24 /* unit roundoff of f32 */

#if defined(__aarch64__)
enum { RIG_THINGS = 512, ISA_COUNT = 2 };
static const char *const isa_names[ISA_COUNT] = {"ref", "neon"};
#else
enum { RIG_THINGS = 512, ISA_COUNT = 4 };
static const char *const isa_names[ISA_COUNT] = {"ref", "avx2", "avx512", "amx"};
#endif

struct rig {
  struct device *d;
  const struct backend_ops *ops;
  struct arena *arena;
  struct buffer *buffers[RIG_THINGS];
  struct weight *weights[RIG_THINGS];
  struct kv *kvs[RIG_THINGS];
  int buffer_count, weight_count, kv_count;
};

/* false where this machine lacks the instruction set. */
static inline bool rig_open_type(struct rig *rig, const char *kind, const char *isa, int threads,
                                 enum compute_type type)
{
  struct error err = {0};
  memset(rig, 0, sizeof *rig);
  struct device_options options = {.kind = kind, .isa = isa, .threads = threads, .type = type};
  int rc = device_open(&options, &rig->d, &err);
  if (rc == ERROR_RESOURCE && strstr(err.message, "instruction set")) return false;
  CHECK_OK(rc, &err);
  rig->ops = device_ops(rig->d);
  rig->arena = arena_create("compute test", 0, &err);
  CHECK(rig->arena != NULL);
  return true;
}

static inline bool rig_open(struct rig *rig, const char *kind, const char *isa, int threads)
{
  return rig_open_type(rig, kind, isa, threads, COMPUTE_F32);
}

static inline void rig_close(struct rig *rig)
{
  struct error err = {0};
  CHECK_OK(device_sync(rig->d, &err), &err);
  for (int i = 0; i < rig->buffer_count; i++) buffer_destroy(rig->buffers[i]);
  for (int i = 0; i < rig->weight_count; i++) weight_destroy(rig->weights[i]);
  for (int i = 0; i < rig->kv_count; i++) kv_destroy(rig->kvs[i]);
  arena_destroy(rig->arena);
  device_close(rig->d);
}

/* ---- host arrays ---- */

static inline double *rig_host(struct rig *rig, size_t n)
{
  struct error err = {0};
  double *x = ARENA_NEW(rig->arena, double, n, "host", &err);
  CHECK(x != NULL);
  return x;
}

static inline double noise_at(uint64_t seed, size_t i)
{
  struct rng_at at = {.purpose = RNG_TEST, .position = (uint32_t)i};
  return 2 * rng_uniform(seed, &at) - 1;
}

/* n values in (-scale, scale), each an f32. */
static inline double *rig_noise(struct rig *rig, uint64_t seed, size_t n, double scale)
{
  double *x = rig_host(rig, n);
  for (size_t i = 0; i < n; i++) x[i] = (double)(float)(scale * noise_at(seed, i));
  return x;
}

/* ---- what is on the device ---- */

static inline struct view rig_zeros(struct rig *rig, size_t n)
{
  struct error err = {0};
  CHECK(rig->buffer_count < RIG_THINGS);
  CHECK_OK(buffer_create(rig->d, n, "test", &rig->buffers[rig->buffer_count], &err), &err);
  return (struct view){rig->buffers[rig->buffer_count++], 0};
}

static inline struct view rig_view(struct rig *rig, const double *x, size_t n)
{
  struct view v = rig_zeros(rig, n);
  buffer_write(rig->d, v, x, HOST_F64, n);
  return v;
}

static inline double *rig_read(struct rig *rig, struct view v, size_t n)
{
  double *x = rig_host(rig, n);
  buffer_read(rig->d, v, x, HOST_F64, n);
  return x;
}

/* Trainable, master = x. kind: k 0 makes a vector. */
static inline struct weight *rig_weight(struct rig *rig, size_t n, size_t k, const double *x)
{
  struct error err = {0};
  CHECK(rig->weight_count < RIG_THINGS);
  struct weight **w = &rig->weights[rig->weight_count++];
  CHECK_OK(weight_create(rig->d, k ? WEIGHT_MATRIX : WEIGHT_VECTOR, n, k, "test", w, &err), &err);
  CHECK_OK(weight_make_trainable(*w, &err), &err);
  weight_write(*w, WEIGHT_MASTER, 0, n, x, HOST_F64);
  return *w;
}

static inline double *rig_part(struct rig *rig, const struct weight *w, enum weight_part part)
{
  double *x = rig_host(rig, weight_rows(w) * weight_cols(w));
  weight_read(w, part, 0, weight_rows(w), x, HOST_F64);
  return x;
}

static inline struct kv *rig_kv(struct rig *rig, int layers, int heads, int head_dim, int block, int blocks)
{
  struct error err = {0};
  struct kv_shape shape = {layers, heads, head_dim, block, blocks};
  CHECK(rig->kv_count < RIG_THINGS);
  CHECK_OK(kv_create(rig->d, &shape, &rig->kvs[rig->kv_count], &err), &err);
  return rig->kvs[rig->kv_count++];
}

/* ---- rows ---- */

enum { BUILD_RUNS = 512, BUILD_ROWS = 1024, BUILD_TABLES = 8192 };

struct rows_build {
  struct rows rows;
  struct rows_run runs[BUILD_RUNS];
  struct rows_copy copies[BUILD_RUNS];
  struct rows_span spans[BUILD_RUNS];
  int32_t position[BUILD_ROWS], token[BUILD_ROWS], tables[BUILD_TABLES];
  int32_t table_used, span_used;
};

static inline void rows_begin(struct rows_build *b)
{
  memset(b, 0, sizeof *b);
  b->rows.token = b->token;
  b->rows.position = b->position;
  b->rows.runs = b->runs;
  b->rows.blocks = b->tables;
  b->rows.copies = b->copies;
  b->rows.spans = b->spans;
}

static inline void rows_run(struct rows_build *b, int32_t position, int32_t count, const int32_t *table,
                            int32_t entries)
{
  CHECK(b->rows.run_count < BUILD_RUNS && b->rows.count + count <= BUILD_ROWS &&
        b->table_used + entries <= BUILD_TABLES);
  b->runs[b->rows.run_count++] = (struct rows_run){b->rows.count, count, position, b->table_used, b->span_used, 0};
  for (int32_t i = 0; i < entries; i++) b->tables[b->table_used++] = table[i];
  for (int32_t i = 0; i < count; i++) b->position[b->rows.count++] = position + i;
}

/* A span of the last run. */
static inline void rows_span(struct rows_build *b, int32_t position, int32_t count, int32_t slot)
{
  CHECK(b->span_used < BUILD_RUNS);
  b->spans[b->span_used++] = (struct rows_span){position, count, slot};
  b->runs[b->rows.run_count - 1].span_count++;
}

static inline void rows_copy(struct rows_build *b, int32_t from, int32_t to, int32_t count)
{
  CHECK(b->rows.copy_count < BUILD_RUNS);
  b->copies[b->rows.copy_count++] = (struct rows_copy){from, to, count};
}

#endif

/* compute/device: which kinds of device there are, and what is the same for all of them. */
#include "compute/device.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "core/arena.h"

int device_open(const struct device_options *options, struct device **out, struct error *err)
{
  const char *kind = options->kind ? options->kind : "";
  *out = NULL;
  if (options->threads < 0 || options->threads > 4096)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "threads",
            "found %d threads; expected 1 to 4096, or 0 for all cores of this process", options->threads);
  if (!strcmp(kind, "cpu")) return cpu_device_open(options, false, out, err);
  if (!strcmp(kind, "reference64")) return cpu_device_open(options, true, out, err);
  if (!strcmp(kind, "cuda-emulated")) return cuda_device_open_emulated(options, out, err);
#if defined(ASSAY_CUDA)
  if (!strcmp(kind, "cuda")) return cuda_device_open(options, out, err);
#endif
  if (!strcmp(kind, "cuda"))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "device",
            "found compute.device cuda, which this build does not have; write device: cpu, or build with cmake "
            "--preset cuda where NVIDIA's nvcc is");
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "device", "found device \"%s\"; expected cpu (or reference64 in gradient tests)",
          kind);
}

void device_close(struct device *d)
{
  if (!d) return;
  d->memory->close(d);
  pool_destroy(d->pool);
  memory_free(d);
}

const char *device_isa(const struct device *d)
{
  return d->isa;
}

enum compute_type device_type(const struct device *d)
{
  return d->type;
}

const char *compute_type_name(enum compute_type type)
{
  return type == COMPUTE_BF16 ? "bf16" : "f32";
}

size_t compute_type_size(enum compute_type type)
{
  return type == COMPUTE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

size_t device_real_size(const struct device *d)
{
  return d->real_size;
}

int device_threads(const struct device *d)
{
  return pool_threads(d->pool);
}

struct pool *device_pool(const struct device *d)
{
  return d->pool;
}

const struct backend_ops *device_ops(const struct device *d)
{
  return &d->ops;
}

size_t device_memory_room(const struct device *d)
{
  return d->memory->room ? d->memory->room(d) : 0;
}

bool device_runs_ahead(const struct device *d)
{
  return !d->memory->host;
}

int device_reserve_draws(struct device *d, int32_t rows, struct error *err)
{
  ASSAY_BUG_IF(device_draws(d));
  if (rows <= d->draws.room) return 0;
  TRY(d->memory->draws(d, rows, err));
  d->draws.room = rows;
  memset(d->draws.rows, 0, sizeof d->draws.rows);
  return 0;
}

int device_draws(const struct device *d)
{
  return (int)(d->draws.started - d->draws.taken);
}

int draws_begin(struct device *d, int32_t rows)
{
  ASSAY_BUG_IF(rows < 1 || rows > d->draws.room || device_draws(d) == DRAWS_STARTED);
  const int place = (int)(d->draws.started++ % DRAWS_STARTED);
  d->draws.rows[place] = rows;
  return place;
}

int draws_end(struct device *d)
{
  ASSAY_BUG_IF(!device_draws(d));
  return (int)(d->draws.taken++ % DRAWS_STARTED);
}

int32_t draws_last_rows(const struct device *d)
{
  return d->draws.rows[(d->draws.started + DRAWS_STARTED - 1) % DRAWS_STARTED];
}

size_t device_scratch_bytes(const struct device *d)
{
  return d->scratch_each * (size_t)pool_threads(d->pool);
}

static pthread_mutex_t failing = PTHREAD_MUTEX_INITIALIZER;

void device_fail(struct device *d, int code, const char *fmt, ...)
{
  va_list list;
  pthread_mutex_lock(&failing);
  if (!d->failed.code) {
    va_start(list, fmt);
    vsnprintf(d->failed.message, sizeof d->failed.message, fmt, list);
    va_end(list);
    __atomic_store_n(&d->failed.code, code, __ATOMIC_RELEASE);  // last: who sees it may read the rest
  }
  pthread_mutex_unlock(&failing);
}

bool device_failed(const struct device *d)
{
  return __atomic_load_n(&d->failed.code, __ATOMIC_ACQUIRE) != 0;
}

int device_check(const struct device *d, struct error *err)
{
  if (!device_failed(d)) return 0;
  return error_fail(err, d->failed.code, NULL, 0, "device", "%s", d->failed.message);
}

int device_sync(struct device *d, struct error *err)
{
  d->memory->sync(d);
  return device_check(d, err);
}

void device_offload(struct device *d, bool on)
{
  d->offload = on && d->memory->take_aside;
}

void device_hold(struct device *d, bool held)
{
  d->held = held;
  d->holds += held;
}

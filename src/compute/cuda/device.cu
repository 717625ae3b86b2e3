/* cuda/device: opens a GPU (or the emulated one), keeps its memory, and copies host arrays to it.
 *
 * Uploads and an operation's own results lie in one ring on the device, and uploads pass through a pinned copy of it on
 * the host: filled from the front; at the end the device is waited for and it begins anew. So an upload costs no wait,
 * and what it holds stays until all launched before the next turn are done.
 */
#include "compute/cuda/cuda.h"

#include <stdio.h>
#ifdef __cplusplus
extern "C" {
#endif
#include "core/fault.h"
#ifdef __cplusplus
}
#endif

enum { RING_FIRST = 32 << 20 /* far more than the uploads of one operation */, ALIGN = 256 };

struct ring {
  char *device, *host;
  size_t size, used;
};

struct cuda_device {
  struct device base; /* first: a struct device * is one of these */
  struct ring ring;
#ifdef __CUDACC__
  cudaStream_t stream;
#endif
  char name[96];
};

static struct cuda_device *cuda_of(struct device *d)
{
  return (struct cuda_device *)d;
}

/* ---- bytes on the device: the runtime's, or the host's where the device is emulated ---- */

#ifdef __CUDACC__

/* Remembers the first failure. */
static bool cuda_ok(struct device *d, const char *what, cudaError_t rc)
{
  if (rc == cudaSuccess) return true;
  if (!d->failed.code)
    error_fail(&d->failed, ERROR_RESOURCE, NULL, 0, "device",
               "the GPU failed in %s: %s (%s); the state saved last is whole", what, cudaGetErrorString(rc),
               cudaGetErrorName(rc));
  return false;
}

cudaStream_t cuda_stream(struct device *d)
{
  return cuda_of(d)->stream;
}

void cuda_launched(struct device *d, const char *kernel)
{
  cuda_ok(d, kernel, cudaGetLastError());
}

static void *bytes_take(struct device *d, size_t bytes)
{
  void *p = NULL;
  if (cudaMalloc(&p, bytes) != cudaSuccess) {
    (void)cudaGetLastError(); /* a lack of room is no failure of the device */
    return NULL;
  }
  cuda_ok(d, "cudaMemsetAsync", cudaMemsetAsync(p, 0, bytes, cuda_stream(d)));
  return p;
}

static void bytes_give(struct device *d, void *p)
{
  cuda_ok(d, "cudaFree", cudaFree(p));
}

static void bytes_put(struct device *d, void *to, const void *from, size_t n, bool pinned)
{
  cuda_ok(d, "a copy to it", cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, cuda_stream(d)));
  if (!pinned) cuda_ok(d, "a copy to it", cudaStreamSynchronize(cuda_stream(d)));
}

static void bytes_get(struct device *d, void *to, const void *from, size_t n)
{
  if (!cuda_ok(d, "a copy from it", cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, cuda_stream(d))) ||
      !cuda_ok(d, "a copy from it", cudaStreamSynchronize(cuda_stream(d))))
    memset(to, 0, n);
}

static void bytes_wait(struct device *d)
{
  cuda_ok(d, "an operation", cudaStreamSynchronize(cuda_stream(d)));
}

static size_t bytes_room(const struct device *d)
{
  size_t room = 0, all = 0;
  (void)d;
  return cudaMemGetInfo(&room, &all) == cudaSuccess ? room : 0;
}

static void *pinned_take(size_t bytes)
{
  void *p = NULL;
  if (cudaMallocHost(&p, bytes) == cudaSuccess) return p;
  (void)cudaGetLastError();
  return NULL;
}

static void pinned_give(void *p)
{
  (void)cudaFreeHost(p);
}

#else

static void *bytes_take(struct device *d, size_t bytes)
{
  (void)d;
  return memory_alloc(bytes, 1, "emulated GPU", NULL);
}

static void bytes_give(struct device *d, void *p)
{
  (void)d;
  memory_free(p);
}

static void bytes_put(struct device *d, void *to, const void *from, size_t n, bool pinned)
{
  (void)d, (void)pinned;
  memcpy(to, from, n);
}

static void bytes_get(struct device *d, void *to, const void *from, size_t n)
{
  (void)d;
  memcpy(to, from, n);
}

static void bytes_wait(struct device *d)
{
  (void)d;
}

static size_t bytes_room(const struct device *d)
{
  (void)d;
  return 0;
}

static void *pinned_take(size_t bytes)
{
  return memory_alloc(bytes, 1, "emulated GPU", NULL);
}

static void pinned_give(void *p)
{
  memory_free(p);
}

#endif

/* ---- struct device_memory ---- */

static void *device_take(struct device *d, size_t count, size_t size, const char *tag, struct error *err)
{
  uint64_t bytes = (uint64_t)count * size;
  void *p = size && bytes / size != count ? NULL : bytes_take(d, bytes ? (size_t)bytes : 1);
  if (!p)
    error_fail(err, ERROR_RESOURCE, NULL, 0, "device",
               "the GPU has no room for %.1f MiB of %s; lower rollout.problems, rollout.max_new_tokens or "
               "compute.micro_batch, or see `assay train --plan`",
               (double)bytes / 1048576, tag);
  return p;
}

static void device_give(struct device *d, void *p)
{
  if (p) bytes_give(d, p);
}

static void device_put(struct device *d, void *to, const void *from, size_t bytes)
{
  bytes_put(d, to, from, bytes, false);
}

static void device_rest(struct device *d)
{
  bytes_wait(d);
  cuda_of(d)->ring.used = 0;
}

static void ring_give(struct device *d)
{
  struct ring *ring = &cuda_of(d)->ring;
  device_give(d, ring->device);
  if (ring->host) pinned_give(ring->host);
  ring->device = ring->host = NULL;
  ring->size = ring->used = 0;
}

static void device_shut(struct device *d)
{
  ring_give(d);
#ifdef __CUDACC__
  if (cuda_of(d)->stream) (void)cudaStreamDestroy(cuda_of(d)->stream);
#endif
}

static const struct device_memory cuda_memory = {false,
                                                 device_take,
                                                 device_give,
                                                 device_put,
                                                 bytes_get,
                                                 device_rest,
                                                 bytes_room,
                                                 CUDA_NAME(weight_round_rows),
                                                 CUDA_NAME(weight_widen_rows),
                                                 NULL,
                                                 NULL,
                                                 device_shut};

/* ---- the ring ---- */

/* A ring of at least `bytes`: what was in the old one has been used. */
static bool ring_make(struct device *d, size_t bytes)
{
  struct ring *ring = &cuda_of(d)->ring;
  size_t size = ring->size ? ring->size : RING_FIRST;
  while (size < bytes) size *= 2;
  bytes_wait(d);
  ring_give(d);
  ring->device = (char *)bytes_take(d, size);
  ring->host = (char *)pinned_take(size);
  if (ring->device && ring->host) {
    ring->size = size;
    return true;
  }
  ring_give(d);
  if (!d->failed.code)
    error_fail(&d->failed, ERROR_RESOURCE, NULL, 0, "device", "no room for %zu bytes on their way to the GPU", size);
  return false;
}

/* Where the next `bytes` go, or SIZE_MAX. */
static size_t ring_next(struct device *d, size_t bytes)
{
  struct ring *ring = &cuda_of(d)->ring;
  if (d->failed.code) return SIZE_MAX;
  if (bytes > ring->size) {
    if (!ring_make(d, bytes)) return SIZE_MAX;
  } else if (bytes > ring->size - ring->used) {
    device_rest(d);
  }
  const size_t at = ring->used;
  ring->used += size_min((bytes + ALIGN - 1) / ALIGN * ALIGN, ring->size - ring->used);
  return at;
}

const void *CUDA_NAME(cuda_upload)(struct device *d, const void *from, size_t bytes)
{
  const size_t at = bytes ? ring_next(d, bytes) : SIZE_MAX;
  if (at == SIZE_MAX) return NULL;
  struct ring *ring = &cuda_of(d)->ring;
  memcpy(ring->host + at, from, bytes);
  bytes_put(d, ring->device + at, ring->host + at, bytes, true);
  return ring->device + at;
}

void *CUDA_NAME(cuda_room)(struct device *d, size_t bytes)
{
  const size_t at = ring_next(d, bytes ? bytes : 1);
  return at == SIZE_MAX ? NULL : cuda_of(d)->ring.device + at;
}

/* ---- opening ---- */

#ifdef __CUDACC__
static int device_find(struct cuda_device *c, struct error *err)
{
  int count = 0, driver = 0;
  cudaError_t rc = cudaGetDeviceCount(&count);
  (void)cudaDriverGetVersion(&driver);
  if (rc == cudaErrorInsufficientDriver && driver) {
    return error_fail(
        err, ERROR_RESOURCE, NULL, 0, "device",
        "found a driver for CUDA %d.%d; this program was built with CUDA %d.%d: update the driver or write "
        "device: cpu",
        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  }
  if (rc != cudaSuccess || !count)
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "device", "found no NVIDIA GPU (%s); write device: cpu",
                      rc == cudaSuccess ? "none is listed" : cudaGetErrorString(rc));
  cudaDeviceProp prop;
  if (cudaSetDevice(0) != cudaSuccess || cudaGetDeviceProperties(&prop, 0) != cudaSuccess ||
      cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking) != cudaSuccess)
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "device", "the GPU could not be opened: %s",
                      cudaGetErrorString(cudaGetLastError()));
  snprintf(c->name, sizeof c->name, "sm_%d%d (%.60s)", prop.major, prop.minor, prop.name);
  return 0;
}
#else
static int device_find(struct cuda_device *c, struct error *err)
{
  (void)err;
  snprintf(c->name, sizeof c->name, "emulated");
  return 0;
}
#endif

static int device_begin(struct cuda_device *c, int threads, struct error *err)
{
  TRY(pool_create(threads ? threads : cores_available(), &c->base.pool, err));
  return device_find(c, err);
}

static int device_make(const struct device_options *options, struct device **out, struct error *err)
{
  *out = NULL;
  if (fault_hit(FAULT_DEVICE))
    return error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "the device could not be opened; this is an injected fault");
  struct cuda_device *c = (struct cuda_device *)memory_alloc(1, sizeof *c, "device", err);
  if (!c) return ERROR_RESOURCE;
  c->base.memory = &cuda_memory;
  c->base.isa = c->name;
  c->base.type = options->type;
  c->base.real_size = sizeof(real);
#define CUDA_FILL(slot) c->base.ops.slot = CUDA_NAME(slot);
  CUDA_SLOTS(CUDA_FILL)
#define CUDA_FILL_BF16(slot) c->base.ops.slot = CUDA_NAME(slot##_bf16);
  if (options->type == COMPUTE_BF16) {
    CUDA_BF16_SLOTS(CUDA_FILL_BF16)
  }
  c->base.adamw_f32 = c->base.ops.adamw;
  const int rc = device_begin(c, options->threads, err);
  if (rc) {
    device_close(&c->base);
    return rc;
  }
  *out = &c->base;
  return 0;
}

#ifdef __CUDACC__
extern "C" int cuda_device_open(const struct device_options *options, struct device **out, struct error *err)
{
  return device_make(options, out, err);
}
#else
int cuda_device_open_emulated(const struct device_options *options, struct device **out, struct error *err)
{
  return device_make(options, out, err);
}
#endif

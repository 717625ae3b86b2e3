/* cuda/device: opens a GPU (or the emulated one), keeps its memory, copies, and runs what the queue hands it. */
#include "compute/cuda/draws.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __cplusplus
extern "C" {
#endif
#include "core/fault.h"
#include "core/log.h"
#ifdef __cplusplus
}
#endif

#define FAILED_SENTENCE \
  "the GPU failed in %s: %s; the checkpoint written last is whole: start again with --resume (nvidia-smi and the system's log may say more)"

/* ---- the runtime's own: bytes, launches, graphs ---- */

#ifdef __CUDACC__

/* Remembers the first failure. */
static bool cuda_ok(struct device *d, const char *what, cudaError_t rc)
{
  if (rc == cudaSuccess) return true;
  char why[160];
  snprintf(why, sizeof why, "%s (%s)", cudaGetErrorString(rc), cudaGetErrorName(rc));
  device_fail(d, ERROR_RESOURCE, FAILED_SENTENCE, what, why);
  return false;
}

/* Those who own the device see all that it was given to do; others read beside it. */
static cudaStream_t stream_here(struct device *d)
{
  return CUDA_NAME(queue_owned)(d) ? cuda_of(d)->stream : cuda_of(d)->side;
}

void *CUDA_NAME(bytes_take)(struct device *d, size_t bytes)
{
  void *p = NULL;
  if (cudaMalloc(&p, bytes) != cudaSuccess) {
    (void)cudaGetLastError(); /* a lack of room is no failure of the device */
    return NULL;
  }
  cuda_ok(d, "cudaMemsetAsync", cudaMemsetAsync(p, 0, bytes, cuda_of(d)->stream));
  cuda_ok(d, "cudaMemsetAsync", cudaStreamSynchronize(cuda_of(d)->stream)); /* other streams may write it next */
  return p;
}

void CUDA_NAME(bytes_give)(struct device *d, void *p)
{
  cuda_ok(d, "cudaFree", cudaFree(p)); /* waits for all that runs */
}

void CUDA_NAME(bytes_up)(struct device *d, void *to, const void *from, size_t n)
{
  if (!device_failed(d))
    cuda_ok(d, "a copy to it", cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, cuda_of(d)->stream));
}

void CUDA_NAME(bytes_back)(struct device *d, void *to, const void *from, size_t n)
{
  if (!device_failed(d))
    cuda_ok(d, "a copy from it", cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, cuda_of(d)->stream));
}

void CUDA_NAME(mark_set)(struct device *d, int place)
{
  if (!device_failed(d)) cuda_ok(d, "an event", cudaEventRecord(cuda_of(d)->sent[place], cuda_of(d)->stream));
}

void CUDA_NAME(mark_wait)(struct device *d, int place)
{
  if (!device_failed(d)) cuda_ok(d, "an operation", cudaEventSynchronize(cuda_of(d)->sent[place]));
}

static void bytes_put(struct device *d, void *to, const void *from, size_t n)
{
  const cudaStream_t stream = stream_here(d);
  if (!device_failed(d) && cuda_ok(d, "a copy to it", cudaMemcpyAsync(to, from, n, cudaMemcpyDefault, stream)))
    cuda_ok(d, "a copy to it", cudaStreamSynchronize(stream));
}

static bool bytes_down(struct device *d, void *to, const void *from, size_t n)
{
  const cudaStream_t stream = stream_here(d);
  return !device_failed(d) &&
         cuda_ok(d, "a copy from it", cudaMemcpyAsync(to, from, n, cudaMemcpyDefault, stream)) &&
         cuda_ok(d, "a copy from it", cudaStreamSynchronize(stream));
}

void CUDA_NAME(bytes_wait)(struct device *d)
{
  cuda_ok(d, "an operation", cudaStreamSynchronize(stream_here(d)));
}

static size_t bytes_room(const struct device *d)
{
  size_t room = 0, all = 0;
  (void)d;
  return cudaMemGetInfo(&room, &all) == cudaSuccess ? room : 0;
}

void *CUDA_NAME(pinned_take)(size_t bytes)
{
  void *p = NULL;
  if (cudaMallocHost(&p, bytes) == cudaSuccess) return p;
  (void)cudaGetLastError();
  return NULL;
}

void CUDA_NAME(pinned_give)(void *p)
{
  (void)cudaFreeHost(p);
}

/* More shared memory than all kernels have is asked for by name: all there is, as a kernel's launches may differ. */
static bool room_ask(struct device *d, const struct launch *l)
{
  enum { ALL_HAVE = 48 << 10 };
  return l->shared <= ALL_HAVE || cuda_ok(d, l->name,
                                          cudaFuncSetAttribute(l->entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                               cuda_of(d)->shared_most));
}

void CUDA_NAME(launch_run)(struct device *d, const struct launch *l)
{
  void *args[1] = {(void *)l->args};
  if (!room_ask(d, l)) return;
  cuda_ok(d, l->name,
          cudaLaunchKernel(l->entry, dim3((unsigned)l->blocks_x, (unsigned)l->blocks_y), dim3((unsigned)l->threads),
                           args, l->shared, cuda_of(d)->stream));
}

static cudaKernelNodeParams node_params(struct launch *l, void **args)
{
  cudaKernelNodeParams p = {};
  args[0] = l->args;
  p.func = (void *)l->entry;
  p.gridDim = dim3((unsigned)l->blocks_x, (unsigned)l->blocks_y);
  p.blockDim = dim3((unsigned)l->threads);
  p.sharedMemBytes = (unsigned)l->shared;
  p.kernelParams = args;
  return p;
}

/* A chain: each launch waits for the one before it. */
static bool graph_fill(struct device *d, struct graph *g)
{
  for (int i = 0; i < g->count; i++) {
    void *args[1];
    if (!room_ask(d, g->list + i)) return false;
    const cudaKernelNodeParams p = node_params(g->list + i, args);
    if (cudaGraphAddKernelNode(g->node + i, g->graph, i ? g->node + i - 1 : NULL, i ? 1 : 0, &p) != cudaSuccess)
      return false;
  }
  return cudaGraphInstantiate(&g->exec, g->graph, 0) == cudaSuccess;
}

bool CUDA_NAME(graph_make)(struct device *d, struct graph *g)
{
  g->node = (cudaGraphNode_t *)memory_alloc((size_t)g->count, sizeof *g->node, "graph", NULL);
  if (g->node && cudaGraphCreate(&g->graph, 0) == cudaSuccess && graph_fill(d, g)) return true;
  CUDA_NAME(graph_drop)(g);
  (void)cudaGetLastError(); /* the list runs without one */
  return false;
}

void CUDA_NAME(graph_set)(struct device *d, struct graph *g, int i)
{
  void *args[1];
  const cudaKernelNodeParams p = node_params(g->list + i, args);
  cuda_ok(d, g->list[i].name, cudaGraphExecKernelNodeSetParams(g->exec, g->node[i], &p));
}

void CUDA_NAME(graph_run)(struct device *d, struct graph *g)
{
  if (!device_failed(d)) cuda_ok(d, "a graph of kernels", cudaGraphLaunch(g->exec, cuda_of(d)->stream));
}

void CUDA_NAME(graph_drop)(struct graph *g)
{
  if (g->exec) (void)cudaGraphExecDestroy(g->exec);
  if (g->graph) (void)cudaGraphDestroy(g->graph);
  memory_free(g->node);
  g->exec = NULL;
  g->graph = NULL;
  g->node = NULL;
}

/* ---- the same on the emulated device: the host's bytes, in front of each piece its size ---- */

#else

enum { HEAD = 64 };

void *CUDA_NAME(bytes_take)(struct device *d, size_t bytes)
{
  struct cuda_device *c = cuda_of(d);
  if (c->room && bytes > c->room - c->room_taken) return NULL;
  char *p = memory_alloc(bytes + HEAD, 1, "emulated GPU", NULL);
  if (!p) return NULL;
  memcpy(p, &bytes, sizeof bytes);
  c->room_taken += bytes;
  return p + HEAD;
}

/* What was started is done in its order, when somebody waits for it or there is no room for more. */
enum { PENDING = 2 * LIST_MOST };
struct pending {
  struct launch launch;
  void *to; /* of a copy: bytes > 0 */
  const void *from;
  size_t bytes;
};

static void pending_run(struct cuda_device *c, uint64_t until)
{
  struct device *d = &c->base;
  while (c->done < until) {
    const struct pending *p = c->pending + c->done++ % PENDING;
    const struct launch *l = &p->launch;
    if (!p->bytes && c->fault_in && !--c->fault_in)
      device_fail(d, ERROR_RESOURCE, FAILED_SENTENCE, l->name, "ASSAY_EMULATED_FAULT");
    if (device_failed(d)) continue;
    if (p->bytes)
      memcpy(p->to, p->from, p->bytes);
    else
      emulate_launch(l->entry, l->args, l->blocks_x, l->blocks_y, l->threads, l->waits, l->shared);
  }
}

static struct pending *pending_add(struct cuda_device *c)
{
  if (c->begun - c->done == PENDING) pending_run(c, c->done + 1);
  return c->pending + c->begun++ % PENDING;
}

static void pending_copy(struct device *d, void *to, const void *from, size_t n)
{
  if (device_failed(d) || !n) return;
  struct pending *p = pending_add(cuda_of(d));
  p->to = to;
  p->from = from;
  p->bytes = n;
}

/* A thread that reads beside the owner waits for nothing of the owner's. */
static void pending_wait(struct device *d)
{
  if (CUDA_NAME(queue_owned)(d)) pending_run(cuda_of(d), cuda_of(d)->begun);
}

void CUDA_NAME(bytes_give)(struct device *d, void *p)
{
  size_t bytes;
  pending_run(cuda_of(d), cuda_of(d)->begun);
  memcpy(&bytes, (char *)p - HEAD, sizeof bytes);
  cuda_of(d)->room_taken -= bytes;
  memory_free((char *)p - HEAD);
}

void CUDA_NAME(bytes_up)(struct device *d, void *to, const void *from, size_t n)
{
  pending_copy(d, to, from, n);
}

void CUDA_NAME(bytes_back)(struct device *d, void *to, const void *from, size_t n)
{
  pending_copy(d, to, from, n);
}

void CUDA_NAME(mark_set)(struct device *d, int place)
{
  cuda_of(d)->sent[place] = cuda_of(d)->begun;
}

void CUDA_NAME(mark_wait)(struct device *d, int place)
{
  pending_run(cuda_of(d), cuda_of(d)->sent[place]);
}

static void bytes_put(struct device *d, void *to, const void *from, size_t n)
{
  pending_wait(d);
  if (!device_failed(d)) memcpy(to, from, n);
}

static bool bytes_down(struct device *d, void *to, const void *from, size_t n)
{
  pending_wait(d);
  if (device_failed(d)) return false;
  memcpy(to, from, n);
  return true;
}

void CUDA_NAME(bytes_wait)(struct device *d)
{
  pending_wait(d);
}

static size_t bytes_room(const struct device *d)
{
  const struct cuda_device *c = (const struct cuda_device *)d;
  return c->room ? c->room - c->room_taken : 0;
}

void *CUDA_NAME(pinned_take)(size_t bytes)
{
  return memory_alloc(bytes, 1, "emulated GPU", NULL);
}

void CUDA_NAME(pinned_give)(void *p)
{
  memory_free(p);
}

void CUDA_NAME(launch_run)(struct device *d, const struct launch *l)
{
  if (device_failed(d)) return;
  struct pending *p = pending_add(cuda_of(d));
  p->launch = *l;
  p->bytes = 0;
}

bool CUDA_NAME(graph_make)(struct device *d, struct graph *g)
{
  (void)d, (void)g;
  return true;
}

void CUDA_NAME(graph_set)(struct device *d, struct graph *g, int i)
{
  (void)d, (void)g, (void)i;
}

void CUDA_NAME(graph_run)(struct device *d, struct graph *g)
{
  for (int i = 0; i < g->count && !device_failed(d); i++) CUDA_NAME(launch_run)(d, g->list + i);
}

void CUDA_NAME(graph_drop)(struct graph *g)
{
  (void)g;
}

#endif

/* ---- struct device_memory ---- */

static void *device_take(struct device *d, size_t count, size_t size, const char *tag, struct error *err)
{
  uint64_t bytes = (uint64_t)count * size;
  void *p = size && bytes / size != count ? NULL : CUDA_NAME(bytes_take)(d, bytes ? (size_t)bytes : 1);
  if (!p)
    error_fail(err, ERROR_RESOURCE, NULL, 0, "device",
               "the GPU has no room for %.1f MiB of %s (%.1f MiB are free); lower rollout.problems, "
               "rollout.max_new_tokens or compute.micro_batch, or see `assay train --plan`",
               (double)bytes / 1048576, tag, (double)bytes_room(d) / 1048576);
  return p;
}

static void device_give(struct device *d, void *p)
{
  if (!p) return;
  CUDA_NAME(queue_flush)(d, false);
  CUDA_NAME(bytes_give)(d, p);
}

/* Pinned, so that kernels reach it over the bus. */
static void *device_take_aside(struct device *d, size_t count, size_t size, const char *tag, struct error *err)
{
  uint64_t bytes = (uint64_t)count * size;
  void *p = size && bytes / size != count ? NULL : CUDA_NAME(pinned_take)(bytes ? (size_t)bytes : 1);
  (void)d;
  if (p)
    memset(p, 0, (size_t)bytes);
  else
    error_fail(err, ERROR_RESOURCE, NULL, 0, "offload",
               "the host has no room for %.1f MiB of %s that the GPU reaches; free memory, or train an adapter",
               (double)bytes / 1048576, tag);
  return p;
}

static void device_give_aside(struct device *d, void *p)
{
  if (!p) return;
  CUDA_NAME(queue_flush)(d, false);
  CUDA_NAME(bytes_wait)(d);
  CUDA_NAME(pinned_give)(p);
}

static void device_put(struct device *d, void *to, const void *from, size_t bytes)
{
  if (CUDA_NAME(queue_owned)(d)) CUDA_NAME(queue_flush)(d, false);
  bytes_put(d, to, from, bytes);
}

static void device_get(struct device *d, void *to, const void *from, size_t bytes)
{
  const bool own = CUDA_NAME(queue_owned)(d);
  if (own) CUDA_NAME(queue_flush)(d, true);
  if (!bytes_down(d, to, from, bytes)) memset(to, 0, bytes);
  if (own) CUDA_NAME(queue_rest)(d);
}

static void device_rest(struct device *d)
{
  const bool own = CUDA_NAME(queue_owned)(d);
  if (own) CUDA_NAME(queue_flush)(d, true);
  CUDA_NAME(bytes_wait)(d);
  if (own) CUDA_NAME(queue_rest)(d);
}

static void device_shut(struct device *d)
{
  CUDA_NAME(bytes_wait)(d);
  CUDA_NAME(draws_close)(d);
  CUDA_NAME(queue_close)(d);
#ifdef __CUDACC__
  for (int i = 0; i < DRAWS_STARTED; i++)
    if (cuda_of(d)->sent[i]) (void)cudaEventDestroy(cuda_of(d)->sent[i]);
  if (cuda_of(d)->stream) (void)cudaStreamDestroy(cuda_of(d)->stream);
  if (cuda_of(d)->side) (void)cudaStreamDestroy(cuda_of(d)->side);
#else
  memory_free(cuda_of(d)->pending);
#endif
}

static const struct device_memory cuda_memory = {false,
                                                 device_take,
                                                 device_give,
                                                 device_take_aside,
                                                 device_give_aside,
                                                 device_put,
                                                 device_get,
                                                 device_rest,
                                                 bytes_room,
                                                 CUDA_NAME(weight_round_rows),
                                                 CUDA_NAME(weight_widen_rows),
                                                 quant_pack,
                                                 quant_row,
                                                 CUDA_NAME(draws_reserve),
                                                 device_shut};

/* ---- opening ---- */

/* Which products a device has that is able to wgmma or not, unless ASSAY_CUDA_PRODUCTS says otherwise. */
static int products_choose(struct cuda_device *c, bool able, enum products usual, struct error *err)
{
  const char *name = getenv("ASSAY_CUDA_PRODUCTS");
  c->products = usual;
  if (!name || !*name || !strcmp(name, "auto")) return 0;
  if (strcmp(name, "mma") && strcmp(name, "wgmma"))
    return error_fail(err, ERROR_INPUT, NULL, 0, "ASSAY_CUDA_PRODUCTS", "found \"%s\"; expected auto, mma or wgmma", name);
  c->products = strcmp(name, "mma") ? PRODUCTS_WGMMA : PRODUCTS_MMA;
  if (c->products == PRODUCTS_WGMMA && !able)
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "ASSAY_CUDA_PRODUCTS",
                      "found wgmma for a GPU %s; expected Hopper (sm_90), which alone has it; write auto or mma", c->name);
  return 0;
}

#ifdef __CUDACC__
enum { LEAST_MAJOR = 8 /* mma.m16n8k16 on bf16 */, HOPPER_MAJOR = 9 };

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
      cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking) != cudaSuccess ||
      cudaStreamCreateWithFlags(&c->side, cudaStreamNonBlocking) != cudaSuccess ||
      cudaEventCreateWithFlags(&c->sent[0], cudaEventDisableTiming) != cudaSuccess ||
      cudaEventCreateWithFlags(&c->sent[1], cudaEventDisableTiming) != cudaSuccess)
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "device", "the GPU could not be opened: %s; write device: cpu",
                      cudaGetErrorString(cudaGetLastError()));
  snprintf(c->name, sizeof c->name, "sm_%d%d (%.60s)", prop.major, prop.minor, prop.name);
  c->processors = prop.multiProcessorCount;
  c->shared_most = (int)prop.sharedMemPerBlockOptin;
  if (prop.major < LEAST_MAJOR)
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "device",
                      "found a GPU %s; expected sm_80 or later; write device: cpu", c->name);
  const bool hopper = prop.major == HOPPER_MAJOR;
  return products_choose(c, hopper, hopper ? PRODUCTS_WGMMA : PRODUCTS_MMA, err);
}

/* Products that have never run on this kind of GPU and driver are asked before they are believed. */
static int products_try(struct cuda_device *c, struct error *err)
{
  if (c->base.type != COMPUTE_BF16 || c->products != PRODUCTS_WGMMA) return 0;
  // taken now, so that what is free afterwards is free for the run
  if (!CUDA_NAME(cuda_room)(&c->base, WIDE_ROOM)) return device_check(&c->base, err);
  const char *wrong = CUDA_NAME(products_check)(&c->base);
  const size_t end = strlen(c->name);
  if (!wrong) {
    snprintf(c->name + end, sizeof c->name - end, ", wgmma");
    return 0;
  }
  if (device_failed(&c->base))
    return error_fail(err, ERROR_RESOURCE, NULL, 0, "device",
                      "a first small product by wgmma failed: %s; set ASSAY_CUDA_PRODUCTS=mma in the environment to do "
                      "without wgmma",
                      c->base.failed.message);
  const char *named = getenv("ASSAY_CUDA_PRODUCTS");
  if (named && !strcmp(named, "wgmma"))
    return error_fail(err, ERROR_LAW, NULL, 0, "ASSAY_CUDA_PRODUCTS",
                      "a first small product by wgmma on %s is wrong (%s); write mma to do without wgmma", c->name, wrong);
  log_warn("a first small product by wgmma on %s is wrong (%s): products in bf16 are mma.sync's, which is slower", c->name,
           wrong);
  c->products = PRODUCTS_MMA;
  return 0;
}
#else
/* What the environment says of the emulated device; 0: nothing. */
static int64_t variable(const char *name)
{
  const char *text = getenv(name);
  return text ? strtoll(text, NULL, 10) : 0;
}

static int device_find(struct cuda_device *c, struct error *err)
{
  c->pending = memory_alloc(PENDING, sizeof *c->pending, "emulated GPU", err);
  if (!c->pending) return err->code;
  c->fault_in = (long)variable("ASSAY_EMULATED_FAULT");
  c->room = (size_t)variable("ASSAY_EMULATED_ROOM");
  c->processors = 3;
  TRY(products_choose(c, true, PRODUCTS_MMA, err));
  snprintf(c->name, sizeof c->name, "emulated%s", c->products == PRODUCTS_WGMMA ? ", wgmma" : "");
  return 0;
}

/* unit_compute_products asks it of the emulated device: not each time one is opened. */
static int products_try(struct cuda_device *c, struct error *err)
{
  (void)c, (void)err;
  return 0;
}
#endif

static int device_begin(struct cuda_device *c, int threads, struct error *err)
{
  if (!CUDA_NAME(queue_open)(c, err)) return err->code;
  TRY(pool_create(threads ? threads : cores_available(), &c->base.pool, err));
  TRY(device_find(c, err));
  if (!CUDA_NAME(queue_start)(c, err)) return ERROR_RESOURCE;
  return products_try(c, err);
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

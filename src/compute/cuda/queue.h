/* cuda/queue: what stands between operations and the device. Operations put launches into a list and host arrays into a
 * pinned ring; when somebody waits for a result (or the list is full) the ring's new part is copied in one go and the
 * list runs on one stream. So a pass of decoding costs the host one copy, one start and one wait, that of its tokens;
 * and it may wait when the next pass has been started (draws.h), so that the device is never without one.
 *
 * A list that comes again becomes a GRAPH: launches of the same kernels and grids, one behind the other, whose
 * arguments are set anew where they differ and which the device starts as one. Nothing above knows of it, and no bit
 * can depend on it: a graph is made from the list that would run, and is used for a list that is equal to it. Arrays
 * lie in slots of powers of two from the ring's beginning on, so a pass of as many rows finds its pointers unchanged.
 *
 * One thread at a time computes on a device, and whoever launched last owns it. Others may copy from it what no launch
 * writes (a checkpoint's thread does) and write weights (loading does, from all threads of the pool): they wait for
 * nothing but their own copies, in a stream of their own.
 *
 * The emulated device keeps the same lists, rings and graphs, and what it is given to do it does when somebody waits,
 * not before: an array overwritten too early, or a result that is read too early, shows. Two variables of the
 * environment, which it alone reads, make it ill: ASSAY_EMULATED_FAULT=N fails at its N-th launch and stays broken,
 * ASSAY_EMULATED_ROOM=BYTES is its memory.
 */
#ifndef ASSAY_COMPUTE_CUDA_QUEUE_H
#define ASSAY_COMPUTE_CUDA_QUEUE_H

#include <pthread.h>
#include "compute/cuda/cuda.h"

enum {
  LIST_MOST = 1024, /* launches of one list */
  LIST_LEAST = 8,   /* fewer are no graph */
  ARGS_MOST = 320,  /* bytes of a kernel's arguments */
  GRAPHS = 16,      /* kept; the one unused for longest gives way */
  SEEN = 64,        /* lists that ran once are remembered by a number */
  HELD = 16,        /* uploads that are looked for while arrays are held */
  RETIRED = 24      /* rings that were too small */
};

struct launch {
  kernel_entry entry;
  const char *name;
  size_t blocks_x, blocks_y, size, shared; /* size: of the arguments; shared: bytes of the team's room */
  int threads;
  bool waits;
  unsigned char args[ARGS_MOST] __attribute__((aligned(16)));
};

struct graph {
  struct launch *list; /* as it was set last; NULL: free */
  int count;
  uint64_t turn; /* when it was used last */
#ifdef __CUDACC__
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaGraphNode_t *node;
#endif
};

/* Filled from the front. Uploads: host is pinned memory, sides of the same size each, of which the bytes up to `sent`
   have been copied; at the end the device is waited for and it begins anew. A draw that is sent ends a pass: the next
   one begins anew on the other side, for this one's copies may not have been made; the device's part needs no sides, as
   they are made behind the lists that read it, and so a pass of as many rows finds its pointers unchanged. Rooms: no
   host; begins anew at once, as all that use it run in order. */
struct ring {
  char *device, *host;
  size_t size, used, sent;
};

struct held {
  const void *from, *there;
  size_t bytes;
};

/* For tests. */
struct queue_counts {
  int64_t launches, lists, graphs /* made */, replays, set_anew /* launches of replays with other arguments */, copies;
  int64_t waits; /* of the host for the device */
};

struct queue {
  pthread_mutex_t lock;
  struct launch *list; /* [LIST_MOST] */
  int count;
  struct ring uploads, rooms, retired[RETIRED];
  int retired_count;
  int side;                 /* of the uploads: the place of the draw that comes next */
  bool sent[DRAWS_STARTED]; /* draws that nobody has waited for */
  struct held held[HELD];
  int held_count;
  uint64_t hold; /* device.holds that `held` belongs to */
  struct graph graphs[GRAPHS];
  uint64_t seen[SEEN], turn;
  int seen_next;
  const void *owner; /* a place of the thread that launched last */
  struct queue_counts counts;
};

/* Which instruction the products of compute type bf16 are made of: all of them of one. */
enum products {
  PRODUCTS_MMA,  /* mma.sync (gemm_bf16.cu) */
  PRODUCTS_WGMMA /* wgmma, on Hopper (gemm_hopper.cu) */
};

/* An operand of a product that was packed (gemm_hopper.cu), and where. */
struct packed {
  const float *from;
  size_t rows, columns, tall;
  char *room;
};

struct cuda_device {
  struct device base; /* first: a struct device * is one of these */
  struct queue queue;
  struct drawn *drawn, *arrived; /* draws.h: the last draw's; on the host, by place */
  int32_t *drawn_ids;            /* tokens of the last draw */
#ifdef __CUDACC__
  cudaStream_t stream, side; /* side: for threads that only read */
  cudaEvent_t sent[DRAWS_STARTED];
  int shared_most; /* bytes of shared memory that a team can have, which then declares none */
#else
  long fault_in;           /* launches until it fails; 0: it does not */
  size_t room, room_taken; /* 0: no limit */
  struct pending *pending; /* [PENDING] what has been started, in order; it is done when somebody waits */
  uint64_t begun, done, sent[DRAWS_STARTED];
#endif
  enum products products;
  int processors;                        /* multiprocessors: as many teams work at a time */
  struct packed packed[2];               /* those of the last product, */
  int64_t packed_launches, packed_lists; /* there while the queue counts as many */
  int wide_choice; /* for tests: 1 + which kernel of gemm_hopper.cu takes every product; 0: the fastest */
  char name[96];
};

static inline struct cuda_device *cuda_of(struct device *d)
{
  return (struct cuda_device *)d;
}

/* queue.cu */
bool CUDA_NAME(queue_open)(struct cuda_device *c, struct error *err);
/* Its rings, once the device can be used: what is free afterwards is free for the run. */
bool CUDA_NAME(queue_start)(struct cuda_device *c, struct error *err);
void CUDA_NAME(queue_close)(struct device *d);
/* Is it this thread that works with the device? */
bool CUDA_NAME(queue_owned)(struct device *d);
/* Runs what is listed. again: a list that ends here may come again. */
void CUDA_NAME(queue_flush)(struct device *d, bool again);
/* The device has been waited for: rings begin anew. */
void CUDA_NAME(queue_rest)(struct device *d);
/* Runs what is listed and copies from the device to pinned memory behind it, for the draw of this place; waits for
   that, and for nothing behind it. */
void CUDA_NAME(queue_send)(struct device *d, int place, void *to, const void *from, size_t bytes);
void CUDA_NAME(queue_receive)(struct device *d, int place);

/* device.cu: bytes. take: NULL where there is no room; up, back: from and to pinned memory, without a wait; mark: an
   event of this place behind all that was started, and the wait for it; run: one launch. */
void *CUDA_NAME(bytes_take)(struct device *d, size_t bytes);
void CUDA_NAME(bytes_give)(struct device *d, void *p);
void *CUDA_NAME(pinned_take)(size_t bytes);
void CUDA_NAME(pinned_give)(void *p);
void CUDA_NAME(bytes_up)(struct device *d, void *to, const void *from, size_t n);
void CUDA_NAME(bytes_back)(struct device *d, void *to, const void *from, size_t n);
void CUDA_NAME(bytes_wait)(struct device *d);
void CUDA_NAME(mark_set)(struct device *d, int place);
void CUDA_NAME(mark_wait)(struct device *d, int place);
void CUDA_NAME(launch_run)(struct device *d, const struct launch *l);
/* A graph of its own list; false: not made, which is no failure. run: `changed` launches have been given other
   arguments. */
bool CUDA_NAME(graph_make)(struct device *d, struct graph *g);
void CUDA_NAME(graph_set)(struct device *d, struct graph *g, int i);
void CUDA_NAME(graph_run)(struct device *d, struct graph *g);
void CUDA_NAME(graph_drop)(struct graph *g);

#endif

/* cuda/queue: lists, rings and graphs (queue.h), the same for a GPU and for the emulated one. */
#include "compute/cuda/queue.h"

#ifdef __CUDACC__
enum { UPLOADS_FIRST = 32 << 20, ROOMS_FIRST = 8 << 20 };
#else
enum { UPLOADS_FIRST = 1 << 20, ROOMS_FIRST = 1 << 18 }; /* tests see rings that turn and grow */
#endif

/* ---- who works with the device ---- */

static __thread char here;

bool CUDA_NAME(queue_owned)(struct device *d)
{
  const void *owner = __atomic_load_n(&cuda_of(d)->queue.owner, __ATOMIC_ACQUIRE);
  return !owner || owner == &here;
}

/* The lock, and the device with it. */
static struct queue *queue_enter(struct device *d)
{
  struct queue *q = &cuda_of(d)->queue;
  pthread_mutex_lock(&q->lock);
  __atomic_store_n(&q->owner, &here, __ATOMIC_RELEASE);
  return q;
}

static void queue_leave(struct queue *q)
{
  pthread_mutex_unlock(&q->lock);
}

/* ---- graphs ---- */

static bool launch_same(const struct launch *a, const struct launch *b)
{
  return a->entry == b->entry && a->blocks_x == b->blocks_x && a->blocks_y == b->blocks_y && a->threads == b->threads &&
         a->size == b->size && a->shared == b->shared;
}

static bool list_same(const struct graph *g, const struct queue *q)
{
  if (!g->list || g->count != q->count) return false;
  for (int i = 0; i < g->count; i++)
    if (!launch_same(g->list + i, q->list + i)) return false;
  return true;
}

/* A number of what launch_same compares (FNV-1a over words). */
static uint64_t list_number(const struct queue *q)
{
  uint64_t number = 14695981039346656037u;
  for (int i = 0; i < q->count; i++) {
    const struct launch *l = q->list + i;
    uint64_t entry = 0;
    memcpy(&entry, &l->entry, sizeof l->entry);
    const uint64_t words[] = {entry, l->blocks_x, l->blocks_y, (uint64_t)l->threads, l->size, l->shared};
    for (size_t j = 0; j < sizeof words / sizeof words[0]; j++) number = (number ^ words[j]) * 1099511628211u;
  }
  return number;
}

/* Has such a list been here? It is remembered for the next time. */
static bool list_seen(struct queue *q)
{
  const uint64_t number = list_number(q);
  for (int i = 0; i < SEEN; i++)
    if (q->seen[i] == number) return true;
  q->seen[q->seen_next] = number;
  q->seen_next = (q->seen_next + 1) % SEEN;
  return false;
}

static void graph_free(struct graph *g)
{
  if (g->list) CUDA_NAME(graph_drop)(g);
  memory_free(g->list);
  memset(g, 0, sizeof *g);
}

/* A graph of the list in the place of the one unused for longest; NULL where there is no room for it. */
static struct graph *graph_of_list(struct device *d, struct queue *q)
{
  struct graph *g = q->graphs;
  for (int i = 1; i < GRAPHS; i++)
    if (q->graphs[i].turn < g->turn) g = q->graphs + i;
  graph_free(g);
  g->list = (struct launch *)memory_alloc((size_t)q->count, sizeof *g->list, "graph", NULL);
  if (!g->list) return NULL;
  g->count = q->count;
  memcpy(g->list, q->list, (size_t)q->count * sizeof *q->list);
  if (CUDA_NAME(graph_make)(d, g)) {
    q->counts.graphs++;
    return g;
  }
  memory_free(g->list);
  memset(g, 0, sizeof *g);
  return NULL;
}

static struct graph *graph_find(struct device *d, struct queue *q, bool again)
{
  if (q->count < LIST_LEAST || !again) return NULL;
  for (int i = 0; i < GRAPHS; i++)
    if (list_same(q->graphs + i, q)) return q->graphs + i;
  return list_seen(q) ? graph_of_list(d, q) : NULL;
}

static void graph_replay(struct device *d, struct queue *q, struct graph *g)
{
  for (int i = 0; i < g->count; i++) {
    struct launch *l = g->list + i;
    if (!memcmp(l->args, q->list[i].args, l->size)) continue;
    memcpy(l->args, q->list[i].args, l->size);
    CUDA_NAME(graph_set)(d, g, i);
    q->counts.set_anew++;
  }
  g->turn = ++q->turn;
  q->counts.replays++;
  CUDA_NAME(graph_run)(d, g);
}

/* ---- the list ---- */

/* The side that is being filled. */
static char *ring_host(const struct queue *q, const struct ring *ring)
{
  return ring->host + (size_t)q->side * ring->size;
}

static void list_run(struct device *d, struct queue *q, bool again)
{
  struct ring *ring = &q->uploads;
  if (ring->used > ring->sent) {
    CUDA_NAME(bytes_up)(d, ring->device + ring->sent, ring_host(q, ring) + ring->sent, ring->used - ring->sent);
    q->counts.copies++;
  }
  ring->sent = ring->used;
  if (!q->count) return;
  q->counts.lists++;
  struct graph *g = device_failed(d) ? NULL : graph_find(d, q, again);
  if (g) graph_replay(d, q, g);
  for (int i = 0; !g && i < q->count && !device_failed(d); i++) CUDA_NAME(launch_run)(d, q->list + i);
  q->count = 0;
}

void CUDA_NAME(queue_flush)(struct device *d, bool again)
{
  struct queue *q = &cuda_of(d)->queue;
  pthread_mutex_lock(&q->lock);
  list_run(d, q, again);
  queue_leave(q);
}

/* Room for one more. */
static struct launch *list_next(struct device *d, struct queue *q)
{
  if (q->count == LIST_MOST) list_run(d, q, false);
  q->counts.launches++;
  return q->list + q->count++;
}

void CUDA_NAME(queue_launch)(struct device *d, kernel_entry entry, const char *name, size_t blocks_x, size_t blocks_y,
                             int threads, bool waits, size_t shared, const void *args, size_t size)
{
  ASSAY_BUG_IF(size > ARGS_MOST || !blocks_x || !blocks_y || blocks_y > 65535 || blocks_x > INT32_MAX);
  if (device_failed(d)) return;
  struct queue *q = queue_enter(d);
  struct launch *l = list_next(d, q);
  l->entry = entry;
  l->name = name;
  l->blocks_x = blocks_x;
  l->blocks_y = blocks_y;
  l->threads = threads;
  l->waits = waits;
  l->size = size;
  l->shared = shared;
  memcpy(l->args, args, size);
  queue_leave(q);
}

/* ---- rings ---- */

static void ring_free(struct device *d, struct ring *ring)
{
  if (ring->device) CUDA_NAME(bytes_give)(d, ring->device);
  if (ring->host) CUDA_NAME(pinned_give)(ring->host);
  memset(ring, 0, sizeof *ring);
}

void CUDA_NAME(queue_rest)(struct device *d)
{
  struct queue *q = &cuda_of(d)->queue;
  pthread_mutex_lock(&q->lock);
  q->uploads.used = q->uploads.sent = q->rooms.used = 0;
  q->held_count = 0;
  q->counts.waits++;
  memset(q->sent, 0, sizeof q->sent);
  while (q->retired_count) ring_free(d, q->retired + --q->retired_count);
  queue_leave(q);
}

/* ---- draws ---- */

static void sent_wait(struct device *d, struct queue *q, int place)
{
  if (!q->sent[place]) return;
  CUDA_NAME(mark_wait)(d, place);
  q->counts.waits++;
  q->sent[place] = false;
}

void CUDA_NAME(queue_send)(struct device *d, int place, void *to, const void *from, size_t bytes)
{
  struct queue *q = queue_enter(d);
  ASSAY_BUG_IF(place != q->side);
  list_run(d, q, true);
  CUDA_NAME(bytes_back)(d, to, from, bytes);
  CUDA_NAME(mark_set)(d, place);
  q->sent[place] = true;
  q->side = (place + 1) % DRAWS_STARTED;
  q->uploads.used = q->uploads.sent = q->rooms.used = 0;
  q->held_count = 0;
  queue_leave(q);
}

void CUDA_NAME(queue_receive)(struct device *d, int place)
{
  struct queue *q = queue_enter(d);
  sent_wait(d, q, place);
  queue_leave(q);
}

/* ---- what goes up ---- */

/* The device is waited for, and the ring begins anew. An operation that has uploaded keeps what it has: the ring is
   larger than all of it (cuda_reserve). */
static void ring_turn(struct device *d, struct queue *q, struct ring *ring)
{
  if (ring->host) {
    list_run(d, q, false);
    CUDA_NAME(bytes_wait)(d);
    q->counts.waits++;
    q->held_count = 0;
  }
  ring->used = ring->sent = 0;
}

/* A ring in which `slot` is at most a half. What the old one holds is still in use: it goes when the device rests. */
static bool ring_grow(struct device *d, struct queue *q, struct ring *ring, size_t slot)
{
  const bool pinned = ring == &q->uploads;
  struct ring fresh;
  memset(&fresh, 0, sizeof fresh);
  fresh.size = ring->size;
  if (!fresh.size) fresh.size = pinned ? UPLOADS_FIRST : ROOMS_FIRST;
  while (fresh.size / 2 < slot) fresh.size *= 2;
  if (pinned) list_run(d, q, false);
  fresh.device = (char *)CUDA_NAME(bytes_take)(d, fresh.size);
  fresh.host = pinned && fresh.device ? (char *)CUDA_NAME(pinned_take)(DRAWS_STARTED * fresh.size) : NULL;
  if (!fresh.device || (pinned && !fresh.host)) {
    ring_free(d, &fresh);
    device_fail(d, ERROR_RESOURCE, "the GPU has no room for %zu bytes on their way to it; lower compute.micro_batch",
                fresh.size);
    return false;
  }
  ASSAY_BUG_IF(q->retired_count == RETIRED);
  if (ring->device) q->retired[q->retired_count++] = *ring;
  *ring = fresh;
  return true;
}

/* Where the next slot begins, or SIZE_MAX. */
static size_t ring_next(struct device *d, struct queue *q, struct ring *ring, size_t slot)
{
  if (device_failed(d)) return SIZE_MAX;
  if (slot > ring->size / 2) {
    if (!ring_grow(d, q, ring, slot)) return SIZE_MAX;
  } else if (slot > ring->size - ring->used) {
    ring_turn(d, q, ring);
  }
  const size_t at = ring->used;
  ring->used += slot;
  return at;
}

void CUDA_NAME(cuda_reserve)(struct device *d, size_t slots)
{
  struct queue *q = queue_enter(d);
  struct ring *ring = &q->uploads;
  if (!device_failed(d) && slots > ring->size / 2)
    (void)ring_grow(d, q, ring, slots);
  else if (slots > ring->size - ring->used)
    ring_turn(d, q, ring);
  queue_leave(q);
}

/* Where a held array has been put already. */
static const void *held_find(struct device *d, struct queue *q, const void *from, size_t bytes)
{
  if (q->hold != d->holds) q->held_count = 0;
  q->hold = d->holds;
  for (int i = 0; d->held && i < q->held_count; i++)
    if (q->held[i].from == from && q->held[i].bytes == bytes) return q->held[i].there;
  return NULL;
}

static const void *upload(struct device *d, struct queue *q, const void *from, size_t bytes)
{
  const void *there = held_find(d, q, from, bytes);
  if (there) return there;
  sent_wait(d, q, q->side); /* the pass before last was copied from here */
  const size_t at = ring_next(d, q, &q->uploads, upload_slot(bytes));
  if (at == SIZE_MAX) return NULL;
  memcpy(ring_host(q, &q->uploads) + at, from, bytes);
  there = q->uploads.device + at;
  if (d->held && q->held_count < HELD) {
    struct held *h = q->held + q->held_count++;
    h->from = from;
    h->there = there;
    h->bytes = bytes;
  }
  return there;
}

const void *CUDA_NAME(cuda_upload)(struct device *d, const void *from, size_t bytes)
{
  if (!bytes) return NULL;
  struct queue *q = queue_enter(d);
  const void *there = upload(d, q, from, bytes);
  queue_leave(q);
  return there;
}

void *CUDA_NAME(cuda_room)(struct device *d, size_t bytes)
{
  struct queue *q = queue_enter(d);
  const size_t at = ring_next(d, q, &q->rooms, ((bytes ? bytes : 1) + 255) / 256 * 256);
  char *there = at == SIZE_MAX ? NULL : q->rooms.device + at;
  queue_leave(q);
  return there;
}

/* ---- opening and closing ---- */

bool CUDA_NAME(queue_open)(struct cuda_device *c, struct error *err)
{
  pthread_mutex_init(&c->queue.lock, NULL);
  c->queue.list = (struct launch *)memory_alloc(LIST_MOST, sizeof *c->queue.list, "device", err);
  return c->queue.list != NULL;
}

bool CUDA_NAME(queue_start)(struct cuda_device *c, struct error *err)
{
  struct queue *q = &c->queue;
  if (ring_grow(&c->base, q, &q->uploads, 1) && ring_grow(&c->base, q, &q->rooms, 1)) return true;
  error_fail(err, ERROR_RESOURCE, NULL, 0, "device",
             "the GPU has no room even for the %d MiB that carry data to it; see nvidia-smi for who uses it, or write "
             "device: cpu",
             (UPLOADS_FIRST + ROOMS_FIRST) >> 20);
  return false;
}

void CUDA_NAME(queue_close)(struct device *d)
{
  struct queue *q = &cuda_of(d)->queue;
  for (int i = 0; i < GRAPHS; i++) graph_free(q->graphs + i);
  CUDA_NAME(queue_rest)(d);
  ring_free(d, &q->uploads);
  ring_free(d, &q->rooms);
  memory_free(q->list);
  q->list = NULL;
  pthread_mutex_destroy(&q->lock);
}

/* compute/memory: buffers, weights and KV of any device: arrays of reals that its memory keeps, and the way between a
 * host's logical order and the panels (device.h: Layouts). Where the device has memory of its own, whole panels come to
 * the host, are filled or read there, and go back. */
#include "compute/device.h"

#include <string.h>
#include "core/arena.h"
#include "core/cursor.h"
#include "core/fault.h"

/* ---- arrays of reals ---- */

static double real_get(const void *reals, size_t real_size, size_t at)
{
  return real_size == sizeof(float) ? (double)((const float *)reals)[at] : ((const double *)reals)[at];
}

static void real_set(void *reals, size_t real_size, size_t at, double x)
{
  if (real_size == sizeof(float))
    ((float *)reals)[at] = (float)x;
  else
    ((double *)reals)[at] = x;
}

static size_t host_size(enum host_type type)
{
  return type == HOST_F32 ? sizeof(float) : sizeof(double);
}

/* n values; to every to_step-th element from every from_step-th. Between f32 and f64 a NaN stays one. */
static void reals_move(void *to, size_t to_size, size_t to_step, const void *from, size_t from_size, size_t from_step,
                       size_t n)
{
  if (to_size == from_size && to_step == 1 && from_step == 1) {
    memcpy(to, from, n * to_size);
    return;
  }
  if (to_size == sizeof(float) && from_size == sizeof(float)) {
    for (size_t i = 0; i < n; i++) ((float *)to)[i * to_step] = ((const float *)from)[i * from_step];
    return;
  }
  for (size_t i = 0; i < n; i++) real_set(to, to_size, i * to_step, real_get(from, from_size, i * from_step));
}

void *device_stage(struct device *d, size_t bytes)
{
  struct error err = {0};
  void *p = memory_alloc(bytes, 1, "transfer", &err);
  if (!p) device_fail(d, err.code, "%s", err.message);
  return p;
}

static int create_check(const char *what, struct error *err)
{
  if (fault_hit(FAULT_DEVICE))
    FAIL(err, ERROR_RESOURCE, "the device has no room for %s; this is an injected fault", what);
  return 0;
}

/* ---- buffers ---- */

int buffer_create(struct device *d, size_t reals, const char *tag, struct buffer **out, struct error *err)
{
  *out = NULL;
  TRY(create_check(tag, err));
  struct buffer *b = memory_alloc(1, sizeof *b, tag, err);
  if (!b) return ERROR_RESOURCE;
  b->device = d;
  b->count = reals;
  b->reals = d->memory->take(d, reals, d->real_size, tag, err);
  if (!b->reals) {
    memory_free(b);
    return ERROR_RESOURCE;
  }
  *out = b;
  return 0;
}

void buffer_destroy(struct buffer *b)
{
  if (!b) return;
  b->device->memory->give(b->device, b->reals);
  memory_free(b);
}

void buffer_write(struct device *d, struct view to, const void *from, enum host_type type, size_t n)
{
  if (!n) return;
  ASSAY_BUG_IF(to.at > to.buffer->count || n > to.buffer->count - to.at);
  char *reals = (char *)to.buffer->reals + to.at * d->real_size;
  if (d->memory->host) {
    reals_move(reals, d->real_size, 1, from, host_size(type), 1, n);
    return;
  }
  void *staged = device_stage(d, n * d->real_size);
  if (!staged) return;
  reals_move(staged, d->real_size, 1, from, host_size(type), 1, n);
  d->memory->put(d, reals, staged, n * d->real_size);
  memory_free(staged);
}

void buffer_read(struct device *d, struct view from, void *to, enum host_type type, size_t n)
{
  if (!n) return;
  ASSAY_BUG_IF(from.at > from.buffer->count || n > from.buffer->count - from.at);
  const char *reals = (const char *)from.buffer->reals + from.at * d->real_size;
  if (d->memory->host) {
    reals_move(to, host_size(type), 1, reals, d->real_size, 1, n);
    return;
  }
  void *staged = device_stage(d, n * d->real_size);
  if (!staged) return;
  d->memory->get(d, staged, reals, n * d->real_size);
  reals_move(to, host_size(type), 1, staged, d->real_size, 1, n);
  memory_free(staged);
}

/* ---- weights ---- */

static size_t panel_round(size_t n)
{
  return (n + PANEL - 1) / PANEL * PANEL;
}

size_t weight_part_bytes(enum weight_kind kind, size_t n, size_t k, size_t real_size)
{
  return panel_round(n) * (kind == WEIGHT_VECTOR ? 1 : k) * real_size;
}

size_t weight_copy_bytes(enum weight_kind kind, size_t n, size_t k, enum compute_type type)
{
  if (type != COMPUTE_BF16 || kind == WEIGHT_VECTOR) return 0;
  return panel_round(n) * block_round(k) * sizeof(uint16_t);
}

/* The reals of one part. */
static int weight_reals_count(const char *name, size_t n, size_t cols, uint64_t *reals, struct error *err)
{
  bool fits = n && cols && n <= SIZE_MAX / 2 && cols <= SIZE_MAX / 2;
  fits = fits && size_mul(panel_round(n), block_round(cols), reals); /* of the copy: no fewer */
  if (!fits)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name,
            "found a weight of %zu x %zu; expected at least 1 x 1, and a size that fits in memory", n, cols);
  *reals = panel_round(n) * cols;
  return 0;
}

/* The blocks; or the master where it is wanted, or where a copy could not stand for it, and the copy. */
static int weight_fill(struct weight *w, bool master, uint64_t reals, struct error *err)
{
  if (w->quant_type) {
    w->quant_panel = quant_matrix_bytes(w->quant_type, PANEL, w->k);
    w->quant = w->device->memory->take(w->device, w->padded / PANEL, w->quant_panel, "weights in blocks", err);
    return w->quant ? 0 : ERROR_RESOURCE;
  }
  const size_t copy = weight_copy_bytes(w->kind, w->n, w->k, w->device->type);
  if (copy) {
    w->copy = w->device->memory->take(w->device, copy / sizeof *w->copy, sizeof *w->copy, "weights bf16", err);
    if (!w->copy) return ERROR_RESOURCE;
  }
  if (!master && copy) return 0;
  w->part[WEIGHT_MASTER] = w->device->memory->take(w->device, reals, w->device->real_size, "weights", err);
  return w->part[WEIGHT_MASTER] ? 0 : ERROR_RESOURCE;
}

static int weight_make(struct device *d, enum weight_kind kind, enum quant_type quant, size_t n, size_t k, bool master,
                       const char *name, struct weight **out, struct error *err)
{
  *out = NULL;
  size_t cols = kind == WEIGHT_VECTOR ? 1 : k;
  uint64_t reals;
  TRY(weight_reals_count(name, n, cols, &reals, err));
  TRY(create_check(name, err));
  struct weight *w = memory_alloc(1, sizeof *w, "weights", err);
  if (!w) return ERROR_RESOURCE;
  w->device = d;
  w->kind = kind;
  w->quant_type = quant;
  w->n = n;
  w->k = cols;
  w->padded = panel_round(n);
  w->logit_scale = 1;
  size_t length = strlen(name);
  if (length >= sizeof w->name) length = sizeof w->name - 1;
  memcpy(w->name, name, length);
  int rc = weight_fill(w, master, reals, err);
  if (rc) {
    weight_destroy(w);
    return rc;
  }
  *out = w;
  return 0;
}

int weight_create(struct device *d, enum weight_kind kind, size_t n, size_t k, const char *name, struct weight **out,
                  struct error *err)
{
  return weight_make(d, kind, QUANT_NONE, n, k, true, name, out, err);
}

int weight_create_rounded(struct device *d, enum weight_kind kind, size_t n, size_t k, const char *name,
                          struct weight **out, struct error *err)
{
  return weight_make(d, kind, QUANT_NONE, n, k, false, name, out, err);
}

int weight_create_quantised(struct device *d, enum quant_type type, size_t n, size_t k, const char *name,
                            struct weight **out, struct error *err)
{
  ASSAY_BUG_IF(!quant_known(type) || d->real_size != sizeof(float));
  *out = NULL;
  if (!d->memory->pack)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name,
            "found a weight in blocks for device %s, which has none; write device: cpu, or take the weights as f32",
            d->isa);
  if (k % quant_block(type))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name,
            "found a weight with rows of %zu; expected a multiple of %zu, a block's size", k, quant_block(type));
  return weight_make(d, WEIGHT_MATRIX, type, n, k, false, name, out, err);
}

static int part_create(struct weight *w, enum weight_part part, const char *tag, struct error *err)
{
  if (w->part[part]) return 0;
  TRY(create_check(w->name, err));
  const struct device_memory *memory = w->device->memory;
  const bool aside = w->device->offload && (part == WEIGHT_MOMENT1 || part == WEIGHT_MOMENT2);
  w->part[part] =
      (aside ? memory->take_aside : memory->take)(w->device, w->padded * w->k, w->device->real_size, tag, err);
  w->aside = w->aside || aside;
  return w->part[part] ? 0 : ERROR_RESOURCE;
}

static void part_give(struct weight *w, enum weight_part part)
{
  const struct device_memory *memory = w->device->memory;
  const bool aside = w->aside && (part == WEIGHT_MOMENT1 || part == WEIGHT_MOMENT2);
  (aside ? memory->give_aside : memory->give)(w->device, w->part[part]);
}

int weight_make_gradient(struct weight *w, struct error *err)
{
  return part_create(w, WEIGHT_GRAD, "gradients", err);
}

int weight_make_trainable(struct weight *w, struct error *err)
{
  ASSAY_BUG_IF(!w->part[WEIGHT_MASTER]);
  TRY(weight_make_gradient(w, err));
  TRY(part_create(w, WEIGHT_MOMENT1, "moments", err));
  return part_create(w, WEIGHT_MOMENT2, "moments", err);
}

void weight_destroy(struct weight *w)
{
  if (!w) return;
  for (int i = 0; i < 4; i++) part_give(w, (enum weight_part)i);
  w->device->memory->give(w->device, w->copy);
  w->device->memory->give(w->device, w->quant);
  memory_free(w);
}

void weight_set_plus_one(struct weight *w)
{
  ASSAY_BUG_IF(w->kind != WEIGHT_VECTOR);
  w->plus_one = true;
}

void weight_set_logits(struct weight *w, double scale, double cap)
{
  ASSAY_BUG_IF(w->kind != WEIGHT_MATRIX || !(scale > 0) || !(cap >= 0));
  w->logit_scale = scale;
  w->logit_cap = cap;
}

size_t weight_rows(const struct weight *w)
{
  return w->n;
}

size_t weight_cols(const struct weight *w)
{
  return w->k;
}

const char *weight_name(const struct weight *w)
{
  return w->name;
}

static bool part_exists(const struct weight *w, enum weight_part part)
{
  return w->part[part] || (part == WEIGHT_MASTER && (w->copy || w->quant));
}

enum quant_type weight_quant(const struct weight *w)
{
  return w->quant_type;
}

/* Through a piece of a row: 256 values are whole blocks of every type. */
static void row_write_rounded(struct weight *w, size_t row, const void *from, enum host_type type)
{
  enum { PIECE = 256, MOST_BYTES = PIECE / 32 * 34 };
  ASSAY_BUG_IF(!quant_can_write(w->quant_type));
  for (size_t k = 0; k < w->k; k += PIECE) {
    const size_t n = w->k - k < PIECE ? w->k - k : PIECE;
    float values[PIECE];
    uint8_t blocks[MOST_BYTES];
    reals_move(values, sizeof(float), 1, (const char *)from + k * host_size(type), host_size(type), 1, n);
    quant_write(w->quant_type, values, n, blocks);
    w->device->memory->pack(w, row, k, n, blocks);
  }
}

static void row_read_made(const struct weight *w, size_t row, void *to, enum host_type type)
{
  enum { PIECE = 256 };
  for (size_t k = 0; k < w->k; k += PIECE) {
    const size_t n = w->k - k < PIECE ? w->k - k : PIECE;
    float values[PIECE];
    w->device->memory->unpack(w, row, k, n, values);
    reals_move((char *)to + k * host_size(type), host_size(type), 1, values, sizeof(float), 1, n);
  }
}

/* Rows of a matrix in blocks: blocks in (from, no type), numbers in (from) or numbers out (to). */
struct blocks_move {
  const char *from;
  char *to;
  size_t step; /* bytes of one row there */
  bool blocks;
  enum host_type type;
};

/* Rows row .. row+count-1 of one panel, in place on the host, else through `staged`. */
static void panel_move_blocks(const struct weight *w, uint8_t *staged, size_t row, size_t count,
                              const struct blocks_move *move)
{
  struct device *d = w->device;
  uint8_t *place = w->quant + row / PANEL * w->quant_panel;
  struct weight panel = *w;  // its rows are those of the one panel
  panel.quant = staged ? staged : place;
  if (staged) d->memory->get(d, staged, place, w->quant_panel);
  for (size_t i = 0; i < count; i++) {
    const size_t at = (row + i) % PANEL;
    if (move->to)
      row_read_made(&panel, at, move->to + i * move->step, move->type);
    else if (move->blocks)
      d->memory->pack(&panel, at, 0, w->k, (const uint8_t *)move->from + i * move->step);
    else
      row_write_rounded(&panel, at, move->from + i * move->step, move->type);
  }
  if (staged && !move->to) d->memory->put(d, place, staged, w->quant_panel);
}

static void blocks_move(const struct weight *w, size_t row, size_t count, struct blocks_move move)
{
  uint8_t *staged = w->device->memory->host ? NULL : device_stage(w->device, w->quant_panel);
  if (!w->device->memory->host && !staged) return;
  for (size_t i = 0, n; i < count; i += n) {
    n = PANEL - (row + i) % PANEL;
    if (n > count - i) n = count - i;
    panel_move_blocks(w, staged, row + i, n, &move);
    if (move.from) move.from += n * move.step;
    if (move.to) move.to += n * move.step;
  }
  memory_free(staged);
}

void weight_write_blocks(struct weight *w, size_t row, size_t count, const uint8_t *blocks)
{
  ASSAY_BUG_IF(!w->quant || row > w->n || count > w->n - row);
  const size_t step = w->k / quant_block(w->quant_type) * quant_block_bytes(w->quant_type);
  blocks_move(w, row, count, (struct blocks_move){.from = (const char *)blocks, .step = step, .blocks = true});
}

/* Rows row .. row+count-1 of one panel, between the host's rows and the panel (which begins at logical row `first`). */
static void panel_fill(const struct weight *w, void *panel, size_t first, size_t row, size_t count, const void *from,
                       enum host_type type)
{
  const size_t size = w->device->real_size, step = w->k * host_size(type);
  for (size_t i = 0; i < count; i++)
    reals_move((char *)panel + (row - first + i) * size, size, PANEL, (const char *)from + i * step, host_size(type), 1,
               w->k);
}
static void panel_empty(const struct weight *w, const void *panel, size_t first, size_t row, size_t count, void *to,
                        enum host_type type)
{
  const size_t size = w->device->real_size, step = w->k * host_size(type);
  for (size_t i = 0; i < count; i++)
    reals_move((char *)to + i * step, host_size(type), 1, (const char *)panel + (row - first + i) * size, size, PANEL,
               w->k);
}

/* One panel's share of a transfer: on the host in place, else through `staged`. */
static void panel_move(const struct weight *w, enum weight_part part, void *staged, size_t row, size_t count,
                       const void *from, void *to, enum host_type type)
{
  struct device *d = w->device;
  const size_t first = row / PANEL * PANEL, bytes = PANEL * w->k * d->real_size;
  char *place = (char *)w->part[part] + first * w->k * d->real_size;
  void *panel = d->memory->host ? place : staged;
  if (!d->memory->host) d->memory->get(d, staged, place, bytes);
  if (to) {
    panel_empty(w, panel, first, row, count, to, type);
    return;
  }
  panel_fill(w, panel, first, row, count, from, type);
  if (!d->memory->host) d->memory->put(d, place, staged, bytes);
}

/* The rows panel by panel, from `from` or to `to`. */
static void part_move(const struct weight *w, enum weight_part part, size_t row, size_t count, const void *from,
                      void *to, enum host_type type)
{
  struct device *d = w->device;
  const size_t step = w->k * host_size(type);
  void *staged = d->memory->host ? NULL : device_stage(d, PANEL * w->k * d->real_size);
  if (!d->memory->host && !staged) return;
  for (size_t i = 0, n; i < count; i += n) {
    n = PANEL - (row + i) % PANEL;
    if (n > count - i) n = count - i;
    panel_move(w, part, staged, row + i, n, from ? (const char *)from + i * step : NULL,
               to ? (char *)to + i * step : NULL, type);
  }
  memory_free(staged);
}

void weight_write(struct weight *w, enum weight_part part, size_t row, size_t count, const void *from,
                  enum host_type type)
{
  ASSAY_BUG_IF(!part_exists(w, part) || row > w->n || count > w->n - row);
  if (w->part[part]) part_move(w, part, row, count, from, NULL, type);
  if (part == WEIGHT_MASTER && w->copy) w->device->memory->round_rows(w, row, count, from, type);
  if (w->quant)
    blocks_move(w, row, count, (struct blocks_move){.from = from, .step = w->k * host_size(type), .type = type});
}

void weight_read(const struct weight *w, enum weight_part part, size_t row, size_t count, void *to, enum host_type type)
{
  ASSAY_BUG_IF(!part_exists(w, part) || row > w->n || count > w->n - row);
  if (w->part[part]) part_move(w, part, row, count, NULL, to, type);
  if (w->quant)
    blocks_move(w, row, count, (struct blocks_move){.to = to, .step = w->k * host_size(type), .type = type});
  if (!w->part[part] && !w->quant) w->device->memory->widen_rows(w, row, count, to, type);
}

/* ---- KV ---- */

/* Numbers of one position of a KV head: of K, which in bf16 is padded to whole blocks, or of V. */
static size_t kv_width(const struct kv_shape *shape, bool key, size_t size)
{
  return key && size == sizeof(uint16_t) ? block_round((size_t)shape->head_dim) : (size_t)shape->head_dim;
}

size_t kv_block_bytes(const struct kv_shape *shape, size_t size)
{
  const size_t positions = (size_t)shape->layers * (size_t)shape->heads * (size_t)shape->block;
  return positions * (kv_width(shape, true, size) + kv_width(shape, false, size)) * size;
}

static int kv_check(const struct kv_shape *s, struct error *err)
{
  if (s->block < 2 || (s->block & (s->block - 1)))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "kv_block",
            "found a KV block of %d positions; expected a power of two, 2 or more", s->block);
  if (s->layers < 1 || s->heads < 1 || s->head_dim < 1 || s->blocks < 1)
    FAIL(err, ERROR_INPUT, "found KV of %d layers, %d heads of %d and %d blocks; expected at least 1 of each",
         s->layers, s->heads, s->head_dim, s->blocks);
  uint64_t reals = (uint64_t)s->block * block_round((size_t)s->head_dim);
  if (!size_mul(reals, (uint64_t)s->heads, &reals) || !size_mul(reals, (uint64_t)s->layers, &reals) ||
      !size_mul(reals, (uint64_t)s->blocks, &reals) || reals > SIZE_MAX / 16)
    FAIL(err, ERROR_RESOURCE, "KV of %d blocks of %d positions does not fit in memory; lower slots or max_new_tokens",
         s->blocks, s->block);
  return 0;
}

int kv_create(struct device *d, const struct kv_shape *shape, struct kv **out, struct error *err)
{
  *out = NULL;
  TRY(kv_check(shape, err));
  TRY(create_check("kv", err));
  struct kv *kv = memory_alloc(1, sizeof *kv, "kv", err);
  if (!kv) return ERROR_RESOURCE;
  kv->device = d;
  kv->shape = *shape;
  kv->block_reals = (size_t)shape->heads * (size_t)shape->head_dim * (size_t)shape->block;
  const size_t size = d->type == COMPUTE_BF16 ? compute_type_size(d->type) : d->real_size;
  const size_t positions = (size_t)shape->heads * (size_t)shape->block * (size_t)shape->layers * (size_t)shape->blocks;
  const size_t key_bytes = positions * kv_width(shape, true, size) * size,
               value_bytes = positions * kv_width(shape, false, size) * size;
  kv->keys = d->memory->take(d, key_bytes, 1, "kv", err);
  kv->values = kv->keys ? d->memory->take(d, value_bytes, 1, "kv", err) : NULL;
  if (!kv->values) {
    kv_destroy(kv);
    return ERROR_RESOURCE;
  }
  // the pages are taken now: how much of a pool is used depends on what is generated, and memory must not run out then
  if (d->memory->host) {
    memset(kv->keys, 0, key_bytes);
    memset(kv->values, 0, value_bytes);
  }
  *out = kv;
  return 0;
}

void kv_destroy(struct kv *kv)
{
  if (!kv) return;
  kv->device->memory->give(kv->device, kv->keys);
  kv->device->memory->give(kv->device, kv->values);
  memory_free(kv);
}

const struct kv_shape *kv_get_shape(const struct kv *kv)
{
  return &kv->shape;
}

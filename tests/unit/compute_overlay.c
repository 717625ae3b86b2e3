/* Every slot of every instruction set and compute type against the plain C reference: the same bits for any shape, for
 * infinities, NaN and denormals, and for 1, 2 and 3 threads. A case builds its inputs from a seed, runs one operation
 * on the device given, and writes all that the operation may touch into `out`. */
#include "check.h"
#include "source.h"

#include <math.h>
#include <stdlib.h>
#include "compute/cpu/cpu.h"
#include "core/arena.h"

#if defined(__aarch64__)
enum { OUT_MAX = 1 << 22, CASES_EACH = 9 }; /* an emulator runs them */
#else
enum { OUT_MAX = 1 << 22, CASES_EACH = 48 };
#if defined(__SANITIZE_ADDRESS__)
static uint64_t cases_gpu =
    2; /* a thread of the emulated device changes places at each wait, which the sanitizer follows */
#else
static uint64_t cases_gpu = 4; /* one of each kind of wild */
#endif
#endif

/* ---- a device's things, built from a source and read back ---- */

static float *hand, *want, *got; /* OUT_MAX numbers: on the way to and from a device, and results */

struct result {
  float *out;
  size_t n;
};

static float *allocate(size_t n)
{
  float *x = memory_alloc(n ? n : 1, sizeof(float), "overlay test", NULL);
  CHECK(x != NULL);
  return x;
}

static void arrays_take(void)
{
  hand = allocate(OUT_MAX);
  want = allocate(OUT_MAX);
  got = allocate(OUT_MAX);
}

static void arrays_give(void)
{
  memory_free(hand);
  memory_free(want);
  memory_free(got);
}

static struct view make_buffer(struct device *d, struct source *s, size_t n)
{
  struct view v = {NULL, 0};
  struct error err = {0};
  CHECK_OK(buffer_create(d, n ? n : 1, "test", &v.buffer, &err), &err);
  source_fill(s, hand, n);
  buffer_write(d, v, hand, HOST_F32, n);
  return v;
}

static void take_buffer(struct device *d, struct view v, size_t n, struct result *r)
{
  CHECK(r->n + n <= OUT_MAX);
  buffer_read(d, v, r->out + r->n, HOST_F32, n);
  r->n += n;
  buffer_destroy(v.buffer);
}

static void drop_buffer(struct view v)
{
  buffer_destroy(v.buffer);
}

static struct weight *make_weight(struct device *d, struct source *s, enum weight_kind kind, size_t n, size_t k)
{
  struct weight *w;
  struct error err = {0};
  CHECK_OK(weight_create(d, kind, n, k, "test", &w, &err), &err);
  CHECK_OK(weight_make_trainable(w, &err), &err);
  for (int part = 0; part < 4; part++) {
    source_fill(s, hand, n * k);
    for (size_t i = 0; part == WEIGHT_MOMENT2 && i < n * k; i++) hand[i] = hand[i] < 0 ? -hand[i] : hand[i];
    weight_write(w, (enum weight_part)part, 0, n, hand, HOST_F32);
  }
  return w;
}

/* cuda/cuda.h: CORES. (That header and cpu.h each have a view_reals.) */
static size_t core_word(size_t columns, size_t n, size_t k)
{
  return ((n / PANEL * (block_round(columns) / 8) + k / 8) * PANEL + n % PANEL) * 4 + k % 8 / 2;
}

/* The copy's halves, padding (which must stay 0) included, in the order of device.h: on a GPU they lie in cores. */
static void take_copy(const struct weight *w, struct result *r)
{
  const size_t columns = w->copy ? block_round(w->k) : 0, words = w->padded * columns / 2;
  uint32_t *copy = (uint32_t *)allocate(words);
  CHECK(r->n + 2 * words <= OUT_MAX);
  if (words) w->device->memory->get(w->device, copy, w->copy, words * sizeof *copy);
  for (size_t i = 0; i < 2 * words; i++) {
    const size_t n = i / columns, k = i % columns;
    const uint32_t word = copy[w->device->memory->host ? words_at(w->k, n, k) : core_word(w->k, n, k)];
    r->out[r->n++] = (float)(k % 2 ? word >> 16 : word & 0xffff); /* integers: NaN has one form here */
  }
  memory_free(copy);
}

static void take_weight(struct weight *w, struct result *r)
{
  size_t n = w->padded * w->k; /* as it lies in memory: the padding must stay 0 */
  CHECK(r->n + 4 * n <= OUT_MAX);
  for (int part = 0; part < 4; part++, r->n += n)
    w->device->memory->get(w->device, r->out + r->n, w->part[part], n * sizeof(float));
  take_copy(w, r);
  weight_destroy(w);
}

static void take_number(double x, struct result *r)
{
  CHECK(r->n + 2 <= OUT_MAX);
  memcpy(r->out + r->n, &x, sizeof x);
  r->n += 2;
}

/* ---- matrix products ---- */

static void case_gemm(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 300), n = source_size(s, 200), k = source_size(s, 900);
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, n, k), *b = make_weight(d, s, WEIGHT_VECTOR, n, 1);
  struct view x = make_buffer(d, s, m * k), y = make_buffer(d, s, m * n);
  device_ops(d)->gemm(d, w, source_below(s, 2) ? b : NULL, (int32_t)m, x, y);
  take_buffer(d, y, m * n, r);
  drop_buffer(x);
  weight_destroy(w);
  weight_destroy(b);
}

static void case_gemm_dx(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 300), n = source_size(s, 900), k = source_size(s, 720);
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, n, k);
  struct view dy = make_buffer(d, s, m * n), dx = make_buffer(d, s, m * k);
  device_ops(d)->gemm_dx(d, w, (int32_t)m, dy, dx, source_below(s, 2));
  take_buffer(d, dx, m * k, r);
  drop_buffer(dy);
  weight_destroy(w);
}

static void case_gemm_dw(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 900), n = source_size(s, 720), k = source_size(s, 300);
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, n, k), *b = make_weight(d, s, WEIGHT_VECTOR, n, 1);
  struct view dy = make_buffer(d, s, m * n), x = make_buffer(d, s, m * k);
  device_ops(d)->gemm_dw(d, w, source_below(s, 2) ? b : NULL, (int32_t)m, dy, x);
  take_weight(w, r);
  take_weight(b, r);
  drop_buffer(dy);
  drop_buffer(x);
}

/* ---- rows ---- */

static void case_rmsnorm(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 100), c = source_size(s, 700);
  struct weight *w = make_weight(d, s, WEIGHT_VECTOR, c, 1);
  if (source_below(s, 2)) weight_set_plus_one(w);
  struct view x = make_buffer(d, s, m * c), y = make_buffer(d, s, m * c), scale = make_buffer(d, s, m);
  device_ops(d)->rmsnorm(d, w, 1e-5, (int32_t)m, x, y, scale);
  take_buffer(d, y, m * c, r);
  take_buffer(d, scale, m, r);
  drop_buffer(x);
  weight_destroy(w);
}

static void case_rmsnorm_backward(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 100), c = source_size(s, 700);
  struct weight *w = make_weight(d, s, WEIGHT_VECTOR, c, 1);
  if (source_below(s, 2)) weight_set_plus_one(w);
  struct view x = make_buffer(d, s, m * c), scale = make_buffer(d, s, m), dy = make_buffer(d, s, m * c),
              dx = make_buffer(d, s, m * c);
  device_ops(d)->rmsnorm_backward(d, w, (int32_t)m, x, scale, dy, dx, source_below(s, 2));
  take_buffer(d, dx, m * c, r);
  take_weight(w, r);
  drop_buffer(x);
  drop_buffer(scale);
  drop_buffer(dy);
}

static void case_rope(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 60), heads = 1 + source_below(s, 5), half = source_size(s, 70),
         positions = 1 + source_below(s, 50);
  int32_t position[60];
  for (size_t i = 0; i < m; i++) position[i] = (int32_t)source_below(s, positions);
  size_t dim = half * 2 + source_below(s, 2) * source_size(s, 40);
  struct view table = make_buffer(d, s, positions * half * 2), x = make_buffer(d, s, m * heads * dim);
  device_ops(d)->rope(d, (int32_t)m, position, (int)heads, (int)dim, (int)half * 2, table, source_below(s, 2), x);
  take_buffer(d, x, m * heads * dim, r);
  drop_buffer(table);
}

static void case_swiglu(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000);
  struct view g = make_buffer(d, s, n), u = make_buffer(d, s, n), y = make_buffer(d, s, n);
  device_ops(d)->swiglu(d, n, g, u, y);
  take_buffer(d, y, n, r);
  drop_buffer(g);
  drop_buffer(u);
}

static void case_swiglu_backward(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000);
  struct view g = make_buffer(d, s, n), u = make_buffer(d, s, n), dy = make_buffer(d, s, n), dg = make_buffer(d, s, n);
  bool in_place = source_below(s, 2);
  device_ops(d)->swiglu_backward(d, n, g, u, dy, in_place ? g : dg, u);
  take_buffer(d, g, n, r);
  take_buffer(d, u, n, r);
  take_buffer(d, dg, n, r);
  drop_buffer(dy);
}

static void case_geglu(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000);
  struct view g = make_buffer(d, s, n), u = make_buffer(d, s, n), y = make_buffer(d, s, n);
  device_ops(d)->geglu(d, n, g, u, y);
  take_buffer(d, y, n, r);
  drop_buffer(g);
  drop_buffer(u);
}

static void case_geglu_backward(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000);
  struct view g = make_buffer(d, s, n), u = make_buffer(d, s, n), dy = make_buffer(d, s, n), dg = make_buffer(d, s, n);
  bool in_place = source_below(s, 2);
  device_ops(d)->geglu_backward(d, n, g, u, dy, in_place ? g : dg, u);
  take_buffer(d, g, n, r);
  take_buffer(d, u, n, r);
  take_buffer(d, dg, n, r);
  drop_buffer(dy);
}

/* mul, scale and softcap, from an odd place on. */
static void case_factors(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000), at = source_below(s, 20);
  struct view x = make_buffer(d, s, n + at), y = make_buffer(d, s, n + at), slope = make_buffer(d, s, n + at);
  struct view there = view_at(slope, at);
  const double cap = 0.5 + (double)source_below(s, 100);
  device_ops(d)->mul(d, n, view_at(x, at), view_at(y, at));
  device_ops(d)->scale(d, n, 0.1 + (double)source_below(s, 50), view_at(x, at));
  device_ops(d)->softcap(d, n, cap, view_at(x, at), source_below(s, 2) ? &there : NULL);
  take_buffer(d, x, n + at, r);
  take_buffer(d, slope, n + at, r);
  drop_buffer(y);
}

static void case_add(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 4000), at = source_below(s, 20);
  struct view x = make_buffer(d, s, n + at), y = make_buffer(d, s, n + at);
  device_ops(d)->add(d, n, view_at(x, at), y);
  take_buffer(d, x, n + at, r);
  drop_buffer(y);
}

static void case_copies(struct device *d, struct source *s, struct result *r)
{
  size_t count = source_size(s, 40), c = source_size(s, 100), rows = count + source_below(s, 9);
  int32_t row[40];
  for (size_t i = 0; i < count; i++) row[i] = (int32_t)(i + rows - count);
  struct view from = make_buffer(d, s, rows * c), to = make_buffer(d, s, rows * c), other = make_buffer(d, s, rows * c);
  device_ops(d)->gather(d, (int32_t)count, row, c, from, to);
  device_ops(d)->scatter(d, (int32_t)count, row, c, to, other);
  device_ops(d)->copy(d, c, from, other);
  device_ops(d)->zero(d, c / 2, other);
  take_buffer(d, from, rows * c, r);
  take_buffer(d, to, rows * c, r);
  take_buffer(d, other, rows * c, r);
}

static void case_embed(struct device *d, struct source *s, struct result *r)
{
  size_t m = source_size(s, 60), c = source_size(s, 300), vocab = source_size(s, 100),
         slots = 1 + source_below(s, vocab);
  int32_t token[60], slot[60], id[100];
  for (size_t i = 0; i < m; i++) token[i] = (int32_t)source_below(s, vocab);
  for (size_t i = 0; i < m; i++) slot[i] = (int32_t)source_below(s, slots);
  for (size_t i = 0; i < slots; i++) id[i] = (int32_t)(vocab - 1 - i);
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, vocab, c);
  struct view y = make_buffer(d, s, m * c), dy = make_buffer(d, s, m * c), accum = make_buffer(d, s, slots * c);
  device_ops(d)->embed(d, w, (int32_t)m, token, y);
  device_ops(d)->embed_backward(d, (int32_t)m, slot, c, dy, accum);
  device_ops(d)->embed_join(d, w, (int32_t)slots, id, accum);
  take_buffer(d, y, m * c, r);
  take_buffer(d, accum, slots * c, r);
  take_weight(w, r);
  drop_buffer(dy);
}

/* ---- a whole weight ---- */

static void case_adamw(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_size(s, 200), k = source_size(s, 100);
  struct weight *w =
      source_below(s, 2) ? make_weight(d, s, WEIGHT_MATRIX, n, k) : make_weight(d, s, WEIGHT_VECTOR, n, 1);
  struct adamw_params p = {.lr = 1e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = 1e-8,
                           .weight_decay = 0.1,
                           .correction1 = 0.1,
                           .correction2 = 0.001,
                           .grad_scale = 0.37};
  device_ops(d)->adamw(d, w, &p);
  take_weight(w, r);
}

static void case_reduce(struct device *d, struct source *s, struct result *r)
{
  size_t n = source_below(s, 8) ? source_size(s, 200) : 1000 + source_below(s, 1500), k = source_size(s, 90);
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, n, k);
  take_number(device_ops(d)->sum_squares(d, w, WEIGHT_GRAD), r);
  take_number((double)device_ops(d)->find_not_finite(d, w, WEIGHT_MOMENT1), r);
  device_ops(d)->weight_zero_grad(d, w);
  take_weight(w, r);
}

/* ---- attention ---- */

enum { RUNS = 3, MEMBERS = 9, TABLE = 600, POSITIONS = 300 };

/* Some paths of their own storage blocks, each with one run at its end; all positions before it are written first. */
struct scene {
  struct kv_shape kv;
  struct attention_shape shape;
  struct rows rows, history;
  struct rows_run run[MEMBERS], past[MEMBERS];
  struct rows_span span[2 * RUNS];
  int32_t blocks[MEMBERS * TABLE], position[MEMBERS * POSITIONS], past_position[MEMBERS * POSITIONS], slots;
};

static void scene_path(struct scene *c, struct source *s, int i, int32_t *next_block)
{
  int32_t before = (int32_t)(source_below(s, 4) ? source_below(s, 200) : 0), count = (int32_t)source_size(s, 90);
  int32_t all = before + count, cut = (int32_t)source_below(s, (size_t)all);
  for (int32_t b = 0; b * c->kv.block < all; b++) c->blocks[i * TABLE + b] = (*next_block)++;
  c->run[i] = (struct rows_run){c->rows.count, count, before, i * TABLE, 2 * i, 2};
  c->past[i] = (struct rows_run){c->history.count, all, 0, i * TABLE, 2 * i, 2};
  for (int32_t p = 0; p < count; p++) c->position[c->rows.count++] = before + p;
  for (int32_t p = 0; p < all; p++) c->past_position[c->history.count++] = p;
  c->span[2 * i] = (struct rows_span){0, cut, c->slots + all - cut};
  c->span[2 * i + 1] = (struct rows_span){cut, all - cut, c->slots};
  c->slots += all;
}

/* A path whose only new row is its last, behind `shared` positions that it has in common with the first path, which is
 * all of that one's history. */
static void scene_member(struct scene *c, struct source *s, int i, int32_t shared, int32_t *next_block)
{
  int32_t own = 1 + (int32_t)source_below(s, 80), all = shared + own;
  for (int32_t b = 0; b * c->kv.block < all; b++)
    c->blocks[i * TABLE + b] = i > 0 && (b + 1) * c->kv.block <= shared ? c->blocks[b] : (*next_block)++;
  c->run[i] = (struct rows_run){c->rows.count, 1, all - 1, i * TABLE, 0, 0};
  c->position[c->rows.count++] = all - 1;
  int32_t from = i > 0 ? shared / c->kv.block * c->kv.block : 0;
  c->past[i] = (struct rows_run){c->history.count, all - from, from, i * TABLE, 0, 0};
  for (int32_t p = from; p < all; p++) c->past_position[c->history.count++] = p;
}

static void scene_make(struct scene *c, struct source *s, bool members)
{
  static const int dims[] = {16, 64, 64, 80, 8, 6, 128}, groups[] = {1, 3, 2, 4, 7, 15};
  int32_t next = 0, runs = 1 + (int32_t)source_below(s, members ? MEMBERS : RUNS), shared;
  memset(c, 0, sizeof *c);
  c->kv.layers = 2;
  c->kv.heads = 1 + (int)source_below(s, 3);
  c->kv.head_dim = dims[source_below(s, sizeof dims / sizeof dims[0])];
  c->kv.block = 2 << source_below(s, 7);
  shared = (int32_t)source_below(s, 200);
  for (int i = 0; i < runs; i++) {
    if (members)
      scene_member(c, s, i, shared, &next);
    else
      scene_path(c, s, i, &next);
  }
  c->kv.blocks = next;
  c->shape.kv_heads = c->kv.heads;
  c->shape.heads = c->kv.heads * groups[source_below(s, sizeof groups / sizeof groups[0])];
  c->shape.head_dim = c->kv.head_dim;
  c->shape.window = source_below(s, 2) ? 1 + (int)source_below(s, 120) : 0;
  c->shape.scale = 0.125;
  c->shape.cap = source_below(s, 3) ? 0 : 0.5 + (double)source_below(s, 4);
  c->rows.run_count = c->history.run_count = runs;
  c->rows.runs = c->run;
  c->history.runs = c->past;
  c->rows.blocks = c->history.blocks = c->blocks;
  c->rows.position = c->position;
  c->history.position = c->past_position;
  c->rows.spans = c->history.spans = c->span;
}

static struct kv *scene_kv(const struct scene *c, struct device *d, struct source *s, struct result *r)
{
  struct kv *kv;
  struct error err = {0};
  size_t n = (size_t)c->history.count * (size_t)(c->kv.heads * c->kv.head_dim);
  CHECK_OK(kv_create(d, &c->kv, &kv, &err), &err);
  struct view k = make_buffer(d, s, n), v = make_buffer(d, s, n);
  device_ops(d)->kv_write(d, kv, 1, &c->history, k, v);
  device_ops(d)->zero(d, n, k);
  device_ops(d)->kv_read(d, kv, 1, &c->history, k, v);
  take_buffer(d, k, n, r);
  take_buffer(d, v, n, r);
  return kv;
}

static void case_attention(struct device *d, struct source *s, struct result *r)
{
  static struct scene c;
  scene_make(&c, s, false);
  struct kv *kv = scene_kv(&c, d, s, r);
  size_t pairs = (size_t)c.rows.count * (size_t)c.shape.heads, n = pairs * (size_t)c.shape.head_dim;
  size_t slots = (size_t)(c.slots * c.kv.heads * c.kv.head_dim);
  struct view q = make_buffer(d, s, n), o = make_buffer(d, s, n), stat = make_buffer(d, s, 2 * pairs);
  struct view dout = make_buffer(d, s, n), dq = make_buffer(d, s, n);
  struct kv_grad_view grad = {make_buffer(d, s, slots), make_buffer(d, s, slots)};
  device_ops(d)->attention(d, &c.shape, kv, 1, &c.rows, q, o, stat);
  device_ops(d)->attention_backward(d, &c.shape, kv, 1, &c.rows, q, o, stat, dout, dq, grad);
  take_buffer(d, o, n, r);
  take_buffer(d, stat, 2 * pairs, r);
  take_buffer(d, dq, n, r);
  take_buffer(d, grad.dk, slots, r);
  take_buffer(d, grad.dv, slots, r);
  drop_buffer(q);
  drop_buffer(dout);
  kv_destroy(kv);
}

/* One row each of paths with a common beginning, as in decoding. */
static void case_attention_members(struct device *d, struct source *s, struct result *r)
{
  static struct scene c;
  scene_make(&c, s, true);
  struct kv *kv = scene_kv(&c, d, s, r);
  size_t pairs = (size_t)c.rows.count * (size_t)c.shape.heads, n = pairs * (size_t)c.shape.head_dim;
  struct view q = make_buffer(d, s, n), o = make_buffer(d, s, n), stat = make_buffer(d, s, 2 * pairs);
  device_ops(d)->attention(d, &c.shape, kv, 1, &c.rows, q, o, stat);
  take_buffer(d, o, n, r);
  take_buffer(d, stat, 2 * pairs, r);
  drop_buffer(q);
  kv_destroy(kv);
}

/* ---- head ---- */

enum { PAIRS = 60 };

/* Often with a factor, a cap or both. */
static struct weight *make_head(struct device *d, struct source *s, size_t vocab, size_t c)
{
  struct weight *w = make_weight(d, s, WEIGHT_MATRIX, vocab, c);
  double scale = source_below(s, 3) ? 1 : 0.3, cap = source_below(s, 2) ? 0 : 4.5;
  weight_set_logits(w, scale, cap);
  return w;
}

static void case_head(struct device *d, struct source *s, struct result *r)
{
  size_t h = source_size(s, 30), c = source_size(s, 80), vocab = source_size(s, 700), pairs = source_below(s, PAIRS);
  int32_t pair_row[PAIRS], target[PAIRS], chunk = 32 * (1 + (int32_t)source_below(s, 8));
  double coef[PAIRS], entropy_coef[30];
  for (size_t p = 0; p < pairs; p++) {
    pair_row[p] = (int32_t)(p * h / pairs);
    target[p] = (int32_t)source_below(s, source_below(s, 2) ? vocab : 1 + vocab / 8);
    coef[p] = (double)source_real(s);
  }
  for (size_t i = 0; i < h; i++) entropy_coef[i] = source_below(s, 2) ? 0 : (double)source_real(s);
  const struct head_rows rows = {(int32_t)h, NULL, (int32_t)pairs, pair_row, target};
  double inv = source_below(s, 2) ? 1.0 : 1.3;
  struct weight *w = make_head(d, s, vocab, c);
  struct view hidden = make_buffer(d, s, h * c), scratch = make_buffer(d, s, 2 * h * (size_t)chunk),
              stat = make_buffer(d, s, 3 * h);
  struct view logp = make_buffer(d, s, pairs), entropy = make_buffer(d, s, h), dhidden = make_buffer(d, s, h * c);
  struct view extra = make_buffer(d, s, h * vocab);
  bool with_extra = source_below(s, 2);
  device_ops(d)->head_score(d, w, inv, &rows, hidden, chunk, scratch, stat, logp, entropy);
  device_ops(d)->head_backward(d, w, inv, &rows, hidden, chunk, scratch, stat, coef,
                               source_below(s, 2) ? entropy_coef : NULL, with_extra ? &extra : NULL, dhidden);
  take_buffer(d, stat, 3 * h, r);
  take_buffer(d, logp, pairs, r);
  take_buffer(d, entropy, h, r);
  take_buffer(d, dhidden, h * c, r);
  take_weight(w, r);
  drop_buffer(extra);
  drop_buffer(hidden);
  drop_buffer(scratch);
}

enum { BIASES = 12 };

static int32_t make_biases(struct source *s, size_t vocab, struct sample_bias *out)
{
  int32_t count = 0;
  for (size_t id = source_below(s, vocab); id < vocab && count < BIASES; id += 1 + source_below(s, vocab))
    out[count++] = (struct sample_bias){(int32_t)id, (float)source_below(s, 200) / 10 - 10, 0};
  return count;
}

static void case_head_sample(struct device *d, struct source *s, struct result *r)
{
  size_t count = source_size(s, 20), c = source_size(s, 20),
         vocab = source_below(s, 4) ? source_size(s, 700) : 2000 + source_below(s, 9000);
  struct sample_params params[20];
  struct sample_result result[20];
  struct sample_bias biases[20][BIASES];
  uint32_t allowed[20][360];  // of up to 11000 tokens, sparse and dense, the last one always in
  for (size_t i = 0; i < count; i++) {
    static const float temperatures[] = {0, 1, 1, 0.7f, 1.5f};
    params[i] = (struct sample_params){temperatures[source_below(s, 5)],     1,    0,    0, -1,
                                       (double)source_below(s, 1000) / 1000, NULL, NULL, 0};
    if (source_below(s, 4) == 0) params[i].top_p = 0.3f + 0.1f * (float)source_below(s, 7);
    if (source_below(s, 4) == 0) params[i].min_p = 0.05f;
    if (source_below(s, 4) == 0) params[i].top_k = 1 + (int32_t)source_below(s, vocab + 5);
    if (source_below(s, 8) == 0) params[i].forced = (int32_t)source_below(s, vocab);
    if (source_below(s, 3) == 0) params[i].bias_count = make_biases(s, vocab, params[i].bias = biases[i]);
    if (source_below(s, 3)) continue;
    for (size_t w = 0; w <= (vocab - 1) / 32; w++) {
      allowed[i][w] = (uint32_t)source_below(s, 65536) << 16 | (uint32_t)source_below(s, 65536);
      if (i % 2) allowed[i][w] &= allowed[i][w] >> 7 & allowed[i][w] << 9;
    }
    allowed[i][(vocab - 1) / 32] |= (uint32_t)1 << ((vocab - 1) % 32);
    params[i].allowed = allowed[i];
  }
  struct error err = {0};
  CHECK_OK(device_reserve_draws(d, 20, &err), &err);
  struct weight *w = make_head(d, s, vocab, c);
  struct view hidden = make_buffer(d, s, count * c), scratch = make_buffer(d, s, count * vocab);
  device_ops(d)->head_sample(d, w, source_below(s, 2) ? 1.0 : 0.7, (int32_t)count, hidden, scratch, params, result);
  for (size_t i = 0; i < count; i++) {
    const float row[4] = {(float)result[i].id, result[i].logp, result[i].logp_behaviour, result[i].entropy};
    memcpy(r->out + r->n, row, sizeof row);
    r->n += 4;
  }
  drop_buffer(hidden);
  drop_buffer(scratch);
  weight_destroy(w);
}

static void case_head_top(struct device *d, struct source *s, struct result *r)
{
  size_t count = source_size(s, 20), c = source_size(s, 20), vocab = source_size(s, 700),
         k = 1 + source_below(s, vocab < 20 ? vocab : 20);
  int32_t ids[20 * 20];
  float logp[20 * 20];
  struct weight *w = make_head(d, s, vocab, c);
  struct view hidden = make_buffer(d, s, count * c), scratch = make_buffer(d, s, count * vocab);
  device_ops(d)->head_top(d, w, 1.25, (int32_t)count, hidden, scratch, (int32_t)k, ids, logp);
  for (size_t i = 0; i < count * k; i++) {
    r->out[r->n++] = (float)ids[i];
    r->out[r->n++] = logp[i];
  }
  drop_buffer(hidden);
  drop_buffer(scratch);
  weight_destroy(w);
}

/* ---- the comparison ---- */

typedef void case_fn(struct device *d, struct source *s, struct result *r);
static const struct {
  const char *name;
  case_fn *run;
} cases[] = {
    {"gemm", case_gemm},
    {"gemm_dx", case_gemm_dx},
    {"gemm_dw", case_gemm_dw},
    {"rmsnorm", case_rmsnorm},
    {"rmsnorm_backward", case_rmsnorm_backward},
    {"rope", case_rope},
    {"swiglu", case_swiglu},
    {"swiglu_backward", case_swiglu_backward},
    {"geglu", case_geglu},
    {"geglu_backward", case_geglu_backward},
    {"factors", case_factors},
    {"add", case_add},
    {"copies", case_copies},
    {"embed", case_embed},
    {"adamw", case_adamw},
    {"reduce", case_reduce},
    {"attention", case_attention},
    {"attention of members", case_attention_members},
    {"head", case_head},
    {"head_sample", case_head_sample},
    {"head_top", case_head_top},
};

/* NULL where this machine lacks the set. */
static struct device *open_device(const char *isa, int threads, enum compute_type type)
{
  const struct device_options options = {.kind = "cpu", .isa = isa, .threads = threads, .type = type};
  struct device *d = NULL;
  struct error err = {0};
  int rc = device_open(&options, &d, &err);
  CHECK(rc == 0 || rc == ERROR_RESOURCE);
  return d;
}

/* A GPU's tensor cores add in their own order: sums of up to 900 products of two numbers below 2 differ by less than
   this share of one and of the result. */
static const char *compare_near(size_t n)
{
  const char *sentence = NULL;
  for (size_t i = 0; i < n && !sentence; i++)
    sentence =
        check_close_at((double)got[i], (double)want[i], 0.01 * (1 + fabs((double)want[i])),
                       "900 terms, each within 2^-22 of the sum of their sizes, leave 0.004; the head doubles it");
  return sentence;
}

static void compare_case(struct device *reference, struct device *d, size_t i, uint64_t seed, bool near)
{
  const uint64_t state = seed * 1000 + i;
  struct source a = {state, (int)(seed / 3 % 4)}, b = a;
  struct result w = {want, 0}, g = {got, 0};
  cases[i].run(reference, &a, &w);
  cases[i].run(d, &b, &g);
  CHECK_INT(g.n, w.n);
  const char *sentence = near ? compare_near(w.n) : w.n ? check_bits_f32_at(got, want, w.n) : NULL;
  if (!sentence) return;
  print_error("%s, seed %d, %s %s with %d threads: %s\n", cases[i].name, (int)seed, device_isa(d),
              compute_type_name(device_type(d)), device_threads(d), sentence);
  fail();
}

static void compare_isa(const char *isa, enum compute_type type)
{
  struct device *reference = open_device("ref", 1, type);
  arrays_take();
  for (int threads = 1; threads <= 3; threads++) {
    struct device *d = open_device(isa, threads, type);
    if (!d) {
      print_message("%s: not on this machine, nothing compared\n", isa);
      break;
    }
    CHECK_STR(device_isa(d), isa);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
      for (uint64_t seed = (uint64_t)threads; seed < CASES_EACH; seed += 3) compare_case(reference, d, i, seed, false);
    device_close(d);
  }
  device_close(reference);
  arrays_give();
}

#if defined(__aarch64__)
static void test_neon(void **state)
{
  (void)state;
  compare_isa("neon", COMPUTE_F32);
  compare_isa("neon", COMPUTE_BF16);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_neon)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
static void test_ref_threads(void **state)
{
  (void)state;
  compare_isa("ref", COMPUTE_F32);
  compare_isa("ref", COMPUTE_BF16);
}

static void test_avx2(void **state)
{
  (void)state;
  compare_isa("avx2", COMPUTE_F32);
  compare_isa("avx2", COMPUTE_BF16);
}

static void test_avx512(void **state)
{
  (void)state;
  compare_isa("avx512", COMPUTE_F32);
  compare_isa("avx512", COMPUTE_BF16);
}

static void test_amx(void **state)
{
  (void)state;
  compare_isa("amx", COMPUTE_F32);
  compare_isa("amx", COMPUTE_BF16);
}

/* AMX's products with the tiles in plain C, over AVX-512: they run where there is no AMX. */
static void test_amx_model(void **state)
{
  (void)state;
  struct device *reference = open_device("ref", 1, COMPUTE_BF16), *d = open_device("avx512", 2, COMPUTE_BF16);
  arrays_take();
  if (d) {
    ops_overlay_bf16_model(&d->ops);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
      for (uint64_t seed = 0; seed < CASES_EACH; seed++)
        if (!strncmp(cases[i].name, "gemm", 4) || !strcmp(cases[i].name, "head"))
          compare_case(reference, d, i, seed, false);
  } else {
    print_message("avx512: not on this machine, nothing compared\n");
  }
  device_close(d);
  device_close(reference);
  arrays_give();
}

/* NULL where the build or this machine lacks it. */
static struct device *open_gpu(const char *kind, enum compute_type type)
{
  const struct device_options options = {.kind = kind, .threads = 1, .type = type};
  struct device *d = NULL;
  struct error err = {0};
  int rc = device_open(&options, &d, &err);
  CHECK(rc == 0 || rc == ERROR_RESOURCE || (rc == ERROR_INPUT && !strcmp(kind, "cuda")));
  return d;
}

/* Of cases that a GPU's tensor cores have a part in: whether their results can be near the processor's, rather than
   other draws. */
static bool case_products(size_t i, bool *near)
{
  const char *name = cases[i].name;
  *near = !strncmp(name, "gemm", 4) || !strncmp(name, "attention", 9) || !strcmp(name, "head");
  return *near || !strncmp(name, "head", 4);
}

/* The kernels of cuda/: the CPU's bits, on the emulated device and on a GPU; there in bf16 products are near. wide:
   those products alone, by wgmma. */
static void compare_gpu(const char *kind, enum compute_type type, bool wide)
{
  if (wide) CHECK_INT(setenv("ASSAY_CUDA_PRODUCTS", "wgmma", 1), 0);
  struct device *reference = open_device("ref", 1, type), *d = open_gpu(kind, type);
  CHECK_INT(unsetenv("ASSAY_CUDA_PRODUCTS"), 0);
  struct error err = {0};
  const bool own = type == COMPUTE_BF16 && !strcmp(kind, "cuda");
  arrays_take();
  for (size_t i = 0; d && i < sizeof cases / sizeof cases[0]; i++)
    for (uint64_t seed = 0; seed < cases_gpu * 3; seed += 3) {
      bool near = false;
      if (wide && !case_products(i, &near)) continue;
      if (own && case_products(i, &near) && (!near || seed / 3 % 4)) continue; /* near numbers, none of them wild */
      compare_case(reference, d, i, seed, near && own);
    }
  if (d)
    CHECK_OK(device_sync(d, &err), &err);
  else
    print_message("%s: not in this build or on this machine, nothing compared\n", kind);
  device_close(d);
  device_close(reference);
  arrays_give();
}

static void test_cuda_emulated(void **state)
{
  (void)state;
  compare_gpu("cuda-emulated", COMPUTE_F32, false);
  compare_gpu("cuda-emulated", COMPUTE_BF16, false);
  compare_gpu("cuda-emulated", COMPUTE_BF16, true);
}

static void test_cuda(void **state)
{
  (void)state;
  compare_gpu("cuda", COMPUTE_F32, false);
  compare_gpu("cuda", COMPUTE_BF16, false);
}

/* [TEST [CASES]]: one test alone, as bench/gpu.sh wants it, with so many cases on a GPU. */
int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  if (argc > 2) cases_gpu = strtoull(argv[2], NULL, 10);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ref_threads), cmocka_unit_test(test_avx2),
                                     cmocka_unit_test(test_avx512),      cmocka_unit_test(test_amx),
                                     cmocka_unit_test(test_amx_model),   cmocka_unit_test(test_cuda_emulated),
                                     cmocka_unit_test(test_cuda)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif

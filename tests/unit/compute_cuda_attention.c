/* Attention's tiles in bf16 (cuda/attention_bf16.h) on the emulated device: the processor's bits for shapes at the
 * edges of tiles, key blocks, storage blocks and windows, for numbers of every kind, with NaN in what nobody sees; and
 * law 1, on a GPU too: rows by themselves give the bits of rows at once, runs by themselves those of runs together. */
#include "check.h"
#include "source.h"

#include "compute/backend.h"
#include "core/arena.h"

enum { PATHS = 40, TABLE = 400, ROWS = 1200, HISTORY = 6000, LAYERS = 2, BEHIND = 5, MOST = 1 << 20 };

/* Runs of `count` rows behind `before` positions; tree: runs behind the first stand on its first positions. */
struct setting {
  const char *name;
  int dim, kv_heads, group, block, window;
  double cap;
  int runs, before[4], count[4]; /* run i is as i % 4, and i / 4 positions longer */
  bool tree;
};

static const struct setting settings[] = {
    {"one row", 64, 2, 1, 32, 0, 0, 1, {0}, {1}, false},
    {"a decoding batch", 64, 2, 7, 32, 0, 0, 5, {70, 300, 31, 9}, {1, 1, 1, 1}, false},
    {"many heads, one row", 32, 1, 40, 16, 50, 0, 3, {64, 300, 33}, {1, 1, 1}, false},
    {"15, 16, 17, 33 rows", 64, 1, 1, 64, 0, 0, 4, {0, 3, 31, 40}, {15, 16, 17, 33}, false},
    {"7 heads", 64, 1, 7, 32, 0, 0, 2, {0, 61, 5}, {33, 10, 30}, false},
    {"a short window", 16, 1, 3, 16, 5, 0, 2, {37, 0}, {50, 40}, false},
    {"a window over storage blocks", 24, 1, 8, 16, 40, 1.5, 3, {90, 0, 31}, {9, 40, 2}, false},
    {"12 heads of 80", 80, 1, 12, 32, 0, 2, 1, {20}, {13}, false},
    {"128", 128, 1, 3, 64, 0, 0, 2, {50, 0}, {17, 20}, false},
    {"128, decoding", 128, 2, 4, 2, 0, 0, 3, {50, 300, 9}, {1, 1, 1}, false},
    {"256", 256, 1, 2, 16, 33, 1, 1, {45}, {20}, false},
    {"256, decoding", 256, 1, 2, 32, 0, 0, 2, {275, 4}, {1, 2}, false},
    {"a tree", 64, 1, 2, 16, 0, 0, 6, {0, 32, 48, 64}, {70, 9, 40, 21}, true},
    {"a tree and a window", 6, 2, 3, 2, 20, 0, 7, {0, 32, 48, 64}, {70, 9, 40, 21}, true},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };
#if defined(__SANITIZE_ADDRESS__)
enum { STEP = 5 }; /* it follows a thread of the emulated device at each wait */
#else
enum { STEP = 2 };
#endif

/* ---- a device with paths ---- */

struct scene {
  const struct setting *s;
  struct device *d;
  struct kv *kv;
  struct attention_shape shape;
  struct rows rows, history;
  struct rows_run run[PATHS], past[PATHS];
  struct rows_span span[4 * PATHS];
  int32_t blocks[PATHS * TABLE], position[ROWS], past_position[HISTORY], slots;
  struct view q, o, stat, dout, dq;
  struct kv_grad_view grad;
};

static float *hand, *results[2]; /* MOST each */

static size_t wide(const struct scene *c)
{
  return (size_t)(c->shape.heads * c->shape.head_dim);
}

/* Those of the first path as far as they are shared, then two, the later positions first. */
static void make_spans(struct scene *c, int i, int32_t shared, int32_t all)
{
  const int32_t cut = shared + (all - shared + 2) / 3;
  struct rows_span *span = c->span + 4 * i;
  int n = 0;
  for (int j = 0; j < 2 && c->span[j].position < shared; j++) {
    span[n] = c->span[j];
    if (span[n].position + span[n].count > shared) span[n].count = shared - span[n].position;
    n++;
  }
  span[n++] = (struct rows_span){shared, cut - shared, c->slots + all - cut};
  if (all > cut) span[n++] = (struct rows_span){cut, all - cut, c->slots};
  c->run[i].span = c->past[i].span = 4 * i;
  c->run[i].span_count = c->past[i].span_count = n;
  c->slots += all - shared;
}

static void make_path(struct scene *c, int i, int32_t *next)
{
  const struct setting *s = c->s;
  const int32_t before = s->before[i % 4] + (s->tree ? 0 : i / 4), count = s->count[i % 4] + (i / 4 && s->count[0] > 1);
  const int32_t shared = s->tree && i ? before : 0, all = before + count;
  for (int32_t b = 0; b * s->block < all + BEHIND; b++)
    c->blocks[i * TABLE + b] = (b + 1) * s->block <= shared ? c->blocks[b] : (*next)++;
  c->run[i] = (struct rows_run){.row = c->rows.count, .count = count, .position = before, .table = i * TABLE};
  c->past[i] = (struct rows_run){
      .row = c->history.count, .count = all + BEHIND - shared, .position = shared, .table = i * TABLE};
  for (int32_t p = before; p < all; p++) c->position[c->rows.count++] = p;
  for (int32_t p = shared; p < all + BEHIND; p++) c->past_position[c->history.count++] = p;
  CHECK(c->rows.count <= ROWS && c->history.count <= HISTORY);
  make_spans(c, i, shared, all);
}

static struct view make_buffer(struct scene *c, const float *from, size_t n)
{
  struct view v = {NULL, 0};
  struct error err = {0};
  CHECK_OK(buffer_create(c->d, n, "test", &v.buffer, &err), &err);
  buffer_write(c->d, v, from, HOST_F32, n);
  return v;
}

static struct view make_noise(struct scene *c, struct source *s, size_t n)
{
  CHECK(n <= MOST);
  source_fill(s, hand, n);
  return make_buffer(c, hand, n);
}

/* Keys or values of all paths; behind a path's end NaN. */
static struct view make_history(struct scene *c, struct source *s)
{
  const size_t width = (size_t)(c->shape.kv_heads * c->shape.head_dim), n = (size_t)c->history.count * width;
  CHECK(n <= MOST);
  source_fill(s, hand, n);
  for (int i = 0; i < c->s->runs; i++)
    for (size_t at = (size_t)(c->past[i].row + c->past[i].count - BEHIND) * width;
         at < (size_t)(c->past[i].row + c->past[i].count) * width; at++)
      hand[at] = __builtin_nanf("");
  return make_buffer(c, hand, n);
}

/* Numbers of kind 0 to 3 are those of source.h; in kind 4 values alone are near 2^-126, so that sums of them come to
   zeros of both signs. */
enum { KINDS = 4 };

/* false: this build or machine has no such device. */
static bool scene_open(struct scene *c, const struct setting *s, const char *kind, struct source source)
{
  const struct device_options options = {
      .kind = kind, .isa = strcmp(kind, "cpu") ? NULL : "ref", .threads = 1, .type = COMPUTE_BF16};
  struct error err = {0};
  int32_t next = 0;
  memset(c, 0, sizeof *c);
  c->s = s;
  if (device_open(&options, &c->d, &err)) {
    CHECK(!strcmp(kind, "cuda"));
    return false;
  }
  c->shape = (struct attention_shape){s->kv_heads * s->group, s->kv_heads, s->dim, s->window, 0.125, s->cap};
  for (int i = 0; i < s->runs; i++) make_path(c, i, &next);
  c->rows.run_count = c->history.run_count = s->runs;
  c->rows.runs = c->run;
  c->history.runs = c->past;
  c->rows.blocks = c->history.blocks = c->blocks;
  c->rows.position = c->position;
  c->history.position = c->past_position;
  c->rows.spans = c->history.spans = c->span;
  const struct kv_shape shape = {LAYERS, s->kv_heads, s->dim, s->block, next};
  CHECK_OK(kv_create(c->d, &shape, &c->kv, &err), &err);
  const bool small = source.wild == KINDS;
  source.wild = small ? 0 : source.wild;
  struct view k = make_history(c, &source);
  source.wild = small ? 3 : source.wild;
  struct view v = make_history(c, &source);
  source.wild = small ? 0 : source.wild;
  device_ops(c->d)->kv_write(c->d, c->kv, 1, &c->history, k, v);
  buffer_destroy(k.buffer);
  buffer_destroy(v.buffer);
  const size_t n = (size_t)c->rows.count * wide(c), slots = (size_t)(c->slots * s->kv_heads * s->dim);
  c->q = make_noise(c, &source, n);
  c->o = make_noise(c, &source, n);
  c->stat = make_noise(c, &source, (size_t)(2 * c->rows.count * c->shape.heads));
  c->dout = make_noise(c, &source, n);
  c->dq = make_noise(c, &source, n);
  c->grad.dk = make_noise(c, &source, slots);
  c->grad.dv = make_noise(c, &source, slots);
  return true;
}

static void scene_close(struct scene *c)
{
  struct view *views[] = {&c->q, &c->o, &c->stat, &c->dout, &c->dq, &c->grad.dk, &c->grad.dv};
  struct error err = {0};
  CHECK_OK(device_sync(c->d, &err), &err);
  for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) buffer_destroy(views[i]->buffer);
  kv_destroy(c->kv);
  device_close(c->d);
}

/* All that the operations have written. */
static size_t scene_read(const struct scene *c, float *out)
{
  const size_t pairs = (size_t)c->rows.count * (size_t)c->shape.heads, slots = (size_t)c->slots;
  const size_t width = (size_t)(c->shape.kv_heads * c->shape.head_dim);
  const struct {
    struct view v;
    size_t n;
  } parts[] = {{c->o, (size_t)c->rows.count * wide(c)},
               {c->stat, 2 * pairs},
               {c->dq, (size_t)c->rows.count * wide(c)},
               {c->grad.dk, slots * width},
               {c->grad.dv, slots * width}};
  size_t n = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    CHECK(n + parts[i].n <= MOST);
    buffer_read(c->d, parts[i].v, out + n, HOST_F32, parts[i].n);
    n += parts[i].n;
  }
  return n;
}

static void compare(const struct setting *s, int wild, const char *what, size_t n, size_t m)
{
  const char *sentence = n == m ? check_bits_f32_at(results[1], results[0], n) : "other sizes";
  if (!sentence) return;
  print_error("%s, numbers of kind %d, %s: %s\n", s->name, wild, what, sentence);
  fail();
}

static void arrays_take(void)
{
  float **arrays[] = {&hand, &results[0], &results[1]};
  for (int i = 0; i < 3; i++) CHECK((*arrays[i] = memory_alloc(MOST, sizeof(float), "test", NULL)) != NULL);
}

static void arrays_give(void)
{
  memory_free(hand);
  memory_free(results[0]);
  memory_free(results[1]);
}

/* ---- the processor's bits ---- */

static void forward(struct scene *c, const struct rows *rows, int32_t row)
{
  const size_t at = (size_t)row * wide(c);
  device_ops(c->d)->attention(c->d, &c->shape, c->kv, 1, rows, view_at(c->q, at), view_at(c->o, at),
                              view_at(c->stat, (size_t)(2 * row * c->shape.heads)));
}

static void backward(struct scene *c, const struct rows *rows, int32_t row)
{
  const size_t at = (size_t)row * wide(c);
  device_ops(c->d)->attention_backward(c->d, &c->shape, c->kv, 1, rows, view_at(c->q, at), view_at(c->o, at),
                                       view_at(c->stat, (size_t)(2 * row * c->shape.heads)), view_at(c->dout, at),
                                       view_at(c->dq, at), c->grad);
}

static void test_shapes(void **state)
{
  static struct scene c;
  (void)state;
  arrays_take();
  for (int i = 0; i < SETTINGS; i += STEP == 2 ? 1 : 2)
    for (int wild = 1 + i % KINDS, end = i ? wild : KINDS; wild <= end; wild++) {
      size_t n[2];
      for (int gpu = 0; gpu < 2; gpu++) {
        CHECK(scene_open(&c, &settings[i], gpu ? "cuda-emulated" : "cpu",
                         (struct source){(uint64_t)(10 * i + wild), wild}));
        forward(&c, &c.rows, 0);
        backward(&c, &c.rows, 0);
        n[gpu] = scene_read(&c, results[gpu]);
        scene_close(&c);
      }
      compare(&settings[i], wild, "beside the processor", n[1], n[0]);
    }
  arrays_give();
}

/* ---- law 1 ---- */

/* Rows of run i from `first` on, as a call of its own. */
static struct rows part_of(const struct scene *c, int i, int32_t first, int32_t count, struct rows_run *run)
{
  struct rows rows = c->rows;
  *run = c->run[i];
  run->row = 0;
  run->position += first;
  run->count = count;
  rows.runs = run;
  rows.run_count = 1;
  rows.count = count;
  rows.position = c->position + c->run[i].row + first;
  return rows;
}

/* One to four rows by themselves; then runs by themselves, cut where a block of 32 positions begins. */
static void run_apart(struct scene *c)
{
  struct rows_run run;
  for (int i = 0; i < c->s->runs; i++)
    for (int32_t t = 0, count; t < c->run[i].count; t += count) {
      count = 1 + t % 4 < c->run[i].count - t ? 1 + t % 4 : c->run[i].count - t;
      const struct rows rows = part_of(c, i, t, count, &run);
      forward(c, &rows, c->run[i].row + t);
    }
  for (int i = 0; i < c->s->runs; i++)
    for (int32_t t = 0, end; t < c->run[i].count; t = end) {
      end = (c->run[i].position + t) / 32 * 32 + 32 - c->run[i].position;
      if (end > c->run[i].count) end = c->run[i].count;
      const struct rows rows = part_of(c, i, t, end - t, &run);
      backward(c, &rows, c->run[i].row + t);
    }
}

/* step: of the settings that are tried. */
static bool check_law(const char *kind, int step)
{
  static struct scene c;
  bool there = true;
  arrays_take();
  for (int i = 0; i < SETTINGS && there; i += step) {
    size_t n[2];
    for (int apart = 0; apart < 2 && there; apart++) {
      there = scene_open(&c, &settings[i], kind, (struct source){(uint64_t)i, 0});
      if (!there) break;
      if (apart) {
        run_apart(&c);
      } else {
        forward(&c, &c.rows, 0);
        backward(&c, &c.rows, 0);
      }
      n[apart] = scene_read(&c, results[apart]);
      scene_close(&c);
    }
    if (there) compare(&settings[i], 0, "by themselves", n[1], n[0]);
  }
  arrays_give();
  return there;
}

static void test_law(void **state)
{
  (void)state;
  CHECK(check_law("cuda-emulated", STEP));
}

static void test_law_gpu(void **state)
{
  (void)state;
  if (!check_law("cuda", 1)) print_message("cuda: not in this build or on this machine, nothing compared\n");
}

/* [TEST]: one test alone. */
int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_law),
                                     cmocka_unit_test(test_law_gpu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

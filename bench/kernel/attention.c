/* bench/kernel/attention: attention and its backward in bf16 at the sizes of training and of decoding, one JSON line
 * each: seconds a call, the rate, and the floors of an H200 by arithmetic and by bytes. Before that law 1 at the size
 * of training: rows by themselves, as in decoding, give the bits of a whole prompt at once (exit 4 where they do not).
 *
 *     bench_kernel_attention [cuda|cuda-emulated|cpu]       sizes are smaller on anything but cuda
 */
#include "bench.h"

#define PEAK_FLOP  989e12 /* bf16 with f32 sums, dense */
#define PEAK_BYTES 4.3e12 /* what reading reaches, of 4.8e12 */

enum { BLOCK = 32, MOST_RUNS = 256, MOST_TABLE = 1 << 14, REPEATS = 5, CHECKS = 12 };

/* `runs` runs of `count` rows that end at position length - 1. */
struct work {
  const char *name;
  int heads, kv_heads, dim;
  int32_t runs, count, length;
  bool backward;
};

static const struct work works[] = {{"training 8 x 2048", 14, 2, 64, 8, 2048, 2048, true},
                                    {"decoding 256 x 640", 14, 2, 64, 256, 1, 640, false},
                                    {"decoding 1 x 8192", 14, 2, 64, 1, 1, 8192, false},
                                    {"training 4 x 2048 of 128", 28, 4, 128, 4, 2048, 2048, true},
                                    {"decoding 64 x 640 of 128", 28, 4, 128, 64, 1, 640, false}};

struct bench {
  struct device *d;
  const struct backend_ops *ops;
  struct work w;
  struct attention_shape shape;
  struct kv *kv;
  struct rows rows;
  struct rows_run run[MOST_RUNS];
  struct rows_span span[MOST_RUNS];
  int32_t blocks[MOST_TABLE];
  struct view q, o, stat, dout, dq, k, v;
  struct kv_grad_view grad;
  float *noise;
};

static size_t pairs_of(const struct bench *t)
{
  return (size_t)t->rows.count * (size_t)t->shape.heads;
}

/* Runs of the rows from `position` on, the storage blocks the same whatever they are. */
static void make_rows(struct bench *t, int32_t position, int32_t count)
{
  const int32_t each = (t->w.length + BLOCK - 1) / BLOCK;
  for (int32_t i = 0; i < t->w.runs; i++) {
    t->run[i] = (struct rows_run){i * count, count, position, i * each, i, 1};
    t->span[i] = (struct rows_span){0, t->w.length, i * t->w.length};
    for (int32_t b = 0; b < each; b++) t->blocks[i * each + b] = i * each + b;
  }
  t->rows = (struct rows){
      .count = t->w.runs * count, .run_count = t->w.runs, .runs = t->run, .blocks = t->blocks, .spans = t->span};
}

static void open_work(struct bench *t, const struct work *w)
{
  struct error err = {0};
  const size_t width = (size_t)(w->kv_heads * w->dim), positions = (size_t)w->runs * (size_t)w->length;
  t->w = *w;
  t->shape = (struct attention_shape){w->heads, w->kv_heads, w->dim, 0, 0.125, 0};
  const struct kv_shape kv = {1, w->kv_heads, w->dim, BLOCK, w->runs * ((w->length + BLOCK - 1) / BLOCK)};
  bench_stop_on(kv_create(t->d, &kv, &t->kv, &err), &err);
  make_rows(t, 0, w->length);
  t->noise = malloc((positions > pairs_of(t) ? positions : pairs_of(t)) * width * sizeof(float));
  if (!t->noise) exit(3);
  bench_fill(t->noise, positions * width);
  t->k = bench_buffer(t->d, t->noise, positions * width);
  t->v = bench_buffer(t->d, t->noise, positions * width);
  t->ops->kv_write(t->d, t->kv, 0, &t->rows, t->k, t->v);
  make_rows(t, w->length - w->count, w->count);
  const size_t n = pairs_of(t) * (size_t)w->dim;
  t->noise = realloc(t->noise, n * sizeof(float));
  if (!t->noise) exit(3);
  bench_fill(t->noise, n);
  struct view *views[] = {&t->q, &t->o, &t->dout, &t->dq};
  for (size_t i = 0; i < 4; i++) *views[i] = bench_buffer(t->d, t->noise, n);
  t->stat = bench_buffer(t->d, NULL, 2 * pairs_of(t));
  t->grad.dk = bench_buffer(t->d, NULL, positions * width);
  t->grad.dv = bench_buffer(t->d, NULL, positions * width);
}

static void close_work(struct bench *t)
{
  struct view *views[] = {&t->q, &t->o, &t->dout, &t->dq, &t->stat, &t->grad.dk, &t->grad.dv, &t->k, &t->v};
  struct error err = {0};
  bench_stop_on(device_sync(t->d, &err), &err);
  for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) buffer_destroy(views[i]->buffer);
  kv_destroy(t->kv);
  free(t->noise);
}

static void call(struct bench *t, bool backward)
{
  if (backward)
    t->ops->attention_backward(t->d, &t->shape, t->kv, 0, &t->rows, t->q, t->o, t->stat, t->dout, t->dq, t->grad);
  else
    t->ops->attention(t->d, &t->shape, t->kv, 0, &t->rows, t->q, t->o, t->stat);
}

static void measure(struct bench *t, bool backward, int calls)
{
  double seconds[REPEATS], keys = 0;
  struct error err = {0};
  call(t, backward);
  bench_stop_on(device_sync(t->d, &err), &err);
  for (int i = 0; i < REPEATS; i++) {
    const double begin = bench_clock(t->d);
    for (int j = 0; j < calls; j++) call(t, backward);
    bench_stop_on(device_sync(t->d, &err), &err);
    seconds[i] = (bench_clock(t->d) - begin) / calls;
  }
  for (int32_t p = t->w.length - t->w.count; p < t->w.length; p++) keys += p + 1;
  const double s = bench_median(seconds, REPEATS), dim = t->w.dim, positions = (double)t->w.runs * t->w.length;
  const double flop = keys * t->w.runs * t->w.heads * dim * (backward ? 10 : 4);
  // q, o (and dout, dq) once, K and V (and dk and dv, read and written) once
  const double bytes =
      (double)pairs_of(t) * dim * 4 * (backward ? 4 : 2) + positions * t->w.kv_heads * dim * (backward ? 4 + 16 : 4);
  const double floor = flop / PEAK_FLOP > bytes / PEAK_BYTES ? flop / PEAK_FLOP : bytes / PEAK_BYTES;
  printf(
      "{\"work\": \"%s\", \"name\": \"%s\", \"heads\": %d, \"kv_heads\": %d, \"head_dim\": %d, \"seconds\": %.7f, "
      "\"tflop_s\": %.2f, \"gb_s\": %.1f, \"arithmetic_floor_s\": %.7f, \"bytes_floor_s\": %.7f, "
      "\"share_of_floor\": %.4f}\n",
      backward ? "attention_backward" : "attention", t->w.name, t->w.heads, t->w.kv_heads, t->w.dim, s,
      flop / s * 1e-12, bytes / s * 1e-9, flop / PEAK_FLOP, bytes / PEAK_BYTES, floor / s);
  fflush(stdout);
}

/* Some positions of all runs, a row each, beside the same rows of o as a call of whole runs left it. */
static int check_law(struct bench *t)
{
  const size_t wide = (size_t)(t->w.heads * t->w.dim), n = (size_t)t->w.runs * wide;
  struct view q = bench_buffer(t->d, NULL, n), o = bench_buffer(t->d, NULL, n), want = bench_buffer(t->d, NULL, n),
              stat = bench_buffer(t->d, NULL, (size_t)(2 * t->w.runs * t->w.heads));
  float *got = malloc(2 * n * sizeof *got);
  int wrong = 0;
  if (!got) exit(3);
  make_rows(t, 0, t->w.length);
  call(t, false);
  for (int i = 0; i < CHECKS; i++) {
    const int32_t position = (t->w.length - 1) * i / (CHECKS - 1);
    int32_t row[MOST_RUNS];
    for (int32_t r = 0; r < t->w.runs; r++) row[r] = r * t->w.length + position;
    t->ops->gather(t->d, t->w.runs, row, wide, t->q, q);
    t->ops->gather(t->d, t->w.runs, row, wide, t->o, want);
    make_rows(t, position, 1);
    t->ops->attention(t->d, &t->shape, t->kv, 0, &t->rows, q, o, stat);
    buffer_read(t->d, o, got, HOST_F32, n);
    buffer_read(t->d, want, got + n, HOST_F32, n);
    wrong += memcmp(got, got + n, n * sizeof *got) != 0;
  }
  struct view *views[] = {&q, &o, &want, &stat};
  for (size_t i = 0; i < 4; i++) buffer_destroy(views[i]->buffer);
  free(got);
  make_rows(t, t->w.length - t->w.count, t->w.count);
  if (wrong)
    fprintf(stderr, "FAILED: %s: %d of %d positions have other bits by themselves\n", t->w.name, wrong, CHECKS);
  return wrong ? 4 : 0;
}

int main(int argc, char **argv)
{
  static struct bench t;
  const struct device_options options = {.kind = argc > 1 ? argv[1] : "cpu", .threads = 2, .type = COMPUTE_BF16};
  const bool gpu = !strcmp(options.kind, "cuda");
  struct error err = {0};
  int rc = 0;
  bench_stop_on(device_open(&options, &t.d, &err), &err);
  t.ops = device_ops(t.d);
  for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
    struct work w = works[i];
    if (!gpu) {
      w.runs = (w.runs + 15) / 16;
      w.length = w.length / 16;
      w.count = w.count > w.length ? w.length : w.count;
    }
    open_work(&t, &w);
    if (w.count == w.length) rc = rc ? rc : check_law(&t);
    measure(&t, false, gpu ? 20 : 1);
    if (w.backward) measure(&t, true, gpu ? 5 : 1);
    close_work(&t);
  }
  device_close(t.d);
  if (!rc) printf("rows by themselves have the bits of rows at once\n");
  return rc;
}

/* Law 2 below the model: every operation gives the bits of one thread and plain C with any number of threads and any
 * instruction set. */
#include "compute_fixture.h"

enum {
  M = 23,
  C = 40,
  F = 67,
  V = 131,
  HEADS = 6,
  KV_HEADS = 2,
  D = 12,
  WIDTH = KV_HEADS * D,
  QWIDTH = HEADS * D,
  SINK = 1 << 17
};

/* Everything that came out, one behind the other. */
struct sink {
  struct rig rig;
  double out[SINK];
  size_t n;
};

static void take(struct sink *s, struct view v, size_t n)
{
  CHECK(s->n + n <= SINK);
  buffer_read(s->rig.d, v, s->out + s->n, HOST_F64, n);
  s->n += n;
}

static void take_part(struct sink *s, const struct weight *w, enum weight_part part)
{
  size_t n = weight_rows(w) * weight_cols(w);
  CHECK(s->n + n <= SINK);
  weight_read(w, part, 0, weight_rows(w), s->out + s->n, HOST_F64);
  s->n += n;
}

static struct view noise(struct sink *s, uint64_t seed, size_t n)
{
  return rig_view(&s->rig, rig_noise(&s->rig, seed, n, 1.5), n);
}

static void run_products(struct sink *s)
{
  struct weight *w = rig_weight(&s->rig, F, C, rig_noise(&s->rig, 1, F * C, 1)),
                *b = rig_weight(&s->rig, F, 0, rig_noise(&s->rig, 2, F, 1));
  struct view x = noise(s, 3, M * C), y = rig_zeros(&s->rig, M * F), dx = noise(s, 4, M * C);
  s->rig.ops->gemm(s->rig.d, w, b, M, x, y);
  s->rig.ops->gemm_dx(s->rig.d, w, M, y, dx, true);
  s->rig.ops->gemm_dw(s->rig.d, w, b, M, y, x);
  take(s, y, M * F);
  take(s, dx, M * C);
  take_part(s, w, WEIGHT_GRAD);
  take_part(s, b, WEIGHT_GRAD);
  struct adamw_params p = {1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001, 0.7};
  s->out[s->n++] = s->rig.ops->sum_squares(s->rig.d, w, WEIGHT_GRAD);
  s->rig.ops->adamw(s->rig.d, w, &p);
  take_part(s, w, WEIGHT_MASTER);
  take_part(s, w, WEIGHT_MOMENT1);
  take_part(s, w, WEIGHT_MOMENT2);
}

static void run_rowwise(struct sink *s)
{
  struct weight *w = rig_weight(&s->rig, C, 0, rig_noise(&s->rig, 5, C, 1));
  struct view x = noise(s, 6, M * C), y = rig_zeros(&s->rig, M * C), r = rig_zeros(&s->rig, M), dx = noise(s, 7, M * C),
              dy = noise(s, 8, M * C);
  int32_t position[M], row[M];
  for (int32_t i = 0; i < M; i++) position[i] = i * 7 % 19, row[i] = i * 5 % M;
  s->rig.ops->rmsnorm(s->rig.d, w, 1e-6, M, x, y, r);
  s->rig.ops->rmsnorm_backward(s->rig.d, w, M, x, r, dy, dx, true);
  take(s, y, M * C);
  take(s, r, M);
  take(s, dx, M * C);
  take_part(s, w, WEIGHT_GRAD);
  s->rig.ops->rope(s->rig.d, M, position, 2, C / 2, C / 2, noise(s, 9, 19 * C / 2), true, y);
  take(s, y, M * C);
  s->rig.ops->swiglu(s->rig.d, M * C, x, y, dx);
  take(s, dx, M * C);
  s->rig.ops->swiglu_backward(s->rig.d, M * C, x, y, dy, x, y);
  take(s, x, M * C);
  take(s, y, M * C);
  s->rig.ops->gather(s->rig.d, M, row, C, x, dx);
  s->rig.ops->add(s->rig.d, M * C, dx, y);
  s->rig.ops->scatter(s->rig.d, M, row, C, dx, dy);
  s->rig.ops->zero(s->rig.d, C, dx);
  s->rig.ops->copy(s->rig.d, C, view_at(dx, C), dy);
  take(s, dx, M * C);
  take(s, dy, M * C);
}

static void run_embedding(struct sink *s)
{
  struct weight *w = rig_weight(&s->rig, V, C, rig_noise(&s->rig, 10, V * C, 1));
  int32_t token[M], slot[M], id[5];
  for (int32_t i = 0; i < M; i++) token[i] = i * 37 % V, slot[i] = i * 3 % 5;
  for (int32_t i = 0; i < 5; i++) id[i] = 26 * i;
  struct view y = rig_zeros(&s->rig, M * C), accum = rig_zeros(&s->rig, 5 * C);
  s->rig.ops->embed(s->rig.d, w, M, token, y);
  s->rig.ops->embed_backward(s->rig.d, M, slot, C, y, accum);
  s->rig.ops->embed_join(s->rig.d, w, 5, id, accum);
  take(s, y, M * C);
  take(s, accum, 5 * C);
  take_part(s, w, WEIGHT_GRAD);
}

/* Two paths of 41 and 17 positions; the second begins with the first 9 of the first, its block copied. */
static void run_attention(struct sink *s, int block)
{
  enum { LONG = 41, SHORT = 17, SHARED = 9, ROWS = LONG + SHORT - SHARED };
  struct rows_build *b = arena_push(s->rig.arena, 1, sizeof *b, "rows", NULL);
  struct attention_shape shape = {HEADS, KV_HEADS, D, 13, 0.29, 4};
  struct kv *kv = rig_kv(&s->rig, 1, KV_HEADS, D, block, 64);
  int32_t first[32], second[32], used = 0;
  for (int i = 0; i < 32; i++) first[i] = used++;
  for (int i = 0; i < 32; i++) second[i] = i < SHARED / block ? first[i] : used++;
  rows_begin(b);
  rows_run(b, 0, LONG, first, LONG / block + 1);
  rows_span(b, 0, LONG, 0);
  rows_run(b, SHARED, SHORT - SHARED, second, SHORT / block + 1);
  rows_span(b, 0, SHARED, 0);
  rows_span(b, SHARED, SHORT - SHARED, LONG);
  rows_copy(b, first[SHARED / block], second[SHARED / block], SHARED % block);
  struct view q = noise(s, 11, ROWS * QWIDTH), k = noise(s, 12, ROWS * WIDTH), v = noise(s, 13, ROWS * WIDTH),
              o = rig_zeros(&s->rig, ROWS * QWIDTH);
  struct view stat = rig_zeros(&s->rig, ROWS * HEADS * 2), dout = noise(s, 14, ROWS * QWIDTH),
              dq = rig_zeros(&s->rig, ROWS * QWIDTH);
  struct kv_grad_view grad = {noise(s, 15, ROWS * WIDTH), noise(s, 16, ROWS * WIDTH)};
  s->rig.ops->kv_write(s->rig.d, kv, 0, &b->rows, k, v);
  s->rig.ops->kv_read(s->rig.d, kv, 0, &b->rows, v, k);
  s->rig.ops->attention(s->rig.d, &shape, kv, 0, &b->rows, q, o, stat);
  s->rig.ops->attention_backward(s->rig.d, &shape, kv, 0, &b->rows, q, o, stat, dout, dq, grad);
  const struct view taken[] = {k, v, grad.dk, grad.dv};
  for (int i = 0; i < 4; i++) take(s, taken[i], ROWS * WIDTH);
  take(s, o, ROWS * QWIDTH);
  take(s, dq, ROWS * QWIDTH);
  take(s, stat, ROWS * HEADS * 2);
}

static void run_head(struct sink *s, int32_t chunk)
{
  struct weight *w = rig_weight(&s->rig, V, C, rig_noise(&s->rig, 17, V * C, 0.7));
  struct view h = noise(s, 18, M * C), scratch = rig_zeros(&s->rig, M * 160), stat = rig_zeros(&s->rig, 3 * M),
              logp = rig_zeros(&s->rig, M), entropy = rig_zeros(&s->rig, M), dh = rig_zeros(&s->rig, M * C);
  int32_t row[M], target[M], ids[M * 5];
  float top[M * 5];
  double coef[M], entropy_coef[M];
  struct sample_params params[M];
  struct sample_result drawn[M];
  for (int32_t i = 0; i < M; i++) {
    row[i] = i / 2 * 2, target[i] = i * 17 % V;
    coef[i] = noise_at(19, (size_t)i), entropy_coef[i] = i % 3 * 0.1;
    params[i] = (struct sample_params){
        (float)(i % 4) * 0.4f, i % 3 ? 1 : 0.8f, i % 5 ? 0 : 0.02f, i % 2 ? 20 : 0, -1, i / 25.0, NULL, NULL, 0};
  }
  struct head_rows rows = {M, row, M, row, target};
  s->rig.ops->head_score(s->rig.d, w, 1 / 0.8, &rows, h, chunk, scratch, stat, logp, entropy);
  s->rig.ops->head_backward(s->rig.d, w, 1 / 0.8, &rows, h, chunk, scratch, stat, coef, entropy_coef, NULL, dh);
  take(s, stat, 3 * M);
  take(s, logp, M);
  take(s, entropy, M);
  take(s, dh, M * C);
  take_part(s, w, WEIGHT_GRAD);
  s->rig.ops->head_top(s->rig.d, w, 1 / 0.8, M, h, scratch, 5, ids, top);
  s->rig.ops->head_sample(s->rig.d, w, 0.8, M, h, scratch, params, drawn);
  for (size_t i = 0; i < M * 5; i++) s->out[s->n++] = ids[i], s->out[s->n++] = (double)top[i];
  for (size_t i = 0; i < M; i++) {
    const double result[] = {drawn[i].id, (double)drawn[i].logp, (double)drawn[i].logp_behaviour,
                             (double)drawn[i].entropy};
    memcpy(s->out + s->n, result, sizeof result);
    s->n += 4;
  }
}

static bool run_all(struct sink *s, const char *kind, const char *isa, int threads, int block, int32_t chunk)
{
  s->n = 0;
  if (!rig_open(&s->rig, kind, isa, threads)) return false;
  run_products(s);
  run_rowwise(s);
  run_embedding(s);
  run_attention(s, block);
  run_head(s, chunk);
  CHECK(s->n <= SINK);
  rig_close(&s->rig);
  return true;
}

static struct sink plain, other;

static void test_f32(void **state)
{
  static const int threads[] = {1, 2, 3, 5, 40}, blocks[] = {2, 4, 32, 64, 16};
  static const int32_t chunks[] = {32, 64, 96, 128, 160};
  (void)state;
  CHECK(run_all(&plain, "cpu", "ref", 1, 2, 32));
  for (size_t i = 0; i < plain.n; i++) CHECK(check_finite(plain.out[i]));
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int i = 0; i < 5; i++) {
      if (!run_all(&other, "cpu", isa_names[isa], threads[i], blocks[i], chunks[i])) continue;
      CHECK_INT(other.n, plain.n);
      CHECK_BITS(other.out, plain.out, plain.n * sizeof(double));
    }
}

/* The float64 reference is the same source: f32 stands close to it everywhere (but for what was drawn). */
static void test_f64(void **state)
{
  (void)state;
  CHECK(run_all(&plain, "reference64", NULL, 1, 2, 32));
  CHECK(run_all(&other, "reference64", NULL, 3, 64, 160));
  CHECK_INT(other.n, plain.n);
  CHECK_BITS(other.out, plain.out, plain.n * sizeof(double));
  CHECK(run_all(&other, "cpu", "ref", 2, 32, 64));
  for (size_t i = 0; i < plain.n; i++)
    CHECK_CLOSE(other.out[i], plain.out[i], 2e-5 * (10 + check_abs(plain.out[i])),
                "sums of at most 131 terms below 10, with exp and 1/sqrt between");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_f64)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

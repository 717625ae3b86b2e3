/* The LM head: log-probabilities, entropies and gradients against log-softmax in f64; chunks and neighbours move no
 * bit. */
#include "compute_fixture.h"

enum { ROWS = 6, C = 24, V = 109, PAIRS = 9 };
static const int32_t row_of_pair[PAIRS] = {0, 1, 1, 1, 3, 4, 4, 5, 5};
static const int32_t target[PAIRS] = {108, 0, 31, 0, 32, 64, 95, 107, 107};
static const double coef[PAIRS] = {0.5, -1, 0.25, 0.125, 2, -0.75, 1, 0.3, 0.4};
static const double entropy_coef[ROWS] = {0.1, 0, -0.2, 0, 0.05, 0.3};
static const struct head_rows pairs = {
    .count = ROWS, .pair_count = PAIRS, .pair_row = row_of_pair, .pair_target = target};

struct scene {
  struct rig rig;
  double *hidden, *w;
  struct weight *weight;
  struct view h, scratch, stat, logp, entropy, dhidden;
};

static bool scene_open(struct scene *s, const char *isa, int threads)
{
  if (!rig_open(&s->rig, "cpu", isa, threads)) return false;
  s->hidden = rig_noise(&s->rig, 1, ROWS * C, 2);
  s->w = rig_noise(&s->rig, 2, V * C, 1);
  s->weight = rig_weight(&s->rig, V, C, s->w);
  s->h = rig_view(&s->rig, s->hidden, ROWS * C);
  s->scratch = rig_zeros(&s->rig, ROWS * 128);
  s->stat = rig_zeros(&s->rig, ROWS * 3);
  s->logp = rig_zeros(&s->rig, PAIRS);
  s->entropy = rig_zeros(&s->rig, ROWS);
  s->dhidden = rig_zeros(&s->rig, ROWS * C);
  return true;
}

/* logp, entropy and stat, then dhidden and grad(W), of one score and one backward. */
enum { OUT = PAIRS + ROWS + 3 * ROWS + ROWS * C + V * C };
static double *scene_run(struct scene *s, double inv, int32_t chunk, bool with_entropy)
{
  double *out = rig_host(&s->rig, OUT);
  s->rig.ops->weight_zero_grad(s->rig.d, s->weight);
  s->rig.ops->head_score(s->rig.d, s->weight, inv, &pairs, s->h, chunk, s->scratch, s->stat, s->logp, s->entropy);
  s->rig.ops->head_backward(s->rig.d, s->weight, inv, &pairs, s->h, chunk, s->scratch, s->stat, coef,
                            with_entropy ? entropy_coef : NULL, NULL, s->dhidden);
  buffer_read(s->rig.d, s->logp, out, HOST_F64, PAIRS);
  buffer_read(s->rig.d, s->entropy, out + PAIRS, HOST_F64, ROWS);
  buffer_read(s->rig.d, s->stat, out + PAIRS + ROWS, HOST_F64, 3 * ROWS);
  buffer_read(s->rig.d, s->dhidden, out + PAIRS + 4 * ROWS, HOST_F64, ROWS * C);
  weight_read(s->weight, WEIGHT_GRAD, 0, V, out + PAIRS + 4 * ROWS + ROWS * C, HOST_F64);
  return out;
}

/* log p of every token of every row, and the entropies, in f64. */
static void log_softmax(const struct scene *s, double inv, double logp[ROWS][V], double entropy[ROWS])
{
  for (size_t h = 0; h < ROWS; h++) {
    double top = -1e30, sum = 0;
    for (size_t v = 0; v < V; v++) {
      logp[h][v] = 0;
      for (size_t c = 0; c < C; c++) logp[h][v] += s->hidden[h * C + c] * s->w[v * C + c] * inv;
      top = logp[h][v] > top ? logp[h][v] : top;
    }
    for (size_t v = 0; v < V; v++) sum += math_exp(logp[h][v] - top);
    entropy[h] = 0;
    for (size_t v = 0; v < V; v++) {
      logp[h][v] -= top + math_log(sum);
      entropy[h] -= math_exp(logp[h][v]) * logp[h][v];
    }
  }
}

static const char *const head_why =
    "logits below 20 err by 24 u of the sum of sizes (1e-5 at most); exp and sums of 109 terms add 1e-5";

static void check_naive(struct scene *s, double inv, const double *got, bool with_entropy)
{
  static double logp[ROWS][V], entropy[ROWS], dhidden[ROWS * C], dw[V * C];
  memset(dhidden, 0, sizeof dhidden);
  memset(dw, 0, sizeof dw);
  log_softmax(s, inv, logp, entropy);
  for (size_t p = 0; p < PAIRS; p++) CHECK_CLOSE(got[p], logp[row_of_pair[p]][target[p]], 3e-5, head_why);
  for (size_t h = 0; h < ROWS; h++) CHECK_CLOSE(got[PAIRS + h], entropy[h], 1e-4, head_why);
  for (size_t h = 0; h < ROWS; h++)
    for (size_t v = 0; v < V; v++) {
      double dz = with_entropy ? -entropy_coef[h] * math_exp(logp[h][v]) * (logp[h][v] + entropy[h]) : 0;
      for (size_t p = 0; p < PAIRS; p++)
        if (row_of_pair[p] == (int32_t)h) dz += coef[p] * ((target[p] == (int32_t)v ? 1 : 0) - math_exp(logp[h][v]));
      for (size_t c = 0; c < C; c++) {
        dhidden[h * C + c] += dz * inv * s->w[v * C + c];
        dw[v * C + c] += dz * inv * s->hidden[h * C + c];
      }
    }
  const double *got_dhidden = got + PAIRS + 4 * ROWS, *got_dw = got_dhidden + ROWS * C;
  for (size_t i = 0; i < ROWS * C; i++) CHECK_CLOSE(got_dhidden[i], dhidden[i], 2e-4, head_why);
  for (size_t i = 0; i < V * C; i++) CHECK_CLOSE(got_dw[i], dw[i], 2e-4, head_why);
  for (size_t c = 0; c < C; c++) CHECK(got_dhidden[2 * C + c] == 0 || with_entropy); /* a row without pairs */
}

static void test_naive(void **state)
{
  static const double inverse[] = {1, 1 / 0.7, 0.5};
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int t = 0; t < 3; t++) {
      struct scene s;
      if (!scene_open(&s, isa_names[isa], 2)) continue;
      check_naive(&s, inverse[t], scene_run(&s, inverse[t], 64, true), true);
      check_naive(&s, inverse[t], scene_run(&s, inverse[t], 128, false), false);
      rig_close(&s.rig);
    }
}

static void test_chunks_and_threads(void **state)
{
  static const int32_t chunks[] = {32, 64, 96, 128};
  struct scene plain, s;
  (void)state;
  CHECK(scene_open(&plain, "ref", 1));
  double *want = scene_run(&plain, 1 / 0.9, 32, true);
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int i = 0; i < 4; i++) {
      if (!scene_open(&s, isa_names[isa], i < 3 ? i + 1 : 5)) continue;
      CHECK_BITS(scene_run(&s, 1 / 0.9, chunks[i], true), want, OUT * sizeof(double));
      rig_close(&s.rig);
    }
  rig_close(&plain.rig);
}

/* Two tokens, logits ln 3 and 0: p = 3/4, 1/4. */
static void test_worked(void **state)
{
  struct rig rig;
  (void)state;
  CHECK(rig_open(&rig, "reference64", NULL, 1));
  double ln3 = math_log(3), one[] = {1}, c1[] = {1};
  int32_t zero[] = {0}, t[] = {1};
  struct head_rows rows = {.count = 1, .row = zero, .pair_count = 1, .pair_row = zero, .pair_target = t};
  struct weight *w = rig_weight(&rig, 2, 1, (double[]){ln3, 0});
  struct view h = rig_view(&rig, one, 1), scratch = rig_zeros(&rig, 32), stat = rig_zeros(&rig, 3),
              logp = rig_zeros(&rig, 1), entropy = rig_zeros(&rig, 1), dh = rig_zeros(&rig, 1);
  rig.ops->head_score(rig.d, w, 1, &rows, h, 32, scratch, stat, logp, entropy);
  CHECK_CLOSE(rig_read(&rig, logp, 1)[0], -math_log(4), 1e-15, "a few roundings of f64");
  CHECK_CLOSE(rig_read(&rig, entropy, 1)[0], math_log(4) - 0.75 * ln3, 1e-15, "a few roundings of f64");
  CHECK_CLOSE(rig_read(&rig, stat, 3)[1], 4.0 / 3, 1e-15, "l = 1 + 1/3");
  rig.ops->head_backward(rig.d, w, 1, &rows, h, 32, scratch, stat, c1, NULL, NULL, dh);
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_GRAD)[0], -0.75, 1e-15, "-p");
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_GRAD)[1], 0.75, 1e-15, "1 - p");
  CHECK_CLOSE(rig_read(&rig, dh, 1)[0], -0.75 * ln3, 1e-15, "-p ln 3");
  rig_close(&rig);
}

/* A frozen head gets no gradient, and dhidden is what it was. */
static void test_frozen(void **state)
{
  struct scene s;
  struct error err = {0};
  struct weight *frozen = NULL;
  (void)state;
  CHECK(scene_open(&s, NULL, 2));
  double *want = scene_run(&s, 1, 64, true) + PAIRS + 4 * ROWS;
  CHECK_OK(weight_create(s.rig.d, WEIGHT_MATRIX, V, C, "frozen", &frozen, &err), &err);
  weight_write(frozen, WEIGHT_MASTER, 0, V, s.w, HOST_F64);
  s.rig.ops->zero(s.rig.d, ROWS * C, s.dhidden);
  s.rig.ops->head_backward(s.rig.d, frozen, 1, &pairs, s.h, 64, s.scratch, s.stat, coef, entropy_coef, NULL, s.dhidden);
  CHECK_BITS(rig_read(&s.rig, s.dhidden, ROWS * C), want, ROWS * C * sizeof(double));
  weight_destroy(frozen);
  rig_close(&s.rig);
}

/* The best k with ties to the lower id; log-probabilities are head_score's. */
static void test_top(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    enum { N = 70, COUNT = 3 };
    if (!rig_open(&rig, "cpu", isa_names[isa], 2)) continue;
    double *logit = rig_noise(&rig, 5, N, 4);
    for (size_t v = 0; v < N; v++) logit[v] = (double)(int)logit[v]; /* many ties */
    struct weight *w = rig_weight(&rig, N, 1, logit);
    struct view h = rig_view(&rig, (double[]){1, -1, 0}, COUNT), scratch = rig_zeros(&rig, COUNT * N);
    for (int32_t k = 1; k <= N; k = k < 16 ? 3 * k : k == N ? N + 1 : N) {
      int32_t ids[COUNT * N];
      float logp[COUNT * N];
      rig.ops->head_top(rig.d, w, 1, COUNT, h, scratch, k, ids, logp);
      for (size_t i = 0; i < (size_t)(COUNT * k); i++) {
        double sign = i < (size_t)k ? 1 : i < (size_t)(2 * k) ? -1 : 0, mine = sign * logit[ids[i]];
        size_t before = 0;
        for (size_t v = 0; v < N; v++)
          before += sign * logit[v] > mine || (!(sign * logit[v] < mine) && (int32_t)v < ids[i]);
        CHECK_INT(before, i % (size_t)k);
      }
      int32_t row[COUNT] = {0, 1, 2}, best[COUNT] = {ids[k - 1], ids[2 * k - 1], ids[3 * k - 1]};
      struct head_rows rows = {COUNT, row, COUNT, row, best};
      struct view stat = rig_zeros(&rig, 3 * COUNT), out = rig_zeros(&rig, COUNT), entropy = rig_zeros(&rig, COUNT);
      rig.ops->head_score(rig.d, w, 1, &rows, h, 32, scratch, stat, out, entropy);
      for (size_t i = 0; i < COUNT; i++) CHECK(rig_read(&rig, out, COUNT)[i] == (double)logp[(i + 1) * (size_t)k - 1]);
    }
    rig_close(&rig);
  }
}

/* Logits up to 80 apart, and equal ones: nothing overflows, and the entropy of a flat row is log V. */
static void test_extremes(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[isa], 1)) continue;
    double *w = rig_host(&rig, 100);
    for (size_t v = 0; v < 100; v++) w[v] = v == 40 ? 1 : 0;
    struct weight *weight = rig_weight(&rig, 100, 1, w);
    int32_t row[] = {0, 1, 2}, last[] = {40, 40, 0};
    struct head_rows rows = {3, row, 3, row, last};
    struct view h = rig_view(&rig, (double[]){0, 1e30, 500}, 3), scratch = rig_zeros(&rig, 3 * 128),
                stat = rig_zeros(&rig, 9), logp = rig_zeros(&rig, 3), entropy = rig_zeros(&rig, 3);
    rig.ops->head_score(rig.d, weight, 1, &rows, h, 128, scratch, stat, logp, entropy);
    double *got = rig_read(&rig, logp, 3), *flat = rig_read(&rig, entropy, 3);
    CHECK_CLOSE(got[0], -math_log(100), 1e-6, "log of 100 within an ulp");
    CHECK_CLOSE(flat[0], math_log(100), 1e-6, "log of 100 within an ulp");
    CHECK(got[1] == 0 && flat[1] == 0 && got[2] == -500);
    rig_close(&rig);
  }
}

/* The contract written out once more for one row, in plain f32: stat, logp and entropy to the bit. */
static void test_contract(void **state)
{
  enum { N = 109 };
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[isa], 1)) continue;
    double *logit = rig_noise(&rig, 6, N, 9);
    struct weight *w = rig_weight(&rig, N, 1, logit);
    int32_t zero[] = {0}, last[] = {N - 1};
    struct head_rows rows = {1, zero, 1, zero, last};
    struct view h = rig_view(&rig, (double[]){1}, 1), scratch = rig_zeros(&rig, 128), stat = rig_zeros(&rig, 3),
                logp = rig_zeros(&rig, 1), entropy = rig_zeros(&rig, 1);
    rig.ops->head_score(rig.d, w, 1 / 0.7, &rows, h, 64, scratch, stat, logp, entropy);
    float inv = (float)(1 / 0.7), m = -__builtin_inff(), l = 0, u = 0, z = 0;
    struct compute_mode mode = compute_mode_enter();
    for (size_t b = 0; b < N; b += 32) {
      float next = m, lane[2][16] = {{0}};
      for (size_t v = b; v < N && v < b + 32; v++) next = (float)logit[v] * inv > next ? (float)logit[v] * inv : next;
      for (size_t v = b; v < N && v < b + 32; v++) {
        z = (float)logit[v] * inv;
        lane[0][v % 16] += math_expf(z - next);
        lane[1][v % 16] = math_fmaf(math_expf(z - next), z - next, lane[1][v % 16]);
      }
      for (int i = 0; i < 2; i++)
        for (int step = 8; step; step /= 2)
          for (int j = 0; j < step; j++) lane[i][j] += lane[i][j + step];
      float f = b ? math_expf(m - next) : 0;
      u = b ? math_fmaf(f, math_fmaf(l, m - next, u), lane[1][0]) : lane[1][0];
      l = math_fmaf(l, f, lane[0][0]);
      m = next;
    }
    compute_mode_leave(mode);
    const double want[] = {(double)m, (double)l, (double)u}, want_logp = (double)((z - m) - math_logf(l)),
                 want_entropy = (double)(math_logf(l) - u / l);
    CHECK_BITS(rig_read(&rig, stat, 3), want, sizeof want);
    CHECK_BITS(rig_read(&rig, logp, 1), &want_logp, sizeof want_logp);
    CHECK_BITS(rig_read(&rig, entropy, 1), &want_entropy, sizeof want_entropy);
    rig_close(&rig);
  }
}

/* A maximum that is zero is +0, whichever zeros there were. */
static void test_zero_maximum(void **state)
{
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[isa], 1)) continue;
    double *logit = rig_host(&rig, 40), zeros[2] = {0, 40};
    for (size_t v = 0; v < 40; v++) logit[v] = -0x1.1p-126; /* times 1/2 underflows to -0 */
    int32_t zero[] = {0};
    struct head_rows rows = {1, zero, 1, zero, zero};
    struct view h = rig_view(&rig, (double[]){1}, 1), scratch = rig_zeros(&rig, 64), stat = rig_zeros(&rig, 3),
                logp = rig_zeros(&rig, 1), entropy = rig_zeros(&rig, 1);
    rig.ops->head_score(rig.d, rig_weight(&rig, 40, 1, logit), 0.5, &rows, h, 64, scratch, stat, logp, entropy);
    CHECK_BITS(rig_read(&rig, stat, 2), zeros, sizeof zeros);
    rig_close(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_naive),    cmocka_unit_test(test_chunks_and_threads),
                                     cmocka_unit_test(test_worked),   cmocka_unit_test(test_frozen),
                                     cmocka_unit_test(test_top),      cmocka_unit_test(test_extremes),
                                     cmocka_unit_test(test_contract), cmocka_unit_test(test_zero_maximum)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

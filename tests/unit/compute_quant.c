/* links: model
 * Weights that stay in ggml's blocks: what products, embedding and LM head give is bit for bit what they give for the
 * same numbers in f32, for every type, instruction set, compute type, number of threads and shape; the numbers are the
 * file reader's; rounding to blocks and back is what ggml's reference says. */
#include "compute_fixture.h"

#include "model/gguf.h"

static const enum quant_type types[] = {QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
                                        QUANT_Q8_0, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K};
enum { TYPES = sizeof types / sizeof types[0] };

/* Where the f16 numbers of a block stand. */
static int scale_places(enum quant_type type, int place[2])
{
  place[0] = type == QUANT_Q6_K ? 208 : 0;
  place[1] = 2;
  return type == QUANT_Q4_1 || type == QUANT_Q5_1 || type == QUANT_Q4_K || type == QUANT_Q5_K ? 2 : 1;
}

/* Any bits make a block, but for scales: of either sign, some 0 or subnormal, none near the largest. */
static uint8_t *random_blocks(struct rig *rig, enum quant_type type, uint64_t seed, size_t n, size_t k)
{
  struct error err = {0};
  size_t size = quant_block_bytes(type), count = n * k / quant_block(type);
  uint8_t *blocks = ARENA_NEW(rig->arena, uint8_t, count * size, "blocks", &err);
  CHECK(blocks != NULL);
  for (size_t i = 0; i < count * size; i++) blocks[i] = (uint8_t)(128 + (int)(128 * noise_at(seed, i)));
  for (size_t i = 0; i < count; i++) {
    int place[2];
    for (int j = 0; j < scale_places(type, place); j++) {
      uint16_t d = math_f16_from_f32((float)(0.05 * noise_at(seed + 1 + (uint64_t)j, i)));
      if (i % 7 == 3) d = (uint16_t)(i % 1024); /* subnormal */
      if (i % 11 == 5) d = 0;
      memcpy(blocks + i * size + place[j], &d, sizeof d);
    }
  }
  return blocks;
}

static struct weight *quantised(struct rig *rig, enum quant_type type, size_t n, size_t k, const uint8_t *blocks)
{
  struct error err = {0};
  CHECK(rig->weight_count < RIG_THINGS);
  struct weight **w = &rig->weights[rig->weight_count++];
  CHECK_OK(weight_create_quantised(rig->d, type, n, k, "blocks", w, &err), &err);
  CHECK_INT(weight_quant(*w), type);
  if (blocks) weight_write_blocks(*w, 0, n, blocks);
  return *w;
}

/* ---- the numbers ---------------------------------------------------------------------------------------------------
 */

static void test_numbers(void **state)
{
  (void)state;
  struct rig rig;
  struct error err = {0};
  CHECK(rig_open(&rig, "cpu", "auto", 2));
  for (int i = 0; i < TYPES; i++) {
    enum { N = 19, K = 512 };
    uint8_t *blocks = random_blocks(&rig, types[i], 7 * (uint64_t)i, N, K);
    struct weight *w = quantised(&rig, types[i], N, K, blocks);
    struct gguf_tensor t = {.type = types[i], .rank = 2, .dims = {K, N, 1, 1}, .elements = N * K, .data = blocks};
    float *want = ARENA_NEW(rig.arena, float, N *K, "want", &err),
          *got = ARENA_NEW(rig.arena, float, N *K, "got", &err);
    gguf_read_f32(&t, 0, N * K, want);
    weight_read(w, WEIGHT_MASTER, 0, N, got, HOST_F32);
    CHECK_BITS(got, want, N * K * sizeof *got);
    weight_read(w, WEIGHT_MASTER, 17, 1, got, HOST_F32);
    CHECK_BITS(got, want + 17 * K, K * sizeof *got);
    CHECK_INT(quant_matrix_bytes(types[i], 32, K) >= 32 * K / quant_block(types[i]) * quant_block_bytes(types[i]), 1);
  }
  rig_close(&rig);
}

/* ---- products ------------------------------------------------------------------------------------------------------
 */

struct shape {
  int32_t m;
  size_t n, k;
};
static const struct shape shapes[] = {{1, 5, 256},   {1, 200, 512},  {2, 49, 256},  {40, 17, 256}, {3, 130, 768},
                                      {7, 64, 1280}, {13, 33, 2304}, {40, 96, 256}, {230, 48, 256}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], SHAPES_EMULATED = 4 };

struct results {
  double *y, *dx, *rows, *logp, *entropy, *dhidden;
};

/* Everything that takes a frozen matrix. */
static struct results run_all(struct rig *rig, struct weight *w, const struct shape *s)
{
  size_t m = (size_t)s->m;
  struct results r;
  struct weight *b = rig_weight(rig, s->n, 0, rig_noise(rig, 3, s->n, 1));
  struct view x = rig_view(rig, rig_noise(rig, 1, m * s->k, 1), m * s->k), y = rig_zeros(rig, m * s->n);
  struct view dy = rig_view(rig, rig_noise(rig, 2, m * s->n, 1), m * s->n);
  struct view dx = rig_view(rig, rig_noise(rig, 4, m * s->k, 1), m * s->k);
  rig->ops->gemm(rig->d, w, b, s->m, x, y);
  r.y = rig_read(rig, y, m * s->n);
  rig->ops->gemm_dx(rig->d, w, s->m, dy, dx, true);
  rig->ops->gemm_dx(rig->d, w, s->m, dy, dx, true);
  r.dx = rig_read(rig, dx, m * s->k);

  // the second token is the last of the vocabulary, as the device knows from a draw
  struct error err = {0};
  const int32_t tokens[3] = {0, ~0, (int32_t)(s->n / 2)};
  const struct sample_params last = {.temperature = 1, .top_p = 1, .forced = (int32_t)s->n - 1};
  struct view rows = rig_zeros(rig, 3 * s->k);
  CHECK_OK(device_reserve_draws(rig->d, 1, &err), &err);
  rig->ops->sample_start(rig->d, w, 1, 1, x, rig_zeros(rig, s->n), &last);
  rig->ops->embed(rig->d, w, 3, tokens, rows);
  rig->ops->sample_take(rig->d, NULL);
  r.rows = rig_read(rig, rows, 3 * s->k);

  const int32_t row[1] = {0}, pair_row[1] = {0}, target[1] = {(int32_t)s->n - 1};
  const double coef[1] = {0.75};
  const struct head_rows head = {1, row, 1, pair_row, target};
  struct view scratch = rig_zeros(rig, 32), stat = rig_zeros(rig, 3), logp = rig_zeros(rig, 1),
              entropy = rig_zeros(rig, 1), dhidden = rig_zeros(rig, s->k);
  rig->ops->head_score(rig->d, w, 0.5, &head, x, 32, scratch, stat, logp, entropy);
  rig->ops->head_backward(rig->d, w, 0.5, &head, x, 32, scratch, stat, coef, NULL, NULL, dhidden);
  r.logp = rig_read(rig, logp, 1);
  r.entropy = rig_read(rig, entropy, 1);
  r.dhidden = rig_read(rig, dhidden, s->k);
  return r;
}

/* The same numbers in f32 that nobody trains. */
static struct weight *plain(struct rig *rig, const struct weight *from)
{
  struct error err = {0};
  size_t n = weight_rows(from), k = weight_cols(from);
  struct weight **w = &rig->weights[rig->weight_count++];
  CHECK_OK(weight_create(rig->d, WEIGHT_MATRIX, n, k, "plain", w, &err), &err);
  weight_write(*w, WEIGHT_MASTER, 0, n, rig_part(rig, from, WEIGHT_MASTER), HOST_F64);
  return *w;
}

static void check_same(const struct results *a, const struct results *b, const struct shape *s)
{
  size_t m = (size_t)s->m;
  CHECK_BITS(a->y, b->y, m * s->n * sizeof(double));
  CHECK_BITS(a->dx, b->dx, m * s->k * sizeof(double));
  CHECK_BITS(a->rows, b->rows, 3 * s->k * sizeof(double));
  CHECK_BITS(a->logp, b->logp, sizeof(double));
  CHECK_BITS(a->entropy, b->entropy, sizeof(double));
  CHECK_BITS(a->dhidden, b->dhidden, s->k * sizeof(double));
}

static void check_products(const char *isa, int threads, enum compute_type type)
{
  for (int i = 0; i < TYPES; i++)
    for (size_t j = 0; j < check_cases(SHAPES, SHAPES_EMULATED); j++) {
      const struct shape *s = &shapes[j];
      struct rig rig;
      if (!rig_open_type(&rig, "cpu", isa, threads, type)) return;
      struct weight *w = quantised(&rig, types[i], s->n, s->k, random_blocks(&rig, types[i], 31, s->n, s->k));
      struct results made = run_all(&rig, w, s), want = run_all(&rig, plain(&rig, w), s);
      check_same(&made, &want, s);
      rig_close(&rig);
    }
  print_message("%s, %d threads, %s\n", isa, threads, compute_type_name(type));
}

static void test_products(void **state)
{
  (void)state;
  for (size_t i = 0; i < ISA_COUNT; i++)
    for (int threads = check_emulated() ? 3 : 1; threads <= 3; threads += 2) {
      check_products(isa_names[i], threads, COMPUTE_F32);
      check_products(isa_names[i], threads, COMPUTE_BF16);
    }
}

/* The kernels of cuda/: few rows, many, and more outputs than a slice has there. On the emulated device the bits are
   the processor's; on a GPU those of f32 are, and in bf16 its own for the same numbers out of no blocks. */
static void check_gpu(const char *kind, enum compute_type type, enum quant_type blocks_type, const struct shape *s)
{
  struct rig cpu, gpu;
  CHECK(rig_open_type(&cpu, "cpu", "ref", 1, type));
  CHECK(rig_open_type(&gpu, kind, NULL, 1, type));
  const uint8_t *blocks = random_blocks(&cpu, blocks_type, 31 + s->n, s->n, s->k);
  struct weight *here = quantised(&cpu, blocks_type, s->n, s->k, blocks),
                *there = quantised(&gpu, blocks_type, s->n, s->k, blocks);
  CHECK_BITS(rig_part(&gpu, there, WEIGHT_MASTER), rig_part(&cpu, here, WEIGHT_MASTER), s->n * s->k * sizeof(double));
  struct results made = run_all(&gpu, there, s), own = run_all(&gpu, plain(&gpu, there), s),
                 want = run_all(&cpu, here, s);
  check_same(&made, &own, s);
  if (type == COMPUTE_F32 || strcmp(kind, "cuda")) check_same(&made, &want, s);
  rig_close(&cpu);
  rig_close(&gpu);
}

static bool device_is_here(const char *kind)
{
  struct device *d = NULL;
  struct error err = {0};
  const bool here = !device_open(&(struct device_options){.kind = kind, .threads = 1}, &d, &err);
  if (!here) print_message("%s: not in this build or on this machine, nothing compared\n", kind);
  device_close(d);
  return here;
}

static void test_products_emulated(void **state)
{
  (void)state;
  static const struct shape some[] = {{1, 200, 512}, {5, 49, 256}, {9, 300, 256}, {13, 33, 768}, {70, 140, 256}};
  for (int i = 0; i < TYPES; i++)
    for (size_t j = 0; j < sizeof some / sizeof some[0]; j++) {
      check_gpu("cuda-emulated", COMPUTE_F32, types[i], &some[j]);
      check_gpu("cuda-emulated", COMPUTE_BF16, types[i], &some[j]);
    }
}

static void test_products_gpu(void **state)
{
  (void)state;
  static const struct shape more[] = {{1, 200, 512}, {5, 49, 256}, {13, 33, 2304}, {65, 140, 256}, {40, 5000, 4096}};
  if (!device_is_here("cuda")) return;
  for (int i = 0; i < TYPES; i++)
    for (size_t j = 0; j < sizeof more / sizeof more[0]; j++) {
      check_gpu("cuda", COMPUTE_F32, types[i], &more[j]);
      check_gpu("cuda", COMPUTE_BF16, types[i], &more[j]);
    }
}

/* ---- rounding to blocks
 * ---------------------------------------------------------------------------------------------- */

static void test_rounding(void **state)
{
  (void)state;
  struct rig rig;
  uint8_t q8[34], q4[18];
  float x[32];
  for (int i = 0; i < 32; i++) x[i] = (float)i - 16; /* largest by size: -16 */
  quant_write(QUANT_Q8_0, x, 32, q8);
  CHECK_INT(q8[0] | q8[1] << 8, math_f16_from_f32(16.0f / 127));
  for (int i = 0; i < 32; i++) { /* x * (127 / 16) to the nearest, halves away from 0 */
    double v = (double)x[i] * 127 / 16;
    CHECK_INT((int8_t)q8[2 + i], (int)(v < 0 ? v - 0.5 : v + 0.5));
  }
  quant_write(QUANT_Q4_0, x, 32, q4); /* d = 2: codes floor(x / 2 + 8.5) */
  CHECK_INT(q4[0] | q4[1] << 8, math_f16_from_f32(2));
  CHECK_INT(q4[2], 0 | 8 << 4);
  CHECK_INT(q4[2 + 15], 8 | 15 << 4); /* -1 is 8 exactly between; 15 is 16, held at 15 */

  memset(x, 0, sizeof x);
  quant_write(QUANT_Q4_0, x, 32, q4);
  CHECK_INT(q4[2], 0x88);
  x[3] = 1e-42f; /* d is no f16, and 1 / d no f32: all zeros */
  quant_write(QUANT_Q8_0, x, 32, q8);
  CHECK_INT(q8[5], 0);

  /* A matrix that is written in f32: each block by itself, the rest of a row of 288 too. */
  enum { N = 17, K = 288 };
  CHECK(rig_open(&rig, "cpu", "auto", 1));
  double *values = rig_noise(&rig, 5, N * K, 3);
  for (int i = 0; i < TYPES; i++) {
    if (!quant_can_write(types[i])) continue;
    struct weight *w = quantised(&rig, types[i], N, K, NULL);
    weight_write(w, WEIGHT_MASTER, 0, N, values, HOST_F64);
    double *back = rig_part(&rig, w, WEIGHT_MASTER);
    for (size_t at = 0; at < N * K; at += 32) {
      double most = 0;
      for (size_t j = 0; j < 32; j++) most = check_abs(values[at + j]) > most ? check_abs(values[at + j]) : most;
      for (size_t j = 0; j < 32; j++)
        CHECK_CLOSE(
            back[at + j], values[at + j], most / (types[i] == QUANT_Q8_0 ? 220 : 7.9),
            "half a step of the block's scale (Q4_0: a whole one at the far end), and 2^-11 for the scale as f16");
    }
  }
  struct error err = {0};
  struct weight *w;
  CHECK_ERROR(weight_create_quantised(rig.d, QUANT_Q4_K, 4, 288, "w", &w, &err), &err, ERROR_INPUT,
              "rows of 288; expected a multiple of 256");
  CHECK(w == NULL && !quant_known(0) && !quant_known(4) && !quant_known(1000));
  rig_close(&rig);
}

/* [TEST]: one test alone. */
int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_products),
                                     cmocka_unit_test(test_products_emulated), cmocka_unit_test(test_products_gpu),
                                     cmocka_unit_test(test_rounding)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

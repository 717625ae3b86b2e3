/* The products of compute type bf16 on a GPU, on the emulated one: both instructions' kernels, every choice of tile,
 * give the processor's bits for any shape, on top of what stands there, with biases, beside weights in blocks; what a
 * GPU is asked when it is opened; and that the emulated copy engine, phases and descriptors refuse what Hopper would.
 */
#include "compute_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "compute/cuda/hopper.h"
#include "compute/cuda/queue.h"

/* ---- against the processor ---- */

struct shape {
  int32_t m;
  size_t n, k;
};

/* One row, few, tails in every length, more than one tile and slice of rows each way, terms that end in a stage's
 * middle. */
static const struct shape shapes[] = {{1, 16, 32},   {1, 50, 200},  {7, 33, 65},   {40, 300, 96},  {64, 16, 448},
                                      {65, 272, 31}, {100, 5, 129}, {130, 80, 64}, {200, 47, 600}, {300, 129, 161}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

struct results {
  double *y, *plain, *dx, *over, *dw, *db;
};

static struct results run_products(struct rig *rig, const struct shape *s)
{
  const size_t m = (size_t)s->m;
  struct weight *w = rig_weight(rig, s->n, s->k, rig_noise(rig, 1, s->n * s->k, 1)),
                *b = rig_weight(rig, s->n, 0, rig_noise(rig, 2, s->n, 1));
  struct view x = rig_view(rig, rig_noise(rig, 3, m * s->k, 1), m * s->k),
              dy = rig_view(rig, rig_noise(rig, 4, m * s->n, 1), m * s->n), y = rig_zeros(rig, m * s->n + 1),
              dx = rig_view(rig, rig_noise(rig, 5, m * s->k, 1), m * s->k);
  struct results r;
  weight_write(w, WEIGHT_GRAD, 0, s->n, rig_noise(rig, 6, s->n * s->k, 1), HOST_F64);
  rig->ops->gemm(rig->d, w, b, s->m, x, view_at(y, 1)); /* at an odd place */
  r.y = rig_read(rig, y, m * s->n + 1);
  rig->ops->gemm(rig->d, w, NULL, s->m, x, y);
  r.plain = rig_read(rig, y, m * s->n + 1);
  rig->ops->gemm_dx(rig->d, w, s->m, dy, dx, true);
  r.dx = rig_read(rig, dx, m * s->k);
  rig->ops->gemm_dw(rig->d, w, b, s->m, dy, x);
  rig->ops->gemm_dx(rig->d, w, s->m, dy, dx, false);
  r.over = rig_read(rig, dx, m * s->k);
  r.dw = rig_part(rig, w, WEIGHT_GRAD);
  r.db = rig_part(rig, b, WEIGHT_GRAD);
  return r;
}

static void rig_open_gpu(struct rig *rig, enum products products, int choice)
{
  CHECK(rig_open_type(rig, "cuda-emulated", NULL, 1, COMPUTE_BF16));
  cuda_of(rig->d)->products = products;
  cuda_of(rig->d)->wide_choice = choice;
}

static void check_products(enum products products, int choice, const struct shape *s)
{
  struct rig cpu, gpu;
  CHECK(rig_open_type(&cpu, "cpu", "ref", 1, COMPUTE_BF16));
  rig_open_gpu(&gpu, products, choice);
  const struct results want = run_products(&cpu, s), got = run_products(&gpu, s);
  const size_t m = (size_t)s->m;
  CHECK_BITS(got.y, want.y, (m * s->n + 1) * sizeof(double));
  CHECK_BITS(got.plain, want.plain, (m * s->n + 1) * sizeof(double));
  CHECK_BITS(got.dx, want.dx, m * s->k * sizeof(double));
  CHECK_BITS(got.over, want.over, m * s->k * sizeof(double));
  CHECK_BITS(got.dw, want.dw, s->n * s->k * sizeof(double));
  CHECK_BITS(got.db, want.db, s->n * sizeof(double));
  rig_close(&cpu);
  rig_close(&gpu);
}

static void test_mma(void **state)
{
  (void)state;
  for (int i = 0; i < SHAPES; i++) check_products(PRODUCTS_MMA, 0, &shapes[i]);
}

/* As the device chooses, and each choice for each shape. */
static void test_wgmma(void **state)
{
  (void)state;
  const int choices = CUDA_NAME(wide_choices)(0);
  for (int choice = 0; choice <= choices; choice++)
    for (int i = 0; i < SHAPES; i++) check_products(PRODUCTS_WGMMA, choice, &shapes[i]);
}

/* A base in blocks: slices of outputs, of which dx goes through several. */
static void test_blocks(void **state)
{
  (void)state;
  static const enum quant_type types[] = {QUANT_Q8_0, QUANT_Q4_0};
  enum { N = 300, K = 160 };
  for (int type = 0; type < 2; type++)
    for (int32_t m = 3; m < 300; m += 130) {
      double *y[2], *dx[2];
      struct rig rigs[2];
      CHECK(rig_open_type(&rigs[0], "cpu", "ref", 1, COMPUTE_BF16));
      rig_open_gpu(&rigs[1], PRODUCTS_WGMMA, 0);
      for (int i = 0; i < 2; i++) {
        struct rig *rig = &rigs[i];
        struct error err = {0};
        struct weight **w = &rig->weights[rig->weight_count++];
        CHECK_OK(weight_create_quantised(rig->d, types[type], N, K, "blocks", w, &err), &err);
        weight_write(*w, WEIGHT_MASTER, 0, N, rig_noise(rig, 1, N * K, 1), HOST_F64);
        struct view x = rig_view(rig, rig_noise(rig, 3, (size_t)m * K, 1), (size_t)m * K),
                    dy = rig_view(rig, rig_noise(rig, 4, (size_t)m * N, 1), (size_t)m * N),
                    out = rig_zeros(rig, (size_t)m * N),
                    back = rig_view(rig, rig_noise(rig, 5, (size_t)m * K, 1), (size_t)m * K);
        rig->ops->gemm(rig->d, *w, NULL, m, x, out);
        rig->ops->gemm_dx(rig->d, *w, m, dy, back, true);
        y[i] = rig_read(rig, out, (size_t)m * N);
        dx[i] = rig_read(rig, back, (size_t)m * K);
      }
      CHECK_BITS(y[1], y[0], (size_t)m * N * sizeof(double));
      CHECK_BITS(dx[1], dx[0], (size_t)m * K * sizeof(double));
      rig_close(&rigs[0]);
      rig_close(&rigs[1]);
    }
}

/* What was packed for one product serves the next one, unless a launch or the host has written since. */
static double *run_shared(struct rig *rig)
{
  enum { M = 80, N = 48, K = 96, PASSES = 5 };
  struct weight *w = rig_weight(rig, N, K, rig_noise(rig, 1, N * K, 1)),
                *v = rig_weight(rig, K, N, rig_noise(rig, 2, N * K, 1));
  struct view x = rig_view(rig, rig_noise(rig, 3, M * K, 1), M * K), y[PASSES], dx = rig_zeros(rig, M * K);
  double *all = rig_host(rig, (PASSES * N + K) * M + N * K);
  for (int i = 0; i < PASSES; i++) {
    y[i] = rig_zeros(rig, M * N);
    if (i == 2) rig->ops->scale(rig->d, M * K, 0.75, x);
    if (i == 3) buffer_write(rig->d, x, rig_noise(rig, 7, M * K, 1), HOST_F64, M * K);
    rig->ops->gemm(rig->d, w, NULL, M, x, y[i]);
    if (i < PASSES - 1) rig->ops->gemm(rig->d, w, NULL, M, x, y[i]);
  }
  rig->ops->gemm_dx(rig->d, v, M, x, y[0], true); /* x as the dy of another matrix, then as both operands */
  rig->ops->gemm_dw(rig->d, v, NULL, M, x, y[1]);
  rig->ops->gemm_dw(rig->d, w, NULL, M, y[1], x);
  rig->ops->gemm_dx(rig->d, w, M, y[1], dx, false);
  for (int i = 0; i < PASSES; i++) memcpy(all + i * M * N, rig_read(rig, y[i], M * N), M * N * sizeof *all);
  memcpy(all + PASSES * M * N, rig_read(rig, dx, M * K), M * K * sizeof *all);
  memcpy(all + (PASSES * N + K) * M, rig_part(rig, w, WEIGHT_GRAD), N * K * sizeof *all);
  CHECK((PASSES * N + K) * M + N * K == 31488);
  return all;
}

static void test_shared(void **state)
{
  (void)state;
  struct rig cpu, gpu;
  CHECK(rig_open_type(&cpu, "cpu", "ref", 1, COMPUTE_BF16));
  rig_open_gpu(&gpu, PRODUCTS_WGMMA, 0);
  const double *want = run_shared(&cpu), *got = run_shared(&gpu);
  CHECK_BITS(got, want, 31488 * sizeof *got);
  // two copies of weights, thirteen products, one scale; of fifteen operands x is packed three times and y once
  CHECK_INT(cuda_of(gpu.d)->queue.counts.launches, 2 + 13 + 1 + 4);
  rig_close(&cpu);
  rig_close(&gpu);
}

/* ---- what a GPU is asked ---- */

static void test_check(void **state)
{
  (void)state;
  struct rig rig;
  rig_open_gpu(&rig, PRODUCTS_WGMMA, 0);
  const char *wrong = CUDA_NAME(products_check)(rig.d);
  if (wrong) print_error("%s\n", wrong);
  CHECK(!wrong);
  rig_close(&rig);
}

static void test_environment(void **state)
{
  (void)state;
  struct device *d;
  struct error err = {0};
  const struct device_options options = {.kind = "cuda-emulated", .threads = 1, .type = COMPUTE_BF16};
  CHECK_INT(setenv("ASSAY_CUDA_PRODUCTS", "wgmma", 1), 0);
  CHECK_OK(device_open(&options, &d, &err), &err);
  CHECK_STR(device_isa(d), "emulated, wgmma");
  CHECK_INT(cuda_of(d)->products, PRODUCTS_WGMMA);
  device_close(d);
  CHECK_INT(setenv("ASSAY_CUDA_PRODUCTS", "hmma", 1), 0);
  CHECK_ERROR(device_open(&options, &d, &err), &err, ERROR_INPUT, "found \"hmma\"; expected auto, mma or wgmma");
  CHECK_INT(unsetenv("ASSAY_CUDA_PRODUCTS"), 0);
  error_clear(&err);
  CHECK_OK(device_open(&options, &d, &err), &err);
  CHECK_STR(device_isa(d), "emulated");
  device_close(d);
}

/* ---- what the emulated device refuses ---- */

struct wrong {
  int what;
  const void *from;
};
enum { RIGHT, STAYS_SHORT, NEVER_ARRIVES, MISALIGNED, ODD_BYTES, TOO_FAR, SWIZZLED, NOT_WAITED_FOR };
enum { SHARED_BYTES = 4096, PHASE = 0, DATA = 128 };

/* One copy that a phase counts, and a block of products out of it. */
static void kernel_enter(const void *args)
{
  const struct wrong *a = args;
  unsigned char *room = shared_room();
  uint64_t *phase = (uint64_t *)(void *)(room + PHASE);
  real sum[1][4] = {{0}};
  if (!thread_here()) {
    phase_init(phase, 1);
    phase_expect(phase, a->what == STAYS_SHORT ? 2048 : 1024);
    bulk_copy(room + (a->what == TOO_FAR ? SHARED_BYTES - 512 : DATA),
              (const char *)a->from + (a->what == MISALIGNED ? 8 : 0), a->what == ODD_BYTES ? 1000 : 1024, phase);
  }
  team_wait();
  phase_wait(phase, a->what == NEVER_ARRIVES ? 1 : 0);
  struct wide_pair at = {wide_matrix(shared_at(room + DATA), 128, 256), wide_matrix(shared_at(room + DATA), 128, 256),
                         0, 0};
  if (a->what == SWIZZLED) at.left |= (uint64_t)1 << 62;
  wide_begin();
  wide_block(1, false, false, sum, at, 1, (struct live){8, 1});
  wide_commit();
  if (a->what != NOT_WAITED_FOR) wide_wait();
}

static bool child_aborts(int what, size_t shared)
{
  static _Alignas(16) char from[2048];
  const struct wrong args = {what, from};
  const pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    signal(SIGABRT, SIG_DFL);
    CHECK(freopen("/dev/null", "w", stderr) != NULL);
    emulate_launch(kernel_enter, &args, 1, 1, WARPGROUP, true, shared);
    _exit(0);
  }
  int status = 0;
  CHECK_INT(waitpid(child, &status, 0), child);
  return !WIFEXITED(status) || WEXITSTATUS(status);
}

static void test_refusals(void **state)
{
  (void)state;
  CHECK(!child_aborts(RIGHT, SHARED_BYTES));
  for (int what = STAYS_SHORT; what <= NOT_WAITED_FOR; what++) {
    if (!child_aborts(what, SHARED_BYTES)) print_error("case %d went through\n", what);
    CHECK(child_aborts(what, SHARED_BYTES));
  }
  CHECK(!child_aborts(RIGHT, EMULATED_ROOM_MOST));
  CHECK(child_aborts(RIGHT, EMULATED_ROOM_MOST + 1));
}

/* ---- descriptors, by hand ---- */

/* Operands of 64 and 8 lines, 16 terms, one core at a place of its own each, read both ways. */
static void matrix_enter(const void *args)
{
  (void)args;
  unsigned char *room = shared_room();
  real sum[1][4] = {{0}};
  // left: line l, term t at core (l / 8, t / 8) of 16 bytes a line; right: the same numbers as terms of lines
  for (int i = thread_here(); i < 64 * 16; i += WARPGROUP) {
    const int line = i / 16, term = i % 16;
    const uint16_t half = (uint16_t)bf16_from((float)(line + 1) * (term == line % 16 ? 1.0f : 0.0f));
    memcpy(room + line / 8 * 384 + term / 8 * 144 + line % 8 * 16 + term % 8 * 2, &half, sizeof half);
  }
  for (int i = thread_here(); i < 8 * 16; i += WARPGROUP) {
    const int line = i / 16, term = i % 16;
    const uint16_t half = (uint16_t)bf16_from((float)(100 * line + term));
    memcpy(room + 8192 + term / 8 * 256 + term % 8 * 16 + line * 2, &half, sizeof half);
  }
  team_wait();
  const struct wide_pair at = {wide_matrix(shared_at(room), 144, 384), wide_matrix(shared_at(room + 8192), 256, 0), 0,
                               0};
  wide_begin();
  wide_block(1, false, true, sum, at, 1, (struct live){64, 1});
  wide_commit();
  wide_wait();
  // left is a permutation with factors: output (row, column) = (row + 1) (100 column + row % 16)
  for (int c = 0; c < 4; c++) {
    const int row = thread_here() / WARP * 16 + thread_here() % WARP / 4 + c / 2 * 8,
              column = thread_here() % 4 * 2 + c % 2;
    const float right = word_even(bf16_from((float)(100 * column + row % 16)));
    CHECK((double)sum[0][c] == (double)((float)(row + 1) * right));
  }
}

static void test_matrix(void **state)
{
  (void)state;
  emulate_launch(matrix_enter, NULL, 1, 1, WARPGROUP, true, 16384);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix), cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_check),  cmocka_unit_test(test_environment),
                                     cmocka_unit_test(test_mma),    cmocka_unit_test(test_wgmma),
                                     cmocka_unit_test(test_blocks), cmocka_unit_test(test_shared)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

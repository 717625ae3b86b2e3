/* What stands between operations and a GPU, on the emulated one: lists of launches become graphs and give the bits of
 * the processor, rings turn and grow under what an operation holds, a device that breaks or has too little memory says
 * so once and stays quiet, and another thread reads beside the one that computes. */
#include "compute_fixture.h"

#include <pthread.h>
#include "compute/cuda/queue.h"

static struct queue *queue_of(struct rig *rig)
{
  return &cuda_of(rig->d)->queue;
}

/* ---- lists and graphs ---- */

enum { M = 5, N = 96, K = 64, PASSES = 12, MANY = 12, LESS = 3 };

/* Some launches that depend on one another; turn: which of two places the result goes to. */
static double *pass(struct rig *rig, struct weight *w, struct weight *norm, const struct view x[2], struct view y,
                    struct view r, int turn, int32_t rows)
{
  struct view h = x[turn % 2];
  rig->ops->rmsnorm(rig->d, norm, 1e-5, rows, h, x[2 - 1 - turn % 2], r);
  for (int i = 0; i < 4; i++) {
    rig->ops->gemm(rig->d, w, NULL, rows, h, y);
    rig->ops->scale(rig->d, (size_t)rows * N, 0.5 + turn, y);
    rig->ops->gemm_dx(rig->d, w, rows, y, h, true);
  }
  return rig_read(rig, h, (size_t)rows * K);
}

/* The passes on a device, the last three with fewer rows: their results. */
static void run_passes(struct rig *rig, const char *kind, double *results[PASSES])
{
  CHECK(rig_open(rig, kind, strcmp(kind, "cpu") ? NULL : "ref", 1));
  struct weight *w = rig_weight(rig, N, K, rig_noise(rig, 1, N * K, 0.1)),
                *norm = rig_weight(rig, K, 0, rig_noise(rig, 2, K, 1));
  struct view x[2] = {rig_view(rig, rig_noise(rig, 3, MANY * K, 1), MANY * K),
                      rig_view(rig, rig_noise(rig, 4, MANY * K, 1), MANY * K)};
  struct view y = rig_zeros(rig, MANY * N), r = rig_zeros(rig, MANY);
  for (int i = 0; i < PASSES; i++) results[i] = pass(rig, w, norm, x, y, r, i, i < PASSES - 3 ? MANY : LESS);
}

static void check_passes(const char *kind, struct rig *gpu)
{
  double *want[PASSES], *got[PASSES];
  struct rig cpu;
  run_passes(&cpu, "cpu", want);
  run_passes(gpu, kind, got);
  for (int i = 0; i < PASSES; i++)
    CHECK_BITS(got[i], want[i], (size_t)(i < PASSES - 3 ? MANY : LESS) * K * sizeof(double));
  rig_close(&cpu);
}

static void test_graphs(void **state)
{
  (void)state;
  struct rig rig;
  check_passes("cuda-emulated", &rig);
  const struct queue_counts *counts = &queue_of(&rig)->counts;
  CHECK_INT(counts->graphs, 2);
  CHECK_INT(counts->replays, PASSES - 2); /* the first of each shape runs by itself */
  CHECK(counts->set_anew > 0);
  CHECK_INT(counts->lists - counts->replays, 2);
  rig_close(&rig);
}

/* On a GPU, where there is one: its graphs are CUDA's. */
static void test_graphs_gpu(void **state)
{
  (void)state;
  struct device *d = NULL;
  struct error err = {0};
  if (device_open(&(struct device_options){.kind = "cuda", .threads = 1}, &d, &err)) {
    print_message("cuda: not in this build or on this machine, nothing compared\n");
    return;
  }
  device_close(d);
  struct rig rig;
  check_passes("cuda", &rig);
  rig_close(&rig);
}

/* More shapes than graphs are kept: the oldest give way, and nothing but time is lost. */
static void test_many_shapes(void **state)
{
  (void)state;
  struct rig rigs[2];
  enum { SHAPES = GRAPHS + 5, ROUNDS = 4 };
  double *last[2][SHAPES];
  for (int gpu = 0; gpu < 2; gpu++) {
    struct rig *rig = &rigs[gpu];
    CHECK(rig_open(rig, gpu ? "cuda-emulated" : "cpu", gpu ? NULL : "ref", 1));
    struct view x = rig_view(rig, rig_noise(rig, 3, 1000, 1), 1000),
                y = rig_view(rig, rig_noise(rig, 4, 1000, 1), 1000);
    for (int round = 0; round < ROUNDS; round++)
      for (int s = 0; s < SHAPES; s++) {
        for (int i = 0; i < LIST_LEAST; i++) rig->ops->add(rig->d, (size_t)(256 * (s % 3) + 10 * s + 1), x, y);
        for (int i = 0; i < s; i++) rig->ops->scale(rig->d, 10, 0.75, x);
        last[gpu][s] = rig_read(rig, x, 1000);
      }
  }
  for (int s = 0; s < SHAPES; s++) CHECK_BITS(last[1][s], last[0][s], 1000 * sizeof(double));
  CHECK(queue_of(&rigs[1])->counts.graphs > GRAPHS);
  rig_close(&rigs[0]);
  rig_close(&rigs[1]);
}

/* ---- rings ---- */

static void test_rings(void **state)
{
  (void)state;
  struct rig rig;
  enum { ARRAYS = 300, BYTES = 200000 };
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  static unsigned char from[BYTES];
  const unsigned char *there[ARRAYS];
  // one operation's arrays, twice what the ring holds at first
  CUDA_NAME(cuda_reserve)(rig.d, ARRAYS * upload_slot(BYTES));
  for (int i = 0; i < ARRAYS; i++) {
    memset(from, i, sizeof from);
    there[i] = CUDA_NAME(cuda_upload)(rig.d, from, BYTES - (size_t)i);
    CHECK(there[i] != NULL);
  }
  CUDA_NAME(queue_flush)(rig.d, false);
  CUDA_NAME(bytes_wait)(rig.d);
  for (int i = 0; i < ARRAYS; i++)
    for (size_t j = 0; j < BYTES - (size_t)i; j += 997) CHECK_INT(there[i][j], (unsigned char)i);
  rig_close(&rig);
  // operations that nobody waits for, more than fit: the ring turns by itself
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  struct weight *w = rig_weight(&rig, 7, 1, rig_noise(&rig, 1, 7, 1));
  const double *value = rig_part(&rig, w, WEIGHT_MASTER);
  enum { TOKENS = 60000, TURNS = 500 };
  static int32_t token[TOKENS];
  struct view y[3] = {rig_zeros(&rig, TOKENS), rig_zeros(&rig, TOKENS), rig_zeros(&rig, TOKENS)};
  for (int turn = 0; turn < TURNS; turn++) {
    for (int i = 0; i < TOKENS; i++) token[i] = (turn + i) % 7;
    rig.ops->embed(rig.d, w, turn < TURNS - 3 ? 1000 : TOKENS, token, y[turn % 3]);
  }
  for (int turn = TURNS - 3; turn < TURNS; turn++) {
    const double *got = rig_read(&rig, y[turn % 3], TOKENS);
    for (int i = 0; i < TOKENS; i++) CHECK(got[i] == value[(turn + i) % 7]);
  }
  CHECK(queue_of(&rig)->counts.copies > 2);
  rig_close(&rig);
}

/* While arrays are held one copy serves; afterwards each call makes its own. */
static void test_held(void **state)
{
  (void)state;
  struct rig rig;
  int32_t tokens[3] = {0, 1, 2}, others[3] = {2, 1, 0}, *token = tokens, *other = others;
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  device_hold(rig.d, true);
  const int32_t *one = CUDA_UPLOAD(rig.d, token, 3), *two = CUDA_UPLOAD(rig.d, other, 3);
  CHECK(one && two && one != two);
  CHECK(CUDA_UPLOAD(rig.d, token, 3) == one && CUDA_UPLOAD(rig.d, other, 3) == two);
  CHECK(CUDA_UPLOAD(rig.d, token, 2) != one);
  device_hold(rig.d, false);
  token[0] = 9;
  const int32_t *fresh = CUDA_UPLOAD(rig.d, token, 3);
  CHECK(fresh != one);
  device_hold(rig.d, true);
  const int32_t *again = CUDA_UPLOAD(rig.d, token, 3);
  CHECK(again != one && again != fresh);
  CUDA_NAME(queue_flush)(rig.d, false);
  CUDA_NAME(bytes_wait)(rig.d);
  CHECK_INT(one[0], 0);
  CHECK_INT(again[0], 9);
  device_hold(rig.d, false);
  rig_close(&rig);
}

/* ---- a device that is ill ---- */

static void test_broken(void **state)
{
  (void)state;
  struct rig rig;
  struct error err = {0};
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  struct weight *w = rig_weight(&rig, N, K, rig_noise(&rig, 1, N * K, 0.1));
  struct view x = rig_view(&rig, rig_noise(&rig, 3, M * K, 1), M * K),
              y = rig_view(&rig, rig_noise(&rig, 5, M * N, 1), M * N);
  CHECK_OK(device_sync(rig.d, &err), &err);
  cuda_of(rig.d)->fault_in = 2;
  rig.ops->scale(rig.d, M * K, 2, x);
  CHECK_OK(device_check(rig.d, &err), &err); /* nobody has waited yet */
  rig.ops->gemm(rig.d, w, NULL, M, x, y);
  rig.ops->scale(rig.d, M * N, 2, y);
  CHECK_ERROR(device_sync(rig.d, &err), &err, ERROR_RESOURCE, "the GPU failed in gemm_few: ASSAY_EMULATED_FAULT");
  CHECK(strstr(err.message, "--resume") != NULL);
  // all that comes is quiet, and reads as zeros
  const double *got = rig_read(&rig, y, M * N);
  for (size_t i = 0; i < M * N; i++) CHECK(got[i] == 0);
  rig.ops->gemm(rig.d, w, NULL, M, x, y);
  rig.ops->embed(rig.d, w, 1, (const int32_t[]){0}, x);
  CHECK(rig.ops->find_not_finite(rig.d, w, WEIGHT_MASTER) == -1);
  buffer_write(rig.d, y, got, HOST_F64, M * N);
  CHECK_INT(queue_of(&rig)->count, 0);
  error_clear(&err);
  CHECK_ERROR(device_check(rig.d, &err), &err, ERROR_RESOURCE, "gemm_few");
  rig.d->failed = (struct error){0}; /* so that rig_close does not complain of it too */
  rig_close(&rig);
}

static void test_room(void **state)
{
  (void)state;
  struct rig rig;
  struct error err = {0};
  struct buffer *large = NULL, *small = NULL;
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  CHECK_INT(device_memory_room(rig.d), 0); /* no limit */
  cuda_of(rig.d)->room = cuda_of(rig.d)->room_taken + (1 << 20);
  CHECK_INT(device_memory_room(rig.d), 1 << 20);
  CHECK_ERROR(buffer_create(rig.d, 1 << 18 | 1, "activations", &large, &err), &err, ERROR_RESOURCE,
              "no room for 1.0 MiB of activations (1.0 MiB are free); lower rollout.problems");
  CHECK(large == NULL);
  error_clear(&err);
  CHECK_OK(buffer_create(rig.d, 1 << 18, "activations", &small, &err), &err);
  CHECK_INT(device_memory_room(rig.d), 0);
  buffer_destroy(small);
  CHECK_OK(buffer_create(rig.d, 1 << 18, "activations", &small, &err), &err);
  // an operation whose own room is not there
  CHECK(CUDA_NAME(cuda_room)(rig.d, 1 << 20) == NULL);
  CHECK_ERROR(device_sync(rig.d, &err), &err, ERROR_RESOURCE, "on their way to it; lower compute.micro_batch");
  buffer_destroy(small);
  rig.d->failed = (struct error){0};
  rig_close(&rig);
}

/* ---- a thread that reads beside ---- */

struct reading {
  struct weight *w;
  const double *want;
  int wrong, times;
};

static void *read_on(void *arg)
{
  struct reading *r = arg;
  static float got[N * K];
  for (int i = 0; i < r->times; i++) {
    weight_read(r->w, WEIGHT_MASTER, 0, N, got, HOST_F32);
    for (size_t j = 0; j < N * K; j++) r->wrong += (double)got[j] != r->want[j];
  }
  return NULL;
}

static void test_reading_beside(void **state)
{
  (void)state;
  struct rig rig;
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  struct weight *still = rig_weight(&rig, N, K, rig_noise(&rig, 1, N * K, 0.1));
  struct view x = rig_view(&rig, rig_noise(&rig, 3, M * K, 1), M * K), y = rig_zeros(&rig, M * N);
  struct reading reading = {.w = still, .want = rig_part(&rig, still, WEIGHT_MASTER), .times = 50};
  rig.ops->gemm(rig.d, still, NULL, M, x, y);
  const double *want = rig_read(&rig, y, M * N);
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, read_on, &reading), 0);
  int32_t row[M] = {0, 1, 2, 3, 4};
  for (int i = 0; i < 200; i++) {
    rig.ops->gather(rig.d, M, row, K, x, y);
    rig.ops->gemm(rig.d, still, NULL, M, x, y);
    if (i % 50 == 0) CHECK_BITS(rig_read(&rig, y, M * N), want, M * N * sizeof(double));
  }
  CHECK_INT(pthread_join(thread, NULL), 0);
  CHECK_INT(reading.wrong, 0);
  rig_close(&rig);
}

/* [TEST]: one test alone. */
int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs),      cmocka_unit_test(test_graphs_gpu),
                                     cmocka_unit_test(test_many_shapes), cmocka_unit_test(test_rings),
                                     cmocka_unit_test(test_held),        cmocka_unit_test(test_broken),
                                     cmocka_unit_test(test_room),        cmocka_unit_test(test_reading_beside)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

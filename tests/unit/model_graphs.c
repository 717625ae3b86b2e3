/* links: model
 * Decoding on a GPU, as the emulated one shows it: a pass with as many rows as the one before is one copy to the
 * device, one graph and one wait, from the embedding to the draw; it may be started before the tokens of the one before
 * have come, and its own are not there before somebody waits; tokens and their log-probabilities are the processor's.
 */
#include "decoder_rig.h"

#include "compute/cuda/queue.h"

enum { ROWS = 3, BLOCK = 4, PASSES = 14, TABLE = (PASSES + BLOCK - 1) / BLOCK };

static const struct model_config CONFIG = {.architecture = "LlamaForCausalLM",
                                           .model_type = "llama",
                                           .vocab = 300,
                                           .hidden = 32,
                                           .layers = 3,
                                           .heads = 4,
                                           .kv_heads = 2,
                                           .head_dim = 8,
                                           .ffn = 48,
                                           .max_positions = 64,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .tied = true,
                                           .bos = -1,
                                           .eos = 1,
                                           .pad = -1};

/* All rows one token on, from `token`, or from what was drawn last where drawn. */
static void start(struct decoder *d, struct kv *kv, int32_t position, const int32_t token[ROWS], bool drawn)
{
  struct error err = {0};
  struct rows_run runs[ROWS];
  struct sample_params params[ROWS];
  int32_t positions[ROWS], blocks[ROWS * TABLE], row[ROWS], last[ROWS] = {~0, ~1, ~2};
  for (int32_t i = 0; i < ROWS; i++) {
    runs[i] = (struct rows_run){.row = i, .count = 1, .position = position, .table = i * TABLE};
    for (int32_t b = 0; b < TABLE; b++) blocks[i * TABLE + b] = i * TABLE + b;
    positions[i] = position;
    row[i] = i;
    params[i] = (struct sample_params){
        .temperature = 1, .top_p = 0.95f, .forced = -1, .uniform = (double)((position * 7 + i * 3) % 10) / 10};
  }
  const struct rows rows = {.count = ROWS,
                            .token = drawn ? last : token,
                            .drawn = drawn ? ROWS : 0,
                            .position = positions,
                            .run_count = ROWS,
                            .runs = runs,
                            .blocks = blocks};
  const struct head_rows head = {.count = ROWS, .row = row};
  CHECK_OK(decoder_forward(d, &rows, kv, &head, false, &err), &err);
  CHECK_OK(decoder_draw(d, 1, &head, params, &err), &err);
}

static void take(struct decoder *d, struct sample_result out[ROWS], int32_t token[ROWS])
{
  struct error err = {0};
  CHECK_OK(decoder_take(d, out, &err), &err);
  for (int i = 0; i < ROWS; i++) token[i] = out[i].id;
}

static struct decoder *open_decoder(const char *kind, struct decoder_rig *r, struct kv **kv)
{
  struct error err = {0};
  struct decoder *d;
  CHECK(rig_open(r, kind, NULL, 1, &CONFIG));
  const struct decoder_options o = {.max_rows = ROWS, .max_head_rows = ROWS, .max_pairs = ROWS, .sample = true};
  CHECK_OK(decoder_create(r->arena, r->model, &o, &d, &err), &err);
  const struct kv_shape shape = {CONFIG.layers, CONFIG.kv_heads, CONFIG.head_dim, BLOCK, ROWS * TABLE};
  CHECK_OK(kv_create(r->device, &shape, kv, &err), &err);
  return d;
}

static void decode(const char *kind, struct decoder_rig *r, struct kv **kv, struct sample_result out[PASSES][ROWS],
                   struct queue_counts counts[PASSES])
{
  struct decoder *d = open_decoder(kind, r, kv);
  int32_t token[ROWS] = {5, 6, 7};
  for (int32_t i = 0; i < PASSES; i++) {
    start(d, *kv, i, token, false);
    take(d, out[i], token);
    if (counts) counts[i] = cuda_of(r->device)->queue.counts;
  }
}

static void test_decoding_is_a_replay(void **state)
{
  (void)state;
  struct decoder_rig cpu, gpu;
  struct kv *cpu_kv, *gpu_kv;
  struct sample_result want[PASSES][ROWS], got[PASSES][ROWS];
  struct queue_counts counts[PASSES];
  decode("cpu", &cpu, &cpu_kv, want, NULL);
  decode("cuda-emulated", &gpu, &gpu_kv, got, counts);
  CHECK_BITS(got, want, sizeof want);
  CHECK_INT(counts[PASSES - 1].graphs, 1);
  for (int i = 2; i < PASSES; i++) {
    CHECK_INT(counts[i].replays - counts[i - 1].replays, 1);
    CHECK_INT(counts[i].lists - counts[i - 1].lists, 1);
    CHECK_INT(counts[i].copies - counts[i - 1].copies, 1);
    CHECK_INT(counts[i].waits - counts[i - 1].waits, 1);
    CHECK_INT(counts[i].set_anew, counts[1].set_anew); /* nothing but the copied arrays differs */
  }
  kv_destroy(cpu_kv);
  kv_destroy(gpu_kv);
  rig_close(&cpu);
  rig_close(&gpu);
}

/* Pass i is started, then pass i - 1 is taken. */
static void decode_ahead(const char *kind, struct decoder_rig *r, struct kv **kv,
                         struct sample_result out[PASSES][ROWS], struct queue_counts counts[PASSES])
{
  struct decoder *d = open_decoder(kind, r, kv);
  int32_t token[ROWS] = {5, 6, 7};
  start(d, *kv, 0, token, false);
  for (int32_t i = 1; i <= PASSES; i++) {
    struct cuda_device *gpu = counts ? cuda_of(r->device) : NULL;
    const uint64_t done = gpu ? gpu->done : 0;
    if (i < PASSES) start(d, *kv, i, token, true);
    CHECK(!gpu || (gpu->done == done && gpu->begun > done)); /* the pass before has not been waited for */
    CHECK_INT(device_draws(r->device), i < PASSES ? 2 : 1);
    take(d, out[i - 1], token);
    CHECK(!gpu || i == PASSES || gpu->begun > gpu->done); /* nor has this one now */
    if (gpu) counts[i - 1] = gpu->queue.counts;
  }
  CHECK_INT(device_draws(r->device), 0);
}

static void test_decoding_ahead(void **state)
{
  (void)state;
  struct decoder_rig cpu, ahead, gpu;
  struct kv *cpu_kv, *ahead_kv, *gpu_kv;
  struct sample_result want[PASSES][ROWS], got[PASSES][ROWS];
  struct queue_counts counts[PASSES];
  decode("cpu", &cpu, &cpu_kv, want, NULL);
  decode_ahead("cpu", &ahead, &ahead_kv, got, NULL);
  CHECK_BITS(got, want, sizeof want);
  decode_ahead("cuda-emulated", &gpu, &gpu_kv, got, counts);
  CHECK_BITS(got, want, sizeof want);
  CHECK_INT(counts[PASSES - 1].graphs, 1);
  for (int i = 2; i < PASSES - 1; i++) {
    CHECK_INT(counts[i].replays - counts[i - 1].replays, 1);
    CHECK_INT(counts[i].lists - counts[i - 1].lists, 1);
    CHECK_INT(counts[i].copies - counts[i - 1].copies, 1);
    CHECK_INT(counts[i].waits - counts[i - 1].waits, 1);
    CHECK_INT(counts[i].set_anew, counts[1].set_anew);
  }
  kv_destroy(cpu_kv);
  kv_destroy(ahead_kv);
  kv_destroy(gpu_kv);
  rig_close(&cpu);
  rig_close(&ahead);
  rig_close(&gpu);
}

/* On a GPU, where there is one. */
static void test_decoding_ahead_gpu(void **state)
{
  (void)state;
  struct device *d = NULL;
  struct error err = {0};
  struct decoder_rig cpu, gpu;
  struct kv *cpu_kv, *gpu_kv;
  struct sample_result want[PASSES][ROWS], got[PASSES][ROWS];
  if (device_open(&(struct device_options){.kind = "cuda", .threads = 1}, &d, &err)) {
    print_message("cuda: not in this build or on this machine, nothing compared\n");
    return;
  }
  device_close(d);
  decode("cpu", &cpu, &cpu_kv, want, NULL);
  decode_ahead("cuda", &gpu, &gpu_kv, got, NULL);
  CHECK_BITS(got, want, sizeof want);
  kv_destroy(cpu_kv);
  kv_destroy(gpu_kv);
  rig_close(&cpu);
  rig_close(&gpu);
}

/* A device that breaks while two passes are on their way says so when the first is taken, and both can be dropped. */
static void test_a_fault_on_the_way(void **state)
{
  (void)state;
  struct decoder_rig gpu;
  struct kv *kv;
  struct error err = {0};
  struct sample_result out[ROWS];
  int32_t token[ROWS] = {5, 6, 7};
  struct decoder *d = open_decoder("cuda-emulated", &gpu, &kv);
  start(d, kv, 0, token, false);
  cuda_of(gpu.device)->fault_in = 9;
  start(d, kv, 1, token, true);
  CHECK_ERROR(decoder_take(d, out, &err), &err, ERROR_RESOURCE, "ASSAY_EMULATED_FAULT");
  for (int i = 0; i < ROWS; i++) CHECK_INT(out[i].id, 0);
  CHECK_INT(device_draws(gpu.device), 1);
  decoder_drop(d);
  CHECK_INT(device_draws(gpu.device), 0);
  gpu.device->failed = (struct error){0}; /* so that rig_close does not complain of it too */
  kv_destroy(kv);
  rig_close(&gpu);
}

/* [TEST]: one test alone. */
int main(int argc, char **argv)
{
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoding_is_a_replay), cmocka_unit_test(test_decoding_ahead),
                                     cmocka_unit_test(test_decoding_ahead_gpu),
                                     cmocka_unit_test(test_a_fault_on_the_way)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

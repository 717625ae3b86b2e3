/* links: model
 * Decoding on a GPU, as the emulated one shows it: a pass with as many rows as the one before is one copy to the
 * device, one graph and one wait, from the embedding to the draw; tokens and their log-probabilities are the
 * processor's. */
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

/* All rows one token on; `token` becomes what was drawn. */
static void pass(struct decoder *d, struct kv *kv, int32_t position, int32_t token[ROWS], struct sample_result *out)
{
  struct error err = {0};
  struct rows_run runs[ROWS];
  struct sample_params params[ROWS];
  int32_t positions[ROWS], blocks[ROWS * TABLE], row[ROWS];
  for (int32_t i = 0; i < ROWS; i++) {
    runs[i] = (struct rows_run){.row = i, .count = 1, .position = position, .table = i * TABLE};
    for (int32_t b = 0; b < TABLE; b++) blocks[i * TABLE + b] = i * TABLE + b;
    positions[i] = position;
    row[i] = i;
    params[i] = (struct sample_params){
        .temperature = 1, .top_p = 0.95f, .forced = -1, .uniform = (double)((position * 7 + i * 3) % 10) / 10};
  }
  const struct rows rows = {
      .count = ROWS, .token = token, .position = positions, .run_count = ROWS, .runs = runs, .blocks = blocks};
  const struct head_rows head = {.count = ROWS, .row = row};
  CHECK_OK(decoder_forward(d, &rows, kv, &head, false, &err), &err);
  CHECK_OK(decoder_sample(d, 1, &head, params, out, &err), &err);
  for (int i = 0; i < ROWS; i++) token[i] = out[i].id;
}

static void decode(const char *kind, struct decoder_rig *r, struct kv **kv, struct sample_result out[PASSES][ROWS],
                   struct queue_counts counts[PASSES])
{
  struct error err = {0};
  struct decoder *d;
  int32_t token[ROWS] = {5, 6, 7};
  CHECK(rig_open(r, kind, NULL, 1, &CONFIG));
  const struct decoder_options o = {.max_rows = ROWS, .max_head_rows = ROWS, .max_pairs = ROWS, .sample = true};
  CHECK_OK(decoder_create(r->arena, r->model, &o, &d, &err), &err);
  const struct kv_shape shape = {CONFIG.layers, CONFIG.kv_heads, CONFIG.head_dim, BLOCK, ROWS * TABLE};
  CHECK_OK(kv_create(r->device, &shape, kv, &err), &err);
  for (int32_t i = 0; i < PASSES; i++) {
    pass(d, *kv, i, token, out[i]);
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
    CHECK_INT(counts[i].set_anew, counts[1].set_anew); /* nothing but the copied arrays differs */
  }
  kv_destroy(cpu_kv);
  kv_destroy(gpu_kv);
  rig_close(&cpu);
  rig_close(&gpu);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoding_is_a_replay)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

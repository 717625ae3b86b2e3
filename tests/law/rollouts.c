/* links: train. Laws 1 to 3 on whole rollouts: slots, threads, KV blocks, instruction sets, micro-batches,
   recomputation, chunks of the LM head and passes that are started ahead move no bit, the training forward gives the
   sampler's log-probabilities, and what is computed is the distinct tokens that have a successor. */
#include "check.h"

#include "core/rng.h"
#include "model/model.h"
#include "rollout/generate.h"
#include "train/trainer.h"

static enum compute_type type; /* of all devices */
static bool lora;              /* an adapter beside the weights */

enum { GROUPS = 3, GROUP = 5, MAX_NEW = 40, MAX_PATH = 128, VOCAB = 70 };

static const struct model_config CONFIG = {.architecture = "Qwen2ForCausalLM",
                                           .model_type = "qwen2",
                                           .vocab = VOCAB,
                                           .hidden = 48,
                                           .layers = 3,
                                           .heads = 6,
                                           .kv_heads = 2,
                                           .head_dim = 8,
                                           .ffn = 80,
                                           .max_positions = MAX_PATH,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .qkv_bias = true,
                                           .tied = true,
                                           .bos = -1,
                                           .eos = 1,
                                           .pad = -1};

struct setting {
  const char *isa;
  int threads, slots, prefill_rows, kv_block, kv_blocks, micro_rows, vocab_chunk;
  bool recompute;
  enum generate_ahead ahead;
};

struct world {
  struct arena *arena;
  struct device *device;
  struct model *model;
  struct tree *tree;
  struct generate_job jobs[GROUPS];
  int32_t leaves[GROUPS * GROUP];
  enum finish finishes[GROUPS * GROUP];
  struct generate_counts counts;
  struct error err;
};

/* Both halves away from zero: a new adapter counts nothing. */
static void draw_adapter(struct world *w)
{
  for (size_t i = 0; i < w->model->trained_count; i++) {
    struct weight *x = w->model->trained[i];
    float row[96];
    CHECK(weight_cols(x) <= 96);
    for (size_t r = 0; r < weight_rows(x); r++) {
      for (size_t k = 0; k < weight_cols(x); k++) {
        const struct rng_at at = {
            .purpose = RNG_TEST, .group = (uint32_t)i, .rollout = (uint32_t)r, .position = (uint32_t)k};
        row[k] = (float)(0.2 * rng_normal(3, &at));
      }
      weight_write(x, WEIGHT_MASTER, r, 1, row, HOST_F32);
    }
  }
}

static bool open_world(struct world *w, const struct setting *s)
{
  memset(w, 0, sizeof *w);
  w->arena = arena_create("law", 0, &w->err);
  struct device_options o = {.kind = "cpu", .isa = s->isa, .threads = s->threads, .type = type};
  int rc = device_open(&o, &w->device, &w->err);
  if (rc == ERROR_RESOURCE) {
    printf("skipped: this machine lacks %s\n", s->isa);
    arena_destroy(w->arena);
    return false;
  }
  CHECK_OK(rc, &w->err);
  struct model_config c = CONFIG;
  if (lora) c.adapter = (struct adapter_config){.rank = 5, .alpha = 3, .targets = 127};
  CHECK_OK(model_create(w->arena, w->device, &c, MAX_PATH, &w->model, &w->err), &w->err);
  CHECK_OK(model_randomise(w->model, 7, &w->err), &w->err);
  if (lora) draw_adapter(w);
  // larger weights make sharper distributions: differences show
  for (size_t i = 0; i < w->model->weight_count; i++) {
    struct weight *x = w->model->weights[i];
    if (weight_cols(x) == 1) continue;
    float *row = memory_alloc(weight_cols(x), sizeof *row, "test", &w->err);
    for (size_t r = 0; r < weight_rows(x); r++) {
      weight_read(x, WEIGHT_MASTER, r, 1, row, HOST_F32);
      for (size_t k = 0; k < weight_cols(x); k++) row[k] *= 8;
      weight_write(x, WEIGHT_MASTER, r, 1, row, HOST_F32);
    }
    memory_free(row);
  }
  CHECK_OK(model_make_trainable(w->model, &w->err), &w->err);
  return true;
}

static void close_world(struct world *w)
{
  arena_destroy(w->arena);
  device_close(w->device);
}

static void generate(struct world *w, const struct setting *s)
{
  static const int end_ids[] = {1};
  struct generate_options o = {.slots = s->slots,
                               .prefill_rows = s->prefill_rows,
                               .max_group = GROUP,
                               .max_path = MAX_PATH,
                               .kv_block = s->kv_block,
                               .kv_blocks = s->kv_blocks,
                               .ahead = s->ahead};
  struct generator *g;
  CHECK_OK(generator_create(w->arena, w->model, NULL, end_ids, 1, &o, &g, &w->err), &w->err);
  CHECK_OK(tree_create(w->arena, &w->tree, &w->err), &w->err);
  for (int32_t j = 0; j < GROUPS; j++) {
    int32_t segment, length = 3 + 17 * j;
    CHECK_OK(tree_add_segment(w->tree, -1, SEGMENT_PROMPT, length, &segment, &w->err), &w->err);
    for (int32_t i = 0; i < length; i++) {
      int32_t id = (i * 31 + j * 7) % VOCAB;
      CHECK_OK(tree_append_ids(w->tree, segment, &id, 1, 0, &w->err), &w->err);
    }
    w->jobs[j] = (struct generate_job){.segment = segment,
                                       .count = GROUP,
                                       .seed = 11,
                                       .at = {.purpose = RNG_TRAIN, .step = 3, .group = (uint32_t)j},
                                       .sampling = {.temperature = 0.9, .top_p = 1},
                                       .max_new_tokens = MAX_NEW - 9 * j,
                                       .leaf = w->leaves + j * GROUP,
                                       .finish = w->finishes + j * GROUP};
  }
  CHECK_OK(generator_run(g, w->tree, w->jobs, GROUPS, 0.9, 0, NULL, &w->counts, &w->err), &w->err);
}

/* Records of all leaves, one behind the other. */
static int32_t collect(const struct world *w, struct token_record *out)
{
  int32_t n = 0;
  for (int32_t i = 0; i < GROUPS * GROUP; i++) {
    const struct segment *s = &w->tree->segments[w->leaves[i]];
    memcpy(out + n, s->tokens, (size_t)s->count * sizeof *out);
    n += s->count;
  }
  return n;
}

/* Gradients of all weights after a backward pass with coefficients that differ from token to token; checks logp against
 * the records. */
static void train(struct world *w, const struct setting *s, int row_block, float *gradients, size_t room,
                  struct trainer_counts *counts)
{
  struct trainer_options o = {.micro_rows = s->micro_rows,
                              .row_block = row_block,
                              .max_path = MAX_PATH,
                              .max_leaves = GROUPS * GROUP,
                              .max_prompt = 40,
                              .max_new = MAX_NEW,
                              .kv_block = s->kv_block,
                              .vocab_chunk = s->vocab_chunk,
                              .recompute = s->recompute,
                              .train = true};
  struct batch_path paths[GROUPS * GROUP] = {0};
  struct trainer *t;
  struct batch *b;
  for (int32_t i = 0; i < GROUPS * GROUP; i++) paths[i].leaf = w->leaves[i];
  CHECK_OK(trainer_create(w->arena, w->model, &o, &t, &w->err), &w->err);
  CHECK_OK(trainer_batch(t, w->arena, w->tree, paths, GROUPS * GROUP, &b, &w->err), &w->err);
  double *coef = memory_alloc((size_t)b->target_count, 8, "test", &w->err),
         *logp = memory_alloc((size_t)b->target_count, 8, "test", &w->err);
  double *again = memory_alloc((size_t)b->target_count, 8, "test", &w->err),
         *entropy = memory_alloc((size_t)b->target_count, 8, "test", &w->err);
  for (int32_t i = 0; i < b->target_count; i++) coef[i] = b->wanted[i] ? (i % 7 - 3) / 64.0 : 0;
  CHECK_OK(trainer_score(t, w->arena, b, 0.9, again, entropy, &w->err), &w->err);
  t->counts = (struct trainer_counts){0};
  CHECK_OK(trainer_backward(t, w->arena, b, 0.9, coef, NULL, logp, NULL, &w->err), &w->err);
  *counts = t->counts;
  int64_t compared = 0;
  for (int32_t i = 0; i < GROUPS * GROUP; i++) {
    const struct segment *leaf = &w->tree->segments[w->leaves[i]];
    for (int32_t k = 0; k < leaf->count; k++, compared++) {
      int32_t target = batch_target(b, w->leaves[i], k);
      float trained = (float)logp[target], scored = (float)again[target], spread = (float)entropy[target];
      CHECK_BITS(&trained, &leaf->tokens[k].logp, 4);
      CHECK_BITS(&scored, &leaf->tokens[k].logp, 4);
      CHECK_BITS(&spread, &leaf->tokens[k].entropy, 4);
    }
  }
  CHECK(compared > 100);
  size_t n = 0;
  for (size_t i = 0; i < w->model->trained_count; i++) {
    struct weight *x = w->model->trained[i];
    CHECK(n + weight_rows(x) * weight_cols(x) <= room);
    weight_read(x, WEIGHT_GRAD, 0, weight_rows(x), gradients + n, HOST_F32);
    n += weight_rows(x) * weight_cols(x);
  }
  memory_free(coef);
  memory_free(logp);
  memory_free(again);
  memory_free(entropy);
}

enum { ROOM = 200000, RECORDS = GROUPS * GROUP * MAX_NEW };
static float first_gradients[ROOM], gradients[ROOM];
static struct token_record first_records[RECORDS], records[RECORDS];

static void test_no_knob_moves_a_bit(void **state)
{
  (void)state;
  static const struct setting settings[] = {
      {"ref", 1, 1, 512, 32, 0, 512, 96, false, AHEAD_NEVER},
      {"ref", 2, 16, 512, 32, 0, 512, 32, true, AHEAD_ALWAYS},
      {NULL, 1, 2, 1, 32, 0, 512, 96, false, AHEAD_NEVER},
      {NULL, 2, 3, 5, 2, 0, 512, 96, false, AHEAD_ALWAYS},
      {NULL, 3, 7, 64, 16, 0, 2048, 64, true, AHEAD_NEVER},
      {NULL, 5, 8, 20, 64, 0, 1024, 32, false, AHEAD_NEVER},
      {NULL, 2, 64, 512, 32, 0, 4096, 96, true, AHEAD_NEVER},
      {"avx2", 2, 17, 512, 32, 0, 512, 96, false, AHEAD_ALWAYS},
      {"avx512", 2, 15, 512, 8, 0, 512, 96, false, AHEAD_NEVER},
      {NULL, 2, 15, 512, 32, 9, 512, 96, false, AHEAD_ALWAYS} /* KV for hardly more than one rollout at a time */};
  int32_t first_count = 0, runs = 0;
  struct trainer_counts first_counts = {0};
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    struct world w;
    struct trainer_counts counts;
    if (!open_world(&w, &settings[i])) continue;
    generate(&w, &settings[i]);
    int32_t n = collect(&w, records);
    train(&w, &settings[i], 0, gradients, ROOM, &counts);
    if (!runs++) {
      first_count = n;
      first_counts = counts;
      memcpy(first_records, records, sizeof records);
      memcpy(first_gradients, gradients, sizeof gradients);
      float largest = 0;
      for (size_t k = 0; k < ROOM; k++) largest = gradients[k] > largest ? gradients[k] : largest;
      CHECK(largest > 1e-4f);
    }
    CHECK_INT(n, first_count);
    if (runs > 1) {
      CHECK_BITS(records, first_records, (size_t)n * sizeof *records);
      CHECK_BITS_F32(gradients, first_gradients, ROOM);
    }
    // distinct tokens with a successor: prompts whole, answers without their last token
    uint64_t rows = 0;
    for (int32_t j = 0; j < GROUPS; j++) rows += (uint64_t)w.tree->segments[w.jobs[j].segment].count;
    CHECK_INT(w.counts.prompt_rows, rows);  // a prompt is computed once per group
    for (int32_t k = 0; k < GROUPS * GROUP; k++) rows += (uint64_t)w.tree->segments[w.leaves[k]].count - 1;
    CHECK_INT(counts.rows_forward, rows);
    CHECK_INT(counts.rows_backward, rows);
    CHECK_INT(counts.rows_padding, first_counts.rows_padding);
    CHECK_INT((rows + counts.rows_padding) % (type == COMPUTE_BF16 ? 32 : 1), 0);
    CHECK((counts.rows_padding > 0) == (type == COMPUTE_BF16));
    CHECK((w.counts.passes_ahead > 0) == (settings[i].ahead == AHEAD_ALWAYS));
    close_world(&w);
  }
  CHECK(runs >= 6);
}

/* Rows that fill up a unit to whole row blocks, as bf16 needs, add zeros: in f32, where they change no order, no bit of
 * a gradient moves, wherever micro-batches are cut. */
static void test_padding_adds_nothing(void **state)
{
  (void)state;
  static const struct setting settings[] = {{NULL, 2, 15, 512, 32, 0, 512, 96, false, AHEAD_NEVER},
                                            {NULL, 1, 15, 512, 4, 0, 512, 32, true, AHEAD_NEVER},
                                            {"ref", 2, 15, 512, 32, 0, 2048, 96, false, AHEAD_NEVER}};
  struct trainer_counts plain, padded;
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    struct world w, again;
    CHECK(open_world(&w, &settings[i]));
    generate(&w, &settings[i]);
    train(&w, &settings[i], 1, first_gradients, ROOM, &plain);
    CHECK(open_world(&again, &settings[i]));
    generate(&again, &settings[i]);
    train(&again, &settings[i], 32, gradients, ROOM, &padded);
    CHECK_BITS_F32(gradients, first_gradients, ROOM);
    CHECK_INT(plain.rows_padding, 0);
    CHECK(padded.rows_padding > 0 && padded.rows_padding < 64);
    CHECK_INT((padded.rows_backward + padded.rows_padding) % 32, 0);
    CHECK_INT(padded.rows_backward, plain.rows_backward);
    CHECK_INT(padded.rows_forward, plain.rows_forward);
    close_world(&again);
    close_world(&w);
  }
}

/* A flipped bit of one weight between sampling and scoring shows. */
static void test_flipped_bit_is_seen(void **state)
{
  (void)state;
  struct world w;
  const struct setting s = {NULL, 2, 15, 512, 32, 0, 512, 96, false, AHEAD_NEVER};
  struct trainer_options o = {.micro_rows = 512,
                              .max_path = MAX_PATH,
                              .max_leaves = GROUPS * GROUP,
                              .max_prompt = 40,
                              .max_new = MAX_NEW,
                              .kv_block = 32};
  struct batch_path paths[GROUPS * GROUP] = {0};
  struct trainer *t;
  struct batch *b;
  CHECK(open_world(&w, &s));
  generate(&w, &s);
  for (int32_t i = 0; i < GROUPS * GROUP; i++) paths[i].leaf = w.leaves[i];
  CHECK_OK(trainer_create(w.arena, w.model, &o, &t, &w.err), &w.err);
  CHECK_OK(trainer_batch(t, w.arena, w.tree, paths, GROUPS * GROUP, &b, &w.err), &w.err);
  struct weight *x = model_find(w.model, "model.layers.1.mlp.gate_proj.weight");
  float row[48];
  weight_read(x, WEIGHT_MASTER, 5, 1, row, HOST_F32);
  uint32_t bits;
  memcpy(&bits, &row[9], sizeof bits);
  bits ^= 1u << 20;
  memcpy(&row[9], &bits, sizeof bits);
  weight_write(x, WEIGHT_MASTER, 5, 1, row, HOST_F32);
  double *logp = memory_alloc((size_t)b->target_count, 8, "test", &w.err);
  CHECK_OK(trainer_score(t, w.arena, b, 0.9, logp, NULL, &w.err), &w.err);
  int64_t differ = 0;
  for (int32_t i = 0; i < GROUPS * GROUP; i++)
    for (int32_t k = 0; k < w.tree->segments[w.leaves[i]].count; k++) {
      float now = (float)logp[batch_target(b, w.leaves[i], k)];
      differ += memcmp(&now, &w.tree->segments[w.leaves[i]].tokens[k].logp, 4) != 0;
    }
  CHECK(differ > 0);
  memory_free(logp);
  close_world(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_knob_moves_a_bit),
                                     cmocka_unit_test(test_flipped_bit_is_seen)};
  const struct CMUnitTest f32[] = {cmocka_unit_test(test_padding_adds_nothing)};
  int failed = 0;
  for (int adapters = 0; adapters < 2; adapters++) {
    lora = adapters;
    type = COMPUTE_F32;
    failed += cmocka_run_group_tests(f32, NULL, NULL);
    for (type = COMPUTE_F32; type <= COMPUTE_BF16; type++)
      failed += cmocka_run_group_tests_name(compute_type_name(type), tests, NULL, NULL);
  }
  return failed;
}

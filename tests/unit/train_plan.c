/* The memory plan: knobs that are left open are turned until the run fits, knobs that are given stay, and what cannot
   fit is refused with the knob to turn. */
#include "check.h"

#include "model/adapter.h"
#include "train/plan.h"
#include "train/value.h"

static const struct model_config CONFIG = {.architecture = "LlamaForCausalLM",
                                           .model_type = "llama",
                                           .vocab = 32000,
                                           .hidden = 256,
                                           .layers = 6,
                                           .heads = 8,
                                           .kv_heads = 4,
                                           .head_dim = 32,
                                           .ffn = 768,
                                           .max_positions = 2048,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .tied = true,
                                           .bos = -1,
                                           .eos = 1,
                                           .pad = -1};
static const char RECIPE[] =
    "model: none\ndata: [{task: addition}]\n"
    "rollout: {problems: 16, group: 8, max_new_tokens: 200, max_prompt_tokens: 100}\n";
static const size_t GIB = (size_t)1 << 30;

static enum compute_type type;
static struct arena *arena;
static struct error err;
static struct model_config config;         /* of plans */
static bool prompts_shared, adapter_begun; /* of plans */
static size_t aside_limit;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  config = CONFIG;
  prompts_shared = adapter_begun = false;
  aside_limit = 0;
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int make(const char *const *overrides, size_t count, uint32_t flags, size_t limit, struct plan *out)
{
  struct recipe *r;
  struct needs needs = {.flags = flags};
  CHECK_OK(recipe_read_text(arena, RECIPE, sizeof RECIPE - 1, "test.yaml", RECIPE_TRAIN, overrides, count, &r, &err),
           &err);
  struct plan_input in = {.recipe = r,
                          .config = &config,
                          .needs = &needs,
                          .base = 10 << 20,
                          .limit = limit,
                          .aside_limit = aside_limit,
                          .type = type,
                          .threads = 3,
                          .generates = true,
                          .adapter_begun = adapter_begun,
                          .prompts_shared = prompts_shared};
  return plan_make(&in, out, &err);
}

static size_t sum(const struct plan *p)
{
  size_t bytes = 0;
  for (int i = 0; i < p->count; i++) bytes += p->lines[i].bytes;
  return bytes;
}

static size_t line(const struct plan *p, const char *what)
{
  for (int i = 0; i < p->count; i++)
    if (!strncmp(p->lines[i].what, what, strlen(what))) return p->lines[i].bytes;
  return 0;
}

static void test_room_for_all(void **state)
{
  (void)state;
  struct plan p;
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &p), &err);
  CHECK_INT(p.threads, 3);
  CHECK_INT(p.slots, 64);
  CHECK_INT(p.micro_rows, 2048);
  CHECK(!p.recompute);
  CHECK(!p.reference);
  CHECK_INT(p.total, sum(&p));
  CHECK_INT(line(&p, "program"), 10 << 20);
  CHECK_INT(line(&p, "weights"), model_part_bytes(&CONFIG, sizeof(float)));
  CHECK_INT(line(&p, "gradients"), line(&p, "weights"));
  CHECK_INT(line(&p, "AdamW"), 2 * line(&p, "weights"));
  CHECK_INT(line(&p, "reference"), 0);
  // the parts are those that will be made
  struct workroom_size room =
      workroom_most(generator_workroom(&CONFIG, &p.generate), trainer_workroom(&CONFIG, &p.train, COMPUTE_F32));
  struct workroom_size own = trainer_workroom(&CONFIG, &p.train, COMPUTE_F32);
  CHECK_INT(line(&p, "sampling and training"), workroom_bytes(&CONFIG, &room, COMPUTE_F32));
  CHECK_INT(line(&p, "gradients of KV"),
            trainer_bytes(&CONFIG, &p.train, COMPUTE_F32) - workroom_bytes(&CONFIG, &own, COMPUTE_F32));
  CHECK_INT(p.generate.max_path, 300);
  CHECK_INT(p.train.max_leaves, 128);
}

static void test_knobs_turn_until_it_fits(void **state)
{
  (void)state;
  struct plan wide, p;
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &wide), &err);
  size_t before = wide.total;
  int refused = 0;
  for (size_t limit = wide.total - 1; !refused; limit = p.total - 1) {
    refused = make(NULL, 0, 0, limit, &p);
    if (refused) break;
    CHECK(p.total <= limit);
    CHECK(p.total < before);
    CHECK_INT(p.total, sum(&p));
    CHECK(p.micro_rows < wide.micro_rows || p.recompute);
    before = p.total;
  }
  CHECK_ERROR(refused, &err, ERROR_RESOURCE, "lower rollout.max_new_tokens");
  CHECK(before < wide.total / 10 * 7);
  // the last one that fitted had given everything
  error_clear(&err);
  CHECK_OK(make(NULL, 0, 0, before, &p), &err);
  CHECK(p.recompute);
  CHECK_INT(p.micro_rows, BATCH_UNIT_ROWS);
  CHECK_INT(p.slots, 4);
}

/* Moments go to the host's memory where the recipe says so, or as the last knob; only where a device has its own. */
static void test_offload(void **state)
{
  (void)state;
  static const char *const on[] = {"compute.offload=true"}, *const off[] = {"compute.offload=false"};
  struct plan wide, p, least;
  CHECK_OK(make(on, 1, 0, 100 * GIB, &wide), &err);
  CHECK(!wide.offload && !wide.aside); /* the host's memory is the device's */
  aside_limit = 4 * GIB;
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &p), &err);
  CHECK(!p.offload);
  const size_t host = line(&p, "program") + line(&p, "a step's records");
  CHECK_INT(p.aside, host); /* what no kernel touches */
  CHECK_INT(p.total + p.aside, wide.total);
  CHECK_OK(make(on, 1, 0, 100 * GIB, &p), &err);
  CHECK(p.offload);
  CHECK_INT(line(&p, "AdamW moments"), 2 * line(&p, "weights"));
  CHECK_INT(p.aside, host + line(&p, "AdamW moments"));
  CHECK_INT(p.total + p.aside, wide.total);
  CHECK_INT(p.total + p.aside, sum(&p));
  // refused without it, and told so; with it the same limit is enough
  CHECK(make(off, 1, 0, 0, &least) == ERROR_RESOURCE);
  CHECK(strstr(err.message, "write compute.offload: true") != NULL);
  error_clear(&err);
  const size_t limit = least.total - 1;
  CHECK_ERROR(make(off, 1, 0, limit, &p), &err, ERROR_RESOURCE, "compute.offload");
  error_clear(&err);
  CHECK_OK(make(NULL, 0, 0, limit, &p), &err);
  CHECK(p.offload && p.recompute && p.slots == 4);
  aside_limit = p.aside - 1;
  CHECK_ERROR(make(NULL, 0, 0, limit, &p), &err, ERROR_RESOURCE, "of the host's memory beside the GPU's; expected");
  error_clear(&err);
  // an adapter's are its own
  aside_limit = 4 * GIB;
  config.adapter = (struct adapter_config){.rank = 8, .alpha = 16, .targets = (1u << ADAPTER_TARGETS) - 1};
  CHECK_OK(make(on, 1, 0, 100 * GIB, &p), &err);
  CHECK_INT(line(&p, "AdamW moments"), 2 * adapter_part_bytes(&config, sizeof(float)));
  CHECK_OK(make(off, 1, 0, 100 * GIB, &wide), &err);
  CHECK_INT(p.total + p.aside, wide.total + wide.aside);
}

static void test_knobs_that_are_given_stay(void **state)
{
  (void)state;
  static const char *const given[] = {"compute.slots=7", "compute.micro_batch=1024", "compute.recompute=false",
                                      "compute.vocab_chunk=64", "compute.kv_block=8"};
  struct plan p;
  CHECK_OK(make(given, 5, 0, 100 * GIB, &p), &err);
  CHECK_INT(p.slots, 7);
  CHECK_INT(p.micro_rows, 1024);
  CHECK(!p.recompute);
  CHECK_INT(p.vocab_chunk, 64);
  CHECK_INT(p.kv_block, 8);
  size_t least = p.total;
  CHECK_ERROR(make(given, 5, 0, least - 1, &p), &err, ERROR_RESOURCE, "the run needs");
  error_clear(&err);
  CHECK_OK(make(given, 5, 0, least, &p), &err);
}

static void test_slots_beyond_the_rollouts_are_not_made(void **state)
{
  (void)state;
  static const char *const given[] = {"compute.slots=65536"};
  struct plan p;
  CHECK_OK(make(given, 1, 0, 100 * GIB, &p), &err);
  CHECK_INT(p.slots, 128);
}

static void test_a_reference_is_counted(void **state)
{
  (void)state;
  struct plan without, with;
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &without), &err);
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP, 100 * GIB, &with), &err);
  CHECK(with.reference);
  CHECK_INT(with.total - without.total, line(&with, "reference") + line(&with, "scores"));
  // its passes take turns with the policy's in one workroom; a model with other KV needs one of its own
  CHECK_INT(line(&with, "reference"), model_part_bytes(&CONFIG, sizeof(float)));
  struct model_config other = CONFIG;
  CHECK(plan_shares_room(&CONFIG, &other));
  other.kv_heads = 8;
  CHECK(!plan_shares_room(&CONFIG, &other));
}

/* With an adapter it is the base, unless the run began with an adapter or a method moves the reference. */
static void test_a_reference_beside_an_adapter(void **state)
{
  (void)state;
  struct plan base, begun, moved;
  config.adapter = (struct adapter_config){.rank = 4, .alpha = 8, .targets = 127};
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP, 100 * GIB, &base), &err);
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP | NEED_RESET, 100 * GIB, &moved), &err);
  adapter_begun = true;
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP, 100 * GIB, &begun), &err);
  CHECK(base.reference);
  CHECK_INT(line(&base, "reference"), 0);
  CHECK_INT(line(&begun, "reference"), adapter_part_bytes(&config, sizeof(float)));
  CHECK_INT(line(&moved, "reference"), line(&begun, "reference"));
}

/* Rows of a batch that cannot be are not paid for: prompts once a problem, and units as they are cut. */
static void test_rows_of_a_small_step(void **state)
{
  (void)state;
  static const char *const small[] = {"rollout.problems=2", "rollout.group=4", "rollout.max_new_tokens=32",
                                      "rollout.max_prompt_tokens=10"};
  struct plan apart, shared;
  struct trainer_sizes sizes;
  CHECK_OK(make(small, 4, 0, 100 * GIB, &apart), &err);
  prompts_shared = true;
  CHECK_OK(make(small, 4, 0, 100 * GIB, &shared), &err);
  trainer_plan(&config, &apart.train, COMPUTE_F32, &sizes);
  CHECK_INT(sizes.decoder.max_rows, 8 * (10 + 32));
  trainer_plan(&config, &shared.train, COMPUTE_F32, &sizes);
  CHECK_INT(sizes.decoder.max_rows, 2 * 10 + 8 * 32);
  CHECK(line(&shared, "sampling and training") < line(&apart, "sampling and training") * 9 / 10);
  trainer_plan(&config, &shared.train, COMPUTE_BF16, &sizes);
  CHECK_INT(sizes.decoder.max_rows, 288);  // 276 rows of one unit, in blocks of 32
}

/* Each need has its line; where the run would fit without them, the sentence says so. */
static void test_needs_are_priced(void **state)
{
  (void)state;
  struct plan none, some, wide;
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &none), &err);
  CHECK_OK(make(NULL, 0, NEED_VALUE, 100 * GIB, &some), &err);
  CHECK_INT(line(&some, "value head"), value_bytes(CONFIG.hidden));
  CHECK(line(&some, "hidden states") >= (size_t)CONFIG.hidden * sizeof(float) * 128);
  CHECK_OK(make(NULL, 0, NEED_EMA | NEED_TOKEN_STAT | NEED_GROUP_P | NEED_SECOND_CONTEXT, 100 * GIB, &wide), &err);
  CHECK_INT(line(&wide, "moving average"), model_part_bytes(&CONFIG, sizeof(float)));
  CHECK_INT(line(&wide, "whole rows"), row_pass_bytes((size_t)CONFIG.vocab, 3, false));
  CHECK(line(&wide, "scores per token") > line(&some, "scores per token"));
  CHECK_INT(wide.train.max_leaves, 2 * none.train.max_leaves);
  CHECK_INT(wide.total, sum(&wide));
  size_t least = none.total; /* what a run takes whose knobs are all turned */
  while (!make(NULL, 0, 0, least - 1, &some)) least = some.total;
  error_clear(&err);
  CHECK_ERROR(make(NULL, 0, NEED_REFERENCE_LOGP, least + (1 << 20), &some), &err, ERROR_RESOURCE,
              "because methods ask for them, most for reference: weights and workspace");
  error_clear(&err);
}

/* Masters, gradients and moments stay f32; copies and KV are bf16, and so is all of a reference. */
static void test_bf16_is_counted(void **state)
{
  (void)state;
  struct plan f32, bf16;
  size_t copies = model_copy_bytes(&CONFIG, COMPUTE_BF16), f32_part = model_part_bytes(&CONFIG, sizeof(float));
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP, 100 * GIB, &f32), &err);
  type = COMPUTE_BF16;
  CHECK_OK(make(NULL, 0, NEED_REFERENCE_LOGP, 100 * GIB, &bf16), &err);
  type = COMPUTE_F32;
  CHECK_INT(line(&f32, "weights in"), 0);
  CHECK_INT(line(&bf16, "weights in"), copies);
  CHECK(copies > f32_part * 48 / 100 && copies < f32_part * 52 / 100);
  CHECK_INT(line(&bf16, "gradients"), line(&f32, "gradients"));
  CHECK_INT(line(&bf16, "AdamW"), line(&f32, "AdamW"));
  struct kv_shape shape = {CONFIG.layers, CONFIG.kv_heads, CONFIG.head_dim, bf16.kv_block, 1};
  size_t saved = kv_block_bytes(&shape, sizeof(float)) - kv_block_bytes(&shape, compute_type_size(COMPUTE_BF16));
  CHECK_INT(line(&f32, "sampling and training") - line(&bf16, "sampling and training"),
            saved * (size_t)bf16.room.kv_blocks + (f32.room.reals - bf16.room.reals) * sizeof(float));
  size_t fixed = model_fixed_bytes(&CONFIG, COMPUTE_BF16);
  CHECK_INT(line(&bf16, "reference"), fixed);  // it scores in the policy's workroom
  CHECK(fixed < f32_part * 52 / 100);
  CHECK_INT(model_fixed_bytes(&CONFIG, COMPUTE_F32), f32_part);
}

static void test_knobs_that_cannot_be(void **state)
{
  (void)state;
  static const struct {
    const char *given, *says;
  } cases[] = {{"compute.vocab_chunk=40", "compute.vocab_chunk is 40"},
               {"compute.kv_block=24", "compute.kv_block is 24"},
               {"compute.kv_block=1", "compute.kv_block is 1"}};
  struct recipe *r;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    error_clear(&err);
    CHECK_ERROR(
        recipe_read_text(arena, RECIPE, sizeof RECIPE - 1, "test.yaml", RECIPE_TRAIN, &cases[i].given, 1, &r, &err),
        &err, ERROR_INPUT, cases[i].says);
    CHECK_STR(err.file, "command line");
  }
}

static void test_the_table(void **state)
{
  (void)state;
  struct plan p;
  struct text t = {0};
  char peak[64];
  CHECK_OK(make(NULL, 0, 0, 100 * GIB, &p), &err);
  plan_print(&p, &t);
  CHECK_OK(text_finish(&t, &err), &err);
  snprintf(peak, sizeof peak, "%9.1f MiB of %.1f MiB", (double)p.total / 1048576, 102400.0);
  CHECK(strstr(t.bytes, peak) != NULL);
  CHECK(strstr(t.bytes, "slots 64, micro_batch 2048 rows, recompute off") != NULL);
  text_free(&t);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {CASE(test_room_for_all),
                                     CASE(test_knobs_turn_until_it_fits),
                                     CASE(test_offload),
                                     CASE(test_knobs_that_are_given_stay),
                                     CASE(test_slots_beyond_the_rollouts_are_not_made),
                                     CASE(test_a_reference_is_counted),
                                     CASE(test_a_reference_beside_an_adapter),
                                     CASE(test_rows_of_a_small_step),
                                     CASE(test_needs_are_priced),
                                     CASE(test_bf16_is_counted),
                                     CASE(test_knobs_that_cannot_be),
                                     CASE(test_the_table)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

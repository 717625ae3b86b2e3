/* links: train */
#include "check.h"

#include <stdlib.h>

#include "core/fault.h"
#include "core/file.h"
#include "train/recipe.h"

static struct arena *arena;
static struct recipe *r;

static int read_with(const char *text, enum recipe_kind kind, const char *const *overrides, size_t n, struct error *err)
{
  error_clear(err);
  return recipe_read_text(arena, text, strlen(text), "r.yaml", kind, overrides, n, &r, err);
}

static int read_one(const char *text, struct error *err)
{
  return read_with(text, RECIPE_TRAIN, NULL, 0, err);
}

#define LEAST "model: m\ndata: [{path: p.jsonl, verifier: number}]\n"

static void test_defaults(void **state)
{
  (void)state;
  struct error err = {0};
  char buf[64];
  CHECK_OK(read_one(LEAST, &err), &err);
  CHECK_STR(r->top.model, "m");
  CHECK(r->top.reference == NULL);
  CHECK_INT(r->top.seed, 1);
  CHECK_INT(r->rollout.problems, 8);
  CHECK_INT(r->rollout.group, 8);
  CHECK_INT(r->rollout.max_tokens, 0);
  CHECK_CLOSE(r->train.lr, 1e-6, 0, "parsed exactly");
  CHECK_CLOSE(r->train.betas.second, 0.999, 0, "parsed exactly");
  CHECK_CLOSE(r->train.temperature, 1.0, 0, "follows rollout.temperature");
  CHECK_INT(r->compute.recompute, -1);
  CHECK_INT(r->compute.memory, 0);
  CHECK_INT(r->method_count, 1);
  CHECK_STR(r->methods[0].name, "grpo");
  CHECK_INT(r->combine_count, 1);
  CHECK_STR(r->combine[0].channel, "reward");
  CHECK_STR(r->data[0].source.path, "p.jsonl");
  CHECK_STR(r->data[0].source.verifier, "number");
  CHECK_STR(recipe_origin_text(r, "rollout.group", buf, sizeof buf), "default");
  CHECK_STR(recipe_origin_text(r, "model", buf, sizeof buf), "r.yaml:1");
}

static void test_values(void **state)
{
  (void)state;
  struct error err = {0};
  char buf[64];
  const char *overrides[] = {"rollout.group=16", "compute.memory=1.5G", "methods.grpo.kl_coef=0.25", "seed=9"};
  const char *text = LEAST
      "template: {system: Be brief., enable_thinking: false}\n"
      "eval: {data: {task: addition}, every: 5}\n"
      "methods: [grpo]\n"
      "reward: {channels: [format], combine: [reward, {format: -0.5}], on_failure: drop}\n"
      "rollout: {temperature: 0.8, stop: [\"\\n\\n\", END], max_tokens: 4096}\n"
      "train: {betas: [0.9, 0.95], schedule: cosine}\n"
      "compute: {recompute: true, type: bf16}\n"
      "save: {rollouts: none}\n";
  CHECK_OK(read_with(text, RECIPE_TRAIN, overrides, 4, &err), &err);
  CHECK_INT(r->rollout.group, 16);
  CHECK_STR(recipe_origin_text(r, "rollout.group", buf, sizeof buf), "command line");
  CHECK_STR(recipe_origin_text(r, "rollout.temperature", buf, sizeof buf), "r.yaml:7");
  CHECK_INT(r->compute.memory, 1610612736);
  CHECK_INT(r->compute.recompute, 1);
  CHECK_INT(r->compute.type, RECIPE_BF16);
  CHECK_INT(r->train.schedule, RECIPE_COSINE);
  CHECK_CLOSE(r->train.temperature, 0.8, 0, "follows rollout.temperature");
  CHECK_INT(r->rollout.stop.count, 2);
  CHECK_STR(r->rollout.stop.items[0], "\n\n");
  CHECK_INT(r->rollout.max_tokens, 4096);
  CHECK_INT(r->top.seed, 9);
  CHECK_INT(r->reward.on_failure, RECIPE_FAILURE_DROP);
  CHECK_INT(r->combine_count, 2);
  CHECK_STR(r->combine[1].channel, "format");
  CHECK_CLOSE(r->combine[1].weight, -0.5, 0, "parsed exactly");
  CHECK_INT(r->save.rollouts, RECIPE_ROLLOUTS_NONE);
  CHECK_INT(r->template.enable_thinking, 0);
  CHECK_STR(r->data[0].source.system, "Be brief.");
  CHECK_INT(r->eval_data_count, 1);
  CHECK_INT(r->eval_data[0].source.split, SPLIT_HELD_OUT);
  CHECK_STR(r->methods[0].name, "grpo");
  CHECK(r->methods[0].options != NULL);
}

/* Each wrong recipe is one sentence with a place. */
static void test_errors(void **state)
{
  (void)state;
  static const struct {
    const char *text, *part, *key;
    int line;
  } CASES[] = {
      {LEAST "rollout: {grup: 4}\n", "did you mean \"rollout.group\"", "rollout.grup", 3},
      {LEAST "rolout: {group: 4}\n", "did you mean \"rollout\"", "rolout", 3},
      {LEAST "group: 4\n", "did you mean \"rollout.group\"", "group", 3},
      {LEAST "rollout: {zzzzzzzz: 4}\n", "which no recipe has", "rollout.zzzzzzzz", 3},
      {LEAST "rollout: {group: many}\n", "found \"many\"; expected a whole number", "rollout.group", 3},
      {LEAST "rollout: {group: 0}\n", "expected a whole number from 1", "rollout.group", 3},
      {LEAST "rollout: {top_p: 1.5}\n", "expected a number from 0 to 1", "rollout.top_p", 3},
      {LEAST "rollout: 7\n", "expected a map of its keys", "rollout", 3},
      {LEAST "rollout:\n  stop: x\n", "expected a list of texts", "rollout.stop", 4},
      {LEAST "train: {schedule: cosin}\n", "one of constant|linear|cosine", "train.schedule", 3},
      {LEAST "train: {betas: [0.9]}\n", "two numbers", "train.betas", 3},
      {LEAST "train: {lr: .nan}\n", "expected a number", "train.lr", 3},
      {LEAST "compute: {memory: lots}\n", "a size of 1M or more", "compute.memory", 3},
      {LEAST "compute: {threads: 0}\n", "auto or a whole number", "compute.threads", 3},
      {LEAST "compute: {vocab_chunk: 33}\n", "a multiple of 32", "compute.vocab_chunk", 3},
      {LEAST "compute: {recompute: maybe}\n", "auto, true or false", "compute.recompute", 3},
      {LEAST "train: {batch: 4}\n", "it is for assay sft", "train.batch", 3},
      {LEAST "train: {minibatches: 9}\n", "rollout.problems 8", "train.minibatches", 3},
      {LEAST "lora: {targets: [q, gates]}\n",
       "found \"gates\"; expected some of q, k, v, o, gate, up, down; did you mean gate?", "lora.targets", 3},
      {LEAST "methods: {a: 1, b: 2}\n", "expected a list of names", "methods", 3},
      {LEAST "methods: []\n", "expected a list of names", "methods", 3},
      {LEAST "reward: {combine: [style]}\n", "expected one of: reward", "style", 3},
      {LEAST "reward: {channels: [length], combine: {min: [reward, lenght]}}\n", "did you mean \"length\"?", "lenght",
       3},
      {LEAST "reward: {combine: {gate: [reward]}}\n", "{gate: [CHANNEL", "reward.combine", 3},
      {LEAST "reward: {channels: [tone]}\n", "cosine, format, language, length, repetition", "tone", 3},
      {LEAST "reward: {channels: [length, length]}\n", "second use of the name", "reward.channels", 3},
      {LEAST "reward: {channels: [{length: {name: min}}]}\n", "second use of the name", "reward.channels", 3},
      {LEAST "reward: {channels: [{format: {pattern: (}}]}\n", "wrong at character", "", 3},
      {LEAST "reward: {channels: [{length: {bufer: 3}}]}\n", "did you mean \"buffer\"?", "bufer", 3},
      {LEAST "reward: {combine: [[a]]}\n", "expected a list of channels", "reward.combine", 3},
      {LEAST "seed: 1\nseed: 2\n", "seed", "seed", 4},
      {"data: [{path: p}]\n", "names no model", "model", 0},
      {"model: m\n", "has no data", "data", 0},
      {"- model\n", "expected a map of keys", "", 1},
      {"model: m\ndata: [{path: p, verifer: number}]\n", "verifier", "verifer", 2},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    struct error err = {0};
    int rc = read_one(CASES[i].text, &err);
    CHECK_ERROR(rc, &err, ERROR_INPUT, CASES[i].part);
    CHECK_STR(err.file, "r.yaml");
    CHECK_INT(err.line, CASES[i].line);
    CHECK_STR(err.key, CASES[i].key);
  }
}

static void test_override_errors(void **state)
{
  (void)state;
  static const struct {
    const char *override, *part;
  } CASES[] = {{"rollout.grup=3", "rollout.group"},       {"rollout.group", "key=value"},
               {"rollout.group=x", "a whole number"},     {"methods.dapo.x=1", "does not end in a method"},
               {"rollout.group.size=1", "rollout.group"}, {"=1", "key=value"}};
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    struct error err = {0};
    int rc = read_with(LEAST "methods: [grpo]\nrollout: {group: 4}\n", RECIPE_TRAIN, &CASES[i].override, 1, &err);
    CHECK_ERROR(rc, &err, ERROR_INPUT, CASES[i].part);
    CHECK_STR(err.file, "command line");
  }
}

static void test_sft(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_OK(read_with(LEAST "train: {batch: 4, max_tokens: 64}\n", RECIPE_SFT, NULL, 0, &err), &err);
  CHECK_STR(r->methods[0].name, "sft");
  CHECK_INT(r->train.batch, 4);
  CHECK_CLOSE(r->train.temperature, 1.0, 0, "there is no sampler");
  CHECK_ERROR(read_with(LEAST "rollout: {group: 4}\n", RECIPE_SFT, NULL, 0, &err), &err, ERROR_INPUT,
              "assay sft does not read");
  CHECK_ERROR(read_with(LEAST "methods: [grpo]\n", RECIPE_SFT, NULL, 0, &err), &err, ERROR_INPUT,
              "assay sft does not read");
}

static char *written(const struct recipe *recipe, const struct composed *set)
{
  struct error err = {0};
  struct text t = {0};
  CHECK_OK(recipe_write(recipe, set, &t, &err), &err);
  char *copy = arena_strdup(arena, t.bytes, "test", &err);
  text_free(&t);
  return copy;
}

/* Lines without their comments: origins differ, values may not. */
static char *without_comments(char *text)
{
  char *to = text;
  bool comment = false;
  for (const char *at = text; *at; at++) {
    if (at[0] == ' ' && at[1] == ' ' && at[2] == '#') comment = true;
    if (*at == '\n') comment = false;
    if (!comment) *to++ = *at;
  }
  *to = '\0';
  return text;
}

/* Steps on the command line count, not the passes of the file; passes on the command line count before both. */
static void test_steps_before_passes(void **state)
{
  (void)state;
  struct error err = {0};
  char buf[64];
  const char *text = "model: m\ndata: [{path: p.jsonl}]\ntrain: {passes: 2}\n";
  const char *overrides[] = {"train.steps=7", "train.passes=3"};
  CHECK_OK(read_with(text, RECIPE_SFT, NULL, 0, &err), &err);
  CHECK_CLOSE(r->train.passes, 2, 0, "parsed exactly");
  CHECK_OK(read_with(text, RECIPE_SFT, overrides, 1, &err), &err);
  CHECK_CLOSE(r->train.passes, 0, 0, "as if it were written");
  CHECK_INT(r->train.steps, 7);
  CHECK_STR(recipe_origin_text(r, "train.passes", buf, sizeof buf), "command line");
  CHECK_OK(read_with(text, RECIPE_SFT, overrides, 2, &err), &err);
  CHECK_CLOSE(r->train.passes, 3, 0, "parsed exactly");
}

static void test_write_reads_back(void **state)
{
  (void)state;
  static const char *const TEXTS[] = {
      LEAST,
      LEAST
      "template: {system: \"a \\\"b\\\"\\n\\u0085\\u2028 \\U0001F600 # no comment\"}\nrollout: {stop: ['5', 'null', "
      "\"\\x7f\"]}\n"
      "train: {lr: 3.0e-7, clip_norm: 1e30}\ncompute: {memory: 3G, recompute: false}\n"
      "methods: [{grpo: {clip_dual: .inf, dialect: trl, kl_clamp: false}}]\neval: {data: [{task: addition, digits: "
      "2}]}\n"
      "reward: {channels: [{format: {name: \"odd: name\", tags: a b}}], combine: [reward, {\"odd: name\": 0.1}]}\n",
  };
  for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
    struct error err = {0};
    CHECK_OK(read_one(TEXTS[i], &err), &err);
    struct recipe *first = r;
    struct composed *set = NULL;
    struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 1};
    CHECK_OK(compose_open(arena, first->methods, first->method_count, &o, &set, &err), &err);
    char *plain = written(first, NULL), *full = written(first, set);
    CHECK(strstr(full, "# default") != NULL);
    CHECK(strstr(full, "kl_coef: 0.0") != NULL);
    CHECK_OK(read_one(plain, &err), &err);
    CHECK_OK(recipe_check_resume(first, r, &err), &err);
    char *again = written(r, NULL);
    CHECK_STR(without_comments(again), without_comments(plain));
    CHECK_OK(read_one(full, &err), &err);
    CHECK_OK(recipe_check_resume(first, r, &err), &err);
    CHECK_OK(recipe_check_resume(r, first, &err), &err);
  }
}

static void test_resume(void **state)
{
  (void)state;
  static const char *const MAY[] = {"train.steps=7",     "save.every=3",      "eval.samples=9",
                                    "compute.threads=2", "compute.memory=2G", "save.type=bf16"};
  static const struct {
    const char *override, *key;
  } MAY_NOT[] = {{"train.lr=1e-3", "train.lr"},
                 {"rollout.group=4", "rollout.group"},
                 {"seed=2", "seed"},
                 {"methods=[{grpo: {clip_low: 0.1}}]", "methods"},
                 {"data=[{path: q}]", "data"},
                 {"compute.micro_batch=512", "compute.micro_batch"},
                 {"reward.combine=[{reward: 2}]", "reward.combine"},
                 {"reward.combine={min: [reward, 1]}", "reward.combine"},
                 {"reward.channels=[format]", "reward.channels"}};
  struct error err = {0};
  CHECK_OK(read_one(LEAST, &err), &err);
  struct recipe *saved = r;
  for (size_t i = 0; i < sizeof MAY / sizeof MAY[0]; i++) {
    CHECK_OK(read_with(LEAST, RECIPE_TRAIN, &MAY[i], 1, &err), &err);
    CHECK_OK(recipe_check_resume(saved, r, &err), &err);
  }
  for (size_t i = 0; i < sizeof MAY_NOT / sizeof MAY_NOT[0]; i++) {
    CHECK_OK(read_with(LEAST, RECIPE_TRAIN, &MAY_NOT[i].override, 1, &err), &err);
    CHECK_ERROR(recipe_check_resume(saved, r, &err), &err, ERROR_INPUT, "the run began with");
    CHECK_STR(err.key, MAY_NOT[i].key);
  }
}

/* Every row of the table: its default reads, has help, and its bounds make sense. */
static void test_table(void **state)
{
  (void)state;
  CHECK(recipe_key_count() > 40);
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    CHECK(k->help && strlen(k->help) > 5);
    CHECK(k->low <= k->high);
    CHECK((k->type == RECIPE_ENUM) == (k->words != NULL));
  }
}

/* What is in recipes/ reads, by the command that it is for. */
static void test_shipped(void **state)
{
  (void)state;
  static const char *const MODEL[] = {"model=m"};
  struct error err = {0};
  char **names;
  size_t count;
  CHECK_OK(file_list(arena, ASSAY_SOURCE_DIR "/recipes", &names, &count, &err), &err);
  CHECK(count >= 2);
  for (size_t i = 0; i < count; i++) {
    char path[512];
    struct composed *set;
    snprintf(path, sizeof path, ASSAY_SOURCE_DIR "/recipes/%s", names[i]);
    if (file_is_folder(path)) continue; /* recipes/eval is for assay eval */
    /* for assay train, or else for assay sft */
    error_clear(&err);
    if (recipe_read(arena, path, RECIPE_TRAIN, MODEL, 1, &r, &err)) {
      error_clear(&err);
      CHECK_OK(recipe_read(arena, path, RECIPE_SFT, MODEL, 1, &r, &err), &err);
    }
    struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 1};
    CHECK_OK(compose_open(arena, r->methods, r->method_count, &o, &set, &err), &err);
  }
}

#ifdef ASSAY_HOSTILE
/* The n-th allocation fails, whichever it is: an error that says so, and nothing lost. */
static void test_no_memory(void **state)
{
  (void)state;
  static const char TEXT[] = LEAST "methods: [{grpo: {kl_coef: 0.1}}]\nrollout: {stop: [a, b]}\n";
  static const char *const OVERRIDES[] = {"methods.grpo.clip_low=0.1", "train.lr=1e-3"};
  int rc = 1;
  for (long n = 1; rc; n++) {
    struct error err = {0};
    struct composed *set = NULL;
    struct text t = {0};
    struct arena *a = arena_create("hostile", 0, &err);
    struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 1};
    fault_set(FAULT_ALLOC, n);
    rc = recipe_read_text(a, TEXT, sizeof TEXT - 1, "r.yaml", RECIPE_TRAIN, OVERRIDES, 2, &r, &err);
    if (!rc) rc = compose_open(a, r->methods, r->method_count, &o, &set, &err);
    if (!rc) rc = recipe_write(r, set, &t, &err);
    fault_set(FAULT_ALLOC, 0);
    if (rc) CHECK_ERROR(rc, &err, ERROR_RESOURCE, "memory");
    text_free(&t);
    arena_destroy(a);
  }
}
#endif

int main(void)
{
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults),
                                     cmocka_unit_test(test_values),
                                     cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_override_errors),
                                     cmocka_unit_test(test_sft),
                                     cmocka_unit_test(test_steps_before_passes),
                                     cmocka_unit_test(test_write_reads_back),
                                     cmocka_unit_test(test_resume),
                                     cmocka_unit_test(test_table),
#ifdef ASSAY_HOSTILE
                                     cmocka_unit_test(test_no_memory),
#endif
                                     cmocka_unit_test(test_shipped)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return failed;
}

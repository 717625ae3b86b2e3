/* include/assay.h: engine, session and run on a tiny model; and that its numbers are the program's. */
#include <assay.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "core/fault.h"
#include "core/file.h"
#include "tiny_model.h"

static char folder[64], model[96];

/* CHECK_OK and CHECK_ERROR take the program's struct error; the fields that they look at are the same. */
static struct error as_error(const struct assay_error *e)
{
  struct error out = {.code = e->code, .line = e->line};
  memcpy(out.file, e->file, sizeof out.file);
  memcpy(out.message, e->message, sizeof out.message);
  return out;
}
#define OK(call)                          \
  do {                                    \
    int rc_ = (call);                     \
    struct error err_ = as_error(&error); \
    CHECK_OK(rc_, &err_);                 \
  } while (0)
#define FAILS(call, code, part)           \
  do {                                    \
    int rc_ = (call);                     \
    struct error err_ = as_error(&error); \
    CHECK_ERROR(rc_, &err_, code, part);  \
  } while (0)

static struct assay_error error;

static struct assay_engine *open_engine(int threads)
{
  struct assay_engine_options o = {.threads = threads, .seed = 3};
  struct assay_engine *e;
  OK(assay_engine_open(model, &o, &e, &error));
  return e;
}

static void test_engine(void **state)
{
  (void)state;
  char hex[65];
  struct assay_engine *e = open_engine(1);
  CHECK_INT(assay_engine_vocabulary(e), TINY_VOCAB);
  CHECK_INT(assay_engine_positions(e), 64);
  CHECK(assay_engine_parameters(e) > 1000);
  OK(assay_engine_hash(e, hex, &error));
  CHECK_INT((int64_t)strlen(hex), 64);
  CHECK(strlen(assay_version()) > 0);
  assay_engine_close(e);
  assay_engine_close(NULL);
  struct assay_engine_options o = {.threads = -1};
  FAILS(assay_engine_open(model, &o, &e, &error), ASSAY_INPUT, "threads");
  CHECK(e == NULL);
  FAILS(assay_engine_open(NULL, NULL, &e, &error), ASSAY_INPUT, "no model");
  FAILS(assay_engine_open("no/such/model", NULL, &e, &error), ASSAY_INPUT, "cannot be opened");
  CHECK(strstr(error.file, "no/such/model") != NULL);
  CHECK_INT(assay_engine_open("no/such/model", NULL, &e, NULL), ASSAY_INPUT);
}

/* What a session answers to one prompt, copied. */
struct answered {
  int32_t ids[4][16];
  float logp[4][16];
  size_t counts[4];
  char text[4][32];
};

static void ask(struct assay_session *s, const struct assay_prompt *p, const struct assay_sampling *o,
                struct answered *out)
{
  const struct assay_answer *a;
  memset(out, 0, sizeof *out);
  OK(assay_session_generate(s, p, 4, o, &a, &error));
  for (int i = 0; i < 4; i++) {
    CHECK(a[i].count > 0 && a[i].count <= 16 && a[i].text_size < sizeof out->text[i]);
    CHECK_INT((int64_t)strlen(a[i].text), (int64_t)a[i].text_size);
    out->counts[i] = a[i].count;
    memcpy(out->ids[i], a[i].ids, a[i].count * sizeof(int32_t));
    memcpy(out->logp[i], a[i].logp, a[i].count * sizeof(float));
    memcpy(out->text[i], a[i].text, a[i].text_size + 1);
    CHECK(a[i].stopped || a[i].count == (size_t)o->max_new_tokens);
  }
}

/* The scorer gives the sampler's bits, at the sampler's temperature. */
static void score_answers(struct assay_session *s, const struct assay_prompt *p, const struct answered *a,
                          double temperature)
{
  for (int i = 0; i < 4; i++) {
    int32_t ids[64];
    float logp[16], entropy[16];
    size_t n = p->count + a->counts[i];
    memcpy(ids, p->ids, p->count * sizeof *ids);
    memcpy(ids + p->count, a->ids[i], a->counts[i] * sizeof *ids);
    OK(assay_session_score(s, ids, n, p->count, temperature, logp, entropy, &error));
    CHECK_BITS(logp, a->logp[i], a->counts[i] * sizeof *logp);
    for (size_t k = 0; k < a->counts[i]; k++) CHECK(logp[k] < 0 && entropy[k] > 0);
  }
}

/* In bf16 as in f32 the scorer gives the sampler's bits; they are not those of f32; and there are no other types. */
static void test_compute_types(void **state)
{
  (void)state;
  static const char *const types[] = {"f32", "bf16"};
  static const int32_t ids[] = {18, 11, 19, 29};
  struct assay_prompt given = {.ids = ids, .count = 4};
  struct assay_sampling o = {.temperature = 0.8, .max_new_tokens = 12, .seed = 11};
  struct answered answers[2];
  for (int i = 0; i < 2; i++) {
    struct assay_session *s;
    struct assay_engine *e;
    struct assay_engine_options options = {.threads = 1, .seed = 3, .compute = types[i]};
    OK(assay_engine_open(model, &options, &e, &error));
    OK(assay_session_open(e, NULL, &s, &error));
    ask(s, &given, &o, &answers[i]);
    score_answers(s, &given, &answers[i], 0.8);
    assay_session_close(s);
    assay_engine_close(e);
  }
  CHECK(memcmp(&answers[0], &answers[1], sizeof answers[0]) != 0);
  struct assay_engine *e;
  FAILS(assay_engine_open(model, &(struct assay_engine_options){.compute = "f16"}, &e, &error), ASSAY_INPUT,
        "expected f32 or bf16");
}

static void test_generate_and_score(void **state)
{
  (void)state;
  static const int32_t ids[] = {18, 11, 19, 29};  // 2+3= , the ids of tiny_model.h
  struct assay_prompt text = {.text = "2+3="}, given = {.ids = ids, .count = 4};
  struct assay_sampling o = {.temperature = 0.8, .max_new_tokens = 12, .seed = 11}, other = o;
  struct answered first, again;
  struct assay_session *s;
  struct assay_engine *e = open_engine(1);
  OK(assay_session_open(e, NULL, &s, &error));
  ask(s, &text, &o, &first);
  CHECK(memcmp(first.ids[0], first.ids[1], sizeof first.ids[0]) != 0);
  score_answers(s, &given, &first, 0.8);
  ask(s, &given, &o, &again);
  CHECK_BITS(&again, &first, sizeof first);
  other.seed = 12;
  ask(s, &text, &other, &again);
  CHECK(memcmp(&again, &first, sizeof first) != 0);
  assay_session_close(s);
  assay_engine_close(e);

  e = open_engine(3);
  OK(assay_session_open(e, &(struct assay_session_options){.answers = 4, .max_tokens = 32}, &s, &error));
  ask(s, &text, &o, &again);
  CHECK_BITS(&again, &first, sizeof first);
  assay_session_close(s);
  assay_session_close(NULL);
  assay_engine_close(e);
}

static void test_stop_and_greedy(void **state)
{
  (void)state;
  struct assay_prompt p = {.text = "2+3="};
  struct assay_sampling o = {.max_new_tokens = 8};
  const struct assay_answer *a;
  struct answered greedy;
  struct assay_session *s;
  struct assay_engine *e = open_engine(2);
  OK(assay_session_open(e, NULL, &s, &error));
  ask(s, &p, &o, &greedy);
  for (int i = 1; i < 4; i++) CHECK_BITS(greedy.ids[i], greedy.ids[0], sizeof greedy.ids[0]);
  CHECK(strlen(greedy.text[0]) > 2);
  const char stop[] = {greedy.text[0][1], '\0'}, *const stops[] = {stop};
  o.stop = stops;
  o.stop_count = 1;
  OK(assay_session_generate(s, &p, 1, &o, &a, &error));
  CHECK(a[0].stopped);
  CHECK_INT((int64_t)a[0].text_size, (int64_t)(strchr(greedy.text[0], stop[0]) - greedy.text[0]));
  assay_session_close(s);
  assay_engine_close(e);
}

static void test_session_refuses(void **state)
{
  (void)state;
  static const int32_t bad[] = {1, 64};
  struct assay_prompt p = {.text = "2+3="}, ids = {.ids = bad, .count = 2}, nothing = {0}, chat = {"hi", true, NULL, 0};
  struct assay_sampling o = {.temperature = 1}, longer = {.max_new_tokens = 100}, cold = {.temperature = -1};
  const struct assay_answer *a;
  float logp[4];
  struct assay_session *s;
  struct assay_engine *e = open_engine(1);
  FAILS(assay_session_open(e, &(struct assay_session_options){.max_tokens = 65}, &s, &error), ASSAY_INPUT,
        "max_tokens");
  FAILS(assay_session_open(e, &(struct assay_session_options){.answers = -1}, &s, &error), ASSAY_INPUT, "answers");
  OK(assay_session_open(e, NULL, &s, &error));
  FAILS(assay_session_generate(s, &p, 9, &o, &a, &error), ASSAY_INPUT, "9 answers");
  CHECK(a == NULL);
  FAILS(assay_session_generate(s, &ids, 1, &o, &a, &error), ASSAY_INPUT, "ids[1] = 64");
  FAILS(assay_session_generate(s, &nothing, 1, &o, &a, &error), ASSAY_INPUT, "neither text nor ids");
  FAILS(assay_session_generate(s, &chat, 1, &o, &a, &error), ASSAY_INPUT, "template");
  FAILS(assay_session_generate(s, &p, 1, &longer, &a, &error), ASSAY_INPUT, "max_new_tokens 100");
  FAILS(assay_session_generate(s, &p, 1, &cold, &a, &error), ASSAY_INPUT, "temperature");
  struct assay_sampling broken[] = {{.top_p = 2}, {.min_p = -1}, {.top_k = -1}, {.stop_count = 1}};
  static const char *const what[] = {"top_p", "min_p", "top_k", "stop_count"};
  for (size_t i = 0; i < 4; i++) FAILS(assay_session_generate(s, &p, 1, &broken[i], &a, &error), ASSAY_INPUT, what[i]);
  FAILS(assay_session_generate(s, NULL, 1, NULL, &a, &error), ASSAY_INPUT, "neither text nor ids");
  FAILS(assay_session_score(s, bad, 2, 1, 1, logp, NULL, &error), ASSAY_INPUT, "ids[1] = 64");
  FAILS(assay_session_score(s, bad, 2, 2, 1, logp, NULL, &error), ASSAY_INPUT, "from");
  FAILS(assay_session_score(s, bad, 1, 0, 1, logp, NULL, &error), ASSAY_INPUT, "from");
  OK(assay_session_generate(s, &p, 1, &o, &a, &error));  // a refused call leaves the session as it was
  assay_session_close(s);
  assay_engine_close(e);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

static const char *write_recipe(char path[96])
{
  FILE *f;
  snprintf(path, 96, "%s/recipe.yaml", folder);
  f = fopen(path, "w");
  CHECK(f != NULL);
  fprintf(f,
          "model: %s\ndata: [{task: addition, digits: 1, format: plain}]\n"
          "rollout: {problems: 2, group: 8, max_new_tokens: 20, max_prompt_tokens: 16}\n"
          "train: {steps: 3, lr: 1.0e-3}\nsave: {every: 1, keep: 1}\nseed: 5\n",
          model);
  fclose(f);
  return path;
}

static int asked;
static bool stop_at_second(void)
{
  return ++asked > 1;
}

static void train(const char *recipe, const struct assay_run_options *o, int code, char weights[65], char state[65])
{
  struct assay_run *r;
  OK(assay_run_open(recipe, o, &r, &error));
  CHECK(strstr(assay_run_describe(r), "memory at the peak") != NULL);
  if (code)
    FAILS(assay_run_train(r, &error), code, "stopped");
  else
    OK(assay_run_train(r, &error));
  CHECK_INT((int64_t)strlen(assay_run_weights_hash(r)), 64);
  memcpy(weights, assay_run_weights_hash(r), 65);
  memcpy(state, assay_run_state_hash(r), 65);
  assay_run_close(r);
}

static void test_run(void **state)
{
  (void)state;
  char recipe[96], one[96], two[96], weights[3][65], states[3][65], hex[65];
  struct assay_engine *e;
  write_recipe(recipe);
  snprintf(one, sizeof one, "%s/one", folder);
  snprintf(two, sizeof two, "%s/two", folder);
  train(recipe, &(struct assay_run_options){.folder = one, .threads = 1}, 0, weights[0], states[0]);
  asked = 0;
  train(recipe, &(struct assay_run_options){.folder = two, .stop = stop_at_second}, ASSAY_STOPPED, weights[1],
        states[1]);
  CHECK(strcmp(weights[1], weights[0]) != 0);
  train(recipe, &(struct assay_run_options){.folder = two, .resume = true}, 0, weights[2], states[2]);
  CHECK_STR(weights[2], weights[0]);
  CHECK_STR(states[2], states[0]);
  OK(assay_engine_open(one, NULL, &e, &error));  // a run folder is a model: its last checkpoint
  OK(assay_engine_hash(e, hex, &error));
  CHECK_STR(hex, weights[0]);
  assay_engine_close(e);
}

/* The reference of a run whose start was drawn from the seed is that start: no divergence in the first step, some
 * later, and the same after a resume. */
static void test_reference_of_a_random_start(void **state)
{
  (void)state;
  char recipe[96], one[96], two[96], path[128], weights[2][65], states[2][65], *text;
  const char *const kl[] = {"methods=[{grpo: {kl_coef: 0.1}}]"};
  struct error err = {0};
  size_t size;
  write_recipe(recipe);
  snprintf(one, sizeof one, "%s/kl", folder);
  snprintf(two, sizeof two, "%s/kl-stopped", folder);
  struct assay_run_options o = {.overrides = kl, .override_count = 1, .folder = one};
  train(recipe, &o, 0, weights[0], states[0]);
  asked = 0;
  o.folder = two;
  o.stop = stop_at_second;
  train(recipe, &o, ASSAY_STOPPED, weights[1], states[1]);
  o.stop = NULL;
  o.resume = true;
  train(recipe, &o, 0, weights[1], states[1]);
  CHECK_STR(weights[1], weights[0]);
  CHECK_STR(states[1], states[0]);
  struct arena *a = arena_create("test", 0, &err);
  snprintf(path, sizeof path, "%s/metrics.jsonl", one);
  CHECK_OK(file_read(a, path, 1 << 20, &text, &size, &err), &err);
  const char *first = strstr(text, "\"kl\":"), *last = NULL;
  for (const char *at = first; at; at = strstr(at + 1, "\"kl\":")) last = at;
  CHECK(first && !strncmp(first, "\"kl\":0.0,", 9));
  CHECK(last > first && strncmp(last, "\"kl\":0.0,", 9) != 0);
  arena_destroy(a);
}

static void test_run_refuses(void **state)
{
  (void)state;
  char recipe[96], one[96];
  struct assay_run *r;
  const char *const typo[] = {"rollout.grop=4"};
  write_recipe(recipe);
  snprintf(one, sizeof one, "%s/plan", folder);
  OK(assay_run_open(recipe, &(struct assay_run_options){.folder = one, .plan_only = true}, &r, &error));
  CHECK(!file_exists(one));
  assay_run_close(r);
  assay_run_close(NULL);
  FAILS(assay_run_open(NULL, NULL, &r, &error), ASSAY_INPUT, "no recipe");
  FAILS(assay_run_open(recipe, &(struct assay_run_options){.resume = true}, &r, &error), ASSAY_INPUT, "folder");
  FAILS(assay_run_open(recipe, &(struct assay_run_options){.overrides = typo, .override_count = 1}, &r, &error),
        ASSAY_INPUT, "group");
  FAILS(assay_run_open(recipe, &(struct assay_run_options){.folder = one, .memory = 1 << 20}, &r, &error),
        ASSAY_RESOURCE, "MiB");
  CHECK(r == NULL);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Everything that a program does with a model, once. */
static int whole_use(void)
{
  static const int32_t ids[] = {18, 11, 19, 29};
  struct assay_engine *e = NULL;
  struct assay_session *s = NULL;
  const struct assay_answer *a;
  struct assay_prompt p = {.text = "2+3="};
  struct assay_sampling o = {.temperature = 1, .max_new_tokens = 3};
  float logp[3];
  int code = assay_engine_open(model, &(struct assay_engine_options){.threads = 1}, &e, &error);
  if (!code) code = assay_session_open(e, &(struct assay_session_options){.answers = 2, .max_tokens = 16}, &s, &error);
  if (!code) code = assay_session_generate(s, &p, 2, &o, &a, &error);
  if (!code) code = assay_session_score(s, ids, 4, 1, 1, logp, NULL, &error);
  assay_session_close(s);
  assay_engine_close(e);
  return code;
}

static void test_each_allocation_may_fail(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  int failures = 0, code = ASSAY_RESOURCE;
  // every one at first, then every few: opening a model takes thousands
  for (long n = 1; code; n += 1 + n / 16) {
    fault_set(FAULT_ALLOC, n);
    code = whole_use();
    fault_set(FAULT_ALLOC, 0);
    if (!code) break;
    CHECK_INT(code, ASSAY_RESOURCE);
    CHECK_INT(error.code, ASSAY_RESOURCE);
    CHECK(strlen(error.message) > 10);
    failures++;
  }
  CHECK(failures > 30);
  CHECK_INT(whole_use(), 0);
#else
  CHECK_INT(whole_use(), 0);
#endif
}

/* What was sampled is what is trained on, bit for bit; an update moves the weights, and down the gradient. */
static void test_trainer(void **state)
{
  (void)state;
  struct assay_engine *e = open_engine(1);
  struct assay_session *s;
  struct assay_trainer *t, *second;
  const struct assay_answer *answers;
  const struct assay_prompt prompt = {.text = "1+2="};
  const struct assay_sampling sampling = {.temperature = 1, .max_new_tokens = 12, .seed = 4};
  double coef[12], norm, before = 0, after = 0;
  float logp[12], again[12];
  char first[65], then[65], path[96];
  OK(assay_session_open(e, NULL, &s, &error));
  OK(assay_trainer_open(e, NULL, &t, &error));
  FAILS(assay_trainer_open(e, NULL, &second, &error), ASSAY_INPUT, "one at a time");
  OK(assay_engine_hash(e, first, &error));
  OK(assay_session_generate(s, &prompt, 2, &sampling, &answers, &error));
  size_t n = answers[1].count;
  for (size_t i = 0; i < 12; i++) coef[i] = -1;
  OK(assay_trainer_add(t, &prompt, &answers[1], 1, coef, logp, &error));
  CHECK_BITS_F32(logp, answers[1].logp, n);
  FAILS(assay_trainer_update(t, -1, &norm, &error), ASSAY_INPUT, "lr");
  OK(assay_trainer_update(t, 1e-3, &norm, &error));
  CHECK(norm > 0);
  OK(assay_engine_hash(e, then, &error));
  CHECK(strcmp(first, then) != 0);
  OK(assay_trainer_add(t, &prompt, &answers[1], 1, coef, again, &error));
  for (size_t i = 0; i < n; i++) {
    before += (double)logp[i];
    after += (double)again[i];
  }
  CHECK(after > before);
  snprintf(path, sizeof path, "%s/saved", folder);
  OK(assay_engine_save(e, path, &error));
  FAILS(assay_engine_save(e, path, &error), ASSAY_INPUT, "holds a model already");
  assay_trainer_close(t);
  OK(assay_trainer_open(e, NULL, &t, &error));  // after the first was closed
  assay_trainer_close(t);
  assay_session_close(s);
  assay_engine_close(e);
  OK(assay_engine_open(path, NULL, &e, &error));
  OK(assay_engine_hash(e, first, &error));
  CHECK_STR(first, then);
  assay_engine_close(e);
}

static void test_trainer_refuses(void **state)
{
  (void)state;
  struct assay_engine *e = open_engine(1);
  struct assay_trainer *t;
  int32_t ids[] = {1, 2, TINY_VOCAB};
  double coef[64] = {0};
  const struct assay_prompt prompt = {.ids = ids, .count = 2};
  struct assay_answer answer = {.ids = ids, .count = 2};
  struct assay_trainer_options o = {.max_tokens = 65};
  FAILS(assay_trainer_open(e, &o, &t, &error), ASSAY_INPUT, "max_tokens");
  o = (struct assay_trainer_options){.beta1 = 1};
  FAILS(assay_trainer_open(e, &o, &t, &error), ASSAY_INPUT, "betas");
  o = (struct assay_trainer_options){.clip_norm = -1};
  FAILS(assay_trainer_open(e, &o, &t, &error), ASSAY_INPUT, "clip_norm");
  o = (struct assay_trainer_options){.max_tokens = 4};
  OK(assay_trainer_open(e, &o, &t, &error));
  OK(assay_trainer_add(t, &prompt, &answer, 1, coef, NULL, &error));
  FAILS(assay_trainer_add(t, &prompt, &answer, 0, coef, NULL, &error), ASSAY_INPUT, "temperature");
  answer.count = 3;
  FAILS(assay_trainer_add(t, &prompt, &answer, 1, coef, NULL, &error), ASSAY_INPUT, "token of the model");
  ids[2] = 3;
  FAILS(assay_trainer_add(t, &prompt, &answer, 1, coef, NULL, &error), ASSAY_INPUT, "prompt of 2 tokens");
  answer.count = 0;
  FAILS(assay_trainer_add(t, &prompt, &answer, 1, coef, NULL, &error), ASSAY_INPUT, "answer of 0 tokens");
  assay_trainer_close(t);
  assay_trainer_close(NULL);
  assay_engine_close(e);
}

static int setup(void **state)
{
  (void)state;
  char path[96];
  snprintf(folder, sizeof folder, "/tmp/assay-api-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/model", folder);
  snprintf(model, sizeof model, "random:%s", path);
  assay_set_quiet(true);
  return tiny_model_write(path);
}

static int teardown(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_engine),
                                     cmocka_unit_test(test_compute_types),
                                     cmocka_unit_test(test_generate_and_score),
                                     cmocka_unit_test(test_stop_and_greedy),
                                     cmocka_unit_test(test_session_refuses),
                                     cmocka_unit_test(test_trainer),
                                     cmocka_unit_test(test_trainer_refuses),
                                     cmocka_unit_test(test_run),
                                     cmocka_unit_test(test_run_refuses),
                                     cmocka_unit_test(test_reference_of_a_random_start),
                                     cmocka_unit_test(test_each_allocation_may_fail)};
  return cmocka_run_group_tests(tests, setup, teardown);
}

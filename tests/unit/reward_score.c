/* links: reward. A reward model's score: the same bits for an answer whatever was scored before it, in one pass or
   several, with one thread or three; another answer has another score; what is no reward model is refused. */
#include "check.h"

#include <stdlib.h>

#include "core/file.h"
#include "model/open.h"
#include "reward/verifier.h"
#include "rollout/reward_score.h"
#include "tiny_model.h"

static char folder[64], plain[80], scorer[80];

/* A model of random weights as assay sft saves it: score.weight in the place of a head. */
static int make_models(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("make", 0, &err);
  struct device *d;
  struct model_source source;
  struct model_config config;
  struct model *m;
  snprintf(folder, sizeof folder, "/tmp/assay-reward-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(plain, sizeof plain, "%s/plain", folder);
  snprintf(scorer, sizeof scorer, "%s/scorer", folder);
  CHECK_INT(tiny_model_write(plain), 0);
  CHECK_OK(device_open(&(struct device_options){.kind = "cpu", .threads = 1}, &d, &err), &err);
  CHECK_OK(model_source_open(a, plain, &source, &config, &err), &err);
  model_config_make_scorer(&config);
  CHECK_STR(config.architecture, "LlamaForSequenceClassification");
  CHECK_OK(model_create(a, d, &config, 1, &m, &err), &err);
  CHECK_OK(model_randomise(m, 7, &err), &err);
  CHECK(m->score != NULL);
  CHECK_OK(file_make_folder(scorer, &err), &err);
  CHECK_OK(model_save(m, &source, scorer, SAVE_F32, &err), &err);
  arena_destroy(a);
  device_close(d);
  return 0;
}

static int remove_models(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

static const char *const ANSWERS[] = {"7", "8", "THE.ANSWER.IS.7", "", "777777777777777777777777777777777777777"};
enum { COUNT = sizeof ANSWERS / sizeof ANSWERS[0] };

static void score_all(int threads, bool backwards, double *out)
{
  struct error err = {0};
  struct arena *a = arena_create("score", 0, &err);
  struct reward_scorer *s;
  const struct problem p = {.id = "p", .source = "test", .prompt = "3+4="};
  struct reward_scorer_options o = {.model = scorer, .threads = threads};
  CHECK_OK(reward_scorer_open(a, &o, &s, &err), &err);
  CHECK_INT(reward_scorer_longest(s), 64);
  for (int k = 0; k < COUNT; k++) {
    int i = backwards ? COUNT - 1 - k : k;
    struct token_list ids = {0};
    CHECK_OK(reward_score_ids(s, &p, ANSWERS[i], strlen(ANSWERS[i]), &ids, &err), &err);
    CHECK_INT(ids.count, 4 + strlen(ANSWERS[i]) + 1); /* a character each, and the end */
    CHECK_OK(reward_score(s, ids.ids, ids.count, &out[i], &err), &err);
    token_list_free(&ids);
  }
  arena_destroy(a);
}

static void test_bits(void **state)
{
  (void)state;
  double first[COUNT], other[COUNT];
  score_all(1, false, first);
  for (int threads = 1; threads <= 3; threads++) {
    score_all(threads, threads % 2, other);
    CHECK_BITS(other, first, sizeof first);
  }
  for (int i = 0; i < COUNT; i++)
    for (int k = 0; k < i; k++) CHECK(first[i] < first[k] || first[i] > first[k]);
}

static void test_verifier(void **state)
{
  (void)state;
  struct error err = {0};
  double want[COUNT];
  struct arena *a = arena_create("verify", 0, &err);
  const struct verifier *v = verifier_find("reward_model", &err);
  struct verifier_config *c;
  struct verdict verdict;
  struct problem p = {.id = "p", .source = "test", .prompt = "3+4="};
  struct setting_given given[] = {{.key = "model", .text = scorer}, {.key = "scale", .text = "raw"}};
  CHECK(v != NULL);
  score_all(1, false, want);
  CHECK_OK(verifier_open(a, v, given, 2, 0, &c, &err), &err);
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(v->judge(a, c, &p, ANSWERS[i], strlen(ANSWERS[i]), &verdict, &err), &err);
    CHECK_BITS(&verdict.reward, &want[i], sizeof want[i]);
    CHECK(verdict.readable && verdict.correct == (want[i] > 0));
  }
  char longer[100];
  memset(longer, '7', sizeof longer);
  CHECK_OK(v->judge(a, c, &p, longer, sizeof longer, &verdict, &err), &err);
  CHECK(!verdict.readable && !verdict.correct && strstr(verdict.reason, "longer than"));
  arena_destroy(a);
}

static void test_refusals(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("refuse", 0, &err);
  struct reward_scorer *s;
  struct session session;
  struct reward_scorer_options o = {.model = plain, .threads = 1};
  CHECK_ERROR(reward_scorer_open(a, &o, &s, &err), &err, ERROR_INPUT, "expected a reward model");
  error_clear(&err);
  struct session_options text = {.model = scorer, .threads = 1};
  CHECK_ERROR(session_open(a, &text, &session, &err), &err, ERROR_INPUT, "which writes no text");
  error_clear(&err);
  struct verifier_config *c;
  CHECK_ERROR(verifier_open(a, verifier_find("reward_model", &err), NULL, 0, 0, &c, &err), &err, ERROR_INPUT,
              "names no model");
  arena_destroy(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_verifier),
                                     cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}

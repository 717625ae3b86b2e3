/* The step: who stands where, which tokens carry loss, what a channel may hold. */
#include "unit/method_case.h"

#include "core/file.h"

static struct step *empty_step(void)
{
  struct error err = {0};
  struct step *s = NULL;
  struct step_options o = {.seed = 1, .total = 3, .temperature = 1, .max_new_tokens = 8};
  CHECK_OK(step_create(case_arena, &o, &s, &err), &err);
  return s;
}

static int32_t segment(struct step *s, int32_t parent, enum segment_kind kind, const uint32_t *flags, int32_t n)
{
  struct error err = {0};
  int32_t index;
  CHECK_OK(tree_add_segment(s->tree, parent, kind, n, &index, &err), &err);
  for (int32_t i = 0; i < n; i++) {
    struct token_record t = {.id = 100 * index + i, .flags = flags ? flags[i] : 0, .logp = -1};
    CHECK_OK(tree_append(s->tree, index, &t, 1, &err), &err);
  }
  return index;
}

static const uint32_t OWN3[] = {TOKEN_OWN, TOKEN_OWN, TOKEN_OWN};

/* A dialogue: prompt, own, tool, own; and a second rollout that shares the first own segment. Masked and tool tokens
 * carry no loss. */
static void test_paths(void **state)
{
  (void)state;
  static const uint32_t TOOL[] = {TOKEN_TOOL, TOKEN_TOOL},
                        MASKED[] = {TOKEN_OWN, TOKEN_OWN | TOKEN_MASKED, TOKEN_FORCED, TOKEN_OWN};
  struct error err = {0};
  struct step *s = empty_step();
  int32_t group, context, a, b;
  int32_t prompt = segment(s, -1, SEGMENT_PROMPT, NULL, 4), first = segment(s, prompt, SEGMENT_OWN, OWN3, 3);
  int32_t tool = segment(s, first, SEGMENT_OBSERVATION, TOOL, 2), second = segment(s, tool, SEGMENT_OWN, MASKED, 4);
  int32_t other = segment(s, first, SEGMENT_OWN, OWN3, 2);
  CHECK_OK(step_add_group(s, NULL, 2, &group, &err), &err);
  CHECK_OK(step_add_context(s, group, "policy", "plain", prompt, &context, &err), &err);
  CHECK_OK(step_add_rollout(s, group, context, 0, 0, &a, &err), &err);
  CHECK_OK(step_add_rollout(s, group, context, 0, 1, &b, &err), &err);
  s->rollouts[a].leaf = second;
  s->rollouts[b].leaf = other;
  CHECK_OK(step_gather(s, &err), &err);
  CHECK_INT(s->path_count, 3 + 2 + 5);
  CHECK_INT(s->rollouts[a].path_count, 5);
  CHECK_INT(s->rollouts[a].length, 6);
  static const int32_t POSITIONS[] = {4, 5, 6, 9, 12, 4, 5, 6, 7, 8};
  for (int i = 0; i < 10; i++) CHECK_INT(s->path[i].position, POSITIONS[i]);
  CHECK_INT(step_record(s, 3)->id, 100 * second);
  CHECK_INT(step_record(s, 5)->id, step_record(s, 0)->id); /* one tree token on two paths */
  CHECK_CLOSE(s->tokens, 10, 0, "a count");
  CHECK_INT(s->sequences, 2);
}

/* Rows of its own: a range, and another context. */
static void test_rows(void **state)
{
  (void)state;
  struct error err = {0};
  struct step *s = empty_step();
  int32_t group, plain, hinted, a;
  int32_t prompt = segment(s, -1, SEGMENT_PROMPT, NULL, 4), hint = segment(s, -1, SEGMENT_PROMPT, NULL, 7);
  int32_t leaf = segment(s, hint, SEGMENT_OWN, OWN3, 3), moved = segment(s, prompt, SEGMENT_OWN, OWN3, 3);
  CHECK_OK(step_add_group(s, NULL, 1, &group, &err), &err);
  CHECK_OK(step_add_context(s, group, "policy", "plain", prompt, &plain, &err), &err);
  CHECK_OK(step_add_context(s, group, "policy", "hint", hint, &hinted, &err), &err);
  CHECK_INT(s->groups[group].context, plain);
  CHECK_OK(step_add_rollout(s, group, hinted, 0, 0, &a, &err), &err);
  struct training_row rows[] = {{plain, moved, 4, 6}, {hinted, leaf, 9, 100}};
  s->rollouts[a].leaf = leaf;
  s->rollouts[a].training = plain;
  s->rollouts[a].rows = rows;
  s->rollouts[a].row_count = 2;
  CHECK_OK(step_gather(s, &err), &err);
  CHECK_INT(s->path_count, 3);
  CHECK_INT(s->path[0].segment, moved);
  CHECK_INT(s->path[1].index, 1);
  CHECK_INT(s->path[2].segment, leaf);
  CHECK_INT(s->path[2].index, 2);
  CHECK_INT(s->path[2].row, 1);
  CHECK_INT(s->sequences, 1); /* rows of one rollout are one sequence */
}

/* Order by identity: group, attempt, ordinal; what was replaced is in no statistic. */
static void test_order(void **state)
{
  (void)state;
  struct error err = {0};
  struct step *s = empty_step();
  int32_t contexts[2], index;
  for (int g = 0; g < 2; g++) {
    int32_t group, prompt = segment(s, -1, SEGMENT_PROMPT, NULL, 1);
    CHECK_OK(step_add_group(s, NULL, 2, &group, &err), &err);
    CHECK_OK(step_add_context(s, group, "policy", "plain", prompt, &contexts[g], &err), &err);
  }
  static const int32_t WHO[][3] = {{1, 0, 1}, {0, 1, 0}, {0, 0, 1}, {1, 0, 0}, {0, 0, 0}, {0, 1, 1}};
  for (int i = 0; i < 6; i++) {
    CHECK_OK(step_add_rollout(s, WHO[i][0], contexts[WHO[i][0]], WHO[i][1], WHO[i][2], &index, &err), &err);
    s->rollouts[index].leaf = segment(s, s->contexts[contexts[WHO[i][0]]].segment, SEGMENT_OWN, OWN3, 1 + i % 3);
  }
  s->rollouts[2].kept = false;
  CHECK_OK(step_gather(s, &err), &err);
  static const int32_t WANT[] = {4, 1, 5, 3, 0};
  CHECK_INT(s->kept, 5);
  for (int i = 0; i < 5; i++) CHECK_INT(s->order[i], WANT[i]);
  CHECK_INT(s->groups[0].count, 3);
  CHECK_INT(s->groups[1].first, 3);
  CHECK_INT(s->wave, 1);
  CHECK_INT(s->rollouts[2].path_count, 0);
  double spread[32] = {0};
  step_spread(s, 5, 2.5, spread);
  for (int32_t p = 0; p < s->path_count; p++) CHECK((s->path[p].rollout == 5) == (spread[p] > 0));
}

static void test_channels(void **state)
{
  (void)state;
  struct error err = {0};
  const struct case_rollout one = {0, 0, 0.75, 1};
  const struct problem p = {.id = "p1"};
  struct step *s = case_step(&one, 1, &p);
  int32_t c, again;
  double value = -1;
  CHECK(step_get_channel(s, 0, 0, &value));
  CHECK_CLOSE(value, 0.75, 0, "given");
  CHECK_OK(step_channel(s, "format", &c, &err), &err);
  CHECK_OK(step_channel(s, "format", &again, &err), &err);
  CHECK_INT(c, 1);
  CHECK_INT(again, 1);
  CHECK(!step_get_channel(s, 0, c, &value)); /* absent is not 0 */
  CHECK(!step_get_channel(s, 0, -1, &value));
  CHECK_ERROR(step_set_channel(s, 0, c, __builtin_inf(), &err), &err, ERROR_INPUT,
              "channel \"format\" of problem p1, rollout 0.0 is infinite");
  error_clear(&err);
  /* A verdict's channels come along; one that failed leaves none behind. */
  struct verdict v = {.status = VERDICT_OK, .reward = 1, .reason = "fine", .extracted = "7", .channel_count = 1};
  v.channels[0].name = "length";
  v.channels[0].value = 3;
  CHECK_OK(step_set_verdict(s, 0, &v, &err), &err);
  CHECK(step_get_channel(s, 0, step_find_channel(s, "length"), &value));
  CHECK_CLOSE(value, 3, 0, "given");
  CHECK(s->rollouts[0].verdict.extracted != v.extracted);
  CHECK_STR(s->rollouts[0].verdict.extracted, "7");
  v.status = VERDICT_FAILED;
  CHECK_OK(step_set_verdict(s, 0, &v, &err), &err);
  CHECK_INT(s->rollouts[0].status, ROLLOUT_FAILED);
  CHECK(!step_get_channel(s, 0, 0, &value));
  /* There is an end to names. */
  int rc = 0;
  for (int i = 0; i < STEP_CHANNELS && !rc; i++) {
    char name[16];
    snprintf(name, sizeof name, "c%d", i);
    rc = step_channel(s, name, &c, &err);
  }
  CHECK_ERROR(rc, &err, ERROR_INPUT, "one more than 64");
}

/* docs/methods.md is what the table says. */
static void test_docs(void **state)
{
  (void)state;
  struct error err = {0};
  struct text now = {0};
  char *kept = NULL;
  size_t size;
  CHECK_OK(method_markdown(&now, &err), &err);
  CHECK_OK(file_read(case_arena, ASSAY_SOURCE_DIR "/docs/methods.md", 1 << 20, &kept, &size, &err), &err);
  if (strcmp(kept, now.bytes)) print_error("write it anew: assay methods --markdown --out docs/methods.md\n");
  CHECK_STR(kept, now.bytes);
  for (size_t i = 0; i < method_count(); i++) {
    char path[512];
    snprintf(path, sizeof path, ASSAY_SOURCE_DIR "/recipes/%s.yaml", method_at(i)->name);
    CHECK(file_exists(path));
  }
  text_free(&now);
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_order), cmocka_unit_test(test_channels),
                                     cmocka_unit_test(test_docs)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}

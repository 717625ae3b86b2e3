/* scrl beyond what all methods are asked: who reads the subproblems, what of a response is judged, and which tokens get
 * the credit of which answer. */
#include "unit/method_case.h"

#include "method/part_curriculum.h"

static char seen[1024]; /* the prompt that the last context was made of */

static int prompt_ids(void *arg, const struct context_source *from, struct token_list *out, struct error *err)
{
  (void)arg;
  const json_t *last = json_array_get(from->messages, json_array_size(from->messages) - (from->messages ? 1 : 0));
  snprintf(seen, sizeof seen, "%s", from->prompt ? from->prompt : json_string_value(json_object_get(last, "content")));
  for (int32_t i = 0; i < 3; i++) TRY(token_list_push(out, 5 + i, err));
  return 0;
}

/* Right is a box with the answer of the problem that is asked about. */
static int judge(void *arg, struct step *s, const struct method_call *who, const struct request *q, int32_t count,
                 struct answer *answers, struct error *err)
{
  static const struct verdict right = {.status = VERDICT_OK, .reward = 1, .correct = true, .reason = "given"},
                              wrong = {.status = VERDICT_OK, .reason = "given"};
  (void)arg;
  (void)s;
  (void)who;
  (void)err;
  for (int32_t i = 0; i < count; i++) {
    char want[64];
    CHECK_INT(q[i].kind, REQUEST_JUDGE);
    CHECK(q[i].verifier == NULL && q[i].problem && q[i].text);
    CHECK_STR(json_string_value(json_object_get(q[i].problem->fields, "answer")), q[i].problem->answer);
    snprintf(want, sizeof want, "\\boxed{%s}", q[i].problem->answer);
    bool same = q[i].text_size == strlen(want) && !memcmp(q[i].text, want, q[i].text_size);
    answers[i].verdict = same ? &right : &wrong;
  }
  return 0;
}
static const struct method_host host = {.prompt_ids = prompt_ids, .answer = judge};

static struct problem make_problem(const char *fields)
{
  struct problem p;
  json_t *object;
  struct error err = {0};
  CHECK_OK(json_parse(case_arena, fields, strlen(fields), "problem", 0, 0, &object, &err), &err);
  p = (struct problem){.id = "p", .source = "problem", .line = 1, .fields = object};
  p.prompt = json_string_value(json_object_get(object, "prompt"));
  p.messages = json_object_get(object, "messages");
  p.answer = json_string_value(json_object_get(object, "answer"));
  return p;
}
static const char FIELDS[] =
    "\"answer\": \"7\", \"subproblems\": [{\"statement\": \"1+2\", \"ground_truth\": \"3\"}, {\"statement\": \"3+4\", "
    "\"ground_truth\": \"7\"}]";

/* A group of four rollouts, guided; responses come after. */
static struct step *guided(struct composed *set, const struct problem *p, struct error *err)
{
  static const int32_t ALL[] = {0, 1, 2, 3};
  struct step *s = NULL;
  struct step_options o = {.seed = 5, .total = 10, .temperature = 1, .max_new_tokens = 16};
  int32_t group, root, context, index;
  compose_set_host(set, &host);
  CHECK_OK(step_create(case_arena, &o, &s, err), err);
  CHECK_OK(step_add_group(s, p, 4, &group, err), err);
  CHECK_OK(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, 1, &root, err), err);
  CHECK_OK(tree_append_ids(s->tree, root, (const int32_t[]){1}, 1, 0, err), err);
  CHECK_OK(step_add_context(s, group, "policy", "plain", root, &context, err), err);
  for (int32_t i = 0; i < 4; i++) CHECK_OK(step_add_rollout(s, group, context, 0, i, &index, err), err);
  return compose_guide(set, s, ALL, 4, err) ? NULL : s;
}

enum { PIECES = 7 };
/* A token for each piece, the last one without text. */
static void respond(struct step *s, int32_t rollout, const char *const pieces[PIECES], double reward)
{
  struct error err = {0};
  struct rollout *r = &s->rollouts[rollout];
  char *text = arena_push(case_arena, 1, 256, "case", &err);
  r->token_byte = ARENA_NEW(case_arena, int32_t, PIECES + 1, "case", &err);
  CHECK_OK(tree_add_segment(s->tree, s->contexts[r->generating].segment, SEGMENT_OWN, PIECES, &r->leaf, &err), &err);
  for (int32_t t = 0; t < PIECES; t++) {
    struct token_record record = {.id = t, .flags = TOKEN_OWN, .logp = -0.5f, .entropy = 1};
    r->token_byte[t] = (int32_t)strlen(text);
    snprintf(text + strlen(text), 256 - strlen(text), "%s", pieces[t]);
    CHECK_OK(tree_append(s->tree, r->leaf, &record, 1, &err), &err);
  }
  r->text = text;
  r->text_size = strlen(text);
  r->response = PIECES;
  r->token_byte[PIECES] = (int32_t)r->text_size;
  struct verdict v = {.status = VERDICT_OK, .reward = reward, .correct = reward >= 1, .reason = "given"};
  CHECK_OK(step_set_verdict(s, rollout, &v, &err), &err);
}

static const char *const BOTH[PIECES] = {"<p1>", "\\boxed{3}", "</p1>", "<p2>", "\\boxed{7}", "</p2>", ""};
static const char *const FIRST[PIECES] = {"<p1>", "\\boxed{3}", "</p1>", "<p2>", "\\boxed{8}", "</p2>", ""};
static const char *const SECOND[PIECES] = {"<p1>", "\\boxed{4}", "</p1>", "<p2>", "\\boxed{7}", "</p2>", ""};
static const char *const BROKEN[PIECES] = {"<p1>", "\\boxed{3}", "", "<p2>", "\\boxed{7}", "</p2>", ""};
static const char *const PLAIN[PIECES] = {"It ", "is ", "\\boxed{", "7", "}", ".", ""};

/* Advantages of rollouts 0 and 1, which read the subproblems; 2 and 3 do not, and get +-a with rewards 1 and 0. */
static void check_credit(const char *options, const char *const one[PIECES], const double want[2][PIECES])
{
  char methods[128], text[256];
  struct composed *set;
  struct error err = {0};
  snprintf(methods, sizeof methods, "[{scrl: {k: 2, prompt: \"{subproblems}\"%s}}]", options);
  CHECK_OK(case_open(methods, 1, &set, &err), &err);
  snprintf(text, sizeof text, "{\"prompt\": \"3+4=\", %s}", FIELDS);
  struct problem p = make_problem(text);
  struct step *s = guided(set, &p, &err);
  CHECK(s != NULL);
  CHECK_STR(seen, "Problem1: 1+2\nProblem2: 3+4\n");
  respond(s, 0, BOTH, 1);
  respond(s, 1, one, 0);
  respond(s, 2, PLAIN, 1);
  respond(s, 3, PLAIN, 0);
  CHECK_OK(compose_reward(set, s, &err), &err);
  CHECK_OK(step_gather(s, &err), &err);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  const double a = 0.5 / (0.7071067811865476 + 1e-6);
  for (int32_t r = 0; r < 4; r++) {
    CHECK_INT(s->rollouts[r].path_count, PIECES);
    for (int32_t t = 0; t < PIECES; t++) {
      double expected = r < 2 ? a * want[r][t] : r == 2 ? a : -a;
      CHECK_CLOSE(s->advantage[s->rollouts[r].path + t], expected, 1e-12, "f64 arithmetic of two values");
    }
  }
}

static void test_credit(void **state)
{
  (void)state;
  check_credit("", FIRST, (const double[2][PIECES]){{0, 0, 0, 0, 1}, {0, 0, 0, 0, -1}});
  check_credit(", closing_tag: true", FIRST, (const double[2][PIECES]){{0, 0, 0, 0, 1, 1}, {0, 0, 0, 0, -1, -1}});
  /* a right answer behind a wrong one */
  check_credit("", SECOND, (const double[2][PIECES]){{0, 1, 0, 0, 1}, {0, -1, 0, 0, -1}});
  check_credit(", correction: false", SECOND, (const double[2][PIECES]){{0, 1}, {0, -1}});
  /* wrong tags count as zeros and carry nothing */
  check_credit("", BROKEN, (const double[2][PIECES]){{0, 1, 0, 0, 1}, {0}});
}

static void test_share(void **state)
{
  (void)state;
  static const struct {
    const char *share;
    int32_t reading;
  } CASES[] = {{"0", 0}, {"0.25", 1}, {"0.5", 2}, {"1", 4}};
  char text[256], methods[128];
  snprintf(text, sizeof text, "{\"messages\": [{\"role\": \"user\", \"content\": \"3+4?\"}], %s}", FIELDS);
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    struct composed *set;
    struct error err = {0};
    struct problem p = make_problem(text);
    snprintf(methods, sizeof methods, "[{scrl: {k: 2, share: %s, prompt: \"{problem} {k} {tags} {x}\"}}]",
             CASES[i].share);
    CHECK_OK(case_open(methods, 1, &set, &err), &err);
    CHECK_INT(compose_needs(set)->flags != 0, CASES[i].reading > 0);
    struct step *s = guided(set, &p, &err);
    CHECK(s != NULL);
    for (int32_t r = 0; r < 4; r++) CHECK_INT(s->rollouts[r].generating != s->groups[0].context, r < CASES[i].reading);
    if (CASES[i].reading) CHECK_STR(seen, "3+4? 2 <p1></p1> <p2></p2> {x}");
    CHECK_STR(json_string_value(json_object_get(json_array_get(p.messages, 0), "content")), "3+4?");
  }
}

static void test_refusals(void **state)
{
  (void)state;
  char text[256];
  struct composed *set;
  struct error err = {0};
  snprintf(text, sizeof text, "{\"prompt\": \"3+4=\", %s}", FIELDS);
  struct problem p = make_problem(text);
  CHECK_OK(case_open("[scrl]", 1, &set, &err), &err);
  CHECK(guided(set, &p, &err) == NULL);
  CHECK_ERROR(err.code, &err, ERROR_INPUT, "problem p has 2 subproblems; expected 4");
  json_t *items = NULL;
  const char *why;
  error_clear(&err);
  CHECK_ERROR(compose_prepare(set, &p, &items, &why, &err), &err, ERROR_INPUT, "has no such field; expected an answer");
}

static void test_prepare(void **state)
{
  (void)state;
  static const struct {
    const char *first, *last, *why;
  } CASES[] = {{"3", " 7 ", NULL}, {"3", "8", "last answer"}, {" ", "7", "empty field"}};
  struct composed *set;
  struct error err = {0};
  CHECK_OK(case_open("[{scrl: {k: 2}}]", 1, &set, &err), &err);
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    char text[512];
    json_t *items = NULL;
    const char *why;
    snprintf(text, sizeof text,
             "{\"prompt\": \"3+4=\", \"answer\": \"7\", \"level\": 2, \"curriculum\": {\"question_1\": {\"statement\": "
             "\"1+2\", \"ground_truth\": \"%s\"}, \"question_2\": {\"statement\": \"3+4\", \"ground_truth\": \"%s\"}}}",
             CASES[i].first, CASES[i].last);
    struct problem p = make_problem(text);
    CHECK_OK(compose_prepare(set, &p, &items, &why, &err), &err);
    CHECK_INT(json_array_size(items), CASES[i].why ? 0 : 1);
    if (CASES[i].why) {
      CHECK_STR(why, CASES[i].why);
    } else {
      const json_t *item = json_array_get(items, 0), *list = json_object_get(item, "subproblems");
      CHECK(!why && !json_object_get(item, "curriculum") && json_object_get(item, "level"));
      CHECK_INT(json_array_size(list), 2);
      CHECK_STR(json_string_value(json_object_get(json_array_get(list, 0), "ground_truth")), "3");
      CHECK(json_object_get(p.fields, "curriculum") != NULL); /* the problem's own object is as it was */
    }
    json_decref(items);
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_credit), cmocka_unit_test(test_share),
                                     cmocka_unit_test(test_refusals), cmocka_unit_test(test_prepare)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}

/* The estimators against sums over all draws, and the report against numbers worked by hand. */
#include <stdlib.h>
#include "check.h"
#include "core/fault.h"
#include "core/file.h"
#include "core/math.h"
#include "data/stream.h"
#include "eval/report.h"
#include "reward/verify_queue.h"

static struct arena *arena;
static struct error err;
static const char *const rounding = "two f64 computations of some hundred operations";

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

/* Every subset of n samples, n <= 16: answer[i] is 0 for right, 1.. for others, -1 for silent. */
static void brute(const int *answer, int n, int k, double *pass, double *majority)
{
  double subsets = 0;
  *pass = *majority = 0;
  for (unsigned mask = 0; mask < 1u << n; mask++) {
    int votes[16] = {0}, taken = 0, tied = 0, most = 0;
    for (int i = 0; i < n; i++)
      if (mask >> i & 1) {
        taken++;
        if (answer[i] >= 0) votes[answer[i]]++;
      }
    if (taken != k) continue;
    subsets++;
    *pass += votes[0] > 0;
    for (int i = 0; i < 16; i++) most = votes[i] > most ? votes[i] : most;
    for (int i = 0; i < 16; i++) tied += votes[i] == most;
    if (votes[0] && votes[0] == most) *majority += 1.0 / tied;
  }
  *pass /= subsets;
  *majority /= subsets;
}

static void test_all_draws(void **state)
{
  (void)state;
  static const int cases[][12] = {
      {0, 0, 0, 1, 1, 2, 2, 2, 3, -1, -1, 4},  {0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2},
      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},    {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0},
      {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5},
  };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    int64_t votes[16] = {0}, other[16], right, silent = 0;
    size_t count = 0;
    for (int i = 0; i < 12; i++)
      if (cases[c][i] < 0)
        silent++;
      else
        votes[cases[c][i]]++;
    right = votes[0];
    for (int i = 1; i < 16; i++)
      if (votes[i]) other[count++] = votes[i];
    for (int k = 1; k <= 12; k++) {
      double pass, majority, got;
      brute(cases[c], 12, k, &pass, &majority);
      CHECK_CLOSE(eval_pass_at_k(12, right, k), pass, 1e-14, rounding);
      CHECK_OK(eval_majority_at_k(arena, right, other, count, silent, k, &got, &err), &err);
      CHECK_CLOSE(got, majority, 1e-12, rounding);
    }
  }
}

static void test_large(void **state)
{
  (void)state;
  int64_t other[3] = {300, 200, 100};
  double small, large;
  CHECK_OK(eval_majority_at_k(arena, 400, other, 3, 24, 8, &small, &err), &err);
  CHECK_OK(eval_majority_at_k(arena, 400, other, 3, 24, 128, &large, &err), &err);
  CHECK(small > 0.4 && small < large && large < 1);
  CHECK_OK(eval_majority_at_k(arena, 400, other, 3, 24, 1024, &large, &err), &err);
  CHECK(large == 1);
  CHECK_OK(eval_majority_at_k(arena, 400, other, 3, 24, 1000, &large, &err), &err);
  CHECK(math_is_nan(large));
}

static void test_intervals(void **state)
{
  (void)state;
  double low, high;
  eval_wilson(0.3, 10, &low, &high);
  CHECK_CLOSE(low, 0.10779126740630099, 1e-15, rounding);
  CHECK_CLOSE(high, 0.6032218525388546, 1e-15, rounding);
  eval_wilson(0.5, 0, &low, &high);
  CHECK(low == 0 && high == 1);
  /* Samples that agree with each other say no more than one each; samples that are all alike are independent. */
  double split[4] = {0, 1, 0, 1}, even[4] = {0.5, 0.5, 0.5, 0.5}, near[4] = {0.4, 0.6, 0.4, 0.6}, all[4] = {1, 1, 1, 1};
  CHECK_CLOSE(eval_effective_trials(split, 4, 32), 4, 0, "clamped");
  CHECK_CLOSE(eval_effective_trials(even, 4, 32), 4, 0, "no spread is seen: the careful end");
  CHECK_CLOSE(eval_effective_trials(near, 4, 32), 32, 0, "0.25 / (0.04 / 12) = 75, clamped to the attempts");
  CHECK_CLOSE(eval_effective_trials(all, 4, 32), 4, 0, "clamped");
}

static void add(struct attempt_list *l, const char *problem, const char *extracted, bool correct, int64_t tokens,
                const char *finish)
{
  struct attempt t = {.problem = problem,
                      .correct = correct,
                      .reward = correct,
                      .readable = extracted,
                      .extracted = extracted,
                      .tokens = tokens,
                      .finish = finish};
  CHECK_OK(attempt_list_add(arena, l, &t, &err), &err);
}

static void test_report(void **state)
{
  (void)state;
  struct attempt_list l = {0};
  struct eval_report r;
  add(&l, "a", "7", true, 10, "stop");
  add(&l, "b", "9", false, 20, "length");
  add(&l, "a", "8", false, 30, "stop");
  add(&l, "b", NULL, false, 40, "length");
  add(&l, "a", "7.0", true, 50, "stop");
  add(&l, "b", "9", false, -1, NULL);
  CHECK_OK(eval_report_make(arena, &l, NULL, 0, &r, &err), &err);
  CHECK_INT(r.problems, 2);
  CHECK_INT(r.attempts, 6);
  CHECK_CLOSE(r.accuracy, 1.0 / 3, 1e-15, rounding);
  CHECK_CLOSE(r.readable, 5.0 / 6, 1e-15, rounding);
  CHECK_CLOSE(r.tokens_mean, 30, 1e-15, rounding);
  CHECK_INT(r.tokens_max, 50);
  CHECK_INT(r.stop, 3);
  CHECK_INT(r.length, 2);
  CHECK_INT(r.k_count, 3);
  CHECK_INT(r.at[2].k, 3);
  CHECK_CLOSE(r.at[0].pass, 1.0 / 3, 1e-15, rounding);
  CHECK_CLOSE(r.at[1].pass, 0.5, 1e-15, rounding);
  CHECK_CLOSE(r.at[2].majority, 0.5, 1e-15, rounding);
  CHECK(r.low < r.accuracy && r.accuracy < r.high);
  int64_t four = 4;
  CHECK_ERROR(eval_report_make(arena, &l, &four, 1, &r, &err), &err, ERROR_INPUT, "expected 1 to 3");
  error_clear(&err);
  struct attempt_list none = {0};
  CHECK_ERROR(eval_report_make(arena, &none, NULL, 0, &r, &err), &err, ERROR_INPUT, "no attempts");
}

/* What was written gives the same report again, in any order of lines. */
static void test_stored(void **state)
{
  (void)state;
  char path[] = "/tmp/assay-eval-XXXXXX";
  struct attempt_list l = {0}, back = {0};
  struct text t = {0}, first = {0}, second = {0};
  struct eval_report r;
  CHECK(mkstemp(path) >= 0);
  for (int i = 0; i < 60; i++)
    add(&l, arena_printf(arena, "test", &err, "p%d", i % 20), arena_printf(arena, "test", &err, "\"%d\n", i % 7),
        i % 7 == 3, i, i % 2 ? "stop" : "length");
  for (size_t i = l.count; i-- > 0;) {
    text_puts(&t, "{");
    attempt_put_fields(&t, &l.items[i]);
    text_puts(&t, ", \"text\": \"...\"}\n");
  }
  CHECK_OK(file_append(path, t.bytes, t.size, false, &err), &err);
  CHECK_OK(attempts_read(arena, path, NULL, &back, &err), &err);
  CHECK_OK(eval_report_make(arena, &l, NULL, 0, &r, &err), &err);
  eval_report_put_json(&first, &r);
  CHECK_OK(eval_report_make(arena, &back, NULL, 0, &r, &err), &err);
  eval_report_put_json(&second, &r);
  CHECK_STR(second.bytes, first.bytes);
  json_t *parsed;
  CHECK_OK(json_parse(arena, first.bytes, first.size, "report", 0, JSON_READ_UNIQUE, &parsed, &err), &err);
  const char *rollout =
      "{\"problem\": \"x\", \"rollout\": 2, \"ids\": [1,2,3,4,5], \"from\": 2, \"reward\": 0.5, \"finish\": \"stop\", "
      "\"verdict\": {\"correct\": true, \"extracted\": \"4\"}}\n";
  struct attempt_list run = {0};
  CHECK_OK(file_truncate(path, 0, &err), &err);
  CHECK_OK(file_append(path, rollout, strlen(rollout), false, &err), &err);
  CHECK_OK(attempts_read(arena, path, NULL, &run, &err), &err);
  CHECK_INT(run.items[0].tokens, 3);
  CHECK_INT(run.items[0].sample, 2);
  CHECK(run.items[0].correct && run.items[0].readable);
  CHECK_OK(file_append(path, "{\"problem\": 5, \"correct\": true}\n", 32, false, &err), &err);
  CHECK_ERROR(attempts_read(arena, path, NULL, &run, &err), &err, ERROR_INPUT, "problem");
  CHECK_INT(err.line, 2);
  error_clear(&err);
  struct attempt_list none = {0};
  CHECK_OK(file_truncate(path, 0, &err), &err);
  CHECK_ERROR(attempts_read(arena, path, NULL, &none, &err), &err, ERROR_INPUT, "no attempts");
  text_free(&t), text_free(&first), text_free(&second);
  remove(path);
}

#ifdef ASSAY_HOSTILE
/* Problems from tasks and a line, judged, stored, read back and reported. */
static int whole_line(struct arena *a, const char *path, struct error *e)
{
  static const char *const texts[] = {"task:addition,digits=1", "task:multiplication,min=2,max=12,held_out_count=30"};
  struct attempt_list list = {0};
  struct eval_report report;
  struct text t = {0};
  for (size_t i = 0; i < 2; i++) {
    struct source_options o;
    struct source *source;
    struct stream *stream;
    struct problem p;
    struct verdict v;
    TRY(source_options_from_text(a, texts[i], SPLIT_TRAIN, &o, e));
    o.system = "s";
    o.suffix = "!";
    TRY(source_open(a, &o, 0, 1, &source, e));
    TRY(stream_open(a, &(struct source_list){&source, 1}, 1, NULL, &stream, e));
    TRY(stream_next(stream, a, &p, e));
    static const char *const kinds[] = {"task", "number", "string"};
    for (size_t k = 0; k < 3; k++) {
      struct verifier_config *c;
      TRY(verifier_open(a, verifier_find(kinds[k], e), NULL, 0, 0, &c, e));
      TRY(verify_now(a, c, &p, "it is 12", 8, &v, e));
    }
  }
  TRY(attempts_read(a, path, NULL, &list, e));
  TRY(eval_report_make(a, &list, NULL, 0, &report, e));
  eval_report_put_json(&t, &report);
  int rc = text_finish(&t, e);
  text_free(&t);
  return rc;
}

/* The n-th allocation fails, whichever it is: an error that says so, and nothing lost. */
static void test_no_memory(void **state)
{
  (void)state;
  char path[] = "/tmp/assay-eval-XXXXXX";
  const char *lines =
      "{\"problem\": \"a\", \"correct\": true}\n{\"problem\": \"a\", \"correct\": false, \"extracted\": \"1\"}\n";
  CHECK(mkstemp(path) >= 0);
  CHECK_OK(file_append(path, lines, strlen(lines), false, &err), &err);
  int rc = 1;
  for (long n = 1; rc; n++) {
    struct error e = {0};
    fault_set(FAULT_ALLOC, n);
    struct arena *a = arena_create("hostile", 0, &e);
    rc = a ? whole_line(a, path, &e) : e.code;
    arena_destroy(a);
    fault_set(FAULT_ALLOC, 0);
    CHECK_INT(rc, e.code);
    CHECK(!rc || rc == ERROR_RESOURCE);
    CHECK(n < 100000 && (rc || n > 100));
  }
  remove(path);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_all_draws), TEST(test_large), TEST(test_intervals), TEST(test_report), TEST(test_stored),
#ifdef ASSAY_HOSTILE
      TEST(test_no_memory),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

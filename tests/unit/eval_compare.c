/* Comparisons, judgements of stored texts, verdicts about chains of thought, estimators of k and the picture, each
 * against numbers worked by hand or counted over all draws. */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "core/file.h"
#include "core/math.h"
#include "eval/compare.h"
#include "eval/cot_report.h"
#include "eval/plot.h"
#include "eval/rejudge.h"

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

/* ---- estimators -------------------------------------------------------------------------------------------------- */

/* Every subset of k of n rewards. */
static void test_best_and_worst(void **state)
{
  (void)state;
  enum { N = 10 };
  const double rewards[N] = {-1, 0, 0, 0.25, 0.25, 0.5, 0.75, 1, 1, 2};
  for (int k = 1; k <= N; k++) {
    double best = 0, worst = 0, all = 0, subsets = 0;
    for (unsigned mask = 0; mask < 1u << N; mask++) {
      int low = -1, high = 0;
      if (__builtin_popcount(mask) != k) continue;
      for (int i = 0; i < N; i++)
        if (mask >> i & 1) low = low < 0 ? i : low, high = i;
      best += rewards[high];
      worst += rewards[low];
      all += low >= 3;
      subsets++;
    }
    CHECK_CLOSE(eval_best_at_k(rewards, N, (size_t)k), best / subsets, 1e-14, rounding);
    CHECK_CLOSE(eval_worst_at_k(rewards, N, (size_t)k), worst / subsets, 1e-14, rounding);
    CHECK_CLOSE(eval_all_at_k(N, N - 3, k), all / subsets, 1e-14, rounding);
  }
}

static void test_mcnemar(void **state)
{
  (void)state;
  CHECK_CLOSE(eval_mcnemar(0, 0), 1, 0, "nothing changed");
  CHECK_CLOSE(eval_mcnemar(3, 3), 1, 0, "as even as can be");
  CHECK_CLOSE(eval_mcnemar(5, 0), 2.0 / 32, 1e-15, rounding);
  CHECK_CLOSE(eval_mcnemar(1, 9), 2.0 * 11 / 1024, 1e-15, rounding);
  CHECK_CLOSE(eval_mcnemar(9, 1), eval_mcnemar(1, 9), 0, "symmetric");
  /* 10,000 fair coins, by Python's fractions. */
  CHECK_CLOSE(eval_mcnemar(4900, 5100), 0.04658552770494739, 1e-12, "a sum of 4900 logs, each rounded");
}

/* Paired resampling: the difference of two equal series is 0 in every resample, whatever they hold. */
static void test_paired(void **state)
{
  (void)state;
  double values[40 * 3];
  struct eval_interval v[3], again[3];
  for (int i = 0; i < 40; i++) {
    values[3 * i] = values[3 * i + 1] = i % 3 == 0;
    values[3 * i + 2] = 0;
  }
  CHECK_OK(eval_bootstrap(arena, values, 40, 3, v, &err), &err);
  CHECK_OK(eval_bootstrap(arena, values, 40, 3, again, &err), &err);
  CHECK(!memcmp(v, again, sizeof v));
  CHECK(!memcmp(&v[0], &v[1], sizeof v[0]));
  CHECK(v[2].low == 0 && v[2].high == 0);
  CHECK_CLOSE(v[0].mean, 14.0 / 40, 1e-15, rounding);
  CHECK_CLOSE(v[0].std / math_sqrt(0.35 * 0.65 / 40), 1, 0.05, "7 standard errors of a deviation from 10,000 draws");
  CHECK(v[0].low > 0.15 && v[0].low < 0.25 && v[0].high > 0.45 && v[0].high < 0.55);
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static void add(struct attempt_list *l, const char *problem, int right, int n)
{
  for (int i = 0; i < n; i++) {
    struct attempt t = {.problem = problem, .sample = i, .correct = i < right, .reward = i < right, .tokens = -1};
    CHECK_OK(attempt_list_add(arena, l, &t, &err), &err);
  }
}

static void test_compare(void **state)
{
  (void)state;
  struct attempt_list before = {0}, after = {0};
  struct eval_comparison c;
  struct text t = {0};
  json_t *parsed;
  add(&before, "a", 0, 4), add(&after, "a", 4, 4);
  add(&before, "b", 4, 4), add(&after, "b", 1, 4);
  add(&before, "c", 1, 4), add(&after, "c", 0, 4);
  add(&before, "d", 0, 4), add(&after, "d", 0, 4);
  add(&before, "gone", 1, 4), add(&after, "new", 1, 4), add(&after, "newer", 1, 4);
  CHECK_OK(eval_compare(arena, &before, &after, NULL, 0, &c, &err), &err);
  CHECK_INT(c.problems, 4);
  CHECK_INT(c.only_before, 1);
  CHECK_INT(c.only_after, 2);
  CHECK_CLOSE(c.before.mean, 5.0 / 16, 1e-15, rounding);
  CHECK_CLOSE(c.after.mean, 5.0 / 16, 1e-15, rounding);
  CHECK_CLOSE(c.difference.mean, 0, 1e-15, rounding);
  CHECK(c.difference.low < -0.3 && c.difference.high > 0.3);
  CHECK_INT(c.gained, 1);
  CHECK_INT(c.lost, 1);
  CHECK_CLOSE(c.p, 1, 0, "one each way");
  CHECK_INT(c.k_count, 3);
  CHECK_CLOSE(c.at[1].before.mean, (0 + 1 + 0.5 + 0) / 4, 1e-15, rounding);
  CHECK_CLOSE(c.at[1].difference.mean, (1 - 0.5 - 0.5) / 4, 1e-15, rounding);
  CHECK_CLOSE(c.at[2].after.mean, 0.5, 1e-15, rounding);
  CHECK_INT(c.n, 4);
  CHECK_INT(c.crossing, 0);
  CHECK_INT(c.coverage.base, 2);
  CHECK_INT(c.coverage.trained, 2);
  CHECK_INT(c.coverage.both, 1);
  CHECK_INT(c.coverage.neither, 1);
  CHECK_CLOSE(c.coverage.subset_ratio, 0.5, 0, "1 of 2");
  CHECK_INT(c.before_bins[0], 2);
  CHECK_INT(c.before_bins[BOUNDARY_BINS - 1], 1);
  CHECK_INT(c.moves[0][c.move_bins - 1], 1);
  CHECK_STR(c.pairs[0].problem, "a");
  CHECK_STR(c.pairs[3].problem, "b");
  eval_comparison_put_json(&t, &c);
  CHECK_OK(json_parse(arena, t.bytes, t.size, "comparison", 0, JSON_READ_UNIQUE, &parsed, &err), &err);
  CHECK_INT(json_array_size(json_object_get(parsed, "lost")), 1);
  text_free(&t);
}

/* The order of lines says nothing, unequal counts take the first attempts, and an id in two data sets is no puzzle. */
static void test_compare_order(void **state)
{
  (void)state;
  struct attempt_list before = {0}, after = {0}, turned = {0}, none = {0};
  struct eval_comparison c, d;
  struct text x = {0}, y = {0};
  add(&before, "a", 2, 6), add(&before, "b", 1, 4), add(&after, "b", 3, 4), add(&after, "a", 0, 5);
  for (size_t i = before.count; i-- > 0;) CHECK_OK(attempt_list_add(arena, &turned, &before.items[i], &err), &err);
  CHECK_OK(eval_compare(arena, &before, &after, NULL, 0, &c, &err), &err);
  CHECK_OK(eval_compare(arena, &turned, &after, NULL, 0, &d, &err), &err);
  eval_comparison_put_json(&x, &c);
  eval_comparison_put_json(&y, &d);
  CHECK_STR(y.bytes, x.bytes);
  CHECK_INT(c.n, 4);
  for (size_t i = 0; i < before.count; i++) before.items[i].data = i < 6 ? "x" : "y", before.items[i].problem = "1";
  for (size_t i = 0; i < after.count; i++) after.items[i].data = i < 4 ? "y" : "x", after.items[i].problem = "1";
  CHECK_OK(eval_compare(arena, &before, &after, NULL, 0, &d, &err), &err);
  CHECK_INT(d.problems, 2);
  CHECK_CLOSE(d.difference.mean, c.difference.mean, 1e-15, rounding);
  add(&none, "z", 1, 1);
  CHECK_ERROR(eval_compare(arena, &before, &none, NULL, 0, &d, &err), &err, ERROR_INPUT, "no problem in both");
  text_free(&x), text_free(&y);
}

/* ---- stored attempts --------------------------------------------------------------------------------------------- */

static void test_twice(void **state)
{
  (void)state;
  struct attempt_list l = {0};
  add(&l, "a", 1, 2);
  CHECK_OK(attempts_check(arena, &l, &err), &err);
  CHECK_OK(attempt_list_add(arena, &l, &(struct attempt){.problem = "a", .sample = 1, .seeded = true, .seed = 7}, &err),
           &err);
  CHECK_OK(attempts_check(arena, &l, &err), &err);
  add(&l, "a", 1, 1);
  CHECK_ERROR(attempts_check(arena, &l, &err), &err, ERROR_INPUT, "problem \"a\", seed 0, sample 0 twice");
}

static void test_repetition(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    double share;
  } cases[] = {{"one two three four", 0}, {"a b c d a b c d a b c d", 5.0 / 9}, {"so so so so so so so so", 0.8}};
  double got;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct attempt t = {.text = cases[i].text, .text_size = strlen(cases[i].text)};
    CHECK_OK(attempt_repetition(arena, &t, &got, &err), &err);
    CHECK_CLOSE(got, cases[i].share, 1e-15, rounding);
  }
  struct attempt brief = {.text = "too few words", .text_size = 13};
  CHECK_OK(attempt_repetition(arena, &brief, &got, &err), &err);
  CHECK(math_is_nan(got));
}

static void add_text(struct attempt_list *l, const char *problem, int sample, const char *text, const char *fields)
{
  struct attempt t = {.problem = problem,
                      .sample = sample,
                      .text = text,
                      .text_size = strlen(text),
                      .verifier = "string",
                      .fields = fields,
                      .tokens = -1};
  CHECK_OK(attempt_list_add(arena, l, &t, &err), &err);
}

/* Another verifier reads the texts; the problem's line stands with one attempt only. */
static void test_rejudge(void **state)
{
  (void)state;
  struct attempt_list l = {0};
  struct rejudge_options o = {.verifier = "number", .workers = 2};
  size_t changed;
  add_text(&l, "p", 1, "it is 11", NULL);
  add_text(&l, "q", 0, "so 8", NULL);
  add_text(&l, "p", 0, "it is 12.0", "{\"question\": \"3 * 4\", \"answer\": \"12\"}");
  l.items[1].answer = "8";
  CHECK_OK(attempts_rejudge(arena, &l, &o, &changed, &err), &err);
  CHECK_INT(changed, 2);
  CHECK(!l.items[0].correct && l.items[1].correct && l.items[2].correct);
  CHECK_STR(l.items[0].extracted, "11");
  CHECK_STR(l.items[2].verifier, "number");
  CHECK_CLOSE(l.items[2].reward, 1, 0, "right");
  o.verifier = NULL;
  CHECK_OK(attempts_rejudge(arena, &l, &o, &changed, &err), &err);
  CHECK_INT(changed, 0);
  add_text(&l, "r", 0, "5", NULL);
  CHECK_ERROR(attempts_rejudge(arena, &l, &o, &changed, &err), &err, ERROR_INPUT, "problem \"r\"");
  error_clear(&err);
  l.items[3].answer = "5";
  l.items[3].text = NULL;
  CHECK_ERROR(attempts_rejudge(arena, &l, &o, &changed, &err), &err, ERROR_INPUT, "without its text");
}

static void test_attach(void **state)
{
  (void)state;
  char path[] = "/tmp/assay-data-XXXXXX";
  const char *lines =
      "{\"id\": \"p\", \"question\": \"?\", \"answer\": 12}\n"
      "{\"id\": \"other\", \"question\": \"?\", \"answer\": 1}\n";
  struct source_options options;
  struct source *source;
  struct attempt_list l = {0};
  size_t changed;
  CHECK(mkstemp(path) >= 0);
  CHECK_OK(file_append(path, lines, strlen(lines), false, &err), &err);
  CHECK_OK(source_options_from_text(arena, path, SPLIT_ALL, &options, &err), &err);
  options.verifier = "number";
  CHECK_OK(source_open(arena, &options, 0, 1, &source, &err), &err);
  add_text(&l, "p", 0, "12", NULL);
  add_text(&l, "p", 1, "13", NULL);
  CHECK_OK(attempts_attach(arena, &l, source, &err), &err);
  CHECK_OK(attempts_rejudge(arena, &l, &(struct rejudge_options){.verifier = "number", .workers = 1}, &changed, &err),
           &err);
  CHECK(l.items[0].correct && !l.items[1].correct);
  remove(path);
}

/* ---- chains of thought ------------------------------------------------------------------------------------------- */

static void test_cot(void **state)
{
  (void)state;
  char path[] = "/tmp/assay-cot-XXXXXX";
  const char *lines =
      "{\"problem\": \"a\", \"sample\": 0, \"verdicts\": [true, true, false]}\n"
      "{\"problem\": \"a\", \"sample\": 1, \"verdicts\": [\"fine \\\\boxed{no}\", 0, null]}\n"
      "{\"problem\": \"a\", \"sample\": 2, \"correct\": false}\n";
  struct attempt_list l = {0};
  struct cot_report r;
  CHECK(mkstemp(path) >= 0);
  CHECK_OK(file_append(path, lines, strlen(lines), false, &err), &err);
  add(&l, "a", 2, 4), add(&l, "b", 0, 4);
  CHECK_OK(cot_report_make(arena, &l, &(const char *){path}, 1, COT_SPLIT, NULL, 0, &r, &err), &err);
  CHECK_INT(r.calls, 7);
  CHECK_INT(r.bad, 1);
  CHECK_INT(r.judged, 2);
  CHECK_INT(r.wrong_judged, 1);
  CHECK_INT(r.skipped, 1);
  CHECK_CLOSE(r.answer, 0.25, 1e-15, rounding);
  CHECK_CLOSE(r.chain[COT_MAJORITY], 0.5, 1e-15, rounding);
  CHECK_CLOSE(r.chain[COT_ALL], 0, 0, "one no");
  CHECK_CLOSE(r.at[0].pass, 0.25, 1e-15, rounding);
  CHECK_CLOSE(r.at[0].cot[COT_ANY], 0.125, 1e-15, rounding);
  CHECK_CLOSE(r.alpha, 1, 1e-15, "the one right chain has a right answer");
  CHECK_CLOSE(r.beta, 1.0 / 3, 1e-15,
              "one right answer to two wrong ones, of which one was judged and stands for both");
  /* The same from two files: twice as many calls. */
  const char *const twice[] = {path, path};
  CHECK_OK(cot_report_make(arena, &l, twice, 2, COT_SPLIT, NULL, 0, &r, &err), &err);
  CHECK_INT(r.calls, 14);
  CHECK_CLOSE(r.chain[COT_MAJORITY], 0.5, 1e-15, rounding);
  const char *again = "{\"problem\": \"a\", \"sample\": 0, \"verdicts\": [true]}\n";
  CHECK_OK(file_append(path, again, strlen(again), false, &err), &err);
  CHECK_ERROR(cot_report_make(arena, &l, &(const char *){path}, 1, COT_SPLIT, NULL, 0, &r, &err), &err, ERROR_INPUT,
              "second line");
  CHECK_INT(err.line, 4);
  error_clear(&err);
  CHECK_OK(file_truncate(path, 0, &err), &err);
  const char *unknown = "{\"problem\": \"c\", \"sample\": 0, \"verdicts\": [true]}\n";
  CHECK_OK(file_append(path, unknown, strlen(unknown), false, &err), &err);
  CHECK_ERROR(cot_report_make(arena, &l, &(const char *){path}, 1, COT_SPLIT, NULL, 0, &r, &err), &err, ERROR_INPUT,
              "0 attempts");
  remove(path);
}

/* ---- the picture ------------------------------------------------------------------------------------------------- */

static void test_plot(void **state)
{
  (void)state;
  const double nan = __builtin_nan("");
  const struct plot_point points[] = {{1, 0.2, 0.1, 0.3}, {2, 0.3, 0.2, 0.4}, {4, 0.5, nan, nan}},
                          one[] = {{1, 1, 1, 1}};
  struct text t = {0};
  plot_put_svg(&t, "a < b & c", (const struct plot_line[]){{"x", points, 3}, {"y", one, 1}}, 2);
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK(strstr(t.bytes, "a &lt; b &amp; c") && strstr(t.bytes, "prefers-color-scheme:dark"));
  CHECK(strstr(t.bytes, "60.0,") && strstr(t.bytes, "368.0,") && strstr(t.bytes, "676.0,")); /* 1, 2, 4 on log2 */
  CHECK(!strstr(t.bytes, "nan") && !strcmp(t.bytes + t.size - 7, "</svg>\n"));
  text_clear(&t);
  plot_put_svg(&t, "one", (const struct plot_line[]){{"y", one, 1}}, 1);
  CHECK(!strstr(t.bytes, "nan"));
  text_free(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_best_and_worst), TEST(test_mcnemar), TEST(test_paired),     TEST(test_compare),
      TEST(test_compare_order),  TEST(test_twice),   TEST(test_repetition), TEST(test_rejudge),
      TEST(test_attach),         TEST(test_cot),     TEST(test_plot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

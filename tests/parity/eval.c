/* Estimators against rational arithmetic: eval/passk.json of the fixtures. */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "core/file.h"
#include "core/json.h"
#include "eval/cot_report.h"

static struct arena *arena;
static struct error err;
static json_t *fixture;
static const char *const why = "f64 against exact rationals rounded once; sums of up to some thousand terms";

static double value(const json_t *o, const char *key)
{
  return json_number_value(json_object_get(json_object_get(o, key), "value"));
}

static int64_t whole(const json_t *o, const char *key)
{
  return json_integer_value(json_object_get(o, key));
}

static void test_pass(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "pass_at_k");
  CHECK(json_array_size(rows) > 10);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    int64_t n = whole(r, "n"), c = whole(r, "c"), k = whole(r, "k");
    CHECK_CLOSE(eval_pass_at_k(n, c, k), value(r, "pass_at_k"), 1e-13, why);
    CHECK_CLOSE(eval_all_at_k(n, c, k), value(r, "pass_all_k"), 1e-13, why);
    CHECK_CLOSE(eval_plug_in_at_k(n, c, k), value(r, "biased_plug_in"), 1e-13, why);
  }
}

static void test_curves(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "curves");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i), *curve = json_object_get(r, "curve"), *n = json_object_get(r, "n"),
                 *c = json_object_get(r, "c");
    for (size_t j = 0; j < json_array_size(curve); j++) {
      const json_t *at = json_array_get(curve, j);
      double mean = 0;
      for (size_t p = 0; p < json_array_size(n); p++)
        mean += eval_pass_at_k(json_integer_value(json_array_get(n, p)), json_integer_value(json_array_get(c, p)),
                               whole(at, "k"));
      CHECK_CLOSE(mean / (double)json_array_size(n), value(at, "mean"), 1e-13, why);
    }
  }
}

static void test_majority(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "maj_at_k");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    const char *right = json_string_value(json_object_get(r, "right")), *key;
    int64_t other[64], wins = 0;
    size_t count = 0;
    json_t *v;
    json_object_foreach(json_object_get(r, "counts"), key, v)
    {
      if (!strcmp(key, right))
        wins = json_integer_value(v);
      else
        other[count++] = json_integer_value(v);
    }
    json_object_foreach(json_object_get(r, "maj_at_k"), key, v)
    {
      double got;
      CHECK_OK(eval_majority_at_k(arena, wins, other, count, 0, strtoll(key, NULL, 10), &got, &err), &err);
      CHECK_CLOSE(got, json_number_value(json_object_get(v, "value")), 1e-12, why);
    }
  }
}

static void test_wilson(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(json_object_get(fixture, "bootstrap"), "wilson_95");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    double low, high, n = (double)whole(r, "n");
    eval_wilson((double)whole(r, "c") / n, n, &low, &high);
    CHECK_CLOSE(low, json_number_value(json_object_get(r, "low")), 1e-14, why);
    CHECK_CLOSE(high, json_number_value(json_object_get(r, "high")), 1e-14, why);
  }
}

/* ---- CoT-pass@k: attempts and a judge's file, as assay eval --cot reads them --------------------------------------
 */

static void write_verdicts(const char *path, struct attempt_list *list)
{
  const json_t *problems = json_object_get(json_object_get(fixture, "cot_pass_at_k"), "problems");
  struct text t = {0};
  for (size_t p = 0; p < json_array_size(problems); p++) {
    const json_t *right = json_object_get(json_array_get(problems, p), "right"),
                 *verdicts = json_object_get(json_array_get(problems, p), "verdicts");
    for (size_t i = 0; i < json_array_size(right); i++) {
      struct attempt attempt = {.problem = arena_printf(arena, "test", &err, "p%zu", p),
                                .sample = (int64_t)i,
                                .correct = json_integer_value(json_array_get(right, i)) != 0};
      CHECK_OK(attempt_list_add(arena, list, &attempt, &err), &err);
      if (json_is_null(json_array_get(verdicts, i))) continue;
      text_printf(&t, "{\"problem\": \"p%zu\", \"sample\": %zu, \"verdicts\": ", p, i);
      json_put_value(&t, json_array_get(verdicts, i));
      text_puts(&t, "}\n");
    }
  }
  CHECK_OK(file_append(path, t.bytes, t.size, false, &err), &err);
  text_free(&t);
}

/* Means over the problems that have a right answer. */
static double mean_chain(const json_t *expect, const char *rule)
{
  double sum = 0, n = 0;
  for (size_t p = 0; p < json_array_size(expect); p++) {
    const json_t *share = json_object_get(json_object_get(json_array_get(expect, p), "p_cc_given_ca"), rule);
    if (!json_is_object(share)) continue;
    sum += json_number_value(json_object_get(share, "value"));
    n++;
  }
  return sum / n;
}

static void test_cot(void **state)
{
  (void)state;
  const json_t *cot = json_object_get(fixture, "cot_pass_at_k"), *means = json_object_get(cot, "dataset_mean");
  char path[] = "/tmp/assay-cot-XXXXXX";
  struct attempt_list list = {0};
  struct cot_report r;
  const int64_t ks[] = {1, 2, 4};
  CHECK(mkstemp(path) >= 0);
  write_verdicts(path, &list);
  CHECK_OK(cot_report_make(arena, &list, &(const char *){path}, 1, COT_SPLIT, ks, 3, &r, &err), &err);
  for (int rule = 0; rule < COT_RULES; rule++) {
    const json_t *of = json_object_get(means, cot_rule_names[rule]);
    CHECK_INT(json_object_size(of), 3);
    for (size_t i = 0; i < 3; i++)
      CHECK_CLOSE(r.at[i].cot[rule], value(of, arena_printf(arena, "test", &err, "%d", (int)ks[i])), 1e-14, why);
    CHECK_CLOSE(r.chain[rule], mean_chain(json_object_get(cot, "expect"), cot_rule_names[rule]), 1e-14, why);
  }
  remove(path);
}

/* ---- votes and resampling ---------------------------------------------------------------------------------------- */

static void test_votes(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "votes");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i), *list = json_object_get(r, "answers");
    const char *answers[64], *winner = json_string_value(json_object_get(r, "winner"));
    for (size_t k = 0; k < json_array_size(list); k++) answers[k] = json_string_value(json_array_get(list, k));
    struct eval_vote v = eval_vote_of(answers, json_array_size(list));
    CHECK(!v.winner == !winner);
    if (winner) CHECK_STR(v.winner, winner);
    CHECK_INT(v.votes, whole(r, "votes"));
    CHECK_CLOSE(v.share, value(r, "share_of_all"), 1e-15, why);
    CHECK_INT(v.tied, json_is_true(json_object_get(r, "tied")));
  }
}

/* "3/8" */
static size_t fractions(const json_t *list, double *out)
{
  for (size_t i = 0; i < json_array_size(list); i++) {
    char *end;
    double top = (double)strtoll(json_string_value(json_array_get(list, i)), &end, 10);
    out[i] = *end == '/' ? top / (double)strtoll(end + 1, NULL, 10) : top;
  }
  return json_array_size(list);
}

static void test_given_resamples(void **state)
{
  (void)state;
  const json_t *given = json_object_get(json_object_get(fixture, "bootstrap"), "given_resamples");
  const json_t *resamples = json_object_get(given, "resamples"), *sorted = json_object_get(given, "means_sorted");
  double values[64], means[256];
  size_t n = fractions(json_object_get(given, "values"), values), count = json_array_size(resamples);
  CHECK(n > 0 && count > 0 && count <= 256);
  for (size_t i = 0; i < count; i++) {
    uint32_t index[64];
    for (size_t k = 0; k < n; k++)
      index[k] = (uint32_t)json_integer_value(json_array_get(json_array_get(resamples, i), k));
    eval_resample_means(values, 1, index, n, &means[i]);
  }
  eval_sort(means, count);
  for (size_t i = 0; i < count; i++) CHECK_CLOSE(means[i], json_number_value(json_array_get(sorted, i)), 1e-15, why);
  CHECK_CLOSE(eval_quantile(means, count, 0.025), value(given, "percentile_2.5"), 1e-14, why);
  CHECK_CLOSE(eval_quantile(means, count, 0.5), value(given, "percentile_50"), 1e-14, why);
  CHECK_CLOSE(eval_quantile(means, count, 0.975), value(given, "percentile_97.5"), 1e-14, why);
}

/* All 5^5 resamples of five problems, and what eval_bootstrap draws of them. */
static void test_exact_bootstrap(void **state)
{
  (void)state;
  enum { FIVE = 5, ALL = 3125 };
  const json_t *exact = json_object_get(json_object_get(fixture, "bootstrap"), "exact_distribution");
  static double means[ALL];
  double values[64], sum = 0, squares = 0, below = 0;
  CHECK_INT(fractions(json_object_get(exact, "values"), values), FIVE);
  for (uint32_t i = 0; i < ALL; i++) {
    uint32_t index[FIVE], rest = i;
    for (size_t k = 0; k < FIVE; k++, rest /= FIVE) index[k] = rest % FIVE;
    eval_resample_means(values, 1, index, FIVE, &means[i]);
    sum += means[i];
    below += means[i] <= 0.3 + 1e-12;
  }
  eval_sort(means, ALL);
  for (size_t i = 0; i < ALL; i++) squares += (means[i] - sum / ALL) * (means[i] - sum / ALL);
  CHECK_CLOSE(sum / ALL, value(exact, "mean"), 1e-13, why);
  CHECK_CLOSE(squares / ALL, value(exact, "variance_of_mean"), 1e-13, why);
  CHECK_CLOSE(below / ALL, value(exact, "p_mean_at_most_0.3"), 1e-15, why);
  CHECK_CLOSE(means[(int)(0.025 * ALL)], value(exact, "quantile_2.5"), 1e-15, why);
  CHECK_CLOSE(means[(int)(0.975 * ALL)], value(exact, "quantile_97.5"), 1e-15, why);
  struct eval_interval v;
  CHECK_OK(eval_bootstrap(arena, values, FIVE, 1, &v, &err), &err);
  CHECK_CLOSE(v.mean, value(exact, "mean"), 1e-15, why);
  CHECK_CLOSE(v.low, value(exact, "quantile_2.5"), 1e-15, "10,000 draws of a distribution with steps of 0.05");
  CHECK_CLOSE(v.high, value(exact, "quantile_97.5"), 1e-15, "10,000 draws of a distribution with steps of 0.05");
  CHECK_CLOSE(v.std * v.std / value(exact, "variance_of_mean"), 1, 0.06,
              "4 standard errors, sqrt(2 / 10,000) each, of a variance from 10,000 draws");
}

int main(void)
{
  const char *folder = getenv("ASSAY_FIXTURES");
  arena = arena_create("test", 0, &err);
  char *path =
      arena_printf(arena, "test", &err, "%s/eval/passk.json", folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures");
  if (!file_exists(path)) {
    printf("skipped: %s is absent\n", path);
    arena_destroy(arena);
    return 77;
  }
  if (json_parse_file(arena, path, &fixture, &err)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pass),
                                     cmocka_unit_test(test_curves),
                                     cmocka_unit_test(test_majority),
                                     cmocka_unit_test(test_wilson),
                                     cmocka_unit_test(test_cot),
                                     cmocka_unit_test(test_votes),
                                     cmocka_unit_test(test_given_resamples),
                                     cmocka_unit_test(test_exact_bootstrap)};
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return rc;
}

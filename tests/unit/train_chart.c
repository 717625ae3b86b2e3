/* A run's numbers added up, read back from metrics.jsonl, and drawn: counts, durations, the curve as text and SVG. */
#include "check.h"

#include "core/file.h"
#include "train/chart.h"

#include <stdlib.h>
#include <string.h>

static struct arena *arena;
static struct error err;
static struct metrics m;

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

static struct ledger *ledger_new(bool sft)
{
  struct ledger *l;
  CHECK_OK(ledger_create(arena, sft, &l, &err), &err);
  return l;
}

static void set_evaluation(double accuracy)
{
  metrics_set(&m, "eval/sums/accuracy", accuracy);
  metrics_set(&m, "eval/sums/low", accuracy - 0.1);
  metrics_set(&m, "eval/sums/high", accuracy + 0.1);
  metrics_set(&m, "seconds/evaluate", 2);
}

/* Step 0 evaluates 20 %, then `steps` steps solve step / steps; the last evaluates 90 %. */
static void fill(struct ledger *l, int steps, struct text *lines)
{
  for (int step = 0; step <= steps; step++) {
    m.count = 0;
    metrics_set_int(&m, "step", step);
    if (step) {
      metrics_set(&m, "solved", (double)step / steps);
      metrics_set(&m, "time_s", 0.5);
      metrics_set_int(&m, "tokens/generated", 1000);
      metrics_set_int(&m, "mismatch", 0);
      metrics_set_int(&m, "mismatch/of", 900);
      metrics_set(&m, "kl", (double)__builtin_nanf(""));
      metrics_set_int(&m, "memory/peak_mib", 100 + step);
    }
    if (step == 0 || step == steps) set_evaluation(step ? 0.9 : 0.2);
    if (lines) metrics_write_line(&m, lines);
    CHECK_OK(ledger_add(l, &m, &err), &err);
  }
}

static void test_adding_up(void **state)
{
  (void)state;
  struct ledger *l = ledger_new(false);
  double two[2], five[5];
  fill(l, 4, NULL);
  CHECK_INT(l->point_count, 4);
  CHECK_INT(l->result_count, 2);
  CHECK_INT(l->set_count, 1);
  CHECK_STR(l->sets[0], "sums");
  CHECK_INT(l->generated, 4000);
  CHECK_INT(l->mismatch_of, 3600);
  CHECK_INT(ledger_last_step(l), 4);
  CHECK(l->steps_seconds == 2 && l->evaluate_seconds == 4 && l->peak_mib == 104);
  CHECK(ledger_first(l, 0)->accuracy == 0.2 && ledger_last(l, 0)->accuracy == 0.9 && !ledger_first(l, 1));
  ledger_buckets(l, 2, two);
  CHECK(two[0] == 0.375 && two[1] == 0.875);
  ledger_buckets(l, 5, five);
  CHECK(five[0] == 0.25 && five[1] == 0.25 && five[2] == 0.5 && five[4] == 1);
}

static void test_reading_back(void **state)
{
  (void)state;
  char path[] = "/tmp/assay-ledger-XXXXXX";
  struct text lines = {0}, first = {0}, second = {0};
  struct ledger *l = ledger_new(false), *read = ledger_new(false);
  fill(l, 200, &lines);
  int fd = mkstemp(path);
  FILE *f = fdopen(fd, "w");
  fwrite(lines.bytes, 1, lines.size, f);
  CHECK(fclose(f) == 0);
  CHECK_OK(ledger_read(read, arena, path, &err), &err);
  CHECK_INT(read->point_count, 200);
  CHECK_INT(read->generated, l->generated);
  CHECK_INT(read->result_count, 2);
  chart_put_svg(&first, l, "title");
  chart_put_svg(&second, read, "title");
  CHECK_STR(first.bytes, second.bytes);
  CHECK_OK(ledger_read(read, arena, "/no/such/file", &err), &err);  // a run that has not reported yet
  CHECK_OK(file_remove_tree(path, &err), &err);
  text_free(&lines);
  text_free(&first);
  text_free(&second);
}

static void check_text(struct text *t, const char *want)
{
  CHECK_OK(text_finish(t, &err), &err);
  CHECK_STR(t->bytes, want);
  text_clear(t);
}

static void test_numbers(void **state)
{
  (void)state;
  struct text t = {0};
  const struct {
    int64_t n;
    const char *want;
  } counts[] = {{0, "0"}, {999, "999"}, {1000, "1,000"}, {-1234567, "-1,234,567"}, {-123, "-123"}};
  const struct {
    double seconds;
    const char *want;
  } times[] = {{-1, "0.0 s"},          {0.84, "0.8 s"},      {9.94, "9.9 s"},    {9.96, "10 s"},
               {59.4, "59 s"},         {59.6, "1 min 00 s"}, {65, "1 min 05 s"}, {3599.4, "59 min 59 s"},
               {3599.6, "1 h 00 min"}, {7500, "2 h 05 min"}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    chart_put_count(&t, counts[i].n);
    check_text(&t, counts[i].want);
  }
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    chart_put_duration(&t, times[i].seconds);
    check_text(&t, times[i].want);
  }
  text_free(&t);
}

static void test_curve_as_text(void **state)
{
  (void)state;
  struct text t = {0};
  struct ledger *l = ledger_new(false);
  fill(l, 20, NULL);
  chart_put_text(&t, l, 31, false);
  check_text(&t,
             "   100 % |                 .|o\n"
             "         |               :|###\n"
             "         |            .|######\n"
             "         |          :|########\n"
             "    50 % |       .|###########\n"
             "         |     :|#############\n"
             "         |o .|################\n"
             "         |:|##################\n"
             "     0 % +--------------------\n"
             "          0            step 20\n");
  chart_put_text(&t, l, 31, true);
  CHECK(strstr(t.bytes, "\u25cf") && strstr(t.bytes, "\u2588") && strstr(t.bytes, "\u2514"));
  text_clear(&t);
  chart_put_text(&t, ledger_new(false), 80, true);  // nothing yet, nothing drawn
  CHECK_INT(t.size, 0);
  text_free(&t);
}

/* Small fractions get an axis of their own; losses end at 1, 2 or 5 times a power of ten. */
static void test_axes(void **state)
{
  (void)state;
  struct text t = {0};
  struct ledger *l = ledger_new(false), *sft = ledger_new(true);
  for (int step = 1; step <= 3; step++) {
    m.count = 0;
    metrics_set_int(&m, "step", step);
    metrics_set(&m, "solved", 0.02 * step);
    metrics_set(&m, "loss", 4.5 / step);
    CHECK_OK(ledger_add(l, &m, &err), &err);
    CHECK_OK(ledger_add(sft, &m, &err), &err);
  }
  chart_put_text(&t, l, 60, false);
  CHECK(!strncmp(t.bytes, "    10 % |", 10));
  text_clear(&t);
  chart_put_text(&t, sft, 60, false);
  CHECK(!strncmp(t.bytes, "       5 |", 10));
  text_clear(&t);
  chart_put_svg(&t, sft, "loss");
  CHECK(strstr(t.bytes, ">2.5</text>") && strstr(t.bytes, ">loss</text>"));
  text_free(&t);
}

static int count_of(const char *text, const char *what)
{
  int count = 0;
  for (const char *at = text; (at = strstr(at, what)); at++) count++;
  return count;
}

static void test_curve_as_svg(void **state)
{
  (void)state;
  struct text t = {0};
  struct ledger *l = ledger_new(false);
  fill(l, 2000, NULL);
  chart_put_svg(&t, l, "a < b & \"c\"\x01");
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK(strstr(t.bytes, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"700\" height=\"350\"") == t.bytes);
  CHECK(strstr(t.bytes, ">a &lt; b &amp; \"c\" </text>") != NULL);
  CHECK(strstr(t.bytes, "prefers-color-scheme:dark") != NULL);
  CHECK_INT(count_of(t.bytes, "<polyline"), 2);  // the points and their mean
  CHECK_INT(count_of(t.bytes, "<circle"), 3);    // two evaluations and the key
  CHECK_INT(count_of(t.bytes, "<text"), count_of(t.bytes, "</text>"));
  CHECK_INT(count_of(t.bytes, "<g "), count_of(t.bytes, "</g>"));
  CHECK(t.size < 40000);  // 2,000 steps are thinned out
  CHECK(!strstr(t.bytes, "nan") && !strstr(t.bytes, "inf"));
  text_clear(&t);
  chart_put_svg(&t, ledger_new(false), "nothing yet");
  CHECK(strstr(t.bytes, "</svg>") && !strstr(t.bytes, "<polyline") && !strstr(t.bytes, "nan"));
  text_free(&t);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_adding_up, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_reading_back, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_curve_as_text, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_axes, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_curve_as_svg, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* links: train. Statistics of whole rows against their formulas, written the long way round from raw logits. */
#include "check.h"

#include "core/math.h"
#include "core/rng.h"
#include "train/rows.h"
#include "train/score_rows.h"

enum { V = 23 };

/* p at the temperature, r at temperature 1 */
static void softmax(const double *logit, double temperature, double *p)
{
  double sum = 0;
  for (int v = 0; v < V; v++) sum += p[v] = math_exp(logit[v] / temperature);
  for (int v = 0; v < V; v++) p[v] /= sum;
}

static void check_row(double temperature, uint32_t seed)
{
  double logit[V], logp[V], p[V], r[V], most = 0, squares = 0, least = 1, most_r = 0;
  for (int v = 0; v < V; v++) {
    const struct rng_at at = {.purpose = RNG_TEST, .step = seed, .position = (uint32_t)v};
    logit[v] = 8 * rng_uniform(1, &at);
    logp[v] = logit[v] / temperature;
  }
  rows_log_softmax(logp, V);
  softmax(logit, temperature, p);
  softmax(logit, 1, r);
  for (int v = 0; v < V; v++) {
    most = p[v] > most ? p[v] : most;
    most_r = r[v] > most_r ? r[v] : most_r;
    least = p[v] < least ? p[v] : least;
    squares += p[v] * p[v];
  }
  struct token_stat stat = {.kind = TOKEN_STAT_SUM_P2};
  const char *why = "f64 in another order";
  CHECK_CLOSE(token_stat_of(&stat, logp, V, 0, temperature), squares, 1e-12, why);
  stat.kind = TOKEN_STAT_MAX_P;
  CHECK_CLOSE(token_stat_of(&stat, logp, V, 0, temperature), most, 1e-12, why);
  stat.kind = TOKEN_STAT_MIN_LOGP;
  CHECK_CLOSE(token_stat_of(&stat, logp, V, 0, temperature), math_log(least), 1e-11, why);
  for (int floor = 0; floor < 2; floor++) {
    double bar = floor ? 0.03 : 0.1 * most_r, mass = 0;
    stat.parameter = floor ? 0.03 : 0.1;
    for (int v = 0; v < V; v++) mass += r[v] >= bar ? p[v] : 0;
    stat.kind = floor ? TOKEN_STAT_FLOOR_MASS : TOKEN_STAT_MIN_P_MASS;
    CHECK_CLOSE(token_stat_of(&stat, logp, V, 0, temperature), mass, 1e-12, why);
    stat.kind = floor ? TOKEN_STAT_FLOOR_LOGP : TOKEN_STAT_MIN_P_LOGP;
    int kept = 0;
    for (int32_t y = 0; y < V; y++) {
      double got = token_stat_of(&stat, logp, V, y, temperature);
      kept += r[y] >= bar;
      if (r[y] >= bar)
        CHECK_CLOSE(got, math_log(p[y] / mass), 1e-11, why);
      else
        CHECK(got < 0 && !math_is_finite(got));
    }
    CHECK(kept > 0 && kept < V);
  }
}

static void test_formulas(void **state)
{
  (void)state;
  for (uint32_t seed = 0; seed < 20; seed++) {
    check_row(1, seed);
    check_row(0.6, seed);
    check_row(1.7, seed);
  }
}

/* A row in which one token has all, and one in which all are alike. */
static void test_ends(void **state)
{
  (void)state;
  double sure[4] = {0, -1e4, -1e4, -1e4}, even[4] = {5, 5, 5, 5};
  struct token_stat squares = {.kind = TOKEN_STAT_SUM_P2}, floor = {TOKEN_STAT_FLOOR_LOGP, 0.5};
  rows_log_softmax(sure, 4);
  rows_log_softmax(even, 4);
  CHECK_CLOSE(token_stat_of(&squares, sure, 4, 0, 1), 1, 0.0, "exp(-20000) is 0");
  CHECK_CLOSE(token_stat_of(&squares, even, 4, 0, 1), 0.25, 1e-15, "rounding");
  CHECK_CLOSE(token_stat_of(&floor, sure, 4, 0, 1), 0, 0.0, "nothing else is kept");
  CHECK(token_stat_of(&floor, even, 4, 2, 1) < -1e300); /* no token is: the kept set is empty */
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_formulas), cmocka_unit_test(test_ends)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

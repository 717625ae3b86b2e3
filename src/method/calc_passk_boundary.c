/* The pass@k audit of a reasoning boundary (arXiv 2504.13837) on given counts: eval/boundary.h. */
#include <string.h>
#include "core/math.h"
#include "eval/boundary.h"
#include "eval/estimators.h"
#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_table_policy.h"

static int read_counts(const struct calc_case *c, const char *key, int64_t **out, size_t *n, struct error *err)
{
  const json_t *v = calc_need(c, key, err);
  if (!v) return err->code;
  *n = json_array_size(v);
  *out = ARENA_NEW(c->arena, int64_t, *n + 1, "calc", err);
  for (size_t i = 0; *out && i < *n; i++) (*out)[i] = (int64_t)json_number_value(json_array_get(v, i));
  return *out ? 0 : err->code;
}

static json_t *pair(double a, double b)
{
  return calc_list((double[]){a, b}, 2);
}

static int gap(struct calc_case *c, struct error *err)
{
  int64_t n, most, *base, *trained;
  size_t count, other;
  json_t *ahead = json_array();
  json_object_set_new(c->outputs, "base_ahead_at", ahead);
  TRY(calc_int(c, "n", 0, &n, err));
  TRY(calc_int(c, "K", n, &most, err));
  TRY(read_counts(c, "base", &base, &count, err));
  TRY(read_counts(c, "trained", &trained, &other, err));
  if (count != other || !count || most < 1 || most > n)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name, "found %zu and %zu problems and K %lld of %lld samples", count,
            other, (long long)most, (long long)n);
  double one[2] = {boundary_mean_pass(base, count, n, 1), boundary_mean_pass(trained, count, n, 1)};
  double all[2] = {boundary_mean_pass(base, count, n, most), boundary_mean_pass(trained, count, n, most)};
  int64_t crossing = boundary_crossing(base, trained, count, n);
  json_object_set_new(c->outputs, "pass_1", pair(one[0], one[1]));
  json_object_set_new(c->outputs, "pass_K", pair(all[0], all[1]));
  calc_put(c->outputs, "delta_se", all[0] - one[1]);
  json_object_set_new(c->outputs, "crossing_k", crossing ? json_integer(crossing) : json_null());
  for (int64_t k = 1; k <= n; k++)
    if (boundary_base_ahead(base, trained, count, n, k)) json_array_append_new(ahead, json_integer(k));
  return 0;
}

/* Counts per problem from counts, or from lists of verdicts cut to the samples that both sides have. */
static int64_t common_samples(const json_t *base, const json_t *trained)
{
  size_t a = json_array_size(json_array_get(base, 0)), b = json_array_size(json_array_get(trained, 0));
  return (int64_t)(a < b ? a : b);
}

static int64_t count_first(const json_t *v, int64_t samples)
{
  int64_t right = 0;
  if (!json_is_array(v)) return (int64_t)json_number_value(v);
  for (int64_t i = 0; i < samples; i++) right += json_number_value(json_array_get(v, (size_t)i)) != 0;
  return right;
}

static int coverage(struct calc_case *c, struct error *err)
{
  const json_t *b = calc_need(c, "base", err), *t = calc_need(c, "trained", err);
  size_t n = json_array_size(b);
  int64_t samples = common_samples(b, t);
  int64_t *base = ARENA_NEW(c->arena, int64_t, 2 * n + 1, "calc", err), *trained = base + n;
  json_t *only_base = json_array(), *only_trained = json_array();
  json_object_set_new(c->outputs, "only_base", only_base);
  json_object_set_new(c->outputs, "only_trained", only_trained);
  if (!b || !t || !base) return err->code;
  for (size_t i = 0; i < n; i++) {
    base[i] = count_first(json_array_get(b, i), samples);
    trained[i] = count_first(json_array_get(t, i), samples);
    if (base[i] > 0 && !(trained[i] > 0)) json_array_append_new(only_base, json_integer((json_int_t)i));
    if (trained[i] > 0 && !(base[i] > 0)) json_array_append_new(only_trained, json_integer((json_int_t)i));
  }
  struct boundary_coverage k = boundary_cover(base, trained, n);
  if (samples) calc_put(c->outputs, "samples", (double)samples);
  calc_put(c->outputs, "base", (double)k.base);
  calc_put(c->outputs, "trained", (double)k.trained);
  calc_put(c->outputs, "both", (double)k.both);
  calc_put(c->outputs, "neither", (double)k.neither);
  calc_put(c->outputs, "subset_ratio", k.subset_ratio);
  return 0;
}

/* [n, c] of row i. */
static void row_counts(const json_t *rows, size_t i, int64_t *n, int64_t *right)
{
  *n = (int64_t)json_number_value(json_array_get(json_array_get(rows, i), 0));
  *right = (int64_t)json_number_value(json_array_get(json_array_get(rows, i), 1));
}

static int histogram(struct calc_case *c, struct error *err)
{
  const json_t *rows = calc_need(c, "counts", err);
  double bins[BOUNDARY_BINS] = {0};
  json_t *bin_of = json_array();
  json_object_set_new(c->outputs, "bin_of", bin_of);
  if (!rows) return err->code;
  for (size_t i = 0; i < json_array_size(rows); i++) {
    int64_t n, right;
    row_counts(rows, i, &n, &right);
    int bin = boundary_bin(right, n);
    bins[bin]++;
    json_array_append_new(bin_of, json_integer(bin));
  }
  json_object_set_new(c->outputs, "bins", calc_list(bins, BOUNDARY_BINS));
  return 0;
}

static int guesses(struct calc_case *c, struct error *err)
{
  const json_t *rows = calc_need(c, "counts", err), *t = calc_need(c, "threshold", err);
  json_t *keep = json_array();
  json_object_set_new(c->outputs, "keep", keep);
  if (!rows || !t) return err->code;
  for (size_t i = 0; i < json_array_size(rows); i++) {
    int64_t n, right;
    row_counts(rows, i, &n, &right);
    json_array_append_new(keep, json_integer(boundary_keeps(right, n, json_integer_value(json_array_get(t, 0)),
                                                            json_integer_value(json_array_get(t, 1)))));
  }
  return 0;
}

static int perplexity(struct calc_case *c, struct error *err)
{
  const json_t *responses = json_object_get(c->args, "responses"), *r;
  const char *name;
  json_object_foreach((json_t *)(uintptr_t)responses, name, r)
  {
    struct calc_matrix logp, mask;
    TRY(calc_matrix(c, json_object_get(r, "log_prob"), &logp, err));
    TRY(calc_matrix(c, json_object_get(r, "mask"), &mask, err));
    calc_put(c->outputs, name, boundary_perplexity(logp.rows[0].at, mask.rows[0].at, logp.rows[0].count));
  }
  return 0;
}

static int portion(struct calc_case *c, struct error *err)
{
  struct calc_matrix a, b;
  TRY(calc_matrix(c, calc_need(c, "trained", err), &a, err));
  TRY(calc_matrix(c, calc_need(c, "base", err), &b, err));
  struct boundary_portion p = boundary_lower_portion(a.rows[0].at, a.rows[0].count, b.rows[0].at, b.rows[0].count);
  calc_put(c->outputs, "median_base", p.median);
  calc_put(c->outputs, "below_median", p.below);
  calc_put(c->outputs, "above_max", (double)p.above);
  calc_put(c->outputs, "p_lower", p.lower);
  return 0;
}

/* Logits [rows, v], one behind the other. */
static int read_logits(const struct calc_case *c, double **out, size_t *rows, size_t *v, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, "logits", err), &m, err));
  *rows = m.row_count;
  *v = m.rows[0].count;
  *out = ARENA_NEW(c->arena, double, *rows **v, "calc", err);
  if (!*out) return err->code;
  for (size_t i = 0; i < *rows; i++) memcpy(*out + i * *v, m.rows[i].at, *v * sizeof **out);
  return 0;
}

static int entropy(struct calc_case *c, struct error *err)
{
  double *z, temperature;
  size_t rows, v;
  TRY(calc_real(c, "temperature", 1, &temperature, err));
  TRY(read_logits(c, &z, &rows, &v, err));
  double *each = ARENA_NEW(c->arena, double, rows, "calc", err);
  if (!each) return err->code;
  calc_put(c->outputs, "mean", boundary_entropy(z, rows, v, temperature, each));
  json_object_set_new(c->outputs, "per_token", calc_list(each, rows));
  return 0;
}

static void note_step(void *arg, double temperature, double mean, double low, double high)
{
  json_t *row = json_object();
  calc_put(row, "temperature", temperature);
  calc_put(row, "entropy", mean);
  calc_put(row, "low", low);
  calc_put(row, "high", high);
  json_array_append_new(arg, row);
}

static int match(struct calc_case *c, struct error *err)
{
  struct boundary_search s = {.step = note_step, .arg = json_array()};
  double *z;
  size_t rows, v;
  json_object_set_new(c->outputs, "steps", s.arg);
  TRY(calc_real(c, "target", 0, &s.target, err));
  TRY(calc_real(c, "low", 0.6, &s.low, err));
  TRY(calc_real(c, "high", 2, &s.high, err));
  TRY(calc_real(c, "tolerance", 0.01, &s.tolerance, err));
  TRY(calc_int(c, "max_steps", 30, &s.max_steps, err));
  TRY(read_logits(c, &z, &rows, &v, err));
  struct boundary_match m = boundary_match_entropy(z, rows, v, &s);
  calc_put(c->outputs, "temperature", m.temperature);
  calc_put(c->outputs, "entropy", m.entropy);
  calc_put(c->outputs, "reached", m.reached);
  return 0;
}

/* Problems solved seldom: does one of their right answers have a valid chain? 1 valid, 0 not, null ambiguous. */
static int audit(struct calc_case *c, struct error *err)
{
  const json_t *problems = calc_need(c, "problems", err), *t = calc_need(c, "threshold", err), *p;
  json_t *listed = json_array();
  double valid = 0, ambiguous = 0, without = 0;
  size_t i;
  json_object_set_new(c->outputs, "listed", listed);
  if (!problems || !t) return err->code;
  json_array_foreach(problems, i, p)
  {
    const json_t *chains = json_object_get(p, "chains");
    int64_t right = (int64_t)json_array_size(chains), n = (int64_t)json_number_value(json_object_get(p, "n"));
    bool any_valid = false, any_open = false;
    if (right == 0 ||
        boundary_keeps(right, n, json_integer_value(json_array_get(t, 0)), json_integer_value(json_array_get(t, 1))))
      continue;
    for (int64_t k = 0; k < right; k++) {
      const json_t *v = json_array_get(chains, (size_t)k);
      any_open |= json_is_null(v);
      any_valid |= json_number_value(v) != 0;
    }
    json_array_append_new(listed, json_integer((json_int_t)i));
    ++*(any_valid ? &valid : any_open ? &ambiguous : &without);
  }
  calc_put(c->outputs, "with_valid", valid);
  calc_put(c->outputs, "ambiguous", ambiguous);
  calc_put(c->outputs, "without", without);
  calc_put(c->outputs, "decided", valid + without);
  return 0;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static bool same_key(const json_t *a, const json_t *b)
{
  for (size_t k = 0; k < 3; k++)
    if (!json_equal(json_array_get(a, k), json_array_get(b, k))) return false;
  return true;
}

static void put_duplicate(struct calc_case *c, const json_t *record)
{
  static const char *const keys[] = {"problem", "seed", "sample"};
  json_t *error = json_object();
  for (size_t k = 0; k < 3; k++) json_object_set(error, keys[k], json_array_get(record, k));
  json_object_set_new(c->outputs, "error", error);
}

/* A record is (problem, seed, sample, right, truncated). A key that comes twice is an error. */
static int merge(struct calc_case *c, struct error *err)
{
  const json_t *files = calc_need(c, "files", err), *file, *record;
  json_t *all = json_array(), *counts = json_object();
  size_t i, k;
  bool twice = false;
  json_array_foreach(files, i, file) json_array_foreach(file, k, record)
  {
    const char *problem = json_string_value(json_array_get(record, 0));
    for (size_t m = 0; m < json_array_size(all) && !twice; m++)
      if (same_key(json_array_get(all, m), record)) {
        put_duplicate(c, record);
        twice = true;
      }
    if (twice || !problem) continue;
    json_array_append(all, (json_t *)(uintptr_t)record);
    const json_t *now = json_object_get(counts, problem);
    double n = json_number_value(json_array_get(now, 0)), right = json_number_value(json_array_get(now, 1));
    bool good = json_number_value(json_array_get(record, 3)) != 0 && json_number_value(json_array_get(record, 4)) == 0;
    json_object_set_new(counts, problem, pair(n + 1, right + good));
  }
  json_decref(all);
  if (twice)
    json_decref(counts);
  else
    json_object_set_new(c->outputs, "counts", counts);
  return files ? 0 : err->code;
}

static int bootstrap(struct calc_case *c, struct error *err)
{
  struct calc_matrix resamples;
  int64_t n, k, *base, *trained;
  size_t count, other;
  double total = 0;
  TRY(calc_int(c, "n", 0, &n, err));
  TRY(calc_int(c, "k", 1, &k, err));
  TRY(read_counts(c, "base", &base, &count, err));
  TRY(read_counts(c, "trained", &trained, &other, err));
  TRY(calc_matrix(c, calc_need(c, "resamples", err), &resamples, err));
  double *difference = ARENA_NEW(c->arena, double, count + resamples.row_count, "calc", err);
  if (!difference) return err->code;
  double *means = difference + count;
  for (size_t i = 0; i < count; i++) {
    difference[i] = eval_pass_at_k(n, base[i], k) - eval_pass_at_k(n, trained[i], k);
    total += difference[i];
  }
  for (size_t r = 0; r < resamples.row_count; r++) {
    means[r] = 0;
    for (size_t i = 0; i < resamples.rows[r].count; i++) means[r] += difference[(size_t)resamples.rows[r].at[i]];
    means[r] /= (double)resamples.rows[r].count;
  }
  eval_sort(means, resamples.row_count);
  calc_put(c->outputs, "difference", total / (double)count);
  calc_put(c->outputs, "p2.5", eval_quantile(means, resamples.row_count, 0.025));
  calc_put(c->outputs, "p97.5", eval_quantile(means, resamples.row_count, 0.975));
  return 0;
}

/* ---- the bandit of the small experiment -------------------------------------------------------------------------- */

/* GRPO on one prompt's draws: adds its gradient; returns how many were right. */
static double bandit_prompt(const struct table_policy *t, size_t q, const struct calc_row *draws, double *own,
                            double *shared, double *work)
{
  double *reward = work, *advantage = work + draws->count, *p = work + 2 * draws->count, right = 0;
  table_policy_row(t, q, p);
  for (size_t i = 0; i < draws->count; i++) {
    reward[i] = table_policy_draw(t, p, draws->at[i]) == t->right[q];
    right += reward[i];
  }
  group_normalised(reward, (int32_t)draws->count, false, 1e-6, advantage);
  for (size_t i = 0; i < draws->count; i++)
    for (size_t a = 0; a < t->actions; a++) {
      double g = advantage[i] * ((a == table_policy_draw(t, p, draws->at[i])) - p[a]) / (double)draws->count;
      own[q * t->actions + a] += g;
      shared[a] += g;
    }
  return right;
}

static int bandit(struct calc_case *c, struct error *err)
{
  const json_t *draws = calc_need(c, "draws", err), *step;
  struct table_policy t;
  json_t *steps = json_array();
  size_t i;
  json_object_set_new(c->outputs, "steps", steps);
  if (!draws) return err->code;
  TRY(table_policy_open(c, &t, err));
  json_array_foreach(draws, i, step)
  {
    struct calc_matrix u;
    json_t *row = json_object(), *right = json_array();
    json_array_append_new(steps, row);
    json_object_set_new(row, "right", right);
    TRY(calc_matrix(c, step, &u, err));
    double *work = ARENA_NEW(c->arena, double, 2 * u.rows[0].count + t.actions, "calc", err);
    if (!work) return err->code;
    table_policy_begin(&t);
    for (size_t q = 0; q < u.row_count; q++)
      json_array_append_new(right, calc_number(bandit_prompt(&t, q, &u.rows[q], t.gradient, t.shared_gradient, work)));
    table_policy_step(&t, (double)u.row_count);
    TRY(table_policy_put(c, &t, row, err));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  static const struct {
    const char *prefix;
    int (*compute)(struct calc_case *c, struct error *err);
  } parts[] = {{"gap", gap},
               {"coverage", coverage},
               {"histogram", histogram},
               {"perplexity:", portion},
               {"perplexity", perplexity},
               {"entropy at", entropy},
               {"match entropy", match},
               {"guessability", guesses},
               {"chain audit", audit},
               {"merge", merge},
               {"paired bootstrap", bootstrap},
               {"bandit", bandit}};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (calc_is(c, parts[i].prefix)) return parts[i].compute(c, err);
  FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name,
          "found case \"%s\"; expected one that begins with gap, coverage, histogram, perplexity, entropy at, match "
          "entropy, guessability, chain audit, merge, paired bootstrap or bandit",
          c->name);
}

const struct calc calc_passk_boundary = {
    .function = "passk_boundary",
    .help = "pass@k audit of what a model can solve, before and after training",
    .compute = compute,
};

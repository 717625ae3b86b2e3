/* CoT-Pass@K (arXiv 2506.14245) on given verdicts: eval/cot.h. */
#include <string.h>
#include "core/math.h"
#include "eval/cot.h"
#include "eval/estimators.h"
#include "method/calc.h"
#include "method/part_group.h"

enum { MOST_CALLS = 64, MOST_RESPONSES = 4096 };

static int verdict_of(const json_t *v)
{
  return json_is_null(v) ? COT_BAD : (json_is_true(v) || json_number_value(v) != 0) ? COT_YES : COT_NO;
}

static enum cot_bad bad_of(const char *text)
{
  return !strcmp(text, "abstain") ? COT_ABSTAIN : !strcmp(text, "no") ? COT_AS_NO : COT_SPLIT;
}

static size_t read_verdicts(const json_t *list, int64_t most, int out[MOST_CALLS])
{
  size_t n = json_array_size(list);
  if (most >= 0 && n > (size_t)most) n = (size_t)most;
  if (n > MOST_CALLS) n = MOST_CALLS;
  for (size_t i = 0; i < n; i++) out[i] = verdict_of(json_array_get(list, i));
  return n;
}

static json_t *rules(const double x[COT_RULES])
{
  json_t *out = json_object();
  for (int r = 0; r < COT_RULES; r++) calc_put(out, cot_rule_names[r], x[r]);
  return out;
}

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

struct prompt_counts {
  int64_t n, right, sound[COT_RULES];
};

static struct prompt_counts count_prompt(const json_t *prompt, int64_t most, enum cot_bad bad, int64_t *calls,
                                         int64_t *unusable)
{
  const json_t *right = json_object_get(prompt, "right"), *verdicts = json_object_get(prompt, "verdicts");
  struct prompt_counts c = {.n = (int64_t)json_array_size(right)};
  for (size_t i = 0; i < json_array_size(right); i++) {
    int v[MOST_CALLS];
    bool holds[COT_RULES];
    if (verdict_of(json_array_get(right, i)) != COT_YES) continue;
    size_t n = read_verdicts(json_array_get(verdicts, i), most, v);
    cot_combine(v, n, bad, holds);
    c.right++;
    *calls += (int64_t)n;
    for (size_t k = 0; k < n; k++) *unusable += v[k] == COT_BAD;
    for (int r = 0; r < COT_RULES; r++) c.sound[r] += holds[r];
  }
  return c;
}

static json_t *prompt_row(const struct prompt_counts *c)
{
  json_t *row = json_object();
  double sound[COT_RULES], share[COT_RULES];
  for (int r = 0; r < COT_RULES; r++) {
    sound[r] = (double)c->sound[r];
    share[r] = sound[r] / (double)c->right;  // no right answer: NaN, written as null
  }
  calc_put(row, "n", (double)c->n);
  calc_put(row, "C", (double)c->right);
  json_object_set_new(row, "D", rules(sound));
  calc_put(row, "p_ca", (double)c->right / (double)c->n);
  json_object_set_new(row, "p_cc_given_ca", rules(share));
  return row;
}

/* Mean over prompts of pass@k with the right answers (rule < 0), or with those that are sound as well. */
static json_t *curve(const struct prompt_counts *c, size_t count, int64_t least, int rule)
{
  json_t *out = json_array();
  for (int64_t k = 1; k <= 8 && k <= least; k *= 2) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += eval_pass_at_k(c[i].n, rule < 0 ? c[i].right : c[i].sound[rule], k);
    json_array_append_new(out, calc_number(sum / (double)count));
  }
  return out;
}

static void put_rule(json_t *out, const struct prompt_counts *c, size_t count, int64_t least, int rule)
{
  char key[64];
  double sum = 0, n = 0;
  for (size_t i = 0; i < count; i++)
    if (c[i].right) {
      sum += (double)c[i].sound[rule] / (double)c[i].right;
      n++;
    }
  snprintf(key, sizeof key, "cot_pass_at_k_%s", cot_rule_names[rule]);
  json_object_set_new(out, key, curve(c, count, least, rule));
  snprintf(key, sizeof key, "p_cc_given_ca_%s", cot_rule_names[rule]);
  calc_put(out, key, sum / n);
}

static int metrics(struct calc_case *c, struct error *err)
{
  const json_t *problems = calc_need(c, "problems", err), *p;
  int64_t most, calls = 0, unusable = 0, least = INT64_MAX, skipped = 0;
  size_t i, count = json_array_size(problems);
  if (!problems) return err->code;
  TRY(calc_int(c, "judge_calls", 3, &most, err));
  struct prompt_counts *rows = ARENA_NEW(c->arena, struct prompt_counts, count, "calc", err);
  if (!rows) return err->code;
  json_t *prompts = json_array(), *ks = json_array();
  json_array_foreach(problems, i, p)
  {
    rows[i] = count_prompt(p, most, bad_of(calc_text(c, "bad_parse", "split")), &calls, &unusable);
    json_array_append_new(prompts, prompt_row(&rows[i]));
    if (rows[i].n < least) least = rows[i].n;
    skipped += !rows[i].right;
  }
  if (!count) least = 0;
  for (int64_t k = 1; k <= 8 && k <= least; k *= 2) json_array_append_new(ks, json_integer(k));
  json_object_set_new(c->outputs, "prompts", prompts);
  calc_put(c->outputs, "judge_calls", (double)calls);
  calc_put(c->outputs, "bad_verdicts", (double)unusable);
  calc_put(c->outputs, "bad_share", (double)unusable / (double)calls);
  json_object_set_new(c->outputs, "ks", ks);
  json_object_set_new(c->outputs, "pass_at_k", curve(rows, count, least, -1));
  calc_put(c->outputs, "skipped_p_cc", (double)skipped);
  for (int r = 0; r < COT_RULES; r++) put_rule(c->outputs, rows, count, least, r);
  return 0;
}

static int aggregate(struct calc_case *c, struct error *err)
{
  static const char *const names[] = {"split", "abstain", "no"};
  const json_t *lists = calc_need(c, "verdicts", err), *list;
  size_t i;
  if (!lists) return err->code;
  for (int b = 0; b < 3; b++) {
    json_t *rows = json_array();
    json_array_foreach(lists, i, list)
    {
      int v[MOST_CALLS];
      bool holds[COT_RULES];
      cot_combine(v, read_verdicts(list, -1, v), bad_of(names[b]), holds);
      json_array_append_new(rows, rules((double[]){holds[0], holds[1], holds[2]}));
    }
    json_object_set_new(c->outputs, names[b], rows);
  }
  return 0;
}

static int judge_output(struct calc_case *c, struct error *err)
{
  const json_t *texts = calc_need(c, "texts", err), *t;
  json_t *out = json_array();
  size_t i;
  if (!texts) return err->code;
  json_array_foreach(texts, i, t)
  {
    int v = cot_read_verdict(json_string_value(t), json_string_length(t));
    json_array_append_new(out, v == COT_BAD ? json_null() : json_integer(v));
  }
  json_object_set_new(c->outputs, "verdict", out);
  return 0;
}

/* ---- theorem, error rates, alarm --------------------------------------------------------------------------------- */

static int theorem(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  double eps;
  json_t *rows = json_array();
  json_object_set_new(c->outputs, "rows", rows);
  TRY(calc_real(c, "eps", 0, &eps, err));
  TRY(calc_matrix(c, json_object_get(c->args, "rows"), &m, err));
  for (size_t i = 0; i < m.row_count; i++) {
    const double *x = m.rows[i].at;
    bool finite = m.rows[i].count == 4;
    json_t *row = json_object();
    struct cot_theorem t = cot_expect(x[0], x[1], x[2], finite ? (int64_t)x[3] : 0, eps);
    calc_put(row, "a_right", t.right);
    calc_put(row, "a_wrong", t.wrong);
    if (finite) {
      calc_put(row, "p_informative", t.informative);
    } else {
      calc_put(row, "mu", t.mean);
      calc_put(row, "sigma2", t.variance);
      calc_put(row, "alarm", t.alarm);
    }
    json_array_append_new(rows, row);
  }
  return 0;
}

static int error_rates(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  json_t *rows = json_array();
  json_object_set_new(c->outputs, "rows", rows);
  TRY(calc_matrix(c, json_object_get(c->args, "rows"), &m, err));
  for (size_t i = 0; i < m.row_count; i++) {
    struct cot_errors e = cot_error_rates(m.rows[i].at[0], m.rows[i].at[1], (int64_t)m.rows[i].at[2]);
    json_t *row = json_object();
    json_object_set_new(row, "fp", rules(e.false_yes));
    json_object_set_new(row, "fn", rules(e.false_no));
    json_array_append_new(rows, row);
  }
  return 0;
}

struct alarm_sums {
  struct cot_counts counts;
  double advantage[2], weight[2]; /* by chain: wrong, right */
};

/* Of the wrong answers those with the smallest draws, ties to the lower index. */
static size_t choose_wrong(const double *right, const double *draws, size_t n, int64_t most, bool *chosen)
{
  size_t taken = 0;
  for (size_t i = 0; i < n; i++) chosen[i] = false;
  for (; (int64_t)taken < most; taken++) {
    size_t best = n;
    for (size_t i = 0; i < n; i++)
      if (right[i] == 0 && !chosen[i] && (best == n || draws[i] < draws[best])) best = i;
    if (best == n) break;
    chosen[best] = true;
  }
  return taken;
}

static int add_alarm(struct calc_case *c, const json_t *prompt, int64_t most, bool weighted, json_t *judged,
                     struct alarm_sums *s, struct error *err)
{
  static const char *const keys[] = {"right", "chain", "draws", "advantages"};
  struct calc_matrix m[4];
  bool chosen[MOST_RESPONSES];
  json_t *list = json_array();
  double wrong = 0;
  json_array_append_new(judged, list);
  for (int k = 0; k < 4; k++) TRY(calc_matrix(c, json_object_get(prompt, keys[k]), &m[k], err));
  size_t n = m[0].rows[0].count;
  if (n > MOST_RESPONSES) FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name, "found a prompt of more than 4096 responses");
  const double *right = m[0].rows[0].at, *chain = m[1].rows[0].at;
  for (size_t i = 0; i < n; i++) wrong += right[i] == 0;
  size_t taken = choose_wrong(right, m[2].rows[0].at, n, most, chosen);
  for (size_t i = 0; i < n; i++) {
    if (right[i] == 0 && !chosen[i]) continue;
    if (chosen[i]) json_array_append_new(list, json_integer((json_int_t)i));
    double w = right[i] == 0 && weighted ? wrong / (double)taken : 1;
    bool sound = chain[i] != 0;
    double *sum = right[i] != 0 ? sound ? &s->counts.right_right : &s->counts.right_wrong
                  : sound       ? &s->counts.wrong_right
                                : &s->counts.wrong_wrong;
    *sum += w;
    s->advantage[sound] += w * m[3].rows[0].at[i];
    s->weight[sound] += w;
  }
  return 0;
}

static int alarm_rates(struct calc_case *c, struct error *err)
{
  const json_t *prompts = calc_need(c, "prompts", err), *p;
  struct alarm_sums s = {0};
  int64_t most;
  size_t i;
  double alpha, beta;
  json_t *judged = json_array(), *counts = json_object();
  json_object_set_new(c->outputs, "judged_wrong", judged);
  json_object_set_new(c->outputs, "counts", counts);
  if (!prompts) return err->code;
  TRY(calc_int(c, "judge_wrong", 2, &most, err));
  json_array_foreach(prompts, i, p) TRY(add_alarm(c, p, most, calc_flag(c, "weighted", true), judged, &s, err));
  cot_estimate(&s.counts, &alpha, &beta);
  calc_put(counts, "rc", s.counts.right_right);
  calc_put(counts, "rw", s.counts.right_wrong);
  calc_put(counts, "wc", s.counts.wrong_right);
  calc_put(counts, "ww", s.counts.wrong_wrong);
  calc_put(c->outputs, "alpha_hat", alpha);
  calc_put(c->outputs, "beta_hat", beta);
  calc_put(c->outputs, "gap", alpha - beta);
  calc_put(c->outputs, "alarm", alpha <= beta);
  calc_put(c->outputs, "mean_a_correct", s.advantage[1] / s.weight[1]);
  calc_put(c->outputs, "mean_a_wrong", s.advantage[0] / s.weight[0]);
  return 0;
}

/* ---- cache, training view, training ------------------------------------------------------------------------------ */

static bool same_request(const json_t *a, const json_t *b)
{
  static const char *const keys[] = {"problem", "response", "judge", "call"};
  for (int k = 0; k < 4; k++)
    if (!json_equal(json_object_get(a, keys[k]), json_object_get(b, keys[k]))) return false;
  return true;
}

/* A judge is asked once for each (problem, response, judge, call). */
static int cache(struct calc_case *c, struct error *err)
{
  const json_t *requests = calc_need(c, "requests", err), *r;
  json_t *answers = json_array();
  size_t i, entries = 0;
  json_object_set_new(c->outputs, "answers", answers);
  if (!requests) return err->code;
  json_array_foreach(requests, i, r)
  {
    size_t first = 0;
    while (!same_request(json_array_get(requests, first), r)) first++;
    json_t *row = json_object();
    entries += first == i;
    calc_put(row, "hit", first < i);
    json_object_set(row, "verdict", json_object_get(json_array_get(requests, first), "verdict"));
    calc_put(row, "entries", (double)entries);
    json_array_append_new(answers, row);
  }
  return 0;
}

static json_t *quartiles(double *x, size_t n)
{
  if (!n) return json_null();
  eval_sort(x, n);
  json_t *out = json_array();
  for (int q = 1; q <= 3; q++) json_array_append_new(out, calc_number(eval_quantile(x, n, 0.25 * q)));
  return out;
}

static double member(const json_t *row, const char *key)
{
  return json_number_value(json_object_get(row, key));
}

static bool in_view(const json_t *row, int view)
{
  bool done = member(row, "C") == member(row, "n"), easy = member(row, "base_C") > 0;
  return view == 0 || (view == 1 && done) || (view == 2 && !done) || (view == 3 && easy) || (view == 4 && !easy);
}

static int training_view(struct calc_case *c, struct error *err)
{
  static const char *const names[] = {"all", "optimised", "not_optimised", "easy", "hard"};
  const json_t *checkpoints = calc_need(c, "checkpoints", err), *rows, *r;
  json_t *out = json_array();
  size_t i, k;
  json_object_set_new(c->outputs, "checkpoints", out);
  if (!checkpoints) return err->code;
  json_array_foreach(checkpoints, i, rows)
  {
    json_t *views = json_object();
    double *x = ARENA_NEW(c->arena, double, 2 * json_array_size(rows) + 1, "calc", err), *y = x;
    json_array_append_new(out, views);
    if (!x) return err->code;
    y += json_array_size(rows);
    for (int v = 0; v < 5; v++) {
      size_t n = 0, judged = 0;
      json_t *view = json_object();
      json_array_foreach(rows, k, r)
      {
        if (!in_view(r, v)) continue;
        x[n++] = member(r, "C") / member(r, "n");
        if (member(r, "C") > 0) y[judged++] = member(r, "D") / member(r, "C");
      }
      calc_put(view, "prompts", (double)n);
      json_object_set_new(view, "p_ca", quartiles(x, n));
      json_object_set_new(view, "p_cc_given_ca", quartiles(y, judged));
      calc_put(view, "skipped", (double)(n - judged));
      json_object_set_new(views, names[v], view);
    }
  }
  return 0;
}

static double logistic(double x)
{
  return 1 / (1 + math_exp(-x));
}

/* One prompt of the table policy: chains by softmax of two logits, answers right with alpha or beta, GRPO on answers.
 */
static int train_prompt(struct calc_case *c, const json_t *draws, double z[2], json_t *row, struct error *err)
{
  struct calc_matrix u;
  double alpha, beta, step, eps, gradient = 0, right = 0, both = 0;
  TRY(calc_real(c, "alpha", 0.9, &alpha, err));
  TRY(calc_real(c, "beta", 0.3, &beta, err));
  TRY(calc_real(c, "step", 0.3, &step, err));
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  TRY(calc_matrix(c, draws, &u, err));
  double good = logistic(z[0] - z[1]);
  double *reward = ARENA_NEW(c->arena, double, 2 * u.row_count, "calc", err);
  if (!reward) return err->code;
  for (size_t i = 0; i < u.row_count; i++) {
    bool chain = u.rows[i].at[0] < good;
    reward[i] = u.rows[i].at[1] < (chain ? alpha : beta);
    right += reward[i];
    both += reward[i] != 0 && chain;
  }
  double *advantage = reward + u.row_count;
  group_normalised(reward, (int32_t)u.row_count, false, eps, advantage);
  for (size_t i = 0; i < u.row_count; i++) gradient += advantage[i] * ((u.rows[i].at[0] < good) - good);
  z[0] += step * gradient / (double)u.row_count;
  z[1] -= step * gradient / (double)u.row_count;
  json_array_append_new(json_object_get(row, "C"), calc_number(right));
  json_array_append_new(json_object_get(row, "D"), calc_number(both));
  json_array_append_new(json_object_get(row, "logits"), calc_list(z, 2));
  json_array_append_new(json_object_get(row, "p_good"), calc_number(logistic(z[0] - z[1])));
  return 0;
}

static int train(struct calc_case *c, struct error *err)
{
  static const char *const keys[] = {"p_good", "C", "D", "logits"};
  const json_t *draws = calc_need(c, "draws", err), *logits = calc_need(c, "logits", err), *step, *prompt;
  struct calc_matrix z;
  json_t *steps = json_array();
  size_t i, q;
  json_object_set_new(c->outputs, "steps", steps);
  if (!draws || !logits) return err->code;
  TRY(calc_matrix(c, logits, &z, err));
  json_array_foreach(draws, i, step)
  {
    json_t *row = json_object();
    json_array_append_new(steps, row);
    for (int k = 0; k < 4; k++) json_object_set_new(row, keys[k], json_array());
    json_array_foreach(step, q, prompt) TRY(train_prompt(c, prompt, z.rows[q].at, row, err));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (calc_is(c, "metrics")) return metrics(c, err);
  if (calc_is(c, "aggregate")) return aggregate(c, err);
  if (calc_is(c, "judge output")) return judge_output(c, err);
  if (calc_is(c, "theorem")) return theorem(c, err);
  if (calc_is(c, "error rates")) return error_rates(c, err);
  if (calc_is(c, "alarm")) return alarm_rates(c, err);
  if (calc_is(c, "verdict cache")) return cache(c, err);
  if (calc_is(c, "training view")) return training_view(c, err);
  if (calc_is(c, "train")) return train(c, err);
  FAIL_AT(
      err, ERROR_INPUT, c->file, 0, c->name,
      "found case \"%s\"; expected one that begins with metrics, aggregate, judge output, theorem, error rates, alarm, "
      "verdict cache, training view or train",
      c->name);
}

const struct calc calc_cot_pass_at_k = {
    .function = "cot_pass_at_k",
    .help = "CoT-Pass@K: answers count if their chain of thought is right too",
    .compute = compute,
};

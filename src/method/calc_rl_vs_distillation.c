/* Accuracy and capability, RL against distillation (arXiv 2505.14216) on given numbers: eval/boundary.h. */
#include <string.h>
#include "core/math.h"
#include "eval/boundary.h"
#include "eval/estimators.h"
#include "method/calc.h"
#include "method/part_clip.h"
#include "method/part_group.h"
#include "method/part_table_policy.h"

/* ---- rates ------------------------------------------------------------------------------------------------------- */

static int exact_rates(struct calc_case *c, struct error *err)
{
  const json_t *sets = json_object_get(c->args, "p"), *set;
  struct calc_matrix ks, p;
  const char *name;
  TRY(calc_matrix(c, calc_need(c, "ks", err), &ks, err));
  json_object_foreach((json_t *)(uintptr_t)sets, name, set)
  {
    json_t *row = json_object(), *cap = json_object();
    json_object_set_new(c->outputs, name, row);
    json_object_set_new(row, "cap", cap);
    TRY(calc_matrix(c, set, &p, err));
    calc_put(row, "acc", capability_of(p.rows[0].at, p.rows[0].count, 1));
    for (size_t i = 0; i < ks.rows[0].count; i++) {
      char key[32];
      int64_t k = (int64_t)ks.rows[0].at[i];
      snprintf(key, sizeof key, "%lld", (long long)k);
      calc_put(cap, key, capability_of(p.rows[0].at, p.rows[0].count, k));
    }
  }
  return 0;
}

static int bounds(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  json_t *out = json_array();
  json_object_set_new(c->outputs, "p_max", out);
  TRY(calc_matrix(c, json_object_get(c->args, "rows"), &m, err));
  for (size_t i = 0; i < m.row_count; i++)
    json_array_append_new(out, calc_number(capability_bound((int64_t)m.rows[i].at[0], m.rows[i].at[1])));
  return 0;
}

static int informative(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  json_t *signal = json_array(), *share = json_array();
  json_object_set_new(c->outputs, "signal", signal);
  json_object_set_new(c->outputs, "informative", share);
  TRY(calc_matrix(c, json_object_get(c->args, "rows"), &m, err));
  for (size_t i = 0; i < m.row_count; i++) {
    double p = m.rows[i].at[0];
    json_array_append_new(signal, calc_number(math_sqrt(p * (1 - p))));
    json_array_append_new(share, calc_number(capability_informative(p, (int64_t)m.rows[i].at[1])));
  }
  return 0;
}

/* ---- transition matrix ------------------------------------------------------------------------------------------- */

struct transition {
  double counts[CAPABILITY_MOST_BINS][CAPABILITY_MOST_BINS];
  double questions[CAPABILITY_MOST_BINS], delta[CAPABILITY_MOST_BINS];
  double improved[CAPABILITY_MOST_BINS], worsened[CAPABILITY_MOST_BINS];
  double gained, lost, delta_right;
};

static void add_question(struct transition *t, enum capability_bins bins, int64_t before, int64_t after, int64_t k)
{
  size_t from = capability_bin(bins, before, k);
  t->counts[from][capability_bin(bins, after, k)]++;
  t->questions[from]++;
  t->delta[from] += (double)(after - before);
  t->improved[from] += after > before;
  t->worsened[from] += after < before;
  t->gained += before == 0 && after > 0;
  t->lost += before > 0 && after == 0;
  t->delta_right += (double)(after - before);
}

static void put_rows(json_t *out, const char *key, double rows[][CAPABILITY_MOST_BINS], size_t n, const double *per)
{
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) {
    double row[CAPABILITY_MOST_BINS];
    for (size_t k = 0; k < n; k++) row[k] = per ? per[i] > 0 ? rows[i][k] / per[i] : 0 : rows[i][k];
    json_array_append_new(list, calc_list(row, n));
  }
  json_object_set_new(out, key, list);
}

/* Accuracy and capability from counts. */
static json_t *estimate(const double *right, size_t n, int64_t k)
{
  json_t *out = json_object();
  double sum = 0, solved = 0;
  for (size_t i = 0; i < n; i++) {
    sum += right[i];
    solved += right[i] > 0;
  }
  calc_put(out, "acc", sum / (double)k / (double)n);
  calc_put(out, "cap", solved / (double)n);
  return out;
}

static int transitions(struct calc_case *c, struct error *err)
{
  struct calc_matrix before, after;
  struct transition t = {0};
  int64_t k;
  bool appendix = !strcmp(calc_text(c, "bins", "main"), "appendix");
  enum capability_bins bins = appendix ? CAPABILITY_APPENDIX : CAPABILITY_MAIN;
  size_t n = capability_bin_count(bins);
  TRY(calc_int(c, "k", 256, &k, err));
  TRY(calc_matrix(c, calc_need(c, "before", err), &before, err));
  TRY(calc_matrix(c, calc_need(c, "after", err), &after, err));
  const double *b = before.rows[0].at, *a = after.rows[0].at;
  size_t count = before.rows[0].count;
  for (size_t i = 0; i < count; i++) {
    if (!(b[i] >= 0 && b[i] <= (double)k && a[i] >= 0 && a[i] <= (double)k))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name, "found a count that is not 0 to k = %lld", (long long)k);
    add_question(&t, bins, (int64_t)b[i], (int64_t)a[i], k);
  }
  double mean[CAPABILITY_MOST_BINS];
  for (size_t i = 0; i < n; i++) mean[i] = t.delta[i] / t.questions[i] / (double)k;
  put_rows(c->outputs, "counts", t.counts, n, NULL);
  put_rows(c->outputs, "shares", t.counts, n, t.questions);
  json_object_set_new(c->outputs, "questions", calc_list(t.questions, n));
  json_object_set_new(c->outputs, "mean_delta", calc_list(mean, n));
  json_object_set_new(c->outputs, "improved", calc_list(t.improved, n));
  json_object_set_new(c->outputs, "worsened", calc_list(t.worsened, n));
  calc_put(c->outputs, "gained", t.gained);
  calc_put(c->outputs, "lost", t.lost);
  calc_put(c->outputs, "delta_cap", count ? (t.gained - t.lost) / (double)count : 0);
  calc_put(c->outputs, "delta_acc", count ? t.delta_right / (double)k / (double)count : 0);
  if (count) json_object_set_new(c->outputs, "before", estimate(b, count, k));
  if (count) json_object_set_new(c->outputs, "after", estimate(a, count, k));
  return 0;
}

/* ---- answers and texts ------------------------------------------------------------------------------------------- */

static int answer_entropy(struct calc_case *c, struct error *err)
{
  const json_t *sets = json_object_get(c->args, "answers"), *set;
  const char *name;
  bool bits = json_number_value(json_object_get(c->args, "base")) == 2;
  json_object_foreach((json_t *)(uintptr_t)sets, name, set)
  {
    size_t n = json_array_size(set);
    int64_t *counts = ARENA_NEW(c->arena, int64_t, n + 1, "calc", err);
    if (!counts) return err->code;
    for (size_t i = 0; i < n; i++) {
      size_t first = 0;
      while (!json_equal(json_array_get(set, first), json_array_get(set, i))) first++;
      counts[first]++;
    }
    calc_put(c->outputs, name, capability_answer_entropy(counts, n) / (bits ? math_log(2) : 1));
  }
  return 0;
}

static int reflection(struct calc_case *c, struct error *err)
{
  const json_t *texts = calc_need(c, "texts", err), *t;
  size_t i, n = capability_keyword_count();
  json_t *found = json_array(), *totals = json_array();
  json_object_set_new(c->outputs, "found", found);
  json_object_set_new(c->outputs, "total", totals);
  int64_t *counts = ARENA_NEW(c->arena, int64_t, n, "calc", err);
  if (!texts || !counts) return err->code;
  json_array_foreach(texts, i, t)
  {
    json_t *row = json_object();
    int64_t total = 0;
    capability_keywords(json_string_value(t), json_string_length(t), counts);
    for (size_t k = 0; k < n; k++) {
      total += counts[k];
      if (counts[k]) json_object_set_new(row, capability_keyword(k), json_integer(counts[k]));
    }
    json_array_append_new(found, row);
    json_array_append_new(totals, json_integer(total));
  }
  return 0;
}

static int lengths(struct calc_case *c, struct error *err)
{
  static const char *const names[] = {"all", "right", "wrong"};
  const json_t *responses = calc_need(c, "responses", err), *r;
  int64_t k;
  size_t i;
  if (!responses) return err->code;
  TRY(calc_int(c, "k", 256, &k, err));
  for (size_t b = 0; b < capability_bin_count(CAPABILITY_LENGTH); b++) {
    double sum[3] = {0}, n[3] = {0};
    char key[8];
    json_t *row = json_object();
    json_array_foreach(responses, i, r)
    {
      bool right = json_number_value(json_object_get(r, "right")) != 0;
      int64_t x = (int64_t)json_number_value(json_object_get(r, "X"));
      if (x < 0 || x > k || capability_bin(CAPABILITY_LENGTH, x, k) != b) continue;
      for (int v = 0; v < 3; v += v == 0 && !right ? 2 : 1) {
        if (v == 2 && right) break;
        sum[v] += json_number_value(json_object_get(r, "length"));
        n[v]++;
      }
    }
    for (int v = 0; v < 3; v++) calc_put(row, names[v], sum[v] / n[v]);
    snprintf(key, sizeof key, "%zu", b);
    json_object_set_new(c->outputs, key, row);
  }
  return 0;
}

static int boxes(struct calc_case *c, struct error *err)
{
  const json_t *texts = calc_need(c, "texts", err), *t;
  json_t *box = json_array(), *graded = json_array();
  size_t i;
  json_object_set_new(c->outputs, "box", box);
  json_object_set_new(c->outputs, "graded_text", graded);
  if (!texts) return err->code;
  json_array_foreach(texts, i, t)
  {
    struct capability_span span;
    const char *s = json_string_value(t);
    bool found = capability_last_box(s, json_string_length(t), &span);
    json_array_append_new(box, found ? json_stringn(s + span.at, span.length) : json_null());
    json_array_append_new(graded, found ? json_stringn(s + span.at, span.length) : json_string(s));
  }
  return 0;
}

/* +1 or -1 in training, 1 or 0 in evaluation with and without the box. */
static int scores(struct calc_case *c, struct error *err)
{
  const json_t *verdicts = calc_need(c, "verdicts", err), *v;
  json_t *out = json_array();
  size_t i;
  json_object_set_new(c->outputs, "scores", out);
  if (!verdicts) return err->code;
  json_array_foreach(verdicts, i, v)
  {
    bool box = json_number_value(json_object_get(v, "box")) != 0,
         in_box = json_number_value(json_object_get(v, "equal_box")) != 0;
    bool in_text = json_number_value(json_object_get(v, "equal_text")) != 0,
         failed = json_number_value(json_object_get(v, "error")) != 0;
    json_t *row = json_object();
    calc_put(row, "train_reward", !failed && (box ? in_box : in_text) ? 1 : -1);
    calc_put(row, "with_format", !failed && box && in_box);
    calc_put(row, "without_format", !failed && in_text);
    json_array_append_new(out, row);
  }
  return 0;
}

/* ---- the recipe's losses ----------------------------------------------------------------------------------------- */

/* Advantages of all rows: groups by id, in order of first appearance. */
static int advantages(struct calc_case *c, const double *group, size_t n, const double *reward, double eps, double *out,
                      struct error *err)
{
  double *own = ARENA_NEW(c->arena, double, 2 * n, "calc", err), *result = own + n;
  if (!own) return err->code;
  for (size_t i = 0; i < n; i++) {
    int32_t count = 0;
    size_t first = 0;
    while (group[first] != group[i]) first++;
    if (first < i) continue;
    for (size_t k = i; k < n; k++)
      if (group[k] == group[i]) own[count++] = reward[k];
    group_normalised(own, count, true, eps, result);
    count = 0;
    for (size_t k = i; k < n; k++)
      if (group[k] == group[i]) out[k] = result[count++];
  }
  return 0;
}

static int recipe_loss(struct calc_case *c, struct error *err)
{
  struct calc_matrix mask, logp, old, right, group;
  double eps, clip, tokens = 0, loss = 0;
  bool sign = !strcmp(calc_text(c, "rewards", "right"), "2 right - 1");
  TRY(calc_real(c, "adv_eps", 1e-4, &eps, err));
  TRY(calc_real(c, "clip", 0.2, &clip, err));
  TRY(calc_matrix(c, calc_need(c, "response_mask", err), &mask, err));
  TRY(calc_matrix(c, calc_need(c, "log_prob", err), &logp, err));
  TRY(calc_matrix(c, calc_need(c, "old_log_prob", err), &old, err));
  TRY(calc_matrix(c, calc_need(c, "right", err), &right, err));
  TRY(calc_matrix(c, calc_need(c, "group", err), &group, err));
  size_t n = mask.row_count;
  double *reward = ARENA_NEW(c->arena, double, 2 * n, "calc", err), *advantage = reward + n;
  if (!reward) return err->code;
  for (size_t i = 0; i < n; i++) {
    reward[i] = sign ? 2 * right.rows[0].at[i] - 1 : right.rows[0].at[i];
    for (size_t t = 0; t < mask.rows[i].count; t++) tokens += mask.rows[i].at[t] != 0;
  }
  TRY(advantages(c, group.rows[0].at, n, reward, eps, advantage, err));
  struct clip_bounds bounds = {.low = clip, .high = clip, .dual = __builtin_inf()};
  json_t *grads = json_array();
  for (size_t i = 0; i < n; i++) {
    json_t *row = json_array();
    for (size_t t = 0; t < mask.rows[i].count; t++) {
      struct clip_value v = clip_surrogate(logp.rows[i].at[t], old.rows[i].at[t], advantage[i], &bounds);
      bool in = mask.rows[i].at[t] != 0;
      if (in) loss += v.loss / tokens;
      json_array_append_new(row, calc_number(in ? v.coef / tokens : 0));
    }
    json_array_append_new(grads, row);
  }
  json_object_set_new(c->outputs, "advantages", calc_list(advantage, n));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", grads);
  return 0;
}

/* Behind the last place where the marker stands; its length: SIZE_MAX where it does not. */
static size_t completion_start(const struct calc_row *tokens, const struct calc_row *marker)
{
  for (size_t i = tokens->count >= marker->count ? tokens->count - marker->count + 1 : 0; i-- > 0;)
    if (!memcmp(tokens->at + i, marker->at, marker->count * sizeof *marker->at)) return i + marker->count;
  return SIZE_MAX;
}

static double log_sum_exp(const double *z, size_t v)
{
  double most = z[0], sum = 0;
  for (size_t i = 1; i < v; i++) most = z[i] > most ? z[i] : most;
  for (size_t i = 0; i < v; i++) sum += math_exp(z[i] - most);
  return most + math_log(sum);
}

/* d mean NLL / dz of one row of tokens, targets masked; adds to the loss. */
static json_t *sft_row(const struct calc_row *tokens, const struct calc_matrix *z, const double *mask, double count,
                       double *loss)
{
  json_t *out = json_array();
  for (size_t t = 0; t < z->row_count; t++) {
    size_t v = z->rows[t].count, target = t + 1 < tokens->count && mask[t + 1] != 0 ? (size_t)tokens->at[t + 1] : v;
    double all = log_sum_exp(z->rows[t].at, v);
    json_t *row = json_array();
    if (target < v) *loss += (all - z->rows[t].at[target]) / count;
    for (size_t k = 0; k < v; k++)
      json_array_append_new(row,
                            calc_number(target < v ? (math_exp(z->rows[t].at[k] - all) - (k == target)) / count : 0));
    json_array_append_new(out, row);
  }
  return out;
}

static int sft(struct calc_case *c, struct error *err)
{
  const json_t *logits = calc_need(c, "logits", err), *z;
  struct calc_matrix tokens, marker;
  double end, pad, count = 0, loss = 0;
  bool train_end = calc_flag(c, "train_end", true);
  json_t *masks = json_array(), *grads = json_array();
  size_t i;
  json_object_set_new(c->outputs, "mask", masks);
  json_object_set_new(c->grads, "logits", grads);
  TRY(calc_real(c, "end", -1, &end, err));
  TRY(calc_real(c, "pad", -1, &pad, err));
  TRY(calc_matrix(c, calc_need(c, "tokens", err), &tokens, err));
  TRY(calc_matrix(c, calc_need(c, "marker", err), &marker, err));
  double **mask = ARENA_NEW(c->arena, double *, tokens.row_count, "calc", err);
  if (!logits || !mask) return err->code;
  for (i = 0; i < tokens.row_count; i++) {
    const struct calc_row *row = &tokens.rows[i];
    size_t start = completion_start(row, &marker.rows[0]);
    mask[i] = ARENA_NEW(c->arena, double, row->count + 1, "calc", err);
    if (!mask[i]) return err->code;
    for (size_t t = 0; t < row->count; t++) {
      mask[i][t] = start != SIZE_MAX && t >= start && row->at[t] != pad && (train_end || row->at[t] != end);
      count += t > 0 && mask[i][t] != 0;
    }
    json_array_append_new(masks, calc_list(mask[i], row->count));
  }
  json_array_foreach(logits, i, z)
  {
    struct calc_matrix m;
    TRY(calc_matrix(c, z, &m, err));
    json_array_append_new(grads, sft_row(&tokens.rows[i], &m, mask[i], count, &loss));
  }
  calc_put(c->outputs, "loss", loss);
  calc_put(c->outputs, "tokens", count);
  return 0;
}

/* ---- distillation ------------------------------------------------------------------------------------------------ */

static int distillation_set(struct calc_case *c, struct error *err)
{
  const json_t *questions = calc_need(c, "questions", err), *q, *right;
  bool reasoning_only = !strcmp(calc_text(c, "mode", "all"), "reasoning_only");
  json_t *chosen = json_array();
  int64_t most;
  size_t i, j;
  json_object_set_new(c->outputs, "chosen", chosen);
  if (!questions) return err->code;
  TRY(calc_int(c, "per_question", 0, &most, err));
  json_array_foreach(questions, i, q)
  {
    int64_t taken = 0;
    if (reasoning_only && json_number_value(json_object_get(q, "X")) == 0) continue;
    json_array_foreach(json_object_get(q, "teacher_right"), j, right)
    {
      if (json_number_value(right) == 0 || (most && taken == most)) continue;
      taken++;
      json_array_append_new(chosen, calc_list((double[]){(double)i, (double)j}, 2));
    }
  }
  return 0;
}

/* Mean log-probability of each response; empty ones are left out and counted. */
static int means(struct calc_case *c, const char *key, double **out, size_t *n, double *empty, struct error *err)
{
  const json_t *list = calc_need(c, key, err), *r;
  size_t i;
  *n = 0;
  *out = ARENA_NEW(c->arena, double, json_array_size(list) + 1, "calc", err);
  if (!list || !*out) return err->code;
  json_array_foreach(list, i, r)
  {
    struct calc_matrix m;
    double sum = 0;
    TRY(calc_matrix(c, r, &m, err));
    for (size_t t = 0; t < m.rows[0].count; t++) sum += m.rows[0].at[t];
    if (m.rows[0].count)
      (*out)[(*n)++] = sum / (double)m.rows[0].count;
    else
      ++*empty;
  }
  if (!*n) FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found no response with a token in %s", key);
  return 0;
}

static int new_responses(struct calc_case *c, struct error *err)
{
  double *rl, *base, empty = 0, above = 0, below = 0;
  size_t n, m;
  TRY(means(c, "rl", &rl, &n, &empty, err));
  TRY(means(c, "base", &base, &m, &empty, err));
  json_object_set_new(c->outputs, "rl", calc_list(rl, n));
  eval_sort(base, m);
  eval_sort(rl, n);
  for (size_t i = 0; i < n; i++) {
    above += rl[i] > base[m - 1];
    below += rl[i] < base[0];
  }
  calc_put(c->outputs, "base_best", base[m - 1]);
  calc_put(c->outputs, "base_worst", base[0]);
  calc_put(c->outputs, "rl_best", rl[n - 1]);
  calc_put(c->outputs, "above_best", above);
  calc_put(c->outputs, "below_worst", below);
  calc_put(c->outputs, "empty", empty);
  return 0;
}

static int self_distillation(struct calc_case *c, struct error *err)
{
  double start, own, rl, rl_rl, base_rl;
  TRY(calc_real(c, "start", 0, &start, err));
  TRY(calc_real(c, "base<-base", 0, &own, err));
  TRY(calc_real(c, "rl", 0, &rl, err));
  TRY(calc_real(c, "rl<-rl", 0, &rl_rl, err));
  TRY(calc_real(c, "base<-rl", 0, &base_rl, err));
  calc_put(c->outputs, "own", own - start);
  calc_put(c->outputs, "rl_on_rl", rl_rl - rl);
  calc_put(c->outputs, "rl_on_base", base_rl - start);
  calc_put(c->outputs, "quality_of_rl_responses", base_rl - own);
  return 0;
}

/* Supervised steps of the table policy on given (question, answer) targets. */
static int train_step(struct calc_case *c, struct table_policy *t, const json_t *targets, const double *solved,
                      bool all, json_t *row, struct error *err)
{
  const json_t *target;
  double count = 0;
  size_t i;
  double *p = ARENA_NEW(c->arena, double, t->actions, "calc", err);
  if (!p) return err->code;
  table_policy_begin(t);
  json_array_foreach(targets, i, target)
  {
    size_t q = (size_t)json_integer_value(json_array_get(target, 0));
    size_t answer = (size_t)json_integer_value(json_array_get(target, 1));
    if (q >= t->prompts || answer >= t->actions)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "targets", "found a target outside the table");
    if (!all && solved[q] == 0) continue;
    table_policy_row(t, q, p);
    count++;
    for (size_t a = 0; a < t->actions; a++) {
      t->gradient[q * t->actions + a] += (a == answer) - p[a];
      t->shared_gradient[a] += (a == answer) - p[a];
    }
  }
  table_policy_step(t, count);
  calc_put(row, "targets", count);
  return table_policy_put(c, t, row, err);
}

static int train(struct calc_case *c, struct error *err)
{
  const json_t *targets = calc_need(c, "targets", err), *step;
  struct calc_matrix solved, p;
  struct table_policy t;
  bool all = !strcmp(calc_text(c, "mode", "all"), "all");
  json_t *steps = json_array();
  size_t i;
  json_object_set_new(c->outputs, "steps", steps);
  if (!targets) return err->code;
  TRY(calc_matrix(c, calc_need(c, "X", err), &solved, err));
  TRY(table_policy_open(c, &t, err));
  json_array_foreach(targets, i, step)
  {
    json_t *row = json_object();
    json_array_append_new(steps, row);
    TRY(train_step(c, &t, step, solved.rows[0].at, all, row, err));
    TRY(calc_matrix(c, json_object_get(row, "p"), &p, err));
    calc_put(row, "acc", capability_of(p.rows[0].at, p.rows[0].count, 1));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  static const struct {
    const char *prefix;
    int (*compute)(struct calc_case *c, struct error *err);
  } parts[] = {{"exact accuracy", exact_rates},
               {"p_max", bounds},
               {"informative", informative},
               {"transition", transitions},
               {"answer entropy", answer_entropy},
               {"reflection", reflection},
               {"length by", lengths},
               {"last box", boxes},
               {"three scores", scores},
               {"grpo_", recipe_loss},
               {"sft", sft},
               {"distillation set", distillation_set},
               {"new-response", new_responses},
               {"self-distillation", self_distillation},
               {"train", train}};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (calc_is(c, parts[i].prefix)) return parts[i].compute(c, err);
  FAIL_AT(
      err, ERROR_INPUT, c->file, 0, c->name,
      "found case \"%s\"; expected one that begins with exact accuracy, p_max, informative, transition, answer "
      "entropy, "
      "reflection, length by, last box, three scores, grpo_, sft, distillation set, new-response, self-distillation or "
      "train",
      c->name);
}

const struct calc calc_rl_vs_distillation = {
    .function = "rl_vs_distillation",
    .help = "accuracy and capability: transitions by difficulty, answer entropy, distillation sets",
    .compute = compute,
};

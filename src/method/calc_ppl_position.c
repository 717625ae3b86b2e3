/* GRPO+PPL and GRPO+POSITION (arXiv 2508.02260): part_perplexity.h. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_perplexity.h"
#include "method/part_rows.h"

struct ppl_case {
  struct calc_rows rows;
  struct perplexity_options ppl;
  struct position_options position;
  bool positioned, applied;
  double *log_ppl, *mean, *sd, *weight, *factor; /* [rows] */
  bool *keep;                                    /* [rows] */
  double *advantage, *rho, *bonus;               /* [tokens] */
};

static int read_options(const struct calc_case *c, struct ppl_case *x, struct error *err)
{
  static const char *const RULES[] = {"off", "low", "high", "additive"};
  const char *word = calc_text(c, "ppl", "low");
  int rule = 0;
  while (rule < 4 && strcmp(word, RULES[rule])) rule++;
  if (rule == 4) FAIL_AT(err, ERROR_INPUT, c->file, 0, "ppl", "found \"%s\"; expected " PERPLEXITY_WORDS, word);
  x->ppl.rule = (enum perplexity_rule)rule;
  x->positioned = calc_flag(c, "position", false);
  x->applied = calc_flag(c, "apply", true);
  TRY(calc_real(c, "alpha", 0.01, &x->ppl.alpha, err));
  TRY(calc_real(c, "ppl_low", 0.8, &x->ppl.low, err));
  TRY(calc_real(c, "ppl_high", 1.2, &x->ppl.high, err));
  TRY(calc_real(c, "gamma", 0.1, &x->position.gamma, err));
  TRY(calc_real(c, "k", 15, &x->position.k, err));
  return calc_real(c, "cap", 0.5, &x->position.cap, err);
}

static json_t *flags(const bool *x, int32_t n)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < n; i++) json_array_append_new(out, json_boolean(x[i]));
  return out;
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

static int open_case(struct calc_case *c, struct ppl_case *x, double *base, struct error *err)
{
  double eps;
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->rows, tokens = (size_t)b->count + 1;
  double **lists[] = {&x->log_ppl, &x->mean, &x->sd, &x->weight, &x->factor};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  x->keep = ARENA_NEW(c->arena, bool, n, "calc", err);
  x->advantage = ARENA_NEW(c->arena, double, 3 * tokens, "calc", err);
  if (!x->keep || !x->advantage) return err->code;
  x->rho = x->advantage + tokens;
  x->bonus = x->rho + tokens;
  const char *std = calc_text(c, "adv_std", "sample");
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  TRY(calc_rows_advantage(c, b, b->reward, strcmp(std, "population") != 0, eps, base, err));
  calc_rows_spread(b, base, x->advantage);
  for (int32_t i = 0; i < b->rows; i++) {
    int32_t count = b->first[i + 1] - b->first[i];
    double sum = 0;
    for (int32_t t = b->first[i]; t < b->first[i + 1]; t++) {
      sum -= b->old[t];
      x->rho[t] = (double)(t - b->first[i]) / count;
    }
    x->log_ppl[i] = count ? sum / count : 0;
  }
  return 0;
}

/* Statistics of a group's responses that have tokens. */
static int group_weights(struct calc_case *c, struct ppl_case *x, int32_t group, double iqr, struct error *err)
{
  const struct calc_rows *b = &x->rows;
  size_t most = (size_t)(b->group_first[group + 1] - b->group_first[group]) + 1;
  double *l = ARENA_NEW(c->arena, double, 2 * most, "calc", err);
  bool *keep = ARENA_NEW(c->arena, bool, most, "calc", err);
  int32_t *row = ARENA_NEW(c->arena, int32_t, most, "calc", err), n = 0;
  struct ranked *scratch = ARENA_NEW(c->arena, struct ranked, most, "calc", err);
  if (!l || !keep || !row || !scratch) return err->code;
  for (int32_t k = b->group_first[group]; k < b->group_first[group + 1]; k++) {
    int32_t i = b->member[k];
    if (b->first[i + 1] == b->first[i]) continue;
    l[n] = x->log_ppl[i];
    row[n++] = i;
  }
  if (!n) return 0;
  struct perplexity_group g = perplexity_weights(l, n, iqr, scratch, keep, l + most);
  for (int32_t k = 0; k < n; k++) {
    x->keep[row[k]] = keep[k];
    x->mean[row[k]] = g.mean;
    x->sd[row[k]] = g.sd;
    x->weight[row[k]] = l[most + (size_t)k];
  }
  return 0;
}

static void shape_ppl(struct ppl_case *x)
{
  const struct calc_rows *b = &x->rows;
  if (x->ppl.rule == PERPLEXITY_OFF) return;
  for (int32_t i = 0; i < b->rows; i++) {
    x->factor[i] = perplexity_factor(&x->ppl, x->weight[i]);
    for (int32_t t = b->first[i]; x->applied && t < b->first[i + 1]; t++)
      x->advantage[t] = perplexity_shaped(&x->ppl, x->weight[i], x->advantage[t]);
  }
}

static void shape_position(struct ppl_case *x)
{
  for (int32_t t = 0; x->positioned && t < x->rows.count; t++) {
    x->bonus[t] = position_bonus(&x->position, x->rho[t], x->advantage[t]);
    x->advantage[t] = position_shaped(&x->position, x->rho[t], x->advantage[t]);
  }
}

static int put_loss(struct calc_case *c, struct ppl_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->count + 1;
  struct clip_bounds bounds;
  double *coef = ARENA_NEW(c->arena, double, 3 * n, "calc", err), limit, loss = 0;
  if (!coef) return err->code;
  double *counted = coef + n, *scale = counted + n;
  TRY(calc_real(c, "clip_low", 0.2, &bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.28, &bounds.high, err));
  TRY(calc_real(c, "clip_dual", 0, &bounds.dual, err));
  TRY(calc_real(c, "log_ratio_bound", 20, &limit, err));
  bounds.cap = 0;
  if (!(bounds.dual > 0)) bounds.dual = __builtin_inf();
  for (int32_t t = 0; t < b->count; t++) counted[t] = x->ppl.rule != PERPLEXITY_ADDITIVE || x->keep[b->row[t]];
  TRY(calc_rows_scale(c, b, calc_text(c, "agg", "token-mean"), counted, scale, err));
  for (int32_t t = 0; t < b->count; t++) {
    if (!(counted[t] > 0)) continue;
    double d = b->logp[t] - b->old[t];
    bool moves = !(limit > 0) || (-limit <= d && d <= limit);
    struct clip_value v =
        clip_given(math_exp(limit > 0 ? math_clamp(d, -limit, limit) : d), moves, x->advantage[t], &bounds);
    loss += scale[t] * v.loss;
    coef[t] = scale[t] * v.coef;
  }
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static void put_shapes(struct calc_case *c, const struct ppl_case *x)
{
  size_t n = (size_t)x->rows.rows;
  json_t *length = json_array();
  for (size_t i = 0; i < n; i++) json_array_append_new(length, json_integer(x->rows.first[i + 1] - x->rows.first[i]));
  json_object_set_new(c->outputs, "length", length);
  json_object_set_new(c->outputs, "log_ppl", calc_list(x->log_ppl, n));
  if (x->ppl.rule != PERPLEXITY_OFF) {
    json_object_set_new(c->outputs, "keep", flags(x->keep, x->rows.rows));
    json_object_set_new(c->outputs, "mean", calc_list(x->mean, n));
    json_object_set_new(c->outputs, "sd", calc_list(x->sd, n));
    json_object_set_new(c->outputs, "weight", calc_list(x->weight, n));
    json_object_set_new(c->outputs, "factor", calc_list(x->factor, n));
  }
  if (x->positioned) {
    json_object_set_new(c->outputs, "position", calc_rows_matrix(&x->rows, x->rho));
    json_object_set_new(c->outputs, "bonus", calc_rows_matrix(&x->rows, x->bonus));
  }
  json_object_set_new(c->outputs, "shaped", calc_rows_matrix(&x->rows, x->advantage));
}

static int update(struct calc_case *c, struct error *err)
{
  struct ppl_case x = {0};
  double iqr;
  TRY(read_options(c, &x, err));
  TRY(calc_real(c, "iqr", 1.5, &iqr, err));
  TRY(calc_rows_open(c, &x.rows, err));
  double *base = ARENA_NEW(c->arena, double, (size_t)x.rows.rows, "calc", err);
  if (!base) return err->code;
  TRY(open_case(c, &x, base, err));
  json_object_set_new(c->outputs, "advantages", calc_list(base, (size_t)x.rows.rows));
  for (int32_t g = 0; g < x.rows.group_count; g++) TRY(group_weights(c, &x, g, iqr, err));
  bool first = strcmp(calc_text(c, "order", "ppl-position"), "position-ppl") != 0;
  if (first) shape_ppl(&x);
  shape_position(&x);
  if (!first) shape_ppl(&x);
  put_shapes(c, &x);
  /* a setting under which nothing is left of the method */
  bool no_ppl = x.ppl.rule == PERPLEXITY_OFF || !x.applied || !(x.ppl.alpha > 0);
  if (no_ppl && (!x.positioned || !(x.position.gamma > 0)))
    json_object_set_new(c->outputs, "equals", json_string("main:ppl=off"));
  return put_loss(c, &x, err);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static int group_table(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  double iqr;
  struct ppl_case x = {0};
  TRY(read_options(c, &x, err));
  TRY(calc_real(c, "iqr", 1.5, &iqr, err));
  TRY(calc_matrix(c, calc_need(c, "log_ppl", err), &m, err));
  size_t n = m.rows[0].count;
  if (!n) FAIL_AT(err, ERROR_INPUT, c->file, 0, "log_ppl", "found an empty group; expected log-perplexities");
  double *weight = ARENA_NEW(c->arena, double, 2 * n, "calc", err);
  bool *keep = ARENA_NEW(c->arena, bool, n, "calc", err);
  struct ranked *scratch = ARENA_NEW(c->arena, struct ranked, n, "calc", err);
  if (!weight || !keep || !scratch) return err->code;
  struct perplexity_group g = perplexity_weights(m.rows[0].at, (int32_t)n, iqr, scratch, keep, weight);
  for (size_t i = 0; i < n; i++) weight[n + i] = perplexity_factor(&x.ppl, weight[i]);
  calc_put(c->outputs, "q1", g.q1);
  calc_put(c->outputs, "q3", g.q3);
  json_object_set_new(c->outputs, "keep", flags(keep, (int32_t)n));
  calc_put(c->outputs, "mean", g.mean);
  calc_put(c->outputs, "sd", g.sd);
  json_object_set_new(c->outputs, "weight", calc_list(weight, n));
  json_object_set_new(c->outputs, "factor", calc_list(weight + n, n));
  return 0;
}

static int position_table(struct calc_case *c, struct error *err)
{
  struct ppl_case x = {0};
  int64_t n;
  double advantage;
  TRY(read_options(c, &x, err));
  TRY(calc_int(c, "length", 1, &n, err));
  TRY(calc_real(c, "advantage", 1, &advantage, err));
  if (n < 1 || n > 1 << 20)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "length", "found %lld; expected 1 or more", (long long)n);
  double *rho = ARENA_NEW(c->arena, double, 3 * (size_t)n, "calc", err);
  if (!rho) return err->code;
  double *bonus = rho + n, *shaped = bonus + n;
  for (int64_t t = 0; t < n; t++) {
    rho[t] = (double)t / (double)n;
    bonus[t] = position_bonus(&x.position, rho[t], advantage);
    shaped[t] = position_shaped(&x.position, rho[t], advantage);
  }
  json_object_set_new(c->outputs, "position", calc_list(rho, (size_t)n));
  json_object_set_new(c->outputs, "bonus", calc_list(bonus, (size_t)n));
  json_object_set_new(c->outputs, "shaped", calc_list(shaped, (size_t)n));
  return 0;
}

/* When the position rule runs: between two steps, or from a plateau of the entropy on. */
static int windows(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  int64_t window, after, before, start = 0;
  double threshold;
  if (!json_object_get(c->args, "entropy")) {
    TRY(calc_int(c, "after", 200, &after, err));
    TRY(calc_int(c, "before", 300, &before, err));
    TRY(calc_matrix(c, calc_need(c, "steps", err), &m, err));
    json_t *active = json_array();
    for (size_t i = 0; i < m.rows[0].count; i++)
      json_array_append_new(active, json_boolean(m.rows[0].at[i] > (double)after && m.rows[0].at[i] < (double)before));
    json_object_set_new(c->outputs, "active", active);
    return 0;
  }
  TRY(calc_int(c, "window", 3, &window, err));
  TRY(calc_real(c, "threshold", 0.02, &threshold, err));
  TRY(calc_matrix(c, calc_need(c, "entropy", err), &m, err));
  json_t *falls = json_array();
  for (int64_t s = 1; s <= (int64_t)m.rows[0].count; s++) {
    double fall = plateau_fall(m.rows[0].at, s, window);
    json_array_append_new(falls, calc_number(fall));
    if (!start && fall < threshold) start = s;
  }
  json_object_set_new(c->outputs, "fall", falls);
  json_object_set_new(c->outputs, "start", start ? json_integer(start) : json_null());
  return 0;
}

/* ---- what the paper looks at ------------------------------------------------------------------------------------- */

static int branching(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  double mass, sum = 0;
  TRY(calc_real(c, "mass", 0.95, &mass, err));
  TRY(calc_matrix(c, calc_need(c, "probs", err), &m, err));
  json_t *list = json_array();
  for (size_t i = 0; i < m.row_count; i++) {
    struct ranked *sorted = ARENA_NEW(c->arena, struct ranked, m.rows[i].count + 1, "calc", err);
    if (!sorted) return err->code;
    rank_values(m.rows[i].at, (int32_t)m.rows[i].count, true, sorted);
    double reached = 0;
    size_t n = 0;
    while (n < m.rows[i].count && reached < mass - 1e-12) reached += sorted[n++].value;
    json_array_append_new(list, json_integer((json_int_t)n));
    sum += (double)n;
  }
  json_object_set_new(c->outputs, "branching", list);
  calc_put(c->outputs, "branching_mean", m.row_count ? sum / (double)m.row_count : 0);
  return 0;
}

static int analysis(struct calc_case *c, struct error *err)
{
  struct calc_rows b;
  double *entropy, sum[2] = {0}, count[2] = {0}, part[10] = {0}, size[10] = {0};
  struct calc_case inner = *c;
  inner.inputs = c->args;
  TRY(calc_rows_open(&inner, &b, err));
  TRY(calc_rows_tokens(&inner, &b, "entropy", &entropy, err));
  for (int32_t t = 0; t < b.count; t++) {
    int32_t i = b.row[t], n = b.first[i + 1] - b.first[i], d = (int32_t)(10 * ((double)(t - b.first[i]) / n));
    bool right = b.reward[i] > 0;
    sum[right] += entropy[t];
    count[right]++;
    part[d] += entropy[t];
    size[d]++;
  }
  calc_put(c->outputs, "entropy_correct", count[1] > 0 ? sum[1] / count[1] : __builtin_nan(""));
  calc_put(c->outputs, "entropy_wrong", count[0] > 0 ? sum[0] / count[0] : __builtin_nan(""));
  for (int d = 0; d < 10; d++) part[d] = size[d] > 0 ? part[d] / size[d] : __builtin_nan("");
  json_object_set_new(c->outputs, "entropy_by_decile", calc_list(part, 10));
  json_t *unsolved = json_array();
  for (int32_t g = 0; g < b.group_count; g++) {
    bool any = false;
    for (int32_t k = b.group_first[g]; k < b.group_first[g + 1]; k++) any = any || b.reward[b.member[k]] > 0;
    if (!any) json_array_append_new(unsolved, json_integer(g));
  }
  json_object_set_new(c->outputs, "unsolved_groups", unsolved);
  return branching(c, err);
}

static int compute(struct calc_case *c, struct error *err)
{
  if (c->inputs) return update(c, err);
  if (calc_is(c, "position")) return position_table(c, err);
  if (calc_is(c, "windows")) return windows(c, err);
  return calc_is(c, "analysis") ? analysis(c, err) : group_table(c, err);
}

const struct calc calc_ppl_position = {
    .function = "ppl_position",
    .help = "credit by a response's perplexity within its group and by a token's place in its response",
    .compute = compute,
};

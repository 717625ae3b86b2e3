/* Low-probability regularisation (arXiv 2510.03222): part_proxy.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_proxy.h"
#include "method/part_rows.h"
#include "method/part_softmax.h"

struct proxy_case {
  struct calc_rows rows;
  int32_t vocabulary;
  struct proxy_rule filter;
  double *logits, *old_logits, *id; /* [count][vocabulary], [count] */
  double *all, *allq;               /* [count][vocabulary] log p, log q */
  double *logp, *old, *logq, *tau, *mass, *kept, *advantage;
  double *per_row;
  bool *gate;
};

static int filter_of(const struct calc_case *c, struct proxy_rule *r, struct error *err)
{
  *r = (struct proxy_rule){.soft = calc_flag(c, "soft", false)};
  TRY(calc_real(c, "kappa", 0.02, &r->kappa, err));
  TRY(calc_real(c, "temperature", 1, &r->temperature, err));
  if (!strcmp(calc_text(c, "filter", "minp"), "fixed")) TRY(calc_real(c, "tau_fixed", 0.02, &r->fixed, err));
  return 0;
}

static int open_case(struct calc_case *c, struct proxy_case *x, struct error *err)
{
  double eps;
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(calc_rows_vectors(c, &x->rows, "logits", &x->logits, &x->vocabulary, err));
  TRY(calc_rows_vectors(c, &x->rows, "old_logits", &x->old_logits, &x->vocabulary, err));
  TRY(calc_rows_tokens(c, &x->rows, "tokens", &x->id, err));
  TRY(filter_of(c, &x->filter, err));
  size_t n = (size_t)x->rows.count + 1, cells = n * (size_t)x->vocabulary;
  double **lists[] = {&x->logp, &x->old, &x->logq, &x->tau, &x->mass, &x->kept, &x->advantage};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  x->all = ARENA_NEW(c->arena, double, cells, "calc", err);
  x->allq = ARENA_NEW(c->arena, double, cells, "calc", err);
  x->per_row = ARENA_NEW(c->arena, double, (size_t)x->rows.rows, "calc", err);
  x->gate = ARENA_NEW(c->arena, bool, n, "calc", err);
  if (!x->all || !x->allq || !x->per_row || !x->gate) return err->code;
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  TRY(calc_rows_advantage(c, &x->rows, x->rows.reward, true, eps, x->per_row, err));
  calc_rows_spread(&x->rows, x->per_row, x->advantage);
  return 0;
}

static int read_tokens(struct calc_case *c, struct proxy_case *x, struct error *err)
{
  for (int32_t i = 0; i < x->rows.count; i++) {
    int64_t at = (int64_t)i * x->vocabulary;
    double *p = x->all + at, *q = x->allq + at;
    if (!(x->id[i] >= 0 && x->id[i] < x->vocabulary))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "tokens", "found token %g; expected an id below %d", x->id[i],
              x->vocabulary);
    int32_t own = (int32_t)x->id[i];
    softmax_log(x->old_logits + at, x->vocabulary, x->filter.temperature, p);
    x->old[i] = p[own];
    softmax_log(x->logits + at, x->vocabulary, x->filter.temperature, p);
    x->logp[i] = p[own];
    struct proxy f = proxy_filter(x->old_logits + at, x->vocabulary, &x->filter, q);
    x->logq[i] = q[own];
    x->tau[i] = f.tau;
    x->mass[i] = f.mass;
    x->kept[i] = f.kept;
  }
  return 0;
}

/* What the file has at cells that carry no loss: the functions of the given logits are written for all cells. */
static int put_everywhere(struct calc_case *c, const struct proxy_case *x, struct error *err)
{
  json_t *cells = json_object();
  json_t *ones = json_deep_copy(json_object_get(c->inputs, "response_mask")), *row, *cell;
  size_t i, t;
  json_array_foreach(ones, i, row) json_array_foreach(row, t, cell) json_array_set_new(row, t, json_integer(1));
  json_object_update(cells, (json_t *)(uintptr_t)c->inputs);
  json_object_set_new(cells, "response_mask", ones);
  struct calc_case other = *c;
  struct proxy_case all = {.filter = x->filter};
  other.inputs = cells;
  int rc = open_case(&other, &all, err);
  if (!rc) rc = read_tokens(&other, &all, err);
  json_decref(cells);
  TRY(rc);
  const struct {
    const char *key;
    const double *list;
  } put[] = {{"log_prob", all.logp}, {"old_log_prob", all.old}, {"proxy_log_prob", all.logq},
             {"tau", all.tau},       {"kept_mass", all.mass},   {"kept", all.kept}};
  for (size_t k = 0; k < sizeof put / sizeof *put; k++)
    json_object_set_new(c->outputs, put[k].key, calc_rows_matrix(&all.rows, put[k].list));
  return 0;
}

static int gate_tokens(struct calc_case *c, struct proxy_case *x, struct error *err)
{
  struct proxy_gate_rule rule = {.need_below = calc_flag(c, "need_below", true)};
  struct ranked *scratch = ARENA_NEW(c->arena, struct ranked, (size_t)x->rows.count + 1, "calc", err);
  double *gate = ARENA_NEW(c->arena, double, (size_t)x->rows.count + 1, "calc", err);
  if (!scratch || !gate) return err->code;
  TRY(calc_real(c, "rho", 0.01, &rule.rho, err));
  rule.population = !strcmp(calc_text(c, "population", "negative"), "all") ? PROXY_ALL : PROXY_NEGATIVE;
  struct proxy_gate g = proxy_gate_tokens(x->logp, x->logq, x->advantage, x->rows.count, &rule, scratch, x->gate);
  for (int32_t i = 0; i < x->rows.count; i++) gate[i] = x->gate[i];
  json_object_set_new(c->outputs, "gate", calc_rows_matrix(&x->rows, gate));
  calc_put(c->outputs, "candidates", g.candidates);
  calc_put(c->outputs, "delta", g.delta);
  return 0;
}

struct proxy_terms {
  struct proxy_loss_rule rule;
  double beta;
  bool full;
  double *regulariser, *loss, *coef, *by_logit;
};

/* One token: values, dloss/dlogp and dloss/dlogit. */
static void token_terms(const struct proxy_case *x, int32_t i, double scale, struct proxy_terms *t)
{
  int64_t at = (int64_t)i * x->vocabulary;
  const double *p = x->all + at, *q = x->allq + at;
  struct proxy_value v = proxy_policy(x->logp[i], x->old[i], x->advantage[i], x->gate[i], &t->rule);
  double coef = v.coef, full = 0;
  if (x->gate[i]) {
    struct proxy_value k = proxy_k3(x->logp[i], x->logq[i]);
    t->regulariser[i] = t->full ? proxy_full(q, p, x->vocabulary) : k.loss;
    if (!t->full) coef += t->beta * k.coef;
    full = t->full ? t->beta : 0;
  }
  t->loss[i] = v.loss + t->beta * t->regulariser[i];
  t->coef[i] = scale * coef;
  for (int32_t k = 0; k < x->vocabulary; k++) {
    double own = k == (int32_t)x->id[i], pk = math_exp(p[k]), qk = math_exp(q[k]);
    t->by_logit[at + k] = scale * (coef * (own - pk) + full * (pk - qk)) / x->filter.temperature;
  }
}

static int open_terms(struct calc_case *c, const struct proxy_case *x, struct proxy_terms *t, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  *t = (struct proxy_terms){.full = !strcmp(calc_text(c, "estimator", "k3"), "full")};
  t->rule.plain = !strcmp(calc_text(c, "clip", "max"), "plain");
  TRY(calc_real(c, "U", 10, &t->rule.most, err));
  TRY(calc_real(c, "beta", 1, &t->beta, err));
  /* null: no clamp, as in the released code */
  bool none = json_is_null(json_object_get(c->args, "ratio_clamp"));
  TRY(calc_real(c, "ratio_clamp", none ? __builtin_inf() : CLIP_LOG_RATIO, &t->rule.log_ratio, err));
  t->regulariser = ARENA_NEW(c->arena, double, n, "calc", err);
  t->loss = ARENA_NEW(c->arena, double, n, "calc", err);
  t->coef = ARENA_NEW(c->arena, double, n, "calc", err);
  t->by_logit = ARENA_NEW(c->arena, double, n *(size_t)x->vocabulary, "calc", err);
  return t->regulariser && t->loss && t->coef && t->by_logit ? 0 : err->code;
}

static int losses(struct calc_case *c, struct proxy_case *x, struct error *err)
{
  struct proxy_terms t;
  double sum = 0, *scale = ARENA_NEW(c->arena, double, (size_t)x->rows.count + 1, "calc", err);
  if (!scale) return err->code;
  TRY(open_terms(c, x, &t, err));
  TRY(calc_rows_scale(c, &x->rows, "token-mean", NULL, scale, err));
  for (int32_t i = 0; i < x->rows.count; i++) {
    token_terms(x, i, scale[i], &t);
    sum += scale[i] * t.loss[i];
  }
  calc_put(c->outputs, "loss", sum);
  json_object_set_new(c->outputs, "regulariser", calc_rows_matrix(&x->rows, t.regulariser));
  json_object_set_new(c->outputs, "token_loss", calc_rows_matrix(&x->rows, t.loss));
  if (!t.full) json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, t.coef));
  json_object_set_new(c->grads, "logits", calc_rows_vectors_matrix(&x->rows, t.by_logit, x->vocabulary));
  return 0;
}

/* One position, two current policies: the old one itself and another. Both estimators with their derivatives. */
static int worked(struct calc_case *c, struct error *err)
{
  struct calc_matrix old, new;
  struct proxy_rule rule;
  TRY(calc_matrix(c, calc_need(c, "old", err), &old, err));
  TRY(calc_matrix(c, calc_need(c, "new", err), &new, err));
  TRY(filter_of(c, &rule, err));
  const json_t *token = calc_need(c, "token", err);
  int32_t n = (int32_t)old.rows[0].count, own = token ? (int32_t)json_integer_value(token) : 0;
  double *x = ARENA_NEW(c->arena, double, 6 * (size_t)n + 1, "calc", err);
  if (!token || !x) return err->code;
  if (own < 0 || own >= n || new.rows[0].count != (size_t)n)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "token", "found token %d of %d; expected one of both distributions", own, n);
  double *z = x, *logq = x + n, *logp = logq + n, *q = logp + n, *kl_dz = q + n, *k3_dz = kl_dz + n;
  for (int32_t v = 0; v < n; v++) z[v] = math_log(old.rows[0].at[v]);
  struct proxy f = proxy_filter(z, n, &rule, logq);
  calc_put(c->outputs, "tau", f.tau);
  calc_put(c->outputs, "kept_mass", f.mass);
  calc_put(c->outputs, "kept", f.kept);
  for (int on = 1; on >= 0; on--) {
    for (int32_t v = 0; v < n; v++) z[v] = math_log(on ? old.rows[0].at[v] : new.rows[0].at[v]);
    softmax_log(z, n, 1, logp);
    struct proxy_value k = proxy_k3(logp[own], logq[own]);
    for (int32_t v = 0; v < n; v++) {
      double p = math_exp(logp[v]);
      q[v] = math_exp(logq[v]);
      kl_dz[v] = p - q[v];
      k3_dz[v] = k.coef * ((v == own) - p);
    }
    json_t *row = json_object();
    json_object_set_new(c->outputs, on ? "on-policy" : "off-policy", row);
    json_object_set_new(row, "q", calc_list(q, (size_t)n));
    calc_put(row, "kl", proxy_full(logq, logp, n));
    json_object_set_new(row, "kl_dz", calc_list(kl_dz, (size_t)n));
    calc_put(row, "k3", k.loss);
    calc_put(row, "k3_coefficient", k.coef);
    json_object_set_new(row, "k3_dz", calc_list(k3_dz, (size_t)n));
  }
  return 0;
}

/* Where repeated updates on one token with advantage A stop, as a share of its old probability: there the policy term
 * and the regulariser cancel. k3: by log p. full: two tokens, of which the other is kept too. */
static double slope(double share, double old, double advantage, double beta, bool full)
{
  double p = share * old, logp = math_log(p), policy = -advantage * share;
  if (!full) return policy + beta * proxy_k3(logp, math_log(old)).coef;
  /* d log p / dz = 1 - p, dKL/dz = p - q */
  return policy * (1 - p) + beta * (p - old);
}

static int fixed_points(struct calc_case *c, struct error *err)
{
  struct calc_matrix old, advantage;
  double beta;
  TRY(calc_matrix(c, calc_need(c, "pi_old", err), &old, err));
  TRY(calc_matrix(c, calc_need(c, "advantage", err), &advantage, err));
  TRY(calc_real(c, "beta", 1, &beta, err));
  for (int full = 0; full < 2; full++) {
    double low = 1e-12, high = 1;
    for (int i = 0; i < 200; i++) {
      double mid = 0.5 * (low + high);
      if (slope(mid, old.rows[0].at[0], advantage.rows[0].at[0], beta, full > 0) < 0)
        low = mid;
      else
        high = mid;
    }
    calc_put(c->outputs, full ? "full_two_tokens" : "k3", 0.5 * (low + high));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (json_object_get(c->inputs, "pi_old")) return fixed_points(c, err);
  if (json_object_get(c->inputs, "old")) return worked(c, err);
  struct proxy_case x = {0};
  TRY(open_case(c, &x, err));
  TRY(read_tokens(c, &x, err));
  TRY(put_everywhere(c, &x, err));
  json_object_set_new(c->outputs, "advantage", calc_list(x.per_row, (size_t)x.rows.rows));
  TRY(gate_tokens(c, &x, err));
  return losses(c, &x, err);
}

const struct calc calc_lp_reg = {
    .function = "lp_reg",
    .help = "the filtered proxy, the gate of rare tokens, and the loss that keeps them alive",
    .compute = compute,
};

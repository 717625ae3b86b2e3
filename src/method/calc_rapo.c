/* RAPO (arXiv 2510.03865): part_tempered.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_divergence.h"
#include "method/part_rows.h"
#include "method/part_tempered.h"

static int read_exponent(struct calc_case *c, struct tempered_exponent *out, struct error *err)
{
  TRY(calc_real(c, "phi_lo", 0.5, &out->lo, err));
  TRY(calc_real(c, "phi_hi", 1, &out->hi, err));
  TRY(calc_real(c, "r_lo", 0, &out->r_lo, err));
  return calc_real(c, "r_hi", 1, &out->r_hi, err);
}

static int read_form(const struct calc_case *c, struct tempered_options *out, struct error *err)
{
  static const char *const FORMS[] = {"full", "sampled", "score", "k3"};
  const char *word = calc_text(c, "form", FORMS[0]);
  out->normalise = calc_flag(c, "normalise", true);
  for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
    out->form = (enum tempered_form)i;
    if (!strcmp(word, FORMS[i])) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "form", "found \"%s\"; expected " TEMPERED_FORM_WORDS, word);
}

struct rapo_case {
  struct calc_rows rows;
  struct tempered_exponent exponent;
  struct tempered_options options;
  double alpha, beta;
  int32_t vocab;
  double *policy, *reference, *gradient;            /* [count][vocab]; log-probabilities of both; d loss / d logits */
  double *token, *divergence, *u, *entropy;         /* [count] */
  double *scale, *spread, *coef;                    /* [count] */
  double *phi, *advantage;                          /* [rows] */
  double *row_gradient, *work;                      /* [vocab] */
  double loss_policy, loss_divergence, entropy_all; /* aggregated */
};

static int open_arrays(struct calc_case *c, struct rapo_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1, rows = (size_t)x->rows.rows, v = (size_t)x->vocab;
  const struct {
    double **at;
    size_t n;
  } lists[] = {{&x->gradient, n * v}, {&x->divergence, n}, {&x->u, n},      {&x->entropy, n},      {&x->scale, n},
               {&x->spread, n},       {&x->coef, n},       {&x->phi, rows}, {&x->advantage, rows}, {&x->work, v},
               {&x->row_gradient, v}, {&x->rows.logp, n}};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i].at = ARENA_NEW(c->arena, double, lists[i].n, "calc", err))) return err->code;
  return 0;
}

static int open_case(struct calc_case *c, struct rapo_case *x, struct error *err)
{
  int32_t other;
  struct calc_rows *b = &x->rows;
  TRY(calc_rows_open(c, b, err));
  TRY(read_exponent(c, &x->exponent, err));
  TRY(read_form(c, &x->options, err));
  TRY(calc_real(c, "alpha", 0.01, &x->alpha, err));
  TRY(calc_real(c, "beta", 0.001, &x->beta, err));
  TRY(calc_rows_vectors(c, b, "logits", &x->policy, &x->vocab, err));
  TRY(calc_rows_vectors(c, b, "ref_logits", &x->reference, &other, err));
  TRY(calc_rows_tokens(c, b, "token", &x->token, err));
  if (other != x->vocab)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "ref_logits", "found %d entries a token; expected %d as in logits", other,
            x->vocab);
  TRY(open_arrays(c, x, err));
  for (int32_t i = 0; i < b->count; i++) {
    double *p = x->policy + (size_t)i * (size_t)x->vocab, *q = x->reference + (size_t)i * (size_t)x->vocab;
    if (!(x->token[i] >= 0 && x->token[i] < x->vocab))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "token", "found %g; expected an id below %d", x->token[i], x->vocab);
    divergence_log_softmax(p, x->vocab, p);
    divergence_log_softmax(q, x->vocab, q);
    b->logp[i] = p[(int32_t)x->token[i]];
  }
  return 0;
}

static int policy_loss(struct calc_case *c, struct rapo_case *x, struct error *err)
{
  double eps;
  const char *std = calc_text(c, "adv_std", "sample");
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  TRY(calc_rows_advantage(c, &x->rows, x->rows.reward, strcmp(std, "population") != 0, strcmp(std, "none") ? eps : -1,
                          x->advantage, err));
  calc_rows_spread(&x->rows, x->advantage, x->spread);
  struct calc_loss l = {.advantage = x->spread, .aggregation = calc_text(c, "agg", "seq-mean-token-mean")};
  TRY(calc_real(c, "clip_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "clip_dual", 3, &l.bounds.dual, err));
  TRY(calc_rows_scale(c, &x->rows, l.aggregation, NULL, x->scale, err));
  return calc_rows_loss(c, &x->rows, &l, &x->loss_policy, x->coef, err);
}

static double entropy_of(const double *logp, int32_t v)
{
  double h = 0;
  for (int32_t k = 0; k < v; k++) h -= math_exp(logp[k]) * logp[k];
  return h;
}

/* One token: all three terms and what they say of its logits. */
static void add_token(struct rapo_case *x, int32_t i)
{
  int32_t v = x->vocab, y = (int32_t)x->token[i];
  const double *p = x->policy + (size_t)i * (size_t)v, *q = x->reference + (size_t)i * (size_t)v;
  double *g = x->gradient + (size_t)i * (size_t)v, phi = x->phi[x->rows.row[i]];
  tempered_reference(q, v, phi, x->options.normalise, x->work);
  x->u[i] = math_exp(math_clamp(x->work[y] - p[y], -20, 20));
  x->divergence[i] = tempered_row(&x->options, phi, p, q, v, y, x->row_gradient, NULL, x->work);
  x->entropy[i] = entropy_of(p, v);
  x->loss_divergence += x->scale[i] * x->divergence[i];
  x->entropy_all += x->scale[i] * x->entropy[i];
  for (int32_t k = 0; k < v; k++) {
    double pk = math_exp(p[k]);
    g[k] = x->coef[i] * ((k == y) - pk) + x->alpha * x->scale[i] * x->row_gradient[k] +
           x->beta * x->scale[i] * pk * (p[k] + x->entropy[i]);
  }
}

/* The flattened reference at one cell; its number stands whether the cell counts or not. */
static int put_cell(struct calc_case *c, struct rapo_case *x, const json_t *logits, double phi, json_t *row,
                    struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, logits, &m, err));
  if (m.rows[0].count != (size_t)x->vocab)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "ref_logits", "found a row of %zu; expected %d entries a token",
            m.rows[0].count, x->vocab);
  double *at = m.rows[0].at;
  divergence_log_softmax(at, x->vocab, at);
  tempered_reference(at, x->vocab, phi, x->options.normalise, x->work);
  for (int32_t k = 0; k < x->vocab; k++) x->work[k] = math_exp(x->work[k]);
  json_array_append_new(row, calc_list(x->work, (size_t)x->vocab));
  return 0;
}

/* That of the first rows: enough to find a mistake by. */
static int put_reference(struct calc_case *c, struct rapo_case *x, struct error *err)
{
  enum { SHOWN = 4 };
  const json_t *rows = calc_need(c, "ref_logits", err), *cell;
  json_t *out = json_array();
  size_t t;
  json_object_set_new(c->outputs, "ref_hat", out);
  for (int32_t i = 0; i < SHOWN && i < x->rows.rows; i++) {
    json_t *row = json_array();
    json_array_append_new(out, row);
    json_array_foreach(json_array_get(rows, (size_t)i), t, cell) TRY(put_cell(c, x, cell, x->phi[i], row, err));
  }
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct rapo_case x = {0};
  TRY(open_case(c, &x, err));
  TRY(policy_loss(c, &x, err));
  const struct calc_rows *b = &x.rows;
  for (int32_t i = 0; i < b->rows; i++) x.phi[i] = tempered_phi(&x.exponent, b->reward[i]);
  for (int32_t i = 0; i < b->count; i++) add_token(&x, i);
  json_object_set_new(c->outputs, "phi", calc_list(x.phi, (size_t)b->rows));
  json_object_set_new(c->outputs, "advantages", calc_list(x.advantage, (size_t)b->rows));
  json_object_set_new(c->outputs, "divergence", calc_rows_matrix(b, x.divergence));
  json_object_set_new(c->outputs, "u", calc_rows_matrix(b, x.u));
  json_object_set_new(c->outputs, "entropy", calc_rows_matrix(b, x.entropy));
  calc_put(c->outputs, "loss_policy", x.loss_policy);
  calc_put(c->outputs, "loss_divergence", x.loss_divergence);
  calc_put(c->outputs, "entropy_mean", x.entropy_all);
  calc_put(c->outputs, "loss", x.loss_policy + x.alpha * x.loss_divergence - x.beta * x.entropy_all);
  json_object_set_new(c->grads, "logits", calc_rows_vectors_matrix(b, x.gradient, x.vocab));
  return put_reference(c, &x, err);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static int exponents(struct calc_case *c, struct error *err)
{
  static const double REWARDS[] = {-1, 0, 0.25, 0.5, 1, 3};
  enum { COUNT = sizeof REWARDS / sizeof *REWARDS };
  struct tempered_exponent e;
  double phi[COUNT];
  TRY(read_exponent(c, &e, err));
  for (size_t i = 0; i < COUNT; i++) phi[i] = tempered_phi(&e, REWARDS[i]);
  json_object_set_new(c->outputs, "reward", calc_list(REWARDS, COUNT));
  json_object_set_new(c->outputs, "phi", calc_list(phi, COUNT));
  return 0;
}

/* One position by enumeration: what each token would add, what that is in the mean, and the exact values. */
struct position {
  int32_t v;
  double *p, *q, *hat, *u, *f, *sampled, *score, *kl, *mean_sampled, *mean_score, *entropy, *gradient, *work; /* [v] */
};

static int open_position(struct calc_case *c, struct position *x, struct error *err)
{
  struct calc_matrix p, q;
  TRY(calc_matrix(c, calc_need(c, "p", err), &p, err));
  TRY(calc_matrix(c, calc_need(c, "ref", err), &q, err));
  x->v = (int32_t)p.rows[0].count;
  if (!x->v || q.rows[0].count != p.rows[0].count)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "ref", "expected as many probabilities in p and ref, one at least");
  double **lists[] = {&x->p,     &x->q,  &x->hat,          &x->u,          &x->f,       &x->sampled,
                      &x->score, &x->kl, &x->mean_sampled, &x->mean_score, &x->entropy, &x->gradient,
                      &x->work};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, (size_t)x->v, "calc", err))) return err->code;
  for (int32_t i = 0; i < x->v; i++) {
    x->p[i] = math_log(p.rows[0].at[i]);
    x->q[i] = math_log(q.rows[0].at[i]);
  }
  return 0;
}

/* The mean over the policy of a sampled form's derivative by the logits. */
static void mean_gradient(struct position *x, enum tempered_form form, double phi, double *value, double *mean)
{
  const struct tempered_options o = {form, true};
  for (int32_t y = 0; y < x->v; y++) {
    double p = math_exp(x->p[y]);
    value[y] = tempered_row(&o, phi, x->p, x->q, x->v, y, x->gradient, &x->u[y], x->work);
    for (int32_t k = 0; k < x->v; k++) mean[k] += p * x->gradient[k];
  }
}

static int position(struct calc_case *c, struct error *err)
{
  struct position x = {0};
  double phi, mean = 0;
  TRY(open_position(c, &x, err));
  TRY(calc_real(c, "phi", 1, &phi, err));
  size_t n = (size_t)x.v;
  const struct tempered_options full = {TEMPERED_FULL, true};
  calc_put(c->outputs, "kl", tempered_row(&full, phi, x.p, x.q, x.v, 0, x.kl, NULL, x.hat));
  mean_gradient(&x, TEMPERED_SCORE, phi, x.f, x.mean_score);
  mean_gradient(&x, TEMPERED_SAMPLED, phi, x.f, x.mean_sampled);
  double h = entropy_of(x.p, x.v);
  for (int32_t k = 0; k < x.v; k++) {
    double p = math_exp(x.p[k]);
    mean += p * x.f[k];
    x.hat[k] = math_exp(x.hat[k]);
    x.sampled[k] = -x.u[k] * math_log(x.u[k]);
    x.score[k] = -x.u[k];
    x.entropy[k] = -p * (x.p[k] + h);
  }
  calc_put(c->outputs, "expected_f", mean);
  calc_put(c->outputs, "entropy", h);
  const struct {
    const char *key;
    const double *list;
  } out[] = {{"ref_hat", x.hat},
             {"u", x.u},
             {"f", x.f},
             {"coefficient_sampled", x.sampled},
             {"coefficient_score", x.score},
             {"dkl_dlogits", x.kl},
             {"expected_gradient_sampled", x.mean_sampled},
             {"expected_gradient_score", x.mean_score},
             {"dentropy_dlogits", x.entropy}};
  for (size_t i = 0; i < sizeof out / sizeof *out; i++)
    json_object_set_new(c->outputs, out[i].key, calc_list(out[i].list, n));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (c->inputs) return update(c, err);
  return json_object_get(c->args, "p") ? position(c, err) : exponents(c, err);
}

const struct calc calc_rapo = {
    .function = "rapo",
    .help = "forward KL from a reference that is flattened where the reward is low, and entropy",
    .compute = compute,
};

/* ACE (arXiv 2602.21420): part_confident_error.h. */
#include <string.h>

#include "method/calc.h"
#include "method/part_confident_error.h"
#include "method/part_rows.h"

static const char *const GATES[] = {"softplus", "relu", "none", "uniform", "centred"};
enum { GATE_COUNT = sizeof GATES / sizeof *GATES };

static int read_gate(const struct calc_case *c, enum error_gate *out, struct error *err)
{
  const char *word = calc_text(c, "gate", GATES[0]);
  for (int i = 0; i < GATE_COUNT; i++) {
    *out = (enum error_gate)i;
    if (!strcmp(word, GATES[i])) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "gate", "found \"%s\"; expected " ERROR_GATE_WORDS, word);
}

struct ace_case {
  struct calc_rows rows;
  enum error_gate gate;
  double alpha;
  double *base, *shift, *s, *factor, *advantage; /* [rows] */
};

static int open_case(struct calc_case *c, struct ace_case *x, struct error *err)
{
  double eps;
  const char *std = calc_text(c, "std", "sample");
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(read_gate(c, &x->gate, err));
  TRY(calc_real(c, "alpha", 1, &x->alpha, err));
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  size_t n = (size_t)x->rows.rows;
  double **lists[] = {&x->base, &x->shift, &x->s, &x->factor, &x->advantage};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  return calc_rows_advantage(c, &x->rows, x->rows.reward, strcmp(std, "population") != 0,
                             strcmp(std, "none") ? eps : -1, x->base, err);
}

static int shape(struct calc_case *c, struct ace_case *x, struct error *err)
{
  double *reference;
  const struct calc_rows *b = &x->rows;
  const double *logp = strcmp(calc_text(c, "policy", "old"), "current") ? b->old : b->logp;
  bool mean = strcmp(calc_text(c, "length_norm", "mean"), "sum") != 0;
  TRY(calc_rows_tokens(c, b, "ref_log_prob", &reference, err));
  for (int32_t i = 0; i < b->rows; i++) {
    int32_t tokens = b->first[i + 1] - b->first[i];
    for (int32_t t = b->first[i]; t < b->first[i + 1]; t++) x->shift[i] += logp[t] - reference[t];
    if (mean && tokens) x->shift[i] /= tokens;
    x->s[i] = error_gate(x->gate, x->shift[i]);
    x->factor[i] = error_factor(x->gate, x->alpha, x->shift[i], x->base[i]);
    x->advantage[i] = x->base[i] * x->factor[i];
  }
  return 0;
}

static void put_shift(const struct calc_case *c, const struct ace_case *x)
{
  double wrong = 0, sure = 0, sum = 0;
  for (int32_t i = 0; i < x->rows.rows; i++) {
    if (!(x->base[i] < 0)) continue;
    wrong++;
    if (x->shift[i] > 0) sure++, sum += x->shift[i];
  }
  calc_put(c->outputs, "overconfident_fraction", wrong > 0 ? sure / wrong : 0);
  calc_put(c->outputs, "overconfident_mean_shift", sure > 0 ? sum / sure : 0);
}

static int put_loss(struct calc_case *c, struct ace_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->count + 1;
  double *advantage = ARENA_NEW(c->arena, double, 2 * n, "calc", err), weight, loss, kl;
  if (!advantage) return err->code;
  double *coef = advantage + n;
  bool dapo = !strcmp(calc_text(c, "base", "grpo"), "dapo");
  calc_rows_spread(b, x->advantage, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "high", dapo ? 0.28 : 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "dual", dapo ? 10 : 3, &l.bounds.dual, err));
  TRY(calc_real(c, "kl_coef", 0, &weight, err));
  TRY(calc_rows_loss(c, b, &l, &loss, coef, err));
  TRY(calc_rows_kl(c, b, l.aggregation, weight, &kl, coef, err));
  calc_put(c->outputs, "policy_loss", loss);
  calc_put(c->outputs, "kl", kl);
  calc_put(c->outputs, "loss", loss + weight * kl);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct ace_case x = {0};
  TRY(open_case(c, &x, err));
  TRY(shape(c, &x, err));
  size_t n = (size_t)x.rows.rows;
  json_object_set_new(c->outputs, "advantages_base", calc_list(x.base, n));
  json_object_set_new(c->outputs, "confidence_shift", calc_list(x.shift, n));
  json_object_set_new(c->outputs, "gate", calc_list(x.s, n));
  json_object_set_new(c->outputs, "factor", calc_list(x.factor, n));
  json_object_set_new(c->outputs, "advantages", calc_list(x.advantage, n));
  put_shift(c, &x);
  return put_loss(c, &x, err);
}

/* Factors of a wrong response by its shift. */
static int table(struct calc_case *c, struct error *err)
{
  static const double SHIFTS[] = {-800, -30, -5, -1, -0.1, 0, 0.1, 1, 5, 30, 800};
  enum { COUNT = sizeof SHIFTS / sizeof *SHIFTS };
  double alpha, factor[COUNT];
  TRY(calc_real(c, "alpha", 1, &alpha, err));
  json_object_set_new(c->outputs, "confidence_shift", calc_list(SHIFTS, COUNT));
  for (int g = 0; g < GATE_COUNT; g++) {
    for (size_t i = 0; i < COUNT; i++) factor[i] = error_factor((enum error_gate)g, alpha, SHIFTS[i], -1);
    json_object_set_new(c->outputs, GATES[g], calc_list(factor, COUNT));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  return c->inputs ? update(c, err) : table(c, err);
}

const struct calc calc_ace = {
    .function = "ace",
    .help = "a harder penalty for wrong responses that the policy has become surer of than its reference",
    .compute = compute,
};

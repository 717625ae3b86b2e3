/* Advantages re-weighted by confidence (arXiv 2602.05281): part_confidence.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_confidence.h"
#include "method/part_rows.h"

struct confidence_case {
  struct calc_rows rows;
  double f;
  enum rank_round rule;
  struct ranked *scratch;
  double *grpo, *answer, *prompt, *term, *advantage; /* [rows] */
};

static enum rank_round rule_of(const struct calc_case *c)
{
  const char *word = calc_text(c, "count", "ceil");
  return !strcmp(word, "floor") ? RANK_FLOOR : !strcmp(word, "round") ? RANK_ROUND : RANK_CEIL;
}

static int counts(struct calc_case *c, struct error *err)
{
  struct calc_matrix length, f;
  TRY(calc_matrix(c, calc_need(c, "length", err), &length, err));
  TRY(calc_matrix(c, calc_need(c, "f", err), &f, err));
  json_t *out = json_array();
  for (size_t i = 0; i < f.rows[0].count; i++) {
    json_t *row = json_array();
    for (size_t n = 0; n < length.rows[0].count; n++)
      json_array_append_new(row,
                            calc_number(confidence_count(f.rows[0].at[i], (int32_t)length.rows[0].at[n], rule_of(c))));
    json_array_append_new(out, row);
  }
  json_object_set_new(c->outputs, "count", out);
  return 0;
}

static int open_case(struct calc_case *c, struct confidence_case *x, struct error *err)
{
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(calc_real(c, "f", 0.2, &x->f, err));
  x->rule = rule_of(c);
  size_t n = (size_t)x->rows.rows;
  double **lists[] = {&x->grpo, &x->answer, &x->prompt, &x->term, &x->advantage};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  /* Room for the longest row of either matrix. */
  size_t most = (size_t)x->rows.count + 1, width = json_array_size(json_array_get(calc_need(c, "prompt_mask", err), 0));
  x->scratch = ARENA_NEW(c->arena, struct ranked, most > width ? most : width, "calc", err);
  return x->scratch ? 0 : err->code;
}

static int answers(struct calc_case *c, struct confidence_case *x, struct error *err)
{
  json_t *low = json_array();
  json_object_set_new(c->outputs, "low_positions", low);
  for (int32_t i = 0; i < x->rows.rows; i++) {
    int32_t first = x->rows.first[i], n = x->rows.first[i + 1] - first;
    x->answer[i] = confidence_of(x->rows.old + first, n, x->f, x->rule, x->scratch);
    json_t *row = json_array();
    for (int32_t k = 0; k < confidence_count(x->f, n, x->rule); k++)
      json_array_append_new(row, json_integer(x->rows.at[first + x->scratch[k].index]));
    json_array_append_new(low, row);
  }
  (void)err;
  return 0;
}

/* The first of the prompt's tokens has no log-probability. */
static int prompts(struct calc_case *c, struct confidence_case *x, struct error *err)
{
  struct calc_matrix logp, mask;
  const char *word = calc_text(c, "prompt_conf", "full");
  TRY(calc_matrix(c, calc_need(c, "prompt_log_prob", err), &logp, err));
  TRY(calc_matrix(c, calc_need(c, "prompt_mask", err), &mask, err));
  for (int32_t i = 0; i < x->rows.rows; i++) {
    int32_t n = -1;
    struct calc_row *row = &logp.rows[i];
    for (size_t t = 0; t < row->count; t++)
      if (mask.rows[i].at[t] > 0 && ++n > 0) row->at[n - 1] = row->at[t];
    x->prompt[i] = !strcmp(word, "off")
                       ? 0
                       : confidence_of(row->at, n > 0 ? n : 0, !strcmp(word, "low") ? x->f : 1, x->rule, x->scratch);
  }
  return 0;
}

static int terms(struct calc_case *c, struct confidence_case *x, struct error *err)
{
  struct confidence_rule rule = {.include_all_correct = calc_flag(c, "include_all_correct", true),
                                 .correct_only = calc_flag(c, "correct_only", false),
                                 .centre = calc_flag(c, "centre", false)};
  TRY(calc_real(c, "alpha", 0.3, &rule.alpha, err));
  TRY(calc_real(c, "correct_above", 0, &rule.correct_above, err));
  size_t most = (size_t)x->rows.rows;
  double *own = ARENA_NEW(c->arena, double, 4 * most, "calc", err), wrong = 0, count = 0;
  if (!own) return err->code;
  for (int32_t g = 0; g < x->rows.group_count; g++) {
    const int32_t *member = x->rows.member + x->rows.group_first[g];
    int32_t n = x->rows.group_first[g + 1] - x->rows.group_first[g];
    for (int32_t i = 0; i < n; i++) {
      own[i] = x->rows.reward[member[i]];
      own[most + (size_t)i] = x->prompt[member[i]];
      own[2 * most + (size_t)i] = x->answer[member[i]];
    }
    confidence_terms(own, own + most, own + 2 * most, n, &rule, own + 3 * most);
    for (int32_t i = 0; i < n; i++) x->term[member[i]] = own[3 * most + (size_t)i];
  }
  for (int32_t i = 0; i < x->rows.rows; i++) {
    x->advantage[i] = x->grpo[i] + x->term[i];
    if (x->rows.reward[i] > rule.correct_above) continue;
    wrong += x->advantage[i];
    count++;
  }
  calc_put(c->outputs, "mean_wrong", count > 0 ? wrong / count : 0);
  return 0;
}

static int loss_of(struct calc_case *c, struct confidence_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  double *advantage = ARENA_NEW(c->arena, double, n, "calc", err), loss;
  double *coef = ARENA_NEW(c->arena, double, n, "calc", err);
  if (!advantage || !coef) return err->code;
  calc_rows_spread(&x->rows, x->advantage, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "eps_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "eps_high", 0.28, &l.bounds.high, err));
  TRY(calc_real(c, "dual", __builtin_inf(), &l.bounds.dual, err));
  TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (!strcmp(calc_text(c, "part", "step"), "count")) return counts(c, err);
  struct confidence_case x;
  double eps;
  TRY(open_case(c, &x, err));
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  TRY(calc_rows_advantage(c, &x.rows, x.rows.reward, strcmp(calc_text(c, "std", "n-1"), "n") != 0, eps, x.grpo, err));
  TRY(answers(c, &x, err));
  TRY(prompts(c, &x, err));
  TRY(terms(c, &x, err));
  const struct {
    const char *key;
    const double *list;
  } put[] = {{"grpo", x.grpo},
             {"answer_conf", x.answer},
             {"prompt_conf", x.prompt},
             {"term", x.term},
             {"advantages", x.advantage}};
  for (size_t i = 0; i < sizeof put / sizeof *put; i++)
    json_object_set_new(c->outputs, put[i].key, calc_list(put[i].list, (size_t)x.rows.rows));
  return loss_of(c, &x, err);
}

const struct calc calc_progrpo = {
    .function = "progrpo",
    .help = "GRPO's advantage plus alpha times prompt confidence minus answer confidence",
    .compute = compute,
};

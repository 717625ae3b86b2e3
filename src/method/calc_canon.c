/* Advantages conditional on a metric, and their schedules (arXiv 2509.23962): part_canon.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_canon.h"
#include "method/part_rows.h"

struct canon_case {
  struct calc_rows rows;
  double *metric, *low, *high, *inter, *intra, *advantage; /* [rows] */
  double *side;                                            /* [rows] 1: upper part */
};

static int open_case(struct calc_case *c, struct canon_case *x, struct error *err)
{
  TRY(calc_rows_open(c, &x->rows, err));
  size_t n = (size_t)x->rows.rows;
  double **lists[] = {&x->metric, &x->low, &x->high, &x->inter, &x->intra, &x->advantage, &x->side};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  double *entropy;
  const char *word = calc_text(c, "metric", "entropy");
  TRY(calc_rows_tokens(c, &x->rows, "entropy", &entropy, err));
  for (int32_t i = 0; i < x->rows.rows; i++) {
    int32_t tokens = x->rows.first[i + 1] - x->rows.first[i];
    double sum = 0;
    for (int32_t t = x->rows.first[i]; t < x->rows.first[i + 1]; t++) sum += entropy[t];
    x->metric[i] = !strcmp(word, "length") ? tokens : !strcmp(word, "random") ? i : tokens ? sum / tokens : 0;
  }
  return 0;
}

/* Every group of the batch. */
static int advantages(struct calc_case *c, struct canon_case *x, const double *reward, const struct canon_mix *mix,
                      struct error *err)
{
  size_t most = (size_t)x->rows.rows;
  double *own = ARENA_NEW(c->arena, double, 5 * most, "calc", err);
  bool *high = ARENA_NEW(c->arena, bool, most, "calc", err);
  struct ranked *scratch = ARENA_NEW(c->arena, struct ranked, most, "calc", err);
  if (!own || !high || !scratch) return err->code;
  double *metric = own + most, *inter = metric + most, *intra = inter + most, *a = intra + most;
  for (int32_t g = 0; g < x->rows.group_count; g++) {
    const int32_t *member = x->rows.member + x->rows.group_first[g];
    int32_t n = x->rows.group_first[g + 1] - x->rows.group_first[g];
    for (int32_t i = 0; i < n; i++) {
      own[i] = reward[member[i]];
      metric[i] = x->metric[member[i]];
    }
    canon_split(metric, n, scratch, high);
    struct canon_means m = canon_advantage(own, high, n, mix, inter, intra, a);
    for (int32_t i = 0; i < n; i++) {
      int32_t r = member[i];
      x->low[r] = m.low;
      x->high[r] = m.high;
      x->side[r] = high[i];
      x->inter[r] = inter[i];
      x->intra[r] = intra[i];
      x->advantage[r] = a[i];
    }
  }
  return 0;
}

static void put_list(const struct calc_case *c, const struct canon_case *x, const char *key, const double *list)
{
  json_object_set_new(c->outputs, key, calc_list(list, (size_t)x->rows.rows));
}

/* empty_rows "count": rows without tokens stay in the number of rows, as the released code has it. */
static double row_share(const struct calc_case *c, const struct canon_case *x)
{
  if (strcmp(calc_text(c, "empty_rows", "exclude"), "count")) return 1;
  return x->rows.rows ? (double)x->rows.batch.sequence_count / x->rows.rows : 1;
}

static int loss_of(struct calc_case *c, struct canon_case *x, const double *per_row, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  double *advantage = ARENA_NEW(c->arena, double, n, "calc", err), loss;
  double *coef = ARENA_NEW(c->arena, double, n, "calc", err), share = row_share(c, x);
  if (!advantage || !coef) return err->code;
  calc_rows_spread(&x->rows, per_row, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "agg", "seq-mean-token-sum")};
  TRY(calc_real(c, "low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "high", 0.28, &l.bounds.high, err));
  TRY(calc_real(c, "dual", 3, &l.bounds.dual, err));
  TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  for (int32_t i = 0; i < x->rows.count; i++) coef[i] *= share;
  calc_put(c->outputs, "loss", share * loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct canon_case x;
  struct canon_mix mix;
  double l_max;
  TRY(open_case(c, &x, err));
  TRY(calc_real(c, "mu", 1, &mix.mu, err));
  TRY(calc_real(c, "alpha", 1, &mix.alpha, err));
  TRY(calc_real(c, "beta", 0, &mix.beta, err));
  TRY(calc_real(c, "l_max", 8192, &l_max, err));
  const char *word = calc_text(c, "metric", "entropy");
  mix.length = !strcmp(word, "length");
  if (!strcmp(word, "random")) mix = (struct canon_mix){.mu = 1, .alpha = 1};
  TRY(advantages(c, &x, x.rows.reward, &mix, err));
  put_list(c, &x, "metric", x.metric);
  put_list(c, &x, "high", x.side);
  put_list(c, &x, "mean_low", x.low);
  put_list(c, &x, "mean_high", x.high);
  put_list(c, &x, "inter", x.inter);
  put_list(c, &x, "intra", x.intra);
  put_list(c, &x, "advantages_unscaled", x.advantage);
  for (int32_t i = 0; i < x.rows.rows; i++) x.advantage[i] /= l_max;
  put_list(c, &x, "advantages", x.advantage);
  return loss_of(c, &x, x.advantage, err);
}

static int schedule_of(const struct calc_case *c, enum canon_schedule *out, struct canon_shape *shape,
                       struct error *err)
{
  static const char *const WORDS[] = {"none", "accuracy_intra_first", "accuracy_inter_first", "cosine_intra_first",
                                      "cosine_inter_first"};
  const char *word = calc_text(c, "schedule", "none");
  TRY(calc_int(c, "total", 150, &shape->total, err));
  TRY(calc_int(c, "warmup", 30, &shape->warmup, err));
  TRY(calc_int(c, "cycles", 3, &shape->cycles, err));
  for (int i = CANON_ACCURACY_INTRA_FIRST; i <= CANON_COSINE_INTER_FIRST; i++) {
    *out = (enum canon_schedule)i;
    if (!strcmp(word, WORDS[i])) break;
    *out = CANON_FIXED;
  }
  if (*out == CANON_FIXED || shape->warmup < 0 || shape->cycles < 1 || shape->total - shape->warmup < shape->cycles)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "schedule",
            "found schedule %s of %lld steps with %lld of warm-up and %lld cycles; expected one that canon knows, with "
            "cycles of at least one step",
            word, (long long)shape->total, (long long)shape->warmup, (long long)shape->cycles);
  return 0;
}

static int schedule(struct calc_case *c, struct error *err)
{
  static const int64_t STEPS[] = {0, 1, 15, 28, 29, 30, 31, 50, 69, 70, 109, 110, 149, 150, 151, 190, 1000};
  enum canon_schedule s;
  struct canon_shape shape;
  TRY(schedule_of(c, &s, &shape, err));
  const json_t *given = json_object_get(c->args, "steps");
  size_t n = given ? json_array_size(given) : sizeof STEPS / sizeof *STEPS;
  json_t *steps = json_array(), *kappa = json_array();
  for (size_t i = 0; i < n; i++) {
    int64_t step = given ? json_integer_value(json_array_get(given, i)) : STEPS[i];
    json_array_append_new(steps, json_integer(step));
    json_array_append_new(kappa, calc_number(canon_kappa(s, step, 0, &shape)));
  }
  json_object_set_new(c->outputs, "step", steps);
  json_object_set_new(c->outputs, "kappa", kappa);
  return 0;
}

/* Rewards of a step on the same responses: as given, all wrong, all right, the other way round, and those of the set
 * "real" where the document has one. */
static int step_rewards(struct calc_case *c, const struct canon_case *x, int64_t step, double *reward,
                        struct error *err)
{
  struct calc_matrix m;
  const json_t *real = step == 5 ? json_object_get(json_object_get(c->sets, "real"), "rewards") : NULL;
  if (real) TRY(calc_matrix(c, real, &m, err));
  for (int32_t i = 0; i < x->rows.rows; i++) {
    double r = real && m.rows[0].count > (size_t)i ? m.rows[0].at[i] : x->rows.reward[i];
    reward[i] = step == 2 ? 0 : step == 3 ? 1 : step == 4 ? 1 - r : r;
  }
  return 0;
}

/* Steps count from 1. */
static int sequence(struct calc_case *c, struct error *err)
{
  struct canon_case x;
  enum canon_schedule s;
  struct canon_shape shape;
  TRY(open_case(c, &x, err));
  TRY(schedule_of(c, &s, &shape, err));
  int32_t n = x.rows.rows;
  double *reward = ARENA_NEW(c->arena, double, (size_t)n, "calc", err);
  if (!reward) return err->code;
  json_t *out = json_array();
  json_object_set_new(c->outputs, "steps", out);
  for (int64_t step = 1; step <= 5; step++) {
    double sum = 0;
    TRY(step_rewards(c, &x, step, reward, err));
    for (int32_t i = 0; i < n; i++) sum += reward[i];
    double kappa = canon_kappa(s, step, sum / n, &shape);
    const struct canon_mix mix = {.mu = 1 - kappa, .alpha = 1};
    TRY(advantages(c, &x, reward, &mix, err));
    json_t *row = json_object();
    json_array_append_new(out, row);
    calc_put(row, "step", (double)step);
    calc_put(row, "accuracy", sum / n);
    calc_put(row, "kappa", kappa);
    calc_put(row, "mu", mix.mu);
    json_object_set_new(row, "rewards", calc_list(reward, (size_t)n));
    json_object_set_new(row, "advantages_unscaled", calc_list(x.advantage, (size_t)n));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (!c->inputs) return schedule(c, err);
  return json_object_get(c->args, "schedule") ? sequence(c, err) : update(c, err);
}

const struct calc calc_canon = {
    .function = "canon",
    .help =
        "advantages between and within the halves of a group, split by entropy or length; schedules of their weight",
    .compute = compute,
};

/* PGBC and PGFC (arXiv 2510.00915): part_channel.h. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_channel.h"
#include "method/part_group.h"
#include "method/part_rows.h"

struct channel_options {
  struct error_rates rates;
  enum channel_mode mode;
  bool leave_one_out;
  double scale;
};

static int word_of(const struct calc_case *c, const char *key, const char *const *words, int count, const char *all,
                   int *out, struct error *err)
{
  const char *word = calc_text(c, key, words[0]);
  for (*out = 0; *out < count; (*out)++)
    if (!strcmp(word, words[*out])) return 0;
  FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found \"%s\"; expected %s", word, all);
}

static int read_scale(const struct calc_case *c, struct channel_options *o, struct error *err)
{
  static const char *const SCALES[] = {"one", "c", "1-rho1"};
  int k;
  if (json_is_number(json_object_get(c->args, "scale"))) return calc_real(c, "scale", 1, &o->scale, err);
  TRY(word_of(c, "scale", SCALES, 3, "one|c|1-rho1 or a number", &k, err));
  o->scale = channel_scale(&o->rates, (enum channel_scale)k);
  return 0;
}

static int read_options(const struct calc_case *c, struct channel_options *o, struct error *err)
{
  static const char *const MODES[] = {"pgfc", "none", "pgbc", "noise"}, *const BASELINES[] = {"auto", "loo", "none"};
  static const enum channel_mode MODE[] = {CHANNEL_FORWARD, CHANNEL_NONE, CHANNEL_BACKWARD, CHANNEL_NOISE};
  int k;
  TRY(calc_real(c, "rho0", 0.1, &o->rates.rho0, err));
  TRY(calc_real(c, "rho1", 0.2, &o->rates.rho1, err));
  TRY(calc_real(c, "eps_c", 1e-6, &o->rates.floor, err));
  if (!(o->rates.rho0 + o->rates.rho1 < 1))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rho0", "found rates whose sum is %g; rho0 + rho1 must be below 1",
            o->rates.rho0 + o->rates.rho1);
  TRY(word_of(c, "mode", MODES, 4, CHANNEL_WORDS, &k, err));
  o->mode = MODE[k];
  TRY(word_of(c, "baseline", BASELINES, 3, "auto|loo|none", &k, err));
  o->leave_one_out = channel_leaves_one_out(o->mode, (enum channel_baseline)k);
  return read_scale(c, o, err);
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

/* x, b and A per row. */
static int credit(struct calc_case *c, const struct calc_rows *b, const struct channel_options *o, double *x,
                  double *base, double *advantage, struct error *err)
{
  double eps, *room = ARENA_NEW(c->arena, double, 3 * (size_t)b->rows + 1, "calc", err);
  if (!room) return err->code;
  double *shaped = room + b->rows, *given = shaped + b->rows;
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  for (int32_t i = 0; i < b->rows; i++) {
    bool binary = !(b->reward[i] < 0 || b->reward[i] > 0) || !(b->reward[i] < 1 || b->reward[i] > 1);
    if (!binary && (o->mode == CHANNEL_BACKWARD || o->mode == CHANNEL_FORWARD))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "rewards", "found %g; rewards must be 0 or 1", b->reward[i]);
    x[i] = b->reward[i];
    base[i] = 0;
  }
  if (o->mode == CHANNEL_NONE) return calc_rows_advantage(c, b, b->reward, true, eps, advantage, err);
  for (int32_t g = 0; g < b->group_count; g++) {
    const int32_t *member = b->member + b->group_first[g];
    int32_t n = b->group_first[g + 1] - b->group_first[g];
    for (int32_t i = 0; i < n; i++) room[i] = b->reward[member[i]];
    channel_credit(&o->rates, o->mode, o->leave_one_out, o->scale, room, n, shaped, given);
    for (int32_t i = 0; i < n; i++) {
      x[member[i]] = shaped[i];
      advantage[member[i]] = given[i];
      base[member[i]] = o->leave_one_out && n > 1 ? shaped[i] - given[i] * o->scale : 0;
    }
  }
  return 0;
}

static int put_loss(struct calc_case *c, struct calc_rows *b, const double *credit_of, struct error *err)
{
  size_t n = (size_t)b->count + 1;
  double *advantage = ARENA_NEW(c->arena, double, 2 * n, "calc", err), weight, loss, kl;
  if (!advantage) return err->code;
  double *coef = advantage + n;
  calc_rows_spread(b, credit_of, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "aggregation", "token-mean")};
  TRY(calc_real(c, "clip_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "dual_clip", 3, &l.bounds.dual, err));
  TRY(calc_real(c, "kl_coef", 0.001, &weight, err));
  TRY(calc_rows_loss(c, b, &l, &loss, coef, err));
  TRY(calc_rows_kl(c, b, l.aggregation, weight, &kl, coef, err));
  calc_put(c->outputs, "pg_loss", loss);
  calc_put(c->outputs, "kl", kl);
  calc_put(c->outputs, "loss", loss + weight * kl);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct calc_rows b;
  struct channel_options o;
  TRY(read_options(c, &o, err));
  TRY(calc_rows_open(c, &b, err));
  size_t n = (size_t)b.rows;
  double *x = ARENA_NEW(c->arena, double, 3 * n, "calc", err);
  if (!x) return err->code;
  TRY(credit(c, &b, &o, x, x + n, x + 2 * n, err));
  json_object_set_new(c->outputs, "shaped", calc_list(x, n));
  json_object_set_new(c->outputs, "baseline", calc_list(x + n, n));
  json_object_set_new(c->outputs, "advantage", calc_list(x + 2 * n, n));
  return put_loss(c, &b, x + 2 * n, err);
}

/* Against the uncorrected control with the same baseline and scale. */
static int audit(struct calc_case *c, struct error *err)
{
  struct calc_rows b;
  struct channel_options o;
  TRY(read_options(c, &o, err));
  TRY(calc_rows_open(c, &b, err));
  size_t n = (size_t)b.rows, tokens = (size_t)b.count + 1;
  double *x = ARENA_NEW(c->arena, double, 4 * n + 2 * tokens, "calc", err);
  if (!x) return err->code;
  double *mine = x + 2 * n, *control = x + 3 * n, *mine_token = x + 4 * n, *control_token = mine_token + tokens;
  TRY(credit(c, &b, &o, x, x + n, mine, err));
  o.mode = CHANNEL_NOISE;
  TRY(credit(c, &b, &o, x, x + n, control, err));
  calc_rows_spread(&b, mine, mine_token);
  calc_rows_spread(&b, control, control_token);
  struct audit a = channel_audit(mine_token, control_token, b.count);
  calc_put(c->outputs, "mean_abs", a.mean_abs);
  calc_put(c->outputs, "max_abs", a.max_abs);
  calc_put(c->outputs, "cosine", a.cosine);
  json_object_set_new(c->outputs, "advantage", calc_list(mine, n));
  json_object_set_new(c->outputs, "control", calc_list(control, n));
  return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* One group through every rule, and GRPO of the corrected rewards, which corrects nothing. */
static int worked(struct calc_case *c, struct error *err)
{
  static const char *const NAMES[] = {"pgfc scale one", "pgfc scale c", "pgfc scale 1-rho1"};
  struct channel_options o;
  struct calc_matrix m;
  TRY(read_options(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "rewards", err), &m, err));
  size_t n = m.rows[0].count;
  const double *r = m.rows[0].at;
  double *x = ARENA_NEW(c->arena, double, 3 * n + 1, "calc", err);
  if (!x) return err->code;
  double *a = x + n, *z = a + n;
  channel_credit(&o.rates, CHANNEL_BACKWARD, true, 1, r, (int32_t)n, x, a);
  json_object_set_new(c->outputs, "rhat", calc_list(x, n));
  json_object_set_new(c->outputs, "pgbc", calc_list(a, n));
  group_normalised(x, (int32_t)n, true, 1e-6, z);
  json_object_set_new(c->outputs, "grpo of rhat", calc_list(z, n));
  group_normalised(r, (int32_t)n, true, 1e-6, z);
  json_object_set_new(c->outputs, "grpo of r", calc_list(z, n));
  for (int s = 0; s < 3; s++) {
    double scale = channel_scale(&o.rates, (enum channel_scale)s);
    channel_credit(&o.rates, CHANNEL_FORWARD, false, scale, r, (int32_t)n, x, a);
    json_object_set_new(c->outputs, NAMES[s], calc_list(a, n));
  }
  group_normalised(x, (int32_t)n, true, 1e-6, z);
  json_object_set_new(c->outputs, "grpo of w", calc_list(z, n));
  return 0;
}

static int flips(struct calc_case *c, struct error *err)
{
  struct channel_options o;
  struct calc_matrix right, u;
  TRY(read_options(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "true_reward", err), &right, err));
  TRY(calc_matrix(c, calc_need(c, "uniform", err), &u, err));
  json_t *out = json_array();
  for (size_t i = 0; i < right.rows[0].count && i < u.rows[0].count; i++) {
    bool is = right.rows[0].at[i] > 0;
    json_array_append_new(out, json_integer(is != channel_flips(is, o.rates.rho0, o.rates.rho1, u.rows[0].at[i])));
  }
  json_object_set_new(c->outputs, "observed", out);
  return 0;
}

static int appeals(struct calc_case *c, struct error *err)
{
  struct appeal_options o = {.skip_empty = calc_flag(c, "skip_empty", false)};
  double rho1;
  size_t i;
  json_t *step, *out = json_array();
  json_object_set_new(c->outputs, "steps", out);
  TRY(calc_real(c, "rho1_start", 0.2, &rho1, err));
  TRY(calc_real(c, "q", 0.1, &o.q, err));
  TRY(calc_real(c, "prior_a", 1e-5, &o.prior_a, err));
  TRY(calc_real(c, "prior_b", 1e-5, &o.prior_b, err));
  TRY(calc_real(c, "lam", 0.9, &o.decay, err));
  json_array_foreach(json_object_get(c->inputs, "steps"), i, step)
  {
    struct appeal a = channel_appeal(&o, rho1, json_number_value(json_object_get(step, "flips")),
                                     json_number_value(json_object_get(step, "positives")));
    json_t *row = json_object();
    rho1 = a.rho1;
    calc_put(row, "false_negatives", a.false_negatives);
    calc_put(row, "rho1_step", a.step);
    calc_put(row, "rho1", rho1);
    calc_put(row, "w_right", rho1);
    calc_put(row, "w_wrong", rho1 - 1);
    json_array_append_new(out, row);
  }
  return 0;
}

static int one_appeal(struct calc_case *c, struct error *err)
{
  struct calc_matrix rule, u, judge;
  double q;
  int64_t turned = 0;
  json_t *asked = json_array(), *kept = json_array(), *replaced = json_array();
  json_object_set_new(c->outputs, "appealed", asked);
  json_object_set_new(c->outputs, "reward", kept);
  json_object_set_new(c->outputs, "reward_replaced", replaced);
  TRY(calc_real(c, "q", 0.1, &q, err));
  TRY(calc_matrix(c, calc_need(c, "rule_reward", err), &rule, err));
  TRY(calc_matrix(c, calc_need(c, "uniform", err), &u, err));
  TRY(calc_matrix(c, calc_need(c, "judge", err), &judge, err));
  for (size_t i = 0; i < rule.rows[0].count; i++) {
    bool right = rule.rows[0].at[i] > 0, goes = !right && u.rows[0].at[i] < q, flip = goes && judge.rows[0].at[i] > 0;
    json_array_append_new(asked, json_integer(goes));
    json_array_append_new(kept, json_integer(right));
    json_array_append_new(replaced, json_integer(right || flip));
    turned += flip;
  }
  json_object_set_new(c->outputs, "flips", json_integer(turned));
  return 0;
}

/* Mean of the corrected step rewards of the group's other responses. */
static double others_mean(const struct channel_options *o, const struct calc_matrix *steps,
                          const struct calc_groups *groups, size_t group, size_t own)
{
  double sum = 0, count = 0;
  for (size_t k = groups->first[group]; k < groups->first[group + 1]; k++) {
    const struct calc_row *row = &steps->rows[groups->member[k]];
    for (size_t j = 0; groups->member[k] != own && j < row->count; j++) {
      sum += channel_corrected(&o->rates, o->mode, row->at[j]);
      count++;
    }
  }
  return count > 0 ? sum / count : 0;
}

/* As wide as the document's batch; alone: up to the last end. */
static size_t process_width(const struct calc_case *c, const struct calc_matrix *ends)
{
  const json_t *mask = json_object_get(json_object_get(c->sets, "main"), "response_mask");
  size_t width = json_array_size(json_array_get(mask, 0));
  for (size_t i = 0; i < ends->row_count; i++)
    for (size_t j = 0; j < ends->rows[i].count; j++)
      if (ends->rows[i].at[j] >= (double)width) width = (size_t)ends->rows[i].at[j] + 1;
  return width;
}

/* A token gets every step that ends at or behind it. */
static int process(struct calc_case *c, struct error *err)
{
  struct channel_options o;
  struct calc_matrix steps, ends;
  struct calc_groups groups;
  TRY(read_options(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "steps", err), &steps, err));
  TRY(calc_matrix(c, calc_need(c, "ends", err), &ends, err));
  TRY(calc_groups(c, "group", steps.row_count, 0, &groups, err));
  size_t width = process_width(c, &ends);
  double *base = ARENA_NEW(c->arena, double, steps.row_count *(width + 1) + 1, "calc", err);
  if (!base) return err->code;
  double *advantage = base + steps.row_count;
  for (size_t g = 0; g < groups.count; g++) {
    for (size_t k = groups.first[g]; k < groups.first[g + 1]; k++) {
      size_t i = groups.member[k];
      base[i] = o.leave_one_out ? others_mean(&o, &steps, &groups, g, i) : 0;
      for (size_t j = 0; j < steps.rows[i].count && j < ends.rows[i].count; j++)
        for (size_t t = 0; (double)t <= ends.rows[i].at[j]; t++)
          advantage[i * width + t] += (channel_corrected(&o.rates, o.mode, steps.rows[i].at[j]) - base[i]) / o.scale;
    }
  }
  json_object_set_new(c->outputs, "baseline", calc_list(base, steps.row_count));
  json_object_set_new(c->outputs, "advantage", calc_grid_json(advantage, steps.row_count, width));
  return 0;
}

/* ---- expectations ------------------------------------------------------------------------------------------------ */

/* sum_k pi_k f_k (1[k = v] - pi_v) */
static json_t *expected(const double *pi, const double *f, size_t n)
{
  double mean = 0;
  json_t *out = json_array();
  for (size_t k = 0; k < n; k++) mean += pi[k] * f[k];
  for (size_t v = 0; v < n; v++) json_array_append_new(out, calc_number(pi[v] * (f[v] - mean)));
  return out;
}

static int bandit(struct calc_case *c, struct error *err)
{
  struct channel_options o;
  struct calc_matrix logits, right;
  TRY(read_options(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "logits", err), &logits, err));
  TRY(calc_matrix(c, calc_need(c, "right", err), &right, err));
  size_t n = logits.rows[0].count;
  const double *r = right.rows[0].at;
  double *pi = ARENA_NEW(c->arena, double, 4 * n + 1, "calc", err), sum = 0;
  if (!pi) return err->code;
  double *seen = pi + n, *back = seen + n, *forward = back + n, p0 = o.rates.rho0, p1 = o.rates.rho1;
  for (size_t k = 0; k < n; k++) sum += pi[k] = math_exp(logits.rows[0].at[k]);
  for (size_t k = 0; k < n; k++) {
    pi[k] /= sum;
    seen[k] = r[k] > 0 ? 1 - p1 : p0;
    back[k] = channel_corrected(&o.rates, CHANNEL_BACKWARD, seen[k]);
    forward[k] = channel_corrected(&o.rates, CHANNEL_FORWARD, seen[k]);
  }
  json_object_set_new(c->outputs, "pi", calc_list(pi, n));
  json_object_set_new(c->outputs, "clean", expected(pi, r, n));
  json_object_set_new(c->outputs, "noisy", expected(pi, seen, n));
  json_object_set_new(c->outputs, "pgbc", expected(pi, back, n));
  json_object_set_new(c->outputs, "pgfc", expected(pi, forward, n));
  return 0;
}

/* Probability of the right arms where reward less kl KL(pi || uniform) is largest: pi ~ exp(size r / kl). */
static int regularised_bandit(struct calc_case *c, struct error *err)
{
  struct channel_options o;
  struct calc_matrix right;
  double kl, count = 0;
  TRY(read_options(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "right", err), &right, err));
  kl = json_number_value(json_object_get(c->inputs, "kl"));
  for (size_t k = 0; k < right.rows[0].count; k++) count += right.rows[0].at[k] > 0;
  double clear = channel_clear(&o.rates), wrong = (double)right.rows[0].count - count;
  const struct {
    const char *name;
    double size;
  } arms[] = {{"clean", 1},
              {"noisy", clear},
              {"pgfc scale 0.8", clear / channel_scale(&o.rates, CHANNEL_SCALE_KEPT)},
              {"pgfc scale 0.7", clear / channel_scale(&o.rates, CHANNEL_SCALE_CLEAR)}};
  for (size_t k = 0; k < sizeof arms / sizeof *arms; k++) {
    double up = count * math_exp(arms[k].size / kl);
    calc_put(c->outputs, arms[k].name, up / (up + wrong));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  static const struct {
    const char *key;
    int (*of)(struct calc_case *, struct error *);
  } TABLES[] = {{"true_reward", flips}, {"judge", one_appeal},      {"ends", process},
                {"logits", bandit},     {"kl", regularised_bandit}, {"steps", appeals}};
  for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
    if (json_object_get(c->inputs, TABLES[i].key)) return TABLES[i].of(c, err);
  if (!json_object_get(c->inputs, "response_mask")) return worked(c, err);
  return calc_is(c, "audit") ? audit(c, err) : update(c, err);
}

const struct calc calc_pgbc_pgfc = {
    .function = "pgbc_pgfc",
    .help = "credit from a verifier with known error rates, and appeals that estimate one of them",
    .compute = compute,
};

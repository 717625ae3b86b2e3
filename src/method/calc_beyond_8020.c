/* The highest-entropy tokens and the DAPO loss on them (arXiv 2506.01939): part_forking.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_forking.h"
#include "method/part_rows.h"
#include "method/part_softmax.h"

struct forking_case {
  struct calc_rows rows;
  double *advantage; /* [count] */
  double *keep, *entropy;
  struct ranked *scratch;
};

static enum forking_threshold threshold_of(const struct calc_case *c)
{
  return !strcmp(calc_text(c, "threshold", "topk"), "quantile") ? FORKING_QUANTILE : FORKING_TOPK;
}

static int open_case(struct calc_case *c, struct forking_case *f, struct error *err)
{
  TRY(calc_rows_open(c, &f->rows, err));
  TRY(calc_rows_tokens(c, &f->rows, "entropy", &f->entropy, err));
  size_t n = (size_t)f->rows.count + 1;
  f->advantage = ARENA_NEW(c->arena, double, n, "calc", err);
  f->keep = ARENA_NEW(c->arena, double, n, "calc", err);
  f->scratch = ARENA_NEW(c->arena, struct ranked, n, "calc", err);
  return f->advantage && f->keep && f->scratch ? 0 : err->code;
}

static int bounds_of(const struct calc_case *c, struct clip_bounds *out, struct error *err)
{
  TRY(calc_real(c, "clip_low", 0.2, &out->low, err));
  TRY(calc_real(c, "clip_high", 0.28, &out->high, err));
  return calc_real(c, "dual_clip", 10, &out->dual, err);
}

static int loss_of(struct calc_case *c, struct forking_case *f, bool kept, double *loss, double *coef,
                   struct error *err)
{
  struct calc_loss l = {
      .advantage = f->advantage, .weight = f->keep, .counted = kept ? f->keep : NULL, .aggregation = "token-mean"};
  TRY(bounds_of(c, &l.bounds, err));
  return calc_rows_loss(c, &f->rows, &l, loss, coef, err);
}

static int update(struct calc_case *c, struct error *err)
{
  struct forking_case f;
  double rho, eps, kl_coef, loss, kl = 0;
  TRY(open_case(c, &f, err));
  TRY(calc_real(c, "rho", 0.2, &rho, err));
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  TRY(calc_real(c, "kl_coef", 0, &kl_coef, err));
  double *per_row = ARENA_NEW(c->arena, double, (size_t)f.rows.rows, "calc", err);
  double *coef = ARENA_NEW(c->arena, double, (size_t)f.rows.count + 1, "calc", err);
  if (!per_row || !coef) return err->code;
  TRY(calc_rows_advantage(c, &f.rows, f.rows.reward, true, eps, per_row, err));
  calc_rows_spread(&f.rows, per_row, f.advantage);
  struct forking mask = forking_mask(f.entropy, f.rows.count, rho, threshold_of(c),
                                     !strcmp(calc_text(c, "side", "top"), "bottom"), f.scratch, f.keep);
  TRY(loss_of(c, &f, !strcmp(calc_text(c, "denom", "all"), "kept"), &loss, coef, err));
  calc_put(c->outputs, "pg_loss", loss);
  if (kl_coef > 0) {
    TRY(calc_rows_kl(c, &f.rows, "token-mean", kl_coef, &kl, coef, err));
    calc_put(c->outputs, "kl", kl);
  }
  calc_put(c->outputs, "loss", loss + kl_coef * kl);
  calc_put(c->outputs, "threshold", mask.threshold);
  calc_put(c->outputs, "tokens", f.rows.count);
  calc_put(c->outputs, "kept", mask.kept);
  json_object_set_new(c->outputs, "keep", calc_rows_matrix(&f.rows, f.keep));
  json_object_set_new(c->outputs, "advantage", calc_list(per_row, (size_t)f.rows.rows));
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&f.rows, coef));
  return 0;
}

/* Both thresholds and both denominators on given advantages. */
static int worked(struct calc_case *c, struct error *err)
{
  struct forking_case f;
  double rho, *given;
  TRY(open_case(c, &f, err));
  TRY(calc_real(c, "rho", 0.2, &rho, err));
  TRY(calc_rows_tokens(c, &f.rows, "advantages", &given, err));
  double *coef = ARENA_NEW(c->arena, double, (size_t)f.rows.count + 1, "calc", err);
  if (!coef) return err->code;
  f.advantage = given;
  for (int how = FORKING_TOPK; how <= FORKING_QUANTILE; how++) {
    double all, kept;
    struct forking mask =
        forking_mask(f.entropy, f.rows.count, rho, (enum forking_threshold)how, false, f.scratch, f.keep);
    TRY(loss_of(c, &f, false, &all, coef, err));
    TRY(loss_of(c, &f, true, &kept, coef, err));
    json_t *row = json_object();
    json_object_set_new(c->outputs, how == FORKING_TOPK ? "topk" : "quantile", row);
    calc_put(row, "threshold", mask.threshold);
    calc_put(row, "loss_all", all);
    calc_put(row, "loss_kept", kept);
    json_object_set_new(row, "keep", calc_rows_matrix(&f.rows, f.keep));
  }
  return 0;
}

static int entropies(struct calc_case *c, struct error *err)
{
  struct calc_matrix z;
  double temperature;
  TRY(calc_matrix(c, calc_need(c, "logits", err), &z, err));
  TRY(calc_real(c, "temperature", 1, &temperature, err));
  if (!(temperature > 0))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "temperature", "found temperature %g; expected one above 0", temperature);
  json_t *out = json_array();
  for (size_t i = 0; i < z.row_count; i++) {
    double *logp = ARENA_NEW(c->arena, double, z.rows[i].count + 1, "calc", err);
    if (!logp) return err->code;
    softmax_log(z.rows[i].at, (int32_t)z.rows[i].count, temperature, logp);
    json_array_append_new(out, calc_number(softmax_entropy(logp, (int32_t)z.rows[i].count)));
  }
  json_object_set_new(c->outputs, "entropy", out);
  return 0;
}

static int decoding(struct calc_case *c, struct error *err)
{
  struct calc_matrix h;
  double threshold, high, low;
  TRY(calc_matrix(c, calc_need(c, "entropy", err), &h, err));
  TRY(calc_real(c, "threshold", 0.672, &threshold, err));
  TRY(calc_real(c, "t_high", 1, &high, err));
  TRY(calc_real(c, "t_low", 1, &low, err));
  json_t *out = json_array();
  for (size_t i = 0; i < h.rows[0].count; i++)
    json_array_append_new(out, calc_number(forking_temperature(h.rows[0].at[i], threshold, high, low)));
  json_object_set_new(c->outputs, "temperature", out);
  return 0;
}

static int analysis(struct calc_case *c, struct error *err)
{
  static const double PERCENT[] = {0, 5, 20, 50, 80, 95, 100};
  struct calc_matrix before, after;
  double rho;
  int64_t bins;
  TRY(calc_matrix(c, calc_need(c, "before", err), &before, err));
  TRY(calc_matrix(c, calc_need(c, "after", err), &after, err));
  TRY(calc_real(c, "rho", 0.2, &rho, err));
  TRY(calc_int(c, "bins", 20, &bins, err));
  int32_t n = (int32_t)before.rows[0].count;
  if (!n || after.rows[0].count != (size_t)n || bins < 1 || bins > 100000)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "before",
            "found %d entropies before, %zu after and %lld bins; expected as many after as before and 1 to 100000 bins",
            n, after.rows[0].count, (long long)bins);
  const double *x = before.rows[0].at, *y = after.rows[0].at;
  struct ranked *ranks = ARENA_NEW(c->arena, struct ranked, 2 * (size_t)n, "calc", err);
  if (!ranks) return err->code;
  calc_put(c->outputs, "overlap", forking_overlap(x, y, n, rho, ranks));
  rank_values(x, n, false, ranks);
  json_t *percentiles = json_array(), *change = json_array();
  for (size_t i = 0; i < sizeof PERCENT / sizeof *PERCENT; i++) {
    double pair[2] = {PERCENT[i], rank_quantile(ranks, n, PERCENT[i] / 100)};
    json_array_append_new(percentiles, calc_list(pair, 2));
  }
  for (int32_t b = 0; b < bins; b++)
    json_array_append_new(change, calc_number(forking_bin_change(x, y, ranks, n, b, (int32_t)bins)));
  json_object_set_new(c->outputs, "percentiles", percentiles);
  json_object_set_new(c->outputs, "bin_change", change);
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (json_object_get(c->inputs, "logits")) return entropies(c, err);
  if (json_object_get(c->inputs, "before")) return analysis(c, err);
  if (json_object_get(c->inputs, "advantages")) return worked(c, err);
  return json_object_get(c->inputs, "response_mask") ? update(c, err) : decoding(c, err);
}

const struct calc calc_beyond_8020 = {
    .function = "beyond_8020",
    .help = "loss on the tokens of highest entropy, gated decoding, entropy patterns of two checkpoints",
    .compute = compute,
};

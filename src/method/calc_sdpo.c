/* Self-distillation between two rows of logits (TRL's SDPO): whole vocabulary, the student's likeliest tokens, or the
 * sampled token; and the weight of a sampler's correction. */
#include "core/math.h"
#include "method/calc.h"
#include "method/part_clip.h"
#include "method/part_divergence.h"

struct distillation {
  struct calc_case *c;
  const json_t *student, *teacher, *ids, *old;
  struct divergence_options options;
  enum { WHOLE, SAMPLED, WEIGHT } kind;
  double cap;
};

/* The number of row r's token t in the vocabulary; -1: there is none. */
static int64_t token_at(const json_t *ids, size_t r, size_t t)
{
  const json_t *v = json_array_get(json_array_get(ids, r), t);
  return json_is_integer(v) ? json_integer_value(v) : -1;
}

static int one_token(const struct distillation *d, size_t r, size_t t, json_t *values, json_t *gradients,
                     struct error *err)
{
  struct calc_matrix z, q;
  TRY(calc_matrix(d->c, json_array_get(json_array_get(d->student, r), t), &z, err));
  TRY(calc_matrix(d->c, json_array_get(json_array_get(d->teacher, r), t), &q, err));
  size_t v = z.rows[0].count;
  if (q.rows[0].count != v || v > INT32_MAX / 4)
    FAIL_AT(err, ERROR_INPUT, d->c->file, 0, "teacher_logits", "found rows of %zu and %zu logits; expected as many", v,
            q.rows[0].count);
  double *lp = ARENA_NEW(d->c->arena, double, 5 * v, "calc", err), *lq = lp + v, *gradient = lp + 2 * v;
  if (!lp) return err->code;
  divergence_log_softmax(z.rows[0].at, (int32_t)v, lp);
  divergence_log_softmax(q.rows[0].at, (int32_t)v, lq);
  if (d->kind == WHOLE) {
    json_array_append_new(values, calc_number(divergence_row(lp, lq, (int32_t)v, &d->options, gradient, lp + 3 * v)));
  } else {
    int64_t id = token_at(d->ids, r, t);
    if (id < 0 || (size_t)id >= v) FAIL_AT(err, ERROR_INPUT, d->c->file, 0, "completion_ids", "found no token id");
    double apart = lp[id] - lq[id], old = json_number_value(json_array_get(json_array_get(d->old, r), t));
    double ratio = clip_ratio(lp[id], old);
    json_array_append_new(values, calc_number(d->kind == WEIGHT ? ratio < d->cap ? ratio : d->cap : apart * lp[id]));
    for (size_t k = 0; k < v; k++) gradient[k] = apart * ((k == (size_t)id) - math_exp(lp[k]));
  }
  json_array_append_new(gradients, calc_list(gradient, v));
  return 0;
}

static int all_tokens(const struct distillation *d, json_t *values, json_t *gradients, struct error *err)
{
  for (size_t r = 0; r < json_array_size(d->student); r++) {
    json_t *row = json_array(), *rows = json_array();
    json_array_append_new(values, row);
    json_array_append_new(gradients, rows);
    for (size_t t = 0; t < json_array_size(json_array_get(d->student, r)); t++) TRY(one_token(d, r, t, row, rows, err));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct distillation d = {.c = c, .kind = calc_is(c, "sampled") ? SAMPLED : calc_is(c, "is_clip") ? WEIGHT : WHOLE};
  int64_t top;
  if (!(d.student = calc_need(c, "student_logits", err)) || !(d.teacher = calc_need(c, "teacher_logits", err)))
    return err->code;
  if (d.kind != WHOLE && !(d.ids = calc_need(c, "completion_ids", err))) return err->code;
  d.old = json_object_get(c->inputs, "old_per_token_logps");
  TRY(calc_real(c, "distillation_alpha", 1, &d.options.alpha, err));
  TRY(calc_int(c, "distillation_topk", 0, &top, err));
  TRY(calc_real(c, "clip_coeff", 1, &d.cap, err));
  if (!(d.options.alpha >= 0 && d.options.alpha <= 1) || top < 0 || (d.kind == SAMPLED && d.options.alpha < 1))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "distillation_alpha",
            "found distillation_alpha %g and distillation_topk %lld; expected 0 to 1, 1 for the sampled token, and a "
            "number >= 0",
            d.options.alpha, (long long)top);
  d.options.top = top < INT32_MAX ? (int32_t)top : INT32_MAX;
  d.options.tail = calc_flag(c, "distillation_add_tail", false);
  json_t *values = json_array(), *gradients = json_array();
  json_object_set_new(c->outputs, d.kind == WEIGHT ? "weights" : "per_token_loss", values);
  int rc = all_tokens(&d, values, gradients, err);
  if (d.kind == WEIGHT)
    json_decref(gradients);
  else
    json_object_set_new(c->grads, "student_logits", gradients);
  return rc;
}

const struct calc calc_sdpo = {
    .function = "trl/sdpo",
    .help = "divergences of self-distillation, whole or on the likeliest tokens, with gradients",
    .compute = compute,
};

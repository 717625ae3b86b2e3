/* RoRecomp (arXiv 2509.25958): part_recompose.h. Cases "select:", "brevity_signal", "buffer:" and "schedule:" are
 * tables; "loss:" is a batch with its two losses. */
#include <string.h>

#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_recompose.h"
#include "method/part_rows.h"

static int read_rule(const struct calc_case *c, struct recompose_rule *out, struct error *err)
{
  out->batch_scope = !strcmp(calc_text(c, "scope", "prompt"), "batch");
  out->drop_equal = calc_flag(c, "drop_equal", false);
  TRY(calc_real(c, "alpha", 0.5, &out->alpha, err));
  return calc_real(c, "threshold", 0.5, &out->threshold, err);
}

static json_t *part_list(const struct recomposed *r, int32_t n, enum recompose_part part)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < n; i++)
    if (r->part[i] == part) json_array_append_new(out, json_integer(i));
  return out;
}

static void put_selection(struct calc_case *c, const struct recomposed *r, int32_t n)
{
  json_t *priority = json_array();
  for (int32_t i = 0; i < r->priority_count; i++) json_array_append_new(priority, json_integer(r->priority[i]));
  json_object_set_new(c->outputs, "priority", priority);
  json_object_set_new(c->outputs, "rest", part_list(r, n, RECOMPOSE_REST));
  json_object_set_new(c->outputs, "left_out", part_list(r, n, RECOMPOSE_LEFT_OUT));
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static int read_column(const struct calc_case *c, const char *key, int32_t n, const double **out, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, key, err), &m, err));
  if (n >= 0 && m.rows[0].count != (size_t)n)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found %zu entries; expected %d", m.rows[0].count, (int)n);
  *out = m.rows[0].at;
  return 0;
}

/* Rewards, lengths, groups and calls that stand in args. */
static int read_table(struct calc_case *c, struct recompose_batch *b, struct error *err)
{
  struct calc_groups groups;
  struct calc_case inner = *c;
  struct calc_matrix m;
  inner.inputs = c->args;
  TRY(calc_matrix(c, calc_need(c, "rewards", err), &m, err));
  *b = (struct recompose_batch){.count = (int32_t)m.rows[0].count, .reward = m.rows[0].at};
  TRY(read_column(c, "length", b->count, &b->length, err));
  if (!strcmp(calc_text(c, "key", "tokens"), "calls")) TRY(read_column(c, "calls", b->count, &b->measure, err));
  TRY(calc_groups(&inner, json_object_get(c->args, "group") ? "group" : NULL, (size_t)b->count, 0, &groups, err));
  int32_t *group = ARENA_NEW(c->arena, int32_t, (size_t)b->count + 1, "calc", err);
  if (!group) return err->code;
  for (size_t g = 0; g < groups.count; g++)
    for (size_t k = groups.first[g]; k < groups.first[g + 1]; k++) group[groups.member[k]] = (int32_t)g;
  b->group = group;
  b->groups = (int32_t)groups.count;
  return 0;
}

static int selection(struct calc_case *c, const struct recompose_rule *rule, struct error *err)
{
  struct recompose_batch b;
  struct recomposed r;
  TRY(read_table(c, &b, err));
  TRY(recompose(c->arena, rule, &b, &r, err));
  put_selection(c, &r, b.count);
  return 0;
}

/* Means over the responses of a part (-1: all) and a side (-1: both). */
static double mean_of(const struct recompose_rule *rule, const struct recompose_batch *b, const struct recomposed *r,
                      int part, int right, const double *factor)
{
  double sum = 0, n = 0;
  for (int32_t i = 0; i < b->count; i++) {
    if (part >= 0 && r->part[i] != (enum recompose_part)part) continue;
    if (right >= 0 && (b->reward[i] > rule->threshold) != right) continue;
    sum += b->length[i] * (factor ? factor[i] : 1);
    n++;
  }
  return n > 0 ? sum / n : 0;
}

/* Mean of A times length: below 0 an update shortens. */
static int brevity_signal(struct calc_case *c, const struct recompose_rule *rule, struct error *err)
{
  struct recompose_batch b;
  struct recomposed r;
  TRY(read_table(c, &b, err));
  TRY(recompose(c->arena, rule, &b, &r, err));
  double *a = ARENA_NEW(c->arena, double, (size_t)b.count + 1, "calc", err);
  if (!a) return err->code;
  group_normalised(b.reward, b.count, true, 1e-6, a);
  json_object_set_new(c->outputs, "advantages", calc_list(a, (size_t)b.count));
  calc_put(c->outputs, "all", mean_of(rule, &b, &r, -1, -1, a));
  calc_put(c->outputs, "priority", mean_of(rule, &b, &r, RECOMPOSE_PRIORITY, -1, a));
  calc_put(c->outputs, "rest", mean_of(rule, &b, &r, RECOMPOSE_REST, -1, a));
  calc_put(c->outputs, "length_correct", mean_of(rule, &b, &r, -1, 1, NULL));
  calc_put(c->outputs, "length_correct_selected", mean_of(rule, &b, &r, RECOMPOSE_PRIORITY, 1, NULL));
  calc_put(c->outputs, "length_wrong", mean_of(rule, &b, &r, -1, 0, NULL));
  calc_put(c->outputs, "length_wrong_selected", mean_of(rule, &b, &r, RECOMPOSE_PRIORITY, 0, NULL));
  return 0;
}

static int schedule_table(struct calc_case *c, struct error *err)
{
  double from, to;
  int64_t steps;
  const double *at;
  TRY(calc_real(c, "p_0", 1, &from, err));
  TRY(calc_real(c, "p_end", 0, &to, err));
  TRY(calc_int(c, "steps", 1, &steps, err));
  TRY(read_column(c, "at", -1, &at, err));
  json_t *p = json_array();
  for (size_t i = 0; i < json_array_size(json_object_get(c->args, "at")); i++)
    json_array_append_new(p, calc_number(recompose_cosine(from, to, (int64_t)at[i], steps)));
  json_object_set_new(c->outputs, "p", p);
  return 0;
}

/* ---- the buffer -------------------------------------------------------------------------------------------------- */

struct buffer {
  int64_t count;
  double *id;      /* [count] */
  int64_t *origin; /* [count] */
};

static json_t *leave(struct buffer *b, int64_t n, json_t *origins)
{
  json_t *out = json_array();
  for (int64_t i = 0; i < n; i++) {
    json_array_append_new(out, calc_number(b->id[i]));
    if (origins) json_array_append_new(origins, json_integer(b->origin[i]));
  }
  b->count -= n;
  memmove(b->id, b->id + n, (size_t)b->count * sizeof *b->id);
  memmove(b->origin, b->origin + n, (size_t)b->count * sizeof *b->origin);
  return out;
}

static json_t *buffer_step(struct buffer *b, const struct recompose_buffer_rule *rule, const struct calc_row *pushed,
                           int64_t step, double draw)
{
  struct recompose_turn t = recompose_turn(rule, b->origin, b->count, (int64_t)pushed->count, step, draw);
  json_t *row = json_object(), *origins = json_array(), *dropped = leave(b, t.aged, NULL);
  for (size_t i = 0; i < pushed->count; i++, b->count++) {
    b->id[b->count] = pushed->at[i];
    b->origin[b->count] = step;
  }
  json_object_set_new(row, "step", json_integer(step));
  json_object_set_new(row, "pushed", calc_list(pushed->at, pushed->count));
  json_object_set_new(row, "draw", calc_number(draw));
  json_object_set_new(row, "p_comp", calc_number(rule->p_comp));
  json_object_set_new(row, "due", json_boolean(t.due));
  json_object_set_new(row, "popped", leave(b, t.popped, origins));
  json_object_set_new(row, "popped_origin", origins);
  json_t *over = leave(b, t.over, NULL);
  json_array_extend(dropped, over);
  json_decref(over);
  json_object_set_new(row, "dropped", dropped);
  json_object_set_new(row, "buffer", calc_list(b->id, (size_t)b->count));
  return row;
}

static int buffer_run(struct calc_case *c, struct error *err)
{
  struct recompose_buffer_rule rule;
  struct calc_matrix pushes;
  const double *draws;
  double start, end;
  int64_t steps;
  size_t room = 1;
  TRY(calc_int(c, "capacity", 8, &rule.capacity, err));
  TRY(calc_int(c, "batch", 4, &rule.batch, err));
  TRY(calc_int(c, "max_age", 0, &rule.max_age, err));
  TRY(calc_int(c, "steps", 8, &steps, err));
  TRY(calc_real(c, "p_comp", 1, &start, err));
  TRY(calc_real(c, "p_end", 0, &end, err));
  TRY(calc_matrix(c, calc_need(c, "pushes", err), &pushes, err));
  TRY(read_column(c, "draws", (int32_t)pushes.row_count, &draws, err));
  for (size_t i = 0; i < pushes.row_count; i++) room += pushes.rows[i].count;
  struct buffer b = {0, ARENA_NEW(c->arena, double, room, "calc", err),
                     ARENA_NEW(c->arena, int64_t, room, "calc", err)};
  if (!b.id || !b.origin) return err->code;
  bool cosine = !strcmp(calc_text(c, "schedule", "constant"), "cosine");
  json_t *states = json_array();
  json_object_set_new(c->outputs, "states", states);
  for (size_t i = 0; i < pushes.row_count; i++) {
    rule.p_comp = cosine ? recompose_cosine(start, end, (int64_t)i, steps) : start;
    json_array_append_new(states, buffer_step(&b, &rule, &pushes.rows[i], (int64_t)i + 1, draws[i]));
  }
  return 0;
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

static int part_loss(struct calc_case *c, struct calc_rows *b, const struct recomposed *r, enum recompose_part part,
                     struct calc_loss *l, const char *output, const char *gradient, struct error *err)
{
  double *counted = ARENA_NEW(c->arena, double, 2 * (size_t)b->count + 1, "calc", err), loss;
  if (!counted) return err->code;
  double *coef = counted + b->count;
  for (int32_t t = 0; t < b->count; t++) counted[t] = r->part[b->row[t]] == part;
  l->weight = l->counted = counted;
  TRY(calc_rows_loss(c, b, l, &loss, coef, err));
  calc_put(c->outputs, output, loss);
  json_object_set_new(c->grads, gradient, calc_rows_matrix(b, coef));
  return 0;
}

static int losses(struct calc_case *c, const struct recompose_rule *rule, struct error *err)
{
  struct calc_rows b;
  struct recomposed r;
  double eps;
  struct calc_loss l = {.aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  TRY(calc_real(c, "clip_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "clip_dual", 3, &l.bounds.dual, err));
  if (!(l.bounds.dual > 0)) l.bounds.dual = __builtin_inf();
  TRY(calc_rows_open(c, &b, err));
  double *length = ARENA_NEW(c->arena, double, 2 * (size_t)b.rows + (size_t)b.count + 1, "calc", err);
  if (!length) return err->code;
  double *row_advantage = length + b.rows, *advantage = row_advantage + b.rows;
  for (int32_t i = 0; i < b.rows; i++) length[i] = b.first[i + 1] - b.first[i];
  TRY(calc_rows_advantage(c, &b, b.reward, strcmp(calc_text(c, "adv_std", "sample"), "population") != 0, eps,
                          row_advantage, err));
  calc_rows_spread(&b, row_advantage, advantage);
  l.advantage = advantage;
  const struct recompose_batch batch = {b.rows, b.group_count, b.group, b.reward, length, NULL};
  TRY(recompose(c->arena, rule, &batch, &r, err));
  put_selection(c, &r, b.rows);
  json_object_set_new(c->outputs, "advantages", calc_list(row_advantage, (size_t)b.rows));
  json_object_set_new(c->outputs, "length", calc_list(length, (size_t)b.rows));
  TRY(part_loss(c, &b, &r, RECOMPOSE_PRIORITY, &l, "loss_priority", "log_prob", err));
  return part_loss(c, &b, &r, RECOMPOSE_REST, &l, "loss_rest", "rest:log_prob", err);
}

static int compute(struct calc_case *c, struct error *err)
{
  struct recompose_rule rule;
  TRY(read_rule(c, &rule, err));
  if (calc_is(c, "buffer")) return buffer_run(c, err);
  if (calc_is(c, "schedule")) return schedule_table(c, err);
  if (calc_is(c, "brevity")) return brevity_signal(c, &rule, err);
  return calc_is(c, "loss") ? losses(c, &rule, err) : selection(c, &rule, err);
}

const struct calc calc_rorecomp = {
    .function = "rorecomp",
    .help = "RoRecomp: which responses are trained at once, which wait in a buffer, and both losses",
    .compute = compute,
};

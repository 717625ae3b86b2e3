#include "train/score_rows.h"

#include <string.h>

#include "core/math.h"

/* ---- statistics ------------------------------------------------------------------------------------------------- */

static double largest(const double *logp, size_t vocab)
{
  double most = logp[0];
  for (size_t v = 1; v < vocab; v++) most = logp[v] > most ? logp[v] : most;
  return most;
}

static double smallest(const double *logp, size_t vocab)
{
  double least = logp[0];
  for (size_t v = 1; v < vocab; v++) least = logp[v] < least ? logp[v] : least;
  return least;
}

static double sum_of_squares(const double *logp, size_t vocab)
{
  double sum = 0;
  for (size_t v = 0; v < vocab; v++) sum += math_exp(2 * logp[v]);
  return sum;
}

/* log of the mass of {v: logp_v >= bar}; -inf where it is empty. */
static double log_mass(const double *logp, size_t vocab, double bar)
{
  double sum = 0;
  for (size_t v = 0; v < vocab; v++)
    if (logp[v] >= bar) sum += math_exp(logp[v]);
  return math_log(sum);
}

/* The bar in logp that a probability at temperature 1 means: r_v = p_v^T / sum_u p_u^T. */
static double bar_of(const struct token_stat *stat, const double *logp, size_t vocab, double temperature)
{
  double most = largest(logp, vocab), wanted = math_log(stat->parameter);
  if (stat->kind == TOKEN_STAT_MIN_P_LOGP || stat->kind == TOKEN_STAT_MIN_P_MASS) return most + wanted / temperature;
  double sum = 0;
  for (size_t v = 0; v < vocab; v++) sum += math_exp(temperature * (logp[v] - most));
  return most + (wanted + math_log(sum)) / temperature;
}

double token_stat_of(const struct token_stat *stat, const double *logp, size_t vocab, int32_t y, double temperature)
{
  switch (stat->kind) {
    case TOKEN_STAT_SUM_P2:
      return sum_of_squares(logp, vocab);
    case TOKEN_STAT_MAX_P:
      return math_exp(largest(logp, vocab));
    case TOKEN_STAT_MIN_LOGP:
      return smallest(logp, vocab);
    case TOKEN_STAT_MIN_P_LOGP:
    case TOKEN_STAT_FLOOR_LOGP: {
      double bar = bar_of(stat, logp, vocab, temperature);
      return logp[y] >= bar ? logp[y] - log_mass(logp, vocab, bar) : -(double)__builtin_inff();
    }
    case TOKEN_STAT_MIN_P_MASS:
    case TOKEN_STAT_FLOOR_MASS:
      return math_exp(log_mass(logp, vocab, bar_of(stat, logp, vocab, temperature)));
    case TOKEN_STAT_COUNT:
      break;
  }
  ASSAY_BUG_IF(true);
  return 0;
}

/* ---- a group's own tokens --------------------------------------------------------------------------------------- */

/* Distinct ids of the group's path tokens, ascending, by way of a mark for each id. */
static int find_group_ids(struct step *s, int32_t group, uint8_t *seen, size_t vocab, struct error *err)
{
  struct group_ids *out = &s->scores->groups[group];
  const struct group *g = &s->groups[group];
  memset(seen, 0, vocab);
  for (int32_t i = g->first; i < g->first + g->count; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    for (int32_t p = r->path; p < r->path + r->path_count; p++) seen[step_record(s, p)->id] = 1;
  }
  for (size_t v = 0; v < vocab; v++) out->count += seen[v];
  if (!(out->ids = ARENA_NEW(s->arena, int32_t, (size_t)out->count, "group tokens", err))) return err->code;
  int32_t n = 0;
  for (size_t v = 0; v < vocab; v++)
    if (seen[v]) out->ids[n++] = (int32_t)v;
  return 0;
}

static int open_groups(struct step *s, size_t vocab, struct error *err)
{
  struct scores *c = s->scores;
  uint8_t *seen = ARENA_NEW(s->arena, uint8_t, vocab, "group tokens", err);
  c->groups = ARENA_NEW(s->arena, struct group_ids, (size_t)s->group_count, "group tokens", err);
  c->group_p = ARENA_NEW(s->arena, float *, (size_t)s->path_count, "group tokens", err);
  if (!seen || !c->groups || !c->group_p) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) TRY(find_group_ids(s, g, seen, vocab, err));
  for (int32_t p = 0; p < s->path_count; p++) {
    int32_t n = c->groups[s->rollouts[s->path[p].rollout].group].count;
    if (!(c->group_p[p] = ARENA_NEW(s->arena, float, (size_t)n, "group tokens", err))) return err->code;
  }
  return 0;
}

/* ---- the function of a row -------------------------------------------------------------------------------------- */

static void look(void *arg, int32_t item, int32_t place, const double *logp, double *gradient, double *scratch)
{
  const struct score_rows *r = arg;
  const struct scores *c = r->step->scores;
  int32_t token = r->items->items[item];
  (void)place;
  (void)gradient;
  (void)scratch;
  for (int32_t i = 0; i < c->stat_count; i++)
    c->stat[i][token] = token_stat_of(&c->stats[i], logp, r->vocab, step_record(r->step, token)->id, r->temperature);
  if (!c->group_p) return;
  const struct group_ids *g = &c->groups[r->step->rollouts[r->step->path[token].rollout].group];
  for (int32_t i = 0; i < g->count; i++) c->group_p[token][i] = (float)math_exp(logp[g->ids[i]]);
}

int score_rows_open(struct score_rows *r, const struct needs *n, struct step *s, const struct token_items *items,
                    size_t vocab, struct error *err)
{
  struct scores *c = s->scores;
  *r = (struct score_rows){.step = s, .items = items, .vocab = vocab, .temperature = s->temperature};
  r->rows = (struct trainer_rows){.first = items->first, .arg = r, .at = look};
  c->stats = n->token_stats;
  c->stat_count = n->flags & NEED_TOKEN_STAT ? n->token_stat_count : 0;
  if (!(c->stat = ARENA_NEW(s->arena, double *, (size_t)c->stat_count, "token statistics", err))) return err->code;
  for (int32_t i = 0; i < c->stat_count; i++)
    if (!(c->stat[i] = ARENA_NEW(s->arena, double, (size_t)s->path_count, "token statistics", err))) return err->code;
  return n->flags & NEED_GROUP_P ? open_groups(s, vocab, err) : 0;
}

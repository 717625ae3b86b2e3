/* optimal_token_baseline: for every token the baseline of least variance (verl's estimators optimal_token_baseline and
 * tir_optimal_token_baseline). Tokens are weighed by how far the path up to them has moved the logits:
 *
 *     w_t = 1 - 2 pi(y_t) + sum_v pi_v^2      the squared norm of d log pi / d logits
 *     W_t = sum_{j <= t} w_j
 *     B_t = sum_i W_it G_it / sum_i W_it      over the rollouts of the group that have a token at t
 *     A_t = G_t - B_t                         G_t = sum_{k >= t} rho_k
 *
 * part_token_baseline.h has the edges. `align: own` counts a rollout's own tokens, `place` its tokens and what a tool
 * wrote between them. The loss is grpo's.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_return.h"
#include "method/part_token_baseline.h"

enum align { OWN, PLACE };

#define OPTIONS(X)                                                                                                   \
  X(ENUM, align, OWN, 0, 0, "own|place", "tokens are compared by their number among own tokens, or in the response") \
  X(BOOL, tail, 1, 0, 1, NULL, "no baseline where the longest rollout is alone; else its own return is")             \
  X(REAL, importance, 0, 0, OPTION_INF, NULL,                                                                        \
    "w times the square of exp(logp - logp_behaviour), held under this; 0: not")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  (void)options_of;
  (void)err;
  out->flags |= NEED_TOKEN_STAT;
  out->token_stats[out->token_stat_count++] = (struct token_stat){.kind = TOKEN_STAT_SUM_P2};
  return 0;
}

/* [path_count] each. */
struct work {
  double *rho, *returns, *energy;
  int32_t *slot;
  struct token_baseline_row *rows; /* [kept] */
};

static int open_work(struct arena *a, const struct step *s, struct work *w, struct error *err)
{
  size_t n = (size_t)s->path_count;
  *w = (struct work){.rho = ARENA_NEW(a, double, n, "optimal_token_baseline", err),
                     .returns = ARENA_NEW(a, double, n, "optimal_token_baseline", err),
                     .energy = ARENA_NEW(a, double, n, "optimal_token_baseline", err),
                     .slot = ARENA_NEW(a, int32_t, n, "optimal_token_baseline", err),
                     .rows = ARENA_NEW(a, struct token_baseline_row, (size_t)s->kept, "optimal_token_baseline", err)};
  return w->rho && w->returns && w->energy && w->slot && w->rows ? 0 : err->code;
}

static double importance(const struct self *o, const struct token_record *t)
{
  if (!(o->importance > 0) || !math_is_finite((double)t->logp_behaviour)) return 1;
  double rho = math_exp(math_clamp((double)t->logp - (double)t->logp_behaviour, -20, 20));
  return rho < o->importance ? rho : o->importance;
}

static void fill_rollout(const struct self *o, const struct step *s, int32_t rollout, const double *squared,
                         const struct work *w, double *advantage, struct token_baseline_row *row)
{
  const struct rollout *r = &s->rollouts[rollout];
  return_rewards(s, rollout, w->rho);
  return_discounted(w->rho, NULL, r->path_count, 1, RETURN_SKIP, w->returns + r->path);
  for (int32_t p = r->path; p < r->path + r->path_count; p++) {
    const struct token_record *t = step_record(s, p);
    w->energy[p] = token_baseline_energy((double)t->logp, squared[p], importance(o, t));
    w->slot[p] = o->align == OWN ? p - r->path : step_response_index(s, p);
  }
  *row = (struct token_baseline_row){.count = r->path_count,
                                     .slot = w->slot + r->path,
                                     .returns = w->returns + r->path,
                                     .energy = w->energy + r->path,
                                     .advantage = advantage + r->path};
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  const double *squared = scores_stat(s, TOKEN_STAT_SUM_P2, 0);
  struct work w;
  TRY(open_work(c->scratch, s, &w, err));
  for (int32_t g = 0; g < s->group_count; g++) {
    const struct group *group = &s->groups[g];
    for (int32_t i = 0; i < group->count; i++)
      fill_rollout(o, s, s->order[group->first + i], squared, &w, out->advantage, &w.rows[i]);
    if (group->count) token_baseline(w.rows, group->count, o->tail);
  }
  return 0;
}

const struct method method_optimal_token_baseline = {
    .name = "optimal_token_baseline",
    .title = "The baseline of least variance for every token",
    .paper = "verl, core_algos, optimal_token_baseline and tir_optimal_token_baseline",
    .base = "grpo",
    .needs = NEED_TOKEN_STAT,
    METHOD_OPTIONS(options),
    .declare = declare,
    .advantage = advantage,
};

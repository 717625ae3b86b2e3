/* gdpo: every reward is normalised on its own before they are added (arXiv 2601.05242).
 *
 *     A^k_i = (r^k_i - mean r^k) / (std r^k + eps)        in the group, for each term k of reward.combine
 *     A_i   = whiten(sum_k w_k A^k_i)
 *
 * So a reward with a large spread does not drown one with a small spread. `dialect`: verl has eps 1e-6 and whitens over
 * tokens (long rollouts weigh more); TRL has 1e-4 and whitens over rollouts. A rollout without a channel is in no
 * statistic of that channel and gets nothing for it; a channel that one rollout of a group alone has gives 0 (trl) or
 * its value (verl). The loss is grpo's.
 */
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_return.h"

enum dialect { VERL, TRL };

#define OPTIONS(X) \
  X(ENUM, dialect, VERL, 0, 0, "verl|trl", "eps 1e-6 and whitened over tokens; eps 1e-4 and over rollouts")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

struct work {
  double *sum;   /* [rollout_count] */
  double *x, *a; /* [kept] of one channel and group */
  int32_t *who;  /* [kept] */
};

/* Adds weight A^k of one channel to a group's sums. */
static void add_channel(const struct self *o, const struct step *s, const struct group *g, int channel, double weight,
                        const struct work *w)
{
  int32_t n = 0;
  for (int32_t i = g->first; i < g->first + g->count; i++) {
    if (step_get_channel(s, s->order[i], channel, &w->x[n])) w->who[n++] = s->order[i];
  }
  if (n == 1 && o->dialect == TRL) return;
  if (n) group_normalised(w->x, n, true, o->dialect == VERL ? 1e-6 : 1e-4, w->a);
  for (int32_t i = 0; i < n; i++) w->sum[w->who[i]] += weight * w->a[i];
}

static void finish(const struct self *o, const struct step *s, const struct work *w, double *advantage)
{
  if (o->dialect == TRL) {
    for (int32_t i = 0; i < s->kept; i++) w->x[i] = w->sum[s->order[i]];
    struct whitening all = whitening_measure(w->x, NULL, s->kept, WHITEN_TRL);
    for (int32_t i = 0; i < s->kept; i++) step_spread(s, s->order[i], whitened(&all, w->x[i]), advantage);
    return;
  }
  for (int32_t i = 0; i < s->kept; i++) step_spread(s, s->order[i], w->sum[s->order[i]], advantage);
  whiten(advantage, s->path_count, WHITEN_VERL);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  size_t kept = (size_t)s->kept;
  struct work w = {.sum = ARENA_NEW(c->scratch, double, (size_t)s->rollout_count, "gdpo", err),
                   .x = ARENA_NEW(c->scratch, double, kept, "gdpo", err),
                   .a = ARENA_NEW(c->scratch, double, kept, "gdpo", err),
                   .who = ARENA_NEW(c->scratch, int32_t, kept, "gdpo", err)};
  if (!w.sum || !w.x || !w.a || !w.who) return err->code;
  for (int32_t k = 0; k < s->combine_count; k++) {
    int channel = step_find_channel(s, s->combine[k].channel); /* shape said that it is there */
    for (int32_t g = 0; g < s->group_count && channel >= 0; g++)
      add_channel(o, s, &s->groups[g], channel, s->combine[k].weight, &w);
  }
  finish(o, s, &w, out->advantage);
  return 0;
}

const struct method method_gdpo = {
    .name = "gdpo",
    .title = "Group reward-decoupled normalisation",
    .paper = "arXiv 2601.05242; dialects of verl and TRL",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
};

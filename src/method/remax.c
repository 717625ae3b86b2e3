/* remax: the reward of the greedy response as the baseline (arXiv 2310.10505, algorithm 1).
 *
 *     A_t = G_t - R(greedy)        G_t = sum_{k >= t} rho_k
 *
 * One greedy probe a group, generated beside its rollouts and judged by the problem's own verifier; it is in no
 * statistic and not trained on. Its reward is that of reward.combine, from the verifier's channels; where its verifier
 * failed, the mean of the group stands in. The loss is grpo's.
 */
#include <string.h>

#include "method/method.h"
#include "method/part_group.h"
#include "method/part_return.h"

static const struct metric metrics[] = {{"greedy", "reward", "mean reward of the greedy probes"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  (void)options_of;
  (void)err;
  out->flags |= NEED_GENERATE;
  out->probes = 1;
  return 0;
}

/* The group's greedy probe, or NULL. */
static const struct rollout *find_probe(const struct step *s, int32_t group)
{
  for (int32_t r = 0; r < s->rollout_count; r++) {
    const struct rollout *x = &s->rollouts[r];
    if (x->group == group && x->probe && !strcmp(x->probe, "remax")) return x;
  }
  return NULL;
}

/* One greedy response for every group that has none yet. */
static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  struct request *q;
  (void)c;
  for (int32_t g = 0; out->asking.round == 0 && g < s->group_count; g++) {
    if (!s->groups[g].count || find_probe(s, g)) continue;
    TRY(ask(&out->asking, REQUEST_GENERATE, "remax", &q, err));
    q->group = g;
    q->sampling.temperature = 0;
  }
  return 0;
}

/* What shape would make of the probe; false where a channel is lacking. */
static bool probe_reward(const struct step *s, const struct rollout *probe, double *out)
{
  *out = 0;
  for (int32_t t = 0; probe && t < s->combine_count; t++) {
    double value;
    int channel = step_find_channel(s, s->combine[t].channel);
    if (channel < 0 || !step_get_channel(s, (int32_t)(probe - s->rollouts), channel, &value)) return false;
    *out += s->combine[t].weight * value;
  }
  return probe != NULL;
}

static int baseline(struct method_call *c, const struct step *s, int32_t g, double *out, struct error *err)
{
  int32_t n = s->groups[g].count;
  double *r = ARENA_NEW(c->scratch, double, (size_t)n, "remax", err);
  if (!r) return err->code;
  for (int32_t i = 0; i < n; i++) r[i] = return_whole(s, s->order[s->groups[g].first + i]);
  if (probe_reward(s, find_probe(s, g), out)) return 0;
  struct group_statistics all = group_statistics(r, n, true);
  *out = all.first + all.centre;
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  double *rho = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "remax", err), sum = 0;
  int32_t groups = 0;
  if (!rho) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) {
    double b = 0;
    if (!s->groups[g].count) continue;
    TRY(baseline(c, s, g, &b, err));
    sum += b;
    groups++;
    for (int32_t i = s->groups[g].first; i < s->groups[g].first + s->groups[g].count; i++) {
      const struct rollout *r = &s->rollouts[s->order[i]];
      double *a = out->advantage + r->path;
      return_rewards(s, s->order[i], rho);
      return_discounted(rho, NULL, r->path_count, 1, RETURN_SKIP, a);
      for (int32_t t = 0; t < r->path_count; t++) a[t] -= b;
    }
  }
  method_report(c, "greedy", groups ? sum / groups : 0);
  return 0;
}

const struct method method_remax = {
    .name = "remax",
    .title = "The greedy response as baseline",
    .paper = "arXiv 2310.10505, algorithm 1",
    .base = "grpo",
    .needs = NEED_GENERATE,
    METHOD_METRICS(metrics),
    .declare = declare,
    .reward = reward,
    .advantage = advantage,
};

/* reward_noise: a verifier that errs, made of one that does not: for trying methods that are said to stand noise.
 *
 *     a reward r becomes 1 - r      with probability false_negative where it is full, false_positive elsewhere
 *
 * One coin a rollout, from its address in the step alone: the same verdicts turn over whatever else a recipe names
 * (class-conditional noise: arXiv 2510.00915, whose rates are the defaults). The verdict, what is counted as solved and
 * evaluations stay true; what a method reads as the reward does not.
 */
#include "method/method.h"
#include "method/part_channel.h"

#define OPTIONS(X)                                                                              \
  X(REAL, false_negative, 0.2, 0, 1, NULL, "probability that a full reward becomes 0")          \
  X(REAL, false_positive, 0.1, 0, 1, NULL, "probability that any other reward r becomes 1 - r") \
  X(STRING, channel, 0, 0, 0, "reward", "what is turned over; its values are between 0 and 1")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"lost", "share", "of the wave's full rewards that became 0"},
    {"gained", "share", "of its other rewards that were turned over"},
};

static bool turns(struct method_call *c, const struct step *s, int32_t rollout, bool right)
{
  const struct self *o = c->self;
  const struct rollout *r = &s->rollouts[rollout];
  struct rng_at at = method_rng(c, s->number, s->groups[r->group].ordinal, r->attempt, r->ordinal, 0);
  return channel_flips(right, o->false_positive, o->false_negative, rng_uniform(c->seed, &at));
}

static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  const struct self *o = c->self;
  int32_t channel = step_find_channel(s, o->channel);
  double count[2] = {0}, turned[2] = {0};
  if (channel < 0 && s->kept)
    FAIL(err, ERROR_INPUT, "found no channel \"%s\"; expected \"reward\" or a channel of the verifier", o->channel);
  for (int32_t i = 0; i < s->kept; i++) {
    char name[256];
    double r;
    int32_t at = s->order[i];
    if (s->rollouts[at].attempt != s->wave || !step_get_channel(s, at, channel, &r)) continue;
    if (!(r >= 0 && r <= 1))
      FAIL(err, ERROR_INPUT, "found %g in channel \"%s\" for %s; expected 0 to 1; name another channel", r, o->channel,
           step_rollout_name(s, at, name, sizeof name));
    bool right = r >= 1;
    count[right]++;
    if (!turns(c, s, at, right)) continue;
    turned[right]++;
    TRY(reward_rewrite(out, o->channel, at, 1 - r, err));
  }
  method_report(c, "lost", count[1] > 0 ? turned[1] / count[1] : 0);
  method_report(c, "gained", count[0] > 0 ? turned[0] / count[0] : 0);
  return 0;
}

const struct method method_reward_noise = {
    .name = "reward_noise",
    .title = "Verdicts turned over at given rates",
    .paper = "class-conditional noise, as in arXiv 2510.00915",
    .base = "grpo",
    .neutral = "false_negative=0 false_positive=0",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .reward = reward,
};

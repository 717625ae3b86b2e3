/* canon: advantages conditional on a metric of the responses (CANON, arXiv 2509.23962; code biuboomc/CANON).
 *
 *     m_i   = mean entropy of response i, its length, or its number
 *     halves of the group by m, compared with each other (inter) and within (intra): part_canon.h
 *     A_i   = mu inter_i + (1 - mu) intra_i            no division by a standard deviation
 *     mu    = 1 - kappa(step, accuracy) where a schedule is set
 *
 * The paper divides the sum over tokens by a constant length and the number of responses: grpo with {aggregation:
 * constant, constant: 8192, clip_high: 0.28}. mu 0.5 is Dr.GRPO, with its bits in groups of even size.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_canon.h"

enum metric_of { ENTROPY, LENGTH, RANDOM };

#define OPTIONS(X)                                                                                                   \
  X(ENUM, metric, ENTROPY, 0, 0, "entropy|length|random", "what splits a group; random: inter alone, by number")     \
  X(REAL, mu, 1, 0, 1, NULL, "weight of the comparison with the other half; the own half has the rest")              \
  X(REAL, alpha, 1, 0, 10, NULL, "factor on rewards of the low-entropy or long half in that comparison; 1: off")     \
  X(REAL, beta, 0, -100, 100, NULL, "added to the high half and taken from the low one there; 0: off")               \
  X(ENUM, schedule, CANON_FIXED, 0, 0, CANON_SCHEDULES, "how mu moves; then mu, alpha and beta keep their defaults") \
  X(INT, total, 150, 1, 1e9, NULL, "cosine: steps of warm-up and all cycles; restarts go on after them")             \
  X(INT, warmup, 30, 0, 1e9, NULL, "cosine: steps of linear growth")                                                 \
  X(INT, cycles, 3, 1, 1e6, NULL, "cosine: cycles in total - warmup steps")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"mu", "", "weight of the comparison between the halves"},
    {"gap", "reward", "mean reward of the high halves less that of the low ones"},
    {"inter", "", "mean size of the comparison between the halves"},
    {"intra", "", "mean size of the comparison within a half"},
};

static bool is_cosine(const struct self *o)
{
  return o->schedule == CANON_COSINE_INTRA_FIRST || o->schedule == CANON_COSINE_INTER_FIRST;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)out;
  bool moved = o->mu < 1 || o->alpha < 1 || o->alpha > 1 || o->beta < 0 || o->beta > 0;
  if (o->schedule != CANON_FIXED && (moved || o->metric != ENTROPY))
    FAIL(err, ERROR_INPUT,
         "canon: found a schedule together with mu, alpha, beta or another metric than entropy; a schedule sets mu "
         "itself and is defined for alpha 1, beta 0 and entropy; remove one of the two");
  if (is_cosine(o) && (o->total <= o->warmup || o->total - o->warmup < o->cycles))
    FAIL(err, ERROR_INPUT,
         "canon: found %lld cycles in the %lld steps after the warm-up; a cycle has at least one step; raise total or "
         "lower cycles",
         (long long)o->cycles, (long long)(o->total - o->warmup));
  return 0;
}

/* A response without tokens has metric 0. */
static double metric_of(const struct self *o, const struct step *s, int32_t rollout, int32_t number)
{
  const struct rollout *r = &s->rollouts[rollout];
  if (o->metric == RANDOM) return number;
  if (o->metric == LENGTH) return r->path_count;
  double sum = 0;
  for (int32_t p = r->path; p < r->path + r->path_count; p++) sum += (double)step_record(s, p)->entropy;
  return r->path_count ? sum / r->path_count : 0;
}

static struct canon_mix mix_of(const struct self *o, const struct step *s)
{
  double sum = 0;
  const struct canon_shape shape = {.total = o->total, .warmup = o->warmup, .cycles = o->cycles};
  struct canon_mix mix = {.mu = o->mu, .alpha = o->alpha, .beta = o->beta, .length = o->metric == LENGTH};
  if (o->metric == RANDOM) mix = (struct canon_mix){.mu = 1, .alpha = 1};
  if (o->schedule == CANON_FIXED) return mix;
  for (int32_t i = 0; i < s->kept; i++) sum += s->reward[s->order[i]];
  double accuracy = s->kept ? sum / s->kept : 0;
  mix.mu = 1 - canon_kappa((enum canon_schedule)o->schedule, s->number + 1, accuracy, &shape);
  return mix;
}

struct halves {
  double *reward, *metric, *inter, *intra, *advantage; /* [kept] of one group */
  struct ranked *scratch;
  bool *high;
};

static int open_halves(struct method_call *c, size_t n, struct halves *h, struct error *err)
{
  double *x = ARENA_NEW(c->scratch, double, 5 * n + 1, "canon", err);
  h->scratch = ARENA_NEW(c->scratch, struct ranked, n + 1, "canon", err);
  h->high = ARENA_NEW(c->scratch, bool, n + 1, "canon", err);
  if (!x || !h->scratch || !h->high) return err->code;
  h->reward = x;
  h->metric = x + n;
  h->inter = x + 2 * n;
  h->intra = x + 3 * n;
  h->advantage = x + 4 * n;
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  struct canon_mix mix = mix_of(o, s);
  struct halves h;
  double gap = 0, inter = 0, intra = 0, split = 0;
  TRY(open_halves(c, (size_t)s->kept, &h, err));
  for (int32_t g = 0; g < s->group_count; g++) {
    const int32_t *members = s->order + s->groups[g].first;
    int32_t n = s->groups[g].count;
    for (int32_t i = 0; i < n; i++) {
      h.reward[i] = s->reward[members[i]];
      h.metric[i] = metric_of(o, s, members[i], i);
    }
    canon_split(h.metric, n, h.scratch, h.high);
    struct canon_means means = canon_advantage(h.reward, h.high, n, &mix, h.inter, h.intra, h.advantage);
    for (int32_t i = 0; i < n; i++) {
      step_spread(s, members[i], h.advantage[i], out->advantage);
      inter += math_abs(h.inter[i]);
      intra += math_abs(h.intra[i]);
    }
    gap += means.high - means.low;
    split += n > 1;
  }
  method_report(c, "mu", mix.mu);
  if (split > 0) method_report(c, "gap", gap / split);
  if (s->kept) method_report(c, "inter", inter / s->kept);
  if (s->kept) method_report(c, "intra", intra / s->kept);
  return 0;
}

const struct method method_canon = {
    .name = "canon",
    .title = "CANON: conditional advantage estimation",
    .paper = "arXiv 2509.23962; code biuboomc/CANON",
    .number = 44,
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .advantage = advantage,
};

/* beyond_8020: policy gradients on the forking tokens alone (arXiv 2506.01939).
 *
 *     H_t  = entropy of the policy at token t
 *     s_t  = 1 for the share rho of the update's tokens with the highest H      part_forking.h
 *     loss = sum s_t L_t / N                 N all tokens, or those with s_t = 1
 *
 * L is the base's; regularisers run over all tokens. The paper trains with DAPO: {clip_high: 0.28, clip_dual: 10} of
 * grpo, groups without a difference left out. Beside it, decoding whose temperature is high where the policy is
 * undecided.
 */
#include "method/method.h"
#include "method/part_forking.h"

enum side { TOP, BOTTOM };
enum denominator_of { ALL, KEPT };
enum whose { CURRENT, SAMPLER };

#define OPTIONS(X)                                                                                                  \
  X(REAL, rho, 0.2, 0, 1, NULL, "share of the tokens that are trained; 1: all")                                     \
  X(ENUM, side, TOP, 0, 0, "top|bottom", "those of highest entropy, or all others")                                 \
  X(ENUM, threshold, FORKING_TOPK, 0, 0, FORKING_WORDS, "the k highest, or all at or above the quantile")           \
  X(ENUM, denominator, ALL, 0, 0, "all|kept", "what the loss is divided by: all tokens, or the trained ones")       \
  X(ENUM, entropy, CURRENT, 0, 0, "current|sampler", "of the policy that is updated, or of the one that sampled")   \
  X(REAL, gate, 0, 0, 1e3, NULL, "sampling: entropy in nats above which gate_high holds; 0: the run's temperature") \
  X(REAL, gate_high, 1, 0, 100, NULL, "temperature above the gate")                                                 \
  X(REAL, gate_low, 1, 0, 100, NULL, "temperature at and below the gate")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"threshold", "nats", "entropy of the last token that counts as high, or the quantile"},
    {"kept", "", "share of the tokens that are trained"},
};

/* Else all tokens are trained, whatever their entropy. */
static bool masks(const struct self *o)
{
  return o->rho < 1 || o->side == BOTTOM;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (masks(o) && o->entropy == CURRENT)
    out->flags |= NEED_ENTROPY | NEED_ALWAYS; /* the threshold is over all tokens */
  if (o->gate > 0) out->flags |= NEED_SAMPLE_ENTROPY;
  return 0;
}

static int sample(struct method_call *c, const struct step *s, struct sample_row *out, struct error *err)
{
  const struct self *o = c->self;
  (void)s;
  (void)err;
  if (o->gate > 0)
    out->params->temperature = (float)forking_temperature((double)out->entropy, o->gate, o->gate_high, o->gate_low);
  return 0;
}

static int weight_current(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  if (!masks(o)) return 0;
  double *entropy = ARENA_NEW(c->scratch, double, (size_t)m->count, "beyond_8020", err);
  struct ranked *scratch = ARENA_NEW(c->scratch, struct ranked, (size_t)m->count, "beyond_8020", err);
  if (!entropy || !scratch) return err->code;
  for (int32_t i = 0; i < m->count; i++)
    entropy[i] = o->entropy == CURRENT ? m->entropy[i] : (double)step_record(m->step, m->token[i])->entropy;
  struct forking f = forking_mask(entropy, m->count, o->rho, (enum forking_threshold)o->threshold, o->side == BOTTOM,
                                  scratch, out->factor);
  out->denominator = o->denominator == KEPT ? COUNT_KEPT : COUNT_ALL;
  if (!m->count) return 0;
  method_report(c, "threshold", f.threshold);
  method_report(c, "kept", (double)f.kept / m->count);
  return 0;
}

const struct method method_beyond_8020 = {
    .name = "beyond_8020",
    .title = "Beyond the 80/20 rule: updates from high-entropy tokens alone",
    .paper = "arXiv 2506.01939",
    .number = 25,
    .base = "grpo",
    .neutral = "rho=1",
    .needs = NEED_ENTROPY | NEED_ALWAYS | NEED_SAMPLE_ENTROPY,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .sample = sample,
    .weight_current = weight_current,
};

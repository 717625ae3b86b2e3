/* A reward by correctness and length (Yeo et al. 2025, "Demystifying Long Chain-of-Thought Reasoning in LLMs", section
 * on the cosine reward): t tokens, T the longest answer,
 *
 *     Cos(t; from, to) = to + (from - to) / 2 * (1 + cos(pi t / T))       from at t = 0, to at t = T
 *
 *     right answer   Cos(t; right_short, right_long)
 *     wrong answer   Cos(t; wrong_short, wrong_long)
 *     t >= T         exceed
 *
 * With right_short > right_long a short right answer is worth more; with wrong_short < wrong_long a wrong one may think
 * longer. It holds the verdict: name it instead of `reward` in combine, not beside it. No value where the verifier
 * failed. Worked example (defaults): a right answer of T/2 tokens 0.75, of T/3 tokens 0.875; a wrong one of T/2 -0.25.
 */
#include "core/math.h"
#include "reward/channel.h"

static double along(double t, double from, double to)
{
  return to + (from - to) / 2 * (1 + math_cos(3.14159265358979323846 * t));
}

static int value(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
                 struct error *err)
{
  double longest = (double)channel_value(c, "max")->integer;
  (void)a, (void)err;
  *out = __builtin_nan("");
  if (in->verdict->status != VERDICT_OK) return 0;
  if (longest <= 0) longest = in->max_new_tokens;
  bool right = in->verdict->correct;
  if (in->tokens >= longest)
    *out = channel_value(c, "exceed")->real;
  else
    *out = along(in->tokens / longest, channel_value(c, right ? "right_short" : "wrong_short")->real,
                 channel_value(c, right ? "right_long" : "wrong_long")->real);
  return 0;
}

static const struct setting settings[] = {
    {"right_short", SETTING_REAL, -1e6, 1e6, "1", NULL, "of a right answer of no tokens"},
    {"right_long", SETTING_REAL, -1e6, 1e6, "0.5", NULL, "of a right answer of the longest kind"},
    {"wrong_short", SETTING_REAL, -1e6, 1e6, "-0.5", NULL, "of a wrong answer of no tokens"},
    {"wrong_long", SETTING_REAL, -1e6, 1e6, "0", NULL, "of a wrong answer of the longest kind"},
    {"exceed", SETTING_REAL, -1e6, 1e6, "-1", NULL, "of an answer that was cut"},
    {"max", SETTING_INT, 0, 1e9, "0", NULL, "longest answer in tokens; 0: rollout.max_new_tokens"},
};

const struct channel channel_cosine = {
    .name = "cosine",
    .help = "right and wrong by length, along half a cosine; instead of `reward`",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .value = value,
};

/* A penalty on length; n is the tokens of the response, its end token included.
 *
 *     mode: overlong   DAPO's soft overlong punishment (Yu et al. 2025, equation 13), from 0 down to -1:
 *                        0                        n <= max - buffer
 *                        (max - buffer - n) / buffer    in between
 *                        -1                       n > max
 *                      max: rollout.max_new_tokens unless given; buffer: a fifth of it
 *     mode: target     -alpha |n - target| (Aggarwal and Welleck 2025, L1-Exact); target: the setting, or the problem's
 *                      field target_length
 *
 * Worked examples: max 20480, buffer 4096: n 18432 gives -0.5. target 1000, alpha 0.0003: n 800 gives -0.06.
 */
#include <string.h>
#include "reward/channel.h"

double channel_overlong(double n, double max, double buffer)
{
  if (n <= max - buffer) return 0;
  return n > max ? -1 : (max - buffer - n) / buffer;
}

static double overlong(const struct channel_config *c, const struct channel_input *in)
{
  double max = (double)channel_value(c, "max")->integer, buffer = (double)channel_value(c, "buffer")->integer;
  double n = in->tokens;
  if (max <= 0) max = in->max_new_tokens;
  if (buffer <= 0) buffer = max / 5;
  return channel_overlong(n, max, buffer < max ? buffer : max);
}

static int target(const struct channel_config *c, const struct channel_input *in, double *out, struct error *err)
{
  const struct problem *p = in->problem;
  const json_t *field = json_object_get(p->fields, "target_length");
  double wanted = (double)channel_value(c, "target")->integer, n = in->tokens;
  if (field && !json_is_number(field))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "target_length",
            "found a target_length that is no number; expected tokens");
  if (field) wanted = json_number_value(field);
  *out = -channel_value(c, "alpha")->real * (n > wanted ? n - wanted : wanted - n);
  return 0;
}

static int value(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
                 struct error *err)
{
  (void)a;
  if (!strcmp(channel_value(c, "mode")->text, "target")) return target(c, in, out, err);
  *out = overlong(c, in);
  return 0;
}

static const struct setting settings[] = {
    {"mode", SETTING_TEXT, 0, 0, "overlong", "overlong target", "a slope before the longest answer, or a distance"},
    {"max", SETTING_INT, 0, 1e9, "0", NULL, "overlong: longest answer in tokens; 0: rollout.max_new_tokens"},
    {"buffer", SETTING_INT, 0, 1e9, "0", NULL, "overlong: tokens before it over which the penalty grows; 0: a fifth"},
    {"target", SETTING_INT, 0, 1e9, "0", NULL, "target: tokens that an answer should have"},
    {"alpha", SETTING_REAL, 0, 1e3, "0.0003", NULL, "target: penalty of a token too many or too few"},
};

const struct channel channel_length = {
    .name = "length",
    .help = "0 down to -1 towards the longest answer (DAPO), or -alpha a token away from a target",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .value = value,
};

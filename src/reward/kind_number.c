/* The number in a free text, compared exactly (data/number says which number, and what counts as one). The answer may
 * be a worked solution itself, as in GSM8K ("... #### 72"): it is read by the same rules. Units are left aside: 72,
 * $72, "72 dollars" are one answer.
 *
 * Worked example: answer "#### 1,080", response "so 3 * 360 = 1080.0 apples": right, extracted "1080.0".
 */
#include <string.h>
#include "data/number.h"
#include "reward/verifier.h"

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  (void)c;
  struct number_found want, got;
  const char *why;
  *out = (struct verdict){0};
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected a number for the verifier \"number\"");
  if (!number_extract(p->answer, strlen(p->answer), &want, &why))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found answer \"%.80s\"; expected a number for the verifier \"number\" (%s); map the right field, or use "
            "another verifier",
            p->answer, why);
  if (!number_extract(response, n, &got, &out->reason)) return 0;
  out->readable = true;
  out->correct = number_equal(&got.value, &want.value);
  out->reward = out->correct ? 1 : 0;
  out->extracted = arena_strndup(a, response + got.start, got.length, "verdict", err);
  int shown = got.length < 64 ? (int)got.length : 64, size = want.length < 64 ? (int)want.length : 64;
  out->reason = arena_printf(a, "verdict", err, "%.*s (%s) %s %.*s", shown, response + got.start, got.rule,
                             out->correct ? "equals" : "is not", size, p->answer + want.start);
  return out->extracted && out->reason ? 0 : err->code;
}

const struct verifier verifier_number = {
    .name = "number",
    .help = "the final number of the response equals the answer's, exactly, in any spelling",
    .fields = "answer",
    .judge = judge,
};

/* A score by a language model behind an OpenAI-compatible address.
 *
 *     verifier: {judge: {url: "http://127.0.0.1:8000/v1", model: NAME, scale_low: 1, scale_high: 5}}
 *
 *     question   what was asked (or prompt, or messages)
 *     answer     a reference for the judge, if there is one
 *     rubric     criteria, if there are any; the line's own stand before the setting
 *     reward     (E - scale_low) / (scale_high - scale_low), E the expected score over the token's probabilities where
 *                the server gives them (judge_read.h), else the score that the judge wrote
 *     correct    E >= threshold; unset: E rounds to scale_high (E >= scale_high - 1/2)
 *     channels   score: E
 *
 * Worked example, scale 1 to 5: the judge writes 4, with p(4) = 0.6, p(5) = 0.3, p(3) = 0.1: E = (2.4 + 1.5 + 0.3) / 1
 * = 4.2, reward 3.2 / 4 = 0.8, not correct (4.2 < 4.5). How it is asked, and what is no verdict: judge.h.
 */
#include <stdio.h>
#include <string.h>

#include "reward/judge.h"

struct scale {
  int low, high;
};

static struct scale scale_of(const struct verifier_config *c)
{
  return (struct scale){(int)verifier_value(c, "scale_low")->integer, (int)verifier_value(c, "scale_high")->integer};
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  const struct setting_value *threshold = verifier_value(c, "threshold");
  struct scale s = scale_of(c);
  if (s.low >= s.high)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "scale_high", "found a scale from %d to %d; expected scale_low below scale_high",
            s.low, s.high);
  if (threshold->set && !(threshold->real > s.low && threshold->real <= s.high))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "threshold",
            "found threshold: %s; expected a score above scale_low (%d), at most scale_high (%d)", threshold->text,
            s.low, s.high);
  return judge_open(a, c, err);
}

/* A score in the scale, or why it is none. */
static const char *accept(struct arena *a, const json_t *verdict, const void *arg, struct error *err)
{
  const struct scale *s = arg;
  const json_t *score = json_object_get(verdict, "score");
  double x = json_number_value(score);
  if (json_is_number(score) && x >= s->low && x <= s->high) return NULL;
  return arena_printf(a, "judge", err, "its \"score\" is no number from %d to %d", s->low, s->high);
}

static const char *form_of(struct arena *a, struct scale s, struct error *err)
{
  return arena_printf(
      a, "judge", err,
      "Reply with one JSON object and nothing else: {\"reason\": \"...\", \"score\": N}. First the "
      "reason, in one or two sentences; then N, a whole number from %d (worst) to %d (best)%s",
      s.low, s.high,
      s.high - s.low == 1 ? ". There is nothing between the two." : "; the best only for a response without fault.");
}

static const char *schema_of(struct arena *a, struct scale s, struct error *err)
{
  return arena_printf(a, "judge", err,
                      "{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":\"string\"},\"score\":{\"type\":"
                      "\"integer\",\"minimum\":%d,\"maximum\":%d}},\"required\":[\"reason\",\"score\"],"
                      "\"additionalProperties\":false}",
                      s.low, s.high);
}

static int put_verdict(struct arena *a, const struct verifier_config *c, const struct judge_answer *answer,
                       struct verdict *out, struct error *err)
{
  struct scale s = scale_of(c);
  const struct setting_value *threshold = verifier_value(c, "threshold");
  const json_t *words = json_object_get(answer->verdict, "reason");
  double written = json_number_value(json_object_get(answer->verdict, "score"));
  double score = answer->has_expected ? answer->expected : written;
  char expected[48] = "";
  if (answer->has_expected) snprintf(expected, sizeof expected, ", %.3g expected", score);
  out->readable = true;
  out->reward = (score - s.low) / (s.high - s.low);
  out->correct = score >= (threshold->set ? threshold->real : s.high - 0.5);
  out->channels[0].value = score;
  out->extracted = arena_printf(a, "verdict", err, "%.15g", written);
  out->reason = arena_printf(
      a, "verdict", err, "the judge gives %.15g of %d to %d%s%s%s", written, s.low, s.high, expected,
      json_is_string(words) ? ": " : "",
      json_is_string(words) ? verdict_shown(a, json_string_value(words), json_string_length(words), 1000, err) : "");
  return out->extracted && out->reason ? 0 : err->code;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct scale s = scale_of(c);
  struct setting_value rubric;
  struct judge_answer answer;
  int logprobs = s.low >= 0 && s.high <= 9 ? (int)verifier_value(c, "logprobs")->integer : 0;
  *out = (struct verdict){.reason = "the response ends inside <think>", .channel_count = 1};
  out->channels[0].name = "score";
  out->channels[0].value = s.low;
  TRY(verifier_option(a, c, p, "rubric", &rubric, err));
  if (!verifier_value(c, "thinking")->integer && !verdict_skip_thinking(&response, &n)) return 0;
  struct judge_ask ask = {.key = "score",
                          .form = form_of(a, s, err),
                          .schema = schema_of(a, s, err),
                          .extra = rubric.set ? rubric.text : NULL,
                          .extra_name = "CRITERIA",
                          .logprobs = logprobs,
                          .low = s.low,
                          .high = s.high,
                          .accept = accept,
                          .arg = &s};
  if (err->code) return err->code;
  TRY(judge_ask(a, c, p, response, n, &ask, &answer, err));
  if (answer.verdict) return put_verdict(a, c, &answer, out, err);
  *out = (struct verdict){.status = VERDICT_FAILED, .timeout = answer.timeout, .reason = answer.failure};
  return 0;
}

static int check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  const char *question;
  struct setting_value rubric;
  TRY(verifier_option(a, c, p, "rubric", &rubric, err));
  return judge_question(a, c, p, &question, err);
}

static const struct setting settings[] = {
    JUDGE_SETTINGS,
    {"rubric", SETTING_TEXT, 0, 0, NULL, NULL, "criteria for all problems; a line's own stand before them"},
    {"scale_low", SETTING_INT, -1000, 1000, "1", NULL, "lowest score: reward 0"},
    {"scale_high", SETTING_INT, -1000, 1000, "5", NULL, "highest score: reward 1"},
    {"threshold", SETTING_REAL, -1000, 1000, NULL, NULL,
     "score from which a response is correct; unset: near the highest"},
    {"logprobs", SETTING_INT, 0, 20, "20", NULL, "top_logprobs to ask for, for the expected score; 0: none"},
};

const struct verifier verifier_judge = {
    .name = "judge",
    .help = "a language model behind an OpenAI-compatible address gives a score",
    .fields = "question, answer?, rubric?",
    .outside = true,
    .waits = true,
    .channels = "score",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
    .check = check,
};

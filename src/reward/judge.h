/* reward/judge: what the kinds `judge` and `rubric` share: a question for a language model behind an OpenAI-compatible
 * address, whose answer is one JSON object that the kind accepts or not.
 *
 * The way of a verdict: the cache; else the server (judge_http.h), the object in what it wrote (judge_read.h), the
 * kind's accept; what cannot be read or accepted is asked once more, with the reason; what then stands is no verdict
 * (VERDICT_FAILED), never a wrong answer. Only accepted objects are kept in the cache (judge_cache.h).
 *
 * All that others wrote stands between lines which carry a mark, the first 32 hexadecimal digits of a SHA-256 of that
 * same text: whoever wrote it cannot have put the mark into it. Nothing in it is asked for orders, and the verdict is
 * taken from what the judge wrote alone, inside the scale alone.
 */
#ifndef ASSAY_REWARD_JUDGE_H
#define ASSAY_REWARD_JUDGE_H

#include "reward/judge_read.h"
#include "reward/verifier.h"

/* The first settings of both kinds. */
#define JUDGE_SETTINGS                                                                                                \
  {"url", SETTING_TEXT, 0, 0, NULL, NULL, "address of an OpenAI-compatible server: http://127.0.0.1:8000/v1"},        \
      {"model", SETTING_TEXT, 0, 0, NULL, NULL, "name of the judge's model, as the server knows it"},                 \
      {"key_env", SETTING_TEXT, 0, 0, NULL, NULL, "environment variable that holds the key; unset: no key is sent"},  \
      {"prompt", SETTING_TEXT, 0, 0, NULL, NULL, "what the judge is told to be, in place of \"a careful examiner\""}, \
      {"temperature", SETTING_REAL, 0, 2, "0", NULL, "of the judge's sampler"},                                       \
      {"max_tokens", SETTING_INT, 0, 1000000, "1024", NULL, "most tokens that the judge may write; 0: not said"},     \
      {"reply_format",                                                                                                \
       SETTING_TEXT,                                                                                                  \
       0,                                                                                                             \
       0,                                                                                                             \
       "text",                                                                                                        \
       "text json schema",                                                                                            \
       "response_format of the request: none, json_object, json_schema"},                                             \
      {"thinking", SETTING_BOOL, 0, 1, "false", NULL, "the judge also sees what stands in <think>"},                  \
      {"concurrency", SETTING_INT, 1, 256, "8", NULL, "most questions under way at a time"},                          \
      {"retries", SETTING_INT, 0, 20, "4", NULL, "times to ask again after 429, 5xx or a broken connection"},         \
      {"backoff", SETTING_REAL, 0.001, 60, "0.5", NULL, "seconds before asking again; doubled each time"},            \
      {"timeout",                                                                                                     \
       SETTING_REAL,                                                                                                  \
       0.001,                                                                                                         \
       86400,                                                                                                         \
       NULL,                                                                                                          \
       NULL,                                                                                                          \
       "seconds that a verdict may take, repetitions included; unset: reward.timeout"},                               \
  {                                                                                                                   \
    "cache", SETTING_TEXT, 0, 0, NULL, NULL, "file that keeps verdicts by content; unset: none"                       \
  }

struct judge;

/* What a kind asks. */
struct judge_ask {
  const char *key;    /* "score": the member that makes an object a verdict */
  const char *form;   /* what the reply looks like, for the judge */
  const char *schema; /* the same as JSON Schema */
  const char *extra;  /* a part of its own between question and response, or NULL; its name: */
  const char *extra_name;
  int logprobs, low, high; /* top_logprobs to ask for; 0: none */
  /* NULL where the object is a verdict, else a clause that says why not. */
  const char *(*accept)(struct arena *a, const json_t *verdict, const void *arg, struct error *err);
  const void *arg;
};

struct judge_answer {
  const json_t *verdict; /* accepted; NULL: there is none, and failure says why */
  bool has_expected;
  double expected; /* judge_read.h */
  bool timeout;
  const char *failure;
};

/* For a kind's open: reads JUDGE_SETTINGS into c->state. */
int judge_open(struct arena *a, struct verifier_config *c, struct error *err) MUST_USE;
/* The question of a problem: its text, or its messages one below the other. ERROR_INPUT where there is none. */
int judge_question(struct arena *a, const struct verifier_config *c, const struct problem *p, const char **out,
                   struct error *err) MUST_USE;
int judge_ask(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response, size_t n,
              const struct judge_ask *ask, struct judge_answer *out, struct error *err) MUST_USE;

#endif

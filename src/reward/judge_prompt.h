/* reward/judge_prompt: the request for a judge, as /v1/chat/completions takes it. The same content gives the same
 * bytes. */
#ifndef ASSAY_REWARD_JUDGE_PROMPT_H
#define ASSAY_REWARD_JUDGE_PROMPT_H

#include "reward/judge.h"

struct judge_part {
  const char *name; /* "RESPONSE"; NULL: left out */
  const char *bytes;
  size_t size;
};

/* What is the same for all questions of a judge. */
struct judge_model {
  const char *name, *prompt; /* prompt NULL: the default */
  double temperature;
  int64_t max_tokens;       /* 0: not sent */
  const char *reply_format; /* "text", "json", "schema" */
};

/* The question's text: all parts between lines with the mark, what to do with them, the form of the reply. */
int judge_prompt_put(const struct judge_part *parts, size_t count, const char *form, struct text *out,
                     struct error *err) MUST_USE;
/* The request. reply NULL: the first; else what the judge wrote at first and why that was no verdict. */
void judge_request_put(const struct judge_model *m, const struct judge_ask *ask, const struct text *prompt,
                       const char *reply, size_t reply_size, const char *why, struct text *out);

#endif

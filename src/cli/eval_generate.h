/* cli/eval_generate: attempts of a model at problems, judged while others are still being generated.
 *
 * Sample s of problem i has the random numbers (RNG_EVAL, group i, rollout s): neither chunks, slots nor threads move a
 * bit of an attempt.
 */
#ifndef ASSAY_CLI_EVAL_GENERATE_H
#define ASSAY_CLI_EVAL_GENERATE_H

#include "cli/cli.h"
#include "eval/report.h"
#include "rollout/generate.h"

struct eval_settings {
  const char *data;     /* FILE or task:NAME,key=value,... (held-out side unless split=train is said) */
  const char *verifier; /* NULL: the lines' own, or the task's */
  int64_t samples;      /* attempts a problem */
  int64_t problems;     /* at most; 0: all, or 256 of an endless task */
  int64_t max_new_tokens, slots;
  int64_t top_k; /* 0: off; stands for sampling.top_k */
  struct sampling sampling;
  const char *stop, *system, *suffix; /* NULL: none */
};

/* Adds every attempt to out, and writes it as a line to output, in the order of problems and samples. */
int eval_generate(struct cli *c, const char *model, const struct eval_settings *s, struct output *output,
                  struct attempt_list *out, struct error *err) MUST_USE;

#endif

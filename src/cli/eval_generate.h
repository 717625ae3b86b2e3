/* cli/eval_generate: attempts of a model at problems, judged while others are still being generated.
 *
 * Sample s of problem i of source d has the random numbers (RNG_EVAL, step d, group i, rollout s): neither chunks,
 * slots nor threads move a bit of an attempt.
 */
#ifndef ASSAY_CLI_EVAL_GENERATE_H
#define ASSAY_CLI_EVAL_GENERATE_H

#include "cli/cli.h"
#include "data/source.h"
#include "eval/attempts.h"
#include "rollout/generate.h"

struct eval_settings {
  const struct source_options *data; /* [data_count] */
  size_t data_count;
  int64_t samples;  /* attempts a problem */
  bool greedy;      /* and one at temperature 0 */
  int64_t problems; /* at most, of each source; 0: all, or 256 of an endless task */
  int64_t max_new_tokens, slots;
  struct sampling sampling;
  const char *const *stop; /* [stop_count] */
  size_t stop_count;
  const char *by; /* the problem's field that is the domain, or NULL */
};

/* Adds every attempt to out, and writes it as a line to output (NULL: nowhere), in the order of problems and samples.
 */
int eval_generate(struct cli *c, const char *model, const struct eval_settings *s, struct output *output,
                  struct attempt_list *out, struct error *err) MUST_USE;

#endif

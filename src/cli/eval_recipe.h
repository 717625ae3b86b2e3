/* cli/eval_recipe: what `assay eval` is asked for: options, or a benchmark's recipe (--recipe FILE) with options and
 * key=value on top.
 *
 *     data: {path: gsm8k_test.jsonl, verifier: math}     # an entry as in training recipes, or a list of them
 *     samples: 4
 */
#ifndef ASSAY_CLI_EVAL_RECIPE_H
#define ASSAY_CLI_EVAL_RECIPE_H

#include "cli/eval_generate.h"
#include "eval/report.h"

/* Options as they were given; negative numbers and NULL: not given. */
struct eval_given {
  struct option_list data, from, against, cot;
  const char *recipe, *verifier, *k, *by, *stop, *system, *suffix, *svg, *perplexity, *adapter;
  int64_t samples, problems, max_new_tokens, slots, top_k;
  double temperature, top_p, min_p;
  bool greedy, rejudge;
};

struct eval_plan {
  struct eval_settings generate;
  int64_t ks[EVAL_MAX_K];
  size_t k_count; /* 0: chosen by the report */
};

/* assignments: key=value over the recipe, [count]. Reads no problem file yet. */
int eval_plan_make(struct arena *a, const struct eval_given *given, const char *const *assignments, int count,
                   struct eval_plan *out, struct error *err) MUST_USE;

#endif

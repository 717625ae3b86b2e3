/* serve/watch_evaluations: what was answered when a run was evaluated, from evaluations/STEP.jsonl.zst: a list of all
 * answers, and those to one problem in full. The random numbers of evaluations are the same each time, so that one
 * problem at two steps shows what training did. */
#ifndef ASSAY_SERVE_WATCH_EVALUATIONS_H
#define ASSAY_SERVE_WATCH_EVALUATIONS_H

#include "serve/watch_run.h"

enum {
  EVALUATION_LISTED = 8192, /* answers at most */
  EVALUATION_GROUP = 256,   /* of one problem at most */
  EVALUATION_EXCERPT = 160  /* bytes of a prompt in the list */
};

/* Of the evaluated step that is nearest to `step`: appends {"step","of","damaged","steps":[...],
   "problems":{KEY:[id,prompt,set]},"lines":[[KEY,0,0,sample,reward,verdict,tokens,finish,extracted,true],...]}, lines
   as those of rollouts_put_list. ERROR_INPUT: nothing is evaluated, the file is damaged. */
int evaluations_put_list(struct watch_run *r, int64_t step, struct text *out, struct error *err) MUST_USE;

/* Appends {"step","problem","set","id","prompt","of":N,"answers":[{"sample","reward","verdict","correct","readable",
 * "extracted","reason","tokens","finish","text"},...]}, fields that the line has. */
int evaluations_put_problem(struct watch_run *r, int64_t step, uint64_t key, struct text *out,
                            struct error *err) MUST_USE;

#endif

/* serve/watch_index: which steps have rollouts and evaluations, and the history of their problems, read a little at a
 * time. */
#ifndef ASSAY_SERVE_WATCH_INDEX_H
#define ASSAY_SERVE_WATCH_INDEX_H

#include "serve/watch_line.h"
#include "serve/watch_run.h"

/* Goes on until `until` (clock_seconds); *more: not at the end yet. A file that cannot be read is noted and passed
 * over.
 */
int watch_index_poll(struct watch_run *r, double until, bool *more, struct error *err) MUST_USE;

/* The step of these that is nearest to this one; the same where there is none. */
int64_t watch_steps_nearest(const struct watch_steps *s, int64_t step);

/* The question of a rollout's prompt: its last message, or all of it where no special tokens part it, at most
   PROBLEM_TEXT bytes of its end with "..." in front where it is cut; "" without a tokenizer. */
void watch_prompt_text(const struct watch_run *r, const struct watch_line *l, struct text *out);

#endif

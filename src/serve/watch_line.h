/* serve/watch_line: one line of rollouts/STEP.jsonl.zst. Most of its bytes are lists of numbers, one a token; to list
 * and to count they are stepped over, and parsed only for the group that is looked at. */
#ifndef ASSAY_SERVE_WATCH_LINE_H
#define ASSAY_SERVE_WATCH_LINE_H

#include "core/json.h"

struct watch_line {
  const json_t *object; /* the line; of a skimmed one without ids, logp, logp_behaviour, entropy, advantage */
  const char *problem;  /* its id */
  uint64_t key;         /* watch_key(problem) */
  int64_t group, attempt, rollout, from;
  int64_t tokens; /* of the answer */
  double reward;
  int verdict; /* 1 right, 0 wrong, -1 the verifier failed */
  bool counts; /* stands in the step's statistics: no probe, kept */
  const char *text, *finish;
  size_t text_size;
  const char *ids; /* "1,2,3" up to the closing bracket, in the line; NULL in lines of another form */
  size_t ids_size;
};

/* FNV-1a of a problem's id: what pages and addresses name it by. */
uint64_t watch_key(const char *id);

/* Everything lives in the arena, and points into the line. ERROR_INPUT: no rollout of this program. */
int watch_line_skim(struct arena *a, const char *line, size_t n, struct watch_line *out, struct error *err) MUST_USE;
/* With all lists. */
int watch_line_read(struct arena *a, const char *line, size_t n, struct watch_line *out, struct error *err) MUST_USE;
/* Up to `most` ids of those before `from`, the last of them; returns how many. */
size_t watch_line_prompt(const struct watch_line *l, int32_t *ids, size_t most);

#endif

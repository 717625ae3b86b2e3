/* data/task: procedural tasks: problems without end, made from a seed, with a checker that knows every correct answer.
 *
 * One file a task, src/data/task/<name>.c, defining `const struct task task_<name>`; the table is generated from the
 * file names. A task is a table row: its options (difficulty keys), how it opens (checks the options, fixes which
 * problems exist), how problem i is made, how a response is judged.
 *
 * Train and held-out problems never meet: which side a problem is on is a hash of the problem itself under the task's
 * own constant, never of the run's seed.
 *
 *     const struct task task_parity = {.name = "parity", .help = "...", .right = "...", .options = options,
 * .option_count = 2, .open = open, .make = make, .check = check};
 */
#ifndef ASSAY_DATA_TASK_H
#define ASSAY_DATA_TASK_H

#include "core/json.h"
#include "core/settings.h"

/* A task with its options chosen. Made by task_open; read-only afterwards, so that threads may share it. */
struct task_config {
  const struct task *task;
  struct setting_value *values; /* [task->option_count] */
  bool held_out;
  uint64_t seed;
  void *state;    /* the task's own, set by its open */
  uint64_t count; /* how many different problems this side has, 0: endless. Set by open */
};

struct task_problem {
  const char *question; /* for a chat */
  const char *prompt;   /* plain text without a chat template, or NULL: the question is a chat message */
  const char *answer;
  const char *meta; /* a JSON object with what check needs */
};

struct task_verdict {
  double reward; /* 0..1 */
  bool correct, readable;
  const char *extracted; /* what was read as the answer, or NULL */
  const char *reason;    /* one sentence */
};

struct task {
  const char *name;  /* "addition" */
  const char *help;  /* one line */
  const char *right; /* what a right answer looks like, one or two sentences */
  const struct setting *options;
  size_t option_count;
  int (*open)(struct arena *a, struct task_config *c, struct error *err);
  /* index < count, or any where count is 0. Equal (config, index) give equal problems. */
  int (*make)(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
              struct error *err);
  /* meta and answer (NULL: none) as make wrote them; meta may also be what other collections of the same task keep. A
   * meta that lacks something is ERROR_INPUT; a response never is. */
  int (*check)(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
               struct task_verdict *out, struct error *err);
};

const struct task *task_find(const char *name,
                             struct error *err); /* NULL and an error that names the nearest and all tasks */
size_t task_count(void);
const struct task *task_at(size_t i);

/* Checks settings against the task's options (an unknown key names the nearest), fills in defaults and opens the task.
 */
int task_open(struct arena *a, const struct task *t, const struct setting_given *settings, size_t count, bool held_out,
              uint64_t seed, struct task_config **out, struct error *err) MUST_USE;
/* The value of an option by name; asking for one that the task does not have is a bug. */
const struct setting_value *task_value(const struct task_config *c, const char *name);

#endif

/* train/train: a run from recipe to last checkpoint.
 *
 *     run_open     recipe, model, data, methods, plan, folder (or, with resume, the last checkpoint)
 *     run_train    steps until train.steps: each is run_step (step.c, the story), then what was due: evaluation,
 * checkpoint
 */
#ifndef ASSAY_TRAIN_TRAIN_H
#define ASSAY_TRAIN_TRAIN_H

#include "core/json.h"

struct run;

/* Where tests reach into a run: NULL elsewhere. */
struct run_hooks {
  void (*before_verdict)(void *arg, size_t slot);     /* on a verifier's thread, before it judges */
  void (*after_rollouts)(void *arg, struct run *run); /* sampled and judged, not yet trained */
  void *arg;
};

/* Who looks on. Called on the run's thread behind each line of metrics; nothing that it does moves a bit. */
struct metrics;
struct run_watch {
  int (*reported)(void *arg, const struct metrics *m, struct error *err);
  void *arg;
};

struct run_options {
  const char *recipe;           /* file */
  bool sft;                     /* `assay sft`: examples instead of rollouts */
  const char *const *overrides; /* key=value */
  size_t override_count;
  const char *folder; /* --run, NULL: runs/<recipe>-<n>; with resume: the run */
  bool resume, plan_only;
  bool replay;            /* replay.h: from `checkpoint`, or the start model where that is NULL; writes nothing */
  const char *checkpoint; /* folder */
  int threads;            /* --threads, 0: the recipe's */
  int64_t memory;         /* --memory in bytes, 0: the recipe's */
  int64_t seed;           /* --seed, -1: the recipe's */
  const char *compute;    /* --compute, NULL: the recipe's */
  const char *weights;    /* --weights, NULL: the recipe's */
  bool (*stop)(void);
  const struct run_watch *watch; /* NULL: nobody */
  const struct run_hooks *hooks; /* tests; NULL */
};

/* Opens everything; with plan_only stops after the plan (no weights, no folder). The run lives in the arena. */
int run_open(struct arena *a, const struct run_options *o, struct run **out, struct error *err) MUST_USE;
/* To train.steps. ERROR_STOPPED after an orderly stop (a checkpoint is written), ERROR_LAW on a mismatch. */
int run_train(struct run *r, struct error *err) MUST_USE;
/* The model, the data and the memory plan as text; in brief: three lines. */
void run_describe(const struct run *r, struct text *out);
void run_describe_briefly(const struct run *r, struct text *out);
/* What the run came to (summary.h says what is in it), for a person and as one JSON object. program: how the commands
   to try next begin. */
int run_summary(struct run *r, const char *program, int columns, bool utf8, struct text *out,
                struct error *err) MUST_USE;
int run_summary_json(struct run *r, struct text *out, struct error *err) MUST_USE;
/* Seconds of one step if every answer is rollout.max_new_tokens long (cost.h): measures the machine for some tenths of
 * a second; prompts are as long as the first problems' are. Draws from the data and puts it back. */
struct cost;
int run_step_cost(struct run *r, struct cost *out, struct error *err) MUST_USE;
/* The resolved recipe, every key with its origin. */
int run_recipe(const struct run *r, struct text *out, struct error *err) MUST_USE;
/* Members of a JSON object, without the braces: model, problems, steps, memory, knobs. */
void run_plan_json(const struct run *r, struct text *out);

struct ledger;
const struct ledger *run_ledger(const struct run *r);
int64_t run_steps(const struct run *r); /* train.steps */

/* What needs cost under a recipe: extra forwards a step, their price (price.h) at these lengths, and the memory table
 * from the model's configuration alone (a run that does not fit is told, not refused). */
struct recipe;
struct needs;
struct price_lengths {
  double prompt, answer; /* mean tokens; 0: as many as the recipe allows */
};
int run_price(struct arena *a, const struct recipe *r, const struct needs *n, const struct price_lengths *l,
              struct text *out, struct error *err) MUST_USE;
/* The same as members of a JSON object, without the braces:
 *     "forwards": {"passes": [{"policy", "second", "needs": [word]}], "later_minibatches": n, "probes": answers a
 *     problem that are not trained, "trained_again": of a step's rollouts, how many are trained once more,
 *     "price": {"prompt_tokens", "answer_tokens", "passes", "rows", "trained", "updates", "probes", "own", "total"} in
 *     forwards of the policy, or null without a model}
 *     "memory": {"peak_bytes", "limit_bytes", "parts": [{"what", "bytes", "needs": [word]}]}, or {"refused": why}, or
 * null without a model. A part of the training itself has no needs. */
int run_price_json(struct arena *a, const struct recipe *r, const struct needs *n, const struct price_lengths *l,
                   struct text *out, struct error *err) MUST_USE;

/* The hashes of the last checkpoint, 64 hexadecimal digits each. */
const char *run_weights_hash(const struct run *r);
const char *run_state_hash(const struct run *r);

#endif

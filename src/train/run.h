/* train/run: what a run is made of, for the files of this folder. Others open one through train/train.h.
 *
 * All state that a resume needs is in checkpoints: weights, moments, counters, data position, history, methods. Random
 * numbers have no state.
 */
#ifndef ASSAY_TRAIN_RUN_H
#define ASSAY_TRAIN_RUN_H

#include "data/history.h"
#include "data/stream.h"
#include "method/compose.h"
#include "reward/verify_queue.h"
#include "rollout/generate.h"
#include "rollout/session.h"
#include "train/checkpoint.h"
#include "train/ledger.h"
#include "train/plan.h"
#include "train/recipe.h"
#include "train/run_folder.h"
#include "train/train.h"
#include "train/update.h"

/* Problems set aside for evaluation, with their prompts. */
struct eval_set {
  const char *name; /* of the source: metric eval/<name>/accuracy */
  struct problem *problems;
  int32_t **ids; /* prompts; NULL: sft */
  int32_t *id_counts;
  int32_t count;
};

struct eval_result {
  double accuracy, low, high; /* fraction of right answers; 95 % interval over problems */
  double pass;                /* at least one of the samples right */
};

enum { RUN_APPEALS = 16 }; /* verifiers that methods may ask for beside the problems' own */

struct run {
  struct arena *arena;      /* the run */
  struct arena *step_arena; /* reset after each step */
  const struct recipe *recipe;
  struct session session;     /* device, model, tokenizer, template */
  const char *now;            /* what templates take for the time: the run's first start */
  json_t *template_variables; /* for the chat template, or NULL */
  struct model *reference;    /* a second model, NULL where no method needs it */
  struct composed *methods;
  struct plan plan;
  struct run_folder *folder;
  struct workroom *room;       /* in which generator, trainer and scorers take turns */
  struct generator *generator; /* NULL for sft */
  struct trainer *trainer;
  struct policies policies;     /* who is trained, and who only scores */
  struct model *ema;            /* NULL: no method keeps a moving average */
  const char *start_adapter;    /* folder of the adapter that the run began with; NULL: none, or a new one */
  bool second_warned;           /* that a second context did not fit */
  bool reference_moved;         /* a method set the reference anew: checkpoints have it */
  const char *resumed_from;     /* checkpoint, or NULL */
  struct checkpoint_blob value; /* the value head's state there */
  struct verify_queue *verify;
  struct journal *journal; /* verdicts of outside kinds, written down before use; NULL: sft */
  struct verifier_set *verifiers;
  struct verifier_config *appeals[RUN_APPEALS]; /* [appeal_count] */
  int appeal_count;
  struct method_host host;    /* what methods get done (answer.c) */
  struct source_list sources; /* of data */
  struct stream *stream;
  struct kept_reference *kept; /* preference.h; NULL: none */
  struct history *history;
  struct eval_set *eval_sets;
  size_t eval_set_count;
  char identity[65];
  int64_t step;       /* steps finished */
  int64_t last_saved; /* step of the last checkpoint, -1: none */
  double best;        /* accuracy of the best evaluation so far, NaN: none */
  int64_t best_step;
  struct metrics metrics;                /* of the step that is running */
  struct metrics awaiting;               /* of a step that has trained and not been evaluated; empty: none */
  struct metrics reported;               /* of the last step that ended: what its checkpoint's card says */
  struct ledger *ledger;                 /* of all steps */
  const char *events;                    /* file for TensorBoard */
  double said;                           /* when a person last saw a line of a step */
  double save_seconds;                   /* for which the run stood still, for the next step's metrics */
  struct saving *saving;                 /* the checkpoint that is being written; NULL: none yet */
  bool (*stop)(void);                    /* a signal asked for an orderly end; may be NULL */
  struct run_hooks hooks;                /* tests; zero elsewhere */
  struct run_watch watch;                /* who looks on; zero: nobody */
  char weights_hash[65], state_hash[65]; /* of the last checkpoint */
};

/* ---- parts of a run (train/step.c and its helpers) -------------------------------------------------------------- */

int run_step(struct run *r, struct error *err) MUST_USE;
/* A step up to the point where the weights would move: problems, rollouts, verdicts, rewards, advantages. It lives
   until the next step. */
int run_sample(struct run *r, struct step **out, struct error *err) MUST_USE;
double run_learning_rate(const struct recipe *r, int64_t step);

/* score_run.c: what needs put into a gathered step. */
int run_score(struct run *r, struct step *s, struct error *err) MUST_USE;
/* A reward model's head between where it learns (f64) and its weights: score.weight. */
int run_put_score(const struct run *r, struct error *err) MUST_USE;
/* After a step's updates: the moving average follows; what observing methods want set anew. */
int run_move_policies(struct run *r, const struct observation *seen, bool updated, struct error *err) MUST_USE;
/* Configurations of a reference of its own (NULL: the model's) and of needs.policies. */
int run_policy_configs(struct arena *a, const struct recipe *recipe, const struct needs *n,
                       const struct model_config **reference, const struct model_config **policies,
                       struct error *err) MUST_USE;
/* The reference's weights in arena a: the recipe's reference, or the model that the run started from. Fixed. */
int run_load_reference(const struct run *r, struct arena *a, struct model **out, struct error *err) MUST_USE;
/* The adapter of a run: MODEL's own, that of lora.adapter, or a new one as the recipe says; rank 0: whole weights
   train. */
int run_adapter(struct arena *a, const struct recipe *recipe, struct model_source *source, struct model_config *config,
                struct error *err) MUST_USE;
/* All policies but the trained one, the value head and the readers of rows; r->trainer exists. */
int run_open_policies(struct run *r, struct error *err) MUST_USE;

/* collect.c, verdicts.c: problems, prompts, rollouts, verdicts (wave.h has the parts). */
int collect_problems(struct run *r, struct step *s, bool *ended, struct error *err) MUST_USE;
/* One wave: guide, generate, judge, reward. Then what the methods make of it: *more says that another wave is due. */
int collect_wave(struct run *r, struct step *s, struct error *err) MUST_USE;
int collect_revise(struct run *r, struct step *s, bool *more, struct error *err) MUST_USE;
/* After the last wave: what happened to each problem, dropped attempts too. */
int collect_history(struct run *r, const struct step *s, struct error *err) MUST_USE;
/* After step_gather: rollouts that are trained in another context than they were made in get their records there. */
int collect_score_twins(struct run *r, struct step *s, struct error *err) MUST_USE;
/* RUN/journal, for writing where the run has its folder open. Before the first verdict of a step or an evaluation:
 * begin_verdicts. */
/* Between the methods' channels and their shaping: the recipe's reward.combine as the channel "combined", where it is
 * no plain sum. */
int collect_combine(struct run *r, struct step *s, struct error *err) MUST_USE;
/* answer.c: the host of the run's methods (compose.h). */
void answer_open(struct run *r);
int collect_open_journal(struct run *r, struct error *err) MUST_USE;
int collect_begin_verdicts(struct run *r, int64_t step, bool evaluation, struct error *err) MUST_USE;
/* The response as text: special tokens left out, cut before a stop string. In arena a. */
int collect_text(const struct run *r, struct arena *a, const struct tree *t, int32_t leaf, char **text, size_t *n,
                 struct error *err) MUST_USE;

/* run_save.c: a checkpoint of the step that is finished, written while the next one samples and differentiates.
 * Starting waits for the one before. Before anything that is saved moves: run_save_finish, which says how the writing
 * went. */
int run_save_start(struct run *r, struct error *err) MUST_USE;
int run_save_finish(struct run *r, struct error *err) MUST_USE;

/* report.c: metrics and rollouts of a finished step. */
int report_step(struct run *r, const struct step *s, const struct update_result *u, struct error *err) MUST_USE;
void report_methods(struct run *r); /* what methods measured since the last time */
int report_rollouts(struct run *r, const struct step *s, struct error *err) MUST_USE;
/* One rollout's line of it. */
int report_rollout(struct run *r, struct text *t, const struct step *s, int32_t rollout, struct error *err) MUST_USE;
/* The line in metrics.jsonl, the event file and the ledger; one for a person. */
int report_write(struct run *r, struct error *err) MUST_USE;
int report_curve(struct run *r, struct error *err) MUST_USE; /* curve.svg as it is by now */

/* evaluate.c */
int evaluate_open(struct run *r, struct error *err) MUST_USE;
int evaluate_run(struct run *r, struct error *err) MUST_USE; /* all sets; metrics eval/<name>/... */

/* sft.c: a step of supervised training on examples or pairs (given.h). */
int sft_collect(struct run *r, struct step *s, struct error *err) MUST_USE;
/* After its gathering: the reference's log-probabilities, where they are kept. */
int sft_reference(const struct run *r, struct step *s, struct error *err) MUST_USE;

/* data.c: the recipe's data as streams. */
int run_open_stream(struct run *r, struct error *err) MUST_USE;
/* The fields that methods declared. */
int run_check_fields(const struct run *r, const struct problem *p, struct error *err) MUST_USE;
/* Tokens of the longest example: train.max_tokens, or what the model allows. */
int64_t run_example_room(const struct run *r);
/* Positions that the model has in front of an answer of the longest kind. */
int64_t run_prompt_room(const struct run *r);
int run_open_sources(struct run *r, const struct recipe_data *data, size_t count, struct source_list *out,
                     struct error *err) MUST_USE;

#endif

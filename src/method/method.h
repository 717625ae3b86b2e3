/* method/method: what a published method is. This is the page to read before writing one.
 *
 * A method is one file, src/method/<name>.c, that defines `const struct method method_<name>`; the registry is made
 * from the file names. grpo.c is the example. The way of a step, and who may do what at each stage:
 *
 *     problem -> select -> guide -> rollout (sample) -> reward -> revise -> shape -> advantage -> weight
 *             -> updates: weight_current, objective, regularise, extra -> observe
 *
 * guide, rollout, reward and revise are a loop: each round of it is a wave, and it ends when revise asks for nothing
 * more or the recipe's budget is spent (rollout.max_attempts waves, rollout.max_tokens).
 *
 * A hook is NULL where the method leaves a stage alone. It gets its own state and options (`self`), the step as const,
 * and one writable result; it never calls a model or the outside: it declares what it needs (`declare`), or asks by
 * returning requests and is called again with the answers. A scope is token, path, group or mini-batch, never
 * micro-batch: no memory knob may reach a formula.
 *
 *     #define OPTIONS(X) X(REAL, beta, 1.0, 0, 1e3, NULL, "weight of the regulariser; 0 turns the method off")
 *     #define STATE(X)   X(double, mean, [8], "running means, one a domain")
 *     struct self { OPTIONS(OPTION_FIELD) STATE(STATE_FIELD) };
 *     static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
 *     static const struct state_field state[] = {STATE(STATE_ROW)};
 *     const struct method method_lp_reg = {.name = "lp_reg", .number = 28, .base = "grpo", .neutral = "beta=0",
 *                                          METHOD_OPTIONS(options), ...};
 *
 * Statistics are f64 of R - R_1 (part_group.h): equal rewards give exactly 0. Loops walk step->order, so a permuted
 * storage gives the same bits. Randomness comes from method_rng alone: adding a method does not shift another's draws.
 */
#ifndef ASSAY_METHOD_METHOD_H
#define ASSAY_METHOD_METHOD_H

#include "method/scores.h"
#include "method/step.h"

/* ---- stages ---------------------------------------------------------------------------------------------------------
 * X(stage, rule, what): rule says what several methods mean.
 *
 * - CHAIN    in the recipe's order, each sees the result of the one before
 * - ADD      appended
 * - OWNER    exactly one; a method whose base is the present owner replaces it; two unrelated owners or none are errors
 * - PRODUCT  multiplied in table order
 * - SUM      added in table order
 * - ALL      all run, in table order; the first failure stops the run */
#define METHOD_STAGES(X)                                                                    \
  X(prepare, CHAIN, "build or filter problems before the run")                              \
  X(select, CHAIN, "choose problems and rollouts per problem")                              \
  X(guide, CHAIN, "set the contexts that generate and that train")                          \
  X(sample, CHAIN, "temperature, filters and forced tokens while sampling")                 \
  X(reward, ADD, "add named channels, rewrite them, ask for probes and further verdicts")   \
  X(revise, CHAIN, "drop, replace or append rollouts after their rewards; draw problems")   \
  X(shape, OWNER, "channels to one scalar a rollout, or rewards per token")                 \
  X(advantage, OWNER, "credit per rollout or token")                                        \
  X(weight, PRODUCT, "factors >= 0 per token, once a step, and the denominator they mean")  \
  X(updates, CHAIN, "which optimiser steps are made, on which rollouts")                    \
  X(weight_current, PRODUCT, "factors >= 0 per token of a mini-batch, from current values") \
  X(objective, OWNER, "the policy loss and its derivative by each log-probability")         \
  X(regularise, SUM, "further terms per token: KL to a reference, entropy")                 \
  X(extra, SUM, "auxiliary sequences with their own loss")                                  \
  X(evaluate, ALL, "metrics from the records of an evaluation")                             \
  X(observe, ALL, "look at the finished step: state for the next one, metrics, resets")

enum method_stage {
#define METHOD_STAGE_ENUM(name, rule, what) STAGE_##name,
  METHOD_STAGES(METHOD_STAGE_ENUM)
#undef METHOD_STAGE_ENUM
      STAGE_COUNT
};
enum method_rule { RULE_CHAIN, RULE_ADD, RULE_OWNER, RULE_PRODUCT, RULE_SUM, RULE_ALL };

/* ---- needs ----------------------------------------------------------------------------------------------------------
 * The only way to obtain costly things: the planner and the number of forwards follow from the union. X(NAME, bit, run,
 * word, what). Not a need: the current log-probabilities and the sampler's records, which are always there. */
#define METHOD_NEEDS(X)                                                                                              \
  X(ENTROPY, 0, 1, "entropy", "entropy of the current policy per trained token (records have the sampler's anyway)") \
  X(REFERENCE_LOGP, 1, 1, "reference_logp", "log-probabilities of own tokens under the reference")                   \
  X(ALWAYS, 2, 1, "always", "groups without advantage are trained too (regularisers, entropy)")                      \
  X(HIDDEN, 3, 1, "hidden", "hidden states of named layers per token")                                               \
  X(CURRENT_HIDDEN, 4, 1, "current_hidden", "hidden states under the weights of the mini-batch")                     \
  X(ROW_TERM, 5, 1, "row_term", "loss terms on whole distributions (entropy, KL, divergences from row_sources)")     \
  X(SECOND_CONTEXT, 6, 1, "second_context", "the same tokens scored, and trained if wanted, in another context")     \
  X(EMA, 7, 1, "ema", "a moving average of the weights")                                                             \
  X(POLICY, 8, 1, "policy", "a further named policy, frozen")                                                        \
  X(REPLAY, 9, 1, "replay", "scored rollouts of earlier steps")                                                      \
  X(GENERATE, 10, 1, "generate", "generation beside the rollouts (probes, second passes)")                           \
  X(JUDGE, 11, 1, "judge", "a second verdict")                                                                       \
  X(EMBED, 12, 0, "embed", "text embeddings")                                                                        \
  X(ENVIRONMENT, 13, 0, "environment", "tools, simulated users, games")                                              \
  X(IMAGES, 14, 0, "images", "pictures in prompts")                                                                  \
  X(PROMPT_LOGP, 15, 1, "prompt_logp", "log-probabilities of the prompt's tokens")                                   \
  X(SPANS, 16, 1, "spans", "text spans such as think and answer")                                                    \
  X(LAST_STATE, 17, 1, "last_state", "the state at the last token: one row more")                                    \
  X(TOKEN_STAT, 18, 1, "token_stat", "a named function of the policy's full logits row")                             \
  X(VALUE, 19, 1, "value", "a value head on the last hidden state with its own optimiser")                           \
  X(GROUP_P, 20, 1, "group_p", "probabilities of all tokens that the group's rollouts contain")                      \
  X(FIELDS, 21, 1, "fields", "fields of the problem, checked when data is read")                                     \
  X(HISTORY, 22, 1, "history", "what happened to a problem in earlier steps")                                        \
  X(OTHER_UPDATE, 23, 1, "other_update", "updates of another batch, context or policy")                              \
  X(RESET, 24, 1, "reset", "sets the reference or the optimiser's state anew")                                       \
  X(SLOT, 25, 1, "slot", "one given token scored, and trained if wanted, behind a rollout's last")                   \
  X(SAMPLE_ENTROPY, 26, 1, "sample_entropy", "each row's entropy before its token is drawn: a second pass over logits")

enum {
#define METHOD_NEED_ENUM(NAME, bit, run, word, what) NEED_##NAME = 1 << (bit),
  METHOD_NEEDS(METHOD_NEED_ENUM)
#undef METHOD_NEED_ENUM
};

enum { NEEDS_NAMED = 8 };
/* Another distribution beside the policy's, for terms on whole rows: "reference", "ema", a named policy, or "policy"
 * itself as it is at the mini-batch, frozen; second: in the second context. */
struct row_source {
  const char *policy;
  bool second;
};
/* A step as the planner sees it: what a method's own arithmetic depends on. */
struct work_shape {
  double groups, group, answer; /* prompts, answers to each, tokens of an answer */
  double width, updates;        /* numbers of a state; updates of the weights on the step's rollouts */
};
/* What a method needs under its options; lists give the details of a flag. Of two methods that name an ema rate, value
 * head, second context or slot, each must name the same, or compose says so. */
struct needs {
  uint32_t flags;
  int32_t hidden_layers[NEEDS_NAMED]; /* NEED_HIDDEN, NEED_CURRENT_HIDDEN: layers as in scores.h */
  int32_t hidden_count;
  int32_t prompt_states;                      /* NEED_HIDDEN: states of so many last tokens of each context, too */
  struct token_stat token_stats[NEEDS_NAMED]; /* NEED_TOKEN_STAT */
  int32_t token_stat_count;
  struct row_source row_sources[NEEDS_NAMED]; /* NEED_ROW_TERM: beside the policy's; may be none */
  int32_t row_source_count;
  double row_functions; /* NEED_ROW_TERM: exponentials and logarithms that the terms take of a logit, for the planner */
  struct policy_need {
    const char *name, *path; /* NEED_POLICY: name and model */
  } policies[NEEDS_NAMED];
  int32_t policy_count;
  const char *second_policies[NEEDS_NAMED + 1]; /* NEED_SECOND_CONTEXT: who scores there, "policy" first among equals */
  int32_t second_each,
      second_prompt;   /* contexts of a group, 0: one an answer; tokens of each, 0: as prompts may have */
  bool second_trained; /* what stands there gets gradients */
  double ema_rate;     /* NEED_EMA: ema = ema + rate (w - ema) after each step, in (0, 1] */
  struct value_need {
    double lr, beta1, beta2, eps, weight_decay, clip_norm; /* AdamW of the head; clip_norm 0: off */
    bool backprop;                                         /* its gradient reaches the policy's weights */
    bool unbiased;                                         /* w . h alone: the bias stays 0 */
  } value;                                                 /* NEED_VALUE */
  int32_t slot_token;                                      /* NEED_SLOT: its id; it gets a gradient */
  bool slot_trained;
  const char *fields[NEEDS_NAMED + 1]; /* NEED_FIELDS: "solution:string"; types: string number array object any */
  int32_t probes;                      /* NEED_GENERATE: most probes per group, for the planner */
  int64_t replay_tokens;               /* NEED_REPLAY: most tokens that the buffer holds, for the planner; and beside */
  int64_t replay_rollouts;             /*   them: rollouts, as long as the recipe allows, */
  double replay_steps;                 /*   and all rollouts of so many steps */
  struct update_need {
    double left_out; /* of a step's rollouts, what the main update leaves to later ones */
    double again;    /* as many, of earlier steps, are trained beside it: the mean over steps */
    double entries;  /* at once; 0: as many as a step has */
    bool first;      /* before the main update */
    /* Of a step's rollouts, by how much less than left_out is left, since parts are rounded up; NULL: by nothing. */
    double (*rounding)(const void *options, const struct work_shape *s);
    const void *options;
  } more_updates; /* for the planner */
  struct own_work {
    double (*madds)(const void *options, const struct work_shape *s);
    const void *options;
  } own[NEEDS_NAMED]; /* arithmetic of methods that weighs: multiply-adds in f64 of a step, for the planner */
  int32_t own_count;
};

/* Adds the needs of method `who` to a union. Two that contradict each other are ERROR_INPUT. */
int needs_add(struct needs *to, const struct needs *n, const char *who, struct error *err) MUST_USE;

/* ---- options, state, metrics: one list each makes both the struct and its table -----------------------------------
 * X(TYPE, name, default, low, high, text, help): TYPE one of REAL INT BOOL ENUM STRING. Both bounds are allowed values
 * (OPTION_INF for none). text: for ENUM the words, "k1|k2|k3", of which the default is the ordinal; for STRING the
 * default; else NULL. */
enum method_option_type {
  METHOD_OPTION_REAL,
  METHOD_OPTION_INT,
  METHOD_OPTION_BOOL,
  METHOD_OPTION_ENUM,
  METHOD_OPTION_STRING
};
#define OPTION_INF                                                __builtin_inf()
#define OPTION_C_REAL                                             double
#define OPTION_C_INT                                              int64_t
#define OPTION_C_BOOL                                             bool
#define OPTION_C_ENUM                                             int32_t
#define OPTION_C_STRING                                           const char *
#define OPTION_FIELD(type, name, fallback, low, high, text, help) OPTION_C_##type name;
#define OPTION_ROW(type, name, fallback, low, high, text, help)                                                       \
  {#name, METHOD_OPTION_##type, offsetof(struct self, name), (double)(fallback), (double)(low), (double)(high), text, \
   help},

struct method_option {
  const char *name;
  enum method_option_type type;
  size_t at; /* offset in self */
  double fallback, low, high;
  const char *text;
  const char *help; /* one line */
};

/* X(type, name, array, help): array is [N] or empty. Saved in checkpoints and restored by name; a field that changed
 * its size is an error on resume. */
#define STATE_FIELD(type, name, array, help) type name array;

#define STATE_ROW(type, name, array, help) {#name, offsetof(struct self, name), sizeof(((struct self *)0)->name), help},
struct state_field {
  const char *name;
  size_t at, size;
  const char *help;
};

/* Written as <method>/<name>; writing an undeclared one is a bug. */
struct metric {
  const char *name, *unit, *help;
};

/* ---- a call --------------------------------------------------------------------------------------------------- */

struct method;
struct report;        /* the step's metrics, see method_report */
struct method_host;   /* what the core does for those that ask: compose.h */
struct replay_buffer; /* method/method_replay.h */

/* What a hook gets beside the step. */
struct method_call {
  const struct method *method;
  void *self;               /* options, then state: the method's struct self */
  struct method_call *base; /* the base method with its own options, so that its hook can be called; NULL: none */
  struct arena *scratch;    /* of this call: released when the hook returns */
  struct arena *run;        /* of the run: for state of a size that is not fixed (save, load) */
  struct report *report;
  const struct method_host *host;
  struct replay_buffer *replay; /* the method's own, saved in checkpoints; NULL without NEED_REPLAY */
  uint64_t seed;
};

/* A metric that the method declares. Written twice in a step: the last value stays. */
void method_report(struct method_call *c, const char *metric, double value);
/* The method's own stream (law 2): purpose is made from the method's name. */
struct rng_at method_rng(const struct method_call *c, int64_t step, int32_t group, int32_t attempt, int32_t rollout,
                         int32_t position);

/* ---- contexts and asking --------------------------------------------------------------------------------------------
 * What a policy reads: one of text through the model's template, plain text, or token ids. */
struct context_source {
  const json_t *messages; /* [{role, content}], through the chat template */
  const char *prompt;     /* plain text */
  const int32_t *ids;     /* tokens as they are */
  int32_t id_count;       /* with ids alone; at least 1 */
  int32_t behind;         /* with ids: the segment that they follow, or -1: nothing, as in PreRL's P(y) */
};
/* A new context of a group, for guide, revise and requests: s is the `step` of the hook's result. Longer than
 * rollout.max_prompt_tokens is ERROR_INPUT. kind is kept, not copied. */
int method_add_context(struct method_call *c, struct step *s, int32_t group, const char *kind,
                       const struct context_source *from, int32_t *out, struct error *err) MUST_USE;

/* A hook that needs a model or a verifier returns requests and is called again with the answers, in rounds, until it
 * asks nothing (at most ASKING_ROUNDS). The core batches and prices them, and checks what they sampled (law 1). Needs:
 * NEED_GENERATE for generate, NEED_JUDGE for judge; score and hidden are always there.
 *
 *     struct request *q;
 *     if (out->asking.round == 0) {
 *       TRY(ask(&out->asking, REQUEST_GENERATE, "greedy", &q, err));     once for each group
 *       q->group = g; q->count = 1; q->sampling.temperature = 0;
 *       return 0;
 *     }
 *     const struct rollout *probe = &s->rollouts[out->asking.answers[i].rollouts[0]];
 *
 * Probes are rollouts of the step with `probe` set and kept = false: they have a verdict and channels, and stand
 * outside `order`, statistics, denominators, history and the updates. */
enum request_kind {
  REQUEST_GENERATE, /* probes of a group, judged by the problem's own verifier */
  REQUEST_SCORE,    /* log-probabilities of given tokens behind a path */
  REQUEST_HIDDEN,   /* the same, and the state at the last of them: a vector for any text */
  REQUEST_JUDGE,    /* a second verdict on a rollout */
  /* Refused with a sentence until something gives them: a model of embeddings, tools and games. */
  REQUEST_EMBED,
  REQUEST_ENVIRONMENT
};
struct request {
  enum request_kind kind;
  const char *purpose;      /* for random addresses, metrics and records; kept, not copied */
  int32_t group;            /* generate */
  int32_t context;          /* generate: what is read; -1: the group's plain context */
  int32_t count;            /* generate: 1 */
  int32_t max_new_tokens;   /* generate: rollout.max_new_tokens, and not more */
  struct sampling sampling; /* generate: the recipe's */
  int32_t segment;          /* score, hidden: the path that the tokens follow, such as a rollout's leaf */
  const int32_t *ids;       /* score, hidden: [id_count] */
  int32_t id_count;
  const char *policy;            /* score, hidden: "policy" (the weights at the step's start) or "reference" */
  int32_t layer;                 /* hidden: as in scores.h; at first LAYER_LAST */
  int32_t rollout;               /* judge */
  const char *verifier;          /* judge: kind, with default settings; NULL: the problem's own, with its settings */
  const struct problem *problem; /* judge: whose answer it is compared with; NULL: the rollout's problem */
  const char *text;              /* judge: [text_size] a part of a response; NULL: the rollout's whole */
  size_t text_size;
};
struct answer {
  const int32_t *rollouts;       /* generate: indices in step->rollouts, [count] */
  int32_t segment;               /* score, hidden: the SEGMENT_FORCED segment that holds the tokens, for `extra` */
  const float *logp;             /* score, hidden: [id_count], at train.temperature */
  const float *state;            /* hidden: [width] at the last of the ids */
  int32_t width;                 /* hidden: the model's */
  const struct verdict *verdict; /* judge; status VERDICT_FAILED where the verifier failed */
};
enum { ASKING_ROUNDS = 8 };
struct asking {
  struct step *step; /* for method_add_context */
  struct request *requests;
  int32_t request_count, request_room;
  const struct answer *answers; /* to the requests of the round before, in their order; NULL in round 0 */
  int32_t answer_count;
  int32_t round;
  const struct request *defaults;
  struct arena *arena; /* of the step: what must live until the next round */
};
/* A request more, with the defaults named above. */
int ask(struct asking *a, enum request_kind kind, const char *purpose, struct request **out,
        struct error *err) MUST_USE;

/* ---- results, one for each stage ------------------------------------------------------------------------------ */

/* prepare: an item of data in, items out; `assay prepare` writes them to a file, one line each. */
struct preparation {
  const struct problem *problem;
  json_t *items;   /* array of problem objects that take its place; at first the problem itself; empty: left out. The
                      problem's own object stays as it is: change a copy */
  const char *why; /* a word or two why it was left out, for the summary; a literal; NULL: none */
};

/* select: the picks of this step. The core proposes the next problems of the shuffled data, `rollout.group` rollouts
 * each. */
struct problem_history {
  int64_t tried, solved; /* rollouts in earlier steps, dropped groups too */
  int64_t steps;         /* steps in which it was picked */
  int64_t last_step;     /* -1: never */
};
struct pick {
  const struct problem *problem;
  int32_t rollouts; /* >= 1 */
};
struct selection {
  int64_t number, total; /* step number; steps of the run */
  struct pick *picks;    /* [count], room for `room` */
  int32_t count, room;
  bool end_run; /* true: the run is over; nothing is picked */
  void *arg;
  int (*draw)(void *arg, const struct problem **out, struct error *err); /* the next problem of the data */
  struct problem_history (*history)(void *arg, const struct problem *p);
};

/* guide: before each wave, for the rollouts that are about to be made: the context that generates and the one that
 * trains; both are the group's plain one at first. Where they differ, the core scores the response in the training
 * context before `shape`, and the records that the stages see are those. */
struct guidance {
  struct step *step; /* for method_add_context */
  struct method_call *call;
  const int32_t *rollouts; /* [rollout_count] indices in step->rollouts, ascending by group, attempt and ordinal */
  int32_t rollout_count;
  const struct method **by; /* [rollout_count] who set it */
  struct asking asking;
};
/* Two methods that set one rollout's contexts are ERROR_INPUT. training -1: the same. */
int guide_set(struct guidance *g, int32_t rollout, int32_t generating, int32_t training, struct error *err) MUST_USE;

/* sample: one row before its token is drawn; it may change params: temperature, top_p, min_p, top_k, and forced (a
 * token that is put there; it carries no loss). The record's logp stays that of train.temperature, logp_behaviour is
 * what was sampled from. Only a function of what is here and of own state may decide: no slot or order shows. Not
 * called for probes and evaluations. */
struct sample_row {
  int32_t rollout;   /* index in step->rollouts */
  int32_t generated; /* tokens of the response that are there: 0 for the first */
  int32_t position;  /* absolute */
  float entropy;     /* of the row's distribution at train.temperature, nats; with NEED_SAMPLE_ENTROPY, else NaN */
  struct sample_params *params;
};

/* reward: values of named channels for rollouts. Called after each wave (and for probes' verdicts see asking): rollouts
 * with attempt == step->wave are new. step->order, kept, groups' first and count, and rollouts' length are set. */
struct channels {
  struct step *step; /* through reward_add alone, and for method_add_context */
  struct method_call *call;
  struct asking asking;
};
/* Adds a channel of the method's own and sets it for one rollout. A name that a verifier or another method uses is
 * ERROR_INPUT. */
int reward_add(struct channels *c, const char *channel, bool metric_only, int32_t rollout, double value,
               struct error *err) MUST_USE;
/* Sets a channel that is there already, whoever added it (noise on rewards). Rollouts of earlier waves were rewritten
 * then: they stay as they are. */
int reward_rewrite(struct channels *c, const char *channel, int32_t rollout, double value, struct error *err) MUST_USE;

/* revise: after the rewards of a wave, what happens to the scored groups. Asking for rollouts makes a further wave;
 * what the budget does not hold is left out, in the order of asking (refused counts it, metric rollout/refused), so
 * look at `last` and take what there is. order, kept, groups' first and count are set, without what other methods
 * dropped in this wave. */
struct revision {
  struct step *step; /* for method_add_context; groups and rollouts through the functions below */
  struct method_call *call;
  bool last;             /* the budget allows no further wave */
  int64_t rollouts_left; /* that the budget still allows, if each is as long as it can be */
  bool *drop;            /* [rollout_count] leaves statistics and denominators; metrics and history keep it */
  struct revision_request *again;
  int32_t again_count, again_room;
  int64_t refused;
  struct asking asking;
};
struct revision_request {
  const struct problem *problem; /* a new group of it; NULL: further attempts of `group` */
  int32_t group, context, count;
};
void revise_drop_group(struct revision *r, int32_t group);
/* `count` further attempts of a group, from a context of it (-1: its plain one). */
int revise_again(struct revision *r, int32_t group, int32_t context, int32_t count, struct error *err) MUST_USE;
/* The next problem of the data as a new group; problem NULL: drawn now. */
int revise_draw(struct revision *r, const struct problem *problem, int32_t rollouts, struct error *err) MUST_USE;

/* shape: [rollout_count] scalars; [path_count] rewards per token where uses_dense is set. */
struct shaping {
  double *reward;
  double *dense;
  bool uses_dense;
};

/* advantage: [path_count]; drop [rollout_count]: leaves every denominator. */
struct credit {
  double *advantage;
  bool *drop;
  double *value_target; /* [path_count] what the value head is to learn (returns); NULL without NEED_VALUE */
};

/* Not a stage: what NEED_SECOND_CONTEXT asks, once a step before the scoring passes, when all rewards are there.
 * context[r]: the context (second_add_...) in which rollout r's own tokens are scored, -1: none. */
struct second {
  int32_t *context; /* [rollout_count], -1 at first */
  void *core;
};
/* A context of the group's problem in which the user's last message is `text` (through the chat template), or exactly
 * these tokens (one at least). The same tokens in the same group are one context. A text longer than
 * rollout.max_prompt_tokens gives none: *context is -1. A copy of the rollout that does not fit behind its second
 * context is scored nowhere: NaN. */
int second_add_text(struct second *out, int32_t group, const char *text, int32_t *context, struct error *err) MUST_USE;
int second_add_ids(struct second *out, int32_t group, const int32_t *ids, int32_t count, int32_t *context,
                   struct error *err) MUST_USE;

/* weight: factors of one method. */
enum denominator {
  COUNT_ALL /* every token */,
  COUNT_KEPT /* tokens with factor > 0 */,
  COUNT_FACTOR /* the sum of the factors */
};
struct factors {
  double *factor; /* [path_count], 1 at first */
  enum denominator denominator;
};

/* weight_current: the same for a mini-batch, after current values are known: factor [m->count]. */

/* updates: the optimiser steps of this step, run in list order, those marked `first` before the others. items[0] is
 * "main". */
enum old_source { OLD_RECORD /* the sampler's record */, OLD_SCORED /* a scoring pass at the step's start */ };
struct minibatch;
struct loss;
struct update {
  const char *name; /* "main", or the method's */
  bool on;
  bool first;               /* runs before those that are not */
  const struct step *batch; /* whose rollouts: this step's, or one of replay_take */
  const bool *rollouts;     /* [batch->rollout_count] only these take part, in loss and denominators; NULL: all */
  enum old_source old;
  /* Whose loss: NULL: the owner's objective. Else this function, called with `objective` (options, state): list->call.
   */
  int (*loss)(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err);
  const struct method_call *objective;
  double factor;               /* on the policy loss */
  double lr;                   /* on the learning rate of the step */
  bool regularised;            /* regularise and extra run for it, too */
  int32_t epochs, minibatches; /* of whole groups, contiguous in canonical order */
};
struct update_list {
  struct step *step;
  struct method_call *call;
  struct update *items;
  int32_t count, room;
  struct update plain; /* main as it is at first */
};
/* One more, as main is at first, regularised off for any other batch than the step. */
int updates_add(struct update_list *l, const char *name, struct update **out, struct error *err) MUST_USE;
/* A term on whole distributions: the loss gets sum over tokens of scale[i] * D_i, where D_i = at(...) is a function of
 * the policy's row and of those of needs.row_sources, which are frozen. Logits are computed again in blocks of rows
 * when gradients are, and never kept; so D_i is not known in the hook (the core adds it to the loss). at   pure, called
 * on any thread: returns D, writes dD/dz_v for all v, z the logits divided by the temperature. NaN anywhere is an error
 * that names the method. part_divergence.h has the usual ones. */
struct row_input {
  int32_t vocab, target;      /* target: the path token's id */
  int32_t token;              /* of the mini-batch */
  const double *logp;         /* [vocab] log-softmax of the policy's row at the step's temperature */
  const double *const *other; /* [row_source_count of the method] the same of its sources, in its order; an entry is
                                 NULL where the rollout has no second context */
  double *scratch;            /* [2 * vocab] */
};
struct row_term {
  const double *scale; /* [count] 0: the token is left out; NULL: no term */
  double (*at)(const void *arg, const struct row_input *in, double *gradient);
  const void *arg;
  bool is_kl; /* D is what metric `kl` means */
};

/* objective, regularise: per token of the mini-batch, already divided by the denominators (part_aggregate.h): the loss
   is the sum of `loss`, dL/dlogp is coef. All [count], zero at first. For derivatives the log-probabilities in
   advantages, ratios' denominators and so on are frozen copies. */
struct loss {
  double *loss;
  double *coef;         /* dL/dlogp */
  double *entropy_coef; /* dL/dentropy; only with NEED_ENTROPY, else NULL */
  uint8_t *clipped;     /* 1 where a clip took the gradient away: metric `clip` */
  double *kl;           /* value of the KL estimator, for metric `kl`; uses_kl says that it was written */
  bool uses_kl;
  double *value_coef;  /* [count] dL/dvalue; only with NEED_VALUE, else NULL */
  double *second_coef; /* [count] dL/d second_logp; only with NEED_SECOND_CONTEXT, else NULL */
  double *slot_coef;   /* [rollout_count of the mini-batch] dL/d slot_logp; only with NEED_SLOT, else NULL */
  struct row_term row; /* a term on whole rows; only with NEED_ROW_TERM */
  struct arena *arena; /* of the mini-batch: what row.arg and row.scale point to lives here */
};

/* extra: auxiliary sequences of a mini-batch with a loss and a normaliser of their own, in the same optimiser step.
 * Called twice: first to name the sequences (scored is false), then with their current log-probabilities, to write coef
 * and loss. A sequence is tokens begin .. end - 1 (indices) of a segment that the step's tree holds: forced ones from
 * REQUEST_SCORE, or own ones. */
struct auxiliary_sequence {
  int32_t rollout; /* whose it is, for messages; -1: none */
  int32_t segment, begin, end;
  double *logp; /* [end - begin] current */
  double *coef; /* [end - begin] dL/dlogp, 0 at first */
};
struct auxiliary {
  bool scored;
  struct auxiliary_sequence *sequences; /* [count] */
  int32_t count, room;
  double loss; /* the sum, for metrics */
  struct arena *arena;
};
int extra_add(struct auxiliary *x, int32_t rollout, int32_t segment, int32_t begin, int32_t end,
              struct error *err) MUST_USE;

/* evaluate: the records of a finished evaluation, metrics out by method_report. */
struct evaluation_record {
  const char *set; /* eval.data's name */
  const struct problem *problem;
  int32_t sample;   /* 0 .. eval.samples - 1 */
  const char *text; /* response [n] */
  size_t n;
  int32_t tokens;
  enum finish finish;
  const struct verdict *verdict;
};
struct evaluation {
  int64_t step;
  struct evaluation_record *records; /* [count], sets, problems and samples in order */
  int32_t count;
};

/* observe: state is written in self. What else it may set is a need: with NEED_RESET the reference becomes the policy
 * as it is now, and AdamW begins anew (moments and its step count 0). Both are saved: a resume goes on with them. */
struct observation {
  double loss, kl, entropy, grad_norm;   /* of the step's main update; NaN where nothing was trained */
  double solved;                         /* fraction of kept rollouts with full reward */
  bool reset_reference, reset_optimiser; /* NEED_RESET */
};

/* ---- the method ----------------------------------------------------------------------------------------------- */

struct method {
  const char *name; /* "grpo": the file's name */
  const char *title;
  const char *paper;            /* where it comes from, with equations */
  int number;                   /* row of the list of methods; 0: a baseline */
  const char *base;             /* the method that it refines and may replace, or NULL */
  const char *const *conflicts; /* names that it must not meet, NULL-terminated, or NULL */
  const char *neutral;          /* "beta=0": the setting under which the base's bits come out, or NULL */
  uint32_t needs;               /* NEED_*: all that it may need under some options, for the docs */
  const struct method_option *options;
  size_t option_count;
  size_t self_size; /* sizeof(struct self): zeroed, options set */
  const struct state_field *state;
  size_t state_count;
  const struct metric *metrics;
  size_t metric_count;
  bool fixed_coefficients; /* the objective's coefficients depend on no log-probability: none is scored for them */

  /* What it needs under these options; NULL: nothing. Checks that options agree with each other, too. */
  int (*declare)(const void *self, struct needs *out, struct error *err);
  /* State of a size that is not fixed: one blob. NULL where the fields say it all. */
  int (*save)(const void *self, struct text *out, struct error *err);
  int (*load)(void *self, struct arena *run, const void *bytes, size_t size, struct error *err);
  /* Answers NEED_SECOND_CONTEXT. */
  int (*second)(struct method_call *c, const struct step *s, struct second *out, struct error *err);

  int (*prepare)(struct method_call *c, struct preparation *out, struct error *err);
  int (*select)(struct method_call *c, struct selection *out, struct error *err);
  int (*guide)(struct method_call *c, const struct step *s, struct guidance *out, struct error *err);
  int (*sample)(struct method_call *c, const struct step *s, struct sample_row *out, struct error *err);
  int (*reward)(struct method_call *c, const struct step *s, struct channels *out, struct error *err);
  int (*revise)(struct method_call *c, const struct step *s, struct revision *out, struct error *err);
  int (*shape)(struct method_call *c, const struct step *s, struct shaping *out, struct error *err);
  int (*advantage)(struct method_call *c, const struct step *s, struct credit *out, struct error *err);
  int (*weight)(struct method_call *c, const struct step *s, struct factors *out, struct error *err);
  int (*updates)(struct method_call *c, const struct step *s, struct update_list *out, struct error *err);
  int (*weight_current)(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err);
  int (*objective)(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err);
  int (*regularise)(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err);
  int (*extra)(struct method_call *c, const struct minibatch *m, struct auxiliary *out, struct error *err);
  int (*evaluate)(struct method_call *c, struct evaluation *out, struct error *err);
  int (*observe)(struct method_call *c, const struct step *s, struct observation *out, struct error *err);
};

#define METHOD_OPTIONS(rows) \
  .options = (rows), .option_count = sizeof(rows) / sizeof((rows)[0]), .self_size = sizeof(struct self)
#define METHOD_STATE(rows)   .state = (rows), .state_count = sizeof(rows) / sizeof((rows)[0])
#define METHOD_METRICS(rows) .metrics = (rows), .metric_count = sizeof(rows) / sizeof((rows)[0])

/* The registry, in table order (by name). */
size_t method_count(void);
const struct method *method_at(size_t i);
const struct method *method_find(const char *name); /* NULL: none */
bool method_has(const struct method *m, enum method_stage stage);
const char *method_stage_name(enum method_stage stage);
enum method_rule method_stage_rule(enum method_stage stage);
const char *method_stage_what(enum method_stage stage); /* one line */
const char *method_rule_name(enum method_rule rule);

struct method_need {
  uint32_t flag;
  const char *word, *what;
  bool run; /* this build provides it */
};
size_t method_need_count(void);
const struct method_need *method_need_at(size_t i);
/* Their words as members of a JSON array: "a", "b". */
void method_needs_json(uint32_t flags, struct text *out);

#endif

/* method/compose: from a recipe's list of methods to what each stage runs.
 *
 *     compose_open                    names and options -> who owns or contributes to each stage
 *     compose_select .. _observe      one call a stage, as train/step.c tells the story; no method is known there by
 * name compose_save, compose_restore   state of all methods as named blobs, for checkpoints
 *
 * The rules for several methods are in method.h (METHOD_STAGES). A method's base belongs to the set even where the
 * recipe doesn't name it. Table order is the order of names. What a stage wrote is checked once here: a NaN in rewards,
 * advantages, weights, losses or coefficients is an error that names method, problem and rollout.
 */
#ifndef ASSAY_METHOD_COMPOSE_H
#define ASSAY_METHOD_COMPOSE_H

#include "core/yaml.h"
#include "method/method.h"

/* One entry of the recipe's `methods`. */
struct method_choice {
  const char *name;
  const struct yaml_node *options; /* map, or NULL */
  const char *file;                /* where it stands; "default" or "command line" */
  int line;
};

struct composed;

/* The set lives in the run's arena. epochs and minibatches: of the main update. The needs of all members are in *needs
 * (may be NULL). */
struct compose_options {
  uint64_t seed;
  int32_t epochs, minibatches;
};
int compose_open(struct arena *run, const struct method_choice *choices, size_t count, const struct compose_options *o,
                 struct composed **out, struct error *err) MUST_USE;
const struct needs *compose_needs(const struct composed *set);

/* Members in the recipe's order, a base that the recipe doesn't name just before the first method that brings it. owner
 * NULL: not an owner's stage. */
size_t compose_members(const struct composed *set);
const struct method_call *compose_member(const struct composed *set, size_t i);
const struct method_call *compose_owner(const struct composed *set, enum method_stage stage);
/* Contributors in the order in which they run. Returns how many; at most max are written. */
size_t compose_contributors(const struct composed *set, enum method_stage stage, const struct method_call **out,
                            size_t max);
/* The option's value as it would be written in a recipe, and where it came from ("default", "FILE:LINE", "command
 * line"). */
int compose_option_text(const struct composed *set, size_t member, size_t option, struct text *out, const char **origin,
                        struct error *err) MUST_USE;

/* ---- what methods get done ------------------------------------------------------------------------------------ */

/* Set by train/run; by tests, as far as a method of theirs asks. A NULL function is refused by name. */
struct method_host {
  void *arg;
  int32_t max_prompt; /* tokens of the longest context; 0: any */
  /* Appends the ids of messages or of a plain prompt. */
  int (*prompt_ids)(void *arg, const struct context_source *from, struct token_list *out, struct error *err);
  /* The next problem of the data. */
  int (*draw)(void *arg, struct step *s, const struct problem **out, struct error *err);
  /* answers: [count], zeroed. Probes are added to the step. */
  int (*answer)(void *arg, struct step *s, const struct method_call *who, const struct request *requests, int32_t count,
                struct answer *answers, struct error *err);
  /* A request's defaults: sampling and max_new_tokens. */
  struct request defaults;
};
/* Kept, not copied. */
void compose_set_host(struct composed *set, const struct method_host *host);

/* ---- the stages ----------------------------------------------------------------------------------------------- */

/* Before any run (`assay prepare`): the problem objects that take a problem's place, a new reference; each method sees
 * those of the one before. *why: of the first method that left something out; NULL: none did. */
int compose_prepare(struct composed *set, const struct problem *p, json_t **items, const char **why,
                    struct error *err) MUST_USE;
int compose_select(struct composed *set, struct selection *selection, struct error *err) MUST_USE;
/* Rollouts that are about to be made: indices, ascending by group, attempt and ordinal. */
int compose_guide(struct composed *set, struct step *s, const int32_t *rollouts, int32_t count,
                  struct error *err) MUST_USE;
bool compose_samples(const struct composed *set); /* a member has the stage `sample` */
int compose_sample(struct composed *set, const struct step *s, struct sample_row *row, struct error *err) MUST_USE;
/* After the verdicts of a wave; arranges the step first. */
int compose_reward(struct composed *set, struct step *s, struct error *err) MUST_USE;
/* The second contexts of the rollouts (NEED_SECOND_CONTEXT): step->second. `render` makes the ids of a conversation for
 * second_add_text; they live in the step's arena. */
struct second_renderer {
  void *arg;
  int (*render)(void *arg, const struct step *s, int32_t group, const char *text, const int32_t **ids, int32_t *count,
                struct error *err);
};
int compose_second(struct composed *set, struct step *s, const struct second_renderer *r, struct error *err) MUST_USE;
/* After compose_reward. in: last and rollouts_left; drops are applied, what is asked for stands in out->again. */
int compose_revise(struct composed *set, struct step *s, struct revision *out, struct error *err) MUST_USE;
/* After step_gather: step->reward, then advantage, then weight, counted and the denominators. Rollouts that `advantage`
 * drops leave the step (gathered again). */
int compose_shape(struct composed *set, struct step *s, struct error *err) MUST_USE;
int compose_advantage(struct composed *set, struct step *s, struct error *err) MUST_USE;
int compose_weight(struct composed *set, struct step *s, struct error *err) MUST_USE;
/* The list lives in the step's arena; the first item is "main" before methods change the list. */
int compose_updates(struct composed *set, struct step *s, struct update_list *out, struct error *err) MUST_USE;
/* Mini-batch `index` of an update, in arena a: whole groups, contiguous in canonical order, as equal in number as
   possible; may be empty (count 0). old is filled from the records, logp with a copy of it (right while the weights are
   still the sampler's); entropy and reference are allocated, as NaN, where compose_needs asks for them. Without
   NEED_ALWAYS a rollout whose coefficients all come out as 0 needs no forward and no backward. */
int compose_minibatch(struct composed *set, const struct step *s, const struct update *u, int32_t epoch, int32_t index,
                      struct arena *a, struct minibatch **out, struct error *err) MUST_USE;

/* The factors of weight_current, into m->weight and m->counted. After the trainer wrote current values, before
 * compose_objective, once. */
int compose_weight_current(struct composed *set, struct minibatch *m, struct arena *a, struct error *err) MUST_USE;
bool compose_has_extra(const struct composed *set, const struct update *u);
/* First all members' sequences (x->scored false), then, with logp written, their coef and the loss. */
int compose_extra(struct composed *set, const struct minibatch *m, struct auxiliary *x, struct error *err) MUST_USE;

/* The whole loss of a mini-batch: objective times update->factor, plus regularisers. Arrays in arena a, [count]. */
struct composed_loss {
  double loss; /* sum over tokens, in order */
  double policy_loss, regulariser_loss;
  double *coef;         /* dL/dlogp */
  double *entropy_coef; /* dL/dentropy, or NULL where nothing needs it */
  double *value_coef;   /* [count] dL/dvalue, or NULL */
  double *second_coef;  /* [count] dL/d second_logp, or NULL */
  double *slot_coef;    /* [rollout_count] dL/d slot_logp, or NULL */
  struct composed_row {
    const struct method_call *call;
    struct row_term term;
    double factor;
    const struct row_source *sources; /* [source_count] of the method */
    int32_t source_count;
  } * rows; /* terms on whole rows: their loss and kl are added when gradients are computed */
  int32_t row_count;
  double kl;                            /* mean of the KL estimator over the tokens; NaN: nobody measures it */
  double clip;                          /* fraction of tokens whose gradient a clip took away */
  double ratio_min, ratio_max, entropy; /* of exp(logp - old); mean entropy, NaN unless given */
};
/* Whether all coefficients of an update (NULL: the main one) are the same whatever the current log-probabilities are:
 * then compose_objective may be asked for them with zeros, and again for its numbers behind the backward. */
bool compose_coefficients_fixed(const struct composed *set, const struct update *u);
int compose_objective(struct composed *set, const struct minibatch *m, struct arena *a, struct composed_loss *out,
                      struct error *err) MUST_USE;
int compose_evaluate(struct composed *set, struct evaluation *records, struct error *err) MUST_USE;
int compose_observe(struct composed *set, const struct step *s, struct observation *seen, struct error *err) MUST_USE;

/* Metrics that methods wrote since the last clear: "<method>/<name>", in table order. */
size_t compose_metrics(const struct composed *set);
void compose_metric(const struct composed *set, size_t i, const char **name, double *value);
void compose_clear_metrics(struct composed *set);

/* One blob for the whole set: each method's name, each field's name, size and bytes. Little-endian. Restoring needs the
 * same methods (ERROR_INPUT names the difference). */
/* Whether a hook that runs before a batch is complete may write state: a step that is stopped there must be undone. */
bool compose_writes_early(const struct composed *set);
int compose_save(const struct composed *set, struct text *out, struct error *err) MUST_USE;
int compose_restore(struct composed *set, const void *bytes, size_t size, struct error *err) MUST_USE;

/* For `assay methods`. resolve: who does what, options with origins, needs. */
int compose_describe(const struct composed *set, struct text *out, struct error *err) MUST_USE;
/* Members of a JSON object, without the braces: "stages": {stage: [method]}, "options": [{method, option, value,
 * origin}], "needs": [word]. */
int compose_json(const struct composed *set, struct text *out, struct error *err) MUST_USE;
int method_describe(const struct method *m, struct text *out, struct error *err) MUST_USE; /* help of one method */
int method_markdown(struct text *out, struct error *err) MUST_USE;                         /* docs/methods.md */
int method_json(const struct method *m, struct text *out, struct error *err) MUST_USE;     /* one line */

#endif

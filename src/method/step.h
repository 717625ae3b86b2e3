/* method/step: what one step knows. Every stage reads what the stages before it wrote here; methods get it as const.
 *
 *     problem -> group -> rollout (one attempt: a path of segments) -> training row (context, range) -> path token
 *
 * The step lives in its own arena and is filled from left to right:
 *
 *     step_create                 number, total, seed, budget
 *     step_add_group, _context    who is asked, and what the model reads
 *     step_add_rollout            an attempt, when it is asked for; leaf, finish and verdict follow when it has
 * finished step_set_channel            named scores step_gather                 once the attempts are complete:
 * canonical order, training rows, path tokens reward, advantage, weight   written by compose, from the owners' results
 *
 * Identities, not storage: rollouts stand in `rollouts` in the order in which they were asked for; `order` lists the
 * kept ones by (group ordinal, attempt, ordinal). Whatever sums or chooses walks `order` or a group's `members`, so
 * that no arrival order moves a bit (law 2).
 *
 * A path token is a token of a training row that carries loss: flag TOKEN_OWN without TOKEN_MASKED. One tree token that
 * lies on several paths is several path tokens: advantages may differ, denominators count it per path, its row is
 * computed once.
 */
#ifndef ASSAY_METHOD_STEP_H
#define ASSAY_METHOD_STEP_H

#include "core/rng.h"
#include "data/problem.h"
#include "reward/verifier.h"
#include "rollout/generate.h"
#include "rollout/tree.h"

enum { STEP_CHANNELS = 64 }; /* distinct channel names in a step */

/* All rollouts that are compared with each other. A group id is not a problem id: one problem may have several groups
 * in a step. */
struct group {
  const struct problem *problem;
  int32_t ordinal; /* the group's address in random numbers and metrics: 0, 1, ... in the order of selection */
  int32_t context; /* the plain context of the problem; a rollout may have been guided to another one */
  int32_t wanted;  /* rollouts per attempt */
  int32_t first;   /* members are order[first .. first + count - 1]; set by step_gather */
  int32_t count;   /* kept rollouts */
};

/* What a policy reads before it writes: the path that ends in `segment`. */
struct context {
  const char *policy; /* named policy that reads it: "policy", "reference", ... */
  const char *kind;   /* "plain", or the name that the guiding method gave it ("hint") */
  int32_t group;      /* index of the group that it was made for */
  int32_t segment;    /* segment of the tree in which the prompt ends */
};

enum rollout_status {
  ROLLOUT_OK,
  ROLLOUT_FAILED /* the verifier, tool or judge failed: not "wrong"; reason in the verdict */
};

/* A part of a rollout that is trained on: tokens begin .. end-1 (absolute positions) of the path that ends in leaf.
 * Rows of one rollout share its advantage. */
struct training_row {
  int32_t context;    /* the context that the model reads when trained; leaf's path begins with it */
  int32_t leaf;       /* segment */
  int32_t begin, end; /* absolute positions; own, unmasked tokens among them are path tokens */
};

struct rollout {
  int32_t group;      /* index into groups */
  int32_t attempt;    /* wave in which it was made: 0, or later where a method revised */
  int32_t ordinal;    /* its number among the group's rollouts of this attempt */
  int32_t generating; /* context that it was sampled from */
  int32_t training;   /* context that it is trained in; the same unless a method guided it */
  int32_t leaf;       /* segment in which the path ends, under `generating`; -1 until it was generated */
  enum finish finish;
  enum rollout_status status;
  bool kept;         /* false: replaced, failed or dropped: visible to metrics, in no statistic and no denominator */
  const char *probe; /* purpose of the request that made it, or NULL: an ordinary attempt; a probe is never kept */
  const char *text;  /* the response as its verifier read it: special tokens left out, cut before a stop string; ends
                        with NUL; NULL where the step has no text (sft) */
  size_t text_size;
  int32_t response;    /* tokens of the response, forced ones too: the last segment's */
  int32_t *token_byte; /* [response + 1] where token i of the response begins in text, the last entry is text_size; with
                          NEED_SPANS, else NULL */
  struct verdict verdict; /* strings in the step's arena */
  double *channel;        /* [STEP_CHANNELS] values; absent where the bit in `present` is 0 */
  uint64_t present;
  struct training_row *rows; /* [row_count]; step_add_rollout's default is one: everything after the training context */
  int32_t row_count;
  /* Set by step_gather. */
  int32_t length;           /* own tokens of the path to leaf, trained or not */
  int32_t path, path_count; /* its path tokens: path .. path + path_count - 1; 0 where not kept */
};

/* One token that carries loss, on one path. */
struct path_token {
  int32_t rollout; /* index into rollouts */
  int32_t row;     /* training row of that rollout */
  int32_t segment; /* where its record is: tree->segments[segment].tokens[index] */
  int32_t index;
  int32_t position; /* absolute position on its path */
};

/* How channels become the scalar: sum of weight * channel (recipe: reward.combine). */
struct combine_term {
  const char *channel;
  double weight;
};

struct scores;

struct step {
  struct arena *arena;
  uint64_t seed;
  int64_t number, total;  /* 0-based number of this step; steps of the run */
  double temperature;     /* of the records' logp (train.temperature) */
  int32_t max_new_tokens; /* budget of one rollout */
  int64_t weight_version; /* of the policy's weights when the step began */
  struct tree *tree;
  const struct combine_term *combine; /* [combine_count] */
  int32_t combine_count;

  struct group *groups;
  int32_t group_count, group_room;
  struct context *contexts;
  int32_t context_count, context_room;
  struct rollout *rollouts;
  int32_t rollout_count, rollout_room;
  const char *channel_names[STEP_CHANNELS];
  bool channel_metric_only[STEP_CHANNELS];  /* never read by shape */
  const char *channel_owner[STEP_CHANNELS]; /* method that added it; NULL: the verifiers' */
  int32_t channel_count;                    /* channel 0 is "reward", the verdict's */
  int32_t wave;                             /* attempts made so far, from 0 */

  /* Set by step_gather, filled by the stages. */
  int32_t *order; /* [kept] rollouts in canonical order */
  int32_t kept;
  struct path_token *path; /* [path_count], in the order of `order`, rows and positions ascending */
  int32_t path_count;
  double *reward;    /* [rollout_count] shaped; 0 where not kept */
  double *dense;     /* [path_count] shaped reward per token beside it, or NULL */
  double *advantage; /* [path_count] */
  double *weight;    /* [path_count] product of the factors, >= 0 */
  double *counted;   /* [path_count] what a token adds to the denominators of the policy loss: 1, or less where a weight
                        says so */
  double tokens;     /* sum of counted */
  /* What needs asked for (scores.h); filled between step_gather and shape. NULL where nothing asked. */
  struct scores *scores;
  const double *reference; /* [path_count] NEED_REFERENCE_LOGP */
  double *value;           /* [path_count] NEED_VALUE: of the state that predicts the token */
  double *value_target;    /* [path_count] what `advantage` wrote */
  double *slot_logp;       /* [rollout_count] NEED_SLOT: of the slot's token behind the last; NaN: truncated */
  int32_t *second;         /* [rollout_count] second context, -1: none; NEED_SECOND_CONTEXT */
  int32_t second_too_long; /* second contexts, and copies of rollouts behind them, that did not fit: scored nowhere */
  int32_t sequences;       /* kept rollouts with counted > 0 somewhere */
};

/* total: steps of the run. The tree is made here. combine NULL: channel "reward" with weight 1. */
struct step_options {
  uint64_t seed;
  int64_t number, total;
  double temperature;
  int32_t max_new_tokens;
  int64_t weight_version;
  const struct combine_term *combine;
  int32_t combine_count;
};
int step_create(struct arena *a, const struct step_options *o, struct step **out, struct error *err) MUST_USE;

/* Each returns the index through *out. Strings are kept, not copied. */
int step_add_group(struct step *s, const struct problem *p, int32_t wanted, int32_t *out, struct error *err) MUST_USE;
/* The first context of a group becomes its plain one. */
int step_add_context(struct step *s, int32_t group, const char *policy, const char *kind, int32_t segment, int32_t *out,
                     struct error *err) MUST_USE;
/* An attempt of `group` from a context, trained in the same one; kept, without leaf and verdict. */
int step_add_rollout(struct step *s, int32_t group, int32_t context, int32_t attempt, int32_t ordinal, int32_t *out,
                     struct error *err) MUST_USE;

/* The number of a channel, added if it is new. More than STEP_CHANNELS is ERROR_INPUT. */
int step_channel(struct step *s, const char *name, int32_t *out, struct error *err) MUST_USE;
int step_find_channel(const struct step *s, const char *name); /* -1: none */
/* NaN is an error that names problem, rollout and channel. */
int step_set_channel(struct step *s, int32_t rollout, int32_t channel, double value, struct error *err) MUST_USE;
bool step_get_channel(const struct step *s, int32_t rollout, int32_t channel, double *value); /* false: absent */
/* Canonical order, kept and members of groups, lengths: what reward and revise see between waves. step_gather does this
 * and more. */
int step_arrange(struct step *s, struct error *err) MUST_USE;
/* Copies a verdict into the step's arena and sets channel "reward" and the verdict's own channels. A failed verdict
 * sets status and no channel. */
int step_set_verdict(struct step *s, int32_t rollout, const struct verdict *v, struct error *err) MUST_USE;

/* After the last rollout: canonical order, members of groups, training rows, path tokens; arrays for the stages
   (advantage 0, weight and counted 1). Every kept rollout must have a leaf. May be called again after rollouts were
   added or dropped; what the stages wrote is then cleared. */
int step_gather(struct step *s, struct error *err) MUST_USE;

const struct token_record *step_record(const struct step *s, int32_t path_token);
/* Writes x to all path tokens of a rollout. */
void step_spread(const struct step *s, int32_t rollout, double x, double *per_token);
/* Index of a path token in its response: 0 is the first token behind the context that it is trained in. */
int32_t step_response_index(const struct step *s, int32_t path_token);
/* "problem ID, rollout ATTEMPT.ORDINAL", for messages; in buf. */
const char *step_rollout_name(const struct step *s, int32_t rollout, char *buf, size_t size);

/* ---- mini-batches --------------------------------------------------------------------------------------------- */

struct update;
struct states;

/* The tokens of one optimiser step, in canonical order; gathered by compose_minibatch. Denominators are the
 * mini-batch's, whatever the micro-batch (law 3). */
struct minibatch {
  const struct step *step;
  const struct update *update;
  int32_t epoch, index, of; /* 0-based; `of` mini-batches an epoch */
  int32_t rollout_count;
  const int32_t *rollouts; /* [rollout_count] in canonical order: the paths to compute */
  int32_t count;           /* tokens */
  const int32_t *token;    /* [count] path tokens of the step */
  int32_t sequence_count;  /* rollouts with tokens */
  const struct minibatch_sequence {
    int32_t rollout, first, count; /* its tokens: first .. first + count - 1 of the mini-batch */
  } * sequences;
  const double *advantage;  /* [count] */
  double *weight, *counted; /* [count] the step's, times the factors of weight_current */
  /* [count], written by the trainer before compose_objective; f32 values in f64. */
  double *logp;      /* current policy */
  double *entropy;   /* current policy, nats; NULL where nothing needs it */
  double *old;       /* compose fills in the record's logp; replaced where the update says that it was scored */
  double *reference; /* NULL unless NEED_REFERENCE_LOGP */
  /* [count], NULL unless needed, written by the trainer too: */
  double *value;                          /* current value head on the current state (NEED_VALUE) */
  const double *value_old, *value_target; /* of the step */
  double *second_logp;                    /* current policy in the second context; NaN: none */
  const double *second_old;               /* the step's */
  double *slot_logp;                      /* [rollout_count] current; NaN: truncated. Old: step->slot_logp */
  const struct states *hidden;            /* NEED_CURRENT_HIDDEN; minibatch_hidden reads it */
  const int32_t *before;                  /* [count] rows of it */
};

/* The state that predicts token i of a mini-batch, under the weights of the mini-batch (NEED_CURRENT_HIDDEN). */
const float *minibatch_hidden(const struct minibatch *m, int32_t layer, int32_t i);

#endif

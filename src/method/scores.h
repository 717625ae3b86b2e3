/* method/scores: what needs put beside a step's tokens: the only costly numbers that a hook may read.
 *
 * A method declares what it wants (struct needs); before `shape` the core makes one scoring pass for each policy and
 * context that something asked for, under the weights that sampled, and checks law 1 on the way. Everything here is
 * frozen: no gradient flows back. Numbers that nobody asked for are not there: asking for them is a bug, and says so.
 *
 *     declare:    out->flags |= NEED_HIDDEN; out->hidden_layers[out->hidden_count++] = LAYER_LAST;
 *     advantage:  const float *h = scores_hidden(s, LAYER_LAST, token);   [width]
 *
 * Path tokens are numbered as everywhere (step.h). Values are f32 of the compute type unless a double is said.
 */
#ifndef ASSAY_METHOD_SCORES_H
#define ASSAY_METHOD_SCORES_H

#include "method/step.h"

/* Layers: 0 the embedding, k the output of block k (1 .. the model's layers; negative as in Python: -2 is the output of
 * the last block but one), LAYER_LAST the input of the LM head, after the final norm. */
enum { LAYER_LAST = -1 };

/* Named functions of the sampler's whole row before a token y: p is the softmax at the step's temperature, r the one at
 * temperature 1 (filters look at it). In f64 from the row's f32 logits, over the whole vocabulary, which is never kept.
 * X(NAME, word, parameter, formula) */
#define TOKEN_STATS(X)                                                                        \
  X(SUM_P2, "sum_p2", NULL, "sum_v p_v^2")                                                    \
  X(MAX_P, "max_p", NULL, "max_v p_v")                                                        \
  X(MIN_LOGP, "min_logp", NULL, "min_v log p_v")                                              \
  X(MIN_P_LOGP, "min_p_logp", "kappa",                                                        \
    "log(p_y / sum_{v in K} p_v), K = {v: r_v >= kappa max r}; -inf where y is outside of K") \
  X(MIN_P_MASS, "min_p_mass", "kappa", "sum_{v in K} p_v, K as above")                        \
  X(FLOOR_LOGP, "floor_logp", "floor", "as min_p_logp with K = {v: r_v >= floor}")            \
  X(FLOOR_MASS, "floor_mass", "floor", "sum_{v in K} p_v, K = {v: r_v >= floor}")

enum token_stat_kind {
#define TOKEN_STAT_ENUM(NAME, word, parameter, formula) TOKEN_STAT_##NAME,
  TOKEN_STATS(TOKEN_STAT_ENUM)
#undef TOKEN_STAT_ENUM
      TOKEN_STAT_COUNT
};
const char *token_stat_word(enum token_stat_kind kind);

struct token_stat {
  enum token_stat_kind kind;
  double parameter; /* kappa, floor; 0 where it has none */
};

/* States of some tokens: row r of `rows` is one state, [layer_count][row_count, width]. */
struct states {
  int32_t width, layer_count, row_count;
  const int32_t *layers; /* [layer_count], resolved: 0 .. blocks, LAYER_LAST behind them */
  float *rows;
};

/* The scores of the path tokens under one policy in the contexts that they are trained in, or in second ones. */
struct policy_scores {
  const char *policy; /* "policy" (the sampler's weights), "reference", "ema", or a name */
  bool second;        /* in the second context (struct second) */
  double *logp;       /* [path_count]; NaN where the rollout has no second context */
  double *entropy;    /* [path_count] nats */
  struct states states;
  int32_t *before; /* [path_count] row of states: the state that predicts the token; -1; NULL without states */
};

struct scores {
  struct policy_scores *of; /* [count]; "policy" in the trained contexts first */
  int32_t count;
  int32_t blocks; /* layers of the policy */
  int32_t *last;  /* [rollout_count] row of of[0]'s states: at the last token of the path; -1 */
  struct prompt_scores {
    int32_t *row, from, rows; /* of[0]'s states of absolute positions from .. from+rows-1: [rows] */
    double *logp;             /* [logp_count] of tokens 1, 2, ... */
    int32_t logp_count;
  } * prompts;                    /* [context_count] */
  int32_t prompt_count;           /* contexts when the passes were made */
  const struct token_stat *stats; /* [stat_count] */
  int32_t stat_count;
  double **stat; /* [stat_count][path_count] */
  struct group_ids {
    int32_t *ids; /* [count] ascending */
    int32_t count;
  } * groups;      /* [group_count]; NULL without NEED_GROUP_P */
  float **group_p; /* [path_count][count of its group] */
  /* Second contexts: rollout r's copy is segment copy[r] of the tree, or -1; its token k is the one at position
     own[r] + k of the trained path. */
  int32_t *copy, *own;
  int32_t *slot; /* [rollout_count] segment with the slot's token, or -1; NULL without NEED_SLOT */
  bool *checked; /* [rollout_count] law 1 was looked at in these passes */
};

/* ---- what hooks call (before shape and later) ------------------------------------------------------------------- */

/* [path_count] log-probabilities of the path tokens under a named policy: "reference" (NEED_REFERENCE_LOGP; also
 * step->reference), "ema" (NEED_EMA), a name of NEED_POLICY. scores_entropy: nats, the same passes. */
const double *scores_logp(const struct step *s, const char *policy);
const double *scores_entropy(const struct step *s, const char *policy);
/* The same in the second context (NEED_SECOND_CONTEXT). NaN for rollouts without one. */
const double *scores_second_logp(const struct step *s, const char *policy);

/* NEED_HIDDEN, layer as declared. [width of the policy]
 *   scores_hidden  the state that predicts the token (it stands at the token before)
 *   scores_state   the state at the token, after it was read; the last token of a path has one with NEED_LAST_STATE
 *   scores_last    the state at the last token of a rollout's path (NEED_LAST_STATE)
 *   scores_prompt_hidden  the state at an absolute position of a context; NULL: not among the last
 *                  needs.prompt_states ones */
const float *scores_hidden(const struct step *s, int32_t layer, int32_t token);
const float *scores_state(const struct step *s, int32_t layer, int32_t token);
const float *scores_last(const struct step *s, int32_t layer, int32_t rollout);
const float *scores_prompt_hidden(const struct step *s, int32_t layer, int32_t context, int32_t position);

/* NEED_TOKEN_STAT: [path_count]. The parameter as declared. */
const double *scores_stat(const struct step *s, enum token_stat_kind kind, double parameter);

/* NEED_PROMPT_LOGP: log-probabilities of tokens 1, 2, ... of a context under the sampler's weights; *count of them. */
const double *scores_prompt_logp(const struct step *s, int32_t context, int32_t *count);

/* NEED_GROUP_P: the distinct ids that a group's rollouts own, ascending, and the probabilities of all of them before a
 * path token (not renormalised). */
const int32_t *scores_group_ids(const struct step *s, int32_t group, int32_t *count);
const float *scores_group_p(const struct step *s, int32_t token);

/* ---- for the core ----------------------------------------------------------------------------------------------- */

/* Moves all arrays [path_count] after rollouts were dropped and the step was gathered again. before: [rollout_count]
 * where each rollout's path tokens began. */
void scores_move(struct step *s, const int32_t *before);
/* LAYER as declared to 0 .. layers or LAYER_LAST; false: there is no such layer. */
bool scores_resolve_layer(int32_t blocks, int32_t layer, int32_t *out);
/* Of a policy, or NULL. */
struct policy_scores *scores_find(const struct step *s, const char *policy, bool second);
/* [width] of a resolved layer; NULL for row -1. */
const float *states_row(const struct states *states, int32_t layer, int32_t row);

#endif

/* method/part_return: what follows a token: returns, advantages with a critic, and the whitening of a batch.
 *
 * A row is a rollout: rho_t rewards of its tokens, V_t values, m_t masks (NULL: all ones). What stands between two own
 * tokens (a tool's output) is passed over in three ways:
 *
 *     SKIP     as if it were not there (verl)
 *     WALK     a step with reward and value 0, discounted like any other (OpenRLHF)
 *     RESTART  the return begins anew before it (verl until August 2026)
 *
 *     G_t = rho_t + gamma G_{t+1}
 *     d_t = rho_t + gamma V_{t+1} - V_t,  A_t = d_t + gamma lambda A_{t+1}     (arXiv 1506.02438, eq. 16)
 */
#ifndef ASSAY_METHOD_PART_RETURN_H
#define ASSAY_METHOD_PART_RETURN_H

#include "method/step.h"

enum return_hole { RETURN_SKIP, RETURN_WALK, RETURN_RESTART };

/* rho of a rollout's path tokens, [path_count of the rollout]: the step's dense rewards, and the scalar on the last
 * one. return_whole: their sum, what a method that gives one number a rollout compares. */
void return_rewards(const struct step *s, int32_t rollout, double *rho);
double return_whole(const struct step *s, int32_t rollout);

/* out: [n]; 0 where the mask is 0 (RESTART: the hole's own return). */
void return_discounted(const double *reward, const double *mask, int32_t n, double gamma, enum return_hole hole,
                       double *out);

/* advantage, returns: [n]; A_t + V_t is the return, which the critic is fitted to. Where the mask is 0 the advantage is
 * that of the next own token (0 after the last). RESTART is SKIP here. */
void return_gae(const double *reward, const double *value, const double *mask, int32_t n, double gamma, double lambda,
                enum return_hole hole, double *advantage, double *returns);

/* (x - mean) times factor over the entries with mask 1. Statistics are f64 of x - x_1: equal entries give exactly 0.
 *
 *     VERL      1 / sqrt(var + 1e-8), var over n - 1
 *     OPENRLHF  1 / sqrt(max(var, 1e-8)), var over n
 *     TRL       1 / (std + 1e-4), std over n - 1
 *     CENTRE    1
 *     NONE      everything is left as it is
 *
 * One entry has a variance of 0, none leaves everything as it is. */
enum whitening_kind { WHITEN_VERL, WHITEN_OPENRLHF, WHITEN_TRL, WHITEN_CENTRE, WHITEN_NONE };
struct whitening {
  double first, centre, factor;
};
struct whitening whitening_measure(const double *x, const double *mask, int64_t n, enum whitening_kind kind);
double whitened(const struct whitening *w, double x);
void whiten(double *x, int64_t n, enum whitening_kind kind); /* all n of them, in place */

/* The critic's loss of one token (arXiv 1707.06347, section 5, with the clip of its code): 0.5 max((v - ret)^2,
 * (clamp(v, old - clip, old + clip) - ret)^2). clip infinite: off. */
struct value_loss {
  double loss, coef; /* coef: dloss/dv */
  bool clipped;      /* the clipped square is the larger one */
};
struct value_loss value_loss(double value, double old, double returns, double clip);

/* PF-PPO's weights for drawing rollouts again (arXiv 2409.06957), each at least 1e-8 more than nothing: pow |R|^power;
 * max_min 1 for the largest and the smallest; max_random 0.4 for the largest, 0.1 for the others. */
enum resample_kind { RESAMPLE_POW, RESAMPLE_MAX_MIN, RESAMPLE_MAX_RANDOM };
void resample_weights(const double *reward, int32_t n, enum resample_kind kind, double power, double *weight);

#endif

/* method/part_self_score: what a policy thinks of its own answer, read off the log-probability of one unused token z in
 * the slot behind the answer's end (arXiv 2510.14943, LaSeR; code RUCBM/LaSeR).
 *
 *     r_s = beta (log p(z) - c)            c: a constant < 0, or the reference's log-probability of the same slot
 *     L   = mean over all B answers of v w (r_s - y)^2       v: it has a slot; y 1: right, 0: wrong
 *           w = N / (2 N_y), N_y the answers with a slot of either kind, 0 for a kind that there is none of
 *     s   = clip(r_s, 0, 1), 0 without a slot; within a group A_s = (s - mean) / sd, sd over n - 1 and no epsilon
 *     A   = (1 - tau) A_v + tau A_s        where sd > tau_f, else A_v stays as it is; a group of one: mean 0, sd 1
 *
 * A vote sums r_s over equal answers. That it sums r_s as it is, and that of equal sums the first met wins, is
 * inferred.
 */
#ifndef ASSAY_METHOD_PART_SELF_SCORE_H
#define ASSAY_METHOD_PART_SELF_SCORE_H

#include <stdbool.h>
#include <stdint.h>

struct self_score {
  double beta, c; /* c >= 0: `reference` is taken instead */
};
double self_score(const struct self_score *o, double logp, double reference);

/* W_r, then W_s steps later; steps are numbered from 1. */
struct self_phase {
  bool loss, mix;
};
struct self_phase self_phase(int64_t step, int64_t loss_after, int64_t mix_after);

struct self_classes {
  double right, wrong;               /* answers with a slot */
  double weight_right, weight_wrong; /* 0 without any */
};
/* valid, right: [n]. balanced false: both weights 1. */
struct self_classes self_classes(const bool *valid, const bool *right, int32_t n, bool balanced);

/* v w (r_s - y)^2 of an answer with a slot, without the division by B, and its derivative by r_s. */
struct self_square {
  double value, coef;
};
struct self_square self_square(const struct self_classes *classes, double score, bool right);

struct self_group {
  double mean, sd;
  bool used; /* sd > tau_f */
};
/* s: [n] clipped scores of one group, n >= 1. credit: [n] A_s; left as it is where not used. */
struct self_group self_advantage(const double *s, int32_t n, double tau_f, double *credit);

/* An answer is taken for right where its score is above the bar. f1: the harmonic mean of the shares of right and of
 * wrong answers that are recognised; 0 where a kind is absent. */
struct self_verified {
  double right, wrong, f1;
};
struct self_verified self_verify(const bool *right, const double *score, int32_t n, double bar);

enum self_vote { SELF_VOTE_RAW, SELF_VOTE_CLIP, SELF_VOTE_COUNT };
#define SELF_VOTE_WORDS "raw|clip|count"
/* answer: [n] text, NULL: none, takes no part. first: [n] where each distinct answer was met, in that order; sum: [n]
 * of each. Returns how many there are; *winner is the place of the largest sum in them, -1: none. */
int32_t self_vote(const char *const *answer, const double *score, int32_t n, enum self_vote how, int32_t *first,
                  double *sum, int32_t *winner);

#endif

/* method/part_thr: what a token's update does to the right responses of its group (THR, arXiv 2510.03669; NTHR,
 * arXiv 2505.18830).
 *
 *     g      = e_y - pi on the columns V*, h = input of the head at the position that predicts y
 *     M      = sum over right i of (1 / |y_i|) sum_k g_ik h_ik'              (NTHR: without 1 / |y_i|)
 *     s_jk   = g_jk' M h_jk
 *     THR    = s in a right response, -s in a wrong one
 *     tau    = beta min over right i of mean_k THR_ik
 *     factor = [|THR| > tau] (1 + sign(THR) p)
 *     NTHR:  2 |1/2 - N+ / G| at tokens of wrong responses with s > tau, else 1
 *
 * V* are the ids that occur in the group's responses; pi is sliced, not renormalised. Right responses without tokens
 * are left out of M and tau.
 */
#ifndef ASSAY_METHOD_PART_THR_H
#define ASSAY_METHOD_PART_THR_H

#include "core/arena.h"
#include "method/part_vectors.h"

/* One group. Tokens of a response stand together, responses in order. */
struct thr_group {
  int32_t responses;
  const bool *right;              /* [responses] */
  const int32_t *first;           /* [responses + 1] tokens of response i: first[i] .. first[i + 1] - 1 */
  const int64_t *token;           /* [first[responses]] row of a token in hidden and probability */
  const int32_t *column;          /* [first[responses]] the token's own column of V* */
  struct vector_rows hidden;      /* [.., d] */
  struct vector_rows probability; /* [.., V*] */
};
struct thr_rule {
  double p, beta;
  bool nthr;
  bool mask; /* false: tokens below tau are kept (nothing is masked) */
};
struct thr_result {
  bool weighed; /* false: no right response with tokens, or all responses right; every factor is 1 */
  double tau, eta;
  double *matrix; /* M [V*, d] */
  double *score;  /* THR (NTHR: s) [tokens] */
  double *factor; /* [tokens] */
  int64_t kept;   /* tokens with factor > 0 */
};
/* Arrays in arena a. */
int thr_weigh(const struct thr_group *g, const struct thr_rule *rule, struct arena *a, struct thr_result *out,
              struct error *err) MUST_USE;

#endif

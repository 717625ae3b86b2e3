/* method/part_prerl: the update in pre-train space of PreRL and DSRL (arXiv 2604.14142; code
 * Trae1ounG/Pretrain_Space_RLVR).
 *
 *     lq_t   = log pi(y_t | s0, y_<t)             the response behind one start token, without the prompt
 *     L_pre  = agg over selected tokens of clip(exp(lq - lq_old), A_pre)            part_clip.h
 *     L      = coef L_pre            warm-up: before disable_step
 *              L_rl + coef L_pre     joint: the same, with warmup_only off
 *              L_rl                  afterwards
 *
 * Responses are selected by the sign of their advantage; what is left out leaves the denominators, too. Steps count
 * from 1.
 */
#ifndef ASSAY_METHOD_PART_PRERL_H
#define ASSAY_METHOD_PART_PRERL_H

#include "method/part_aggregate.h"
#include "method/part_clip.h"

enum prerl_phase { PRERL_WARMUP, PRERL_JOINT, PRERL_RL };
struct prerl_schedule {
  int64_t disable_step; /* the first step without L_pre; 0: there is none */
  bool warmup_only;     /* no L_rl before it */
  bool pretrain_only;   /* the same where disable_step is 0 */
};
enum prerl_phase prerl_phase_of(const struct prerl_schedule *s, int64_t step);

/* Whether a response of this advantage takes part. Both signs: all do, those of 0 as well. */
bool prerl_selected(double advantage, bool negative, bool positive);

/* L_pre of a mini-batch. advantage: [count] A_pre. place: [count] of a token in its response; tokens at max_length (0:
 * none) and further do not count. A token whose lq is NaN is not there in that context. counted, scale, loss, coef:
 * [count] results; coef is dL_pre/dlq. Returns L_pre, 0 where nothing is selected. */
struct prerl_rule {
  bool negative, positive;
  struct clip_bounds bounds;
  enum aggregation aggregation;
  double constant; /* length that the aggregation "constant" divides by */
  int32_t max_length;
};
struct prerl_tokens {
  const double *advantage, *lq, *old;
  const int32_t *place;
};
struct prerl_result {
  double *counted, *scale, *loss, *coef;
};
double prerl_loss(const struct minibatch *m, const struct prerl_rule *r, const struct prerl_tokens *t,
                  const struct prerl_result *out);

#endif

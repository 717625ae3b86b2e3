/* train/update: the weighted step becomes optimiser steps, and law 1 is checked on the way.
 *
 * While the weights are still the sampler's, the sampler's record is the current log-probability: no scoring pass is
 * made for it, and the training forward must give the same bits. Once weights have moved inside a step, the current
 * ones are scored before each further mini-batch. Every freshly sampled token is checked once: in the main update if
 * that is the step's only move (groups that it leaves out are scored), otherwise by a scoring pass before it.
 */
#ifndef ASSAY_TRAIN_UPDATE_H
#define ASSAY_TRAIN_UPDATE_H

#include "method/compose.h"
#include "train/policies.h"

struct update_result {
  int64_t mismatch, mismatch_of;                            /* tokens whose logp differs in a bit; tokens compared */
  int64_t skipped_stale, skipped_context, skipped_imported; /* not comparable, by reason */
  char first_mismatch[256];                                 /* where, "" if none */
  int64_t tokens_trained;                                   /* tokens with a gradient, all mini-batches */
  int updates;                                              /* optimiser steps made */
  double loss, kl, clip, ratio_min, ratio_max, entropy,
      grad_norm; /* of the main update: means over its mini-batches; NaN where nothing was trained */
};

struct update_options {
  struct optimiser optimiser;
  double lr;
  int (*before_move)(void *arg, struct error *err); /* called before weights or moments change; NULL: nobody waits */
  void *arg;
};

/* p->law: what the step's scoring passes saw of law 1 already (score.h). A mismatch is counted, not an error: the
   caller writes the step's metrics first and stops then (ERROR_LAW). */
int update_step(struct composed *methods, struct step *s, struct policies *p, const struct update_options *o,
                struct update_result *out, struct error *err) MUST_USE;

#endif

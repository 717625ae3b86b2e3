/* train/records: law 1: what training computes for a sampled token has the bits of the sampler's record. */
#ifndef ASSAY_TRAIN_RECORDS_H
#define ASSAY_TRAIN_RECORDS_H

#include "method/step.h"
#include "train/batch.h"

struct record_check {
  int64_t mismatch, mismatch_of;                            /* tokens whose logp differs in a bit; tokens compared */
  int64_t skipped_stale, skipped_context, skipped_imported; /* not comparable, by reason */
  char first_mismatch[256];                                 /* where, "" if none */
};

/* Whether a rollout's records can be compared with weights of this version; counts its tokens by reason where not. */
bool records_comparable(const struct step *s, int32_t rollout, int64_t weight_version, struct record_check *out);
/* Compares what was computed for a rollout's own tokens (logp by target of b) with the sampler's records. */
void records_compare(const struct step *s, int32_t rollout, const struct batch *b, const double *logp,
                     struct record_check *out);

#endif

/* data/history: what happened to each problem so far. Written by the core when verdicts come, for dropped groups too;
 * saved in checkpoints. */
#ifndef ASSAY_DATA_HISTORY_H
#define ASSAY_DATA_HISTORY_H

#include "core/json.h"

struct history_record {
  int64_t tried, solved; /* rollouts */
  int64_t steps;         /* steps in which it was picked */
  int64_t last_step;     /* -1: never */
};

struct history;

int history_create(struct arena *a, struct history **out, struct error *err) MUST_USE;
/* All zero, last_step -1, for a problem that was never met. */
struct history_record history_get(const struct history *h, const char *id);
int history_add(struct history *h, const char *id, int64_t step, int64_t tried, int64_t solved,
                struct error *err) MUST_USE;
/* In order of first meeting: equal runs give equal bytes. */
void history_save(const struct history *h, struct text *out);
int history_load(struct history *h, const void *bytes, size_t size, struct error *err) MUST_USE;

#endif

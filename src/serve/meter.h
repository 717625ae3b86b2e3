/* serve/meter: what the server counts, in the text form that Prometheus reads (exposition format 0.0.4). Thread-safe.
 */
#ifndef ASSAY_SERVE_METER_H
#define ASSAY_SERVE_METER_H

#include <pthread.h>
#include "core/json.h"

enum { METER_BUCKETS = 14 };

struct meter_times {
  uint64_t bucket[METER_BUCKETS + 1]; /* the last: above all bounds */
  uint64_t count;
  double sum;
};

/* How generation stands now; the engine sets it. */
struct meter_gauges {
  int64_t running, waiting, kv_used, kv_kept, kv_all;
};

struct meter {
  pthread_mutex_t lock;
  uint64_t answers[6]; /* by hundreds of the status; 0: broken off */
  uint64_t prompt_tokens, kept_tokens, generated_tokens, refused, cancelled;
  struct meter_times first_token, request;
  struct meter_gauges now;
};

int meter_open(struct meter *m, struct error *err) MUST_USE;
void meter_answer(struct meter *m, int status);
void meter_refused(struct meter *m);   /* 429 */
void meter_cancelled(struct meter *m); /* the client left */
void meter_call(struct meter *m, int64_t prompt, int64_t kept, int64_t generated, double first_token, double seconds);
void meter_set(struct meter *m, const struct meter_gauges *now);
void meter_put(struct meter *m, struct text *t);

#endif

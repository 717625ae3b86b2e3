/* cuda/draws: what a draw leaves on the device, and the way of that to the host.
 *
 * The tokens of the draw that began last stay on the device: the next pass's embedding reads them there (a token below
 * 0). All that the host wants of a draw is copied into pinned memory behind the draw's list, and an event stands behind
 * that: who takes the draw waits for this event, not for the lists that came after it. A draw's place (of
 * DRAWS_STARTED) is where its results arrive, which event is its own, and which side of the ring its pass's arrays were
 * uploaded from (queue.h).
 */
#ifndef ASSAY_COMPUTE_CUDA_DRAWS_H
#define ASSAY_COMPUTE_CUDA_DRAWS_H

#include "compute/cuda/queue.h"

/* What logp_behaviour is; the host takes the logarithm in f64. */
enum behaviour { BEHAVIOUR_CERTAIN, BEHAVIOUR_LOGP, BEHAVIOUR_RATIO, BEHAVIOUR_NAN };

struct drawn {
  int32_t id, behaviour;
  real logp, entropy;
  double weight, total;
};

/* struct device_memory's. */
int CUDA_NAME(draws_reserve)(struct device *d, int32_t rows, struct error *err);
void CUDA_NAME(draws_close)(struct device *d);
/* Runs what is listed, the draw of this place with it, and sends its results on their way. */
void CUDA_NAME(draws_send)(struct device *d, int place);
/* Waits for them; NULL where the device has failed. */
const struct drawn *CUDA_NAME(draws_receive)(struct device *d, int place);

/* Tokens of a pass are of this weight, or of the draw that began last. */
static inline void tokens_check(const struct device *d, const struct weight *w, int32_t count, const int32_t *token)
{
  const int32_t drawn = draws_last_rows(d);
  for (int32_t i = 0; i < count; i++) ASSAY_BUG_IF(token[i] < 0 ? ~token[i] >= drawn : (size_t)token[i] >= w->n);
}

/* Tokens as kernels read them. */
struct tokens {
  const int32_t *token, *drawn;
};
static inline struct tokens tokens_upload(struct device *d, const int32_t *token, int32_t count)
{
  struct tokens t = {CUDA_UPLOAD(d, token, (size_t)count), cuda_of(d)->drawn_ids};
  return t;
}
HERE size_t token_at(const struct tokens *t, size_t i)
{
  const int32_t token = t->token[i];
  return (size_t)(token < 0 ? t->drawn[~token] : token);
}

#endif

#include "compute/cuda/draws.h"

void CUDA_NAME(draws_close)(struct device *d)
{
  struct cuda_device *c = cuda_of(d);
  if (c->drawn) CUDA_NAME(bytes_give)(d, c->drawn);
  if (c->drawn_ids) CUDA_NAME(bytes_give)(d, c->drawn_ids);
  if (c->arrived) CUDA_NAME(pinned_give)(c->arrived);
  c->drawn = NULL;
  c->drawn_ids = NULL;
  c->arrived = NULL;
}

int CUDA_NAME(draws_reserve)(struct device *d, int32_t rows, struct error *err)
{
  struct cuda_device *c = cuda_of(d);
  const size_t n = (size_t)rows;
  d->memory->sync(d); /* a list may still read the last draw's tokens */
  CUDA_NAME(draws_close)(d);
  c->drawn = (struct drawn *)CUDA_NAME(bytes_take)(d, n * sizeof *c->drawn);
  c->drawn_ids = (int32_t *)CUDA_NAME(bytes_take)(d, n * sizeof *c->drawn_ids);
  c->arrived = (struct drawn *)CUDA_NAME(pinned_take)(DRAWS_STARTED * n * sizeof *c->arrived);
  if (c->drawn && c->drawn_ids && c->arrived) return 0;
  return error_fail(err, ERROR_RESOURCE, NULL, 0, "device", "the GPU has no room for draws of %d rows; lower compute.slots",
                    rows);
}

void CUDA_NAME(draws_send)(struct device *d, int place)
{
  struct cuda_device *c = cuda_of(d);
  const size_t bytes = (size_t)d->draws.rows[place] * sizeof *c->arrived;
  struct drawn *to = c->arrived + (size_t)place * (size_t)d->draws.room;
  memset(to, 0xff, bytes); /* whoever reads too early sees no token */
  CUDA_NAME(queue_send)(d, place, to, c->drawn, bytes);
}

const struct drawn *CUDA_NAME(draws_receive)(struct device *d, int place)
{
  CUDA_NAME(queue_receive)(d, place);
  return device_failed(d) ? NULL : cuda_of(d)->arrived + (size_t)place * (size_t)d->draws.room;
}

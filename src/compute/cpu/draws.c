/* cpu/draws: a draw in two halves where the host is the device: it is made at the start, and its results wait. */
#include "compute/cpu/cpu.h"

#include <string.h>
#include "core/arena.h"

int host_draws(struct device *d, int32_t rows, struct error *err)
{
  for (int i = 0; i < DRAWS_STARTED; i++) {
    memory_free(d->draws.results[i]);
    d->draws.results[i] = memory_alloc((size_t)rows, sizeof *d->draws.results[i], "draws", err);
    if (!d->draws.results[i]) return err->code;
  }
  return 0;
}

void host_sample_start(struct device *d, const struct weight *w, double record_temperature, int32_t count,
                       struct view hidden, struct view scratch, const struct sample_params *params)
{
  const int place = draws_begin(d, count);
  d->ops.head_sample(d, w, record_temperature, count, hidden, scratch, params, d->draws.results[place]);
}

void host_sample_take(struct device *d, struct sample_result *out)
{
  const int place = draws_end(d);
  if (out) memcpy(out, d->draws.results[place], (size_t)d->draws.rows[place] * sizeof *out);
}

void host_tokens_check(const struct device *d, const struct weight *w, int32_t count, const int32_t *token)
{
  const int32_t drawn = draws_last_rows(d);
  for (int32_t i = 0; i < count; i++) ASSAY_BUG_IF(token[i] < 0 ? ~token[i] >= drawn : (size_t)token[i] >= w->n);
}

#include "train/row_terms.h"

#include <string.h>

#include "core/math.h"

static bool wants(const struct composed_row *row, int32_t i)
{
  return row->term.scale[i] < 0 || row->term.scale[i] > 0;
}

/* dL/dz of a path token's row: the sum over terms, in table order. */
static void look(void *arg, int32_t item, int32_t place, const double *logp, double *gradient, double *scratch)
{
  const struct row_terms *t = arg;
  int32_t i = t->items->items[item];
  const double *other[NEEDS_NAMED];
  for (int32_t k = 0; k < t->loss->row_count; k++) {
    const struct composed_row *row = &t->loss->rows[k];
    if (!wants(row, i)) continue;
    for (int32_t q = 0; q < row->source_count; q++) {
      const struct term_source *source = &t->sources[t->map[k * NEEDS_NAMED + q]];
      other[q] = source->before[i] < 0 ? NULL : source->reader->logp + (size_t)place * t->vocab;
    }
    struct row_input in = {.vocab = (int32_t)t->vocab,
                           .target = step_record(t->m->step, t->m->token[i])->id,
                           .token = i,
                           .logp = logp,
                           .other = other,
                           .scratch = scratch + t->vocab};
    memset(scratch, 0, t->vocab * sizeof *scratch);
    t->value[k][i] = row->term.at(row->term.arg, &in, scratch);
    double scale = row->factor * row->term.scale[i];
    for (size_t v = 0; v < t->vocab; v++) gradient[v] += scale * scratch[v];
  }
}

/* The sources' rows for the next items. */
static int prepare(void *arg, const int32_t *items, int32_t count, struct error *err)
{
  struct row_terms *t = arg;
  for (int32_t q = 0; q < t->source_count; q++) {
    const float *hidden[ROW_BLOCK];
    const struct term_source *source = &t->sources[q];
    for (int32_t k = 0; k < count; k++)
      hidden[k] = states_row(source->states, LAYER_LAST, source->before[t->items->items[items[k]]]);
    TRY(row_reader_read(source->reader, hidden, count, t->temperature, err));
  }
  return 0;
}

static int map_sources(struct row_terms *t, struct arena *a, const struct needs *n, struct error *err)
{
  int32_t *map = ARENA_NEW(a, int32_t, (size_t)t->loss->row_count * NEEDS_NAMED, "row terms", err);
  if (!map) return err->code;
  for (int32_t k = 0; k < t->loss->row_count; k++) {
    const struct composed_row *row = &t->loss->rows[k];
    for (int32_t q = 0; q < row->source_count; q++)
      while (n->row_sources[map[k * NEEDS_NAMED + q]].second != row->sources[q].second ||
             strcmp(n->row_sources[map[k * NEEDS_NAMED + q]].policy, row->sources[q].policy))
        map[k * NEEDS_NAMED + q]++;
  }
  t->map = map;
  return 0;
}

int row_terms_open(struct row_terms *t, struct arena *a, const struct needs *n, const struct minibatch *m,
                   const struct composed_loss *loss, const struct token_pass *pass, struct error *err)
{
  t->m = m;
  t->loss = loss;
  t->temperature = m->step->temperature;
  t->vocab = (size_t)pass->trainer->model->config.vocab;
  struct token_items *items = ARENA_NEW(a, struct token_items, 1, "row terms", err);
  int32_t *target = ARENA_NEW(a, int32_t, (size_t)m->count, "row terms", err);
  t->value = ARENA_NEW(a, double *, (size_t)loss->row_count, "row terms", err);
  if (!items || !target || !t->value) return err->code;
  for (int32_t k = 0; k < loss->row_count; k++)
    if (!(t->value[k] = ARENA_NEW(a, double, (size_t)m->count, "row terms", err))) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    bool any = false;
    for (int32_t k = 0; k < loss->row_count; k++) any = any || wants(&loss->rows[k], i);
    target[i] = any ? pass->target[i] : -1;
  }
  TRY(map_sources(t, a, n, err));
  TRY(token_pass_items(pass, target, a, items, err));
  t->items = items;
  t->rows =
      (struct trainer_rows){.first = items->first, .arg = t, .prepare = t->source_count ? prepare : NULL, .at = look};
  return 0;
}

int row_terms_finish(const struct row_terms *t, struct composed_loss *loss, struct error *err)
{
  char name[128];
  for (int32_t k = 0; k < loss->row_count; k++) {
    const struct composed_row *row = &loss->rows[k];
    double sum = 0, kl = 0;
    for (int32_t i = 0; i < t->m->count; i++) {
      double d = t->value[k][i];
      if (!math_is_finite(d))
        FAIL(err, ERROR_INPUT,
             "%s gives %g for the whole row of a token of %s; expected a finite number; look at its options",
             row->call->method->name, d,
             step_rollout_name(t->m->step, t->m->step->path[t->m->token[i]].rollout, name, sizeof name));
      sum += row->factor * row->term.scale[i] * d;
      kl += d;
    }
    loss->loss += sum;
    loss->regulariser_loss += sum;
    if (row->term.is_kl && t->m->count) loss->kl = kl / t->m->count;
  }
  return 0;
}

#include "method/part_grid.h"
#include <string.h>

static int make_room(const struct calc_case *c, struct grid *g, struct error *err)
{
  size_t n = (size_t)g->batch.count;
  double *x = ARENA_NEW(c->arena, double, 6 * n, "calc", err);
  g->loss.clipped = ARENA_NEW(c->arena, uint8_t, n, "calc", err);
  if (!x || !g->loss.clipped) return err->code;
  memset(x, 0, 6 * n * sizeof *x);
  g->scale = x;
  g->loss.loss = x + n;
  g->loss.coef = x + 2 * n;
  g->loss.entropy_coef = x + 3 * n;
  double *weight = x + 4 * n, *counted = x + 5 * n;
  for (size_t i = 0; i < n; i++) weight[i] = counted[i] = 1;
  g->batch.weight = weight;
  g->batch.counted = counted;
  return 0;
}

/* Tokens are the entries where the masks are not 0. */
static int find_tokens(const struct calc_case *c, const struct grid_names *names, struct grid *g, struct error *err)
{
  struct calc_grid too;
  struct minibatch *m;
  const char *more = names->mask_too ? names->mask_too + (*names->mask_too == '?') : NULL;
  TRY(calc_grid(c, names->mask, &g->mask, err));
  if (more) {
    TRY(calc_grid_like(c, more, &g->mask, more == names->mask_too ? __builtin_nan("") : 1, &too, err));
    for (size_t i = 0; i < g->mask.rows * g->mask.width; i++)
      if (too.at[i] == 0) g->mask.at[i] = 0;
  }
  TRY(calc_minibatch(c, &g->mask, true, &m, err));
  g->batch = *m;
  g->rows = g->mask.rows;
  g->width = g->mask.width;
  g->row = ARENA_NEW(c->arena, int32_t, 2 * (size_t)m->count + 1, "calc", err);
  if (!g->row) return err->code;
  g->col = g->row + m->count;
  for (int32_t i = 0; i < m->count; i++) {
    g->row[i] = m->token[i] / (int32_t)g->width;
    g->col[i] = m->token[i] % (int32_t)g->width;
  }
  for (int32_t s = 0; s < m->sequence_count; s++) g->filled += m->sequences[s].count > 0;
  return 0;
}

/* A field at the tokens; NULL where it may be absent and is. */
static int read_field(const struct calc_case *c, const struct grid *g, const char *name, double **out,
                      struct error *err)
{
  *out = NULL;
  if (!name) return 0;
  bool optional = *name == '?';
  if (optional && !json_object_get(c->inputs, name + 1)) return 0;
  return calc_tokens(c, name + optional, &g->mask, &g->batch, out, err);
}

int grid_open(const struct calc_case *c, const struct grid_names *names, struct grid *out, struct error *err)
{
  *out = (struct grid){0};
  TRY(find_tokens(c, names, out, err));
  TRY(make_room(c, out, err));
  const char *const fields[] = {names->logp,      names->old,     names->advantage, names->weight,
                                names->reference, names->entropy, names->sampler};
  double *read[7] = {0};
  for (int i = 0; i < 7; i++) TRY(read_field(c, out, fields[i], &read[i], err));
  out->batch.logp = read[0];
  out->batch.old = read[1];
  out->batch.advantage = read[2];
  if (read[3]) out->batch.weight = read[3];
  out->batch.reference = read[4];
  out->batch.entropy = read[5];
  out->sampler = read[6];
  return 0;
}

json_t *grid_rectangle(const struct grid *g, const double *x)
{
  return calc_tokens_json(&g->mask, &g->batch, x);
}

double grid_total(const struct grid *g, const double *x)
{
  double sum = 0;
  for (int32_t i = 0; i < g->batch.count; i++) sum += x[i];
  return sum;
}

double grid_mean(const struct grid *g, const double *x)
{
  return g->batch.count ? grid_total(g, x) / g->batch.count : 0;
}

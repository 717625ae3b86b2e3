#include "method/part_grid.h"
#include <string.h>

static int missing(const struct calc_case *c, const char *name, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, c->file, 0, name, "case \"%s\": found no %s in its inputs", c->name, name);
}

/* A list of numbers is one number a row. */
static int read_field(const struct calc_case *c, const char *name, size_t rows, size_t width, struct calc_matrix *out,
                      struct error *err)
{
  *out = (struct calc_matrix){0};
  if (!name) return 0;
  bool optional = *name == '?';
  const json_t *v = json_object_get(c->inputs, name + optional);
  if (!v) return optional ? 0 : missing(c, name, err);
  TRY(calc_matrix(c, v, out, err));
  if (!rows) return 0;
  bool list = out->row_count == 1 && json_is_array(v) && !json_is_array(json_array_get(v, 0));
  for (size_t r = 0; r < out->row_count; r++)
    if (out->rows[r].count != (list ? rows : width) || (!list && out->row_count != rows))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, name, "case \"%s\": found %s of another shape than its mask", c->name,
              name + optional);
  return 0;
}

/* One number a row where the field is a plain list. */
static double pick(const struct calc_matrix *m, bool list, int32_t row, int32_t col)
{
  return list ? m->rows[0].at[row] : m->rows[row].at[col];
}

static bool is_list(const struct calc_case *c, const char *name)
{
  const json_t *v = name ? json_object_get(c->inputs, name + (*name == '?')) : NULL;
  return json_is_array(v) && !json_is_array(json_array_get(v, 0));
}

static double *column(const struct calc_case *c, const struct grid *g, const char *name, const struct calc_matrix *m,
                      struct error *err)
{
  double *x = ARENA_NEW(c->arena, double, (size_t)g->batch.count, "calc", err);
  bool list = is_list(c, name);
  for (int32_t i = 0; x && i < g->batch.count; i++) x[i] = pick(m, list, g->row[i], g->col[i]);
  return x;
}

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
static int find_tokens(const struct calc_case *c, const struct calc_matrix *mask, const struct calc_matrix *too,
                       struct grid *g, struct error *err)
{
  size_t most = g->rows * g->width;
  struct minibatch_sequence *sequences = ARENA_NEW(c->arena, struct minibatch_sequence, g->rows, "calc", err);
  g->row = ARENA_NEW(c->arena, int32_t, 2 * most, "calc", err);
  if (!sequences || !g->row) return err->code;
  g->col = g->row + most;
  int32_t n = 0;
  for (size_t r = 0; r < g->rows; r++) {
    int32_t first = n;
    for (size_t t = 0; t < g->width; t++) {
      if (mask->rows[r].at[t] == 0 || (too->row_count && too->rows[r].at[t] == 0)) continue;
      g->row[n] = (int32_t)r;
      g->col[n++] = (int32_t)t;
    }
    sequences[r] = (struct minibatch_sequence){(int32_t)r, first, n - first};
    g->filled += n > first;
  }
  g->batch.count = n;
  g->batch.sequences = sequences;
  g->batch.sequence_count = (int32_t)g->rows;
  return 0;
}

int grid_open(const struct calc_case *c, const struct grid_names *names, struct grid *out, struct error *err)
{
  *out = (struct grid){0};
  struct calc_matrix mask, too, m;
  TRY(read_field(c, names->mask, 0, 0, &mask, err));
  out->rows = mask.row_count;
  out->width = mask.rows[0].count;
  for (size_t r = 0; r < out->rows; r++)
    if (mask.rows[r].count != out->width)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, names->mask, "case \"%s\": found rows of %s of several lengths", c->name,
              names->mask);
  TRY(read_field(c, names->mask_too, out->rows, out->width, &too, err));
  TRY(find_tokens(c, &mask, &too, out, err));
  TRY(make_room(c, out, err));
  const char *const fields[] = {names->logp,      names->old,     names->advantage, names->weight,
                                names->reference, names->entropy, names->sampler};
  double *read[7] = {0};
  for (int i = 0; i < 7; i++) {
    TRY(read_field(c, fields[i], out->rows, out->width, &m, err));
    if (m.row_count && !(read[i] = column(c, out, fields[i], &m, err))) return err->code;
  }
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
  json_t *out = json_array();
  int32_t i = 0;
  for (size_t r = 0; r < g->rows; r++) {
    json_t *row = json_array();
    for (size_t t = 0; t < g->width; t++) {
      bool token = i < g->batch.count && g->row[i] == (int32_t)r && g->col[i] == (int32_t)t;
      json_array_append_new(row, calc_number(token ? x[i++] : 0));
    }
    json_array_append_new(out, row);
  }
  return out;
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

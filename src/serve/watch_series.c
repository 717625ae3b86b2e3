#include "serve/watch_series.h"

#include <string.h>

static void free_series(void *arg)
{
  struct series *s = arg;
  for (int i = 0; i < s->column_count; i++) memory_free(s->columns[i].cells);
  s->column_count = 0;
}

void series_clear(struct series *s)
{
  free_series(s);
  *s = (struct series){
      .buckets = s->buckets, .columns = s->columns, .stride = 1, .generation = s->generation + 1, .last_step = -1};
}

int series_create(struct arena *a, struct series **out, struct error *err)
{
  struct series *s = ARENA_NEW(a, struct series, 1, "watch", err);
  if (!s) return err->code;
  s->buckets = ARENA_NEW(a, struct series_bucket, SERIES_BUCKETS, "watch", err);
  s->columns = ARENA_NEW(a, struct series_column, SERIES_MOST, "watch", err);
  if (!s->buckets || !s->columns) return err->code;
  series_clear(s);
  *out = s;
  return arena_on_reset(a, free_series, s, err);
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static void cell_join(struct series_cell *c, const struct series_cell *more)
{
  if (!more->count) return;
  if (!c->count) {
    *c = *more;
    return;
  }
  double of = (double)c->count + (double)more->count;
  c->mean = c->mean * ((double)c->count / of) + more->mean * ((double)more->count / of);
  if (more->low < c->low) c->low = more->low;
  if (more->high > c->high) c->high = more->high;
  c->count += more->count;
}

/* Neighbours become one bucket. */
static void halve(struct series *s)
{
  int half = s->bucket_count / 2;
  for (int i = 0; i < half; i++) {
    struct series_bucket *left = &s->buckets[2 * i], *right = left + 1;
    s->buckets[i] = (struct series_bucket){left->first, right->last, right->elapsed, left->rows + right->rows};
    for (int c = 0; c < s->column_count; c++) {
      struct series_cell *cells = s->columns[c].cells, joined = cells[2 * i];
      cell_join(&joined, &cells[2 * i + 1]);
      cells[i] = joined;
    }
  }
  for (int c = 0; c < s->column_count; c++)
    memset(s->columns[c].cells + half, 0, (size_t)(SERIES_BUCKETS - half) * sizeof(struct series_cell));
  s->bucket_count = half;
  s->stride *= 2;
  s->generation++;
}

/* The column of a name, a new one where it is not known; NULL where there is no room for it. guess: where to look
 * first; names come in the same order in every line. */
static int find_column(struct series *s, const char *name, int guess, struct series_column **out, struct error *err)
{
  *out = guess < s->column_count && !strcmp(s->columns[guess].name, name) ? &s->columns[guess] : NULL;
  for (int i = 0; i < s->column_count && !*out; i++)
    if (!strcmp(s->columns[i].name, name)) *out = &s->columns[i];
  if (*out || s->column_count == SERIES_MOST || strlen(name) >= SERIES_NAME) return 0;
  struct series_column *c = &s->columns[s->column_count];
  c->cells = memory_alloc(SERIES_BUCKETS, sizeof *c->cells, "watch", err);
  if (!c->cells) return err->code;
  memcpy(c->name, name, strlen(name) + 1);
  s->column_count++;
  *out = c;
  return 0;
}

static double number_of(const json_t *row, const char *name)
{
  const json_t *v = json_object_get(row, name);
  return json_is_number(v) ? json_number_value(v) : 0;
}

static void add_totals(struct series *s, const json_t *row)
{
  s->elapsed += number_of(row, "time_s");
  s->mismatch += number_of(row, "mismatch");
  s->mismatch_of += number_of(row, "mismatch/of");
  s->tokens += number_of(row, "tokens/generated");
  s->trained += number_of(row, "tokens/trained");
  s->rows++;
}

static struct series_bucket *bucket_for_row(struct series *s, int64_t step)
{
  struct series_bucket *last = s->bucket_count ? &s->buckets[s->bucket_count - 1] : NULL;
  if (last && last->rows < s->stride) return last;
  if (s->bucket_count == SERIES_BUCKETS) halve(s);
  last = &s->buckets[s->bucket_count++];
  *last = (struct series_bucket){.first = step};
  return last;
}

int series_add(struct series *s, const json_t *row, struct error *err)
{
  const char *name;
  json_t *value;
  int guess = 0;
  const json_t *step = json_object_get(row, "step");
  if (!json_is_integer(step)) FAIL(err, ERROR_INPUT, "found a line without a step; expected {\"step\": 1, ...}");
  struct series_bucket *b = bucket_for_row(s, json_integer_value(step));
  add_totals(s, row);
  b->last = s->last_step = json_integer_value(step);
  b->elapsed = s->elapsed;
  b->rows++;
  json_object_foreach((json_t *)row, name, value)
  {
    struct series_column *c;
    if (!json_is_number(value) || !strcmp(name, "step")) continue;
    TRY(find_column(s, name, guess, &c, err));
    if (c) guess = (int)(c - s->columns) + 1;
    double x = json_number_value(value);
    struct series_cell one = {.mean = x, .low = (float)x, .high = (float)x, .count = 1};
    if (c) cell_join(&c->cells[b - s->buckets], &one);
  }
  return 0;
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

enum which { MEAN, LOW, HIGH };

static void put_column(const struct series_column *c, int from, int count, enum which which, struct text *t)
{
  for (int i = from; i < count; i++) {
    const struct series_cell *x = &c->cells[i];
    if (i > from) text_puts(t, ",");
    if (!x->count)
      text_puts(t, "null");
    else
      json_put_f32(t, which == MEAN ? (float)x->mean : which == LOW ? x->low : x->high);
  }
}

static void put_columns(const struct series *s, const char *title, int from, enum which which, struct text *t)
{
  text_printf(t, ",\"%s\":{", title);
  for (int c = 0; c < s->column_count; c++) {
    if (c) text_puts(t, ",");
    json_put_string(t, s->columns[c].name, strlen(s->columns[c].name));
    text_puts(t, ":[");
    put_column(&s->columns[c], from, s->bucket_count, which, t);
    text_puts(t, "]");
  }
  text_puts(t, "}");
}

void series_put(const struct series *s, int64_t generation, int from, struct text *t)
{
  if (generation != s->generation || from < 0 || from > s->bucket_count) from = 0;
  text_printf(t, "{\"generation\":%lld,\"from\":%d,\"stride\":%lld,\"step\":[", (long long)s->generation, from,
              (long long)s->stride);
  for (int i = from; i < s->bucket_count; i++)
    text_printf(t, i > from ? ",%lld" : "%lld", (long long)s->buckets[i].last);
  text_puts(t, "],\"elapsed\":[");
  for (int i = from; i < s->bucket_count; i++) {
    if (i > from) text_puts(t, ",");
    json_put_f32(t, (float)s->buckets[i].elapsed);
  }
  text_puts(t, "]");
  put_columns(s, "series", from, MEAN, t);
  if (s->stride > 1) {
    put_columns(s, "low", from, LOW, t);
    put_columns(s, "high", from, HIGH, t);
  }
  text_puts(t, "}");
}

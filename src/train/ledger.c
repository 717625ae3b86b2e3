#include "train/ledger.h"

#include "core/file.h"
#include "core/math.h"

#include <string.h>

static void free_lists(void *arg)
{
  struct ledger *l = arg;
  memory_free(l->points);
  memory_free(l->results);
}

int ledger_create(struct arena *a, bool sft, struct ledger **out, struct error *err)
{
  *out = ARENA_NEW(a, struct ledger, 1, "ledger", err);
  if (!*out) return err->code;
  (*out)->sft = sft;
  return arena_on_reset(a, free_lists, *out, err);
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

/* Room for one more item of `size` bytes in a list. */
static int make_room(void **items, size_t count, size_t *room, size_t size, struct error *err)
{
  if (count < *room) return 0;
  size_t more = *room ? 2 * *room : 64;
  void *grown = *items ? memory_resize(*items, more, size, "ledger", err) : memory_alloc(more, size, "ledger", err);
  if (!grown) return err->code;
  *items = grown;
  *room = more;
  return 0;
}

static int add_point(struct ledger *l, int64_t step, double value, struct error *err)
{
  TRY(make_room((void **)&l->points, l->point_count, &l->point_room, sizeof *l->points, err));
  l->points[l->point_count++] = (struct ledger_point){step, value};
  return 0;
}

/* Index of a set by its name's first n bytes, -1 where there is no room for another. */
static int find_set(struct ledger *l, const char *name, size_t n)
{
  for (int i = 0; i < l->set_count; i++)
    if (strlen(l->sets[i]) == n && !memcmp(l->sets[i], name, n)) return i;
  if (l->set_count == LEDGER_SETS || n >= sizeof l->sets[0]) return -1;
  memcpy(l->sets[l->set_count], name, n);
  l->sets[l->set_count][n] = '\0';
  return l->set_count++;
}

/* eval/<name>/accuracy with its interval. */
static int add_results(struct ledger *l, int64_t step, const struct metrics *m, struct error *err)
{
  static const char head[] = "eval/", tail[] = "/accuracy";
  for (int i = 0; i < m->count; i++) {
    const char *name = m->rows[i].name, *end = strstr(name, tail);
    if (strncmp(name, head, sizeof head - 1) || !end || end[sizeof tail - 1]) continue;
    const char *set_name = name + sizeof head - 1;
    char key[80];
    int n = (int)(end - set_name), set = find_set(l, set_name, (size_t)n);
    if (set < 0) continue;
    struct ledger_result r = {.step = step, .set = set, .accuracy = m->rows[i].value};
    snprintf(key, sizeof key, "eval/%.*s/low", n, set_name);
    r.low = metrics_get(m, key);
    snprintf(key, sizeof key, "eval/%.*s/high", n, set_name);
    r.high = metrics_get(m, key);
    TRY(make_room((void **)&l->results, l->result_count, &l->result_room, sizeof *l->results, err));
    l->results[l->result_count++] = r;
  }
  return 0;
}

static void add_real(double *sum, const struct metrics *m, const char *name)
{
  double value = metrics_get(m, name);
  if (math_is_finite(value)) *sum += value;
}

static void add_count(int64_t *sum, const struct metrics *m, const char *name)
{
  double value = metrics_get(m, name);
  if (math_is_finite(value)) *sum += (int64_t)value;
}

int ledger_add(struct ledger *l, const struct metrics *m, struct error *err)
{
  int64_t step = 0;
  double value = metrics_get(m, l->sft ? "loss" : "solved"), peak = metrics_get(m, "memory/peak_mib");
  add_count(&step, m, "step");
  if (math_is_finite(value)) TRY(add_point(l, step, value, err));
  TRY(add_results(l, step, m, err));
  add_count(&l->generated, m, "tokens/generated");
  add_count(&l->trained, m, "tokens/trained");
  add_count(&l->mismatch, m, "mismatch");
  add_count(&l->mismatch_of, m, "mismatch/of");
  add_real(&l->steps_seconds, m, "time_s");
  add_real(&l->generate_seconds, m, "seconds/generate");
  add_real(&l->verify_seconds, m, "seconds/verify");
  add_real(&l->train_seconds, m, "seconds/train");
  add_real(&l->save_seconds, m, "seconds/save");
  add_real(&l->evaluate_seconds, m, "seconds/evaluate");
  if (peak > l->peak_mib) l->peak_mib = peak;
  return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int read_line(struct metrics *m, struct arena *a, const char *line, size_t n, const char *path, int number,
                     struct error *err)
{
  json_t *object, *value;
  const char *name;
  TRY(json_parse(a, line, n, path, number - 1, JSON_READ_PLAIN, &object, err));
  m->count = 0;
  json_object_foreach(object, name, value)
  {
    if (json_is_number(value) && strlen(name) < sizeof m->rows[0].name && m->count < METRICS_MOST)
      metrics_set(m, name, json_number_value(value));
  }
  return 0;
}

int ledger_read(struct ledger *l, struct arena *scratch, const char *path, struct error *err)
{
  if (!file_exists(path)) return 0;
  struct line_reader *reader;
  struct metrics *m = ARENA_NEW(scratch, struct metrics, 1, "ledger", err);
  if (!m) return err->code;
  TRY(line_reader_open(scratch, path, &reader, err));
  for (;;) {
    char *line;
    size_t n;
    int number;
    TRY(line_reader_next(reader, &line, &n, &number, err));
    if (!line) return 0;
    struct arena_mark mark = arena_mark(scratch);
    TRY(read_line(m, scratch, line, n, path, number, err));
    TRY(ledger_add(l, m, err));
    arena_release(scratch, mark);
  }
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

const struct ledger_result *ledger_first(const struct ledger *l, int set)
{
  for (size_t i = 0; i < l->result_count; i++)
    if (l->results[i].set == set) return &l->results[i];
  return NULL;
}

const struct ledger_result *ledger_last(const struct ledger *l, int set)
{
  for (size_t i = l->result_count; i > 0; i--)
    if (l->results[i - 1].set == set) return &l->results[i - 1];
  return NULL;
}

int64_t ledger_last_step(const struct ledger *l)
{
  int64_t last = l->point_count ? l->points[l->point_count - 1].step : 0;
  if (l->result_count && l->results[l->result_count - 1].step > last) last = l->results[l->result_count - 1].step;
  return last;
}

void ledger_buckets(const struct ledger *l, int n, double *out)
{
  size_t count = l->point_count, parts = (size_t)n;
  for (size_t b = 0; b < parts; b++) {
    size_t begin = b * count / parts, end = (b + 1) * count / parts;
    double sum = 0;
    if (end == begin) end = begin + 1;
    for (size_t i = begin; i < end; i++) sum += l->points[i].value;
    out[b] = sum / (double)(end - begin);
  }
}

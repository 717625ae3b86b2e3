#include "eval/attempts.h"
#include <stdlib.h>
#include <string.h>
#include "core/file.h"

int attempt_list_add(struct arena *a, struct attempt_list *l, const struct attempt *attempt, struct error *err)
{
  if (l->count == l->room) {
    size_t room = l->room ? 2 * l->room : 256;
    struct attempt *grown = ARENA_NEW(a, struct attempt, room, "eval", err);
    if (!grown) return err->code;
    if (l->count) memcpy(grown, l->items, l->count * sizeof *grown);
    l->items = grown;
    l->room = room;
  }
  l->items[l->count++] = *attempt;
  return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_text(struct text *t, const char *s)
{
  if (s)
    json_put_string(t, s, strlen(s));
  else
    text_puts(t, "null");
}

static void put_known(struct text *t, const char *key, const char *s)
{
  if (!s) return;
  text_printf(t, ", \"%s\": ", key);
  json_put_string(t, s, strlen(s));
}

void attempt_put_fields(struct text *t, const struct attempt *p)
{
  text_puts(t, "\"problem\": ");
  put_text(t, p->problem);
  text_printf(t, ", \"sample\": %lld, \"reward\": ", (long long)p->sample);
  json_put_f64(t, p->reward);
  text_printf(t, ", \"correct\": %s, \"readable\": %s, \"extracted\": ", p->correct ? "true" : "false",
              p->readable ? "true" : "false");
  put_text(t, p->extracted);
  text_printf(t, ", \"tokens\": %lld, \"finish\": ", (long long)p->tokens);
  put_text(t, p->finish);
  if (p->failed) text_puts(t, ", \"failed\": true");
  put_known(t, "data", p->data);
  put_known(t, "domain", p->domain);
  if (p->seeded) text_printf(t, ", \"seed\": %lld", (long long)p->seed);
  if (p->greedy) text_puts(t, ", \"greedy\": true");
  if (p->recorded) {
    text_puts(t, ", \"entropy\": ");
    json_put_f64(t, p->entropy);
    text_puts(t, ", \"logp\": ");
    json_put_f64(t, p->logp);
  }
  put_known(t, "reason", p->reason);
  if (p->text) text_puts(t, ", \"text\": "), json_put_string(t, p->text, p->text_size);
  put_known(t, "verifier", p->verifier);
  if (p->settings) text_printf(t, ", \"settings\": %s", p->settings);
  put_known(t, "answer", p->answer);
  if (p->fields) text_printf(t, ", \"fields\": %s", p->fields);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* A member of the line, or of its verdict (a run's rollouts). */
static const json_t *find(const json_t *line, const char *key)
{
  const json_t *v = json_object_get(line, key);
  return v ? v : json_object_get(json_object_get(line, "verdict"), key);
}

static int copy_string(struct arena *a, const json_t *v, const char **out, struct error *err)
{
  *out = NULL;
  if (!json_is_string(v)) return 0;
  *out = arena_strndup(a, json_string_value(v), json_string_length(v), "eval", err);
  return *out ? 0 : err->code;
}

/* Any value as it would be written; text without quotes where `plain`. */
static int copy_value(struct arena *a, const json_t *v, bool plain, const char **out, struct error *err)
{
  struct text t = {0};
  *out = NULL;
  if (!v || json_is_null(v)) return 0;
  if (plain && json_is_string(v)) return copy_string(a, v, out, err);
  json_put_value(&t, v);
  int rc = text_finish(&t, err);
  if (!rc && !(*out = arena_strndup(a, t.bytes, t.size, "eval", err))) rc = err->code;
  text_free(&t);
  return rc;
}

static const char *finish_of(const json_t *line)
{
  const char *finish = json_string_value(json_object_get(line, "finish"));
  if (!finish) return NULL;
  return !strcmp(finish, "stop") ? "stop" : !strcmp(finish, "length") ? "length" : NULL;
}

/* Tokens as told, or counted from a rollout's ids. */
static int read_tokens(const json_t *line, int64_t *out, struct error *err)
{
  const json_t *ids = json_object_get(line, "ids");
  int64_t from, n = (int64_t)json_array_size(ids);
  TRY(json_int_or(line, "from", 0, INT64_MAX, 0, &from, NULL, err));
  return json_int_or(line, "tokens", -1, INT64_MAX, json_is_array(ids) && from <= n ? n - from : -1, out, NULL, err);
}

static double sum_of(const json_t *list)
{
  double sum = 0;
  for (size_t i = 0; i < json_array_size(list); i++) sum += json_number_value(json_array_get(list, i));
  return sum;
}

/* Numbers, or a rollout's lists of them. */
static void read_records(const json_t *line, struct attempt *out)
{
  const json_t *entropy = json_object_get(line, "entropy"), *logp = json_object_get(line, "logp");
  size_t n = json_array_size(entropy);
  out->recorded = (json_is_number(entropy) || n) && (json_is_number(logp) || json_array_size(logp));
  if (!out->recorded) return;
  out->entropy = n ? sum_of(entropy) / (double)n : json_number_value(entropy);
  out->logp = json_is_array(logp) ? sum_of(logp) : json_number_value(logp);
}

/* What tells this attempt from others. */
static int read_key(struct arena *a, const json_t *line, struct attempt *out, struct error *err)
{
  const json_t *data = json_object_get(line, "data");
  const char *problem;
  TRY(json_need_string(line, "problem", &problem, NULL, err));
  TRY(copy_string(a, json_object_get(line, "problem"), &out->problem, err));
  TRY(copy_string(a, data ? data : json_object_get(line, "set"), &out->data, err));
  TRY(json_int_or(line, json_object_get(line, "sample") ? "sample" : "rollout", 0, INT64_MAX, 0, &out->sample, NULL,
                  err));
  out->seeded = json_is_integer(json_object_get(line, "seed"));
  out->greedy = json_is_true(json_object_get(line, "greedy"));
  TRY(json_int_or(line, "seed", 0, INT64_MAX, 0, &out->seed, NULL, err));
  TRY(json_int_or(line, "step", 0, INT64_MAX, 0, &out->step, NULL, err));
  TRY(json_int_or(line, "group", 0, INT64_MAX, 0, &out->group, NULL, err));
  return json_int_or(line, "attempt", 0, INT64_MAX, 0, &out->attempt, NULL, err);
}

static int read_verdict(struct arena *a, const json_t *line, struct attempt *out, struct error *err)
{
  const json_t *correct = find(line, "correct"), *readable = find(line, "readable");
  if (!json_is_boolean(correct))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "correct",
            "found no \"correct\"; expected true or false, as assay eval --out writes it");
  out->correct = json_is_true(correct);
  out->failed = json_is_true(find(line, "failed"));
  TRY(copy_string(a, find(line, "extracted"), &out->extracted, err));
  out->readable = json_is_boolean(readable) ? json_is_true(readable) : out->extracted || out->correct;
  TRY(copy_string(a, find(line, "reason"), &out->reason, err));
  return json_real_or(line, "reward", -1e300, 1e300, out->correct ? 1 : 0, &out->reward, NULL, err);
}

static int read_attempt(struct arena *a, const json_t *line, const char *by, struct attempt *out, struct error *err)
{
  *out = (struct attempt){0};
  if (!json_is_object(line))
    FAIL(err, ERROR_INPUT, "found JSON that is no object; expected an attempt as assay eval --out writes it");
  const json_t *text = json_object_get(line, "text"), *fields = json_object_get(line, "fields");
  const json_t *settings = json_object_get(line, "settings"), *domain = by ? json_object_get(line, by) : NULL;
  TRY(read_key(a, line, out, err));
  TRY(read_verdict(a, line, out, err));
  read_records(line, out);
  TRY(copy_string(a, text, &out->text, err));
  out->text_size = json_is_string(text) ? json_string_length(text) : 0;
  TRY(copy_string(a, json_object_get(line, "verifier"), &out->verifier, err));
  TRY(copy_value(a, json_is_object(settings) ? settings : NULL, false, &out->settings, err));
  TRY(copy_value(a, json_object_get(line, "answer"), true, &out->answer, err));
  TRY(copy_value(a, json_is_object(fields) ? fields : NULL, false, &out->fields, err));
  if (by && !domain) domain = json_object_get(fields, by);
  TRY(copy_value(a, by ? domain : json_object_get(line, "domain"), true, &out->domain, err));
  out->finish = finish_of(line);
  return read_tokens(line, &out->tokens, err);
}

int attempts_read(struct arena *a, const char *path, const char *by, struct attempt_list *out, struct error *err)
{
  struct line_reader *reader;
  struct arena *scratch = arena_create("attempts", 0, err);
  char *line;
  size_t n, before = out->count;
  int number, rc = scratch ? 0 : err->code;
  if (!rc) rc = line_reader_open(scratch, path, &reader, err);
  struct arena_mark mark = scratch && !rc ? arena_mark(scratch) : (struct arena_mark){0};
  while (!rc && !(rc = line_reader_next(reader, &line, &n, &number, err)) && line) {
    json_t *object;
    struct attempt attempt;
    if (!n) continue;
    rc = json_parse(scratch, line, n, path, number - 1, JSON_READ_PLAIN, &object, err);
    if (!rc && (rc = read_attempt(a, object, by, &attempt, err))) error_place(err, path, number);
    if (!rc) rc = attempt_list_add(a, out, &attempt, err);
    arena_release(scratch, mark);
  }
  arena_destroy(scratch);
  if (!rc && out->count == before)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found no attempts in the file; expected one JSON object a line");
  return rc;
}

/* ---- telling them apart ------------------------------------------------------------------------------------------ */

static int compare_text(const char *x, const char *y)
{
  return strcmp(x ? x : "", y ? y : "");
}

static int compare_int(int64_t x, int64_t y)
{
  return (x > y) - (x < y);
}

int attempt_compare_problem(const struct attempt *x, const struct attempt *y)
{
  int order = compare_text(x->data, y->data);
  return order ? order : strcmp(x->problem, y->problem);
}

int attempt_compare_key(const struct attempt *x, const struct attempt *y)
{
  int order = attempt_compare_problem(x, y);
  if (!order) order = compare_int(x->seeded, y->seeded);
  if (!order) order = compare_int(x->seed, y->seed);
  if (!order) order = compare_int(x->step, y->step);
  if (!order) order = compare_int(x->group, y->group);
  if (!order) order = compare_int(x->attempt, y->attempt);
  if (!order) order = compare_int(x->sample, y->sample);
  return order ? order : compare_int(x->greedy, y->greedy);
}

static int by_key(const void *x, const void *y)
{
  return attempt_compare_key(*(const struct attempt *const *)x, *(const struct attempt *const *)y);
}

int attempts_check(struct arena *a, const struct attempt_list *l, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  const struct attempt **sorted = ARENA_NEW(a, const struct attempt *, l->count, "eval", err);
  if (!sorted) return err->code;
  for (size_t i = 0; i < l->count; i++) sorted[i] = &l->items[i];
  qsort(sorted, l->count, sizeof *sorted, by_key);
  for (size_t i = 1; i < l->count; i++) {
    const struct attempt *t = sorted[i];
    if (attempt_compare_key(sorted[i - 1], t) != 0) continue;
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--from",
            "found problem \"%s\", seed %lld, sample %lld twice; expected each attempt once; leave out a file, or "
            "evaluate with another --seed",
            t->problem, (long long)t->seed, (long long)t->sample);
  }
  arena_release(a, mark);
  return 0;
}

/* ---- repetition -------------------------------------------------------------------------------------------------- */

/* FNV-1a's step, spread. */
static uint64_t mix(uint64_t h, uint64_t x)
{
  h = (h ^ x) * UINT64_C(0x100000001b3);
  return h ^ (h >> 29);
}

static int by_value(const void *x, const void *y)
{
  uint64_t a, b;
  memcpy(&a, x, sizeof a);
  memcpy(&b, y, sizeof b);
  return (a > b) - (a < b);
}

static size_t hash_words(const char *s, size_t n, uint64_t *to)
{
  size_t count = 0;
  bool inside = false;
  for (size_t i = 0; i < n; i++) {
    bool blank = s[i] == ' ' || (s[i] >= '\t' && s[i] <= '\r');
    if (!blank && !inside) to[count++] = UINT64_C(0xcbf29ce484222325);
    inside = !blank;
    if (inside) to[count - 1] = mix(to[count - 1], (unsigned char)s[i]);
  }
  return count;
}

int attempt_repetition(struct arena *a, const struct attempt *t, double *out, struct error *err)
{
  enum { GRAM = 4 };
  *out = __builtin_nan("");
  if (!t->text) return 0;
  struct arena_mark mark = arena_mark(a);
  uint64_t *units = ARENA_NEW(a, uint64_t, t->text_size / 2 + 1, "eval", err);
  if (!units) return err->code;
  size_t words = hash_words(t->text, t->text_size, units);
  if (words >= GRAM) {
    size_t grams = words - GRAM + 1, distinct = 1;
    for (size_t i = 0; i < grams; i++) { /* in place: gram i needs words i and later */
      uint64_t h = 2;
      for (size_t k = 0; k < GRAM; k++) h = mix(h, units[i + k]);
      units[i] = h;
    }
    qsort(units, grams, sizeof *units, by_value);
    for (size_t i = 1; i < grams; i++) distinct += units[i] != units[i - 1];
    *out = 1 - (double)distinct / (double)grams;
  }
  arena_release(a, mark);
  return 0;
}

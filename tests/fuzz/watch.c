/* links: serve. What a run folder may hold: any bytes as metrics, as a recipe and as lines of rollouts give numbers,
 * rows and answers that are JSON, or one error; what is skimmed of a line is what is read of it. */
#include <string.h>
#include "serve/watch_line.h"
#include "serve/watch_problems.h"
#include "serve/watch_recipe.h"
#include "serve/watch_series.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void expect_json(struct arena *a, struct text *t)
{
  json_t *o;
  struct error err = {0};
  ASSAY_BUG_IF(text_finish(t, &err) || json_parse(a, t->bytes, t->size, "fuzz", 0, JSON_READ_LONG, &o, &err));
  text_free(t);
}

static void read_line(struct arena *a, struct series *s, struct problems *p, const char *line, size_t n)
{
  struct error err = {0};
  struct watch_line skimmed, whole;
  struct problem_history *h;
  json_t *row;
  int32_t ids[16];
  if (json_parse(a, line, n, "fuzz", 0, JSON_READ_LONG, &row, &err) == 0 && series_add(s, row, &err))
    ASSAY_BUG_IF(err.code != ERROR_INPUT || !err.message[0]);
  error_clear(&err);
  int rc = watch_line_skim(a, line, n, &skimmed, &err), again = watch_line_read(a, line, n, &whole, &err);
  if (!rc && !again) {
    ASSAY_BUG_IF(skimmed.key != whole.key || skimmed.verdict != whole.verdict || skimmed.from != whole.from);
    ASSAY_BUG_IF(watch_line_prompt(&skimmed, ids, 16) > 16 || watch_line_prompt(&whole, ids, 16) > 16);
  }
  if (rc) return;
  error_clear(&err);
  ASSAY_BUG_IF(problems_find(p, skimmed.problem, &h, &err));
  ASSAY_BUG_IF(problem_add(h, skimmed.group, skimmed.verdict == 1, &err));
  ASSAY_BUG_IF(problem_set_text(h, skimmed.text, skimmed.text_size, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct text t = {0};
  struct series *s;
  struct problems *p;
  struct arena *a = arena_create("fuzz", 0, &err);
  if (!a) return 0;
  ASSAY_BUG_IF(series_create(a, &s, &err) || problems_create(a, 8, &p, &err));
  /* lines end in a NUL, as line_reader's do */
  const char *at = arena_strndup(a, (const char *)bytes, size, "fuzz", &err), *end = at ? at + size : NULL;
  recipe_rows_put((const char *)bytes, size, &t);
  expect_json(a, &t);
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((stop ? stop : end) - at);
    read_line(a, s, p, at, n);
    at += n + 1;
  }
  series_put(s, -1, 0, &t);
  expect_json(a, &t);
  ASSAY_BUG_IF(problems_put(p, "a", 4, &t, &err));
  expect_json(a, &t);
  arena_destroy(a);
  return 0;
}

/* links: reward. Problem files: any bytes give problems or one error with a line, and every problem read can be judged
 * without harm. */
#include <string.h>
#include "data/source.h"
#include "reward/verify_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* One line as a problem, its own text as the response, by every kind. */
static void judge_line(struct arena *a, const char *line, size_t n)
{
  static const struct source_field fields[] = {{"question", "{question} {answer}"}};
  static const struct source_options mapped = {.fields = fields, .field_count = 1, .suffix = "!", .system = "s"};
  struct error err = {0};
  json_t *object;
  struct problem p;
  if (json_parse(a, line, n, "fuzz", 0, JSON_READ_UNIQUE, &object, &err)) return;
  if (problem_from_object(a, object, &mapped, "fuzz", 1, &p, &err) == 0) ASSAY_BUG_IF(!p.messages && !p.prompt);
  error_clear(&err);
  if (problem_from_object(a, object, NULL, "fuzz", 1, &p, &err) != 0) {
    ASSAY_BUG_IF(!err.code || !err.message[0]);
    return;
  }
  for (size_t i = 0; i < verifier_count(); i++) {
    struct verdict v;
    struct verifier_config *c;
    error_clear(&err);
    if (verifier_at(i)->outside || verifier_open(a, verifier_at(i), NULL, 0, 0, &c, &err)) continue;
    if (verify_now(a, c, &p, line, n, &v, &err) == 0) ASSAY_BUG_IF(!(v.reward >= 0 && v.reward <= 1));
    error_clear(&err);
    /* The answer as its own response is right where it is readable at all: equality is reflexive. */
    if (p.answer && !strcmp(verifier_at(i)->name, "number") &&
        !verify_now(a, c, &p, p.answer, strlen(p.answer), &v, &err))
      ASSAY_BUG_IF(!v.correct);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  if (!a) return 0;
  const char *at = (const char *)bytes, *end = at + size;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((stop ? stop : end) - at);
    judge_line(a, at, n);
    at += n + 1;
  }
  arena_destroy(a);
  return 0;
}

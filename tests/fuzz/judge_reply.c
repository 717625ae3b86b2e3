/* links: reward. What a judge wrote, any bytes: a verdict is one object of these bytes, its expected score lies in the
 * scale. Bytes in front of the first NUL are the reply, those behind it choices[0] as JSON. */
#include <string.h>
#include "reward/judge_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_reply(struct arena *a, const char *text, size_t n, const char *choice, size_t choice_size)
{
  static const char *const keys[] = {"score", "items"};
  struct error err = {0};
  struct judge_found found;
  json_t *o = NULL;
  double expected;
  for (int i = 0; i < 2; i++) {
    if (judge_find(a, text, n, keys[i], &found, &err)) return;
    ASSAY_BUG_IF(!found.verdict == !found.why);
    if (!found.verdict) continue;
    ASSAY_BUG_IF(found.begin >= found.end || found.end > n || text[found.begin] != '{' || text[found.end - 1] != '}');
    ASSAY_BUG_IF(!json_object_get(found.verdict, keys[i]));
    if (json_parse(a, choice, choice_size, "fuzz", 0, 0, &o, &err)) o = NULL;
    error_clear(&err);
    if (judge_expected(o, text, n, &found, 1, 5, &expected, &err)) ASSAY_BUG_IF(!(expected >= 1 && expected <= 5));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  const char *text = (const char *)bytes, *end = size ? memchr(text, 0, size) : NULL;
  size_t n = end ? (size_t)(end - text) : size;
  if (!a) return 0;
  read_reply(a, text, n, end ? end + 1 : text, end ? size - n - 1 : 0);
  arena_destroy(a);
  return 0;
}

/* links: reward
 * Any two texts as answer and response, parted by the first line feed: a verdict with a reason, or wrong input; the
 * same verdict twice; a text equals itself whenever it can be read. */
#include <stdlib.h>
#include <string.h>
#include "reward/verify_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool judge(struct arena *a, struct verifier_config *c, const char *answer, const char *response, size_t n,
                  struct verdict *v)
{
  struct error err = {0};
  struct problem p = {.id = "p", .source = "input", .line = 1, .answer = answer};
  int rc = verify_now(a, c, &p, response, n, v, &err);
  ASSAY_BUG_IF(rc && (rc != ERROR_INPUT || !err.message[0]));
  ASSAY_BUG_IF(!rc && (v->status != VERDICT_OK || !v->reason || !*v->reason));
  ASSAY_BUG_IF(!rc && (v->correct != (v->reward > 0) || (v->correct && !v->extracted)));
  return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  struct verifier_config *c;
  struct verdict first, second;
  if (!a || verifier_open(a, verifier_find("math", &err), NULL, 0, 0, &c, &err)) abort();
  const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
  size_t n = end ? (size_t)(end - data) : size, rest = end ? size - n - 1 : 0;
  char *answer = arena_strndup(a, (const char *)data, n, "fuzz", &err);
  /* A copy of the exact size, so that a read behind the end is seen. */
  char *response = malloc(rest ? rest : 1);
  if (!answer || !response) abort();
  if (rest) memcpy(response, end + 1, rest);
  if (judge(a, c, answer, response, rest, &first)) {
    ASSAY_BUG_IF(!judge(a, c, answer, response, rest, &second));
    ASSAY_BUG_IF(first.correct != second.correct || strcmp(first.reason, second.reason) != 0);
  }
  free(response);
  arena_destroy(a);
  return 0;
}

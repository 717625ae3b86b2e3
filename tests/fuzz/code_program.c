/* links: reward
 * Any text as a response: the program found lies inside it, is the same twice, and what is to be run ends with it. */
#include "reward/code_program.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *response, size_t size, bool python, const char *entry, const char *prompt)
{
  struct text t = {0};
  struct code_program p = code_program_find(response, size, python, entry);
  struct code_program again = code_program_find(response, size, python, entry);
  ASSAY_BUG_IF(p.text != again.text || p.size != again.size || p.fenced != again.fenced);
  ASSAY_BUG_IF(p.size && (p.text < response || p.text + p.size > response + size));
  code_program_put(&t, &p, prompt, entry);
  ASSAY_BUG_IF(t.rc || t.size < p.size + 1 || t.bytes[t.size - 1] != '\n');
  ASSAY_BUG_IF(p.size && memcmp(t.bytes + t.size - 1 - p.size, p.text, p.size) != 0);
  text_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  char *response = malloc(size ? size : 1); /* of the exact size, so that a read behind the end is seen */
  if (!response) abort();
  if (size) memcpy(response, data, size);
  check(response, size, true, NULL, NULL);
  check(response, size, true, "f", "import math\ndef f(x):\n");
  check(response, size, false, "f", NULL);
  free(response);
  return 0;
}

/* links: text
 * Bytes as a chat template, rendered for a fixed conversation: an error in a sentence or a text, the same twice, within
 * the bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char variables_text[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\" caf\\u00e9 "
    "\\n<b>\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call00001\",\"function\":{\"name\":\"add\","
    "\"arguments\":{\"n\":[1,2.5,true]}}}]},"
    "{\"role\":\"tool\",\"content\":\"3.5\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\","
    "\"parameters\":{\"properties\":{\"n\":{}}}}}],"
    "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"n\":7,\"f\":-2.5,\"l\":[3,1,2],\"s\":\"Hello World\"}";

static void must(bool holds)
{
  if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  if (!a) return 0;
  struct template *t;
  json_t *variables;
  must(!json_parse(a, variables_text, sizeof variables_text - 1, "variables", 0, JSON_READ_PLAIN, &variables, &err));
  int rc = template_parse(a, (const char *)bytes, size, "template", &t, &err);
  if (!rc) {
    struct text once = {0}, twice = {0};
    struct error again = {0};
    bool raised = false;
    rc = template_render(t, variables, "2025-01-15T14:30:05", &once, &raised, &err);
    must(rc == template_render(t, variables, "2025-01-15T14:30:05", &twice, NULL, &again));
    must(raised ? !twice.size : once.size == twice.size && (!once.size || !memcmp(once.bytes, twice.bytes, once.size)));
    must(once.size <= TEMPLATE_OUTPUT && (!rc || raised || !once.size) && (rc || !raised));
    text_free(&once);
    text_free(&twice);
  }
  must(rc == 0 || (err.code == rc && (err.message[0] || rc == ERROR_INPUT)));
  arena_destroy(a);
  return 0;
}

/* Whatever parses is written and parses again to the same text. */
#include <stdint.h>
#include <string.h>

#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  struct text first = {0}, second = {0};
  json_t *v = NULL;
  if (json_parse(a, (const char *)bytes, size, "fuzz", 0, JSON_READ_UNIQUE, &v, &err) == 0) {
    json_put_value(&first, v);
    ASSAY_BUG_IF(json_parse(a, first.bytes, first.size, "again", 0, JSON_READ_UNIQUE, &v, &err) != 0);
    json_put_value(&second, v);
    ASSAY_BUG_IF(first.size != second.size || memcmp(first.bytes, second.bytes, first.size) != 0);
  } else {
    ASSAY_BUG_IF(err.code != ERROR_INPUT || !err.message[0]);
  }
  text_free(&first);
  text_free(&second);
  arena_destroy(a);
  return 0;
}

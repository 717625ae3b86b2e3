/* The registry: one entry a file of this folder (generated/method_table.h), in the order of names. */
#include <string.h>

#include "method/method.h"

#define X(name) extern const struct method method_##name;
#include "method_table.h"
#undef X

static const struct method *const TABLE[] = {
#define X(name) &method_##name,
#include "method_table.h"
#undef X
};

size_t method_count(void)
{
  return sizeof TABLE / sizeof TABLE[0];
}

const struct method *method_at(size_t i)
{
  return TABLE[i];
}

const struct method *method_find(const char *name)
{
  for (size_t i = 0; i < method_count(); i++) {
    if (!strcmp(TABLE[i]->name, name)) return TABLE[i];
  }
  return NULL;
}

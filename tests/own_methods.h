/* own_methods: a registry of a test's own methods in place of the program's.
 *
 *     #define METHODS &first, &method_grpo, &second          by name, as the registry is
 *     #include "own_methods.h"
 *
 * The linker takes these functions in place of those of src/method/table.c. */
#ifndef ASSAY_TESTS_OWN_METHODS_H
#define ASSAY_TESTS_OWN_METHODS_H

#include <string.h>

#include "method/method.h"

static const struct method *const TABLE[] = {METHODS};

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
  for (size_t i = 0; i < method_count(); i++)
    if (!strcmp(TABLE[i]->name, name)) return TABLE[i];
  return NULL;
}

#endif

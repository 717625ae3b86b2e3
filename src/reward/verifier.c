#include "reward/verifier.h"
#include <string.h>
#include "core/yaml.h"

#define X(name) extern const struct verifier verifier_##name;
#include "verifier_table.h"
#undef X

static const struct verifier *const verifiers[] = {
#define X(name) &verifier_##name,
#include "verifier_table.h"
#undef X
};

size_t verifier_count(void)
{
  return sizeof verifiers / sizeof *verifiers;
}

const struct verifier *verifier_at(size_t i)
{
  ASSAY_BUG_IF(i >= verifier_count());
  return verifiers[i];
}

const struct verifier *verifier_find(const char *name, struct error *err)
{
  const char *names[sizeof verifiers / sizeof *verifiers];
  char list[512] = "";
  size_t at = 0;
  for (size_t i = 0; i < verifier_count(); i++) {
    if (!strcmp(verifiers[i]->name, name)) return verifiers[i];
    names[i] = verifiers[i]->name;
    if (at < sizeof list) at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
  }
  const char *nearest = name_nearest(name, names, verifier_count());
  error_fail(err, ERROR_INPUT, NULL, 0, "verifier", "found verifier \"%s\"; supported are: %s%s%s%s", name, list,
             nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
  return NULL;
}

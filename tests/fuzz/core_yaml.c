/* A tree is sound (every member has a key, a line and a value) or the error has a sentence; overrides keep it so. */
#include <stdint.h>
#include <string.h>

#include "core/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_node(const struct yaml_node *n, int depth)
{
  int64_t i;
  double x;
  bool b;
  ASSAY_BUG_IF(!n || !n->file || depth > 40);
  if (n->kind == YAML_SCALAR) {
    ASSAY_BUG_IF(!n->text);
    ASSAY_BUG_IF(yaml_as_int(n, &i) && !yaml_as_real(n, &x) && n->text[0] != '0');
    ASSAY_BUG_IF(yaml_as_bool(n, &b) && yaml_is_null(n));
  }
  for (size_t k = 0; k < n->count; k++) {
    if (n->kind == YAML_MAP) ASSAY_BUG_IF(!n->keys[k] || yaml_get(n, n->keys[k]) != n->items[k]);
    check_node(n->items[k], depth + 1);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  struct yaml_node *root = NULL;
  if (size <= 4096 && yaml_parse_text(a, (const char *)bytes, size, "fuzz", &root, &err) == 0) {
    check_node(root, 0);
    char *assignment = arena_strndup(a, (const char *)bytes, size < 64 ? size : 64, "fuzz", &err);
    if (root->kind == YAML_MAP && yaml_override(a, root, assignment, &err) == 0) check_node(root, 0);
  } else if (size <= 4096) {
    ASSAY_BUG_IF(err.code != ERROR_INPUT || !err.message[0]);
  }
  arena_destroy(a);
  return 0;
}

/* core/yaml: a YAML file as a tree that remembers where every value stood (libyaml's marks). The recipe checker reads
 * it; nothing else does. Limits: 1 MiB, depth 32, 10,000 nodes; anchors, aliases, tags and several documents are
 * refused by name; a duplicate key is an error. */
#ifndef ASSAY_CORE_YAML_H
#define ASSAY_CORE_YAML_H

#include "core/arena.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
  enum yaml_kind kind;
  bool quoted;      /* scalar written in quotes: a string whatever it looks like */
  const char *text; /* scalar, or the key's text of a map member below */
  const char *file; /* where it came from; "command line" for overrides */
  int line;         /* 1-based; 0 on the command line */
  size_t count;
  const char **keys; /* maps: count keys */
  int *key_lines;
  struct yaml_node **items;
};

int yaml_parse_file(struct arena *a, const char *path, struct yaml_node **root, struct error *err) MUST_USE;
int yaml_parse_text(struct arena *a, const char *text, size_t n, const char *file, struct yaml_node **root,
                    struct error *err) MUST_USE;
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* NULL if absent */
/* key=value of the command line: dotted path (a list's entries by number: data.0.path=FILE), value parsed as YAML flow;
   parents are made. A value that begins with [ { " or ' is YAML, any other the scalar as it stands. */
int yaml_override(struct arena *a, struct yaml_node *root, const char *assignment, struct error *err) MUST_USE;
/* Scalars by YAML 1.2 core rules. false where the text is not of that type. */
bool yaml_is_null(const struct yaml_node *n);
bool yaml_as_int(const struct yaml_node *n, int64_t *out);
bool yaml_as_real(const struct yaml_node *n, double *out); /* .inf, -.inf, 1e-6; not .nan */
bool yaml_as_bool(const struct yaml_node *n, bool *out);
/* Nearest of `count` names by edit distance (<= 1/3 of the length + 1), or NULL: for "did you mean". */
const char *name_nearest(const char *name, const char *const *names, size_t count);

#endif

#include "core/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/file.h"

enum { SIZE_LIMIT = 1 << 20, DEPTH_LIMIT = 32, NODE_LIMIT = 10000 };

struct reader {
  struct arena *arena;
  const char *file;
  yaml_parser_t parser;
  int nodes, depth;
};

/* What stood at one place, before the number of members is known. */
struct member {
  struct member *next;
  const char *key;
  int key_line;
  struct yaml_node *value;
};

static int line_of(const yaml_event_t *e)
{
  return (int)e->start_mark.line + 1;
}

static int next_event(struct reader *r, yaml_event_t *e, struct error *err)
{
  if (yaml_parser_parse(&r->parser, e)) return 0;
  const yaml_parser_t *p = &r->parser;
  if (p->error == YAML_MEMORY_ERROR) FAIL_AT(err, ERROR_RESOURCE, r->file, 0, NULL, "no memory to read it");
  if (p->error == YAML_READER_ERROR) {
    FAIL_AT(err, ERROR_INPUT, r->file, 0, NULL, "at byte %zu: %s; expected UTF-8 text; correct the file",
            p->problem_offset, p->problem);
  }
  FAIL_AT(err, ERROR_INPUT, r->file, (int)p->problem_mark.line + 1, NULL,
          "%s%s%s (column %zu); expected YAML; correct the line", p->context ? p->context : "", p->context ? ", " : "",
          p->problem ? p->problem : "wrong YAML", p->problem_mark.column + 1);
}

/* Anchors and tags would give a value a meaning that the line does not show. */
static int refuse_properties(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag,
                             struct error *err)
{
  if (anchor) {
    FAIL_AT(err, ERROR_INPUT, r->file, line_of(e), NULL, "found the anchor &%.60s; expected none; write the value out",
            (const char *)anchor);
  }
  if (tag) {
    FAIL_AT(err, ERROR_INPUT, r->file, line_of(e), NULL, "found the tag %.60s; expected none; leave it out",
            (const char *)tag);
  }
  return 0;
}

static int new_node(struct reader *r, enum yaml_kind kind, int line, struct yaml_node **out, struct error *err)
{
  if (++r->nodes > NODE_LIMIT) {
    FAIL_AT(err, ERROR_INPUT, r->file, line, NULL, "found more than %d values; expected fewer; is it a recipe?",
            NODE_LIMIT);
  }
  struct yaml_node *n = ARENA_NEW(r->arena, struct yaml_node, 1, "yaml", err);
  if (!n) return ERROR_RESOURCE;
  *n = (struct yaml_node){.kind = kind, .file = r->file, .line = line};
  *out = n;
  return 0;
}

static int read_scalar(struct reader *r, const yaml_event_t *e, struct yaml_node **out, struct error *err)
{
  TRY(refuse_properties(r, e, e->data.scalar.anchor, e->data.scalar.tag, err));
  struct yaml_node *n = NULL;
  TRY(new_node(r, YAML_SCALAR, line_of(e), &n, err));
  const char *text = (const char *)e->data.scalar.value;
  if (memchr(text, '\0', e->data.scalar.length)) {
    FAIL_AT(err, ERROR_INPUT, r->file, n->line, NULL, "found a NUL character in a value; expected text; leave it out");
  }
  n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  n->text = arena_strndup(r->arena, text, e->data.scalar.length, "yaml", err);
  if (!n->text) return ERROR_RESOURCE;
  *out = n;
  return 0;
}

static int read_value(struct reader *r, yaml_event_t *e, struct yaml_node **out, struct error *err);

/* Turns the chain of members into the node's arrays. */
static int finish_node(struct reader *r, struct yaml_node *n, struct member *first, size_t count, struct error *err)
{
  n->count = count;
  n->items = ARENA_NEW(r->arena, struct yaml_node *, count, "yaml", err);
  if (!n->items) return ERROR_RESOURCE;
  if (n->kind == YAML_MAP) {
    n->keys = ARENA_NEW(r->arena, const char *, count, "yaml", err);
    if (!n->keys) return ERROR_RESOURCE;
    n->key_lines = ARENA_NEW(r->arena, int, count, "yaml", err);
    if (!n->key_lines) return ERROR_RESOURCE;
  }
  for (size_t i = 0; i < count; i++, first = first->next) {
    n->items[i] = first->value;
    if (n->kind == YAML_MAP) {
      n->keys[i] = first->key;
      n->key_lines[i] = first->key_line;
    }
  }
  return 0;
}

static int read_key(struct reader *r, const yaml_event_t *e, const struct member *before, struct member *m,
                    struct error *err)
{
  m->key_line = line_of(e);
  if (e->type != YAML_SCALAR_EVENT) {
    FAIL_AT(err, ERROR_INPUT, r->file, m->key_line, NULL,
            "found a list, map or alias as a key; expected a name; write name: value");
  }
  struct yaml_node *key = NULL;
  TRY(read_scalar(r, e, &key, err));
  for (; before; before = before->next) {
    if (strcmp(before->key, key->text) != 0) continue;
    FAIL_AT(err, ERROR_INPUT, r->file, m->key_line, key->text,
            "found the key \"%s\" again (first on line %d); expected it once; remove one", key->text, before->key_line);
  }
  m->key = key->text;
  return 0;
}

/* One item of a list, or key and value of a map; *end at the closing event. Takes e over. */
static int read_member(struct reader *r, enum yaml_kind kind, const struct member *before, struct member **out,
                       bool *end, struct error *err)
{
  yaml_event_t e;
  TRY(next_event(r, &e, err));
  *end = e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT;
  struct member *m = *end ? NULL : ARENA_NEW(r->arena, struct member, 1, "yaml", err);
  int rc = *end || m ? 0 : ERROR_RESOURCE;
  if (m && kind == YAML_MAP) {
    rc = read_key(r, &e, before, m, err);
    yaml_event_delete(&e);
    TRY(rc);
    TRY(next_event(r, &e, err));
  }
  if (m && !rc) rc = read_value(r, &e, &m->value, err);
  yaml_event_delete(&e);
  *out = m;
  return rc;
}

static int read_members(struct reader *r, struct yaml_node *n, struct error *err)
{
  struct member *first = NULL, **tail = &first;
  for (size_t count = 0;; count++) {
    struct member *m = NULL;
    bool end = false;
    TRY(read_member(r, n->kind, first, &m, &end, err));
    if (end) return finish_node(r, n, first, count, err);
    *tail = m;
    tail = &m->next;
  }
}

/* The value that begins with event e (which stays the caller's). */
static int read_value(struct reader *r, yaml_event_t *e, struct yaml_node **out, struct error *err)
{
  if (e->type == YAML_ALIAS_EVENT) {
    FAIL_AT(err, ERROR_INPUT, r->file, line_of(e), NULL, "found the alias *%.60s; expected none; write the value out",
            (const char *)e->data.alias.anchor);
  }
  if (e->type == YAML_SCALAR_EVENT) return read_scalar(r, e, out, err);
  bool map = e->type == YAML_MAPPING_START_EVENT;
  ASSAY_BUG_IF(!map && e->type != YAML_SEQUENCE_START_EVENT);
  TRY(map ? refuse_properties(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag, err)
          : refuse_properties(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag, err));
  if (++r->depth > DEPTH_LIMIT) {
    FAIL_AT(err, ERROR_INPUT, r->file, line_of(e), NULL,
            "found more than %d levels of nesting; expected fewer; flatten it", DEPTH_LIMIT);
  }
  struct yaml_node *n = NULL;
  TRY(new_node(r, map ? YAML_MAP : YAML_LIST, line_of(e), &n, err));
  TRY(read_members(r, n, err));
  r->depth--;
  *out = n;
  return 0;
}

static int read_document(struct reader *r, yaml_event_t *e, struct yaml_node **root, struct error *err)
{
  if (e->type != YAML_DOCUMENT_START_EVENT) return 0;
  if (*root) {
    FAIL_AT(err, ERROR_INPUT, r->file, line_of(e), NULL,
            "found a second document (---); expected one; use one file per recipe");
  }
  yaml_event_t first;
  TRY(next_event(r, &first, err));
  int rc = read_value(r, &first, root, err);
  yaml_event_delete(&first);
  return rc;
}

static int read_stream(struct reader *r, struct yaml_node **root, struct error *err)
{
  for (bool end = false; !end;) {
    yaml_event_t e;
    TRY(next_event(r, &e, err));
    int rc = read_document(r, &e, root, err);
    end = e.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&e);
    TRY(rc);
  }
  /* A file of comments is an empty map. */
  bool nothing = !*root || (yaml_is_null(*root) && !*(*root)->text);
  return nothing ? new_node(r, YAML_MAP, 1, root, err) : 0;
}

int yaml_parse_text(struct arena *a, const char *text, size_t n, const char *file, struct yaml_node **root,
                    struct error *err)
{
  if (n > SIZE_LIMIT)
    FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "found %zu bytes; expected at most 1 MiB; is it a recipe?", n);
  struct reader r = {.arena = a};
  r.file = arena_strdup(a, file, "yaml", err);
  if (!r.file) return ERROR_RESOURCE;
  if (!yaml_parser_initialize(&r.parser)) FAIL_AT(err, ERROR_RESOURCE, file, 0, NULL, "no memory to read it");
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)(n > 0 ? text : ""), n);
  *root = NULL;
  int rc = read_stream(&r, root, err);
  yaml_parser_delete(&r.parser);
  return rc;
}

int yaml_parse_file(struct arena *a, const char *path, struct yaml_node **root, struct error *err)
{
  char *text;
  size_t n;
  TRY(file_read(a, path, SIZE_LIMIT, &text, &n, err));
  return yaml_parse_text(a, text, n, path, root, err);
}

static size_t index_of(const struct yaml_node *map, const char *key, size_t n)
{
  size_t i = 0;
  while (i < map->count && (strlen(map->keys[i]) != n || memcmp(map->keys[i], key, n) != 0)) i++;
  return i;
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
  if (!map || map->kind != YAML_MAP) return NULL;
  size_t i = index_of(map, key, strlen(key));
  return i < map->count ? map->items[i] : NULL;
}

/* --- key=value of the command line --- */

static const char command_line[] = "command line";

/* The place of a member, made (with value NULL) if the map lacks it. */
static int slot_of(struct arena *a, struct yaml_node *map, const char *key, size_t n, struct yaml_node ***slot,
                   struct error *err)
{
  size_t i = index_of(map, key, n);
  if (i == map->count) {
    struct yaml_node old = *map;
    map->items = ARENA_NEW(a, struct yaml_node *, i + 1, "yaml", err);
    map->keys = ARENA_NEW(a, const char *, i + 1, "yaml", err);
    map->key_lines = ARENA_NEW(a, int, i + 1, "yaml", err);
    char *name = arena_strndup(a, key, n, "yaml", err);
    if (!map->items || !map->keys || !map->key_lines || !name) {
      *map = old;
      return ERROR_RESOURCE;
    }
    for (size_t j = 0; j < i; j++) {
      map->items[j] = old.items[j];
      map->keys[j] = old.keys[j];
      map->key_lines[j] = old.key_lines[j];
    }
    map->keys[i] = name;
    map->count = i + 1;
  }
  *slot = &map->items[i];
  return 0;
}

/* Lists, maps and quoted strings are YAML; anything else is the text as it stands. */
static int parse_value(struct arena *a, const char *text, struct yaml_node **out, struct error *err)
{
  struct reader r = {.arena = a, .file = command_line};
  if (*text && strchr("[{\"'", *text)) {
    return yaml_parse_text(a, text, strlen(text), command_line, out, err);
  }
  TRY(new_node(&r, YAML_SCALAR, 0, out, err));
  (*out)->text = arena_strdup(a, text, "yaml", err);
  return (*out)->text ? 0 : ERROR_RESOURCE;
}

static void forget_lines(struct yaml_node *n)
{
  n->line = 0;
  n->file = command_line;
  for (size_t i = 0; i < n->count; i++) {
    if (n->kind == YAML_MAP) n->key_lines[i] = 0;
    forget_lines(n->items[i]);
  }
}

/* An entry of a list by its number, from 0. */
static int entry_of(const struct yaml_node *list, const char *key, size_t n, const char *assignment,
                    struct yaml_node ***slot, struct error *err)
{
  size_t index = 0;
  bool digits = n < 7;
  for (size_t i = 0; i < n && digits; i++) {
    digits = key[i] >= '0' && key[i] <= '9';
    if (digits) index = 10 * index + (size_t)(key[i] - '0');
  }
  if (!digits || index >= list->count)
    FAIL_AT(err, ERROR_INPUT, command_line, 0, NULL,
            "found \"%s\", where \"%.*s\" is no entry of a list of %zu; expected 0 to %zu", assignment, (int)n, key,
            list->count, list->count ? list->count - 1 : 0);
  *slot = &list->items[index];
  return 0;
}

int yaml_override(struct arena *a, struct yaml_node *root, const char *assignment, struct error *err)
{
  const char *equals = strchr(assignment, '='), *key = assignment;
  if (!equals || equals == assignment) {
    FAIL_AT(err, ERROR_INPUT, command_line, 0, NULL, "found \"%s\"; expected key=value; write for example seed=1",
            assignment);
  }
  struct yaml_node *value = NULL;
  if (parse_value(a, equals + 1, &value, err)) return error_context(err, "reading %.120s", assignment);
  forget_lines(value);
  for (struct yaml_node *map = root;;) {
    size_t n = strcspn(key, ".=");
    if (n == 0 || map->kind == YAML_SCALAR) {
      FAIL_AT(err, ERROR_INPUT, command_line, 0, NULL,
              "found \"%s\", where \"%.*s\" %s; expected names with dots between them", assignment,
              (int)(key - assignment), assignment, n == 0 ? "is followed by no name" : "is not a map");
    }
    struct yaml_node **slot = NULL;
    TRY(map->kind == YAML_LIST ? entry_of(map, key, n, assignment, &slot, err) : slot_of(a, map, key, n, &slot, err));
    if (key[n] == '=') {
      *slot = value;
      return 0;
    }
    if (!*slot || yaml_is_null(*slot)) {
      struct reader r = {.arena = a, .file = command_line};
      TRY(new_node(&r, YAML_MAP, 0, slot, err));
    }
    map = *slot;
    key += n + 1;
  }
}

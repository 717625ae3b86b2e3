#include "rollout/tree.h"

#include <string.h>

int tree_create(struct arena *a, struct tree **out, struct error *err)
{
  struct tree *t = ARENA_NEW(a, struct tree, 1, "tree", err);
  if (!t) return err->code;
  t->arena = a;
  *out = t;
  return 0;
}

/* Doubles an array that lives in the tree's arena. The old copy stays until the arena resets: a factor of two in all.
 */
static void *grow(struct arena *a, const void *old, int32_t count, int32_t *room, int32_t need, size_t size,
                  struct error *err)
{
  int32_t next = *room < 16 ? 16 : *room;
  while (next < need) next *= 2;
  char *p = arena_push(a, (size_t)next, size, "tree", err);
  if (!p) return NULL;
  if (count) memcpy(p, old, (size_t)count * size);
  *room = next;
  return p;
}

int tree_add_segment(struct tree *t, int32_t parent, enum segment_kind kind, int32_t expected_tokens, int32_t *index,
                     struct error *err)
{
  ASSAY_BUG_IF(parent < -1 || parent >= t->count || expected_tokens < 0);
  if (t->count == t->room) {
    struct segment *p = grow(t->arena, t->segments, t->count, &t->room, t->count + 1, sizeof *p, err);
    if (!p) return err->code;
    t->segments = p;
  }
  struct segment *s = &t->segments[t->count];
  *s = (struct segment){.parent = parent, .kind = kind, .weight_version = -1};
  if (parent >= 0) {
    const struct segment *up = &t->segments[parent];
    s->depth = up->depth + 1;
    s->start = up->start + up->count;
    s->turn = up->turn;
  }
  if (expected_tokens) {
    s->tokens = ARENA_NEW(t->arena, struct token_record, (size_t)expected_tokens, "tree", err);
    if (!s->tokens) return err->code;
    s->room = expected_tokens;
  }
  *index = t->count++;
  return 0;
}

int tree_append(struct tree *t, int32_t segment, const struct token_record *records, int32_t count, struct error *err)
{
  ASSAY_BUG_IF(segment < 0 || segment >= t->count);
  struct segment *s = &t->segments[segment];
  if (s->count + count > s->room) {
    struct token_record *p = grow(t->arena, s->tokens, s->count, &s->room, s->count + count, sizeof *p, err);
    if (!p) return err->code;
    s->tokens = p;
  }
  if (count) memcpy(s->tokens + s->count, records, (size_t)count * sizeof *records);
  s->count += count;
  return 0;
}

int tree_append_ids(struct tree *t, int32_t segment, const int32_t *ids, int32_t count, uint32_t flags,
                    struct error *err)
{
  const float unknown = __builtin_nanf("");
  for (int32_t i = 0; i < count; i++) {
    struct token_record r = {
        .id = ids[i], .flags = flags, .logp = unknown, .logp_behaviour = unknown, .entropy = unknown};
    TRY(tree_append(t, segment, &r, 1, err));
  }
  return 0;
}

int32_t tree_path_length(const struct tree *t, int32_t segment)
{
  return t->segments[segment].start + t->segments[segment].count;
}

void tree_path_ids(const struct tree *t, int32_t segment, int32_t *ids)
{
  for (int32_t s = segment; s >= 0; s = t->segments[s].parent)
    for (int32_t i = 0; i < t->segments[s].count; i++) ids[t->segments[s].start + i] = t->segments[s].tokens[i].id;
}

struct token_record *tree_at(const struct tree *t, int32_t segment, int32_t position)
{
  int32_t s = segment;
  while (s >= 0 && position < t->segments[s].start) s = t->segments[s].parent;
  ASSAY_BUG_IF(s < 0 || position < 0 || position >= t->segments[s].start + t->segments[s].count);
  return &t->segments[s].tokens[position - t->segments[s].start];
}

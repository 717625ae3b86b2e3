#include "rollout/kv.h"

static void destroy(void *kv)
{
  kv_destroy(kv);
}

int kv_space_create(struct arena *a, struct device *d, const struct kv_shape *shape, struct kv_space **out,
                    struct error *err)
{
  struct kv_space *s = ARENA_NEW(a, struct kv_space, 1, "kv", err);
  if (!s) return err->code;
  s->free = ARENA_NEW(a, int32_t, (size_t)shape->blocks, "kv", err);
  s->references = ARENA_NEW(a, int32_t, (size_t)shape->blocks, "kv", err);
  if (!s->free || !s->references) return err->code;
  TRY(kv_create(d, shape, &s->kv, err));
  TRY(arena_on_reset(a, destroy, s->kv, err));
  s->block = shape->block;
  s->blocks = s->free_count = shape->blocks;
  for (int i = 0; i < s->blocks; i++) s->free[i] = s->blocks - 1 - i;
  *out = s;
  return 0;
}

int32_t kv_blocks_for(const struct kv_space *s, int32_t positions)
{
  return (positions + s->block - 1) / s->block;
}

int kv_path_open(struct arena *a, const struct kv_space *s, int32_t max_positions, struct kv_path *out,
                 struct error *err)
{
  *out = (struct kv_path){.room = kv_blocks_for(s, max_positions)};
  out->table = ARENA_NEW(a, int32_t, (size_t)out->room, "kv", err);
  return out->table ? 0 : err->code;
}

static int take(struct kv_space *s, int32_t *block, struct error *err)
{
  if (!s->free_count)
    FAIL(err, ERROR_RESOURCE,
         "all %d KV blocks are in use; expected the reservation to leave one; lower rollout.max_new_tokens or "
         "compute.slots",
         s->blocks);
  *block = s->free[--s->free_count];
  s->references[*block] = 1;
  if (s->blocks - s->free_count > s->peak) s->peak = s->blocks - s->free_count;
  return 0;
}

int kv_path_extend(struct kv_space *s, struct kv_path *p, int32_t positions, struct error *err)
{
  int32_t need = kv_blocks_for(s, positions);
  ASSAY_BUG_IF(need > p->room);
  while (p->count < need) {
    TRY(take(s, &p->table[p->count], err));
    p->count++;
  }
  if (positions > p->positions) p->positions = positions;
  return 0;
}

int kv_path_fork(struct kv_space *s, const struct kv_path *parent, int32_t at, struct kv_path *child,
                 struct rows_copy *copy, bool *copied, struct error *err)
{
  ASSAY_BUG_IF(child->count || at > parent->positions || kv_blocks_for(s, at) > child->room);
  int32_t whole = at / s->block, part = at % s->block;
  *copied = part > 0;
  // take the block of the partial copy first, so that a failure leaves the child empty
  if (part) {
    TRY(take(s, &child->table[whole], err));
    *copy = (struct rows_copy){.from = parent->table[whole], .to = child->table[whole], .count = part};
  }
  for (int32_t b = 0; b < whole; b++) {
    child->table[b] = parent->table[b];
    s->references[child->table[b]]++;
  }
  child->count = whole + (part > 0);
  child->positions = at;
  return 0;
}

void kv_path_shorten(struct kv_space *s, struct kv_path *p, int32_t positions)
{
  while (p->count > kv_blocks_for(s, positions)) {
    const int32_t block = p->table[--p->count];
    ASSAY_BUG_IF(s->references[block] <= 0);
    if (--s->references[block] == 0) s->free[s->free_count++] = block;
  }
  if (positions < p->positions) p->positions = positions;
}

void kv_path_release(struct kv_space *s, struct kv_path *p)
{
  kv_path_shorten(s, p, 0);
}

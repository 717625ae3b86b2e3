#include "rollout/workroom.h"

struct workroom_size workroom_most(struct workroom_size a, struct workroom_size b)
{
  ASSAY_BUG_IF(a.kv_block != b.kv_block);
  if (b.reals > a.reals) a.reals = b.reals;
  if (b.kv_blocks > a.kv_blocks) a.kv_blocks = b.kv_blocks;
  return a;
}

static struct kv_shape shape_of(const struct model_config *c, const struct workroom_size *size)
{
  return (struct kv_shape){c->layers, c->kv_heads, c->head_dim, size->kv_block, size->kv_blocks};
}

size_t workroom_bytes(const struct model_config *c, const struct workroom_size *size, enum compute_type type)
{
  struct kv_shape shape = shape_of(c, size);
  return size->reals * sizeof(float) + kv_block_bytes(&shape, compute_type_size(type)) * (size_t)size->kv_blocks;
}

static void close_room(void *arg)
{
  buffer_destroy(((struct workroom *)arg)->activations);
}

int workroom_create(struct arena *a, const struct model *m, const struct workroom_size *size, struct workroom **out,
                    struct error *err)
{
  struct workroom *r = ARENA_NEW(a, struct workroom, 1, "workroom", err);
  struct kv_shape shape = shape_of(&m->config, size);
  if (!r) return err->code;
  r->size = *size;
  TRY(arena_on_reset(a, close_room, r, err));
  TRY(buffer_create(m->device, size->reals, "activations", &r->activations, err));
  TRY(kv_space_create(a, m->device, &shape, &r->kv, err));
  *out = r;
  return 0;
}

int workroom_take(struct arena *a, const struct model *m, const struct workroom_size *size, struct workroom **room,
                  struct error *err)
{
  if (!*room) return workroom_create(a, m, size, room, err);
  const struct workroom_size *has = &(*room)->size;
  ASSAY_BUG_IF(has->reals < size->reals || has->kv_blocks < size->kv_blocks || has->kv_block != size->kv_block);
  return 0;
}

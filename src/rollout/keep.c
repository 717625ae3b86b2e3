#include "rollout/keep.h"

#include <string.h>

int keep_open(struct arena *a, struct kv_space *kv, int room, int max_path, struct keep *out, struct error *err)
{
  *out = (struct keep){.kv = kv, .room = room, .kept = ARENA_NEW(a, struct kept, (size_t)room, "generate", err)};
  if (!out->kept) return err->code;
  for (int i = 0; i < room; i++) {
    TRY(kv_path_open(a, kv, max_path, &out->kept[i].path, err));
    out->kept[i].ids = ARENA_NEW(a, int32_t, (size_t)max_path, "generate", err);
    if (!out->kept[i].ids) return err->code;
  }
  return 0;
}

static void forget(struct keep *k, struct kept *one)
{
  kv_path_release(k->kv, &one->path);
  one->count = 0;
}

static struct kept *oldest(const struct keep *k)
{
  struct kept *found = NULL;
  for (int i = 0; i < k->room; i++)
    if (k->kept[i].count && (!found || k->kept[i].moved < found->moved)) found = &k->kept[i];
  return found;
}

static int32_t common_count(const struct kept *one, const int32_t *ids, int32_t count)
{
  int32_t n = 0;
  while (n < one->count && n < count && one->ids[n] == ids[n]) n++;
  return n;
}

static struct kept *place_for(const struct keep *k, const int32_t *ids, int32_t count)
{
  struct kept *free_one = NULL;
  for (int i = 0; i < k->room; i++) {
    struct kept *one = &k->kept[i];
    if (!one->count)
      free_one = one;
    else if (common_count(one, ids, count) == one->count)
      return one;
  }
  return free_one ? free_one : oldest(k);
}

void keep_take(struct keep *k, struct kv_path *path, const int32_t *ids, int32_t count)
{
  if (k->room && count >= k->kv->block) {
    struct kept *to = place_for(k, ids, count);
    forget(k, to);
    memcpy(to->ids, ids, (size_t)count * sizeof *ids);
    to->count = count;
    to->moved = ++k->moves;
    struct kv_path empty = to->path;
    to->path = *path;
    *path = empty;
  }
  kv_path_release(k->kv, path);
}

const struct kv_path *keep_find(struct keep *k, const int32_t *ids, int32_t count, int32_t *shared)
{
  struct kept *best = NULL;
  *shared = 0;
  for (int i = 0; i < k->room; i++) {
    int32_t n = common_count(&k->kept[i], ids, count - 1);
    n -= n % k->kv->block;
    if (n <= *shared) continue;
    *shared = n;
    best = &k->kept[i];
  }
  if (!best) return NULL;
  best->moved = ++k->moves;
  return &best->path;
}

bool keep_forget_oldest(struct keep *k)
{
  struct kept *one = oldest(k);
  if (one) forget(k, one);
  return one != NULL;
}

int keep_blocks(const struct keep *k)
{
  int blocks = 0;
  for (int i = 0; i < k->room; i++) blocks += k->kept[i].path.count;
  return blocks;
}

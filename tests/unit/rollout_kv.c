/* Who holds which KV block: sharing by reference counts, private copies at a fork, the lowest free number first, the
   peak, and a pool that is empty. */
#include "check.h"

#include "rollout/kv.h"

enum { BLOCK = 4, BLOCKS = 10, MOST = 32 };

static struct arena *arena;
static struct device *device;
static struct kv_space *space;
static struct error err;

static int open_space(void **state)
{
  (void)state;
  const struct device_options o = {.kind = "cpu", .threads = 1};
  const struct kv_shape shape = {.layers = 1, .heads = 1, .head_dim = 2, .block = BLOCK, .blocks = BLOCKS};
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  CHECK_OK(device_open(&o, &device, &err), &err);
  CHECK_OK(kv_space_create(arena, device, &shape, &space, &err), &err);
  return 0;
}

static int close_space(void **state)
{
  (void)state;
  arena_destroy(arena);
  device_close(device);
  return 0;
}

static struct kv_path open_path(int32_t most)
{
  struct kv_path p;
  CHECK_OK(kv_path_open(arena, space, most, &p, &err), &err);
  return p;
}

/* Every block is free or held, as often as paths name it. */
static void check_counts(const struct kv_path *const *paths, size_t count)
{
  int32_t held[BLOCKS] = {0}, in_use = 0;
  for (size_t i = 0; i < count; i++)
    for (int32_t b = 0; b < paths[i]->count; b++) held[paths[i]->table[b]]++;
  for (int b = 0; b < BLOCKS; b++) {
    CHECK_INT(space->references[b], held[b]);
    in_use += held[b] > 0;
  }
  CHECK_INT(space->free_count, BLOCKS - in_use);
  for (int i = 0; i < space->free_count; i++) CHECK_INT(held[space->free[i]], 0);
}

static void test_blocks_for_positions(void **state)
{
  (void)state;
  static const int32_t want[][2] = {{0, 0}, {1, 1}, {4, 1}, {5, 2}, {8, 2}, {9, 3}};
  for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) CHECK_INT(kv_blocks_for(space, want[i][0]), want[i][1]);
}

static void test_a_path_grows_by_blocks(void **state)
{
  (void)state;
  struct kv_path p = open_path(MOST);
  CHECK_INT(p.count, 0);
  CHECK_OK(kv_path_extend(space, &p, 1, &err), &err);
  CHECK_INT(p.count, 1);
  CHECK_OK(kv_path_extend(space, &p, 4, &err), &err);
  CHECK_INT(p.count, 1);
  CHECK_OK(kv_path_extend(space, &p, 9, &err), &err);
  CHECK_INT(p.count, 3);
  CHECK_INT(p.positions, 9);
  for (int32_t b = 0; b < 3; b++) CHECK_INT(p.table[b], b);  // the lowest number is handed out first
  CHECK_OK(kv_path_extend(space, &p, 2, &err), &err);        // never shrinks
  CHECK_INT(p.positions, 9);
  check_counts((const struct kv_path *[]){&p}, 1);
  kv_path_release(space, &p);
  CHECK_INT(p.count, 0);
  CHECK_INT(space->free_count, BLOCKS);
  CHECK_INT(space->peak, 3);
}

static void test_forks_share_whole_blocks_and_copy_the_rest(void **state)
{
  (void)state;
  struct kv_path parent = open_path(MOST), child = open_path(MOST), second = open_path(MOST);
  struct rows_copy copy = {.from = -1, .to = -1, .count = -1};
  bool copied = false;
  CHECK_OK(kv_path_extend(space, &parent, 10, &err), &err);  // blocks 0, 1 and half of 2
  CHECK_OK(kv_path_fork(space, &parent, 10, &child, &copy, &copied, &err), &err);
  CHECK(copied);
  CHECK_INT(copy.from, 2);
  CHECK_INT(copy.to, 3);
  CHECK_INT(copy.count, 2);
  CHECK_INT(child.count, 3);
  CHECK_INT(child.positions, 10);
  CHECK_INT(child.table[0], 0);
  CHECK_INT(child.table[1], 1);
  CHECK_INT(child.table[2], 3);
  CHECK_INT(space->references[0], 2);
  // at a block's end there is nothing to copy
  CHECK_OK(kv_path_fork(space, &parent, 8, &second, &copy, &copied, &err), &err);
  CHECK(!copied);
  CHECK_INT(second.count, 2);
  CHECK_INT(space->references[1], 3);
  check_counts((const struct kv_path *[]){&parent, &child, &second}, 3);
  // the parent goes first; its shared blocks stay with the children
  kv_path_release(space, &parent);
  CHECK_INT(space->references[0], 2);
  CHECK_INT(space->references[2], 0);
  check_counts((const struct kv_path *[]){&child, &second}, 2);
  CHECK_OK(kv_path_extend(space, &second, 9, &err), &err);
  CHECK_INT(second.table[2], 2);  // what the parent gave back
  kv_path_release(space, &child);
  kv_path_release(space, &second);
  CHECK_INT(space->free_count, BLOCKS);
  CHECK_INT(space->peak, 4);
}

static void test_a_path_is_shortened(void **state)
{
  (void)state;
  struct kv_path parent = open_path(MOST), child = open_path(MOST);
  struct rows_copy copy;
  bool copied;
  CHECK_OK(kv_path_extend(space, &parent, 8, &err), &err);
  CHECK_OK(kv_path_fork(space, &parent, 8, &child, &copy, &copied, &err), &err);
  CHECK_OK(kv_path_extend(space, &child, 9, &err), &err);
  CHECK_INT(child.count, 3);
  kv_path_shorten(space, &child, 8);  // a row that nobody looked at
  CHECK_INT(child.count, 2);
  CHECK_INT(child.positions, 8);
  CHECK_INT(space->references[2], 0);
  kv_path_shorten(space, &child, 7);  // inside a block nothing is given back
  CHECK_INT(child.count, 2);
  CHECK_INT(child.positions, 7);
  kv_path_shorten(space, &child, 8);  // never grows
  CHECK_INT(child.positions, 7);
  kv_path_shorten(space, &child, 1);
  CHECK_INT(space->references[1], 1);  // the parent's still
  check_counts((const struct kv_path *[]){&parent, &child}, 2);
  kv_path_release(space, &parent);
  kv_path_release(space, &child);
  CHECK_INT(space->free_count, BLOCKS);
}

static void test_a_fork_in_the_first_block(void **state)
{
  (void)state;
  struct kv_path parent = open_path(MOST), child = open_path(MOST);
  struct rows_copy copy;
  bool copied;
  CHECK_OK(kv_path_extend(space, &parent, 3, &err), &err);
  CHECK_OK(kv_path_fork(space, &parent, 1, &child, &copy, &copied, &err), &err);
  CHECK(copied);
  CHECK_INT(copy.count, 1);
  CHECK(child.table[0] != parent.table[0]);
  CHECK_INT(space->references[parent.table[0]], 1);
}

static void test_an_empty_pool(void **state)
{
  (void)state;
  struct kv_path all = open_path(64), child = open_path(64), other = open_path(64);
  struct rows_copy copy;
  bool copied;
  CHECK_OK(kv_path_extend(space, &all, BLOCKS * BLOCK - 1, &err), &err);
  CHECK_INT(space->free_count, 0);
  CHECK_INT(space->peak, BLOCKS);
  CHECK_ERROR(kv_path_extend(space, &other, 1, &err), &err, ERROR_RESOURCE, "all 10 KV blocks are in use");
  CHECK_INT(other.count, 0);
  // a fork that needs a copy fails and leaves the child empty; one that does not need one goes through
  error_clear(&err);
  CHECK_ERROR(kv_path_fork(space, &all, 5, &child, &copy, &copied, &err), &err, ERROR_RESOURCE, "KV blocks");
  CHECK_INT(child.count, 0);
  check_counts((const struct kv_path *[]){&all}, 1);
  error_clear(&err);
  CHECK_OK(kv_path_fork(space, &all, 8, &child, &copy, &copied, &err), &err);
  // what could be had stays with the path, so that a release gives it back
  kv_path_release(space, &child);
  kv_path_release(space, &all);
  CHECK_OK(kv_path_extend(space, &other, 8, &err), &err);
  CHECK_ERROR(kv_path_extend(space, &child, 64, &err), &err, ERROR_RESOURCE, "KV blocks");
  CHECK_INT(child.count, BLOCKS - 2);
  kv_path_release(space, &child);
  check_counts((const struct kv_path *[]){&other}, 1);
}

#define WITH_SPACE(test) cmocka_unit_test_setup_teardown(test, open_space, close_space)

int main(void)
{
  const struct CMUnitTest tests[] = {WITH_SPACE(test_blocks_for_positions),
                                     WITH_SPACE(test_a_path_grows_by_blocks),
                                     WITH_SPACE(test_forks_share_whole_blocks_and_copy_the_rest),
                                     WITH_SPACE(test_a_path_is_shortened),
                                     WITH_SPACE(test_a_fork_in_the_first_block),
                                     WITH_SPACE(test_an_empty_pool)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

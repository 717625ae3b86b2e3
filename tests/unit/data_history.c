/* What happened to each problem: sums, steps, the order of first meeting, and the same bytes after a round trip. */
#include "check.h"

#include "data/history.h"

static struct arena *arena;
static struct error err;

static struct history *make(void)
{
  struct history *h;
  CHECK_OK(history_create(arena, &h, &err), &err);
  return h;
}

static int open_arena(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int close_arena(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static void check_record(const struct history *h, const char *id, int64_t tried, int64_t solved, int64_t steps,
                         int64_t last)
{
  struct history_record r = history_get(h, id);
  CHECK_INT(r.tried, tried);
  CHECK_INT(r.solved, solved);
  CHECK_INT(r.steps, steps);
  CHECK_INT(r.last_step, last);
}

static void test_sums(void **state)
{
  (void)state;
  struct history *h = make();
  check_record(h, "a", 0, 0, 0, -1);
  CHECK_OK(history_add(h, "a", 0, 1, 1, &err), &err);
  CHECK_OK(history_add(h, "a", 0, 1, 0, &err), &err);  // another rollout of the same step
  CHECK_OK(history_add(h, "b", 0, 4, 0, &err), &err);
  CHECK_OK(history_add(h, "a", 7, 1, 1, &err), &err);
  check_record(h, "a", 3, 2, 2, 7);
  check_record(h, "b", 4, 0, 1, 0);
  check_record(h, "", 0, 0, 0, -1);
  check_record(h, "A", 0, 0, 0, -1);
}

/* Ids that live in a buffer of the caller's, many more than the first table has room for. */
static struct history *fill(int count, int first)
{
  struct history *h = make();
  char id[32];
  for (int i = 0; i < count; i++) {
    int k = (first + i) % count;
    snprintf(id, sizeof id, "file.jsonl:%d", k);
    CHECK_OK(history_add(h, id, k, k % 5, k % 3, &err), &err);
  }
  return h;
}

static void test_many_problems(void **state)
{
  (void)state;
  enum { COUNT = 3000 };
  struct history *h = fill(COUNT, 0);
  char id[32];
  for (int k = 0; k < COUNT; k++) {
    snprintf(id, sizeof id, "file.jsonl:%d", k);
    check_record(h, id, k % 5, k % 3, 1, k);
  }
  check_record(h, "file.jsonl:3000", 0, 0, 0, -1);
}

static void test_saved_and_loaded(void **state)
{
  (void)state;
  struct history *h = fill(200, 0), *again = make(), *turned = fill(200, 1);
  struct text saved = {0}, second = {0}, other = {0};
  history_save(h, &saved);
  CHECK_OK(text_finish(&saved, &err), &err);
  CHECK_OK(history_load(again, saved.bytes, saved.size, &err), &err);
  history_save(again, &second);
  CHECK_INT(second.size, saved.size);
  CHECK_BITS(second.bytes, saved.bytes, saved.size);
  // the order is that of first meeting, not of a hash
  history_save(turned, &other);
  CHECK_INT(other.size, saved.size);
  CHECK(memcmp(other.bytes, saved.bytes, saved.size) != 0);
  // what was loaded goes on
  CHECK_OK(history_add(again, "file.jsonl:4", 500, 2, 1, &err), &err);
  check_record(again, "file.jsonl:4", 6, 2, 2, 500);
  text_free(&saved);
  text_free(&second);
  text_free(&other);
}

static void test_cut_anywhere(void **state)
{
  (void)state;
  struct history *h = fill(3, 0);
  struct text saved = {0};
  history_save(h, &saved);
  for (size_t n = 0; n < saved.size; n++) {
    error_clear(&err);
    CHECK_ERROR(history_load(make(), saved.bytes, n, &err), &err, ERROR_INPUT, "before the end");
  }
  text_free(&saved);
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, open_arena, close_arena)

int main(void)
{
  const struct CMUnitTest tests[] = {WITH_ARENA(test_sums), WITH_ARENA(test_many_problems),
                                     WITH_ARENA(test_saved_and_loaded), WITH_ARENA(test_cut_anywhere)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "check.h"
#include "core/arena.h"
#include "core/fault.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#endif

static bool all_zero(const void *p, size_t n)
{
  const unsigned char *s = p;
  for (size_t i = 0; i < n; i++) {
    if (s[i]) return false;
  }
  return n > 0;
}

static size_t tag_bytes(const char *tag, size_t *peak)
{
  struct memory_tag rows[600];
  size_t n = memory_report(rows, 600);
  for (size_t i = 0; i < n; i++) {
    CHECK(i == 0 || rows[i - 1].peak >= rows[i].peak);
    if (strcmp(rows[i].tag, tag) != 0) continue;
    if (peak) *peak = rows[i].peak;
    return rows[i].bytes;
  }
  return 0;
}

static void test_pushes(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("test", 4096, &err);
  for (size_t i = 0; i < 300; i++) {
    size_t n = i * 7 % 500;
    unsigned char *p = arena_push(a, n, 1, "pushes", &err);
    CHECK(p != NULL);
    CHECK_INT((uintptr_t)p % (n >= 64 ? 64 : 16), 0);
    if (n > 0) {
      CHECK(all_zero(p, n));
      memset(p, 0xee, n);
    }
  }
  unsigned char *large = arena_push(a, 1 << 20, 1, "pushes", &err);
  CHECK(all_zero(large, 1 << 20));
  size_t used = arena_used(a);
  CHECK_INT(tag_bytes("pushes", NULL), used);
  arena_reset(a);
  CHECK_INT(arena_used(a), 0);
  CHECK_INT(arena_peak(a), used);
  CHECK_INT(tag_bytes("pushes", NULL), 0);
  /* Memory that is used again is zero again. */
  for (int i = 0; i < 50; i++) {
    unsigned char *p = arena_push(a, 300, 1, "pushes", &err);
    CHECK(all_zero(p, 300));
    memset(p, 0xdd, 300);
    if (i % 10 == 9) arena_reset(a);
  }
  arena_destroy(a);
  arena_destroy(NULL);
}

static void test_overflow_is_refused(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("small", 0, &err);
  CHECK(arena_push(a, SIZE_MAX / 2, 3, "weights", &err) == NULL);
  CHECK_ERROR(err.code, &err, ERROR_RESOURCE, "arena small, weights");
  error_clear(&err);
  CHECK(memory_alloc(SIZE_MAX / 2, 3, "kv", &err) == NULL);
  CHECK_ERROR(err.code, &err, ERROR_RESOURCE, "kv: no memory");
  arena_destroy(a);
}

struct journal {
  int order[8], count;
};
static struct journal journal;

static void note(void *arg)
{
  journal.order[journal.count++] = *(int *)arg;
}

static void test_mark_release_and_callbacks(void **state)
{
  (void)state;
  struct error err = {0};
  int ids[4] = {0, 1, 2, 3};
  journal = (struct journal){0};
  struct arena *a = arena_create("marks", 256, &err);
  struct arena_mark empty = arena_mark(a);
  char *kept = arena_printf(a, "text", &err, "kept %d", 7);
  CHECK_OK(arena_on_reset(a, note, &ids[0], &err), &err);
  size_t used = arena_used(a);
  struct arena_mark mark = arena_mark(a);
  for (int i = 1; i < 4; i++) {
    CHECK(arena_push(a, 1000, 1, "text", &err) != NULL);
    CHECK_OK(arena_on_reset(a, note, &ids[i], &err), &err);
  }
  arena_release(a, mark);
  CHECK_INT(journal.count, 3);
  CHECK_INT(journal.order[0], 3);
  CHECK_INT(journal.order[1], 2);
  CHECK_INT(journal.order[2], 1);
  CHECK_INT(arena_used(a), used);
  CHECK_STR(kept, "kept 7");
  arena_release(a, empty);
  CHECK_INT(journal.count, 4);
  CHECK_INT(arena_used(a), 0);
  CHECK_STR(arena_strndup(a, "abcdef", 3, "text", &err), "abc");
  CHECK_STR(arena_strdup(a, "", "text", &err), "");
  arena_destroy(a);
}

/* A step that pushes, releases and pushes again in the default block does not go to malloc again. */
static void test_scratch_is_reused(void **state)
{
  (void)state;
#ifndef ASSAY_HOSTILE
  struct error err = {0};
  struct arena *a = arena_create("scratch", 0, &err);
  uint64_t warm = 0;
  for (int step = 0; step < 20; step++) {
    struct arena_mark mark = arena_mark(a);
    for (int i = 0; i < 20; i++) CHECK(arena_push(a, 5000, 1, "scratch", &err) != NULL);
    arena_release(a, mark);
    if (step == 9) warm = memory_allocations();
  }
  CHECK_INT(memory_allocations() - warm, 10); /* one block of two is kept */
  struct arena_mark mark = arena_mark(a);
  warm = memory_allocations();
  for (int step = 0; step < 20; step++) {
    for (int i = 0; i < 10; i++) CHECK(arena_push(a, 5000, 1, "scratch", &err) != NULL);
    arena_release(a, mark);
  }
  CHECK_INT(memory_allocations() - warm, 0);
  arena_destroy(a);
#endif
}

static void test_memory(void **state)
{
  (void)state;
  struct error err = {0};
  size_t before = memory_total(), peak = 0;
  unsigned char *p = memory_alloc(100, 10, "block", &err);
  CHECK_INT((uintptr_t)p % 64, 0);
  CHECK(all_zero(p, 1000));
  memset(p, 0x77, 1000);
  CHECK_INT(tag_bytes("block", &peak), 1000);
  p = memory_resize(p, 3000, 1, "block", &err);
  CHECK(p[0] == 0x77 && p[999] == 0x77);
  CHECK(all_zero(p + 1000, 2000));
  p = memory_resize(p, 10, 1, "block", &err);
  CHECK(p[9] == 0x77);
  CHECK_INT(tag_bytes("block", &peak), 10);
  CHECK_INT(peak, 4000); /* old and new live side by side while bytes are copied */
  CHECK(memory_peak() >= before + 4000);
  memory_free(p);
  memory_free(NULL);
  CHECK_INT(memory_total(), before);
  void *none = memory_alloc(0, 10, "block", &err);
  CHECK(none != NULL);
  memory_free(none);
}

static void test_poison(void **state)
{
  (void)state;
#ifdef HAVE_ASAN
  struct error err = {0};
  struct arena *a = arena_create("poison", 0, &err);
  char *p = arena_push(a, 10, 1, "poison", &err), *q = arena_push(a, 100, 1, "poison", &err);
  CHECK(!__asan_address_is_poisoned(p) && !__asan_address_is_poisoned(p + 9));
  CHECK(__asan_address_is_poisoned(p + 10) && __asan_address_is_poisoned(p - 1));
  CHECK(__asan_address_is_poisoned(q + 100) && __asan_address_is_poisoned(q - 1));
  struct arena_mark mark = arena_mark(a);
  char *released = arena_push(a, 10, 1, "poison", &err);
  CHECK(!__asan_address_is_poisoned(released));
#ifndef ASSAY_HOSTILE
  arena_release(a, mark);
  CHECK(__asan_address_is_poisoned(released));
#else
  (void)mark;
#endif
  arena_destroy(a);
  char *m = memory_alloc(10, 1, "poison", &err);
  CHECK(__asan_address_is_poisoned(m + 10) && __asan_address_is_poisoned(m - 1));
  memory_free(m);
#endif
}

#ifdef ASSAY_HOSTILE
static int use_memory(struct error *err)
{
  struct arena *a = arena_create("hostile", 0, err);
  if (!a) return ERROR_RESOURCE;
  int rc = 0;
  for (int i = 0; i < 5 && !rc; i++) rc = arena_push(a, 100, 1, "hostile", err) ? 0 : ERROR_RESOURCE;
  char *p = rc ? NULL : memory_alloc(100, 1, "hostile", err);
  char *q = p ? memory_resize(p, 200, 1, "hostile", err) : NULL;
  if (!q) rc = ERROR_RESOURCE;
  memory_free(q ? q : p);
  arena_destroy(a);
  return rc;
}
#endif

static void test_each_allocation_may_fail(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  size_t before = memory_total();
  long failures = 0;
  for (long n = 1;; n++) {
    struct error err = {0};
    fault_set(FAULT_ALLOC, n);
    int rc = use_memory(&err);
    fault_set(FAULT_ALLOC, 0);
    CHECK_INT(memory_total(), before);
    if (rc == 0) break;
    CHECK_ERROR(rc, &err, ERROR_RESOURCE, "no memory");
    failures++;
  }
  CHECK_INT(failures, 8);
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pushes),
                                     cmocka_unit_test(test_overflow_is_refused),
                                     cmocka_unit_test(test_mark_release_and_callbacks),
                                     cmocka_unit_test(test_scratch_is_reused),
                                     cmocka_unit_test(test_memory),
                                     cmocka_unit_test(test_poison),
                                     cmocka_unit_test(test_each_allocation_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

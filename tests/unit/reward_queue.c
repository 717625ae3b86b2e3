/* Verdicts do not depend on workers, room or delays, and a broken problem is reported whatever the order. */
#include <time.h>
#include "check.h"
#include "core/rng.h"
#include "reward/verify_queue.h"

enum { JOBS = 300 };

static struct problem problems[JOBS];
static char answers[JOBS][16], responses[JOBS][32];

static void make_problems(void)
{
  for (int i = 0; i < JOBS; i++) {
    snprintf(answers[i], sizeof answers[i], "%d", i);
    snprintf(responses[i], sizeof responses[i], "The answer is %d.", i % 3 ? i : i + 1);
    problems[i] = (struct problem){.id = "p", .source = "f.jsonl", .line = i + 1, .answer = answers[i]};
  }
}

/* Up to half a millisecond, by slot. */
static void delay(void *arg, size_t slot)
{
  struct rng_at at = {.purpose = RNG_TEST, .position = (uint32_t)slot};
  struct timespec t = {0, (long)rng_below(*(const uint64_t *)arg, &at, 500000)};
  nanosleep(&t, NULL);
}

/* A kind with its default settings. */
static const struct verifier_config *opened(struct arena *a, const char *kind)
{
  struct error err = {0};
  const struct verifier *v = verifier_find(kind, &err);
  struct verifier_config *c = NULL;
  CHECK(v != NULL);
  CHECK_OK(verifier_open(a, v, NULL, 0, 0, &c, &err), &err);
  return c;
}

static void run(const struct verify_queue_options *o, int batches)
{
  static struct verdict slots[JOBS];
  struct error err = {0};
  struct verify_queue *q;
  struct arena *a = arena_create("test", 0, &err);
  const struct verifier_config *number = opened(a, "number");
  CHECK_OK(verify_queue_create(a, o, &q, &err), &err);
  for (int b = 0; b < batches; b++) {
    memset(slots, 0xee, sizeof slots);
    verify_queue_start(q, slots, JOBS);
    for (size_t i = JOBS; i-- > 0;) verify_queue_submit(q, number, &problems[i], responses[i], strlen(responses[i]), i);
    CHECK_OK(verify_queue_wait(q, &err), &err);
    CHECK(verify_queue_seconds(q) > 0);
    for (int i = 0; i < JOBS; i++) {
      char want[16];
      snprintf(want, sizeof want, "%d", i % 3 ? i : i + 1);
      CHECK(slots[i].status == VERDICT_OK && slots[i].correct == (i % 3 != 0));
      CHECK_STR(slots[i].extracted, want);
    }
  }
  arena_destroy(a);
}

static void test_orders(void **state)
{
  (void)state;
  uint64_t seeds[] = {1, 2, 3};
  make_problems();
  run(&(struct verify_queue_options){.workers = 1}, 1);
  run(&(struct verify_queue_options){.workers = 8, .room = 1}, 3);
  for (size_t i = 0; i < 3; i++)
    run(&(struct verify_queue_options){.workers = 5, .room = 7, .before = delay, .arg = &seeds[i]}, 2);
}

static void test_failure(void **state)
{
  (void)state;
  static struct verdict slots[JOBS];
  uint64_t seed = 9;
  make_problems();
  problems[40].answer = problems[7].answer = problems[200].answer = NULL;
  for (int turn = 0; turn < 5; turn++, seed++) {
    struct error err = {0};
    struct verify_queue *q;
    struct arena *a = arena_create("test", 0, &err);
    const struct verifier_config *number = opened(a, "number");
    CHECK_OK(
        verify_queue_create(a, &(struct verify_queue_options){.workers = 4, .before = delay, .arg = &seed}, &q, &err),
        &err);
    verify_queue_start(q, slots, JOBS);
    for (size_t i = JOBS; i-- > 0;) verify_queue_submit(q, number, &problems[i], responses[i], strlen(responses[i]), i);
    CHECK_ERROR(verify_queue_wait(q, &err), &err, ERROR_INPUT, "no answer");
    CHECK_INT(err.line, 8);
    CHECK(slots[6].reason && slots[299].reason);
    /* The queue is good for another batch, and may be closed with work in it. */
    error_clear(&err);
    verify_queue_start(q, slots, JOBS);
    CHECK_OK(verify_queue_wait(q, &err), &err);
    for (size_t i = 100; i < 110; i++)
      verify_queue_submit(q, number, &problems[i], responses[i], strlen(responses[i]), i);
    arena_destroy(a);
  }
}

static void test_bad_options(void **state)
{
  (void)state;
  struct error err = {0};
  struct verify_queue *q;
  struct arena *a = arena_create("test", 0, &err);
  CHECK_ERROR(verify_queue_create(a, &(struct verify_queue_options){.workers = 0}, &q, &err), &err, ERROR_INPUT,
              "1 to 256");
  arena_destroy(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders), cmocka_unit_test(test_failure),
                                     cmocka_unit_test(test_bad_options)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

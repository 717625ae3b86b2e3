/* What was written down is what is read; what a kill leaves is cut; in a step the first verdict counts. */
#include "reward_case.h"

#include <stdlib.h>

#include "core/file.h"
#include "reward/journal.h"

static char folder[64];

static struct journal *open_at(struct arena *a, bool keep, int64_t step)
{
  struct journal *j;
  CHECK_OK(journal_open(a, folder, keep, &j, &err), &err);
  CHECK_OK(journal_begin(j, step, false, &err), &err);
  return j;
}

static struct journal_key key_of(const char *settings, const char *line, const char *response, int attempt)
{
  struct verifier_config *c;
  struct problem p = case_problem(line);
  struct journal_key key;
  CHECK_OK(case_open("number", settings, 0, &c), &err);
  CHECK_OK(journal_key_of(c, &p, response, strlen(response), attempt, &key, &err), &err);
  return key;
}

static char *read_all(const char *name, size_t *n)
{
  char *text;
  CHECK_OK(file_read(arena, path_join(arena, folder, name, &err), 1 << 20, &text, n, &err), &err);
  return text;
}

static void test_keys(void **state)
{
  (void)state;
  struct journal_key first = key_of("", "{\"answer\": 1, \"x\": 2}", "r", 0),
                     others[] = {key_of("", "{\"answer\": 1, \"x\": 2}", "r", 1),
                                 key_of("", "{\"answer\": 1, \"x\": 2}", "s", 0),
                                 key_of("", "{\"answer\": 1, \"x\": 3}", "r", 0),
                                 key_of("absolute=1", "{\"answer\": 1, \"x\": 2}", "r", 0)};
  struct journal_key again = key_of("", "{\"x\": 2, \"answer\": 1}", "r", 0); /* the order of fields means nothing */
  CHECK_BITS(&again, &first, sizeof first);
  for (size_t i = 0; i < 4; i++) CHECK(memcmp(&others[i], &first, sizeof first) != 0);
}

static void test_what_is_written_is_read(void **state)
{
  (void)state;
  struct journal *j = open_at(arena, true, 12);
  struct journal_key a = key_of("", "{\"answer\": 1}", "a", 0), b = key_of("", "{\"answer\": 1}", "b", 0),
                     c = key_of("", "{\"answer\": 1}", "c", 0);
  struct verdict v = {.reward = 0.1,
                      .readable = true,
                      .extracted = "\"4\"\n",
                      .reason = "so \xc3\xa9",
                      .more = "\"strict\": [true]",
                      .channel_count = 1,
                      .channels = {{"style", -1.0 / 3}}},
                 failed = {.status = VERDICT_FAILED, .timeout = true, .reason = "late"}, got;
  CHECK(!journal_find(j, &a, &got));
  struct verdict written = v; /* record gives back what counts, which lives until the next begin */
  CHECK_OK(journal_record(j, &a, &written, &err), &err);
  CHECK_OK(journal_record(j, &b, &failed, &err), &err);
  struct verdict second = {.reward = 1, .correct = true, .reason = "another"};
  CHECK_OK(journal_record(j, &a, &second, &err), &err);
  CHECK(second.reward == v.reward && !second.correct);
  CHECK_OK(journal_sync(j, &err), &err);
  /* another step knows nothing of it, another process everything */
  CHECK_OK(journal_begin(j, 13, false, &err), &err);
  CHECK(!journal_find(j, &a, &got));
  CHECK_OK(journal_begin(j, 12, true, &err), &err);
  CHECK(!journal_find(j, &a, &got));
  j = open_at(arena, true, 12);
  CHECK(journal_find(j, &a, &got));
  CHECK(got.status == VERDICT_OK && got.reward == 0.1 && got.readable && !got.correct && got.channel_count == 1);
  CHECK_STR(got.extracted, "\"4\"\n");
  CHECK_STR(got.reason, "so \xc3\xa9");
  CHECK_STR(got.more, "\"strict\": [true]");
  CHECK_STR(got.channels[0].name, "style");
  CHECK(got.channels[0].value == -1.0 / 3);
  CHECK(journal_find(j, &b, &got));
  CHECK(got.status == VERDICT_FAILED && got.timeout);
  CHECK(!journal_find(j, &c, &got));
  /* read only */
  j = open_at(arena, false, 12);
  CHECK(journal_find(j, &a, &got));
  size_t before, after;
  read_all("000012.jsonl", &before);
  CHECK_OK(journal_record(j, &c, &v, &err), &err);
  read_all("000012.jsonl", &after);
  CHECK_INT((int64_t)after, (int64_t)before);
}

/* Every length that a kill can leave, and a byte that a disk has changed. */
static void test_what_a_kill_leaves(void **state)
{
  (void)state;
  enum { VERDICTS = 3 };
  struct journal *j = open_at(arena, true, 1);
  struct journal_key keys[VERDICTS];
  struct verdict got;
  for (int i = 0; i < VERDICTS; i++) {
    struct verdict v = {.reward = i, .reason = "r"};
    keys[i] = key_of("", "{\"answer\": 1}", "x", i);
    CHECK_OK(journal_record(j, &keys[i], &v, &err), &err);
  }
  size_t n, left;
  char *whole = read_all("000001.jsonl", &n), *path = path_join(arena, folder, "000001.jsonl", &err);
  for (size_t size = 0; size <= n; size += 7) {
    CHECK_OK(file_truncate(path, 0, &err), &err);
    CHECK_OK(file_append(path, whole, size, false, &err), &err);
    struct arena *a = arena_create("test", 0, &err);
    j = open_at(a, true, 1);
    size_t lines = 0;
    for (size_t i = 0; i < size; i++) lines += whole[i] == '\n';
    for (size_t i = 0; i < VERDICTS; i++) CHECK(journal_find(j, &keys[i], &got) == (i < lines));
    read_all("000001.jsonl", &left);
    CHECK(left <= size && (!left || whole[left - 1] == '\n'));
    arena_destroy(a);
  }
  whole[n / 2] ^= 1;
  CHECK_OK(file_truncate(path, 0, &err), &err);
  CHECK_OK(file_append(path, whole, n, false, &err), &err);
  j = open_at(arena, true, 1);
  CHECK(journal_find(j, &keys[0], &got) && !journal_find(j, &keys[1], &got) && !journal_find(j, &keys[2], &got));
}

/* A thousand verdicts from threads that ask for the same contents: one counts for each. */
static void test_threads(void **state)
{
  (void)state;
  enum { JOBS = 1000, CONTENTS = 50 };
  struct verify_queue *q;
  struct verifier_config *c;
  struct verdict *slots = ARENA_NEW(arena, struct verdict, JOBS, "test", &err);
  struct problem p = case_problem("{\"answer\": 1}");
  static char texts[CONTENTS][8];
  static const struct setting_given given[] = {{"command",
                                                "while read -r l; do read -r x </proc/sys/kernel/random/uuid; "
                                                "echo \"{\\\"reward\\\": 0.$((0x${x%%-*} % 1000))}\"; done",
                                                NULL, 0}};
  CHECK_OK(verifier_open(arena, verifier_find("command", &err), given, 1, 5, &c, &err), &err);
  struct journal *j = open_at(arena, true, 2);
  CHECK_OK(verify_queue_create(arena, &(struct verify_queue_options){.workers = 4}, &q, &err), &err);
  verify_queue_set_journal(q, j, 0);
  for (size_t i = 0; i < CONTENTS; i++) snprintf(texts[i], sizeof texts[i], "%zu", i);
  verify_queue_start(q, slots, JOBS);
  for (size_t i = 0; i < JOBS; i++) verify_queue_submit(q, c, &p, texts[i % CONTENTS], strlen(texts[i % CONTENTS]), i);
  CHECK_OK(verify_queue_wait(q, &err), &err);
  bool differ = false;
  for (size_t i = CONTENTS; i < JOBS; i++) {
    CHECK_INT(slots[i].status, VERDICT_OK);
    CHECK(slots[i].reward == slots[i % CONTENTS].reward);
    differ = differ || slots[i].reward > slots[0].reward || slots[i].reward < slots[0].reward;
  }
  CHECK(differ);
}

static int make_folder(void **state)
{
  (void)state;
  log_set_quiet(true);
  snprintf(folder, sizeof folder, "/tmp/assay-journal-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
  (void)state;
  struct error failure = {0};
  return file_remove_tree(folder, &failure);
}

int main(void)
{
  const struct CMUnitTest tests[] = {CASE(test_keys), CASE(test_what_is_written_is_read), CASE(test_what_a_kill_leaves),
                                     CASE(test_threads)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* links: reward
 * The labelled pairs of the fixtures: at least 98 % agree, and nothing labelled unequal is called equal. Every answer
 * of the public data sets equals itself in five spellings. */
#include <stdlib.h>
#include "check.h"
#include "core/file.h"
#include "core/json.h"
#include "reward/verify_queue.h"

static struct arena *arena, *work;
static struct error err;
static struct verifier_config *math;
static const char *folder;

static bool judge(const char *gold, const char *response, struct verdict *v)
{
  struct problem p = {.id = "p", .source = "pairs", .line = 1, .answer = gold};
  CHECK_OK(verify_now(work, math, &p, response, strlen(response), v, &err), &err);
  CHECK_INT(v->status, VERDICT_OK);
  return v->correct;
}

/* The lines of a file of JSON objects. */
static json_t *read_rows(const char *name)
{
  json_t *rows = json_array(), *row;
  char *path = arena_printf(arena, "test", &err, "%s/%s", folder, name), line[1 << 16];
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f)) {
    CHECK_OK(json_parse(arena, line, strlen(line), path, 0, 0, &row, &err), &err);
    json_array_append(rows, row);
  }
  if (f) fclose(f);
  return rows;
}

static const char *string(const json_t *row, const char *key)
{
  return json_string_value(json_object_get(row, key));
}

static void test_pairs(void **state)
{
  (void)state;
  json_t *rows = read_rows("math/pairs.jsonl");
  size_t n = json_array_size(rows), agreed = 0, wrong = 0;
  CHECK(n >= 600);
  for (size_t i = 0; i < n; i++) {
    const json_t *row = json_array_get(rows, i);
    bool equal = json_is_true(json_object_get(row, "equal"));
    struct verdict v;
    bool got = judge(string(row, "gold"), string(row, "pred"), &v);
    agreed += got == equal;
    wrong += got && !equal;
    if (got != equal)
      print_message("%zu: %s | %.60s | want %s: %s\n", i, string(row, "gold"), string(row, "pred"),
                    equal ? "equal" : "different", v.reason);
    arena_reset(work);
  }
  print_message("%zu of %zu labels\n", agreed, n);
  json_decref(rows);
  CHECK_INT(wrong, 0);
  CHECK(agreed * 100 >= n * 98);
}

static void replace(char *to, size_t room, const char *s, const char *from, const char *by)
{
  size_t n = 0;
  while (*s && n + strlen(by) + 1 < room) {
    if (!strncmp(s, from, strlen(from))) {
      memcpy(to + n, by, strlen(by));
      n += strlen(by);
      s += strlen(from);
    } else {
      to[n++] = *s++;
    }
  }
  to[n] = 0;
}

static bool is_whole(const char *s)
{
  s += *s == '-';
  return *s && strspn(s, "0123456789") == strlen(s);
}

static size_t spellings(const char *gold, size_t *failed)
{
  char text[5][4096], spaced[2048];
  if (strlen(gold) > 1500) return 0;
  snprintf(text[0], sizeof text[0], "%s", gold);
  snprintf(text[1], sizeof text[1], "So we are done: \\[ \\boxed{%s} \\]", gold);
  snprintf(text[2], sizeof text[2], "Adding up, the final answer is $%s$. I hope it is correct.", gold);
  replace(spaced, sizeof spaced, gold, "{", "{ ");
  snprintf(text[3], sizeof text[3], "\\boxed{ %s }", spaced);
  if (strstr(gold, "\\frac"))
    replace(text[4], sizeof text[4], gold, "\\frac", "\\dfrac");
  else
    snprintf(text[4], sizeof text[4], is_whole(gold) ? "%s.0" : "\\boxed{{%s}}", gold);
  for (int i = 0; i < 5; i++) {
    struct verdict v;
    if (judge(gold, text[i], &v)) continue;
    print_message("%s in spelling %d: %s\n", gold, i, v.reason);
    ++*failed;
  }
  arena_reset(work);
  return 5;
}

static void test_spellings(void **state)
{
  (void)state;
  static const char *const sets[][2] = {{"../data/math500.jsonl", "answer"},
                                        {"../data/gsm8k_test.jsonl", "answer"},
                                        {"../data/svamp_test.jsonl", "Answer"}};
  size_t failed = 0, count = 0;
  for (int k = 0; k < 3; k++) {
    json_t *rows = read_rows(sets[k][0]);
    for (size_t i = 0; i < json_array_size(rows); i++) {
      const json_t *value = json_object_get(json_array_get(rows, i), sets[k][1]);
      char number[64];
      const char *gold = json_string_value(value);
      if (json_is_number(value)) snprintf(number, sizeof number, "%.17g", json_number_value(value));
      if (!gold) gold = number;
      const char *mark = strstr(gold, "#### ");
      struct verdict v;
      if (mark && !judge(gold, mark + 5, &v)) failed++;
      count += spellings(mark ? mark + 5 : gold, &failed);
    }
    json_decref(rows);
  }
  print_message("%zu spellings, %zu not equal\n", count, failed);
  CHECK(count > 10000);
  CHECK_INT(failed, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_spellings)};
  folder = getenv("ASSAY_FIXTURES");
  if (!folder) folder = ASSAY_SOURCE_DIR "/../shared/fixtures";
  arena = arena_create("test", 0, &err);
  work = arena_create("work", 0, &err);
  if (!arena || !work) return 1;
  if (!file_exists(arena_printf(arena, "test", &err, "%s/math/pairs.jsonl", folder))) {
    printf("skipped: %s/math/pairs.jsonl is absent\n", folder);
    return 77;
  }
  const struct verifier *kind = verifier_find("math", &err);
  if (!kind || verifier_open(arena, kind, NULL, 0, 0, &math, &err)) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(work);
  arena_destroy(arena);
  return rc;
}

/* Documents of ASSAY_FIXTURES computed by method/calc and compared, case by case, with what they hold. */
#ifndef ASSAY_TESTS_CALC_COMPARE_H
#define ASSAY_TESTS_CALC_COMPARE_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "core/file.h"
#include "core/math.h"
#include "method/calc.h"

struct tolerance {
  double share, floor; /* of the largest entry of an output; absolute */
  const char *why;
};
/* Cases that are refused, by name, with the reason. The list ends with NULL. */
struct refusal {
  const char *file, *name, *why;
};

static const char *compare_file; /* for messages */
static const json_t *compare_cases;

static double largest_of(const json_t *v)
{
  double most = json_is_number(v) ? math_abs(json_number_value(v)) : 0;
  const json_t *x;
  const char *key;
  size_t i;
  if (json_is_array(v)) json_array_foreach(v, i, x) most = largest_of(x) > most ? largest_of(x) : most;
  if (json_is_object(v))
    json_object_foreach((json_t *)(uintptr_t)v, key, x) most = largest_of(x) > most ? largest_of(x) : most;
  return most;
}

/* {"as": CASE}: the same value as that case's field. */
static const json_t *follow(const json_t *want, const char *part, const char *key)
{
  const json_t *as = json_object_get(want, "as"), *c;
  size_t i;
  if (!json_is_object(want) || json_object_size(want) != 1 || !json_is_string(as)) return want;
  json_array_foreach(compare_cases, i, c) if (json_equal(json_object_get(c, "case"), as)) return follow(
      json_object_get(json_object_get(c, part), key), part, key);
  return want;
}

static bool same(const json_t *got, const json_t *want, double allowed)
{
  const json_t *x;
  const char *key;
  size_t i;
  if (json_is_boolean(want) || json_is_number(want)) {
    double w = json_is_number(want) ? json_number_value(want) : json_is_true(want);
    double g = json_is_number(got) ? json_number_value(got) : json_is_boolean(got) ? json_is_true(got) : 2 * w + 1e300;
    return math_abs(g - w) <= allowed;
  }
  if (json_is_array(want)) {
    if (json_array_size(got) != json_array_size(want) || !json_is_array(got)) return false;
    json_array_foreach(want, i, x) if (!same(json_array_get(got, i), x, allowed)) return false;
    return true;
  }
  if (json_is_object(want)) {
    if (!json_is_object(got)) return false;
    json_object_foreach((json_t *)(uintptr_t)want, key,
                        x) if (!same(json_object_get(got, key), x, allowed)) return false;
    return true;
  }
  return got && json_equal(got, want);
}

static char *shown(const json_t *v)
{
  char *s = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
  if (s && strlen(s) > 600) memcpy(s + 596, "...", 4);
  return s;
}

/* Every member that the file holds. Returns how many differ. */
static int compare_part(const json_t *got, const json_t *c, const char *part, const struct tolerance *t)
{
  const json_t *want;
  const char *key;
  int wrong = 0;
  json_object_foreach(json_object_get(c, part), key, want)
  {
    const json_t *value = json_object_get(json_object_get(got, part), key), *real = follow(want, part, key);
    double allowed = t->share * largest_of(real);
    if (same(value, real, allowed > t->floor ? allowed : t->floor)) continue;
    char *g = shown(value), *w = shown(real);
    if (++wrong == 1)
      print_message("%s: %s: %s.%s\n  got  %s\n  want %s\n", compare_file,
                    json_string_value(json_object_get(c, "case")), part, key, g ? g : "nothing", w);
    free(g);
    free(w);
  }
  return wrong;
}

static const struct refusal *find_refusal(const struct refusal *list, const char *file, const char *name)
{
  for (; list && list->file; list++)
    if (!strcmp(list->file, file) && !strcmp(list->name, name)) return list;
  return NULL;
}

static CHECK_UNUSED void compare_document(const char *path, const char *name, const struct tolerance *t,
                                          const struct refusal *refusals, int *files, int *cases, int *wrong)
{
  struct error err = {0};
  json_t *document, *result, *c;
  size_t i;
  struct arena *a = arena_create("test", 0, &err);
  CHECK_OK(json_parse_file(a, path, &document, &err), &err);
  if (calc_find_for(a, document, NULL)) {
    CHECK_OK(calc_run(a, document, path, NULL, NULL, &result, &err), &err);
    compare_file = name;
    compare_cases = json_object_get(document, "cases");
    ++*files;
    json_array_foreach(compare_cases, i, c)
    {
      const json_t *got = json_array_get(json_object_get(result, "cases"), i), *raises = json_object_get(got, "raises");
      const char *label = json_string_value(json_object_get(c, "case"));
      if (find_refusal(refusals, name, label)) continue;
      ++*cases;
      if (!raises != !json_object_get(c, "raises")) {
        print_message("%s: %s: %s\n", name, label, raises ? json_string_value(raises) : "was not refused");
        ++*wrong;
      } else if (!raises) {
        *wrong += (compare_part(got, c, "outputs", t) + compare_part(got, c, "grads", t)) > 0;
      }
    }
  }
  arena_destroy(a);
}

static int by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All documents of a folder of the fixtures; at least `least` of them must be computed. */
static CHECK_UNUSED void compare_folder(const char *folder, const struct tolerance *t, const struct refusal *refusals,
                                        int least)
{
  enum { MOST = 512 };
  char path[1024], *names[MOST];
  const char *root = getenv("ASSAY_FIXTURES");
  int files = 0, cases = 0, wrong = 0, count = 0;
  snprintf(path, sizeof path, "%s/%s", root ? root : ASSAY_SOURCE_DIR "/../shared/fixtures", folder);
  DIR *d = opendir(path);
  if (!d) {
    print_message("skipped: %s is not there\n", path);
    return;
  }
  for (struct dirent *e; (e = readdir(d)) && count < MOST;)
    if (strlen(e->d_name) > 5 && !strcmp(e->d_name + strlen(e->d_name) - 5, ".json"))
      names[count++] = strdup(e->d_name);
  closedir(d);
  qsort(names, (size_t)count, sizeof *names, by_name);
  for (int i = 0; i < count; i++) {
    char file[2048];
    snprintf(file, sizeof file, "%s/%s", path, names[i]);
    compare_document(file, names[i], t, refusals, &files, &cases, &wrong);
    free(names[i]);
  }
  print_message("%s: %d of %d files, %d cases, %d wrong\n", folder, files, count, cases, wrong);
  CHECK(files >= least && cases > 0);
  CHECK_INT(wrong, 0);
}

#endif

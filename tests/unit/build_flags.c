/* links: core. Floating point is part of the build contract: reads compile_commands.json of this build and of every
 * other under build/. */
#include <glob.h>
#include <stdio.h>

#include "check.h"
#include "core/json.h"

static const char *const forbidden[] = {"-Ofast",
                                        "-ffast-math",
                                        "-funsafe",
                                        "-fassociative-math",
                                        "-freciprocal-math",
                                        "-march=native",
                                        "-ffinite-math-only",
                                        "-fno-signed-zeros",
                                        "-mrecip",
                                        "-ffp-contract=fast",
                                        "-mtune=native",
                                        "-ffp-contract=on",
                                        "-fno-trapping",
                                        "-std=gnu"};
static const char *const needed[] = {" -ffp-contract=off ", " -std=c17 ", " -Werror "};

/* The first reason why a command is not allowed, or NULL. */
static const char *wrong_with(const char *command)
{
  for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
    if (strstr(command, forbidden[i])) return forbidden[i];
  }
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
    if (!strstr(command, needed[i])) return needed[i];
  }
  return NULL;
}

static size_t check_file(struct arena *a, const char *path)
{
  struct error err = {0};
  json_t *root = NULL;
  CHECK_OK(json_parse_file(a, path, &root, &err), &err);
  size_t n = json_array_size(root);
  for (size_t i = 0; i < n; i++) {
    const char *command = NULL;
    CHECK_OK(json_need_string(json_array_get(root, i), "command", &command, path, &err), &err);
    const char *reason = wrong_with(command);
    if (reason) print_error("%s: %s: %s\n", path, reason, command);
    CHECK(reason == NULL);
  }
  return n;
}

static void test_every_command(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("flags", 0, &err);
  CHECK(check_file(a, ASSAY_BUILD_DIR "/compile_commands.json") > 10);
  static const char *const presets[] = {"release", "debug", "asan", "tsan", "hostile", "clang", "fuzz"};
  for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
    char *path = arena_printf(a, "flags", &err, "%s/build/%s/compile_commands.json", ASSAY_SOURCE_DIR, presets[i]);
    glob_t found;
    if (glob(path, 0, NULL, &found) == 0) check_file(a, path);
    globfree(&found);
  }
  arena_destroy(a);
}

static void test_the_check_can_fail(void **state)
{
  (void)state;
  const char *good = "cc -O3 -ffp-contract=off -Werror -std=c17 -c x.c";
  CHECK(wrong_with(good) == NULL);
  CHECK_STR(wrong_with("cc -Ofast -ffp-contract=off -Werror -std=c17 -c x.c"), "-Ofast");
  CHECK_STR(wrong_with("cc -ffp-contract=off -Werror -std=c17 -funsafe-math-optimizations -c x.c"), "-funsafe");
  CHECK_STR(wrong_with("cc -O3 -Werror -std=c17 -c x.c"), " -ffp-contract=off ");
  CHECK_STR(wrong_with("cc -O3 -ffp-contract=off -Werror -std=gnu17 -c x.c"), "-std=gnu");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_command), cmocka_unit_test(test_the_check_can_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

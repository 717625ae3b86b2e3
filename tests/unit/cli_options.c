/* Words on the command line: what they set, and what each wrong one is told. */
#include <stdlib.h>

#include "check.h"
#include "cli/cli.h"

struct settings {
  bool flag;
  int64_t count;
  double share;
  const char *name;
  uint64_t size;
  struct option_list also;
};
static const struct settings defaults = {.count = 7, .share = 0.5, .name = "x"};
static const struct option options[] = {
    {"--flag", NULL, OPTION_FLAG, offsetof(struct settings, flag), 0, 0, "a flag"},
    {"--count", "N", OPTION_INT, offsetof(struct settings, count), 1, 100, "a count"},
    {"--share", "X", OPTION_REAL, offsetof(struct settings, share), 0, 1, "a share"},
    {"--name", "TEXT", OPTION_TEXT, offsetof(struct settings, name), 0, 0, "a name"},
    {"--size", "SIZE", OPTION_SIZE, offsetof(struct settings, size), 0, 0, "a size"},
    {"--also", "TEXT", OPTION_LIST, offsetof(struct settings, also), 0, 0, "a text, several times"},
};
static const struct command command = {.name = "try",
                                       .help = "Tries",
                                       .arguments = "A [B]",
                                       .about = "About.",
                                       .example = "assay try a",
                                       .options = options,
                                       .option_count = 6,
                                       .defaults = &defaults,
                                       .settings_size = sizeof defaults,
                                       .least = 1,
                                       .most = 2};

static struct arena *arena;
static struct error err;
static struct cli cli;
static bool help;

static int parse(const char *line)
{
  static char words[512];
  char *argv[32];
  int argc = 0;
  snprintf(words, sizeof words, "%s", line);
  for (char *at = words; *at;) {
    argv[argc++] = at;
    at += strcspn(at, " ");
    if (*at) *at++ = 0;
  }
  if (arena) arena_destroy(arena);
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  cli = (struct cli){.command = &command, .arena = arena};
  help = false;
  return cli_parse(&cli, argc, argv, &help, &err);
}

/* In the order of the line; one more than there is room for is an error. */
static void test_list(void **state)
{
  (void)state;
  CHECK_OK(parse("--also one a --also=two"), &err);
  const struct settings *s = cli.settings;
  CHECK_INT(s->also.count, 2);
  CHECK_STR(s->also.items[0], "one");
  CHECK_STR(s->also.items[1], "two");
  struct option_list full = {.count = OPTION_LIST_MOST};
  static const struct option one[] = {{"--also", "TEXT", OPTION_LIST, 0, 0, 0, "a text, several times"}};
  const struct command crowded = {
      .name = "try", .options = one, .option_count = 1, .defaults = &full, .settings_size = sizeof full, .most = 0};
  char word[] = "--also", value[] = "x", *argv[] = {word, value};
  cli = (struct cli){.command = &crowded, .arena = arena};
  CHECK_ERROR(cli_parse(&cli, 2, argv, &help, &err), &err, ERROR_INPUT, "more than 64 times");
}

static void test_values(void **state)
{
  (void)state;
  CHECK_OK(parse("a"), &err);
  const struct settings *s = cli.settings;
  CHECK(!s->flag && s->count == 7 && s->share == 0.5 && !strcmp(s->name, "x") && !cli.json && !cli.threads &&
        !cli.seed_given);
  CHECK_INT(cli.seed, 1);
  CHECK_OK(parse("a --flag --count 12 --share=0.25 --name=--odd b --size 2G --json --quiet --threads 3 --seed 0 --in f "
                 "--out g"),
           &err);
  s = cli.settings;
  CHECK(s->flag && s->count == 12 && s->share == 0.25 && s->size == 2147483648u);
  CHECK_STR(s->name, "--odd");
  CHECK_INT(cli.argument_count, 2);
  CHECK_STR(cli.arguments[1], "b");
  CHECK(cli.json && cli.quiet && cli.threads == 3 && cli.seed == 0 && cli.seed_given);
  CHECK_STR(cli.in, "f");
  CHECK_OK(parse("-- --flag"), &err);
  CHECK_STR(cli.arguments[0], "--flag");
  CHECK_OK(parse("-"), &err);
  CHECK_STR(cli.arguments[0], "-");
  CHECK_OK(parse("--help --nonsense"), &err);
  CHECK(help);
}

static void test_wrong(void **state)
{
  (void)state;
  static const struct {
    const char *line, *part;
  } cases[] = {
      {"a --threads 0", "found --threads 0; expected a whole number from 1"},
      {"a --threads two", "whole number"},
      {"a --threads", "at the end"},
      {"a --thread 2", "did you mean --threads?"},
      {"a --conut 2", "did you mean --count?"},
      {"a --count 101", "from 1 to 100"},
      {"a --count 1.5", "whole number"},
      {"a --count=", "whole number"},
      {"a --share 1.01", "from 0 to 1"},
      {"a --share nan", "from 0 to 1"},
      {"a --share 0.5x", "a number"},
      {"a --flag=1", "without a value"},
      {"a --size 4Q", "like 512M"},
      {"a --size -1", "like 512M"},
      {"a --compute int4", "expected f32 or bf16"},
      {"a b c", "expected: assay try A [B]"},
      {"--json", "found 0 arguments"},
      {"a -x", "found option -x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    CHECK_ERROR(parse(cases[i].line), &err, ERROR_INPUT, cases[i].part);
  CHECK(parse("a --json --nonsense") && cli.json);
}

static void test_sizes(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    uint64_t want;
  } good[] = {{"0", 0},
              {"17", 17},
              {"1K", 1024},
              {"512M", 536870912},
              {"4g", 4294967296u},
              {"4GiB", 4294967296u},
              {"2TB", 2199023255552u},
              {"9B", 9}};
  static const char *const bad[] = {"", "G", "4GG", "4 G", "1e3", "99999999999999999999", "99999999999T", "-4", "0x10"};
  uint64_t got;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    CHECK(cli_parse_size(good[i].text, &got) && got == good[i].want);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (cli_parse_size(bad[i], &got)) fail_msg("\"%s\" was taken for a size", bad[i]);
}

/* Every command says what it does and ends its help with an example of itself. */
static void test_table(void **state)
{
  (void)state;
  CHECK(command_count() >= 8);
  for (size_t i = 0; i < command_count(); i++) {
    const struct command *c = command_at(i);
    struct text t = {0};
    error_clear(&err);
    CHECK(command_find(c->name, &err) == c);
    CHECK(*c->help && *c->about && c->run && strstr(c->example, "assay ") && strstr(c->example, c->name));
    cli_put_help(&t, c);
    const char *last = strstr(t.bytes, "\nExample:\n  ");
    CHECK(last && !strncmp(last + 12, c->example, strlen(c->example)) && strlen(last) == 13 + strlen(c->example));
    for (size_t k = 0; k < c->option_count; k++) CHECK(strstr(t.bytes, c->options[k].name) && *c->options[k].help);
    text_free(&t);
  }
  CHECK(!command_find("tokenise", &err));
  CHECK_ERROR(err.code, &err, ERROR_INPUT, "did you mean \"tokenize\"?");
}

static void test_error_object(void **state)
{
  (void)state;
  struct text t = {0};
  struct error e = {0};
  error_fail(&e, ERROR_INPUT, "a\"b.yaml", 3, "lr", "found \"x\"; expected a number");
  put_error(&t, &e);
  CHECK_STR(t.bytes,
            "{\"error\": {\"code\": \"input\", \"file\": \"a\\\"b.yaml\", \"line\": 3, \"key\": \"lr\", \"message\": "
            "\"found \\\"x\\\"; expected a number\"}}");
  text_free(&t);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_list),  cmocka_unit_test(test_values),
                                     cmocka_unit_test(test_wrong), cmocka_unit_test(test_sizes),
                                     cmocka_unit_test(test_table), cmocka_unit_test(test_error_object)};
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return rc;
}

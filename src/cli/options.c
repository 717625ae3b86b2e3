#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "core/cursor.h"
#include "core/settings.h"
#include "core/yaml.h"

/* The common options fill struct cli itself. */
static const struct option common[] = {
    {"--json", NULL, OPTION_FLAG, offsetof(struct cli, json), 0, 0, "stdout is JSON Lines"},
    {"--quiet", NULL, OPTION_FLAG, offsetof(struct cli, quiet), 0, 0, "only errors on stderr"},
    {"--in", "FILE", OPTION_TEXT, offsetof(struct cli, in), 0, 0,
     "JSON Lines to read; - is stdin; .gz and .zst are read too"},
    {"--out", "FILE", OPTION_TEXT, offsetof(struct cli, out), 0, 0, "where results go, written atomically"},
    {"--threads", "N", OPTION_INT, offsetof(struct cli, threads), 1, 1024, "threads (default: the cores it may use)"},
    {"--seed", "N", OPTION_INT, offsetof(struct cli, seed), 0, 9007199254740992.0,
     "seed of all random numbers (default 1)"},
    {"--memory", "SIZE", OPTION_SIZE, offsetof(struct cli, memory), 0, 0,
     "memory limit, like 4G (default: what is free)"},
    {"--compute", "TYPE", OPTION_TEXT, offsetof(struct cli, compute), 0, 0,
     "f32 (default) or bf16: what a model is computed in"},
    {"--weights", "HOW", OPTION_TEXT, offsetof(struct cli, weights), 0, 0,
     "full (default), keep (a GGUF file's blocks), q8_0 or q4_0: how matrices that are not trained stay in memory"},
};
enum { COMMON_COUNT = sizeof common / sizeof *common, MAX_OPTIONS = 64 };

const struct option *cli_common_options(size_t *count)
{
  *count = COMMON_COUNT;
  return common;
}

bool cli_parse_size(const char *text, uint64_t *out)
{
  static const char units[] = "KMGT";
  uint64_t value = 0, shift = 0;
  if (*text < '0' || *text > '9') return false;
  for (; *text >= '0' && *text <= '9'; text++)
    if (!size_mul(value, 10, &value) || !size_add(value, (uint64_t)(*text - '0'), &value)) return false;
  const char *unit = *text ? strchr(units, *text & ~0x20) : NULL;
  if (unit) {
    shift = 10 * (uint64_t)(unit - units + 1);
    text++;
    if (*text == 'i') text++;
  }
  if (*text == 'B' || *text == 'b') text++;
  return !*text && size_mul(value, (uint64_t)1 << shift, out);
}

static int add_to_list(const struct option *o, const char *text, struct option_list *list, struct error *err)
{
  if (list->count == OPTION_LIST_MOST)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s more than %d times; expected at most that", o->name,
            OPTION_LIST_MOST);
  list->items[list->count++] = text;
  return 0;
}

static int set_option(const struct option *o, const char *text, void *base, struct error *err)
{
  char *field = (char *)base + o->at, *end, wanted[96];
  struct yaml_node node = {.kind = YAML_SCALAR, .text = text};
  double real;
  int64_t whole;
  switch (o->kind) {
    case OPTION_FLAG:
      *(bool *)(void *)field = true;
      return 0;
    case OPTION_TEXT:
      memcpy(field, &text, sizeof text);
      return 0;
    case OPTION_INT:
      if (!yaml_as_int(&node, &whole) || (double)whole < o->low || (double)whole > o->high)
        FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s %s; expected %s", o->name, text,
                number_wanted(true, o->low, o->high, wanted, sizeof wanted));
      memcpy(field, &whole, sizeof whole);
      return 0;
    case OPTION_REAL:
      real = strtod(text, &end);
      if (!*text || *end || !(real >= o->low && real <= o->high))
        FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s %s; expected %s", o->name, text,
                number_wanted(false, o->low, o->high, wanted, sizeof wanted));
      memcpy(field, &real, sizeof real);
      return 0;
    case OPTION_SIZE:
      if (!cli_parse_size(text, (uint64_t *)(void *)field))
        FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s %s; expected a size like 512M or 4G", o->name, text);
      return 0;
    case OPTION_LIST:
      return add_to_list(o, text, (struct option_list *)(void *)field, err);
  }
  return 0;
}

static const struct option *find_option(const struct command *command, const char *name, size_t n, bool *own)
{
  *own = true;
  for (size_t i = 0; i < command->option_count; i++)
    if (strlen(command->options[i].name) == n && !memcmp(command->options[i].name, name, n))
      return &command->options[i];
  *own = false;
  for (size_t i = 0; i < COMMON_COUNT; i++)
    if (strlen(common[i].name) == n && !memcmp(common[i].name, name, n)) return &common[i];
  return NULL;
}

static int unknown_option(const struct command *command, const char *word, size_t n, struct error *err)
{
  const char *names[MAX_OPTIONS];
  size_t count = 0;
  char name[128];
  snprintf(name, sizeof name, "%.*s", (int)n, word);
  for (size_t i = 0; i < command->option_count && count < MAX_OPTIONS; i++) names[count++] = command->options[i].name;
  for (size_t i = 0; i < COMMON_COUNT && count < MAX_OPTIONS; i++) names[count++] = common[i].name;
  const char *nearest = name_nearest(name, names, count);
  FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "found option %s; expected one of assay %s --help%s%s%s", name,
          command->name, nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* An option at argv[*i]: "--name VALUE" or "--name=VALUE". */
static int parse_option(struct cli *c, int argc, char **argv, int *i, struct error *err)
{
  const char *word = argv[*i], *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
  size_t n = equals ? (size_t)(equals - word) : strlen(word);
  bool own;
  const struct option *o = find_option(c->command, word, n, &own);
  if (!o) return unknown_option(c->command, word, n, err);
  if (o->kind == OPTION_FLAG && value)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s; expected %s without a value", word, o->name);
  if (o->kind != OPTION_FLAG && !value) {
    if (*i + 1 >= argc)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, o->name, "found %s at the end; expected %s %s", o->name, o->name, o->value);
    value = argv[++*i];
  }
  if (!strcmp(o->name, "--seed") && !own) c->seed_given = true;
  return set_option(o, value, own ? c->settings : (void *)c, err);
}

enum compute_type cli_compute_type(const struct cli *c)
{
  return c->compute && !strcmp(c->compute, compute_type_name(COMPUTE_BF16)) ? COMPUTE_BF16 : COMPUTE_F32;
}

enum model_keep cli_keep(const struct cli *c)
{
  enum model_keep keep = MODEL_KEEP_FULL;
  return c->weights && model_keep_find(c->weights, &keep) ? keep : MODEL_KEEP_FULL;
}

static int check_common(struct cli *c, struct error *err)
{
  if (c->compute && strcmp(c->compute, "f32") != 0 && strcmp(c->compute, "bf16") != 0)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--compute", "found --compute %s; expected f32 or bf16", c->compute);
  enum model_keep keep;
  if (c->weights && !model_keep_find(c->weights, &keep))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--weights", "found --weights %s; expected full, keep, q8_0 or q4_0",
            c->weights);
  if (c->argument_count < c->command->least || (c->command->most >= 0 && c->argument_count > c->command->most))
    FAIL(err, ERROR_INPUT, "found %d argument%s for assay %s; expected: assay %s%s%s; see assay %s --help",
         c->argument_count, c->argument_count == 1 ? "" : "s", c->command->name, c->command->name,
         *c->command->arguments ? " " : "", c->command->arguments, c->command->name);
  return 0;
}

/* --help anywhere before a --; --json and --quiet before the rest, so that an error about any word is printed as asked
   for. */
static bool look_ahead(struct cli *c, int argc, char **argv)
{
  bool help = false;
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
    help = help || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    c->json = c->json || !strcmp(argv[i], "--json");
    c->quiet = c->quiet || !strcmp(argv[i], "--quiet");
  }
  return help;
}

int cli_parse(struct cli *c, int argc, char **argv, bool *help, struct error *err)
{
  const struct command *command = c->command;
  bool only_arguments = false;
  c->seed = 1;
  c->arguments = ARENA_NEW(c->arena, const char *, (size_t)argc + 1, "options", err);
  c->settings = c->arguments ? arena_push(c->arena, 1, command->settings_size, "options", err) : NULL;
  if (!c->settings) return err->code;
  if (command->defaults) memcpy(c->settings, command->defaults, command->settings_size);
  *help = look_ahead(c, argc, argv);
  for (int i = 0; i < argc && !*help; i++) {
    if (!only_arguments && !strcmp(argv[i], "--"))
      only_arguments = true;
    else if (!only_arguments && argv[i][0] == '-' && argv[i][1])
      TRY(parse_option(c, argc, argv, &i, err));
    else
      c->arguments[c->argument_count++] = argv[i];
  }
  return *help ? 0 : check_common(c, err);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static void put_options(struct text *t, const struct option *options, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    char left[64];
    snprintf(left, sizeof left, "%s%s%s", options[i].name, options[i].value ? " " : "",
             options[i].value ? options[i].value : "");
    text_printf(t, "  %-22s %s\n", left, options[i].help);
  }
}

void cli_put_help(struct text *t, const struct command *command)
{
  text_printf(t, "assay %s %s\n\n%s.\n\n%s\n\nOptions:\n", command->name, command->arguments, command->help,
              command->about);
  put_options(t, command->options, command->option_count);
  put_options(t, common, COMMON_COUNT);
  text_printf(t, "\nExample:\n  %s\n", command->example);
}

void cli_put_overview(struct text *t)
{
  text_puts(t,
            "Assay improves a language model on problems whose answers can be checked.\n\n  assay COMMAND "
            "[arguments]\n\nCommands:\n");
  for (size_t i = 0; i < command_count(); i++) text_printf(t, "  %-10s %s\n", command_at(i)->name, command_at(i)->help);
  text_puts(t, "\nEvery command:\n");
  put_options(t, common, COMMON_COUNT);
  text_puts(t,
            "\n  assay COMMAND --help   what a command reads and writes, with an example\n  assay --version        "
            "version, commit, build type, instruction set in use\n");
}

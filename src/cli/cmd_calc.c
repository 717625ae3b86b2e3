#include <string.h>
#include "cli/cli.h"
#include "method/calc.h"

struct settings {
  const char *function;
  bool markdown;
};
static const struct settings defaults = {NULL, false};
static const struct option options[] = {
    {"--function", "F", OPTION_TEXT, offsetof(struct settings, function), 0, 0,
     "what is computed (default: the file's `function`, or METHOD)"},
    {"--markdown", NULL, OPTION_FLAG, offsetof(struct settings, markdown), 0, 0,
     "the functions there are, as docs/calc.md"},
};

static int list(struct cli *c, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < calc_count(); i++) {
    const struct calc *f = calc_at(i);
    if (c->json) {
      text_puts(&t, "{\"function\": ");
      json_put_string(&t, f->function, strlen(f->function));
      text_puts(&t, ", \"help\": ");
      json_put_string(&t, f->help, strlen(f->help));
      text_puts(&t, "}\n");
    } else {
      text_printf(&t, "%-24s %s\n", f->function, f->help);
    }
  }
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static int print_page(struct cli *c, struct error *err)
{
  struct text t = {0};
  text_puts(
      &t,
      "# Formulas\n\nMade by `assay calc --markdown`. `assay calc --in FILE` computes the formulas of a method on "
      "numbers given in a file,\nwith the functions that runs use: so is a paper's table, or what another "
      "framework returned, compared. A file is\n{function, inputs, cases: [{case, args, inputs}]}; "
      "src/method/calc.h has its form.\n\n| function | what | also | file |\n|---|---|---|---|\n");
  for (size_t i = 0; i < calc_count(); i++) {
    const struct calc *f = calc_at(i);
    text_printf(&t, "| `%s` | %s |", f->function, f->help);
    for (size_t k = 0; f->also && f->also[k]; k++) text_printf(&t, "%s `%s`", k ? "," : "", f->also[k]);
    text_printf(&t, " | src/method/calc_%s.c |\n", calc_name(i));
  }
  int rc = text_finish(&t, err);
  if (!rc) rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

/* option=value behind the method: numbers, true and false as such, anything else as text. */
static int read_overrides(struct cli *c, json_t **out, struct error *err)
{
  TRY(json_parse(c->arena, "{}", 2, "arguments", 0, 0, out, err));
  for (int i = 1; i < c->argument_count; i++) {
    const char *word = c->arguments[i], *equals = strchr(word, '=');
    struct error unused = {0};
    json_t *value;
    if (!equals)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, word, "found \"%s\"; expected option=value, like clip_high=0.28", word);
    char *key = arena_strndup(c->arena, word, (size_t)(equals - word), "options", err);
    if (!key) return err->code;
    if (json_parse(c->arena, equals + 1, strlen(equals + 1), "arguments", 0, 0, &value, &unused))
      json_object_set_new(*out, key, json_string(equals + 1));
    else
      json_object_set(*out, key, value);
  }
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  json_t *document, *result, *overrides;
  const char *function = s->function ? s->function : c->argument_count ? c->arguments[0] : NULL;
  if (s->markdown) return print_page(c, err);
  if (!c->in && !c->argument_count && !function) return list(c, err);
  if (!c->in)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--in", "found no --in FILE; expected a document {function, inputs, cases}");
  TRY(read_overrides(c, &overrides, err));
  TRY(json_parse_file(c->arena, c->in, &document, err));
  TRY(calc_run(c->arena, document, c->in, function, overrides, &result, err));
  struct text t = {0};
  json_put_value(&t, result);
  text_puts(&t, "\n");
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

const struct command command_calc = {
    .name = "calc",
    .help = "The formulas of a method on given numbers, without a model",
    .arguments = "[METHOD [option=value ...]] --in FILE",
    .about =
        "Reads one JSON document {function, inputs, cases: [{case, args, inputs}]} and writes the same with outputs "
        "and\n"
        "gradients computed; a case that is refused has `raises` instead. option=value replaces an option in every "
        "case.\n"
        "Alone it lists the functions there are. So is a paper's table, or another framework's output, compared:\n"
        "\n"
        "  assay calc --in rl/verl/adv_grpo.json           what the file's own `function` gives, case by case\n"
        "  assay calc adv_rloo --in rl/verl/adv_grpo.json  another function on the same numbers; so does `rloo`\n"
        "\n"
        "Where frameworks give one name to different formulas, the file's source.repo says whose is meant, or "
        "dialect=trl.",
    .example = "assay calc",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};

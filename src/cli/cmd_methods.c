#include "cli/cli.h"
#include "train/recipe.h"
#include "train/train.h"

struct settings {
  const char *resolve;
  double prompt_tokens, answer_tokens;
  bool markdown;
};
static const struct settings defaults = {0};
static const struct option options[] = {
    {"--resolve", "RECIPE", OPTION_TEXT, offsetof(struct settings, resolve), 0, 0,
     "who owns or contributes to each stage of a recipe, and every option with its origin"},
    {"--prompt-tokens", "N", OPTION_REAL, offsetof(struct settings, prompt_tokens), 1, 1e9,
     "with --resolve: mean length of a prompt that the price is for (default: rollout.max_prompt_tokens)"},
    {"--answer-tokens", "N", OPTION_REAL, offsetof(struct settings, answer_tokens), 1, 1e9,
     "with --resolve: the same of an answer (default: rollout.max_new_tokens)"},
    {"--markdown", NULL, OPTION_FLAG, offsetof(struct settings, markdown), 0, 0, "docs/methods.md"},
};

/* A line each: number, name, title. */
static int list(const struct cli *c, struct text *t, struct error *err)
{
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    if (c->json)
      TRY(method_json(m, t, err));
    else
      text_printf(t, "%02d  %-16s %s%s%s\n", m->number, m->name, m->title, m->base ? ", refines " : "",
                  m->base ? m->base : "");
  }
  return 0;
}

static int describe(const struct cli *c, struct text *t, struct error *err)
{
  const struct method *m = method_find(c->arguments[0]);
  if (c->argument_count > 1)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, c->arguments[1], "found \"%s\"; expected one method's name", c->arguments[1]);
  if (m) return c->json ? method_json(m, t, err) : method_describe(m, t, err);
  const char **names = ARENA_NEW(c->arena, const char *, method_count(), "methods", err);
  if (!names) return err->code;
  for (size_t i = 0; i < method_count(); i++) names[i] = method_at(i)->name;
  const char *nearest = name_nearest(c->arguments[0], names, method_count());
  FAIL_AT(err, ERROR_INPUT, NULL, 0, c->arguments[0], "there is no method \"%s\"; %s%s%sassay methods lists them all",
          c->arguments[0], nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "");
}

static int resolve(const struct cli *c, const char *path, struct text *t, struct error *err)
{
  const struct settings *s = c->settings;
  const struct price_lengths lengths = {s->prompt_tokens, s->answer_tokens};
  struct recipe *r;
  struct composed *set;
  TRY(recipe_read(c->arena, path, RECIPE_TRAIN, c->arguments, (size_t)c->argument_count, &r, err));
  struct compose_options o = {
      .seed = (uint64_t)r->top.seed, .epochs = (int32_t)r->train.epochs, .minibatches = (int32_t)r->train.minibatches};
  TRY(compose_open(c->arena, r->methods, r->method_count, &o, &set, err));
  if (c->json) {
    text_puts(t, "{");
    TRY(compose_json(set, t, err));
    text_puts(t, ", ");
    TRY(run_price_json(c->arena, r, compose_needs(set), &lengths, t, err));
    text_puts(t, "}\n");
    return text_finish(t, err);
  }
  TRY(compose_describe(set, t, err));
  return run_price(c->arena, r, compose_needs(set), &lengths, t, err);
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct text t = {0};
  int rc;
  if (s->resolve)
    rc = resolve(c, s->resolve, &t, err);
  else if (s->markdown)
    rc = method_markdown(&t, err);
  else if (c->argument_count)
    rc = describe(c, &t, err);
  else
    rc = list(c, &t, err);
  if (!rc) rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

const struct command command_methods = {
    .name = "methods",
    .help = "The methods there are, the options of one, or what a recipe's methods do",
    .arguments = "[NAME | key=value ...]",
    .about =
        "Without NAME: every method. With NAME: its paper, stages, options and metrics. With --json: {name, number, "
        "title, base, stages, options, needs}.\n"
        "--resolve RECIPE: who owns or contributes to each stage, every option with the file and line it came from, "
        "the needs, the extra\n"
        "forwards per step, their price and the memory; key=value overrides the recipe as in assay train. With --json: "
        "{stages, options,\n"
        "needs, forwards, memory}, each pass over the own tokens and each part of the memory with the needs that ask "
        "for it.",
    .example = "assay methods grpo",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};

#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "train/prepare.h"

static void put_plain(struct text *t, const char *file, const struct prepare_result *r)
{
  text_printf(t, "%s: %" PRId64 " problems from %" PRId64 " items", file, r->written, r->items);
  if (r->resumed) text_printf(t, ", %" PRId64 " of them done before", r->resumed);
  if (r->left) text_printf(t, "; left out %" PRId64 " (", r->left);
  for (int i = 0; i < r->reason_count; i++)
    text_printf(t, "%s%" PRId64 " %s", i ? ", " : "", r->reasons[i].count, r->reasons[i].why);
  text_puts(t, r->left ? ")\n" : "\n");
}

static void put_json(struct text *t, const char *file, const struct prepare_result *r)
{
  text_puts(t, "{\"out\": ");
  json_put_string(t, file, strlen(file));
  text_printf(t,
              ", \"problems\": %" PRId64 ", \"items\": %" PRId64 ", \"resumed\": %" PRId64 ", \"left_out\": %" PRId64
              ", \"reasons\": {",
              r->written, r->items, r->resumed, r->left);
  for (int i = 0; i < r->reason_count; i++) {
    if (i) text_puts(t, ", ");
    json_put_string(t, r->reasons[i].why, strlen(r->reasons[i].why));
    text_printf(t, ": %" PRId64, r->reasons[i].count);
  }
  text_puts(t, "}}\n");
}

static int run(struct cli *c, struct error *err)
{
  struct prepare_result result;
  struct text t = {0};
  const char *file = c->out;
  if (!file)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--out",
            "found no --out; expected the file for the prepared problems: %s prepare %s --out FILE", c->program,
            c->arguments[0]);
  const struct prepare_options o = {.recipe = c->arguments[0],
                                    .overrides = c->arguments + 1,
                                    .override_count = (size_t)c->argument_count - 1,
                                    .out = file,
                                    .seed = c->seed_given ? c->seed : -1,
                                    .stop = cli_stopped};
  TRY(prepare_run(c->arena, &o, &result, err));
  if (c->json)
    put_json(&t, file, &result);
  else
    put_plain(&t, file, &result);
  c->out = NULL; /* the summary goes to stdout */
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

const struct command command_prepare = {
    .name = "prepare",
    .help = "Builds or filters a recipe's problems before the run",
    .arguments = "RECIPE [key=value ...]",
    .about =
        "Takes every item of the recipe's `data` through the stage `prepare` of its methods (assay methods NAME says "
        "who "
        "has it; scrl filters subproblems that\n"
        "an external model wrote) and writes the problems that remain to --out, a file of JSON Lines for `data`. It "
        "can be "
        "stopped: what is done stands in\n"
        "OUT.part, and the same call goes on from there; --out is written when all is done. key=value overrides the "
        "recipe "
        "as in assay train.\n"
        "Says how many items were left out, and why; with --json {out, problems, items, resumed, left_out, reasons}.",
    .example = "assay prepare recipes/scrl.yaml data=recipes/data/sums_generated.jsonl --out $(mktemp -d)/sums.jsonl",
    .least = 1,
    .most = -1,
    .run = run,
};

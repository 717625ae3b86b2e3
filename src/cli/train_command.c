#include "cli/train_command.h"
#include "cli/train_view.h"
#include "core/file.h"
#include "core/live.h"
#include "core/log.h"
#include "train/chart.h"
#include "train/cost.h"
#include "train/recipe_parts.h"
#include "train/train.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

const struct option train_options[TRAIN_OPTION_COUNT] = {
    {"--run", "DIR", OPTION_TEXT, offsetof(struct train_settings, run), 0, 0,
     "folder of the run (default: runs/RECIPE-N)"},
    {"--resume", NULL, OPTION_FLAG, offsetof(struct train_settings, resume), 0, 0,
     "go on with the run in --run from its last checkpoint"},
    {"--plan", NULL, OPTION_FLAG, offsetof(struct train_settings, plan), 0, 0,
     "print memory, time a step and the resolved recipe, and stop"},
    {"--keys", NULL, OPTION_FLAG, offsetof(struct train_settings, keys), 0, 0,
     "print every key of a recipe (docs/options.md) and stop"}};
const struct train_settings train_defaults = {0};

/* ---- --keys ------------------------------------------------------------------------------------------------------ */

static void put_values(const struct recipe_key *k, struct text *t)
{
  switch (k->type) {
    case RECIPE_AUTO:
    case RECIPE_REAL_AUTO:
      text_puts(t, "auto, ");
      // fall through
    case RECIPE_INT:
    case RECIPE_REAL:
      text_printf(t, "%.15g to %.15g", k->low, k->high);
      break;
    case RECIPE_PAIR:
      text_printf(t, "two numbers, %.7g to %.7g", k->low, k->high);
      break;
    case RECIPE_ENUM:
      for (const char *p = k->words; *p; p++) text_printf(t, *p == '|' ? ", " : "%c", *p);
      break;
    case RECIPE_BOOL:
      text_puts(t, "true, false");
      break;
    case RECIPE_SWITCH:
      text_puts(t, "auto, true, false");
      break;
    case RECIPE_SIZE:
      text_puts(t, "auto, 512M, 4G");
      break;
    case RECIPE_TEXT:
      text_puts(t, "text");
      break;
    case RECIPE_TEXTS:
      text_puts(t, "list of texts");
      break;
  }
}

static const char *const LISTS[] = {
    "# Keys of a recipe",
    "",
    "Made by `assay train --keys`. A dot stands for a level of the YAML file; on the command line the same names are",
    "given as `key=value`, an entry of a list by its number (`data.0.path=FILE`). A key that is not here is an error.",
    "`compute.device: cuda` needs a build with `--preset cuda` and a GPU; elsewhere it is refused. Without `lora` "
    "whole "
    "weights train.",
    "",
    "- `data`, `eval.data`: entries `{path: FILE}` or `{task: NAME}`, one or a list. Beside it `verifier`, `weight` "
    "(share",
    "  in the mixture), `split` (train, held_out, all), `held_out` (fraction of a file, by a hash of the prompt), "
    "`fields`",
    "  (`{question: Body}` or `{question: \"{Body}. {Question}\"}`), `system`, `suffix`, and a task's own keys (`assay "
    "tasks`).",
    "- `methods`: names, each alone or as `{name: {option: value}}` (`assay methods NAME`). Default `[grpo]`.",
    "- `reward.channels`: rewards beside the verifier's: format, length, repetition, language, cosine, each with its",
    "  settings: docs/guide/rewards.md.",
    "- `reward.combine`: `{channel: weight}` entries, added up to the reward, or nested `{min: [...]}`, `{max: "
    "[...]}`,",
    "  `{product: [...]}`, `{sum: [...]}`, `{gate: [channel, ...]}`. Default `[{reward: 1}]`.",
    "",
    "| key | default | values | read by | meaning |",
    "|---|---|---|---|---|"};

static int print_keys(struct cli *c, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) text_printf(&t, "%s\n", LISTS[i]);
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    bool train = recipe_key_applies(k, RECIPE_TRAIN), sft = recipe_key_applies(k, RECIPE_SFT);
    char path[128];
    recipe_key_path(k, path, sizeof path);
    text_printf(&t, "| %s | %s | ", path, k->fallback);
    put_values(k, &t);
    text_printf(&t, " | %s | %s |\n", train && sft ? "both" : train ? "train" : "sft", k->help);
  }
  int rc = text_finish(&t, err);
  if (!rc) rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

/* Memory, time, recipe. */
static int put_plan(struct run *r, struct text *plan, struct error *err)
{
  struct cost cost;
  run_describe(r, plan);
  TRY(run_step_cost(r, &cost, err));
  text_puts(plan,
            "time, where every answer is as long as it may be, at the speed that this machine had just now:\n"
            "      1 step   about ");
  chart_put_duration(plan, cost.total);
  text_printf(plan, ": sampling %.3g s, scoring %.3g s, gradients %.3g s, AdamW %.3g s\n  %5lld steps  about ",
              cost.generate, cost.score, cost.train, cost.update, (long long)run_steps(r));
  chart_put_duration(plan, cost.total * (double)run_steps(r));
  text_puts(plan, ", evaluations and checkpoints left out\nrecipe:\n");
  return run_recipe(r, plan, err);
}

static int put_plan_json(struct run *r, struct text *plan, struct error *err)
{
  struct cost cost;
  struct text recipe = {0};
  text_puts(plan, "{\"plan\": {");
  run_plan_json(r, plan);
  TRY(run_step_cost(r, &cost, err));
  text_puts(plan, ", \"seconds_per_step\": ");
  json_put_f64(plan, cost.total);
  const double parts[] = {cost.generate, cost.score, cost.train, cost.update};
  static const char *const names[] = {"sampling", "scoring", "gradients", "adamw"};
  for (int i = 0; i < 4; i++) {
    text_printf(plan, "%s\"%s\": ", i ? ", " : ", \"seconds\": {", names[i]);
    json_put_f64(plan, parts[i]);
  }
  text_puts(plan, "}, \"recipe\": ");
  int rc = run_recipe(r, &recipe, err);
  if (!rc) json_put_string(plan, recipe.bytes, recipe.size);
  text_puts(plan, "}}\n");
  text_free(&recipe);
  return rc;
}

static int print_plan(struct cli *c, struct run *r, struct error *err)
{
  struct text plan = {0};
  int rc = c->json ? put_plan_json(r, &plan, err) : put_plan(r, &plan, err);
  if (!rc) rc = print_text(c, &plan, err);
  text_free(&plan);
  return rc;
}

/* A folder instead of a recipe: most likely a run that is to go on. */
static int check_recipe(struct cli *c, struct error *err)
{
  const char *path = c->arguments[0];
  char *recipe = path_join(c->arena, path, "recipe.yaml", err);
  if (!recipe) return err->code;
  if (!file_is_folder(path)) return 0;
  if (file_exists(recipe))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "found the folder of a run; expected a recipe; to go on with this run: assay %s %s --run %s --resume",
            c->command->name, recipe, path);
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found a folder; expected a recipe, a file of YAML");
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

struct looking {
  struct cli *cli;
  struct train_view *view; /* NULL: stderr shows lines */
  struct output *out;      /* --json: the lines of metrics; else NULL */
};

static int reported(void *arg, const struct metrics *m, struct error *err)
{
  struct looking *l = arg;
  struct text line = {0};
  train_view_report(l->view, m);
  if (!l->out) return 0;
  metrics_write_line(m, &line);
  int rc = text_finish(&line, err);
  if (!rc) rc = output_put(l->out, &line, err);
  text_free(&line);
  return rc;
}

/* What the run is, before it begins: in full in log.txt and where there is no view. */
static int describe(const struct run *r, bool view, struct error *err)
{
  struct text full = {0}, brief = {0};
  run_describe(r, &full);
  run_describe_briefly(r, &brief);
  int rc = text_finish(&full, err);
  if (!rc) rc = text_finish(&brief, err);
  if (!rc && view) log_info("%.*s", (int)brief.size - 1, brief.bytes);
  if (!rc && view) log_detail(false, "%s", full.bytes);
  if (!rc && !view) log_info("%s", full.bytes);
  text_free(&full);
  text_free(&brief);
  return rc;
}

static int summarise(struct looking *l, struct run *r, struct error *err)
{
  struct text t = {0};
  int columns, rows, rc = 0;
  live_size(&columns, &rows);
  if (l->out)
    rc = run_summary_json(r, &t, err);
  else if (!l->cli->quiet)
    rc = run_summary(r, l->cli->program, columns, live_utf8(), &t, err);
  if (!rc && l->out) rc = output_line(l->out, &t, err);
  if (!rc && l->out) rc = output_close(l->out, err);
  if (!rc && !l->out && !l->cli->quiet) rc = print_text(l->cli, &t, err);
  text_free(&t);
  return rc;
}

/* Lines of JSON on the same terminal would be written over: then there is no view. */
static int train_and_show(struct looking *l, struct run *r, struct error *err)
{
  struct cli *c = l->cli;
  bool shared = c->json && !c->out && isatty(STDOUT_FILENO);
  if (c->json) TRY(output_open(c, &l->out, err));
  if (!shared) TRY(train_view_open(c->arena, run_ledger(r), run_steps(r), cli_stopped, &l->view, err));
  int rc = describe(r, l->view != NULL, err);
  if (!rc) rc = run_train(r, err);
  train_view_close(l->view);
  return rc ? rc : summarise(l, r, err);
}

int train_command(struct cli *c, bool sft, struct error *err)
{
  const struct train_settings *s = c->settings;
  if (s->keys) return print_keys(c, err);
  if (!c->argument_count)
    FAIL(err, ERROR_INPUT, "found no recipe; expected: assay %s RECIPE [key=value ...]; see assay %s --help",
         c->command->name, c->command->name);
  TRY(check_recipe(c, err));
  struct looking looking = {.cli = c};
  struct run_watch watch = {.reported = reported, .arg = &looking};
  struct run_options o = {.recipe = c->arguments[0],
                          .sft = sft,
                          .overrides = c->arguments + 1,
                          .override_count = (size_t)c->argument_count - 1,
                          .folder = s->run,
                          .resume = s->resume,
                          .plan_only = s->plan,
                          .threads = (int)c->threads,
                          .memory = (int64_t)c->memory,
                          .seed = c->seed_given ? c->seed : -1,
                          .compute = c->compute,
                          .weights = c->weights,
                          .stop = cli_stopped,
                          .watch = &watch};
  struct run *r;
  if (s->resume && !s->run)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--resume",
            "found --resume without --run; expected the folder of the run: --run DIR --resume");
  cli_catch_signals();
  TRY(run_open(c->arena, &o, &r, err));
  return s->plan ? print_plan(c, r, err) : train_and_show(&looking, r, err);
}

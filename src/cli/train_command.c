#include "cli/train_command.h"
#include "core/log.h"
#include "train/train.h"

#include <stddef.h>

const struct option train_options[TRAIN_OPTION_COUNT] = {
    {"--run", "DIR", OPTION_TEXT, offsetof(struct train_settings, run), 0, 0,
     "folder of the run (default: runs/RECIPE-N)"},
    {"--resume", NULL, OPTION_FLAG, offsetof(struct train_settings, resume), 0, 0,
     "go on with the run in --run from its last checkpoint"},
    {"--plan", NULL, OPTION_FLAG, offsetof(struct train_settings, plan), 0, 0, "print the memory plan and stop"}};
const struct train_settings train_defaults = {0};

int train_command(struct cli *c, bool sft, struct error *err)
{
  const struct train_settings *s = c->settings;
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
                          .stop = cli_stopped};
  struct run *r;
  struct text plan = {0};
  if (s->resume && !s->run)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--resume",
            "found --resume without --run; expected the folder of the run: --run DIR --resume");
  cli_catch_signals();
  TRY(run_open(c->arena, &o, &r, err));
  run_describe(r, &plan);
  if (s->plan) return print_text(c, &plan, err);
  log_info("%s", plan.bytes ? plan.bytes : "");
  text_free(&plan);
  return run_train(r, err);
}

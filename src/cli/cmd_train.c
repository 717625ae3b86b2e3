#include "cli/train_command.h"

static int run_train_command(struct cli *c, struct error *err)
{
  return train_command(c, false, err);
}

const struct command command_train = {
    .name = "train",
    .help = "train a model on problems whose answers can be checked",
    .arguments = "RECIPE [key=value ...]",
    .about =
        "Reads a recipe (YAML), generates answers, judges them, and moves the weights. key=value overrides a key of "
        "the recipe, with dots: rollout.temperature=0.8.\n"
        "On a terminal stderr shows a table that stays in place, elsewhere a line every 10 s; stdout gets what the run "
        "came to (--json: every line of metrics, then that).\n"
        "Everything goes into one run folder: recipe.yaml, metrics.jsonl, rollouts/, evaluations/, checkpoints/, "
        "curve.svg, log.txt. A run that was stopped or killed goes on with\n"
        "--resume and ends with the same bits. Ctrl-C once: saves a checkpoint and exits with 5; twice: stops at once.",
    .example = "assay train recipes/demo.yaml train.steps=5 --run runs/try",
    TRAIN_COMMAND_OPTIONS,
    .least = 0,
    .most = -1,
    .run = run_train_command};

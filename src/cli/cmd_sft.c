#include "cli/train_command.h"

static int run_sft_command(struct cli *c, struct error *err)
{
  return train_command(c, true, err);
}

const struct command command_sft = {
    .name = "sft",
    .help = "supervised training on examples",
    .arguments = "RECIPE [key=value ...]",
    .about =
        "Trains on data of {messages} or {prompt, completion}, or on a task's own answers; the loss is on the "
        "assistant's parts. The recipe has no rollout, reward or methods;\n"
        "train.batch examples make a step. The run folder and --resume are those of `assay train`.",
    .example = "assay sft models/tiny/sft.yaml train.steps=5 --run runs/sft-try",
    TRAIN_COMMAND_OPTIONS,
    .least = 0,
    .most = -1,
    .run = run_sft_command};

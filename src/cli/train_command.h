/* cli/train_command: what `assay train` and `assay sft` share. */
#ifndef ASSAY_CLI_TRAIN_COMMAND_H
#define ASSAY_CLI_TRAIN_COMMAND_H

#include "cli/cli.h"

struct train_settings {
  const char *run;
  bool resume, plan, keys;
};
enum { TRAIN_OPTION_COUNT = 4 };
extern const struct option train_options[TRAIN_OPTION_COUNT];
extern const struct train_settings train_defaults;
#define TRAIN_COMMAND_OPTIONS                                                                \
  .options = train_options, .option_count = TRAIN_OPTION_COUNT, .defaults = &train_defaults, \
  .settings_size = sizeof(struct train_settings)

int train_command(struct cli *c, bool sft, struct error *err) MUST_USE;

#endif

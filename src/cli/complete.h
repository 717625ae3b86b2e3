/* cli/complete: what may stand next on a command line, from the tables of the program: commands, options, tasks,
 * verifiers, methods, keys of recipes and of tasks. The shells' scripts (`assay completion bash`) ask for it. */
#ifndef ASSAY_CLI_COMPLETE_H
#define ASSAY_CLI_COMPLETE_H

#include "cli/cli.h"

/* words: the line so far, [0] the program, the last one the word being written (may be ""). Appends a candidate a line,
 * "WORD\tHELP"; the line ":files" where names of files fit too, ":open" where no space belongs behind a candidate. */
void complete_words(const char *const *words, int count, struct text *out);

#endif

/* cli/budget: memory of the commands that answer and do not train: --memory, or what is free, is known to hold weights
 * and KV before either is taken.
 *
 *     struct budget b;
 *     TRY(budget_load(c, &session, 0, &b, err));
 *     TRY(budget_blocks(&b, &session, wanted, &options, err));
 *
 * Fewer blocks of KV than an answer could use make answers wait for each other and move no bit of them.
 */
#ifndef ASSAY_CLI_BUDGET_H
#define ASSAY_CLI_BUDGET_H

#include "cli/cli.h"
#include "rollout/generate.h"
#include "rollout/session.h"

struct budget {
  size_t limit; /* bytes: --memory; else what the device has, or the machine has free and this process holds */
  size_t taken; /* the process as it was before, weights, rotary table */
};

/* session_load, refused with ERROR_RESOURCE where weights and rotary table do not fit the limit. */
int budget_load(const struct cli *c, struct session *s, int positions, struct budget *out, struct error *err) MUST_USE;
/* Sets o->kv_blocks: `wanted`, or as many as fit. ERROR_RESOURCE where one answer of o->max_path positions does not. */
int budget_blocks(const struct budget *b, const struct session *s, int wanted, struct generate_options *o,
                  struct error *err) MUST_USE;

#endif

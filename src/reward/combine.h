/* reward/combine: how channels become one number, as the recipe's reward.combine writes it:
 *
 *     EXPR = CHANNEL                      its value; 0 where a rollout has none
 *          | NUMBER
 *          | {CHANNEL: WEIGHT}            weight * value
 *          | {sum: [EXPR, ...]}           added from left to right; at the top just [EXPR, ...]
 *          | {product: [...]}  {min: [...]}  {max: [...]}
 *          | {gate: [CHANNEL, EXPR]}      EXPR where the channel is at least 1 (full marks), else 0
 *          | {gate: [CHANNEL, EXPR, LEAST]}   ... at least LEAST
 *
 * Worked example: [{gate: [format, reward]}, {length: 0.5}] with format 1, reward 1, length -0.4: 1 + 0.5 * -0.4 = 0.8;
 * with format 0: 0 - 0.2 = -0.2.
 */
#ifndef ASSAY_REWARD_COMBINE_H
#define ASSAY_REWARD_COMBINE_H

#include "core/json.h"
#include "core/yaml.h"

struct combine;

int combine_read(struct arena *a, const struct yaml_node *n, struct combine **out, struct error *err) MUST_USE;
/* A list of channels with weights and nothing else: term i of combine_terms. 0: another form. */
size_t combine_terms(const struct combine *c);
void combine_term_at(const struct combine *c, size_t i, const char **channel, double *weight);
/* Every channel that is named is one of these: else ERROR_INPUT with the place, naming them. */
int combine_check(const struct combine *c, const char *const *names, size_t count, struct error *err) MUST_USE;
/* The number; get gives a channel's value. */
double combine_value(const struct combine *c, double (*get)(void *arg, const char *channel), void *arg);
void combine_put(const struct combine *c, struct text *t); /* as YAML, one line */
/* Words that name no channel: the operators, and "combined", which is what the result is called. */
bool combine_is_reserved(const char *name);

#endif

/* reward/channel: rewards beside the verifier's: functions of the response, each a named channel of the step. One file
 * a kind (channel_<name>.c), each defining `const struct channel channel_<name>`; the table is generated from the
 * names.
 *
 *     reward:
 *       channels: [format, {length: {buffer: 64}}, {repetition: {n: 4, name: loops}}]
 *       combine: [reward, {format: 0.1}, length]
 *
 * A channel is pure, bounded and read-only once open. `name` is a setting of every kind: what the channel is called
 * where that is not the kind's name.
 */
#ifndef ASSAY_REWARD_CHANNEL_H
#define ASSAY_REWARD_CHANNEL_H

#include "core/yaml.h"
#include "reward/verifier.h"

/* What a channel may look at. */
struct channel_input {
  const struct problem *problem;
  const struct verdict *verdict;
  const char *response; /* as verifiers see it; valid UTF-8 */
  size_t n;
  const int32_t *ids; /* tokens that the model wrote, end token included */
  int32_t tokens;
  int32_t max_new_tokens; /* rollout.max_new_tokens */
};

/* A kind with its settings chosen. */
struct channel_config {
  const struct channel *channel;
  const char *name; /* "format", or what the recipe calls it */
  struct setting_value *values;
  void *state; /* set by open */
};

struct channel {
  const char *name; /* "format" */
  const char *help; /* one line: what it is, from where to where */
  const struct setting *settings;
  size_t setting_count;
  int (*open)(struct arena *a, struct channel_config *c, struct error *err); /* NULL: nothing */
  /* *out: the value, a finite number; NaN: this rollout has none. */
  int (*value)(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
               struct error *err);
};

size_t channel_count(void);
const struct channel *channel_at(size_t i);
const struct setting_value *channel_value(const struct channel_config *c, const char *name);
/* reward.channels: a list of names and of {NAME: {setting: value}}. *out [*count] lives in the arena. An unknown kind,
 * a wrong setting and a name that is used twice name file and line. n NULL: none. */
int channel_read(struct arena *a, const struct yaml_node *n, struct channel_config **out, size_t *count,
                 struct error *err) MUST_USE;

/* DAPO's penalty on a response of n tokens, 0 down to -1 over the last `buffer` of `max` (0 < buffer <= max):
 * channel_length.c has the formula. */
double channel_overlong(double n, double max, double buffer);

#endif

/* cli/bench: the fixed workloads of `assay bench`, each run some times on one model.
 *
 *     decode   batch sequences, a random prompt of `prompt` ids each, exactly `fresh` tokens drawn at temperature 1
 *     shared   the same from one prompt
 *     score    log-probabilities of the last `fresh` tokens of batch random sequences of prompt + fresh
 *     train    the same with backward, clipping and AdamW
 *     grpo     one step: `problems` questions, `group` rollouts each of exactly `fresh` tokens, one update
 *
 * End tokens do not end a rollout here: the work is the same whatever the model says.
 */
#ifndef ASSAY_CLI_BENCH_H
#define ASSAY_CLI_BENCH_H

#include "rollout/generate.h"
#include "rollout/session.h"

struct bench_sizes {
  int64_t batch, prompt, fresh, problems, group, repeat;
};

/* One run. */
struct bench_time {
  double seconds; /* of what tokens and flop are counted in */
  double part[2]; /* seconds of the two halves */
};

struct bench {
  struct session session;
  struct bench_sizes sizes;
  enum generate_ahead ahead;
  uint64_t seed;
  struct arena *arena; /* of a run, reset before each */
  /* set by the workload */
  const char *part_name[2]; /* NULL: none */
  double tokens;            /* what tokens per second are of */
  double flop;              /* operations of the matrix products (not attention's) that cannot be saved */
  double read;              /* bytes of weights and KV that cannot but be read; 0: not counted */
};

enum { BENCH_KV_BLOCK = 16 }; /* as the planner has it */

typedef int bench_run_fn(struct bench *b, void *state, struct bench_time *out, struct error *err);
/* Runs once to warm up, then sizes.repeat times; *out is the run of the median time. */
int bench_repeat(struct bench *b, bench_run_fn *run, void *state, struct bench_time *out, struct error *err) MUST_USE;

/* Operations of a forward: rows through the layers, head_rows through the LM head. */
double bench_forward_flop(const struct model_config *c, double rows, double head_rows);
/* A root segment of `count` random ids, those from `own` on marked as the policy's. */
int bench_random_segment(const struct bench *b, struct tree *t, int32_t number, int32_t count, int32_t own,
                         int32_t *segment, struct error *err) MUST_USE;

/* Seconds until the last first token was drawn, and from there to the end. */
struct bench_halves {
  double prompts, tokens;
};
/* The jobs' rollouts, `fresh` tokens each, from `segment`s, which the caller has set beside count and at. */
int bench_generate(struct bench *b, struct generator *g, struct tree *t, struct generate_job *jobs, int32_t count,
                   struct bench_halves *out, struct error *err) MUST_USE;
/* A generator for `rollouts` at once, in groups of at most `group`, prompts of at most `prompt` tokens. beside: gets
 * the room in which a trainer with these options takes turns with it; NULL: no trainer. */
struct trainer_options;
int bench_generator(struct bench *b, struct arena *a, int64_t rollouts, int64_t group, int64_t prompt,
                    struct trainer_options *beside, struct generator **out, struct error *err) MUST_USE;

int bench_decode(struct bench *b, struct arena *a, bool shared, struct bench_time *out, struct error *err) MUST_USE;
int bench_train(struct bench *b, struct arena *a, bool backward, struct bench_time *out, struct error *err) MUST_USE;
int bench_grpo(struct bench *b, struct arena *a, struct bench_time *out, struct error *err) MUST_USE;

#endif

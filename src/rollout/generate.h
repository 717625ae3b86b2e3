/* rollout/generate: from prompts to rollouts by continuous batching.
 *
 * A job is one group: a path of the tree to start from and how many rollouts to draw from it. Prompts are computed once
 * per job; the first token of each of its rollouts comes from the same hidden state. Up to `slots` rollouts decode
 * together, one row each; a finished rollout's slot is refilled at once. Every token's random number is addressed by
 * (purpose, step, group, attempt, rollout, position), so no slot, order or thread moves a bit (law 2).
 *
 * KV pool and workspace are a workroom of the generator's own or one that it shares with a trainer; both are sized when
 * it is made. The token loop allocates nothing.
 *
 * generator_run takes all jobs at once. A server takes them as they come: generator_start, then generator_add at any
 * time between two calls of generator_step. With options.keep the KV of finished rollouts stays while nobody needs its
 * room, and a prompt that begins with the same tokens reads on from there: the same bits, sooner.
 */
#ifndef ASSAY_ROLLOUT_GENERATE_H
#define ASSAY_ROLLOUT_GENERATE_H

#include "core/rng.h"
#include "rollout/tree.h"
#include "rollout/workroom.h"
#include "text/tokenizer.h"

enum finish { FINISH_NONE, FINISH_STOP /* an end token or a stop string */, FINISH_LENGTH };

struct sampling {
  double temperature;  /* 0: greedy */
  double top_p, min_p; /* 1 and 0: off */
  int32_t top_k;       /* 0: off */
};

struct generate_job {
  int32_t segment;       /* the path that ends here is read first; at least one token */
  int32_t count;         /* rollouts wanted */
  int32_t first_rollout; /* ordinal of the first in the group */
  struct rng_at at;      /* purpose, step, group, attempt; rollout and position are filled per token */
  uint64_t seed;
  struct sampling sampling;
  int32_t max_new_tokens;  /* >= 1 */
  const char *const *stop; /* stop strings, may be NULL */
  size_t stop_count;
  int32_t top;       /* most likely tokens to tell hooks.top at each token; at most options.top */
  bool early;        /* hooks.before_token asks nothing of the tokens before: it may be called before they are known */
  bool score_prompt; /* logp and entropy of the prompt's tokens but the first go into their records */
  struct tree *tree; /* of its segments; NULL: the run's */
  int32_t number;    /* what hooks know it by; generator_run: its index */
  /* results, arrays of `count` by the caller */
  int32_t *leaf; /* segment of each rollout: kind own, parent `segment` */
  enum finish *finish;
  int32_t kept;              /* tokens of the prompt whose KV was still there */
  struct generate_job *next; /* the generator's own */
};

/* What a method may do to a row before its token is drawn (filled by method/compose; NULL: nothing). */
struct row_at {
  int32_t job, rollout, position, generated; /* rollout -1: a token of the prompt (top alone) */
};
struct generate_hooks {
  void (*before_token)(void *arg, const struct row_at *at, struct sample_params *params);
  /* the same once the row is known; entropy: of the record's distribution in nats, NaN unless `entropy` is set, which
     costs a second pass over the logits */
  void (*before_draw)(void *arg, const struct row_at *at, float entropy, struct sample_params *params);
  bool entropy;
  void (*after_token)(void *arg, const struct row_at *at, const struct token_record *record); /* streaming, progress */
  /* before after_token, for jobs that want it: the k most likely tokens at record_temperature, best first */
  void (*top)(void *arg, const struct row_at *at, int32_t k, const int32_t *ids, const float *logp);
  void (*finished)(void *arg, int32_t job, int32_t rollout); /* a rollout is complete: verify it now */
  bool (*cancelled)(void *arg);                              /* asked once a pass */
  void *arg;
};

/* Whether a pass is started before the tokens of the one before are looked at (generate_internal.h): moves no bit. */
enum generate_ahead { AHEAD_WHERE_IT_HELPS /* by the device */, AHEAD_NEVER, AHEAD_ALWAYS };

struct generate_options {
  int slots;               /* rollouts decoded together */
  int prefill_rows;        /* rows of the largest prefill pass */
  int max_group;           /* largest job.count */
  int max_path;            /* positions of the longest path, prompt and answer */
  int kv_block, kv_blocks; /* storage: positions per block, and how many; 0 blocks: generate_blocks() */
  int vocab_chunk;
  int keep; /* finished rollouts whose KV is kept; 0: none */
  int top;  /* largest job.top */
  enum generate_ahead ahead;
  struct workroom *room; /* shared: then nothing is kept; NULL: its own */
};

struct generate_counts {
  uint64_t prompt_rows, decode_rows, passes, kept_rows;
  uint64_t passes_ahead; /* of passes: those started before the tokens of the one before were known */
  uint64_t rows_wasted;  /* beside decode_rows: of rollouts that had ended when their row was computed */
  double seconds;
};

struct generator;

/* Blocks that `slots` rollouts of the longest kind need with their prompts; with at least generate_blocks_least() every
 * job can run. */
int generate_blocks(const struct generate_options *o, int max_prompt, int max_new);
int generate_blocks_least(const struct generate_options *o);
/* What it needs of a workroom. */
struct workroom_size generator_workroom(const struct model_config *c, const struct generate_options *o);
/* With a workroom of its own. */
size_t generator_bytes(const struct model_config *c, const struct generate_options *o, enum compute_type type);
/* tokenizer may be NULL where no job has stop strings. end_ids end a rollout. record_temperature: of the records' logp
 * and entropy. */
int generator_create(struct arena *a, const struct model *m, const struct tokenizer *tokenizer, const int *end_ids,
                     size_t end_id_count, const struct generate_options *o, struct generator **out,
                     struct error *err) MUST_USE;
/* Runs all jobs to their ends. record_temperature <= 0: 1. weight_version is written into the leaves. ERROR_STOPPED
   where hooks->cancelled said so: rollouts that were not finished have finish FINISH_NONE. */
int generator_run(struct generator *g, struct tree *t, struct generate_job *jobs, int32_t job_count,
                  double record_temperature, int64_t weight_version, const struct generate_hooks *hooks,
                  struct generate_counts *counts, struct error *err) MUST_USE;

/* ---- jobs that come while others run -------------------------------------------------------------------------------
 */

/* What generator_run is told, for the steps to come. Nothing may be under way. Another weight_version forgets what was
 * kept. */
void generator_start(struct generator *g, struct tree *t, double record_temperature, int64_t weight_version,
                     const struct generate_hooks *hooks);
/* Queues a job, first in, first out. It, its tree and its arrays live until all its rollouts have finished and the step
 * is over. ERROR_INPUT where a stop string is too long. */
int generator_add(struct generator *g, struct generate_job *job, struct error *err) MUST_USE;
/* One pass over prompts, if some wait, and one over all live rollouts. *idle: nothing is left to do. */
int generator_step(struct generator *g, bool *idle, struct error *err) MUST_USE;
/* Between two steps: the job's rollouts that have not finished end here, with FINISH_NONE. */
void generator_cancel(struct generator *g, struct generate_job *job);
/* Slots that no live, waiting or queued rollout will take; 0 while a queued job waits for storage. */
int generator_room(const struct generator *g);
/* Blocks in use, by live rollouts and by what is kept, of all. */
void generator_kv(const struct generator *g, int *used, int *kept, int *all);

/* Where the first stop string begins in text, or n. */
size_t generate_find_stop(const char *text, size_t n, const char *const *stop, size_t stop_count);

#endif

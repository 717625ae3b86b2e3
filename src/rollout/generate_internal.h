/* rollout/generate_internal: what the generator's files share: prompts whose KV is there or on its way, slots, and the
 * passes between which they are.
 *
 *   generate.c         sizes, the loop, jobs that come and go
 *   generate_prompt.c  storage for prompts, and the passes that compute them
 *   generate_decode.c  slots: rollouts begin, go on by a token a pass, end
 *   generate_pass.c    one pass: its rows, what is drawn of them, and what becomes of that
 *
 * DECODING AHEAD. A pass of decoding may stay on the device while the host goes on (generator.flight): the next one is
 * built and started first, with rows whose tokens the device alone knows (rows.drawn), and then the one before is
 * taken. So the device computes while the host looks at tokens, writes records, ends rollouts and builds rows.
 *
 * A rollout that ended with the pass that is taken has a row too many in the one that is on its way; nobody looks at
 * that row (its entry of pass.whose goes), and its one position of K and V lies behind those that are kept. Its blocks
 * go back at once: whoever gets them uses them in a later pass, and the device runs passes in the order in which they
 * were started, so that position is written before and read by nobody. One row in a rollout's length is cheaper than
 * to let kernels ask whether a rollout has ended, and stop strings are the host's anyway. No bit can depend on any of
 * it: a row's numbers depend on no other row (law 2), and random numbers are addressed.
 *
 * What the host must see before the next draw keeps it from running ahead (runs_ahead in generate_decode.c).
 */
#ifndef ASSAY_ROLLOUT_GENERATE_INTERNAL_H
#define ASSAY_ROLLOUT_GENERATE_INTERNAL_H

#include "rollout/generate.h"
#include "rollout/keep.h"
#include "rollout/kv.h"

/* A job whose prompt is in KV, or on its way there. */
struct prompt {
  struct generate_job *job; /* NULL: free */
  int32_t length;           /* tokens of the path */
  int32_t done;             /* rows that have been forwarded */
  int32_t next_rollout;     /* the next of its rollouts that needs a slot */
  bool finished;            /* every rollout has been given a slot (or needs none): its KV goes after this pass */
  struct kv_path path;
};

struct slot {
  bool live;
  struct generate_job *job;
  int32_t rollout;
  int32_t position;    /* of the token that the next pass to be built reads */
  int32_t row;         /* in the pass on its way, which draws that token; -1: the token is the leaf's last */
  int32_t most_blocks; /* what its path may grow to: the reservation */
  struct kv_path path;
  struct token_decoder decoder;
  struct text tail; /* the last decoded bytes, for stop strings */
};

/* Arrays stay as they are until the pass is over. */
struct pass {
  int32_t *token, *position, *blocks, *head_row;
  int32_t block_count;
  struct rows_run *runs;
  struct rows_copy *copies;
  struct rows rows;
  struct head_rows head;
  struct sample_params *params;
  struct sample_result *results;
  struct row_at *who;          /* [head_room] which rollout each head row belongs to */
  struct generate_job **whose; /* [head_room] NULL: of a rollout that ended meanwhile */
  struct slot **slots;         /* [head_room] of decoding */
};

struct generator {
  const struct model *model;
  const struct tokenizer *tokenizer;
  const int *end_ids;
  size_t end_id_count;
  struct generate_options options;
  struct decoder *decoder;
  struct kv_space *kv;
  struct slot *slots;     /* [slots] */
  struct prompt *prompts; /* [slots + 1]: a window onto the jobs; room counts those in use */
  int32_t prompt_room;
  struct keep keep;
  int32_t row_room, head_room;    /* of a pass */
  struct pass passes[2], *flight; /* flight: the one that was started and not taken, of decoding; or NULL */
  int32_t *ids;                   /* [max_path] */
  int32_t *top_ids;               /* [head_room, options.top] */
  float *top_logp;
  bool ahead;
  // one run
  struct tree *tree;
  struct generate_job *first, **last; /* jobs that wait for their prompt's turn; *last is where the next is linked */
  bool short_of_storage;              /* the first has a slot and no blocks */
  double record_temperature;
  int64_t weight_version;
  struct generate_hooks hooks;
  struct generate_counts counts;
};

static inline int32_t least(int32_t a, int32_t b)
{
  return a < b ? a : b;
}
static inline int most(int a, int b)
{
  return a > b ? a : b;
}
static inline struct tree *tree_of(const struct generator *g, const struct generate_job *j)
{
  return j->tree ? j->tree : g->tree;
}

/* ---- generate_pass.c ---- */

int pass_open(struct generator *g, struct arena *a, struct pass *p, struct error *err) MUST_USE;
/* An empty one: the pass that is not on its way. */
struct pass *pass_begin(struct generator *g);
void pass_add_run(struct generator *g, struct pass *p, const struct kv_path *path, int32_t position, int32_t count,
                  const int32_t *ids);
/* A head row for the token at `position` of a rollout: what will be drawn there, and with which number. */
void pass_add_head(struct generator *g, struct pass *p, int32_t row, struct generate_job *j, int32_t rollout,
                   int32_t position, int32_t generated);
/* The same for a token of the prompt, whose log-probability is wanted: it is forced. */
void pass_add_given(struct generator *g, struct pass *p, int32_t row, struct generate_job *j, int32_t position,
                    int32_t id);
/* Between the two the device may be at it, and another pass be started. */
int pass_start(struct generator *g, struct pass *p, struct error *err) MUST_USE;
int pass_take(struct generator *g, struct pass *p, struct error *err) MUST_USE;
/* Writes what head row h gave into its tree: the token drawn, or what is now known of a prompt's. */
int pass_record(struct generator *g, const struct pass *p, int32_t h, struct error *err) MUST_USE;
/* Whether the rollout ends with token `id`, its generated-th (1-based). */
enum finish slot_ends(const struct generator *g, struct slot *s, const struct generate_job *j, int32_t id,
                      int32_t generated);

/* ---- generate_prompt.c ---- */

/* Blocks that a rollout of the prompt may need, and whether so many are there. */
int32_t prompt_rollout_blocks(const struct generator *g, const struct prompt *p);
bool prompt_make_room(struct generator *g, int32_t blocks);
/* Slots that neither live rollouts nor those of open prompts will take. */
int32_t prompt_free_slots(const struct generator *g);
/* Room for more rollouts than wait? Then the next prompts are opened, as many as the free slots can take. */
int prompt_admit(struct generator *g, struct error *err) MUST_USE;
bool prompt_pending(const struct generator *g);
int prompt_pass(struct generator *g, struct error *err) MUST_USE;
/* The prompt's place is free; its rollouts keep the blocks that they share with it. */
void prompt_close(struct generator *g, struct prompt *p);

/* ---- generate_decode.c ---- */

/* The pass on its way, if there is one, is over: its tokens are taken. */
int decode_land(struct generator *g, struct error *err) MUST_USE;
/* Starts the next pass over all live rollouts and takes the one on its way, or this one. *any: there was one. */
int decode_pass(struct generator *g, bool *any, struct error *err) MUST_USE;
/* The KV of a rollout that is over goes where later prompts look for it. */
void slot_end(struct generator *g, struct slot *s);

#endif

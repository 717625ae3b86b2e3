/* links: rollout. Laws 1 and 2 where jobs come while others run: an answer has the same tokens and the same bits alone,
   among 31 others, behind a kept prefix, with its neighbours cancelled, and as generator_run gives it; a prompt's own
   log-probabilities and the most likely tokens are those of one forward. */
#include "check.h"

#include "model/model.h"
#include "rollout/generate.h"

enum { VOCAB = 70, MAX_PATH = 160, MAX_NEW = 40, JOBS = 32, SHARED = 37, TOP = 5 };

static const struct model_config CONFIG = {.architecture = "Qwen2ForCausalLM",
                                           .model_type = "qwen2",
                                           .vocab = VOCAB,
                                           .hidden = 48,
                                           .layers = 3,
                                           .heads = 6,
                                           .kv_heads = 2,
                                           .head_dim = 8,
                                           .ffn = 80,
                                           .max_positions = MAX_PATH,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .qkv_bias = true,
                                           .tied = true,
                                           .bos = -1,
                                           .eos = 1,
                                           .pad = -1};

struct world {
  struct arena *arena;
  struct device *device;
  struct model *model;
  struct generator *generator;
  enum compute_type type;
  struct error err;
};

/* One job with a tree of its own, as a server has them. */
struct served {
  struct tree *tree;
  struct generate_job job;
  int32_t leaf[2];
  enum finish finish[2];
  int32_t top_ids[2][MAX_PATH][TOP];
  float top_logp[2][MAX_PATH][TOP];
  float prompt_top[MAX_PATH];
};
static struct served *table[64]; /* by number */

/* Of the next world. */
static const char *kind = "cpu";
static enum generate_ahead ahead;

static void open_world(struct world *w, enum compute_type type, int threads, int slots, int keep, int blocks)
{
  *w = (struct world){.type = type};
  w->arena = arena_create("law", 0, &w->err);
  struct device_options o = {.kind = kind, .threads = threads, .type = type};
  CHECK_OK(device_open(&o, &w->device, &w->err), &w->err);
  CHECK_OK(model_create(w->arena, w->device, &CONFIG, MAX_PATH, &w->model, &w->err), &w->err);
  CHECK_OK(model_randomise(w->model, 7, &w->err), &w->err);
  static const int end[] = {1};
  struct generate_options g = {.slots = slots,
                               .prefill_rows = 48,
                               .max_group = 2,
                               .max_path = MAX_PATH,
                               .kv_block = 8,
                               .kv_blocks = blocks,
                               .keep = keep,
                               .top = TOP,
                               .ahead = ahead};
  CHECK_OK(generator_create(w->arena, w->model, NULL, end, 1, &g, &w->generator, &w->err), &w->err);
}

static void close_world(struct world *w)
{
  arena_destroy(w->arena);
  device_close(w->device);
}

static void take_top(void *arg, const struct row_at *at, int32_t k, const int32_t *ids, const float *logp)
{
  struct served *s = table[at->job];
  (void)arg;
  CHECK_INT(k, TOP);
  if (at->rollout < 0) {
    s->prompt_top[at->position] = logp[0];
    return;
  }
  memcpy(s->top_ids[at->rollout][at->generated], ids, sizeof s->top_ids[0][0]);
  memcpy(s->top_logp[at->rollout][at->generated], logp, sizeof s->top_logp[0][0]);
}

/* Job i: all begin with the same SHARED tokens. */
static struct served *make_job(struct world *w, int i)
{
  struct served *s = ARENA_NEW(w->arena, struct served, 1, "law", &w->err);
  int32_t ids[MAX_PATH], count = SHARED + 3 + i % 11;
  for (int32_t p = 0; p < count; p++)
    ids[p] = 2 + (int32_t)rng_below(p < SHARED ? 1 : 100 + (uint64_t)i,
                                    &(struct rng_at){.purpose = RNG_TEST, .position = (uint32_t)p}, VOCAB - 2);
  CHECK_OK(tree_create(w->arena, &s->tree, &w->err), &w->err);
  CHECK_OK(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, count, &s->job.segment, &w->err), &w->err);
  CHECK_OK(tree_append_ids(s->tree, s->job.segment, ids, count, 0, &w->err), &w->err);
  s->job.count = 1 + i % 2;
  s->job.seed = 50 + (uint64_t)i;
  s->job.at = (struct rng_at){.purpose = RNG_GENERATE};
  s->job.sampling = (struct sampling){.temperature = i % 3 ? 0.9 : 1, .top_p = i % 4 ? 1 : 0.9};
  s->job.max_new_tokens = 5 + (i * 7) % (MAX_NEW - 5);
  s->job.top = i % 5 == 0 ? TOP : 0;
  s->job.score_prompt = i % 6 == 0;
  s->job.tree = s->tree;
  s->job.number = i;
  s->job.leaf = s->leaf;
  s->job.finish = s->finish;
  table[i] = s;
  return s;
}

static void run_to_end(struct world *w)
{
  bool idle = false;
  for (int i = 0; i < 5000 && !idle; i++) CHECK_OK(generator_step(w->generator, &idle, &w->err), &w->err);
  CHECK(idle);
}

static void start(struct world *w)
{
  static const struct generate_hooks hooks = {.top = take_top};
  generator_start(w->generator, NULL, 1, 0, &hooks);
}

static void same_answers(const struct served *a, const struct served *b)
{
  const struct segment *p = &a->tree->segments[a->job.segment], *q = &b->tree->segments[b->job.segment];
  if (a->job.score_prompt) {
    CHECK(p->tokens[1].logp < 0);
    for (int32_t i = 1; i < p->count; i++) CHECK_BITS(&p->tokens[i], &q->tokens[i], sizeof p->tokens[i]);
  }
  for (int32_t r = 0; r < a->job.count; r++) {
    const struct segment *x = &a->tree->segments[a->leaf[r]], *y = &b->tree->segments[b->leaf[r]];
    CHECK_INT(a->finish[r], b->finish[r]);
    CHECK(a->finish[r] != FINISH_NONE);
    CHECK_INT(x->count, y->count);
    CHECK_BITS(x->tokens, y->tokens, (size_t)x->count * sizeof *x->tokens);
    if (!a->job.top) continue;
    CHECK_BITS(a->top_ids[r], b->top_ids[r], (size_t)x->count * sizeof a->top_ids[0][0]);
    CHECK_BITS(a->top_logp[r], b->top_logp[r], (size_t)x->count * sizeof a->top_logp[0][0]);
  }
}

/* Every job by itself in a fresh generator with one slot and nothing kept. */
static void serve_alone(struct world *w, struct served **out)
{
  ahead = AHEAD_NEVER;
  open_world(w, w->type, 1, 2, 0, 0);
  for (int i = 0; i < JOBS; i++) {
    start(w);
    out[i] = make_job(w, i);
    CHECK_OK(generator_add(w->generator, &out[i]->job, &w->err), &w->err);
    run_to_end(w);
    CHECK_INT(out[i]->job.kept, 0);
  }
}

static void alone_and_among_others(void **state)
{
  (void)state;
  for (int type = 0; type < 2; type++) {
    struct world alone = {.type = type ? COMPUTE_BF16 : COMPUTE_F32}, many;
    struct served *want[JOBS], *got[JOBS];
    serve_alone(&alone, want);
    // {threads, slots, kept, blocks, ahead}: all at once; arriving one by one; in little storage
    static const int settings[][5] = {{2, 32, 0, 0, AHEAD_NEVER},  {2, 5, 4, 0, AHEAD_NEVER},
                                      {1, 32, 32, 0, AHEAD_NEVER}, {2, 8, 3, 60, AHEAD_NEVER},
                                      {2, 32, 0, 0, AHEAD_ALWAYS}, {2, 8, 3, 60, AHEAD_ALWAYS}};
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
      const int *o = settings[k];
      ahead = (enum generate_ahead)o[4];
      open_world(&many, alone.type, o[0], o[1], o[2], o[3]);
      start(&many);
      int64_t kept = 0;
      for (int i = 0; i < JOBS; i++) {
        bool idle;
        int which = (i * 13 + (int)k) % JOBS;  // another order each time
        got[which] = make_job(&many, which);
        CHECK_OK(generator_add(many.generator, &got[which]->job, &many.err), &many.err);
        if (k) CHECK_OK(generator_step(many.generator, &idle, &many.err), &many.err);
      }
      run_to_end(&many);
      for (int i = 0; i < JOBS; i++) {
        same_answers(got[i], want[i]);
        kept += got[i]->job.kept;
      }
      CHECK(o[2] ? kept > 0 : kept == 0);
      int used, held, all;
      generator_kv(many.generator, &used, &held, &all);
      CHECK(o[2] ? used > 0 && held >= used : used == 0 && held == 0);
      close_world(&many);
    }
    close_world(&alone);
  }
}

static void leave(struct world *w, struct served *s)
{
  generator_cancel(w->generator, &s->job);
  s->job.leaf = NULL;  // a server frees all of it: what is on its way must not ask
}

/* Neighbours that leave halfway: what stays is not touched, and their storage comes back. */
static void run_with_those_who_leave(struct served *want[JOBS], int jobs)
{
  struct world many;
  struct served *got[JOBS];
  open_world(&many, COMPUTE_F32, 2, 6, 2, 0);
  start(&many);
  for (int i = 0; i < jobs; i++) {
    bool idle;
    got[i] = make_job(&many, i);
    CHECK_OK(generator_add(many.generator, &got[i]->job, &many.err), &many.err);
    CHECK_OK(generator_step(many.generator, &idle, &many.err), &many.err);
    if (i % 4 == 3) leave(&many, got[i - i % 3]);
  }
  for (int i = jobs - 4; i < jobs; i++)
    if (i % 2) leave(&many, got[i]);  // some of these still wait
  run_to_end(&many);
  int whole = 0;
  for (int i = 0; i < jobs; i++) {
    bool over = true;
    for (int32_t r = 0; r < got[i]->job.count; r++) over = over && got[i]->finish[r] != FINISH_NONE;
    if (!over) continue;
    same_answers(got[i], want[i]);
    whole++;
  }
  CHECK(whole >= jobs / 2);
  CHECK(whole < jobs);
  int used, held, all;
  generator_kv(many.generator, &used, &held, &all);
  CHECK(held >= used);
  close_world(&many);
}

static void among_those_who_leave(void **state)
{
  struct world alone = {0};
  struct served *want[JOBS];
  (void)state;
  serve_alone(&alone, want);
  for (ahead = AHEAD_NEVER; ahead <= AHEAD_ALWAYS; ahead++) run_with_those_who_leave(want, JOBS);
  kind = "cuda-emulated";
  ahead = AHEAD_WHERE_IT_HELPS;
  run_with_those_who_leave(want, JOBS);
  kind = "cpu";
  close_world(&alone);
}

/* Other weights: what was kept is forgotten. */
static void other_weights(void **state)
{
  struct world w;
  (void)state;
  open_world(&w, COMPUTE_F32, 1, 4, 4, 0);
  for (int64_t version = 0; version < 2; version++) {
    generator_start(w.generator, NULL, 1, version, NULL);
    for (int i = 1; i < 3; i++) {
      struct served *s = make_job(&w, i);
      CHECK_OK(generator_add(w.generator, &s->job, &w.err), &w.err);
      run_to_end(&w);
      CHECK(i == 1 ? s->job.kept == 0 : s->job.kept >= 32);
    }
  }
  close_world(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(alone_and_among_others), cmocka_unit_test(among_those_who_leave),
                                     cmocka_unit_test(other_weights)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/bench.h"
#include "cli/peak.h"
#include "train/trainer.h"

enum { PREFILL_ROWS = 512 };

int bench_random_segment(const struct bench *b, struct tree *t, int32_t number, int32_t count, int32_t own,
                         int32_t *segment, struct error *err)
{
  TRY(tree_add_segment(t, -1, SEGMENT_PROMPT, count, segment, err));
  for (int32_t i = 0; i < count; i++) {
    struct rng_at at = {.purpose = RNG_BENCH, .rollout = (uint32_t)number, .position = (uint32_t)i};
    int32_t id = (int32_t)rng_below(b->seed, &at, (uint32_t)b->session.config.vocab);
    TRY(tree_append_ids(t, *segment, &id, 1, i < own ? 0 : TOKEN_OWN, err));
  }
  return 0;
}

int bench_generator(struct bench *b, struct arena *a, int64_t rollouts, int64_t group, int64_t prompt,
                    struct trainer_options *beside, struct generator **out, struct error *err)
{
  int fresh = (int)b->sizes.fresh;
  struct generate_options o = {.slots = (int)rollouts,
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = (int)group,
                               .max_path = (int)prompt + fresh,
                               .kv_block = BENCH_KV_BLOCK,
                               .ahead = b->ahead};
  o.kv_blocks = generate_blocks(&o, (int)prompt, fresh);
  if (beside) {
    const struct model_config *c = &b->session.config;
    struct workroom_size own = generator_workroom(c, &o),
                         other = trainer_workroom(c, beside, device_type(b->session.device));
    struct workroom_size size = workroom_most(own, other);
    TRY(workroom_create(a, b->session.model, &size, &o.room, err));
    beside->room = o.room;
  }
  return generator_create(a, b->session.model, NULL, NULL, 0, &o, out, err);
}

struct begun {
  const struct device *device;
  double seconds;
};

/* When the last of the first tokens came: the prompts are behind us. */
static void after_token(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct begun *b = arg;
  (void)record;
  if (at->generated == 0) b->seconds = peak_clock(b->device);
}

int bench_generate(struct bench *b, struct generator *g, struct tree *t, struct generate_job *jobs, int32_t count,
                   struct bench_halves *out, struct error *err)
{
  for (int32_t i = 0; i < count; i++) {
    struct generate_job *j = &jobs[i];
    j->at = (struct rng_at){.purpose = RNG_BENCH, .group = (uint32_t)i};
    j->seed = b->seed;
    j->sampling = (struct sampling){.temperature = 1, .top_p = 1};
    j->max_new_tokens = (int32_t)b->sizes.fresh;
    j->leaf = ARENA_NEW(b->arena, int32_t, (size_t)j->count, "bench", err);
    j->finish = ARENA_NEW(b->arena, enum finish, (size_t)j->count, "bench", err);
    if (!j->leaf || !j->finish) return err->code;
  }
  const struct device *d = b->session.device;
  double start = peak_clock(d);
  struct begun begun = {d, start};
  struct generate_hooks hooks = {.after_token = after_token, .arg = &begun};
  TRY(generator_run(g, t, jobs, count, 1, 0, &hooks, NULL, err));
  *out = (struct bench_halves){begun.seconds - start, peak_clock(d) - begun.seconds};
  return 0;
}

struct decode {
  struct generator *generator;
  bool shared;
};

static int run(struct bench *b, void *state, struct bench_time *out, struct error *err)
{
  struct decode *d = state;
  int32_t count = d->shared ? 1 : (int32_t)b->sizes.batch;
  struct tree *t;
  struct bench_halves halves;
  struct generate_job *jobs = ARENA_NEW(b->arena, struct generate_job, (size_t)count, "bench", err);
  if (!jobs) return err->code;
  TRY(tree_create(b->arena, &t, err));
  for (int32_t i = 0; i < count; i++) {
    int32_t prompt = (int32_t)b->sizes.prompt;
    jobs[i].count = d->shared ? (int32_t)b->sizes.batch : 1;
    TRY(bench_random_segment(b, t, i, prompt, prompt, &jobs[i].segment, err));
  }
  TRY(bench_generate(b, d->generator, t, jobs, count, &halves, err));
  *out = (struct bench_time){halves.tokens, {halves.prompts, halves.tokens}};
  return 0;
}

/* Weights that one pass reads, all of them but an embedding that is no LM head, as they are kept. */
static double pass_bytes(const struct model *m)
{
  enum compute_type type = device_type(m->device);
  double bytes = 0;
  for (size_t i = 0; i < m->weight_count; i++) {
    const struct weight *w = m->weights[i];
    size_t n = weight_rows(w), k = weight_cols(w);
    if (w == m->embed && !m->config.tied) continue;
    if (weight_quant(w) != QUANT_NONE)
      bytes += (double)quant_matrix_bytes(weight_quant(w), n, k);
    else
      bytes += (double)n * (double)k * (double)(k > 1 ? compute_type_size(type) : sizeof(float));
  }
  return bytes;
}

/* In all passes of decoding: the weights, each sequence's own keys and values, and a shared prompt's once. */
static double decode_bytes(const struct bench *b, bool shared)
{
  const struct model *m = b->session.model;
  const struct bench_sizes *s = &b->sizes;
  double position = 2.0 * m->config.layers * m->config.kv_heads * m->config.head_dim *
                    (double)compute_type_size(device_type(m->device));
  double own = (double)s->batch * (double)s->fresh / 2, prompts = (double)(shared ? 1 : s->batch) * (double)s->prompt;
  return (double)(s->fresh - 1) * (pass_bytes(m) + (own + prompts) * position);
}

int bench_decode(struct bench *b, struct arena *a, bool shared, struct bench_time *out, struct error *err)
{
  struct decode d = {.shared = shared};
  TRY(bench_generator(b, a, b->sizes.batch, shared ? b->sizes.batch : 1, b->sizes.prompt, NULL, &d.generator, err));
  // the first token of each comes with its prompt
  b->tokens = (double)(b->sizes.batch * (b->sizes.fresh - 1));
  b->flop = bench_forward_flop(&b->session.config, b->tokens, b->tokens);
  b->read = decode_bytes(b, shared);
  b->part_name[0] = "prefill";
  b->part_name[1] = "decode";
  return bench_repeat(b, run, &d, out, err);
}

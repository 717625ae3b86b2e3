#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/peak.h"
#include "core/math.h"
#include "rollout/generate.h"
#include "train/trainer.h"

enum { MICRO_ROWS = 2048, VOCAB_CHUNK = 4096 };
static const struct optimiser optimiser = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1};
static const double learning_rate = 1e-6;

/* Knobs as the planner sets them where memory is plenty. */
static struct trainer_options training_options(const struct bench *b, int64_t paths, int64_t prompt, bool train)
{
  return (struct trainer_options){.micro_rows = trainer_enough_rows(&b->session.config, MICRO_ROWS),
                                  .max_path = (int)(prompt + b->sizes.fresh),
                                  .max_leaves = (int)paths,
                                  .max_prompt = (int)prompt,
                                  .max_new = (int)b->sizes.fresh,
                                  .kv_block = BENCH_KV_BLOCK,
                                  .vocab_chunk = VOCAB_CHUNK,
                                  .train = train};
}

static int make_trainer(struct bench *b, struct arena *a, const struct trainer_options *o, struct trainer **out,
                        struct error *err)
{
  if (o->train) TRY(model_make_trainable(b->session.model, err));
  return trainer_create(a, b->session.model, o, out, err);
}

/* One update from the coefficient of each target. logp: of the targets, as the forward found them. */
static int update(struct bench *b, struct trainer *t, const struct batch *batch, const double *coef, double *logp,
                  struct error *err)
{
  double norm;
  TRY(trainer_backward(t, b->arena, batch, 1, coef, NULL, logp, NULL, err));
  return trainer_update(t, &optimiser, learning_rate, &norm, err);
}

/* ---- score, train ------------------------------------------------------------------------------------------------ */

struct training {
  struct trainer *trainer;
  bool backward;
};

static int run_training(struct bench *b, void *state, struct bench_time *out, struct error *err)
{
  struct training *s = state;
  int32_t count = (int32_t)b->sizes.batch, prompt = (int32_t)b->sizes.prompt, fresh = (int32_t)b->sizes.fresh;
  struct tree *t;
  struct batch *batch;
  struct batch_path *paths = ARENA_NEW(b->arena, struct batch_path, (size_t)count, "bench", err);
  if (!paths) return err->code;
  TRY(tree_create(b->arena, &t, err));
  for (int32_t i = 0; i < count; i++) TRY(bench_random_segment(b, t, i, prompt + fresh, prompt, &paths[i].leaf, err));
  double start = peak_clock(b->session.device);
  TRY(trainer_batch(s->trainer, b->arena, t, paths, count, &batch, err));
  double *logp = ARENA_NEW(b->arena, double, (size_t)batch->target_count, "bench", err);
  double *coef = ARENA_NEW(b->arena, double, (size_t)batch->target_count, "bench", err);
  if (!logp || !coef) return err->code;
  for (int32_t i = 0; i < batch->target_count; i++)
    if (batch->wanted[i]) coef[i] = -1.0 / ((double)count * fresh);
  if (s->backward)
    TRY(update(b, s->trainer, batch, coef, logp, err));
  else
    TRY(trainer_score(s->trainer, b->arena, batch, 1, logp, NULL, err));
  out->seconds = peak_clock(b->session.device) - start;
  return 0;
}

int bench_train(struct bench *b, struct arena *a, bool backward, struct bench_time *out, struct error *err)
{
  const struct bench_sizes *s = &b->sizes;
  struct training t = {.backward = backward};
  struct trainer_options o = training_options(b, s->batch, s->prompt, backward);
  TRY(make_trainer(b, a, &o, &t.trainer, err));
  b->tokens = (double)(s->batch * (s->prompt + s->fresh));
  // the last token of a sequence predicts nothing
  b->flop = (backward ? 3 : 1) *
            bench_forward_flop(&b->session.config, b->tokens - (double)s->batch, (double)(s->batch * s->fresh));
  return bench_repeat(b, run_training, &t, out, err);
}

/* ---- grpo -------------------------------------------------------------------------------------------------------- */

struct question {
  int32_t *ids;
  int32_t count;
};

struct grpo {
  struct generator *generator;
  struct trainer *trainer;
  struct question *questions; /* [problems] */
};

static int copy_ids(struct arena *a, const struct token_list *ids, struct question *out, struct error *err)
{
  out->count = (int32_t)ids->count;
  out->ids = ARENA_NEW(a, int32_t, ids->count, "bench", err);
  if (!out->ids) return err->code;
  memcpy(out->ids, ids->ids, ids->count * sizeof *out->ids);
  return 0;
}

/* Two numbers to add, as a chat message where the model has a template. */
static int ask(struct bench *b, struct arena *a, int64_t number, struct question *out, struct error *err)
{
  struct rng_at at = {.purpose = RNG_BENCH, .group = (uint32_t)number};
  uint32_t x = 10 + rng_below(b->seed, &at, 90);
  at.position = 1;
  uint32_t y = 10 + rng_below(b->seed, &at, 90);
  char text[96];
  snprintf(text, sizeof text, "What is %u + %u? Answer with a number.", x, y);
  bool chat = b->session.template != NULL;
  struct token_list ids = {0};
  json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", text);
  if (!messages) FAIL(err, ERROR_RESOURCE, "no memory for a question; free some memory");
  int rc = session_prompt_ids(&b->session, chat ? NULL : text, chat ? messages : NULL, NULL, &ids, err);
  if (!rc) rc = copy_ids(a, &ids, out, err);
  token_list_free(&ids);
  json_decref(messages);
  return rc;
}

/* The share of distinct tokens: any reward will do that tells rollouts of a group apart. */
static double reward(const struct segment *s)
{
  int32_t distinct = 0;
  for (int32_t i = 0; i < s->count; i++) {
    int32_t k = 0;
    while (s->tokens[k].id != s->tokens[i].id) k++;
    distinct += k == i;
  }
  return (double)distinct / s->count;
}

/* (reward - mean) / (standard deviation + 1e-4) within the group, over all tokens: coefficients on log-probabilities.
 */
static void give_credit(const struct bench *b, const struct batch *batch, const struct generate_job *j, double *coef)
{
  double sum = 0, squares = 0, all = (double)(b->sizes.problems * b->sizes.group * b->sizes.fresh);
  for (int32_t i = 0; i < j->count; i++) sum += reward(&batch->tree->segments[j->leaf[i]]);
  double mean = sum / j->count;
  for (int32_t i = 0; i < j->count; i++) {
    double r = reward(&batch->tree->segments[j->leaf[i]]) - mean;
    squares += r * r;
  }
  double deviation = math_sqrt(squares / (j->count > 1 ? j->count - 1 : 1)) + 1e-4;
  for (int32_t i = 0; i < j->count; i++) {
    const struct segment *s = &batch->tree->segments[j->leaf[i]];
    for (int32_t k = 0; k < s->count; k++)
      coef[batch_target(batch, j->leaf[i], k)] = (reward(s) - mean) / deviation / all;
  }
}

/* Law 1: what training computed is what sampling recorded, bit for bit. */
static int check_records(const struct batch *batch, const struct generate_job *jobs, int32_t count, const double *logp,
                         struct error *err)
{
  for (int32_t j = 0; j < count; j++) {
    for (int32_t i = 0; i < jobs[j].count; i++) {
      const struct segment *s = &batch->tree->segments[jobs[j].leaf[i]];
      for (int32_t k = 0; k < s->count; k++) {
        float trained = (float)logp[batch_target(batch, jobs[j].leaf[i], k)];
        if (memcmp(&trained, &s->tokens[k].logp, sizeof trained))
          FAIL(err, ERROR_LAW,
               "group %d, rollout %d, token %d: sampled with logp %.9g, computed again as %.9g; expected the same "
               "bits; report this",
               j, i, k, (double)s->tokens[k].logp, (double)trained);
      }
    }
  }
  return 0;
}

static int train_on(struct bench *b, struct grpo *s, struct tree *t, const struct generate_job *jobs, struct error *err)
{
  int32_t problems = (int32_t)b->sizes.problems, group = (int32_t)b->sizes.group;
  struct batch *batch;
  struct batch_path *paths = ARENA_NEW(b->arena, struct batch_path, (size_t)(problems * group), "bench", err);
  if (!paths) return err->code;
  for (int32_t i = 0; i < problems * group; i++) paths[i].leaf = jobs[i / group].leaf[i % group];
  TRY(trainer_batch(s->trainer, b->arena, t, paths, problems * group, &batch, err));
  double *logp = ARENA_NEW(b->arena, double, (size_t)batch->target_count, "bench", err);
  double *coef = ARENA_NEW(b->arena, double, (size_t)batch->target_count, "bench", err);
  if (!logp || !coef) return err->code;
  for (int32_t j = 0; j < problems; j++) give_credit(b, batch, &jobs[j], coef);
  TRY(update(b, s->trainer, batch, coef, logp, err));
  return check_records(batch, jobs, problems, logp, err);
}

static int run_grpo(struct bench *b, void *state, struct bench_time *out, struct error *err)
{
  struct grpo *s = state;
  int32_t problems = (int32_t)b->sizes.problems;
  struct tree *t;
  struct bench_halves halves;
  struct generate_job *jobs = ARENA_NEW(b->arena, struct generate_job, (size_t)problems, "bench", err);
  if (!jobs) return err->code;
  TRY(tree_create(b->arena, &t, err));
  double start = peak_clock(b->session.device);
  for (int32_t i = 0; i < problems; i++) {
    const struct question *q = &s->questions[i];
    jobs[i].count = (int32_t)b->sizes.group;
    TRY(tree_add_segment(t, -1, SEGMENT_PROMPT, q->count, &jobs[i].segment, err));
    TRY(tree_append_ids(t, jobs[i].segment, q->ids, q->count, 0, err));
  }
  TRY(bench_generate(b, s->generator, t, jobs, problems, &halves, err));
  double between = peak_clock(b->session.device);
  TRY(train_on(b, s, t, jobs, err));
  double end = peak_clock(b->session.device);
  *out = (struct bench_time){end - start, {between - start, end - between}};
  return 0;
}

int bench_grpo(struct bench *b, struct arena *a, struct bench_time *out, struct error *err)
{
  const struct bench_sizes *sizes = &b->sizes;
  const struct model_config *c = &b->session.config;
  int64_t rollouts = sizes->problems * sizes->group, longest = 0;
  double prompt_rows = 0, tokens = (double)(rollouts * sizes->fresh);
  struct grpo s = {.questions = ARENA_NEW(a, struct question, (size_t)sizes->problems, "bench", err)};
  if (!s.questions) return err->code;
  for (int64_t i = 0; i < sizes->problems; i++) {
    TRY(ask(b, a, i, &s.questions[i], err));
    prompt_rows += s.questions[i].count;
    if (s.questions[i].count > longest) longest = s.questions[i].count;
  }
  if (longest + sizes->fresh > c->max_positions)
    FAIL(err, ERROR_INPUT, "a question has %lld tokens and --new is %lld; expected at most %d together",
         (long long)longest, (long long)sizes->fresh, c->max_positions);
  struct trainer_options o = training_options(b, rollouts, longest, true);
  TRY(bench_generator(b, a, rollouts, sizes->group, longest, &o, &s.generator, err));
  TRY(make_trainer(b, a, &o, &s.trainer, err));
  // rows: prompts once a group, and every token but a rollout's last
  double rows = prompt_rows + tokens - (double)rollouts;
  b->tokens = tokens;
  b->flop = bench_forward_flop(c, rows, tokens) +
            3 * bench_forward_flop(c, rows, tokens - (double)rollouts + (double)sizes->problems);
  b->part_name[0] = "rollout";
  b->part_name[1] = "train";
  return bench_repeat(b, run_grpo, &s, out, err);
}

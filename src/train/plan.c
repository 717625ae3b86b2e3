#include "train/plan.h"

#include "compute/backend.h"
#include "model/adapter.h"
#include "train/given.h"
#include "train/score.h"

static void add(struct plan *p, const char *what, size_t bytes)
{
  if (!bytes) return;
  ASSAY_BUG_IF(p->count == PLAN_LINES);
  p->lines[p->count].what = what;
  p->lines[p->count].needs = 0;
  p->lines[p->count].aside = false;
  p->lines[p->count++].bytes = bytes;
  p->total += bytes;
}

static void add_aside(struct plan *p, const char *what, size_t bytes)
{
  if (!bytes) return;
  add(p, what, bytes);
  p->total -= bytes;
  p->aside += bytes;
  p->lines[p->count - 1].aside = true;
}

static int64_t least(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/* Most rollouts of a step: of all waves, and probes beside them. */
static int64_t most_rollouts(const struct plan_input *in)
{
  const struct recipe *r = in->recipe;
  if (!in->generates) return r->train.batch * given_sequences(r);
  return r->rollout.problems * r->rollout.max_attempts * (r->rollout.group + (in->needs ? in->needs->probes : 0));
}

enum { WHOLE_ROWS = NEED_ROW_TERM | NEED_TOKEN_STAT | NEED_GROUP_P };

/* Paths that a rollout may have in a training batch: its own, a copy in a second context, a slot. */
static int paths_of_rollout(const struct needs *n)
{
  return n ? 1 + !!(n->flags & NEED_SECOND_CONTEXT) + !!(n->flags & NEED_SLOT) : 1;
}

/* Options of the generator and the trainers from the knobs as they stand in p. */
static void set_options(const struct plan_input *in, struct plan *p)
{
  const struct recipe *r = in->recipe;
  int prompt = (int)(in->generates ? r->rollout.max_prompt_tokens : r->train.max_tokens),
      answer = (int)(in->generates ? r->rollout.max_new_tokens : 0);
  int path = (int)least((int64_t)prompt + answer, in->config->max_positions);
  if (prompt > path) prompt = path;
  p->generate = (struct generate_options){.slots = p->slots,
                                          .prefill_rows = BATCH_UNIT_ROWS,
                                          .max_group = (int)r->rollout.group,
                                          .max_path = path,
                                          .kv_block = p->kv_block,
                                          .vocab_chunk = p->vocab_chunk};
  p->generate.kv_blocks = generate_blocks(&p->generate, prompt, answer);
  p->train = (struct trainer_options){.micro_rows = p->micro_rows,
                                      .max_path = path,
                                      .max_leaves = (int)most_rollouts(in) * paths_of_rollout(in->needs),
                                      .max_prompts = in->prompts_shared ? (int)r->rollout.problems : 0,
                                      .max_prompt = prompt,
                                      .max_new = answer,
                                      .kv_block = p->kv_block,
                                      .vocab_chunk = p->vocab_chunk,
                                      .recompute = p->recompute,
                                      .train = true,
                                      .rows = in->needs && in->needs->flags & WHOLE_ROWS};
  p->score = p->train;
  p->score.train = p->score.rows = false;
  p->score.recompute = false;
  p->score.micro_rows = BATCH_UNIT_ROWS;
}

/* Most own tokens of a step. */
static size_t most_tokens(const struct plan_input *in, const struct plan *p)
{
  return (size_t)most_rollouts(in) * (size_t)(in->generates ? p->train.max_new : p->train.max_path);
}

/* Host bytes of a step: records, path tokens, coefficients; and the text of its rollouts while they are written. */
static size_t step_bytes(const struct plan_input *in, const struct plan *p)
{
  return most_tokens(in, p) * 400 * (size_t)paths_of_rollout(in->needs);
}

/* States of tokens: the step's, and those of a mini-batch where weights have moved; of other policies where terms look
 * at whole rows; and what a pass hands out. */
static size_t state_bytes(const struct plan_input *in, const struct plan *p)
{
  const struct needs *n = in->needs;
  const struct recipe *r = in->recipe;
  size_t width = (size_t)in->config->hidden * sizeof(float), tokens = most_tokens(in, p);
  size_t layers = (size_t)p->layers, moves = (size_t)(r->train.epochs * r->train.minibatches), rows;
  size_t sources = n->flags & NEED_ROW_TERM ? (size_t)n->row_source_count : 0;
  rows = layers * (tokens + (size_t)most_rollouts(in) + (size_t)r->rollout.problems * (size_t)n->prompt_states);
  if (moves > 1 && layers) rows += layers * (tokens / (size_t)r->train.minibatches + 1);
  return (rows + sources * tokens + (layers + (sources > 0)) * (size_t)p->micro_rows) * width;
}

/* Numbers per token: of each pass and statistic, and probabilities of the group's tokens. */
static size_t score_bytes(const struct plan_input *in, const struct plan *p)
{
  const struct needs *n = in->needs;
  size_t tokens = most_tokens(in, p);
  size_t each = (size_t)score_passes(n) * 40 + (size_t)n->token_stat_count * sizeof(double);
  size_t ids = (size_t)least(in->config->vocab, in->recipe->rollout.group * p->train.max_new);
  if (n->flags & NEED_GROUP_P) each += ids * sizeof(float);
  return tokens * each;
}

bool plan_shares_room(const struct model_config *policy, const struct model_config *c)
{
  return policy->layers == c->layers && policy->kv_heads == c->kv_heads && policy->head_dim == c->head_dim;
}

/* What a scorer has beside the policy's room. */
static size_t scorer_bytes(const struct plan_input *in, const struct plan *p, const struct model_config *c)
{
  struct workroom_size room = trainer_workroom(c, &p->score, in->type);
  return trainer_bytes(c, &p->score, in->type) -
         (plan_shares_room(in->config, c) ? workroom_bytes(c, &room, in->type) : 0);
}

static size_t frozen_bytes(const struct plan_input *in, const struct plan *p, const struct model_config *c)
{
  return model_fixed_bytes(c, in->type) + scorer_bytes(in, p, c);
}

/* What an own adapter of a policy beside the trained one takes; the base is one and the same. */
static size_t own_adapter_bytes(const struct plan_input *in)
{
  return adapter_part_bytes(in->config, sizeof(float)) + adapter_copy_bytes(in->config, in->type);
}

static size_t reference_bytes(const struct plan_input *in, const struct plan *p)
{
  if (in->reference) return frozen_bytes(in, p, in->reference);
  if (!in->config->adapter.rank) return frozen_bytes(in, p, in->config);
  const bool own = in->adapter_begun || in->needs->flags & NEED_RESET;  // else it is the base without any
  return (own ? own_adapter_bytes(in) : 0) + scorer_bytes(in, p, in->config);
}

static size_t average_bytes(const struct plan_input *in)
{
  if (in->config->adapter.rank) return own_adapter_bytes(in);
  return model_part_bytes(in->config, sizeof(float)) + model_copy_bytes(in->config, in->type);
}

static void add_need(struct plan *p, const char *what, size_t bytes, uint32_t needs)
{
  int at = p->count;
  add(p, what, bytes);
  if (p->count > at) p->lines[at].needs = needs;
}

enum { STATES = NEED_HIDDEN | NEED_CURRENT_HIDDEN | NEED_LAST_STATE | NEED_VALUE | NEED_ROW_TERM };

/* NEED_* for which anybody scores. */
static uint32_t all_askers(const struct needs *n)
{
  const char *policies[3 + NEEDS_NAMED];
  uint32_t flags = 0;
  for (int i = score_policies(n, policies); i-- > 0;)
    flags |= score_askers(n, policies[i], false) | score_askers(n, policies[i], true);
  return flags;
}

/* A kept token is a record and three numbers; a prompt's is less, and counted as much. */
static size_t replay_bytes(const struct plan_input *in, const struct needs *n)
{
  size_t longest = (size_t)in->recipe->rollout.max_prompt_tokens + (size_t)in->recipe->rollout.max_new_tokens;
  double rollouts = (double)n->replay_rollouts + n->replay_steps * (double)most_rollouts(in);
  return ((size_t)n->replay_tokens + (size_t)rollouts * longest) * 2 * sizeof(struct token_record);
}

/* What methods need beside the training itself. */
static void add_needs(const struct plan_input *in, struct plan *p)
{
  const struct needs *n = in->needs;
  const struct model_config *c = in->config;
  if (!n) return;
  p->needs_from = p->count;
  if (p->reference)
    add_need(p, "reference: weights and workspace", reference_bytes(in, p),
             score_askers(n, "reference", false) | score_askers(n, "reference", true));
  if (n->flags & NEED_EMA)
    add_need(p, "moving average: weights and workspace", average_bytes(in) + scorer_bytes(in, p, c), NEED_EMA);
  size_t named = 0;
  for (int32_t i = 0; n->flags & NEED_POLICY && i < n->policy_count; i++)
    named += frozen_bytes(in, p, in->policies ? &in->policies[i] : c);
  add_need(p, "further policies: weights and workspaces", named, NEED_POLICY);
  size_t rows = p->train.rows ? row_pass_bytes((size_t)c->vocab, p->threads, n->flags & NEED_ROW_TERM) : 0;
  for (int32_t i = 0; n->flags & NEED_ROW_TERM && i < n->row_source_count; i++)
    rows += row_reader_bytes(c, sizeof(float));
  add_need(p, "whole rows of logits", rows, n->flags & WHOLE_ROWS);
  add_need(p, "hidden states", state_bytes(in, p), n->flags & STATES);
  add_need(p, "scores per token", score_bytes(in, p), all_askers(n));
  if (n->flags & NEED_VALUE) add_need(p, "value head", value_bytes(c->hidden), NEED_VALUE);
  if (n->flags & NEED_REPLAY) add_need(p, "replayed rollouts", replay_bytes(in, n), NEED_REPLAY);
  p->needs_to = p->count;
}

static void add_to_room(const struct plan_input *in, struct plan *p, const struct model_config *c)
{
  if (plan_shares_room(in->config, c)) p->room = workroom_most(p->room, trainer_workroom(c, &p->score, in->type));
}

/* Room for whoever takes a turn: sampling, training, and scorers. */
static void set_room(const struct plan_input *in, struct plan *p)
{
  const struct model_config *c = in->config;
  const struct needs *n = in->needs;
  p->room = trainer_workroom(c, &p->train, in->type);
  if (in->generates) p->room = workroom_most(p->room, generator_workroom(c, &p->generate));
  if (p->reference) add_to_room(in, p, in->reference ? in->reference : c);
  if (n && n->flags & NEED_EMA) add_to_room(in, p, c);
  for (int32_t i = 0; n && n->flags & NEED_POLICY && i < n->policy_count; i++)
    add_to_room(in, p, in->policies ? &in->policies[i] : c);
}

static void fill(const struct plan_input *in, struct plan *p)
{
  const struct model_config *c = in->config;
  size_t part = model_part_bytes(c, sizeof(float));
  p->count = 0;
  p->total = p->aside = 0;
  set_options(in, p);
  void (*const add_host)(struct plan *, const char *, size_t) = in->aside_limit ? add_aside : add;
  add_host(p, "program, tokenizer, problems", in->base);
  if (c->adapter.rank) {
    add(p, "base, frozen", model_fixed_bytes(c, in->type));
    part = adapter_part_bytes(c, sizeof(float));
    add(p, p->offload ? "adapter: weights, gradients" : "adapter: weights, gradients, AdamW moments",
        (p->offload ? 2 : 4) * part + adapter_copy_bytes(c, in->type));
  } else {
    add(p, "weights", part);
    add(p, "weights in the compute type", model_copy_bytes(c, in->type));
    add(p, "gradients", part);
    if (!p->offload) add(p, "AdamW moments", 2 * part);
  }
  if (p->offload) add_aside(p, "AdamW moments", 2 * part);
  add(p, "rotary table", (size_t)p->train.max_path * (size_t)c->head_dim * sizeof(float));
  set_room(in, p);
  size_t room = workroom_bytes(c, &p->room, in->type);
  struct workroom_size own = trainer_workroom(c, &p->train, in->type);
  add(p, "sampling and training, in turns", room);
  add(p, "gradients of KV and of embeddings",
      trainer_bytes(c, &p->train, in->type) - workroom_bytes(c, &own, in->type));
  add_needs(in, p);
  // a checkpoint is written beside the next step
  add_host(p, "a step's records, and a checkpoint's buffers", step_bytes(in, p) + ((size_t)4 << 20));
}

/* Rows of the largest pass that can be of any use. */
static int64_t useful_rows(const struct plan_input *in)
{
  const struct recipe *r = in->recipe;
  int64_t path = in->generates ? r->rollout.max_prompt_tokens + r->rollout.max_new_tokens : r->train.max_tokens;
  int64_t rows = most_rollouts(in) * least(path, in->config->max_positions);
  return (rows + BATCH_UNIT_ROWS - 1) / BATCH_UNIT_ROWS * BATCH_UNIT_ROWS;
}

enum { MICRO_ROWS = 2048, SLOTS = 64, VOCAB_CHUNK = 4096, KV_BLOCK = 16 };

static void first_knobs(const struct plan_input *in, struct plan *p)
{
  const struct recipe *r = in->recipe;
  int64_t rollouts = r->rollout.problems * r->rollout.group;
  p->type = in->type;
  p->threads = in->threads;
  p->limit = in->limit;
  p->kv_block = r->compute.kv_block ? (int)r->compute.kv_block : KV_BLOCK;
  p->vocab_chunk = r->compute.vocab_chunk ? (int)r->compute.vocab_chunk
                                          : (int)least(VOCAB_CHUNK, (in->config->vocab + 31) / 32 * 32);
  p->slots = (int)least(rollouts, r->compute.slots ? r->compute.slots : SLOTS);
  p->micro_rows = r->compute.micro_batch ? (int)r->compute.micro_batch
                                         : trainer_enough_rows(in->config, (int)least(MICRO_ROWS, useful_rows(in)));
  p->recompute = r->compute.recompute == 1;
  p->offload = in->aside_limit && r->compute.offload == 1;
  p->reference = in->needs && score_wants(in->needs, "reference") && !in->reference_kept;
}

/* Turns one more knob towards less memory; false where none is left. */
static bool turn(const struct plan_input *in, struct plan *p)
{
  const struct recipe *r = in->recipe;
  if (!r->compute.micro_batch && p->micro_rows > BATCH_UNIT_ROWS)
    p->micro_rows = p->micro_rows / 2 < BATCH_UNIT_ROWS ? BATCH_UNIT_ROWS : p->micro_rows / 2;
  else if (r->compute.recompute < 0 && !p->recompute)
    p->recompute = true;
  else if (!r->compute.slots && p->slots > 4)
    p->slots /= 2;
  else if (!r->compute.vocab_chunk && p->vocab_chunk > 512)
    p->vocab_chunk /= 2;
  else if (in->aside_limit && r->compute.offload < 0 && !p->offload)
    p->offload = true;
  else
    return false;
  return true;
}

static double mib(size_t bytes)
{
  return (double)bytes / 1048576;
}

/* Where the run would fit without what methods need: that is what to say. */
static int refuse_needs(const struct plan *p, struct error *err)
{
  size_t asked = 0;
  int largest = p->needs_from;
  for (int i = p->needs_from; i < p->needs_to; i++) {
    asked += p->lines[i].bytes;
    if (p->lines[i].bytes > p->lines[largest].bytes) largest = i;
  }
  if (!asked || p->total - asked > p->limit) return 0;
  FAIL(err, ERROR_RESOURCE,
       "the run needs %.0f MiB, of which %.0f MiB because methods ask for them, most for %s (%.0f MiB); expected at "
       "most "
       "%.0f MiB; turn off the method or the option that needs it (assay methods --resolve RECIPE names it; grpo: "
       "kl_coef: 0 needs no reference), choose a smaller model, or raise compute.memory",
       mib(p->total), mib(asked), p->lines[largest].what, mib(p->lines[largest].bytes), mib(p->limit));
}

static int refuse(const struct plan_input *in, const struct plan *p, struct error *err)
{
  TRY(refuse_needs(p, err));
  int largest = 0;
  for (int i = 1; i < p->count; i++)
    if (!p->lines[i].aside && (p->lines[largest].aside || p->lines[i].bytes > p->lines[largest].bytes)) largest = i;
  FAIL(err, ERROR_RESOURCE,
       "the run needs %.0f MiB, most of it for %s (%.0f MiB); expected at most %.0f MiB; lower %s or "
       "compute.micro_batch, choose a smaller model, %s%sor raise compute.memory",
       mib(p->total), p->lines[largest].what, mib(p->lines[largest].bytes), mib(p->limit),
       in->generates ? "rollout.max_new_tokens, rollout.group, compute.slots" : "train.batch, train.max_tokens",
       in->config->adapter.rank ? "" : "train an adapter (lora: {rank: 16}), ",
       in->aside_limit && !p->offload ? "write compute.offload: true, " : "");
}

int plan_make(const struct plan_input *in, struct plan *out, struct error *err)
{
  *out = (struct plan){0};
  if (in->needs) {
    int32_t layers[NEEDS_NAMED + 1];
    bool with_last = in->needs->flags & NEED_VALUE || score_has_source(in->needs, "policy", false);
    TRY(score_layers(in->needs, in->config->layers, with_last, layers, &out->layers, err));
  }
  first_knobs(in, out);
  fill(in, out);
  while (out->total > out->limit && turn(in, out)) fill(in, out);
  if (out->total > out->limit) return refuse(in, out, err);
  if (out->aside <= in->aside_limit) return 0;
  FAIL(err, ERROR_RESOURCE,
       "the run needs %.0f MiB of the host's memory beside the GPU's; expected at most %.0f MiB; %slower "
       "rollout.problems or train an adapter (lora: {rank: 16})",
       mib(out->aside), mib(in->aside_limit), out->offload ? "write compute.offload: false, " : "");
}

void plan_print(const struct plan *p, struct text *out)
{
  for (int i = 0; i < p->count; i++)
    text_printf(out, "  %-44s %9.1f MiB%s\n", p->lines[i].what, mib(p->lines[i].bytes),
                p->lines[i].aside ? " of the host's" : "");
  text_printf(out, "  %-44s %9.1f MiB of %.1f MiB\n", "peak", mib(p->total), mib(p->limit));
  text_printf(out,
              "  compute %s, threads %d, slots %d, micro_batch %d rows, recompute %s, vocab_chunk %d, kv_block %d%s\n",
              compute_type_name(p->type), p->threads, p->slots, p->micro_rows, p->recompute ? "on" : "off",
              p->vocab_chunk, p->kv_block, p->offload ? ", offload on" : "");
}

#include "train/plan.h"

#include "compute/backend.h"
#include "train/score.h"

static void add(struct plan *p, const char *what, size_t bytes)
{
  if (!bytes) return;
  ASSAY_BUG_IF(p->count == PLAN_LINES);
  p->lines[p->count].what = what;
  p->lines[p->count++].bytes = bytes;
  p->total += bytes;
}

static int64_t least(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/* Most paths that a training batch of the recipe can have. */
static int64_t most_leaves(const struct recipe *r, bool generates)
{
  return generates ? r->rollout.problems * r->rollout.group * r->rollout.max_attempts : r->train.batch;
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
                                      .max_leaves = (int)most_leaves(r, in->generates) * paths_of_rollout(in->needs),
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

/* Host bytes of a step: records, path tokens, coefficients; and the text of its rollouts while they are written. */
static size_t step_bytes(const struct plan_input *in, const struct plan *p)
{
  size_t tokens =
      (size_t)most_leaves(in->recipe, in->generates) * (size_t)(in->generates ? p->train.max_new : p->train.max_path);
  return tokens * 400;
}

static void fill(const struct plan_input *in, struct plan *p)
{
  const struct model_config *c = in->config;
  size_t part = model_part_bytes(c, sizeof(float));
  p->count = 0;
  p->total = 0;
  set_options(in, p);
  add(p, "program, tokenizer, problems", in->base);
  add(p, "weights", part);
  add(p, "weights in the compute type", model_copy_bytes(c, in->type));
  add(p, "gradients", part);
  add(p, "AdamW moments", 2 * part);
  add(p, "rotary table", (size_t)p->train.max_path * (size_t)c->head_dim * sizeof(float));
  if (in->generates) add(p, "rollout: activations, logits, KV", generator_bytes(c, &p->generate, in->type));
  add(p, "training: activations, KV, gradients of KV", trainer_bytes(c, &p->train, in->type));
  if (p->reference)
    add(p, "reference: weights and workspace", model_fixed_bytes(c, in->type) + trainer_bytes(c, &p->score, in->type));
  // a checkpoint is written when the step's records are gone
  size_t step = step_bytes(in, p), save = (size_t)4 << 20;
  add(p, "a step's records, or a checkpoint's buffers", step > save ? step : save);
}

/* Rows of the largest pass that can be of any use. */
static int64_t useful_rows(const struct plan_input *in)
{
  const struct recipe *r = in->recipe;
  int64_t path = in->generates ? r->rollout.max_prompt_tokens + r->rollout.max_new_tokens : r->train.max_tokens;
  int64_t rows = most_leaves(in->recipe, in->generates) * least(path, in->config->max_positions);
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
  p->micro_rows = r->compute.micro_batch ? (int)r->compute.micro_batch : (int)least(MICRO_ROWS, useful_rows(in));
  p->recompute = r->compute.recompute == 1;
  p->reference = in->needs && score_wants(in->needs, "reference");
}

/* Turns one more knob towards less memory; false where none is left. */
static bool turn(const struct recipe *r, struct plan *p)
{
  if (!r->compute.micro_batch && p->micro_rows > BATCH_UNIT_ROWS)
    p->micro_rows = p->micro_rows / 2 < BATCH_UNIT_ROWS ? BATCH_UNIT_ROWS : p->micro_rows / 2;
  else if (r->compute.recompute < 0 && !p->recompute)
    p->recompute = true;
  else if (!r->compute.slots && p->slots > 4)
    p->slots /= 2;
  else if (!r->compute.vocab_chunk && p->vocab_chunk > 512)
    p->vocab_chunk /= 2;
  else
    return false;
  return true;
}

static double mib(size_t bytes)
{
  return (double)bytes / 1048576;
}

int plan_make(const struct plan_input *in, struct plan *out, struct error *err)
{
  *out = (struct plan){0};
  first_knobs(in, out);
  fill(in, out);
  while (out->total > out->limit && turn(in->recipe, out)) fill(in, out);
  if (out->total <= out->limit) return 0;
  int largest = 0;
  for (int i = 1; i < out->count; i++)
    if (out->lines[i].bytes > out->lines[largest].bytes) largest = i;
  FAIL(err, ERROR_RESOURCE,
       "the run needs %.0f MiB, most of it for %s (%.0f MiB); expected at most %.0f MiB; lower rollout.max_new_tokens, "
       "rollout.group, compute.slots or compute.micro_batch, "
       "choose a smaller model, or raise compute.memory",
       mib(out->total), out->lines[largest].what, mib(out->lines[largest].bytes), mib(out->limit));
}

void plan_print(const struct plan *p, struct text *out)
{
  for (int i = 0; i < p->count; i++) text_printf(out, "  %-44s %9.1f MiB\n", p->lines[i].what, mib(p->lines[i].bytes));
  text_printf(out, "  %-44s %9.1f MiB of %.1f MiB\n", "peak", mib(p->total), mib(p->limit));
  text_printf(out,
              "  compute %s, threads %d, slots %d, micro_batch %d rows, recompute %s, vocab_chunk %d, kv_block %d\n",
              compute_type_name(p->type), p->threads, p->slots, p->micro_rows, p->recompute ? "on" : "off",
              p->vocab_chunk, p->kv_block);
}

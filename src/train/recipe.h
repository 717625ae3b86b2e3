/* train/recipe: what a run is to do, read from YAML (CONTRACT.md, "Recipe").
 *
 * One list per group of keys makes the struct, the reader, the writer, the help and the check on --resume. Every value
 * remembers where it came from: its default, FILE:LINE, or the command line. An unknown key, a wrong type or a value
 * out of bounds is one error with file and line and, for a key, the nearest known one.
 *
 *     struct recipe *r;
 *     TRY(recipe_read(arena, "recipes/demo.yaml", RECIPE_TRAIN, overrides, n, &r, err));
 *     ... r->rollout.group, r->train.lr, r->methods[0].name ...
 *
 * `assay train` and `assay sft` share the reader: sft has no rollout and reward; its methods are [sft] (not written),
 * or one that learns from pairs: [dpo], [reward_model].
 */
#ifndef ASSAY_TRAIN_RECIPE_H
#define ASSAY_TRAIN_RECIPE_H

#include "data/source.h"
#include "method/compose.h"
#include "model/model.h"
#include "reward/channel.h"
#include "reward/combine.h"

/* X(group, TYPE, name, default, low, high, words, help)
 *
 *     INT        int64_t
 *     REAL       double
 *     BOOL       bool
 *     ENUM       int32_t, the ordinal in words "a|b"
 *     TEXT       const char *, NULL where the default is null
 *     AUTO       int64_t, 0: auto
 *     SIZE       int64_t bytes, 0: auto ("4G", "512M")
 *     SWITCH     int32_t, -1: auto, else 0 or 1
 *     REAL_AUTO  double, NaN: auto (resolved by the reader)
 *     PAIR       struct recipe_pair
 *     TEXTS      struct recipe_texts
 *
 * Defaults are written as in a recipe; both bounds are allowed. */
#define RECIPE_TOP(X)                                                                                                  \
  X(top, TEXT, model, "null", 0, 0, NULL, "model to train: a Hugging Face folder, a GGUF file, a run or a checkpoint") \
  X(top, TEXT, reference, "null", 0, 0, NULL,                                                                          \
    "reference model; null: the start model, kept only if a method needs it")                                          \
  X(top, INT, seed, "1", 0, 9.2e18, NULL, "every random number of the run follows from it")
#define RECIPE_EVAL(X)                                                                             \
  X(eval, INT, every, "20", 0, 1e9, NULL,                                                          \
    "steps between evaluations; 0: only before the first step and after the last")                 \
  X(eval, INT, problems, "256", 0, 1e9, NULL, "most problems of each source of eval.data; 0: all") \
  X(eval, INT, samples, "4", 1, 1e6, NULL, "answers per problem")
#define RECIPE_TEMPLATE(X)                                                                \
  X(template, TEXT, now, "null", 0, 0, NULL,                                              \
    "time that the chat template sees, 2025-01-15T14:30:05; null: the run's first start") \
  X(template, TEXT, system, "null", 0, 0, NULL, "system prompt put before every problem") \
  X(template, SWITCH, enable_thinking, "auto", 0, 0, NULL, "the template's enable_thinking; auto: not set")
#define RECIPE_REWARD(X)                                                                   \
  X(reward, ENUM, on_failure, "zero", 0, 0, "zero|drop|retry",                             \
    "a rollout whose verifier failed: reward 0, left out, or judged again (once, then 0)") \
  X(reward, REAL, timeout, "30", 0.001, 86400, NULL, "seconds that one verdict of a kind that looks outside may take")
#define RECIPE_ROLLOUT(X)                                                                                          \
  X(rollout, INT, problems, "8", 1, 1e6, NULL, "problems a step")                                                  \
  X(rollout, INT, group, "8", 1, 1e5, NULL, "rollouts per problem")                                                \
  X(rollout, INT, max_new_tokens, "256", 1, 1e7, NULL, "longest answer")                                           \
  X(rollout, INT, max_prompt_tokens, "1024", 1, 1e7, NULL, "longest prompt; longer ones are left out and counted") \
  X(rollout, REAL, temperature, "1.0", 0, 100, NULL, "of the sampler; 0: greedy")                                  \
  X(rollout, REAL, top_p, "1.0", 0, 1, NULL, "nucleus; 1: off")                                                    \
  X(rollout, INT, top_k, "0", 0, 1e7, NULL, "most probable tokens; 0: off")                                        \
  X(rollout, REAL, min_p, "0.0", 0, 1, NULL, "share of the largest probability; 0: off")                           \
  X(rollout, TEXTS, stop, "[]", 0, 0, NULL, "strings that end an answer")                                          \
  X(rollout, INT, max_attempts, "1", 1, 1000, NULL, "waves of rollouts that methods may ask for in a step")        \
  X(rollout, AUTO, max_tokens, "auto", 1, 1e12, NULL, "tokens that a step may generate; auto: what its waves can need")
#define RECIPE_TRAIN_KEYS(X)                                                                                        \
  X(train, INT, steps, "100", 0, 1e9, NULL, "steps of the run")                                                     \
  X(train, INT, epochs, "1", 1, 1000, NULL, "passes over a step's rollouts")                                        \
  X(train, INT, minibatches, "1", 1, 1e5, NULL, "optimiser steps in a pass; whole groups each")                     \
  X(train, INT, batch, "16", 1, 1e6, NULL, "sft: examples a step")                                                  \
  X(train, INT, max_tokens, "2048", 2, 1e7, NULL, "sft: longest example; longer ones are left out and counted")     \
  X(train, REAL, passes, "0", 0, 1e6, NULL, "sft: passes over the data; they set train.steps. 0: train.steps says") \
  X(train, BOOL, share_prefixes, "true", 0, 0, NULL,                                                                \
    "sft: tokens without loss with which examples of a step begin alike are computed once")                         \
  X(train, REAL_AUTO, temperature, "auto", 1e-3, 100, NULL,                                                         \
    "of the trained distribution; auto: rollout.temperature, 1 if that is 0")                                       \
  X(train, REAL, lr, "1.0e-6", 0, 10, NULL, "learning rate at its height")                                          \
  X(train, ENUM, schedule, "constant", 0, 0, "constant|linear|cosine",                                              \
    "learning rate after the warm-up; linear and cosine end at 0")                                                  \
  X(train, INT, warmup, "0", 0, 1e9, NULL, "steps over which the learning rate rises from 0")                       \
  X(train, REAL, weight_decay, "0.0", 0, 10, NULL, "decoupled, AdamW")                                              \
  X(train, PAIR, betas, "[0.9, 0.999]", 0, 0.9999999, NULL, "AdamW's decay rates")                                  \
  X(train, REAL, eps, "1.0e-8", 1e-30, 1, NULL, "AdamW's eps")                                                      \
  X(train, REAL, clip_norm, "1.0", 0, 1e30, NULL, "largest global gradient norm; 0: no clipping")
#define RECIPE_COMPUTE(X)                                                                                        \
  X(compute, ENUM, device, "cpu", 0, 0, "cpu|cuda", "where the weights live")                                    \
  X(compute, ENUM, type, "f32", 0, 0, "f32|bf16", "compute type")                                                \
  X(compute, ENUM, weights, "full", 0, 0, "full|keep|q8_0|q4_0",                                                 \
    "how a base under an adapter stays in memory: in the compute type, in its file's blocks, rounded to blocks") \
  X(compute, AUTO, threads, "auto", 1, 1024, NULL, "auto: the cores that it may use")                            \
  X(compute, SIZE, memory, "auto", 1048576, 9e18, NULL, "limit, like 4G; auto: what is free")                    \
  X(compute, AUTO, micro_batch, "auto", 1, 1e9, NULL, "rows of a training pass; changes memory and time alone")  \
  X(compute, SWITCH, recompute, "auto", 0, 0, NULL,                                                              \
    "keep layer inputs only and compute the rest again; changes memory and time alone")                          \
  X(compute, SWITCH, offload, "auto", 0, 0, NULL,                                                                \
    "AdamW's moments in the host's memory where a GPU computes; changes memory and time alone")                  \
  X(compute, AUTO, vocab_chunk, "auto", 32, 1e7, NULL, "rows of the LM head held at a time, a multiple of 32")   \
  X(compute, AUTO, kv_block, "auto", 1, 65536, NULL, "positions in a KV block")                                  \
  X(compute, AUTO, slots, "auto", 1, 1e6, NULL, "rollouts decoded together")
#define RECIPE_LORA(X)                                                                                              \
  X(lora, INT, rank, "0", 0, 4096, NULL, "rank of the adapter; 0: whole weights train; 16 where lora names none")   \
  X(lora, REAL, alpha, "32", 1e-9, 1e9, NULL, "the adapter counts alpha / rank, or alpha / sqrt(rank) with rslora") \
  X(lora, TEXTS, targets, "[q, k, v, o, gate, up, down]", 0, 0, NULL, "products that get an adapter")               \
  X(lora, BOOL, rslora, "false", 0, 0, NULL, "alpha / sqrt(rank), so that large ranks count as small ones do")      \
  X(lora, ENUM, init, "kaiming", 0, 0, "kaiming|gaussian", "how A begins; B begins at zero")                        \
  X(lora, TEXT, adapter, "null", 0, 0, NULL, "PEFT folder or run to go on from; its rank, alpha, targets count")
#define RECIPE_SAVE(X)                                                                         \
  X(save, INT, every, "20", 0, 1e9, NULL, "steps between checkpoints; 0: only after the last") \
  X(save, INT, keep, "3", 1, 1e6, NULL, "checkpoints kept, beside the best")                   \
  X(save, ENUM, rollouts, "all", 0, 0, "all|none", "which rollouts are written")               \
  X(save, ENUM, type, "f32", 0, 0, "f32|bf16|f16", "element type of saved weights")

/* All keys, in the order of the line of the program. The group `top` has no name in the file. */
#define RECIPE_KEYS(X) \
  RECIPE_TOP(X)        \
  RECIPE_EVAL(X)       \
  RECIPE_TEMPLATE(X)   \
  RECIPE_REWARD(X) RECIPE_ROLLOUT(X) RECIPE_TRAIN_KEYS(X) RECIPE_COMPUTE(X) RECIPE_LORA(X) RECIPE_SAVE(X)

enum recipe_device { RECIPE_DEVICE_CPU, RECIPE_DEVICE_CUDA };
enum recipe_type { RECIPE_F32, RECIPE_BF16, RECIPE_F16 };
enum recipe_schedule { RECIPE_CONSTANT, RECIPE_LINEAR, RECIPE_COSINE };
enum recipe_failure { RECIPE_FAILURE_ZERO, RECIPE_FAILURE_DROP, RECIPE_FAILURE_RETRY };
enum recipe_rollouts { RECIPE_ROLLOUTS_ALL, RECIPE_ROLLOUTS_NONE };

struct recipe_texts {
  const char **items;
  size_t count;
};

#define RECIPE_C_INT                                                      int64_t
#define RECIPE_C_REAL                                                     double
#define RECIPE_C_BOOL                                                     bool
#define RECIPE_C_ENUM                                                     int32_t
#define RECIPE_C_TEXT                                                     const char *
#define RECIPE_C_AUTO                                                     int64_t
#define RECIPE_C_SIZE                                                     int64_t
#define RECIPE_C_SWITCH                                                   int32_t
#define RECIPE_C_REAL_AUTO                                                double
#define RECIPE_C_PAIR                                                     struct recipe_pair
#define RECIPE_C_TEXTS                                                    struct recipe_texts
#define RECIPE_FIELD(group, type, name, fallback, low, high, words, help) RECIPE_C_##type name;

struct recipe_pair {
  double first, second;
};

/* Where problems come from: one entry of `data` or `eval.data`, as data/source reads it (a task's split is train in
   data, held-out in eval.data, unless it says). source_open(arena, &r->data[i].source, i, seed, ...) opens it. */
struct recipe_data {
  struct source_options source; /* system: the entry's, else template.system */
  const struct yaml_node *node; /* as written */
};

enum recipe_kind { RECIPE_TRAIN, RECIPE_SFT };

struct recipe_origin {
  const char *file; /* NULL: the default; "command line"; else the recipe's file */
  int line;
};

struct recipe {
  enum recipe_kind kind;
  const char *file;
  struct {
    RECIPE_TOP(RECIPE_FIELD)
  } top;
  struct {
    RECIPE_EVAL(RECIPE_FIELD)
  } eval;
  struct {
    RECIPE_TEMPLATE(RECIPE_FIELD)
  } template;
  struct {
    RECIPE_REWARD(RECIPE_FIELD)
  } reward;
  struct {
    RECIPE_ROLLOUT(RECIPE_FIELD)
  } rollout;
  struct {
    RECIPE_TRAIN_KEYS(RECIPE_FIELD)
  } train;
  struct {
    RECIPE_COMPUTE(RECIPE_FIELD)
  } compute;
  struct {
    RECIPE_LORA(RECIPE_FIELD)
  } lora;
  struct {
    RECIPE_SAVE(RECIPE_FIELD)
  } save;
  struct recipe_data *data, *eval_data;
  size_t data_count, eval_data_count;
  struct method_choice *methods; /* never empty: [grpo] by default, [sft] for sft */
  size_t method_count;
  struct combine_term *combine; /* never empty: reward with weight 1 by default */
  size_t combine_count;
  const struct combine *combination; /* of another form than a weighted sum: the channel "combined"; else NULL */
  struct channel_config *channels;   /* reward.channels, opened */
  size_t channel_count;
  const struct yaml_node *channels_node; /* as written, or NULL */
  struct recipe_origin *origins;         /* [recipe_key_count()] */
};

/* Reads, checks, applies `key=value` overrides in order. Everything lives in the arena. Files named in it are not
 * opened. */
int recipe_read(struct arena *a, const char *path, enum recipe_kind kind, const char *const *overrides,
                size_t override_count, struct recipe **out, struct error *err) MUST_USE;
int recipe_read_text(struct arena *a, const char *text, size_t n, const char *file, enum recipe_kind kind,
                     const char *const *overrides, size_t override_count, struct recipe **out,
                     struct error *err) MUST_USE;

/* The resolved recipe as YAML, each value with its origin as a comment. It reads back to the same recipe. With `set`,
 * all options of all methods are written. */
int recipe_write(const struct recipe *r, const struct composed *set, struct text *out, struct error *err) MUST_USE;

/* For --resume: fails (ERROR_INPUT, naming the key and both values) unless `now` differs from `saved` in train.steps,
   save, eval, compute.threads and compute.memory alone. Order of the data and of methods counts; a template.now that is
   not given is the saved one's. */
int recipe_check_resume(const struct recipe *saved, const struct recipe *now, struct error *err) MUST_USE;

/* The key `lora` as the model's configuration has it; rank 0: off. */
struct adapter_config recipe_adapter(const struct recipe *r);
/* Whether the recipe itself, not a default, gives the key ("lora.rank"). */
bool recipe_gives(const struct recipe *r, const char *key);

/* The table of keys: docs, help and the check on resume. */
enum recipe_value {
  RECIPE_INT,
  RECIPE_REAL,
  RECIPE_BOOL,
  RECIPE_ENUM,
  RECIPE_TEXT,
  RECIPE_AUTO,
  RECIPE_SIZE,
  RECIPE_SWITCH,
  RECIPE_REAL_AUTO,
  RECIPE_PAIR,
  RECIPE_TEXTS
};
struct recipe_key {
  const char *group; /* "rollout"; "" for the top */
  const char *name;
  enum recipe_value type;
  size_t at; /* offset in struct recipe */
  const char *fallback;
  double low, high;
  const char *words, *help;
};
size_t recipe_key_count(void);
const struct recipe_key *recipe_key_at(size_t i);
/* Origin of "rollout.group" as text: "default", "FILE:LINE" or "command line"; in buf. */
const char *recipe_origin_text(const struct recipe *r, const char *key, char *buf, size_t size);
/* The value as a recipe would have it. */
void recipe_value_text(const struct recipe *r, const struct recipe_key *key, struct text *out);

#endif

/* train/plan: memory is known before step 0 (law 4).
 *
 * From the recipe, the model's configuration and a limit follow the memory knobs that are `auto` and a table of what
 * the run will take at its peak. Every part is allocated at the start and stays, so the sum is the peak. A run that
 * cannot fit is refused, with the knob to turn.
 */
#ifndef ASSAY_TRAIN_PLAN_H
#define ASSAY_TRAIN_PLAN_H

#include "rollout/generate.h"
#include "train/recipe.h"
#include "train/trainer.h"

enum { PLAN_LINES = 32 };

struct plan {
  /* the knobs, resolved */
  enum compute_type type;
  int threads, micro_rows, vocab_chunk, kv_block, slots;
  bool recompute, offload;
  bool reference;           /* a second model is kept */
  int32_t layers;           /* whose states are read */
  int needs_from, needs_to; /* lines[needs_from .. needs_to - 1]: what methods ask for */
  struct generate_options generate;
  struct trainer_options train, score; /* score: the reference's */
  struct workroom_size room;           /* in which sampling, training and scorers take turns */
  /* the table, bytes */
  int count;
  struct {
    const char *what;
    size_t bytes;
    uint32_t needs; /* NEED_* that ask for it; 0: the training itself */
    bool aside;     /* in the host's memory, beside a device's own; not in total */
  } lines[PLAN_LINES];
  size_t total, limit, aside; /* aside: of those lines */
};

struct plan_input {
  const struct recipe *recipe;
  const struct model_config *config;
  const struct needs *needs;
  const struct model_config *reference; /* NULL: the model's */
  const struct model_config *policies;  /* of needs.policies; NULL: the model's */
  size_t base;        /* resident before the plan's parts: program, tokenizer, problems, the mapped model file */
  size_t limit;       /* --memory, compute.memory or what is free */
  size_t aside_limit; /* what the host has, base included, where the device has memory of its own; 0: it has none */
  enum compute_type type;
  int threads;
  bool generates;      /* false for sft */
  bool adapter_begun;  /* the run goes on from an adapter, which its reference keeps */
  bool prompts_shared; /* the rollouts of a problem begin with one and the same prompt */
  bool reference_kept; /* its log-probabilities are computed before the training (preference.h) */
};

/* ERROR_RESOURCE where even the smallest setting does not fit: says what is needed, what there is, and what to turn. */
int plan_make(const struct plan_input *in, struct plan *out, struct error *err) MUST_USE;
/* Whether a scorer with such a model can take its turn in the policy's room: their KV is alike. */
bool plan_shares_room(const struct model_config *policy, const struct model_config *c);
/* The table as text, one part a line, with the knobs. */
void plan_print(const struct plan *p, struct text *out);

#endif

/* train/policies: the named policies of a run: who is trained, and who only scores.
 *
 *     "policy"      the model that is trained
 *     "reference"   the recipe's reference, or the start model
 *     "ema"         a moving average of the policy's weights
 *     other names   frozen models that methods name
 *
 * Each that only scores has weights and a trainer without gradients of its own; what methods need decides which exist.
 */
#ifndef ASSAY_TRAIN_POLICIES_H
#define ASSAY_TRAIN_POLICIES_H

#include "method/compose.h"
#include "train/records.h"
#include "train/trainer.h"
#include "train/value.h"

enum { POLICIES_MOST = NEEDS_NAMED + 3 };

/* Logits of rows from stored states: ROW_BLOCK at a time. */
struct row_reader {
  const struct model *model;
  struct buffer *buffer; /* [ROW_BLOCK, C] and [ROW_BLOCK, V] */
  double *logp;          /* [ROW_BLOCK, V] log-softmax of the rows last read */
};

struct policies {
  struct trainer *policy;
  struct named_policy {
    const char *name;
    struct trainer *scorer; /* "policy": the trainer itself */
  } of[POLICIES_MOST];      /* [count], "policy" first */
  int32_t count;
  struct row_reader *readers[NEEDS_NAMED]; /* of needs.row_sources */
  struct value_head *value;                /* NULL: none */
  struct record_check law;                 /* what the step's scoring passes saw; score_step begins it anew */
};

void policies_start(struct policies *p, struct trainer *policy);
void policies_add(struct policies *p, const char *name, struct trainer *scorer);
struct named_policy *policies_find(struct policies *p, const char *name); /* a name that is not there is a bug */

/* After all policies are there: the value head and the readers that the needs ask for. */
int policies_open(struct policies *p, struct arena *a, const struct needs *n, struct error *err) MUST_USE;
/* to = to + rate (from - to), in f64 and rounded once; rate 1 copies. Both of one configuration; of models with
   adapters these alone, as the base is one and the same. */
int policies_blend(struct arena *a, const struct model *from, struct model *to, double rate,
                   struct error *err) MUST_USE;
/* AdamW's moments to zero, its count of updates too. */
int policies_forget(struct arena *a, struct trainer *t, struct error *err) MUST_USE;
size_t row_reader_bytes(const struct model_config *c, size_t real_size);
/* Reads rows: hidden[i] NULL leaves row i as it is. */
int row_reader_read(struct row_reader *r, const float *const *hidden, int32_t count, double temperature,
                    struct error *err) MUST_USE;

#endif

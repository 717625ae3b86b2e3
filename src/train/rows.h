/* train/rows: functions of whole rows of logits, inside a pass over a batch. Logits stand in memory for ROW_BLOCK head
 * rows at a time and are computed again for it; results do not depend on where blocks begin.
 */
#ifndef ASSAY_TRAIN_ROWS_H
#define ASSAY_TRAIN_ROWS_H

#include "model/decoder.h"

enum { ROW_BLOCK = 32, ROW_SCRATCH = 3 };

/* Items are what looks at the row before a target: a path token each, several may share a target. */
struct trainer_rows {
  const int32_t *first; /* [target_count + 1] items of target t: first[t] .. first[t + 1] - 1 */
  void *arg;
  /* Before at most ROW_BLOCK items are looked at, for what they need beside the row; or NULL. */
  int (*prepare)(void *arg, const int32_t *items, int32_t count, struct error *err);
  /* On any thread, items of one row on one thread and in order. place: index in the list of prepare. logp [vocab]:
     log-softmax of the row in f64; scratch [ROW_SCRATCH * vocab]. gradient [vocab]: dL/dz is added; NULL: scoring. */
  void (*at)(void *arg, int32_t item, int32_t place, const double *logp, double *gradient, double *scratch);
};

/* One pass's rows. */
struct row_pass {
  struct decoder *decoder;
  struct device *device;
  const struct trainer_rows *rows;
  size_t vocab;
  double *z;                             /* [ROW_BLOCK, vocab] */
  double *extra;                         /* the same, for gradients; NULL where none are wanted */
  double *scratch;                       /* [threads, ROW_SCRATCH * vocab] */
  int32_t item_count, *items, *item_row; /* of a block */
  /* of the micro-batch */
  const struct head_rows *head;
  const int32_t *pair_number; /* target of each pair */
  double temperature;
};

/* Bytes of the host that row_pass_open takes. */
size_t row_pass_bytes(size_t vocab, int threads, bool gradients);
/* items: most items that the rows of a block can have (all of the batch is enough). */
int row_pass_open(struct arena *a, struct decoder *d, struct device *device, const struct trainer_rows *rows,
                  size_t vocab, int32_t items, bool gradients, struct row_pass *out, struct error *err) MUST_USE;
/* Head rows first .. first+count-1: calls rows->at for their items. extra [count, vocab] or NULL; *any: some item was
 * there. It is what struct decoder_terms calls. */
int row_pass_block(void *pass, int32_t first, int32_t count, double *extra, bool *any, struct error *err) MUST_USE;
/* All rows of a scoring pass. */
int row_pass_read(struct row_pass *p, struct error *err) MUST_USE;

/* Log-softmax in place: logits z [n] to z - max - log(sum exp(z - max)), in f64, ids ascending. */
void rows_log_softmax(double *z, size_t n);

#endif

/* train/ledger: what a run has done so far, added up from its lines of metrics. The live view, the closing summary and
 * the learning curve are made from it; a resumed run reads it back from metrics.jsonl, so that they show the whole run.
 */
#ifndef ASSAY_TRAIN_LEDGER_H
#define ASSAY_TRAIN_LEDGER_H

#include "train/run_folder.h"

struct ledger_point {
  int64_t step;
  double value; /* solved, a fraction; assay sft: the loss */
};
struct ledger_result {
  int64_t step;
  int set;                    /* index in sets */
  double accuracy, low, high; /* fractions; 95 % interval */
};

enum { LEDGER_SETS = 32 };
struct ledger {
  bool sft;
  struct ledger_point *points; /* [point_count] one a step */
  size_t point_count, point_room;
  struct ledger_result *results; /* [result_count] in order of step */
  size_t result_count, result_room;
  char sets[LEDGER_SETS][64]; /* names of the evaluation sets, in order of first mention */
  int set_count;
  int64_t generated, trained;    /* tokens */
  int64_t mismatch, mismatch_of; /* tokens that broke law 1, and that were compared */
  double steps_seconds;          /* of steps, evaluations and checkpoints left out */
  double generate_seconds, verify_seconds, train_seconds, save_seconds, evaluate_seconds;
  double peak_mib;
};

/* Lives in the arena; its lists are freed when that resets. */
int ledger_create(struct arena *a, bool sft, struct ledger **out, struct error *err) MUST_USE;
int ledger_add(struct ledger *l, const struct metrics *m, struct error *err) MUST_USE;
/* Adds the lines of a metrics.jsonl; an absent file has none. */
int ledger_read(struct ledger *l, struct arena *scratch, const char *path, struct error *err) MUST_USE;

/* First and last result of a set, NULL where it has none. */
const struct ledger_result *ledger_first(const struct ledger *l, int set);
const struct ledger_result *ledger_last(const struct ledger *l, int set);
int64_t ledger_last_step(const struct ledger *l); /* of points and results; 0: none */

/* The points as n means of neighbours, oldest first; where there are fewer points than n each stands for several.
   point_count > 0. */
void ledger_buckets(const struct ledger *l, int n, double *out);

#endif

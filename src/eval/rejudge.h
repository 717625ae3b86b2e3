/* eval/rejudge: the texts of stored attempts judged again, without the model: by another verifier, by other settings,
 * or by the same one after it was mended. */
#ifndef ASSAY_EVAL_REJUDGE_H
#define ASSAY_EVAL_REJUDGE_H

#include "data/source.h"
#include "eval/attempts.h"

/* What the verdict needs of a problem stands in `fields` of one of its attempts, or at least in `answer`. Attempts
   stored without either take the lines of this source by id. */
int attempts_attach(struct arena *a, struct attempt_list *l, const struct source *source, struct error *err) MUST_USE;

struct rejudge_options {
  const char *verifier;                 /* kind; NULL: the one that each attempt names */
  const struct setting_given *settings; /* of that kind */
  size_t setting_count;
  int workers; /* threads, at least 1 */
  bool (*stopped)(void);
};
/* Replaces reward, correct, readable, extracted, reason, failed and verifier. *changed: how many attempts became right
   or wrong. An attempt without text, or whose problem is unknown, is ERROR_INPUT. */
int attempts_rejudge(struct arena *a, struct attempt_list *l, const struct rejudge_options *o, size_t *changed,
                     struct error *err) MUST_USE;

#endif

/* reward/verifier: a verifier is a pure, bounded function of (problem, response) -> verdict. One file a kind
 * (kind_<name>.c), each defining `const struct verifier verifier_<name>`; the table is generated from the file names.
 */
#ifndef ASSAY_REWARD_VERIFIER_H
#define ASSAY_REWARD_VERIFIER_H

#include "core/json.h"
#include "data/problem.h"

enum verdict_status {
  VERDICT_OK,
  VERDICT_FAILED /* the verifier itself failed (time, memory, a dead judge): not "wrong" */
};
enum { VERDICT_CHANNELS = 16 };

struct verdict {
  enum verdict_status status;
  double reward;         /* 0..1 for the kinds here */
  bool correct;          /* full reward */
  bool readable;         /* an answer was found in the response */
  const char *extracted; /* what was read as the answer, or NULL; in the request's arena */
  const char *reason;    /* one sentence; never NULL */
  double ms;
  int channel_count; /* named channels beside the reward */
  struct {
    const char *name;
    double value;
  } channels[VERDICT_CHANNELS];
};

struct verifier {
  const char *name;   /* "number" */
  const char *help;   /* one line */
  const char *fields; /* fields of a problem that it reads: "answer" */
  bool outside;       /* looks at a clock or the outside: its verdicts are journalled */
  /* Judges one response. p->answer or p->fields hold what it compares with. Wrong problem data (no answer) is
   * ERROR_INPUT; a response is never an error. */
  int (*judge)(struct arena *a, const struct problem *p, const char *response, size_t n, struct verdict *out,
               struct error *err);
};

const struct verifier *verifier_find(const char *name,
                                     struct error *err); /* NULL and an error naming the nearest and all known kinds */
size_t verifier_count(void);
const struct verifier *verifier_at(size_t i);

#endif

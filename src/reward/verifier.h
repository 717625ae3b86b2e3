/* reward/verifier: a verifier is a bounded function of (problem, response) -> verdict. One file a kind (kind_<name>.c),
 * each defining `const struct verifier verifier_<name>`; the table is generated from the file names. Large kinds keep
 * their parts in further files (math_parse.c, ...).
 *
 *     data: [{path: a.jsonl, verifier: math}, {path: b.jsonl, verifier: {choice: {letters: 5}}}]
 *
 * A kind is opened once for each set of settings (verifier_open), then judges on many threads at once.
 */
#ifndef ASSAY_REWARD_VERIFIER_H
#define ASSAY_REWARD_VERIFIER_H

#include "core/json.h"
#include "core/settings.h"
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
  const char *more;  /* further members for `assay verify`, as JSON: "\"strict\": [true]"; NULL: none */
  int channel_count; /* named channels beside the reward */
  struct {
    const char *name;
    double value;
  } channels[VERDICT_CHANNELS];
};

/* A kind with its settings chosen. Read-only while judging, but for what `state` itself locks. */
struct verifier_config {
  const struct verifier *verifier;
  struct setting_value *values; /* [verifier->setting_count] */
  double timeout;               /* seconds that one verdict of an outside kind may take */
  void *state;                  /* the kind's own, set by its open; closes by arena_on_reset */
};

struct verifier {
  const char *name;   /* "number" */
  const char *help;   /* one line */
  const char *fields; /* fields of a problem that it reads: "answer" */
  bool outside;       /* looks at a clock or the outside: its verdicts are journalled */
  const struct setting *settings;
  size_t setting_count;
  /* Checks settings against each other, makes ready what judging shares; NULL: nothing. */
  int (*open)(struct arena *a, struct verifier_config *c, struct error *err);
  /* Judges one response. p->answer or p->fields hold what it compares with. Wrong problem data (no answer) is
   * ERROR_INPUT; a response is never an error. */
  int (*judge)(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
               size_t n, struct verdict *out, struct error *err);
};

const struct verifier *verifier_find(const char *name,
                                     struct error *err); /* NULL and an error naming the nearest and all known kinds */
/* Settings as written (none: the defaults); timeout in seconds, 0: 30. The config lives in the arena. */
int verifier_open(struct arena *a, const struct verifier *v, const struct setting_given *given, size_t given_count,
                  double timeout, struct verifier_config **out, struct error *err) MUST_USE;
const struct setting_value *verifier_value(const struct verifier_config *c, const char *name);

/* The kinds that a set of problems asks for, each opened once for each source's settings. For one thread. */
struct verifier_set;
int verifier_set_create(struct arena *a, double timeout, struct verifier_set **out, struct error *err) MUST_USE;
/* What judges this problem; errors name the problem's file and line. */
int verifier_set_find(struct verifier_set *set, const struct problem *p, const struct verifier_config **out,
                      struct error *err) MUST_USE;

size_t verifier_count(void);
const struct verifier *verifier_at(size_t i);

#endif

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
enum {
  VERDICT_CHANNELS = 16,
  VERDICT_TEXT = 4096 /* bytes that extracted and reason may have; verify_now cuts what is longer */
};

struct verdict {
  enum verdict_status status;
  bool timeout;          /* with VERDICT_FAILED: it took too long */
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
  const char *name;     /* "number" */
  const char *help;     /* one line */
  const char *fields;   /* fields of a problem that it reads: "answer, ordered?" */
  bool outside;         /* looks at a clock or the outside: its verdicts are journalled */
  bool waits;           /* asks a server: a thread that judges waits, and needs no core */
  const char *channels; /* names of those that it gives beside the reward: "valid fields", "" none; NULL: any */
  const struct setting *settings;
  size_t setting_count;
  /* Checks settings against each other, makes ready what judging shares; NULL: nothing. */
  int (*open)(struct arena *a, struct verifier_config *c, struct error *err);
  /* Judges one response. p->answer or p->fields hold what it compares with. Wrong problem data (no answer) is
   * ERROR_INPUT; a response is never an error. */
  int (*judge)(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
               size_t n, struct verdict *out, struct error *err);
  /* Whether the problem holds what judging needs (ERROR_INPUT): asked before a run, for kinds where judging an empty
   * response would be no cheap way to find out. NULL: judge says it. */
  int (*check)(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err);
};

const struct verifier *verifier_find(const char *name,
                                     struct error *err); /* NULL and an error naming the nearest and all known kinds */
/* Settings as written (none: the defaults); timeout in seconds, 0: 30. The config lives in the arena. */
int verifier_open(struct arena *a, const struct verifier *v, const struct setting_given *given, size_t given_count,
                  double timeout, struct verifier_config **out, struct error *err) MUST_USE;
const struct setting_value *verifier_value(const struct verifier_config *c, const char *name);
/* One rule for all kinds: a setting whose name stands in `fields` with a question mark may also be a field of the
 * problem's line, and the line wins. The value for this problem; a field of the wrong type names file and line. */
int verifier_option(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *name,
                    struct setting_value *out, struct error *err) MUST_USE;
/* A problem that can be judged by this kind, as far as that can be said before there is a response. */
int verifier_check(struct arena *a, const struct verifier_config *c, const struct problem *p,
                   struct error *err) MUST_USE;
/* For kinds: what stands behind the last </think> of a response; false: a <think> that never ends. Both are moved. */
bool verdict_skip_thinking(const char **response, size_t *n);
/* The last block between ``` and ``` (or the end) whose first word is one of these ("json", "sql"; names ends with
 * NULL), else the last block of any name; false: there is none. */
bool verdict_last_block(const char *response, size_t n, const char *const *names, const char **block, size_t *size);
/* For messages: at most `most` bytes of s, cut between code points, line feeds as blanks; in arena a, never NULL but
 * without memory. */
const char *verdict_shown(struct arena *a, const char *s, size_t n, size_t most, struct error *err);

/* The kinds that a set of problems asks for, each opened once for each source's settings. For one thread. */
struct verifier_set;
int verifier_set_create(struct arena *a, double timeout, struct verifier_set **out, struct error *err) MUST_USE;
/* What judges this problem; errors name the problem's file and line. */
int verifier_set_find(struct verifier_set *set, const struct problem *p, const struct verifier_config **out,
                      struct error *err) MUST_USE;

/* Is a kind among those found whose threads wait for a server rather than compute? There should be more of them. */
bool verifier_set_waits(const struct verifier_set *set);

size_t verifier_count(void);
const struct verifier *verifier_at(size_t i);

#endif

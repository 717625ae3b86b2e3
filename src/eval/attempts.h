/* eval/attempts: answers of a model to problems, judged: one line of `assay eval --out` each, read back by --from.
 *
 *     struct attempt_list list = {0};
 *     attempts_read(arena, path, NULL, &list, err);  attempts_check(arena, &list, err);
 */
#ifndef ASSAY_EVAL_ATTEMPTS_H
#define ASSAY_EVAL_ATTEMPTS_H

#include "core/json.h"

/* Zero or NULL: unknown, but for tokens, where -1 is. Strings are UTF-8, in the list's arena. */
struct attempt {
  const char *problem; /* id */
  const char *data;    /* where the problem came from: a file's name or "task:NAME" */
  const char *domain;  /* what the tables by domain go by */
  int64_t sample;      /* ordinal among the problem's */
  bool greedy;         /* at temperature 0 */
  bool seeded;         /* seed is known */
  int64_t seed;
  int64_t step, group, attempt; /* of a run's rollouts: part of what tells attempts apart */
  double reward;
  bool correct, readable;
  bool failed;           /* the verifier failed: neither right nor wrong */
  const char *extracted; /* the answer read, or NULL: it does not vote */
  int64_t tokens;        /* generated; -1: unknown */
  const char *finish;    /* "stop", "length", or NULL */
  bool recorded;         /* entropy and logp are known */
  double entropy, logp;  /* mean over the tokens and sum, nats */
  const char *reason;
  const char *text; /* the answer's text, [text_size] bytes and a NUL */
  size_t text_size;
  const char *verifier, *settings; /* kind; its settings as a JSON object of texts */
  const char *answer;              /* what the problem's line holds as one */
  const char *fields;              /* the problem's line as JSON; on one of its attempts, usually the first */
};

struct attempt_list {
  struct attempt *items;
  size_t count, room;
};
int attempt_list_add(struct arena *a, struct attempt_list *l, const struct attempt *attempt,
                     struct error *err) MUST_USE;

/* The members that are known, without the braces: problem, sample, reward, correct, readable, extracted, tokens, finish
   always. */
void attempt_put_fields(struct text *t, const struct attempt *attempt);
/* Lines of `assay eval --out`, of a run's evaluations/ or rollouts/ (.jsonl, .gz, .zst), added to out. problem and
   correct (or a verdict) are needed, the rest may be missing. by: the member of the line, or of its `fields`, that is
   the domain; NULL: as stored. */
int attempts_read(struct arena *a, const char *path, const char *by, struct attempt_list *out,
                  struct error *err) MUST_USE;
/* The same attempt twice (data, problem, seed, sample) is ERROR_INPUT and named. */
int attempts_check(struct arena *a, const struct attempt_list *l, struct error *err) MUST_USE;

/* Orders by data, then problem id: same problem, 0. */
int attempt_compare_problem(const struct attempt *x, const struct attempt *y);
/* The same, then by seed, step, group, attempt, sample, greedy: 0 for the same attempt. */
int attempt_compare_key(const struct attempt *x, const struct attempt *y);

/* Share of a text's 4-grams of words (white space between them, letters as they are) that were there before; NaN where
   there is none. */
int attempt_repetition(struct arena *a, const struct attempt *t, double *out, struct error *err) MUST_USE;

#endif

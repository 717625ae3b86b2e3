/* train/prepare: a recipe's data through the stage `prepare` of its methods, once, before runs: `assay prepare`.
 *
 * It is a job that can be stopped. What is done stands in OUT.part, one line an item of the data, in order:
 *
 *     {"prepare": 1, "identity": HEX}                       what it is made from
 *     {"item": 0, "items": [{...}], "why": null}            the problems that take its place
 *
 * The identity is a SHA-256 of the resolved recipe and the bytes of its data files. A later call with the same goes on
 * behind the last whole line; with another it is refused. When all items are there OUT is written atomically, one line
 * a problem, and OUT.part is removed. A job that was stopped gives the bytes of one that was not.
 */
#ifndef ASSAY_TRAIN_PREPARE_H
#define ASSAY_TRAIN_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

struct arena;

struct prepare_options {
  const char *recipe;           /* file */
  const char *const *overrides; /* key=value */
  size_t override_count;
  const char *out;
  int64_t seed; /* -1: the recipe's */
  bool (*stop)(void);
};

enum { PREPARE_REASONS = 32 };
struct prepare_result {
  int64_t items;   /* of the data */
  int64_t resumed; /* of them, done by earlier calls */
  int64_t left;    /* left out */
  int64_t written; /* problems in OUT */
  struct prepare_reason {
    const char *why; /* in the arena */
    int64_t count;
  } reasons[PREPARE_REASONS]; /* [reason_count] why items were left out, as they came up; those beyond are in no entry
                               */
  int reason_count;
};

/* ERROR_INPUT: no method of the recipe prepares, a source without end, a problem that a method cannot work on, or
 * nothing left to write. ERROR_STOPPED: what is done stays in OUT.part. */
int prepare_run(struct arena *a, const struct prepare_options *o, struct prepare_result *out,
                struct error *err) MUST_USE;

#endif

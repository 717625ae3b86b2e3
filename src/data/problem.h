/* data/problem: a problem is a JSON object with a few known fields; the rest stays with it and reaches verifiers and
 * methods. */
#ifndef ASSAY_DATA_PROBLEM_H
#define ASSAY_DATA_PROBLEM_H

#include "core/json.h"
#include "core/settings.h"

struct problem {
  const char *id;     /* from the file, or "FILE:LINE"; tasks: "NAME:SEED:INDEX" */
  const char *source; /* file path or "task:NAME" */
  int line;           /* 1-based; tasks: index */
  int source_index;   /* which entry of the recipe's data list */
  const char *prompt; /* plain text prompt, or NULL where messages stand */
  const json_t
      *messages;        /* array of {role, content}, or NULL where prompt stands. `question` becomes one user message */
  const char *answer;   /* text of the answer (numbers printed), or NULL where the verifier needs none */
  const char *verifier; /* kind */
  const struct setting_given *verifier_settings; /* [verifier_setting_count] of the source; NULL: none */
  size_t verifier_setting_count;
  const json_t *fields; /* the whole object */
};

#endif

/* reward/code_program: the program in a response. */
#ifndef ASSAY_REWARD_CODE_PROGRAM_H
#define ASSAY_REWARD_CODE_PROGRAM_H

#include "core/json.h"

struct code_program {
  const char *text; /* inside the response */
  size_t size;      /* 0: there is none */
  bool fenced;
};

/* Behind the last </think>, the last fenced block; for Python the last one labelled py, python or python3 if there is
 * one. If blocks define entry_point (NULL: none wanted), the last of those. Without blocks the whole text. */
struct code_program code_program_find(const char *response, size_t n, bool python, const char *entry_point);

/* Whether a line at the left margin begins to define the name: def, async def, class, or an assignment. */
bool code_defines(const char *text, size_t n, const char *name);

/* Appends what is to be run. `prompt`, the problem's own text, goes in front if it is code, that is, defines
 * entry_point: then a completion (HumanEval's form) goes on where it stops, and a whole function finds its imports and
 * helpers and takes the place of its unfinished namesake. A program with imports from __future__, which must come
 * first, stands alone. */
void code_program_put(struct text *t, const struct code_program *program, const char *prompt, const char *entry_point);

#endif

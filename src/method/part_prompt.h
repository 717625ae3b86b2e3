/* method/part_prompt: a prompt made of a problem's text and of what a method knows beside it, as a context of a group.
 *
 *     {problem}   the problem's plain prompt, or the content of its last user message
 *     {NAME}      the part of this name; other braces stay as they are
 *
 * Of a problem with messages the last user message gets the new text, the others stay; of a plain prompt it is the
 * whole.
 */
#ifndef ASSAY_METHOD_PART_PROMPT_H
#define ASSAY_METHOD_PART_PROMPT_H

#include "method/method.h"

struct prompt_part {
  const char *name, *text;
};
/* kind: of the context; kept, not copied. */
struct prompt_form {
  const char *kind, *pattern;
  const struct prompt_part *parts; /* [count] */
  size_t count;
};
/* Errors: those of method_add_context; a problem whose messages have no user text. */
int prompt_add(struct method_call *c, struct step *s, int32_t group, const struct prompt_form *form, int32_t *out,
               struct error *err) MUST_USE;

#endif

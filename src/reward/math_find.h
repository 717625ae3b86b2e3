/* reward/math_find: where the answer stands in a free text. The first rule that applies:
 *
 *     1. what stands in <think> ... </think> does not count; a <think> that never ends leaves no answer
 *     2. the last \boxed{...} or \fbox{...}; an open one is no answer. Boxes joined by "or", "and" or a comma are one
 *        list: "\boxed{18} or \boxed{20}" offers two answers
 *     3. behind the last ####, to the end of its line
 *     4. between the last <answer> and </answer>
 *     5. behind the last "answer is", "answer:", "answer =": the expression there, else the number
 *     6. the whole text, where it is nothing but the answer
 *     7. the last line with a formula ($...$, \(...\), \[...\]) or number in it: what stands behind its last "is" or
 *        "=", its last formula, or its last number. "18 or 20" and "not 18" are no answers.
 *
 * Of a text of more than 128 KiB only the last 128 KiB count. Rules 5 to 7 may offer several spans, the best first: the
 * first that can be read counts.
 */
#ifndef ASSAY_REWARD_MATH_FIND_H
#define ASSAY_REWARD_MATH_FIND_H

#include "reward/math_node.h"

enum math_policy { MATH_POLICY_LAST, MATH_POLICY_BOXED, MATH_POLICY_MARKED, MATH_POLICY_WHOLE };

enum { MATH_CANDIDATES = 8 };
struct math_found {
  struct {
    const char *text; /* [length], in the response or the arena */
    size_t length;
    const char *rule; /* "boxed", "####", "answer tag", "answer is", "whole text", "last formula", "last number" */
  } candidate[MATH_CANDIDATES];
  int count;
  const char *why; /* where there is none: a sentence */
};

int math_find(struct math *m, const char *s, size_t n, enum math_policy policy, struct math_found *out) MUST_USE;
/* Without what surrounds an answer: white space, $ ... $, \( ... \), ** ... **, quotes, a full stop. */
void math_strip(const char **s, size_t *n);

#endif

/* data/task_answer: where the answer stands in a free text.
 *
 * What stands in <think> ... </think> does not count; a <think> that never ends leaves no answer. In what follows, the
 * first rule that fits:
 *   1. <answer> ... </answer>: the last one; left open it is no answer.
 *   2. \boxed{...}: the last one, braces balanced; left open it is no answer. (Also inside <answer>.)
 *   3. "#### ...": behind the last.
 *   4. "answer is", "answer:", "answer =" (any case): behind the last, up to the end of the sentence.
 *   5. the last line that is not empty (ANSWER_LINE), or everything (ANSWER_TEXT).
 * ANSWER_LINE takes one line for 3 and 4: the rest of that line, or the next one where that rest is empty; ANSWER_TEXT
 * takes everything to the end, for answers of several lines (grids, lists of moves).
 *
 * The span is stripped of white space, a code fence, $...$, **...**, *...*, quotes, backticks, \text{...}, \(...\),
 * \[...\] and a final full stop, as often as they surround it.
 */
#ifndef ASSAY_DATA_TASK_ANSWER_H
#define ASSAY_DATA_TASK_ANSWER_H

#include "data/task.h"

enum answer_mode { ANSWER_LINE, ANSWER_TEXT };

struct answer_span {
  size_t start, length; /* in the response; length > 0 */
  const char *rule;     /* "<answer>", "\\boxed{}", "####", "answer is", "last line", "whole text" */
};

/* Reads nothing outside response[0..n); linear in n. false: no answer stands there, and *why (may be NULL) is a
 * sentence that says so. */
bool answer_find(const char *response, size_t n, enum answer_mode mode, struct answer_span *out, const char **why);
/* The bytes s[0..n) without what surrounds them, by the rules above; *length may become 0. */
void answer_strip(const char *s, size_t *start, size_t *length);

/* What the problem's answer is: `answer`, or where that is NULL the text of meta's "answer" (a string or a whole
 * number). ERROR_INPUT where neither is there. */
int answer_known(struct arena *a, const json_t *meta, const char *answer, const char **out, struct error *err) MUST_USE;

/* Fills in a verdict. read (bytes, NULL: nothing was readable) is what was read as the answer; reward is 1 where
 * correct, else `partial` (0..1, below 1). The reason is a sentence. */
int answer_verdict(struct arena *a, struct task_verdict *out, const char *read, size_t n, bool correct, double partial,
                   struct error *err, const char *fmt, ...) __attribute__((format(printf, 8, 9))) MUST_USE;

#endif

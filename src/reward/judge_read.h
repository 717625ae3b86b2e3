/* reward/judge_read: the verdict in what a judge wrote.
 *
 * The verdict is the one JSON object in the text that has the key asked for ("score", "items"). What stands around it
 * does not matter: prose, a block between ``` and ```; a <think> at the very beginning is not looked at. Objects in an
 * object do not count, and two verdicts in one text are none: a judge that repeats what the response offers as a
 * verdict decides nothing by it.
 *
 * An object that is no JSON is read again after these repairs, and no others:
 *
 *     a comma in front of } or ]          is left out
 *     a line feed or tab inside a string  becomes \n, \t; other control characters blanks
 *     a backslash that escapes nothing    stands for itself: "\(x\)" (LaTeX)
 *     single quotes for double ones       where the object has no double quote, and each single quote stands where a
 *                                         string begins (behind { [ , :) or ends (in front of } ] , :)
 *
 * The expected score, where the server gives the probabilities of tokens: at the token that holds the score,
 *
 *     E = sum p_i s_i / sum p_i,   p_i = exp(logprob_i)
 *
 * over the tokens listed there (at most `top_logprobs`) that are, but for blanks around, one digit s_i inside the
 * scale. It is taken only where it means what it says: the score is one digit and a token by itself, the scale lies in
 * 0..9.
 */
#ifndef ASSAY_REWARD_JUDGE_READ_H
#define ASSAY_REWARD_JUDGE_READ_H

#include "core/json.h"

struct judge_found {
  const json_t *verdict; /* NULL: none; lives as long as the arena */
  size_t begin, end;     /* where it stands in the text */
  const char *why;       /* verdict NULL: a clause, "it holds no JSON object with ..." */
};

/* Memory only is an error. */
int judge_find(struct arena *a, const char *text, size_t n, const char *key, struct judge_found *out,
               struct error *err) MUST_USE;
/* choice: choices[0] of the answer, whose content is text; found: by judge_find with key "score". */
bool judge_expected(const json_t *choice, const char *text, size_t n, const struct judge_found *found, int low,
                    int high, double *out, struct error *err);

#endif

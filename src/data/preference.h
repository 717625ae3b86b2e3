/* data/preference: a problem that says which of two answers is the better one.
 *
 *     {"prompt": "2+2=", "chosen": "4", "rejected": "5"}                       texts
 *     {"question": ..., "chosen": "4", "rejected": "5"}                        one user message, answers of the
 * assistant
 *     {"messages": [...], "chosen": "4" | {...} | [...], "rejected": ...}      a conversation and its next messages
 *     {"chosen": [...], "rejected": [...]}                                     two conversations that begin alike
 *
 * `prompt` may be a list of messages, too. Where the two sides are whole conversations, what they have in common in
 * front of the last message is the prompt, whatever else the line says.
 */
#ifndef ASSAY_DATA_PREFERENCE_H
#define ASSAY_DATA_PREFERENCE_H

#include "data/problem.h"

/* The line has both sides. */
bool preference_is(const json_t *fields);
/* Messages with which two lists begin, the last of each not counted. */
size_t preference_common(const json_t *chosen, const json_t *rejected);

enum preference_side { PREFERENCE_CHOSEN, PREFERENCE_REJECTED };
/* One side: either *text (behind the problem's plain prompt), or *messages, a whole conversation of which those from
 * `from` on are the answer: a new reference. ERROR_INPUT where prompt and side do not fit each other. */
int preference_read(const struct problem *p, enum preference_side side, const json_t **text, json_t **messages,
                    size_t *from, struct error *err) MUST_USE;

#endif

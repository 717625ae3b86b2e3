/* rollout/conversation: tokens of texts that are given whole, and which of them the assistant wrote.
 *
 * Of a conversation these are what the template marks ({% generation %}), or else what it adds for a message of the
 * assistant behind its opening: the text of the messages before, with the opening, must begin the text with the
 * message; a template under which it does not is an error. What follows the last of them is left out. Each part is made
 * tokens by itself, as it is where the model writes behind a prompt. A message with "weight": 0 is read and not learnt;
 * `tools` of the problem's line reach the template.
 */
#ifndef ASSAY_ROLLOUT_CONVERSATION_H
#define ASSAY_ROLLOUT_CONVERSATION_H

#include "rollout/session.h"

/* Appends to ids, and as many 0 or 1 to learn. from: messages before it are not learnt. variables: of the template
 * beside the line's, or NULL. */
int conversation_tokens(const struct session *s, const struct problem *p, const json_t *variables,
                        const json_t *messages, size_t from, struct token_list *ids, struct token_list *learn,
                        struct error *err) MUST_USE;
/* The problem's prompt and an answer of n bytes behind it, closed by the end token; the answer is learnt. */
int conversation_answer(const struct session *s, const struct problem *p, const json_t *variables, const char *text,
                        size_t n, struct token_list *ids, struct token_list *learn, struct error *err) MUST_USE;

#endif

/* method/part_span: from bytes of a response to its tokens. For methods that declare NEED_SPANS.
 *
 * Rollouts carry the response as text and where each token begins in it (struct rollout: text, token_byte). A token
 * that the text does not show (end of sequence, one cut off by a stop string) has no bytes and belongs to no span.
 *
 *     size_t begin, end;
 *     if (span_between(text, size, 0, "<p1>", "</p1>", &begin, &end)) tokens = span_tokens(r, begin, end, SPAN_INSIDE);
 */
#ifndef ASSAY_METHOD_PART_SPAN_H
#define ASSAY_METHOD_PART_SPAN_H

#include "method/step.h"

/* Tokens begin .. end - 1 of a response; path tokens find theirs by step_response_index. */
struct span {
  int32_t begin, end;
};

enum span_edge {
  SPAN_INSIDE,  /* tokens whose bytes all lie in the range */
  SPAN_TOUCHING /* tokens with a byte in it */
};

/* begin .. end - 1: bytes of r->text. */
struct span span_tokens(const struct rollout *r, size_t begin, size_t end, enum span_edge edge);
/* Where the first `word` at or behind byte `from` begins, or size. */
size_t span_find(const char *text, size_t size, size_t from, const char *word);
/* The bytes strictly between the first `open` at or behind `from` and the first `close` behind that; false: none. */
bool span_between(const char *text, size_t size, size_t from, const char *open, const char *close, size_t *begin,
                  size_t *end);
/* The thinking of a response: in front of its last </think>, without a <think> that it opens with; the whole where a
 * <think> never ends, empty where there is neither. The answer is what stands behind it. */
void span_think(const struct rollout *r, size_t *begin, size_t *end, size_t *answer);

#endif

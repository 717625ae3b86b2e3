#include "method/part_span.h"

#include <string.h>

struct span span_tokens(const struct rollout *r, size_t begin, size_t end, enum span_edge edge)
{
  ASSAY_BUG_IF(!r->token_byte); /* the method did not declare NEED_SPANS */
  struct span out = {0, 0};
  for (int32_t i = 0; i < r->response; i++) {
    size_t first = (size_t)r->token_byte[i], last = (size_t)r->token_byte[i + 1];
    if (first == last) continue;
    bool in = edge == SPAN_INSIDE ? first >= begin && last <= end : first < end && last > begin;
    if (!in) continue;
    if (out.begin == out.end) out.begin = i;
    out.end = i + 1;
  }
  return out;
}

size_t span_find(const char *text, size_t size, size_t from, const char *word)
{
  size_t n = strlen(word);
  for (size_t i = from; i + n <= size; i++)
    if (!memcmp(text + i, word, n)) return i;
  return size;
}

bool span_between(const char *text, size_t size, size_t from, const char *open, const char *close, size_t *begin,
                  size_t *end)
{
  size_t at = span_find(text, size, from, open);
  if (at == size) return false;
  *begin = at + strlen(open);
  *end = span_find(text, size, *begin, close);
  return *end < size;
}

void span_think(const struct rollout *r, size_t *begin, size_t *end, size_t *answer)
{
  static const char OPEN[] = "<think>", CLOSE[] = "</think>";
  size_t size = r->text_size, close = size, at = 0;
  while (at < size && (at = span_find(r->text, size, at, CLOSE)) < size) close = at++;
  size_t open = span_find(r->text, size, 0, OPEN);
  *begin = open < close ? open + sizeof OPEN - 1 : 0;
  *end = close < size ? close : open < size ? size : 0;
  *answer = close < size ? close + sizeof CLOSE - 1 : *end;
}

#include "method/part_thoughts.h"

#include <stdbool.h>
#include <string.h>

static char folded(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_letter(char c)
{
  return folded(c) >= 'a' && folded(c) <= 'z';
}

static bool stands_at(const char *text, size_t n, size_t at, const char *word, size_t size)
{
  if (!size || size > n - at || (at + size < n && is_letter(text[at + size]))) return false;
  for (size_t k = 0; k < size; k++)
    if (folded(text[at + k]) != word[k]) return false;
  return true;
}

int64_t thoughts_count(const char *text, size_t n, const char *words)
{
  int64_t count = 0;
  for (size_t at = 0; at < n; at++) {
    if (at && is_letter(text[at - 1])) continue;
    for (const char *w = words; *w; w += strcspn(w, "|"), w += *w == '|')
      count += stands_at(text, n, at, w, strcspn(w, "|"));
  }
  return count;
}

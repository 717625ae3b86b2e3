#include "reward/code_program.h"
#include <string.h>
#include "reward/verifier.h"

enum { MOST_BLOCKS = 64 }; /* looked at for the entry point */

static bool is_name(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80);
}

static bool skip(const char **at, const char *end, const char *word)
{
  size_t n = strlen(word);
  if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0) return false;
  *at += n;
  return true;
}

static void skip_blanks(const char **at, const char *end)
{
  while (*at < end && (**at == ' ' || **at == '\t')) (*at)++;
}

/* "async def NAME(", "class NAME:", "NAME =" at the beginning of a line. */
static bool line_defines(const char *at, const char *end, const char *name)
{
  bool keyword = false;
  if (skip(&at, end, "async ")) skip_blanks(&at, end);
  if (skip(&at, end, "def ") || skip(&at, end, "class ")) {
    keyword = true;
    skip_blanks(&at, end);
  }
  if (!skip(&at, end, name) || (at < end && is_name(*at))) return false;
  skip_blanks(&at, end);
  return keyword || (at < end && *at == '=' && (at + 1 == end || at[1] != '='));
}

bool code_defines(const char *text, size_t n, const char *name)
{
  const char *end = text + n;
  for (const char *line = text; line < end;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (line_defines(line, stop ? stop : end, name)) return true;
    if (!stop) break;
    line = stop + 1;
  }
  return false;
}

static bool from_future(const char *text, size_t n)
{
  static const char word[] = "from __future__";
  const char *end = text + n;
  for (const char *line = text; line && line < end;) {
    if ((size_t)(end - line) >= sizeof word - 1 && !memcmp(line, word, sizeof word - 1)) return true;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    line = stop ? stop + 1 : NULL;
  }
  return false;
}

static bool is_blank(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (s[i] != ' ' && (s[i] < '\t' || s[i] > '\r')) return false;
  return true;
}

struct code_program code_program_find(const char *response, size_t n, bool python, const char *entry_point)
{
  static const char *const python_names[] = {"python", "py", "python3", "Python", NULL}, *const no_names[] = {NULL};
  struct code_program last = {0};
  const char *block;
  size_t size, left = n;
  if (!verdict_skip_thinking(&response, &left)) return last;
  last = (struct code_program){response, is_blank(response, left) ? 0 : left, false};
  for (int i = 0; i < MOST_BLOCKS; i++) {
    if (!verdict_last_block(response, left, python ? python_names : no_names, &block, &size)) break;
    struct code_program found = {block, is_blank(block, size) ? 0 : size, true};
    if (!i) last = found;
    if (!entry_point || code_defines(block, size, entry_point)) return found;
    left = (size_t)(block - response) - 1;
  }
  return last;
}

void code_program_put(struct text *t, const struct code_program *program, const char *prompt, const char *entry_point)
{
  size_t n = prompt ? strlen(prompt) : 0;
  bool whole = entry_point && code_defines(program->text, program->size, entry_point);
  if (n && entry_point && code_defines(prompt, n, entry_point) && !from_future(program->text, program->size)) {
    text_add(t, prompt, n);
    if (whole && prompt[n - 1] != '\n') text_puts(t, "\n");
  }
  text_add(t, program->text, program->size);
  text_puts(t, "\n");
}

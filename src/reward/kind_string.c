/* The response is the answer: the same text, white space at both ends left aside. Fields of the problem loosen it:
 * `ignore_case` (Unicode case folding and canonical equivalence), `collapse_space` (a run of white space counts as one
 * blank), `last_line` (only the last line that is not blank counts).
 */
#include <string.h>
#include <utf8proc.h>
#include "reward/verifier.h"

struct options {
  bool ignore_case, collapse_space, last_line;
};

struct piece {
  const char *s;
  size_t n;
};

static bool is_space(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct piece trim(struct piece p)
{
  while (p.n && is_space(p.s[0])) p.s++, p.n--;
  while (p.n && is_space(p.s[p.n - 1])) p.n--;
  return p;
}

static struct piece last_line(struct piece p)
{
  p = trim(p);
  for (size_t i = p.n; i-- > 0;)
    if (p.s[i] == '\n') return trim((struct piece){p.s + i + 1, p.n - i - 1});
  return p;
}

static int collapse(struct arena *a, struct piece *p, struct error *err)
{
  char *to = arena_push(a, p->n + 1, 1, "verdict", err);
  size_t n = 0;
  if (!to) return err->code;
  for (size_t i = 0; i < p->n; i++)
    if (!is_space(p->s[i]))
      to[n++] = p->s[i];
    else if (n && to[n - 1] != ' ')
      to[n++] = ' ';
  *p = (struct piece){to, n};
  return 0;
}

/* Decomposed, case-folded code points, so that bytes may be compared. Text that is not UTF-8 stays as it is. */
static int fold(struct arena *a, struct piece *p, struct error *err)
{
  const utf8proc_option_t how = UTF8PROC_CASEFOLD | UTF8PROC_DECOMPOSE | UTF8PROC_STABLE;
  utf8proc_ssize_t n = utf8proc_decompose((const utf8proc_uint8_t *)p->s, (utf8proc_ssize_t)p->n, NULL, 0, how);
  if (n <= 0) return 0;
  utf8proc_int32_t *to = ARENA_NEW(a, utf8proc_int32_t, (size_t)n, "verdict", err);
  if (!to) return err->code;
  utf8proc_decompose((const utf8proc_uint8_t *)p->s, (utf8proc_ssize_t)p->n, to, n, how);
  *p = (struct piece){(const char *)to, (size_t)n * sizeof *to};
  return 0;
}

static int prepare(struct arena *a, const struct options *o, struct piece *p, struct error *err)
{
  *p = trim(*p);
  if (o->collapse_space) TRY(collapse(a, p, err));
  return o->ignore_case ? fold(a, p, err) : 0;
}

static int read_options(const json_t *fields, struct options *o, struct error *err)
{
  TRY(json_bool_or(fields, "ignore_case", false, &o->ignore_case, NULL, err));
  TRY(json_bool_or(fields, "collapse_space", false, &o->collapse_space, NULL, err));
  return json_bool_or(fields, "last_line", false, &o->last_line, NULL, err);
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  (void)c;
  struct options o = {0};
  *out = (struct verdict){0};
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected a text for the verifier \"string\"");
  if (read_options(p->fields, &o, err)) return error_place(err, p->source, p->line);
  struct piece got = trim((struct piece){response, n}), want = {p->answer, strlen(p->answer)};
  if (o.last_line) got = last_line(got);
  out->readable = got.n > 0;
  out->extracted = out->readable ? arena_strndup(a, got.s, got.n, "verdict", err) : NULL;
  if (out->readable && !out->extracted) return err->code;
  TRY(prepare(a, &o, &got, err));
  TRY(prepare(a, &o, &want, err));
  out->correct = got.n == want.n && !memcmp(got.s, want.s, got.n);
  out->reward = out->correct ? 1 : 0;
  out->reason = !out->readable ? "the response is empty"
                : out->correct ? "the response is the answer"
                               : "the response is not the answer";
  return 0;
}

const struct verifier verifier_string = {
    .name = "string",
    .help = "the response is the answer, white space at both ends aside",
    .fields = "answer, ignore_case?, collapse_space?, last_line?",
    .judge = judge,
};

#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretoken.h"

#include <pcre2.h>
#include <string.h>

#define SPACES "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* PCRE2 allocates through this project's counters. */
static void *pcre_alloc(size_t n, void *data)
{
  (void)data;
  return memory_alloc(n, 1, "regular expressions", NULL);
}
static void pcre_free(void *p, void *data)
{
  (void)data;
  memory_free(p);
}
static void free_code(void *code)
{
  pcre2_code_free(code);
}

/* Writes \s and \S out: with Unicode properties PCRE2 also counts U+180E, no white space since Unicode 6.3. */
static void translate(const char *pattern, struct text *out)
{
  bool in_class = false;
  for (const char *p = pattern; *p; p++) {
    if (*p == '\\' && p[1]) {
      if (p[1] == 's')
        text_puts(out, in_class ? SPACES : "[" SPACES "]");
      else if (p[1] == 'S' && !in_class)
        text_puts(out, "[^" SPACES "]");
      else
        text_add(out, p, 2);
      p++;
      continue;
    }
    if (*p == '[' && !in_class) {
      in_class = true;
      text_add(out, p, 1);
      if (p[1] == '^') text_add(out, ++p, 1);
      if (p[1] == ']') text_puts(out, "\\"), text_add(out, ++p, 1);
      continue;
    }
    if (*p == ']') in_class = false;
    text_add(out, p, 1);
  }
}

/* PCRE2's code of a pattern, or NULL with its error in *code. */
static pcre2_code *compile_text(const struct text *pattern, bool literal, int *code)
{
  PCRE2_SIZE at = 0;
  pcre2_code *compiled = NULL;
  pcre2_general_context *general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
  pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
  *code = PCRE2_ERROR_NOMEMORY;
  if (context)
    compiled = pcre2_compile((PCRE2_SPTR)(pattern->size ? pattern->bytes : ""), pattern->size,
                             PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP), code, &at, context);
  if (context) pcre2_compile_context_free(context);
  if (general) pcre2_general_context_free(general);
  return compiled;
}

int pretoken_compile(struct arena *a, const char *pattern, bool literal, void **out, const char *part, const char *file,
                     struct error *err)
{
  struct text translated = {0};
  if (literal)
    text_puts(&translated, pattern);
  else
    translate(pattern, &translated);
  int rc = text_finish(&translated, err), code = 0;
  pcre2_code *compiled = rc ? NULL : compile_text(&translated, literal, &code);
  text_free(&translated);
  TRY(rc);
  if (!compiled && code != PCRE2_ERROR_NOMEMORY) {
    PCRE2_UCHAR why[200];
    pcre2_get_error_message(code, why, sizeof why);
    FAIL_AT(err, ERROR_INPUT, file, 0, part, "the pattern \"%.200s\" cannot be used: %s", pattern, (const char *)why);
  }
  if (!compiled) FAIL_AT(err, ERROR_RESOURCE, file, 0, part, "no memory for a regular expression");
  /* Without a just-in-time compiler (or with a pattern that it lacks) PCRE2 interprets: slower, the same matches. */
  (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
  rc = arena_on_reset(a, free_code, compiled, err);
  if (rc) pcre2_code_free(compiled);
  *out = compiled;
  return rc;
}

int pretoken_add(struct arena *a, struct pretoken *p, struct pretoken_step step, const char *file, struct error *err)
{
  if (p->count == PRETOKEN_STEPS)
    FAIL_AT(err, ERROR_INPUT, file, 0, "pre_tokenizer", "found more than %d pre-tokenisers in sequence",
            PRETOKEN_STEPS);
  if (p->count && p->steps[p->count - 1].kind == PRETOKEN_BYTES)
    FAIL_AT(err, ERROR_INPUT, file, 0, "pre_tokenizer",
            "found a pre-tokeniser behind ByteLevel; expected ByteLevel to be the last");
  if (step.kind == PRETOKEN_SPLIT)
    TRY(pretoken_compile(a, step.pattern, step.literal, &step.code, "pre_tokenizer", file, err));
  if (step.kind == PRETOKEN_DIGITS)
    TRY(pretoken_compile(a, step.each_digit ? "\\p{N}" : "\\p{N}+", false, &step.code, "pre_tokenizer", file, err));
  if (step.kind == PRETOKEN_BYTES && step.use_regex)
    TRY(pretoken_compile(a, gpt2_pattern, false, &step.code, "pre_tokenizer", file, err));
  p->steps[p->count++] = step;
  return 0;
}

/* The pre-tokenisers that GGUF files name, as the models' own tokenizer.json have them. */

#define LLAMA3_LIKE(digits)                                            \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"                     \
  "\\s+(?!\\S)|\\s+"
#define TEKKEN                                                                                                       \
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?" \
  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| "                                     \
  "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|"                                                                    \
  "\\s+(?!\\S)|\\s+"
#define DEEPSEEK3                                                                                     \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| " \
  "?[\\p{P}\\p{S}]+[\r\n]*|"                                                                          \
  "\\s*[\r\n]+|\\s+(?!\\S)|\\s+"

static const struct named {
  const char *name;
  bool each_digit;
  const char *splits[3]; /* none: ByteLevel with GPT-2's pattern */
  bool nfc, ignore_merges;
} named[] = {
    {"gpt-2", false, {NULL}, false, false},
    {"smollm", true, {NULL}, false, false},
    {"starcoder", true, {NULL}, false, false},
    {"refact", true, {NULL}, false, false},
    {"command-r", true, {NULL}, false, false},
    {"qwen2", false, {LLAMA3_LIKE("\\p{N}")}, true, false},
    {"deepseek-r1-qwen", false, {LLAMA3_LIKE("\\p{N}")}, true, false},
    {"llama-bpe", false, {LLAMA3_LIKE("\\p{N}{1,3}")}, false, true},
    {"llama3", false, {LLAMA3_LIKE("\\p{N}{1,3}")}, false, true},
    {"llama-v3", false, {LLAMA3_LIKE("\\p{N}{1,3}")}, false, true},
    {"dbrx", false, {LLAMA3_LIKE("\\p{N}{1,3}")}, false, false},
    {"smaug-bpe", false, {LLAMA3_LIKE("\\p{N}{1,3}")}, false, false},
    {"tekken", false, {TEKKEN}, false, true},
    {"deepseek-v3", false, {"\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3}, false, false},
};

int pretoken_by_name(struct arena *a, struct pretoken *p, const char *name, bool prefix_space, bool *nfc,
                     bool *ignore_merges, const char *file, struct error *err)
{
  const struct named *found = NULL;
  char names[400] = "";
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    if (!strcmp(named[i].name, name)) found = &named[i];
    size_t used = strlen(names), n = strlen(named[i].name);
    if (used + n + 3 > sizeof names) continue;
    memcpy(names + used, ", ", 2);
    memcpy(names + used + 2, named[i].name, n + 1);
  }
  if (!found)
    FAIL_AT(err, ERROR_INPUT, file, 0, "tokenizer.ggml.pre", "found the pre-tokeniser \"%.60s\"; supported are %s",
            name, names + 2);
  if (found->each_digit)
    TRY(pretoken_add(a, p, (struct pretoken_step){.kind = PRETOKEN_DIGITS, .each_digit = true}, file, err));
  for (int i = 0; i < 3 && found->splits[i]; i++)
    TRY(pretoken_add(a, p, (struct pretoken_step){.kind = PRETOKEN_SPLIT, .pattern = found->splits[i]}, file, err));
  struct pretoken_step bytes = {.kind = PRETOKEN_BYTES, .prefix_space = prefix_space, .use_regex = !found->splits[0]};
  TRY(pretoken_add(a, p, bytes, file, err));
  *nfc = found->nfc;
  *ignore_merges = found->ignore_merges;
  return 0;
}

static bool is_split(const struct pretoken_step *s, const char *pattern)
{
  return s->kind == PRETOKEN_SPLIT && s->behavior == PRETOKEN_ISOLATED && !s->literal && !s->invert &&
         !strcmp(s->pattern, pattern);
}

static bool is_named(const struct pretoken *p, const struct named *n)
{
  size_t at = 0;
  if (n->each_digit && !(p->count > 0 && p->steps[at].kind == PRETOKEN_DIGITS && p->steps[at].each_digit)) return false;
  at += n->each_digit;
  for (int i = 0; i < 3 && n->splits[i]; i++, at++)
    if (at >= p->count || !is_split(&p->steps[at], n->splits[i])) return false;
  return at + 1 == p->count && p->steps[at].kind == PRETOKEN_BYTES && p->steps[at].use_regex == !n->splits[0];
}

const char *pretoken_find_name(const struct pretoken *p, bool nfc, bool ignore_merges)
{
  for (size_t i = 0; i < sizeof named / sizeof *named; i++)
    if (named[i].nfc == nfc && named[i].ignore_merges == ignore_merges && is_named(p, &named[i])) return named[i].name;
  return NULL;
}

/* Cutting. */

struct matcher {
  pcre2_general_context *general;
  pcre2_match_context *context;
  pcre2_match_data *data;
  pcre2_jit_stack *stack;
};

static void matcher_free(struct matcher *m)
{
  if (!m) return;
  if (m->data) pcre2_match_data_free(m->data);
  if (m->context) pcre2_match_context_free(m->context);
  if (m->stack) pcre2_jit_stack_free(m->stack);
  if (m->general) pcre2_general_context_free(m->general);
  memory_free(m);
}

static int matcher_create(struct matcher **out, struct error *err)
{
  struct matcher *m = memory_alloc(1, sizeof *m, "regular expressions", err);
  if (!m) return ERROR_RESOURCE;
  m->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
  if (m->general) {
    m->data = pcre2_match_data_create(1, m->general);
    m->context = pcre2_match_context_create(m->general);
    m->stack =
        pcre2_jit_stack_create(32 << 10, 16 << 20, m->general); /* NULL where PCRE2 has no JIT: the default is used */
  }
  if (!m->data || !m->context) {
    matcher_free(m);
    FAIL(err, ERROR_RESOURCE, "no memory for a regular expression");
  }
  if (m->stack) pcre2_jit_stack_assign(m->context, NULL, m->stack);
  *out = m;
  return 0;
}

void pretoken_cuts_free(struct pretoken_cuts *c)
{
  memory_free(c->spans.items);
  memory_free(c->spare.items);
  text_free(&c->changed);
  text_free(&c->spare_text);
  matcher_free(c->match);
  *c = (struct pretoken_cuts){0};
}

static int push_span(struct pretoken_spans *s, size_t start, size_t end, struct error *err)
{
  if (start == end) return 0;
  if (s->count == s->room) {
    size_t room = s->room ? s->room * 2 : 256;
    struct pretoken_span *items = memory_resize(s->items, room, sizeof *items, "tokenizer scratch", err);
    if (!items) return ERROR_RESOURCE;
    s->items = items;
    s->room = room;
  }
  s->items[s->count++] = (struct pretoken_span){start, end};
  return 0;
}

/* One part of a piece, a match or what lies between two, on its way into the list by the behaviour. */
struct parts {
  const struct pretoken_step *step;
  struct pretoken_spans *out;
  size_t first;      /* index of the piece's first span */
  bool last_matched; /* of the last span pushed */
};

static int put_part(struct parts *p, size_t start, size_t end, bool matched, struct error *err)
{
  if (start == end) return 0;
  matched ^= p->step->invert;
  struct pretoken_span *last = p->out->count > p->first ? &p->out->items[p->out->count - 1] : NULL;
  bool joins = last && last->end == start;
  bool was = p->last_matched;
  p->last_matched = matched;
  switch (p->step->behavior) {
    case PRETOKEN_REMOVED:
      return matched ? 0 : push_span(p->out, start, end, err);
    case PRETOKEN_WITH_PREVIOUS:
      if (matched && joins && !was) {
        last->end = end;
        return 0;
      }
      break;
    case PRETOKEN_WITH_NEXT:
      if (!matched && joins && was) {
        last->end = end;
        return 0;
      }
      break;
    case PRETOKEN_CONTIGUOUS:
      if (joins && was == matched) {
        last->end = end;
        return 0;
      }
      break;
    case PRETOKEN_ISOLATED:
      break;
  }
  return push_span(p->out, start, end, err);
}

static int cut_piece(const struct pretoken_step *step, const char *bytes, struct pretoken_span span, struct matcher *m,
                     struct pretoken_spans *out, struct error *err)
{
  struct parts parts = {.step = step, .out = out, .first = out->count};
  const char *s = bytes + span.start;
  size_t n = span.end - span.start, done = 0, at = 0;
  while (at < n) {
    int rc = pcre2_match(step->code, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) {
      PCRE2_UCHAR why[200];
      pcre2_get_error_message(rc, why, sizeof why);
      FAIL(err, ERROR_INPUT, "the pre-tokeniser's pattern failed on a text of %zu bytes: %s", n, (const char *)why);
    }
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(m->data);
    if (where[1] > where[0]) {
      TRY(put_part(&parts, span.start + done, span.start + where[0], false, err));
      TRY(put_part(&parts, span.start + where[0], span.start + where[1], true, err));
      at = done = where[1];
      continue;
    }
    /* An empty match cuts nothing: look again one character further. */
    at = where[1] + 1;
    while (at < n && ((unsigned char)s[at] & 0xc0) == 0x80) at++;
  }
  return put_part(&parts, span.start + done, span.end, false, err);
}

static int run_pattern(const struct pretoken_step *step, struct pretoken_cuts *c, struct error *err)
{
  struct matcher *m = c->match;
  c->spare.count = 0;
  for (size_t i = 0; i < c->spans.count; i++) TRY(cut_piece(step, c->bytes, c->spans.items[i], m, &c->spare, err));
  struct pretoken_spans old = c->spans;
  c->spans = c->spare;
  c->spare = old;
  return 0;
}

/* Puts a space in front of every piece that has none. */
static int prefix_spaces(struct pretoken_cuts *c, struct error *err)
{
  text_clear(&c->spare_text);
  for (size_t i = 0; i < c->spans.count; i++) {
    struct pretoken_span *span = &c->spans.items[i];
    size_t start = c->spare_text.size;
    if (c->bytes[span->start] != ' ') text_add(&c->spare_text, " ", 1);
    text_add(&c->spare_text, c->bytes + span->start, span->end - span->start);
    *span = (struct pretoken_span){start, c->spare_text.size};
  }
  TRY(text_finish(&c->spare_text, err));
  struct text old = c->changed;
  c->changed = c->spare_text;
  c->spare_text = old;
  c->bytes = c->changed.bytes;
  return 0;
}

/* A bound on backtracking that every sane pattern stays far below: it grows with the text. */
static uint32_t match_limit(size_t n)
{
  return n > (UINT32_MAX - 10000000u) / 64 ? UINT32_MAX : 10000000u + 64u * (uint32_t)n;
}

int pretoken_run(const struct pretoken *p, const char *text, size_t n, struct pretoken_cuts *c, struct error *err)
{
  c->bytes = text;
  c->spans.count = 0;
  TRY(push_span(&c->spans, 0, n, err));
  if (!c->match) {
    struct matcher *m = NULL;
    TRY(matcher_create(&m, err));
    c->match = m;
  }
  pcre2_set_match_limit(((struct matcher *)c->match)->context, match_limit(n));
  for (size_t i = 0; i < p->count; i++) {
    const struct pretoken_step *step = &p->steps[i];
    if (step->kind == PRETOKEN_BYTES && step->prefix_space) TRY(prefix_spaces(c, err));
    if (step->code) TRY(run_pattern(step, c, err));
  }
  return 0;
}

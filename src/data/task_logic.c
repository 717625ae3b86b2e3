#include "data/task_logic.h"
#include <string.h>

struct truth truth_all(void)
{
  struct truth t;
  memset(t.bits, 0xff, sizeof t.bits);
  return t;
}

struct truth truth_variable(int i)
{
  static const uint64_t low[6] = {0xaaaaaaaaaaaaaaaau, 0xccccccccccccccccu, 0xf0f0f0f0f0f0f0f0u,
                                  0xff00ff00ff00ff00u, 0xffff0000ffff0000u, 0xffffffff00000000u};
  struct truth t;
  for (int w = 0; w < LOGIC_WORDS; w++) t.bits[w] = i < 6 ? low[i] : w >> (i - 6) & 1 ? UINT64_MAX : 0;
  return t;
}

struct truth truth_not(const struct truth *x)
{
  struct truth t;
  for (int w = 0; w < LOGIC_WORDS; w++) t.bits[w] = ~x->bits[w];
  return t;
}

static uint64_t combine_word(enum logic_op op, uint64_t x, uint64_t y)
{
  switch (op) {
    case LOGIC_AND:
      return x & y;
    case LOGIC_OR:
      return x | y;
    case LOGIC_IMPLIES:
      return ~x | y;
    default:
      return ~(x ^ y);
  }
}

struct truth truth_combine(enum logic_op op, const struct truth *x, const struct truth *y)
{
  struct truth t;
  for (int w = 0; w < LOGIC_WORDS; w++) t.bits[w] = combine_word(op, x->bits[w], y->bits[w]);
  return t;
}

bool truth_follows(const struct truth *from, const struct truth *what)
{
  for (int w = 0; w < LOGIC_WORDS; w++)
    if (from->bits[w] & ~what->bits[w]) return false;
  return true;
}

int truth_count(const struct truth *x, int variables)
{
  int count = 0;
  for (int r = 0; r < 1 << variables; r++) count += (int)(x->bits[r / 64] >> r % 64 & 1);
  return count;
}

int truth_first(const struct truth *x)
{
  for (int r = 0; r < 1 << LOGIC_VARIABLES; r++)
    if (x->bits[r / 64] >> r % 64 & 1) return r;
  return -1;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Behind the operators. */
enum token { TOKEN_NOT = LOGIC_OPS, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_VARIABLE, TOKEN_END, TOKEN_BAD };

/* Longer spellings stand before their beginnings. */
static const struct {
  const char *text;
  int token;
} spellings[] = {
    {"\\leftrightarrow", LOGIC_IFF},
    {"\\iff", LOGIC_IFF},
    {"<->", LOGIC_IFF},
    {"<=>", LOGIC_IFF},
    {"\xe2\x86\x94", LOGIC_IFF},
    {"\xe2\x87\x94", LOGIC_IFF},
    {"iff", LOGIC_IFF},
    {"\\rightarrow", LOGIC_IMPLIES},
    {"\\implies", LOGIC_IMPLIES},
    {"\\to", LOGIC_IMPLIES},
    {"->", LOGIC_IMPLIES},
    {"=>", LOGIC_IMPLIES},
    {"\xe2\x86\x92", LOGIC_IMPLIES},
    {"\xe2\x87\x92", LOGIC_IMPLIES},
    {"implies", LOGIC_IMPLIES},
    {"\\land", LOGIC_AND},
    {"\\wedge", LOGIC_AND},
    {"&&", LOGIC_AND},
    {"&", LOGIC_AND},
    {"/\\", LOGIC_AND},
    {"\xe2\x88\xa7", LOGIC_AND},
    {"and", LOGIC_AND},
    {"\\lor", LOGIC_OR},
    {"\\vee", LOGIC_OR},
    {"||", LOGIC_OR},
    {"|", LOGIC_OR},
    {"\\/", LOGIC_OR},
    {"\xe2\x88\xa8", LOGIC_OR},
    {"or", LOGIC_OR},
    {"\\lnot", TOKEN_NOT},
    {"\\neg", TOKEN_NOT},
    {"~", TOKEN_NOT},
    {"!", TOKEN_NOT},
    {"\xc2\xac", TOKEN_NOT},
    {"not", TOKEN_NOT},
    {"(", TOKEN_OPEN},
    {"[", TOKEN_OPEN},
    {")", TOKEN_CLOSE},
    {"]", TOKEN_CLOSE},
};

const char *logic_sign(enum logic_op op)
{
  static const char *const signs[LOGIC_OPS] = {"\xe2\x88\xa7", "\xe2\x88\xa8", "\xe2\x86\x92", "\xe2\x86\x94"};
  return signs[op];
}

struct parser {
  const char *s, *variables, *why;
  size_t n, at;
  int token, variable, depth;
};

static bool is_alpha(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char upper(char c)
{
  return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

/* The length of the spelling if it stands at p->at; a word ends where the letters do. */
static size_t match(const struct parser *p, const char *text)
{
  size_t size = strlen(text);
  if (p->n - p->at < size) return 0;
  for (size_t i = 0; i < size; i++)
    if (upper(p->s[p->at + i]) != upper(text[i])) return 0;
  bool word = is_alpha(text[size - 1]);
  return word && p->at + size < p->n && is_alpha(p->s[p->at + size]) ? 0 : size;
}

/* A letter that stands alone: a variable or, where there is no V, the sign that "P v Q" uses. */
static int read_letter(struct parser *p)
{
  char c = upper(p->s[p->at]);
  const char *known = is_alpha(c) ? strchr(p->variables, c) : NULL;
  bool alone = p->at + 1 == p->n || !is_alpha(p->s[p->at + 1]);
  p->at++;
  if (known && alone) {
    p->variable = (int)(known - p->variables);
    return TOKEN_VARIABLE;
  }
  if (alone && c == 'V') return LOGIC_OR;
  p->why = "the answer has something that is no letter or sign of the premises";
  return TOKEN_BAD;
}

static void advance(struct parser *p)
{
  while (p->at < p->n && strchr(" \t\r\n", p->s[p->at]) && p->s[p->at]) p->at++;
  p->token = TOKEN_END;
  if (p->at == p->n) return;
  for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
    size_t size = match(p, spellings[i].text);
    if (!size) continue;
    p->at += size;
    p->token = spellings[i].token;
    return;
  }
  p->token = read_letter(p);
}

static bool read_iff(struct parser *p, struct truth *out);

static bool read_bracket(struct parser *p, struct truth *out)
{
  advance(p);
  if (!read_iff(p, out)) return false;
  if (p->token == TOKEN_CLOSE)
    advance(p);
  else if (p->token != TOKEN_END)
    return false;
  return true;
}

static bool read_not(struct parser *p, struct truth *out)
{
  bool negated = false, read;
  for (; p->token == TOKEN_NOT; advance(p)) negated = !negated;
  if (++p->depth > LOGIC_DEPTH) {
    p->why = "the formula is nested too deep";
    return false;
  }
  if (p->token == TOKEN_OPEN) {
    read = read_bracket(p, out);
  } else {
    read = p->token == TOKEN_VARIABLE;
    if (read) *out = truth_variable(p->variable), advance(p);
  }
  p->depth--;
  if (read && negated) *out = truth_not(out);
  return read;
}

static bool read_and(struct parser *p, struct truth *out)
{
  struct truth right;
  if (!read_not(p, out)) return false;
  while (p->token == (int)LOGIC_AND) {
    advance(p);
    if (!read_not(p, &right)) return false;
    *out = truth_combine(LOGIC_AND, out, &right);
  }
  return true;
}

static bool read_or(struct parser *p, struct truth *out)
{
  struct truth right;
  if (!read_and(p, out)) return false;
  while (p->token == (int)LOGIC_OR) {
    advance(p);
    if (!read_and(p, &right)) return false;
    *out = truth_combine(LOGIC_OR, out, &right);
  }
  return true;
}

static bool read_implies(struct parser *p, struct truth *out)
{
  struct truth right;
  if (!read_or(p, out)) return false;
  if (p->token != (int)LOGIC_IMPLIES) return true;
  if (++p->depth > LOGIC_DEPTH) {
    p->why = "the formula is nested too deep";
    return false;
  }
  advance(p);
  if (!read_implies(p, &right)) return false;
  p->depth--;
  *out = truth_combine(LOGIC_IMPLIES, out, &right);
  return true;
}

static bool read_iff(struct parser *p, struct truth *out)
{
  struct truth right;
  if (!read_implies(p, out)) return false;
  while (p->token == (int)LOGIC_IFF) {
    advance(p);
    if (!read_implies(p, &right)) return false;
    *out = truth_combine(LOGIC_IFF, out, &right);
  }
  return true;
}

bool logic_read(const char *s, size_t n, const char *variables, struct truth *out, const char **why)
{
  struct parser p = {.s = s, .n = n, .variables = variables, .why = "the answer is not one formula"};
  bool read = n <= LOGIC_LENGTH;
  if (!read) p.why = "the formula is longer than 4096 bytes";
  if (read) advance(&p);
  read = read && read_iff(&p, out) && p.token == TOKEN_END;
  if (!read) *why = p.why;
  return read;
}

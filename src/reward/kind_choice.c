/* A multiple-choice answer: a letter, or the text of an option. The answer is a letter, an option's text, or a number
 * (`first` says what the first option's is). Options, where the problem gives them in `choices`, are a list of texts, a
 * map {"A": text} or {"label": [...], "text": [...]}.
 *
 * Which choice a response states: what stands in <think> ... </think> does not count; then the first rule that fits.
 *   1. the last \boxed{...}
 *   2. behind the last "answer is", "answer:", "choose", "option is" and their like
 *   3. in front of the last "is correct", "is the right answer" and their like: "so (B) is correct"
 *   4. the last line that is a choice alone: "B", "(B)", "**B.**", or begins with one: "B) Paris"
 *   5. the last line is the text of an option
 *   6. the letters in brackets, "(B)", anywhere
 * A statement that names several different choices ("B or C", a list of all options) states none; so does "not B".
 * Lower-case letters count where nothing else can be meant: in brackets, alone on a line, in a box.
 */
#include <string.h>
#include <strings.h>
#include "data/source.h"
#include "reward/verifier.h"

enum {
  LETTERS = 26,
  NONE = -1,
  SEVERAL = -2,
  STATEMENT = 1000, /* bytes of a statement that are read: keeps a hostile response linear */
  STATEMENTS = 1000 /* phrases that are tried, from the end */
};

struct options {
  const char *text[LETTERS]; /* NULL: unknown */
  int count;
};

struct span {
  const char *s;
  size_t n;
};

static bool is_blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
         (unsigned char)c >= 0x80;
}

/* Marks that may stand around a choice: (B), **B**, "B", $B$, \text{B}. */
static bool is_wrapping(char c)
{
  return is_blank(c) || strchr("()[]{}*\"'`$.,:;!", c) != NULL;
}

static struct span trim(struct span t)
{
  while (t.n && is_wrapping(t.s[0]) && t.s[0]) t.s++, t.n--;
  while (t.n && is_wrapping(t.s[t.n - 1]) && t.s[t.n - 1]) t.n--;
  return t;
}

static bool starts(struct span t, const char *word)
{
  size_t n = strlen(word);
  return t.n >= n && !strncasecmp(t.s, word, n);
}

/* \text{B} -> B, "option B" -> B. */
static struct span unwrap(struct span t)
{
  static const char *const heads[] = {"\\text", "\\textbf", "\\mathrm", "\\mathbf", "option ", "choice ", "answer "};
  t = trim(t);
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
    size_t n = strlen(heads[i]);
    if (starts(t, heads[i]) && (t.s[n - 1] == ' ' || (t.n > n && t.s[n] == '{')))
      return trim((struct span){t.s + n, t.n - n});
  }
  return t;
}

static int letter_of(char c, const struct options *o)
{
  int i = c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' : NONE;
  return i < o->count ? i : NONE;
}

static bool same_text(struct span t, const char *option)
{
  struct span o = trim((struct span){option, strlen(option)});
  size_t i = 0, k = 0;
  while (i < t.n && k < o.n) {
    bool blank = is_blank(t.s[i]), other = is_blank(o.s[k]);
    if (blank != other || (!blank && strncasecmp(t.s + i, o.s + k, 1))) return false;
    if (blank) {
      while (i < t.n && is_blank(t.s[i])) i++;
      while (k < o.n && is_blank(o.s[k])) k++;
    } else {
      i++;
      k++;
    }
  }
  return i == t.n && k == o.n && o.n > 0;
}

/* The option with this text; two with the same text are none. */
static int by_text(struct span t, const struct options *o)
{
  int found = NONE;
  t = trim(t);
  for (int i = 0; i < o->count; i++)
    if (o->text[i] && same_text(t, o->text[i])) found = found == NONE ? i : SEVERAL;
  return found;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static struct span skip(struct span t, const char *marks)
{
  while (t.n && t.s[0] && strchr(marks, t.s[0])) t.s++, t.n--;
  return t;
}

/* Steps over "or", "and", "/", ","; false: nothing joins. */
static bool skip_join(struct span *t)
{
  static const char *const joins[] = {"or ", "and ", "/", ",", "&"};
  for (size_t k = 0; k < sizeof joins / sizeof *joins; k++) {
    size_t n = strlen(joins[k]);
    if (!starts(*t, joins[k])) continue;
    *t = skip((struct span){t->s + n, t->n - n}, " (*$");
    if (starts(*t, "or ")) *t = skip((struct span){t->s + 3, t->n - 3}, " (*$");
    return true;
  }
  return false;
}

static bool is_upper(char c)
{
  return c >= 'A' && c <= 'Z';
}

/* Another choice behind the first: "B or C", "B, C", "B and C", "B/C". */
static int another(struct span t, const struct options *o, int first)
{
  for (;;) {
    t = skip(t, " ()*$");
    if (!skip_join(&t)) return first;
    bool letter = t.n && is_upper(t.s[0]) && (t.n == 1 || !is_word(t.s[1]));
    int next = letter ? letter_of(t.s[0], o) : NONE;
    if (next == NONE) return first;
    if (next != first) return SEVERAL;
    t = (struct span){t.s + 1, t.n - 1};
  }
}

/* Whether the first byte is a letter that stands for a choice. Lower case counts where nothing else can be meant. */
static bool is_letter(struct span t, bool bracketed)
{
  if (t.n == 1) return true;
  if (is_word(t.s[1])) return false;
  return is_upper(t.s[0]) || t.s[1] == ')' || (bracketed && strchr(".:,;*\"'}]$\n\r", t.s[1]));
}

/* The choice at the head of a statement. */
static int stated(struct span t, const struct options *o)
{
  const char *begin = t.s;
  t = unwrap(t);
  if (!t.n || starts(t, "not ") || starts(t, "neither ")) return NONE;
  bool bracketed = t.s > begin && strchr("({*", t.s[-1]);
  int letter = is_letter(t, bracketed) ? letter_of(t.s[0], o) : NONE;
  return letter == NONE ? NONE : another((struct span){t.s + 1, t.n - 1}, o, letter);
}

static struct span first_line(struct span t)
{
  for (int i = 0; i < STATEMENT && t.n && is_blank(t.s[0]); i++) t.s++, t.n--;
  if (t.n > STATEMENT) t.n = STATEMENT;
  const char *end = memchr(t.s, '\n', t.n);
  return (struct span){t.s, end ? (size_t)(end - t.s) : t.n};
}

static int from_box(struct span t, const struct options *o)
{
  static const char box[] = "\\boxed{";
  for (size_t i = t.n; i-- > 0;) {
    if (t.s[i] != '\\' || !starts((struct span){t.s + i, t.n - i}, box)) continue;
    size_t begin = i + sizeof box - 1, end = begin;
    for (int depth = 1; end < t.n; end++) {
      depth += (t.s[end] == '{') - (t.s[end] == '}');
      if (!depth) break;
    }
    if (end == t.n) return NONE;
    struct span inside = {t.s + begin, end - begin};
    int found = stated(inside, o);
    return found == NONE ? by_text(unwrap(inside), o) : found;
  }
  return NONE;
}

/* Length of the phrase that stands here, or 0. */
static size_t phrase_at(struct span t)
{
  static const char *const phrases[] = {
      "answer is",      "answer:",  "answer**:", "answer:**", "answer =",  "answer would be", "answer should be",
      "answer must be", "answer -", "option is", "option:",   "choice is", "choice:",         "choice would be",
      "choose",         "select",   "pick",      "go with",   "答案是",    "答案：",          "答案:",
      "答案为",         "选择",     "应选",      "故选"};
  char first = t.s[0] >= 'A' && t.s[0] <= 'Z' ? (char)(t.s[0] + 32) : t.s[0];
  for (size_t k = 0; k < sizeof phrases / sizeof *phrases; k++)
    if (first == phrases[k][0] && starts(t, phrases[k])) return strlen(phrases[k]);
  return 0;
}

/* Behind the last of the phrases that a choice, or its denial, follows. */
static int from_phrase(struct span t, const struct options *o)
{
  int tried = 0;
  for (size_t i = t.n; i-- > 0 && tried < STATEMENTS;) {
    size_t n = phrase_at((struct span){t.s + i, t.n - i});
    if (!n) continue;
    tried++;
    struct span rest = skip(first_line((struct span){t.s + i + n, t.n - i - n}), " \t:*");
    int found = rest.n ? stated(rest, o) : NONE;
    if (rest.n && found == NONE) found = by_text(rest, o);
    if (found != NONE || starts(rest, "not")) return found;
  }
  return NONE;
}

/* "Option B is correct", "(B) is the right answer": the last of them. */
static int from_praise(struct span t, const struct options *o)
{
  static const char *const praises[] = {" is correct",   " is the correct", " is right",
                                        " is the right", " is the best",    " is the answer"};
  for (size_t i = t.n; i-- > 1;) {
    if (t.s[i] != ' ' || !starts((struct span){t.s + i, t.n - i}, " is ")) continue;
    size_t k = 0, at = i;
    while (k < sizeof praises / sizeof *praises && !starts((struct span){t.s + i, t.n - i}, praises[k])) k++;
    if (k == sizeof praises / sizeof *praises) continue;
    while (at && i - at < 8 && is_wrapping(t.s[at - 1])) at--;
    bool letter = at && is_upper(t.s[at - 1]) && (at == 1 || !is_word(t.s[at - 2]));
    int found = letter ? letter_of(t.s[at - 1], o) : NONE;
    if (found != NONE) return found;
  }
  return NONE;
}

/* "B", "(B)", "**B**", "B) Paris", "B. Paris" */
static int line_choice(struct span line, const struct options *o)
{
  struct span t = trim(line);
  if (t.n == 1 || (t.n && starts(t, "option "))) return stated(t, o);
  bool marked = t.n > 2 && (t.s[1] == ')' || t.s[1] == '.' || t.s[1] == ':') && !is_word(t.s[2]);
  int letter = marked && is_upper(t.s[0]) ? letter_of(t.s[0], o) : NONE;
  return letter == NONE ? NONE : another((struct span){t.s + 1, t.n - 1}, o, letter);
}

/* The last line that is not blank and begins before *end, which is moved to its begin. */
static struct span line_before(struct span t, size_t *end)
{
  struct span line = {t.s, 0};
  while (*end && !line.n) {
    size_t begin = *end;
    while (begin && t.s[begin - 1] != '\n') begin--;
    line = trim((struct span){t.s + begin, *end - begin});
    *end = begin ? begin - 1 : 0;
  }
  return line;
}

/* The last line that is a choice; where it is one of several lines of options, they must agree. */
static int from_lines(struct span t, const struct options *o)
{
  int found = NONE;
  for (size_t end = t.n; end > 0;) {
    struct span line = line_before(t, &end);
    int choice = line.n ? line_choice(line, o) : NONE;
    if (choice == NONE && found != NONE) return found;
    if (choice == NONE) continue;
    if (found != NONE && choice != found) return SEVERAL;
    if (line.n == 1) return choice; /* a letter alone needs no company */
    found = choice;
  }
  return found;
}

static int from_last_text(struct span t, const struct options *o)
{
  t = trim(t);
  int found = by_text(t, o);
  for (size_t i = t.n; found == NONE && i-- > 0;)
    if (t.s[i] == '\n') return by_text((struct span){t.s + i + 1, t.n - i - 1}, o);
  return found;
}

static int from_brackets(struct span t, const struct options *o)
{
  int found = NONE;
  for (size_t i = 0; i + 2 < t.n; i++) {
    if (t.s[i] != '(' || t.s[i + 2] != ')' || (i && is_word(t.s[i - 1]))) continue;
    int choice = is_upper(t.s[i + 1]) ? letter_of(t.s[i + 1], o) : NONE;
    if (choice == NONE) continue;
    if (found != NONE && choice != found) return SEVERAL;
    found = choice;
  }
  return found;
}

static int find_choice(struct span t, const struct options *o, const char **rule)
{
  static const struct {
    int (*find)(struct span t, const struct options *o);
    const char *name;
  } rules[] = {{from_box, "boxed"},    {from_phrase, "answer is"},           {from_praise, "is correct"},
               {from_lines, "a line"}, {from_last_text, "an option's text"}, {from_brackets, "in brackets"}};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    int found = rules[i].find(t, o);
    *rule = rules[i].name;
    if (found != NONE) return found;
  }
  return NONE;
}

/* ---- the problem ------------------------------------------------------------------------------------------------- */

static int bad_choices(const struct problem *p, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, p->source, p->line, "choices",
          "found choices that are no options; expected 2 to %d texts: a list, {\"A\": TEXT, ...} or {\"label\": [...], "
          "\"text\": [...]}",
          LETTERS);
}

static int add_text(struct arena *a, const json_t *v, struct options *o, int at, const struct problem *p,
                    struct error *err)
{
  if (!v || at < 0 || at >= LETTERS || json_is_object(v) || json_is_array(v)) return bad_choices(p, err);
  TRY(problem_value_text(a, v, &o->text[at], err));
  if (at >= o->count) o->count = at + 1;
  return 0;
}

/* "A" -> 0; NONE. */
static int label(const char *s)
{
  return s && s[0] >= 'A' && s[0] <= 'Z' && !s[1] ? s[0] - 'A' : NONE;
}

static int read_choices(struct arena *a, const struct problem *p, struct options *o, struct error *err)
{
  const json_t *choices = json_object_get(p->fields, "choices"), *text = json_object_get(choices, "text"), *v;
  const json_t *list = json_is_array(text) ? text : choices;
  const char *key;
  if (!choices || json_is_null(choices)) return 0;
  o->count = 0;
  for (size_t i = 0; i < json_array_size(list); i++)
    TRY(add_text(a, json_array_get(list, i), o, i < LETTERS ? (int)i : NONE, p, err));
  if (json_is_object(choices) && !text)
    json_object_foreach((json_t *)choices, key, v) TRY(add_text(a, v, o, label(key), p, err));
  return o->count < 2 ? bad_choices(p, err) : 0;
}

static int read_answer(const struct verifier_config *c, const struct problem *p, const struct options *o, int *out,
                       struct error *err)
{
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected a letter for the verifier \"choice\"");
  struct span t = trim((struct span){p->answer, strlen(p->answer)});
  int64_t number = 0;
  size_t digits = 0;
  while (digits < t.n && digits < 3 && t.s[digits] >= '0' && t.s[digits] <= '9')
    number = 10 * number + (t.s[digits++] - '0');
  *out = t.n == 1 ? letter_of(t.s[0], o) : NONE;
  if (*out == NONE) *out = by_text(t, o);
  if (*out == NONE && t.n && digits == t.n) *out = (int)(number - verifier_value(c, "first")->integer);
  if (*out >= 0 && *out < o->count) return 0;
  FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
          "found answer \"%.80s\"; expected a letter from A to %c, the text of one option, or its number from %d to %d",
          p->answer, 'A' + o->count - 1, (int)verifier_value(c, "first")->integer,
          (int)verifier_value(c, "first")->integer + o->count - 1);
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct options o = {.count = (int)verifier_value(c, "letters")->integer};
  const char *rule;
  int want;
  *out = (struct verdict){.reason = "the response states no choice"};
  TRY(read_choices(a, p, &o, err));
  TRY(read_answer(c, p, &o, &want, err));
  if (!verdict_skip_thinking(&response, &n)) {
    out->reason = "the response ends inside <think>";
    return 0;
  }
  int got = find_choice((struct span){response, n}, &o, &rule);
  if (got == SEVERAL) out->reason = "the response names several different choices";
  if (got < 0) return 0;
  out->readable = true;
  out->correct = got == want;
  out->reward = out->correct ? 1 : 0;
  out->extracted = arena_printf(a, "verdict", err, "%c", 'A' + got);
  out->reason =
      arena_printf(a, "verdict", err, "the response chooses %c (%s); the answer is %c", 'A' + got, rule, 'A' + want);
  return out->extracted && out->reason ? 0 : err->code;
}

static const struct setting settings[] = {
    {"letters", SETTING_INT, 2, LETTERS, "10", NULL, "options of a problem that lists none: A to J by default"},
    {"first", SETTING_INT, 0, 1, "0", NULL, "number of the first option where the answer is a number"},
};

const struct verifier verifier_choice = {
    .name = "choice",
    .help = "the last choice that the response states, by letter or by text, is the answer's",
    .fields = "answer, choices",
    .channels = "",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .judge = judge,
};

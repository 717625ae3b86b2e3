/* Mathematics: the final answer of a free text equals the answer, as a mathematician who marks it would say. math_find
 * says which part of the text that is, math_lex and math_parse make one tree of any spelling, math_compare and
 * math_value decide. docs/verify/math.md has the rules.
 *
 * The answer may be LaTeX or plain, alone, in a box, or a worked solution with "#### 72" at its end.
 */
#include <string.h>
#include "reward/math_compare.h"
#include "reward/math_find.h"
#include "reward/math_flint.h"
#include "reward/math_parse.h"
#include "reward/math_text.h"
#include "reward/verifier.h"

enum { SHOWN = 80, KEPT = 4000 };

static const struct setting settings[] = {
    {"policy", SETTING_TEXT, 0, 0, "last", "last boxed marked whole",
     "where the answer may stand: the last one given, in a box, behind a mark, or the whole text"},
    {"ordered", SETTING_TEXT, 0, 0, "auto", "auto true false",
     "whether order counts: auto for tuples and matrices, not for lists and sets"},
    {"units", SETTING_TEXT, 0, 0, "convert", "convert same ignore",
     "other units of the same kind: converted, wrong, or all units ignored"},
    {"strict", SETTING_BOOL, 0, 0, "false", NULL, "nothing may be left out: units, percent signs, bases, x ="},
    {"tolerance", SETTING_REAL, 0, 0.1, "0", NULL, "relative difference at which numbers still count as equal"},
    {"max_steps", SETTING_INT, 100, 100000000, "100000", NULL, "bound of the work for one verdict"},
};

struct options {
  enum math_policy policy;
  struct math_rules rules;
  double tolerance;
  int64_t max_steps;
};

/* One text as an answer. */
struct reading {
  const char *s; /* as found */
  size_t n;
  struct math_node *tree; /* NULL: words, or something that cannot be read */
  const char *why;        /* tree NULL: why */
  bool has_group, has_letter;
};

struct work {
  struct math m;
  const struct options *options;
  struct math_comparison comparison;
  const char *rule; /* by which the answer was found */
};

static int64_t index_of(const char *choices, const char *text)
{
  int64_t at = 0;
  size_t n = strlen(text);
  while (strncmp(choices, text, n) != 0 || (choices[n] && choices[n] != ' ')) {
    choices = strchr(choices, ' ') + 1;
    at++;
  }
  return at;
}

/* The settings, or what the problem's line says in their place. */
static int read_options(struct arena *a, const struct verifier_config *c, const struct problem *p, struct options *o,
                        struct error *err)
{
  struct setting_value order, units, strict, tolerance;
  TRY(verifier_option(a, c, p, "ordered", &order, err));
  TRY(verifier_option(a, c, p, "units", &units, err));
  TRY(verifier_option(a, c, p, "strict", &strict, err));
  TRY(verifier_option(a, c, p, "tolerance", &tolerance, err));
  o->policy = (enum math_policy)index_of("last boxed marked whole", verifier_value(c, "policy")->text);
  o->rules.order = (enum math_order)index_of("auto true false", order.text);
  o->rules.units = (enum math_units)index_of("convert same ignore", units.text);
  o->rules.strict = strict.integer != 0;
  o->tolerance = tolerance.real;
  o->max_steps = verifier_value(c, "max_steps")->integer;
  return 0;
}

static int read_text(struct math *m, struct math_lex_options o, struct reading *r)
{
  const char *s = r->s;
  size_t n = r->n;
  struct math_tokens tokens;
  TRY(math_clean(m, &s, &n));
  TRY(math_lex(m, s, n, o, &tokens));
  r->tree = math_parse(m, &tokens, &r->why);
  r->has_group = tokens.has_group;
  r->has_letter = tokens.has_letter;
  return m->rc;
}

/* ---- comparing two readings -------------------------------------------------------------------------------------- */

static enum math_verdict compare(struct work *w, const struct reading *gold, const struct reading *given)
{
  w->comparison = (struct math_comparison){.m = &w->m, .rules = w->options->rules};
  return math_compare(&w->comparison, gold->tree, given->tree);
}

/* Once more with both texts read in another way. */
static int compare_otherwise(struct work *w, struct math_lex_options o, const struct reading *gold,
                             const struct reading *given, enum math_verdict *out)
{
  struct reading a = {.s = gold->s, .n = gold->n}, b = {.s = given->s, .n = given->n};
  const char *why = w->comparison.why;
  TRY(read_text(&w->m, o, &a));
  TRY(read_text(&w->m, o, &b));
  bool rows = a.tree && (a.tree->kind == MATH_TUPLE || a.tree->kind == MATH_SET || a.tree->kind == MATH_MATRIX);
  if (!a.tree || !b.tree || (o.split_commas && !rows)) return 0;
  if (compare(w, &a, &b) == MATH_EQUAL) *out = MATH_EQUAL;
  w->comparison.why = why;
  return 0;
}

static int compare_trees(struct work *w, const struct reading *gold, const struct reading *given,
                         enum math_verdict *out)
{
  *out = compare(w, gold, given);
  if (w->m.rc || *out == MATH_EQUAL) return w->m.rc;
  if (gold->has_group || given->has_group)
    TRY(compare_otherwise(w, (struct math_lex_options){.split_commas = true}, gold, given, out));
  bool units = math_has(gold->tree, MATH_QUANTITY) || math_has(given->tree, MATH_QUANTITY);
  if (*out != MATH_EQUAL && units && (gold->has_letter || given->has_letter))
    TRY(compare_otherwise(w, (struct math_lex_options){.unit_letters = true}, gold, given, out));
  return 0;
}

static bool same_text(const struct reading *a, const struct reading *b)
{
  return a->n == b->n && !memcmp(a->s, b->s, a->n);
}

/* Whether this candidate is readable as an answer of the gold's kind, and what the verdict is. */
static int compare_readings(struct work *w, const struct reading *gold, struct reading *given, bool *readable,
                            enum math_verdict *out)
{
  *readable = true;
  *out = MATH_EQUAL;
  if (same_text(gold, given)) return 0;
  bool words = !gold->tree || math_is_choice(&w->m, gold->s, gold->n);
  if (words && math_is_words(gold->s, gold->n) && math_is_words(given->s, given->n) &&
      math_same_words(&w->m, gold->s, gold->n, given->s, given->n))
    return w->m.rc;
  if (math_same_spelling(gold->s, gold->n, given->s, given->n)) return 0;
  *out = MATH_DIFFERENT;
  if (!gold->tree) return w->m.rc;
  if (given->n > 4 * MATH_MAX_DIGITS && gold->n < given->n / 4) {
    given->why = "it is too long";
    *readable = false;
    return 0;
  }
  TRY(read_text(&w->m, (struct math_lex_options){0}, given));
  if (given->tree) return compare_trees(w, gold, given, out);
  /* DNE parses as a product of letters, \text{DNE} does not. */
  *readable = math_same_words(&w->m, gold->s, gold->n, given->s, given->n);
  if (*readable) *out = MATH_EQUAL;
  return w->m.rc;
}

/* ---- the gold answer --------------------------------------------------------------------------------------------- */

static bool has_mark(const char *s, size_t n)
{
  for (size_t i = 0; i + 4 <= n; i++)
    if (!memcmp(s + i, "####", 4) || (n - i >= 6 && !memcmp(s + i, "\\boxed", 6))) return true;
  return false;
}

static int read_gold(struct work *w, const struct problem *p, struct reading *gold, struct error *err)
{
  struct math_found found;
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected one for the verifier \"math\": a number, an expression, words");
  size_t n = strlen(p->answer);
  TRY(math_find(&w->m, p->answer, n, has_mark(p->answer, n) ? MATH_POLICY_MARKED : MATH_POLICY_WHOLE, &found));
  if (!found.count)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found answer \"%.80s\"; expected something to compare with (%s)", p->answer, found.why);
  gold->s = found.candidate[0].text;
  gold->n = found.candidate[0].length;
  TRY(read_text(&w->m, (struct math_lex_options){0}, gold));
  if (!gold->tree && !math_braces_match(gold->s, gold->n))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found answer \"%.80s\"; expected an expression whose braces match; mend it", p->answer);
  return 0;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

struct result {
  enum math_verdict verdict;
  bool readable;
  struct reading given;
  const char *why; /* not readable: why */
};

static int judge_candidates(struct work *w, const struct reading *gold, const struct math_found *found,
                            struct result *r)
{
  bool words = !gold->tree;
  *r = (struct result){.verdict = MATH_DIFFERENT, .why = found->why};
  for (int i = 0; i < found->count; i++) {
    struct reading given = {.s = found->candidate[i].text, .n = found->candidate[i].length};
    enum math_verdict verdict;
    bool readable;
    TRY(compare_readings(w, gold, &given, &readable, &verdict));
    if (readable && (!r->readable || verdict == MATH_EQUAL)) {
      r->readable = true;
      r->verdict = verdict;
      r->given = given;
      w->rule = found->candidate[i].rule;
    }
    if (!readable && !r->given.s) {
      r->given = given;
      r->why = given.why;
    }
    /* Words are looked for in every span, an expression in the first that is one. */
    if (readable && (!words || verdict == MATH_EQUAL)) break;
  }
  return 0;
}

static const char *explain(struct arena *a, const struct work *w, const struct reading *gold, const struct result *r,
                           struct error *err)
{
  if (!r->readable && !r->given.s) return arena_printf(a, "verdict", err, "found no answer: %s", r->why);
  const char *given = verdict_shown(a, r->given.s, r->given.n, SHOWN, err), *why = w->comparison.why;
  const char *answer = verdict_shown(a, gold->s, gold->n, SHOWN, err);
  if (!given || !answer) return NULL;
  if (!r->readable)
    return arena_printf(a, "verdict", err, "found no answer: \"%s\" cannot be read: %s", given,
                        r->why ? r->why : "it is no expression");
  if (r->verdict == MATH_UNDECIDED)
    return arena_printf(a, "verdict", err, "%s (%s) could not be shown to equal %s within the bound of steps", given,
                        w->rule, answer);
  if (r->verdict == MATH_EQUAL || !why)
    return arena_printf(a, "verdict", err, "%s (%s) %s %s", given, w->rule,
                        r->verdict == MATH_EQUAL ? "equals" : "is not", answer);
  return arena_printf(a, "verdict", err, "%s (%s) is not %s: %s", given, w->rule, answer, why);
}

static int decide(struct work *w, const struct problem *p, const char *response, size_t n, struct verdict *out,
                  struct error *err)
{
  struct reading gold = {0};
  struct math_found found;
  struct result r;
  struct arena *a = w->m.arena;
  TRY(read_gold(w, p, &gold, err));
  TRY(math_find(&w->m, response, n, w->options->policy, &found));
  TRY(judge_candidates(w, &gold, &found, &r));
  out->readable = r.readable;
  out->correct = r.readable && r.verdict == MATH_EQUAL;
  out->reward = out->correct ? 1 : 0;
  if (r.readable) out->extracted = arena_strndup(a, r.given.s, r.given.n < KEPT ? r.given.n : KEPT, "verdict", err);
  out->reason = explain(a, w, &gold, &r, err);
  return out->reason && (out->extracted || !r.readable) ? 0 : err->code;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct options o;
  *out = (struct verdict){0};
  TRY(read_options(a, c, p, &o, err));
  struct work w = {.m = {.arena = a, .err = err, .steps = o.max_steps, .tolerance = o.tolerance}, .options = &o};
  math_flint_enter();
  return decide(&w, p, response, n, out, err);
}

const struct verifier verifier_math = {
    .name = "math",
    .help = "the final answer of the response equals the answer: numbers, expressions, equations, sets, words",
    .fields = "answer, ordered?, units?, strict?, tolerance?",
    .channels = "",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .judge = judge,
};

/* The response is the answer: the same text, white space at both ends left aside. Options loosen it, in this order:
 * last_line, nfkc, ignore_case, ignore_punctuation, ignore_articles, collapse_space; response and answer alike. A field
 * `answers` (a list of texts) gives several, of which one is enough.
 *
 *     score: exact      the whole text                                        1 or 0
 *     score: contains   the answer stands in the response, at word boundaries  1 or 0
 *     score: f1         2 P R / (P + R) over words, P = common / response, R = common / answer, words counted as often
 *                       as they stand (SQuAD, Rajpurkar et al. 2016); channels f1 and exact
 *
 * SQuAD's own rule is score: f1 with ignore_case, ignore_punctuation and ignore_articles.
 * Worked example: response "the red old car", answer "A red car": f1 with ignore_articles 2 * 2/3 * 1 / (5/3) = 0.8.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "core/cursor.h"
#include "reward/verifier.h"

enum score { EXACT, CONTAINS, F1 };
enum { RUN_OF_MARKS = 64 /* longer ones are no writing: such a text is not normalised, which would cost its square */ };

struct options {
  enum score score;
  bool last_line, nfkc, ignore_case, ignore_punctuation, ignore_articles, collapse_space;
};

/* Code points; a byte that is no UTF-8 is 0x200000 + byte. */
struct codes {
  int32_t *c;
  size_t n;
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

/* ---- normal forms ------------------------------------------------------------------------------------------------ */

static utf8proc_category_t category(int32_t c)
{
  return c < 0x110000 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
}

static bool is_blank(int32_t c)
{
  if (c < 0x80) return is_space((char)c);
  utf8proc_category_t k = category(c);
  return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP || c == 0x85;
}

static bool is_punctuation(int32_t c)
{
  utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO) ||
         (c < 0x80 && k >= UTF8PROC_CATEGORY_SM && k <= UTF8PROC_CATEGORY_SO); /* $+<=>^`|~ : SQuAD's list */
}

static bool is_word(int32_t c)
{
  utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ME) || k == UTF8PROC_CATEGORY_ND || c == '_';
}

static int decode(struct arena *a, struct piece p, struct codes *out, struct error *err)
{
  out->c = ARENA_NEW(a, int32_t, p.n, "verdict", err);
  out->n = 0;
  if (!out->c) return err->code;
  for (size_t i = 0; i < p.n;) {
    uint32_t code;
    size_t step = utf8_decode((const uint8_t *)p.s + i, p.n - i, &code);
    out->c[out->n++] = step ? (int32_t)code : 0x200000 + (unsigned char)p.s[i];
    i += step ? step : 1;
  }
  return 0;
}

static bool can_normalise(const struct codes *t)
{
  int run = 0;
  for (size_t i = 0; i < t->n && run < RUN_OF_MARKS; i++) {
    if (t->c[i] >= 0x110000) return false;
    run = utf8proc_get_property(t->c[i])->combining_class ? run + 1 : 0;
  }
  return run < RUN_OF_MARKS;
}

/* Decomposed code points, folded in case or in compatibility, so that equality may be asked. */
static int fold(struct arena *a, const struct options *o, struct piece p, struct codes *t, struct error *err)
{
  int how =
      UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (o->ignore_case ? UTF8PROC_CASEFOLD : 0) | (o->nfkc ? UTF8PROC_COMPAT : 0);
  if (!can_normalise(t)) return 0;
  const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)p.s;
  utf8proc_ssize_t n = utf8proc_decompose(s, (utf8proc_ssize_t)p.n, NULL, 0, (utf8proc_option_t)how);
  if (n <= 0) return 0;
  int32_t *to = ARENA_NEW(a, int32_t, (size_t)n, "verdict", err);
  if (!to) return err->code;
  utf8proc_decompose(s, (utf8proc_ssize_t)p.n, to, n, (utf8proc_option_t)how);
  *t = (struct codes){to, (size_t)n};
  return 0;
}

static void drop_punctuation(struct codes *t)
{
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++)
    if (!is_punctuation(t->c[i])) t->c[n++] = t->c[i];
  t->n = n;
}

static bool is_article(const int32_t *c, size_t n)
{
  static const char *const articles[] = {"a", "an", "the"};
  for (size_t k = 0; k < 3; k++) {
    bool same = n == strlen(articles[k]);
    for (size_t i = 0; same && i < n; i++) same = (c[i] | 32) == articles[k][i];
    if (same) return true;
  }
  return false;
}

/* Words with one blank between them; articles left out if asked. */
static void collapse(struct codes *t, bool articles)
{
  size_t n = 0;
  for (size_t i = 0; i < t->n;) {
    size_t end = i;
    while (end < t->n && !is_blank(t->c[end])) end++;
    if (end > i && !(articles && is_article(t->c + i, end - i))) {
      if (n) t->c[n++] = ' ';
      memmove(t->c + n, t->c + i, (end - i) * sizeof *t->c);
      n += end - i;
    }
    i = end + (end < t->n);
  }
  t->n = n;
}

static int prepare(struct arena *a, const struct options *o, struct piece p, struct codes *out, struct error *err)
{
  p = trim(p);
  TRY(decode(a, p, out, err));
  if (o->ignore_case || o->nfkc) TRY(fold(a, o, p, out, err));
  if (o->ignore_punctuation) drop_punctuation(out);
  if (o->ignore_articles || o->collapse_space || o->score == F1) collapse(out, o->ignore_articles);
  return 0;
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static bool equal(const struct codes *x, const struct codes *y)
{
  return x->n == y->n && !memcmp(x->c, y->c, x->n * sizeof *x->c);
}

static bool at_boundary(const struct codes *t, size_t i)
{
  return i == 0 || i == t->n || !is_word(t->c[i - 1]) || !is_word(t->c[i]);
}

/* Knuth, Morris and Pratt: linear, whatever the texts. */
static int contains(struct arena *a, const struct codes *text, const struct codes *part, bool *found, struct error *err)
{
  size_t *back = ARENA_NEW(a, size_t, part->n + 1, "verdict", err), k = 0;
  if (!back) return err->code;
  for (size_t i = 1; i < part->n; i++) {
    while (k && part->c[i] != part->c[k]) k = back[k];
    k += part->c[i] == part->c[k];
    back[i + 1] = k;
  }
  *found = false;
  k = 0;
  for (size_t i = 0; part->n && i < text->n && !*found; i++) {
    while (k && (k == part->n || text->c[i] != part->c[k])) k = back[k];
    k += text->c[i] == part->c[k];
    *found = k == part->n && at_boundary(text, i + 1) && at_boundary(text, i + 1 - k);
  }
  return 0;
}

static int by_word(const void *x, const void *y)
{
  const struct codes *a = x, *b = y;
  int order = memcmp(a->c, b->c, (a->n < b->n ? a->n : b->n) * sizeof *a->c);
  return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* Sorted words of a collapsed text. */
static int split(struct arena *a, const struct codes *t, struct codes **words, size_t *count, struct error *err)
{
  *count = t->n > 0;
  for (size_t i = 0; i < t->n; i++) *count += t->c[i] == ' ';
  *words = ARENA_NEW(a, struct codes, *count, "verdict", err);
  if (!*words) return err->code;
  size_t at = 0;
  for (size_t i = 0; i <= t->n && t->n; i++) {
    if (i < t->n && t->c[i] != ' ') continue;
    size_t begin = at ? (size_t)((*words)[at - 1].c - t->c) + (*words)[at - 1].n + 1 : 0;
    (*words)[at++] = (struct codes){t->c + begin, i - begin};
  }
  if (*count) qsort(*words, *count, sizeof **words, by_word);
  return 0;
}

static int word_f1(struct arena *a, const struct codes *got, const struct codes *want, double *out, struct error *err)
{
  struct codes *x, *y;
  size_t nx, ny, common = 0;
  TRY(split(a, got, &x, &nx, err));
  TRY(split(a, want, &y, &ny, err));
  for (size_t i = 0, k = 0; i < nx && k < ny;) {
    int order = by_word(&x[i], &y[k]);
    common += order == 0;
    i += order <= 0;
    k += order >= 0;
  }
  *out = nx + ny ? 2 * (double)common / (double)(nx + ny) : 1;
  return 0;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static int read_flag(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *name,
                     bool *out, struct error *err)
{
  struct setting_value v;
  TRY(verifier_option(a, c, p, name, &v, err));
  *out = v.integer != 0;
  return 0;
}

static int read_options(struct arena *a, const struct verifier_config *c, const struct problem *p, struct options *o,
                        struct error *err)
{
  const char *score = verifier_value(c, "score")->text;
  o->score = !strcmp(score, "f1") ? F1 : !strcmp(score, "contains") ? CONTAINS : EXACT;
  TRY(read_flag(a, c, p, "last_line", &o->last_line, err));
  TRY(read_flag(a, c, p, "nfkc", &o->nfkc, err));
  TRY(read_flag(a, c, p, "ignore_case", &o->ignore_case, err));
  TRY(read_flag(a, c, p, "ignore_punctuation", &o->ignore_punctuation, err));
  TRY(read_flag(a, c, p, "ignore_articles", &o->ignore_articles, err));
  return read_flag(a, c, p, "collapse_space", &o->collapse_space, err);
}

struct best {
  double exact, score;
  const char *answer;
};

static int compare(struct arena *a, const struct options *o, const struct codes *got, const char *answer, size_t n,
                   struct best *best, struct error *err)
{
  struct codes want;
  bool found = false;
  double score;
  TRY(prepare(a, o, (struct piece){answer, n}, &want, err));
  double exact = equal(got, &want) ? 1 : 0;
  score = exact;
  if (o->score == CONTAINS) TRY(contains(a, got, &want, &found, err));
  if (o->score == CONTAINS) score = found ? 1 : 0;
  if (o->score == F1) TRY(word_f1(a, got, &want, &score, err));
  if (exact > best->exact) best->exact = exact;
  if (!best->answer || score > best->score) best->score = score;
  if (!best->answer) best->answer = answer;
  return 0;
}

static int compare_all(struct arena *a, const struct options *o, const struct codes *got, const struct problem *p,
                       struct best *best, struct error *err)
{
  const json_t *list = json_object_get(p->fields, "answers"), *item;
  if (p->answer) TRY(compare(a, o, got, p->answer, strlen(p->answer), best, err));
  for (size_t i = 0; i < json_array_size(list); i++) {
    item = json_array_get(list, i);
    if (!json_is_string(item))
      FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answers",
              "found answers whose item %zu is no text; expected a list of texts", i + 1);
    TRY(compare(a, o, got, json_string_value(item), json_string_length(item), best, err));
  }
  if (best->answer) return 0;
  FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
          "found no answer; expected a text for the verifier \"string\" (answer, or answers for several)");
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct options o = {0};
  struct codes codes;
  struct best best = {0};
  *out = (struct verdict){0};
  TRY(read_options(a, c, p, &o, err));
  struct piece got = trim((struct piece){response, n});
  if (o.last_line) got = last_line(got);
  out->readable = got.n > 0;
  size_t shown = got.n <= VERDICT_TEXT ? got.n : VERDICT_TEXT + 1; /* verify_now cuts */
  out->extracted = out->readable ? arena_strndup(a, got.s, shown, "verdict", err) : NULL;
  if (out->readable && !out->extracted) return err->code;
  TRY(prepare(a, &o, got, &codes, err));
  TRY(compare_all(a, &o, &codes, p, &best, err));
  out->reward = best.score;
  out->correct = best.score >= 1;
  static const char *const right[] = {"the response is the answer", "the response contains the answer",
                                      "the response has the answer's words"};
  static const char *const wrong[] = {"the response is not the answer", "the response does not contain the answer"};
  if (!out->readable)
    out->reason = "the response is empty";
  else if (out->correct || o.score != F1)
    out->reason = out->correct ? right[o.score] : wrong[o.score];
  else
    out->reason = arena_printf(a, "verdict", err, "the words agree to F1 %.3f", best.score);
  if (o.score == F1) {
    out->channel_count = 2;
    out->channels[0].name = "f1";
    out->channels[0].value = best.score;
    out->channels[1].name = "exact";
    out->channels[1].value = best.exact;
  }
  return out->reason ? 0 : err->code;
}

static const struct setting settings[] = {
    {"score", SETTING_TEXT, 0, 0, "exact", "exact contains f1",
     "the whole text, the answer somewhere, or shared words"},
    {"last_line", SETTING_BOOL, 0, 1, "false", NULL, "only the last line that is not blank counts"},
    {"nfkc", SETTING_BOOL, 0, 1, "false", NULL, "compatible characters are one: full-width, ligatures, superscripts"},
    {"ignore_case", SETTING_BOOL, 0, 1, "false", NULL, "Unicode case folding and canonical equivalence"},
    {"ignore_punctuation", SETTING_BOOL, 0, 1, "false", NULL, "punctuation is taken out"},
    {"ignore_articles", SETTING_BOOL, 0, 1, "false", NULL, "a, an and the are taken out"},
    {"collapse_space", SETTING_BOOL, 0, 1, "false", NULL, "a run of white space counts as one blank"},
};

const struct verifier verifier_string = {
    .name = "string",
    .help = "the response is the answer, white space at both ends aside; options loosen it",
    .fields =
        "answer | answers, last_line?, nfkc?, ignore_case?, ignore_punctuation?, ignore_articles?, "
        "collapse_space?",
    .channels = "f1 exact",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .judge = judge,
};

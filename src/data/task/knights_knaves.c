/* Who always tells the truth and who always lies, from what they say of each other. Every problem has exactly one
 * solution. */
#include <string.h>
#include "data/task_logic.h"
#include "data/task_text.h"

enum { SPLIT_KEY = 0x0417a001, PEOPLE_LIMIT = 8, TRY_LIMIT = 10000 };

static const struct setting options[] = {
    {"n_people", SETTING_INT, 2, PEOPLE_LIMIT, "2", NULL, "people"},
    {"depth_constraint", SETTING_INT, 1, 4, "2", NULL, "greatest depth of a statement: 1 names one person alone"},
    {"width_constraint", SETTING_INT, 2, 4, "2", NULL, "most parts that one and, or one or, joins"},
    TASK_HELD_OUT,
};

static const char *const names[] = {"Ada",   "Boris", "Clara", "Daniel", "Edith",  "Felix", "Greta", "Henry",
                                    "Irene", "Jonas", "Karla", "Leo",    "Marta",  "Nils",  "Olga",  "Paul",
                                    "Quinn", "Rosa",  "Simon", "Tanja",  "Ulrich", "Vera",  "Wanda", "Xaver",
                                    "Yves",  "Zelda", "Anton", "Berta",  "Carl",   "Dora",  "Emil",  "Frida"};
enum { NAME_COUNT = sizeof names / sizeof *names };

static const struct {
  const char *truthful, *liar;
} roles[] = {{"knight", "knave"},    {"hero", "villain"}, {"saint", "sinner"},   {"angel", "devil"},
             {"altruist", "egoist"}, {"sage", "fool"},    {"pioneer", "laggard"}};
enum { ROLE_COUNT = sizeof roles / sizeof *roles };

static const char *article(const char *noun)
{
  return strchr("aeiou", noun[0]) ? "an" : "a";
}

static const char *plural(const char *noun)
{
  return !strcmp(noun, "hero") ? "es" : "s";
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

struct island {
  int people, role;
  const char *name[PEOPLE_LIMIT];
  struct text said[PEOPLE_LIMIT]; /* with the names and the roles */
  struct text structure;          /* all of it without them: what makes problems the same */
  struct truth consistent;
};

static void put_both(struct island *w, int speaker, const char *s)
{
  text_puts(&w->said[speaker], s);
  text_puts(&w->structure, s);
}

static struct truth draw_claim(struct draw *d, struct island *w, int speaker)
{
  int who = (int)draw_index(d, (size_t)w->people);
  bool truthful = draw_index(d, 2) == 1;
  const char *role = truthful ? roles[w->role].truthful : roles[w->role].liar;
  text_printf(&w->said[speaker], "%s is %s %s", w->name[who], article(role), role);
  text_printf(&w->structure, "%d%c", who, truthful ? 'T' : 'L');
  struct truth t = truth_variable(who);
  return truthful ? t : truth_not(&t);
}

/* A statement of at most this depth; inner: it is a part of another, and stands in brackets unless it is a claim. */
static struct truth draw_statement(struct draw *d, struct island *w, int speaker, int depth, int width, bool inner)
{
  static const char *const words[LOGIC_OPS] = {" and ", " or ", " then ", " if and only if "};
  if (depth <= 1 || draw_index(d, 4) == 0) return draw_claim(d, w, speaker);
  enum logic_op op = (enum logic_op)draw_index(d, LOGIC_OPS);
  int parts = op == LOGIC_AND || op == LOGIC_OR ? (int)draw_int(d, 2, width) : 2;
  put_both(w, speaker, inner ? "(" : "");
  put_both(w, speaker, op == LOGIC_IMPLIES ? "if " : "");
  struct truth t = draw_statement(d, w, speaker, depth - 1, width, true);
  for (int i = 1; i < parts; i++) {
    put_both(w, speaker, words[op]);
    struct truth next = draw_statement(d, w, speaker, depth - 1, width, true);
    t = truth_combine(op, &t, &next);
  }
  put_both(w, speaker, inner ? ")" : "");
  return t;
}

static void clear_island(struct island *w)
{
  for (int i = 0; i < PEOPLE_LIMIT; i++) text_free(&w->said[i]);
  text_free(&w->structure);
}

/* People who each say something; true: it fits exactly one distribution of the roles. */
static bool draw_island(const struct task_config *c, struct draw *d, struct island *w)
{
  const char *shuffled[NAME_COUNT];
  w->people = (int)task_int(c, "n_people");
  w->role = (int)draw_index(d, ROLE_COUNT);
  w->consistent = truth_all();
  memcpy(shuffled, names, sizeof shuffled);
  draw_shuffle(d, shuffled, NAME_COUNT, sizeof *shuffled);
  memcpy(w->name, shuffled, sizeof w->name);
  for (int i = 0; i < w->people; i++) {
    int depth = (int)task_int(c, "depth_constraint"), width = (int)task_int(c, "width_constraint");
    struct truth said = draw_statement(d, w, i, depth, width, false), is = truth_variable(i);
    int count = truth_count(&said, w->people);
    if (count == 0 || count == 1 << w->people) return false; /* says nothing, or gives a liar away */
    said = truth_combine(LOGIC_IFF, &is, &said);
    w->consistent = truth_combine(LOGIC_AND, &w->consistent, &said);
    text_puts(&w->structure, ";");
  }
  return truth_count(&w->consistent, w->people) == 1;
}

/* "Ada is a knight, and Boris is a knave." with the roles of a solution, or with "knight/knave" for each (-1). */
static void put_solution(struct text *t, const struct island *w, int solution)
{
  const char *truthful = roles[w->role].truthful, *liar = roles[w->role].liar;
  for (int i = 0; i < w->people; i++) {
    const char *role = solution >> i & 1 ? truthful : liar;
    text_printf(t, "%s%s is ", i == 0 ? "" : i == w->people - 1 ? ", and " : ", ", w->name[i]);
    if (solution < 0)
      text_printf(t, "%s %s/%s", article(truthful), truthful, liar);
    else
      text_printf(t, "%s %s", article(role), role);
  }
  text_puts(t, ".");
}

static void put_question(struct text *t, const struct island *w)
{
  const char *truthful = roles[w->role].truthful, *liar = roles[w->role].liar;
  text_printf(t, "On an island live only %s%s, who always tell the truth, and %s%s, who always lie. You meet ",
              truthful, plural(truthful), liar, plural(liar));
  for (int i = 0; i < w->people; i++)
    text_printf(t, "%s%s", i == 0 ? "" : i == w->people - 1 ? " and " : ", ", w->name[i]);
  text_puts(t, ".\n\n");
  for (int i = 0; i < w->people; i++) text_printf(t, "%s says: \"%s.\"\n", w->name[i], w->said[i].bytes);
  text_puts(t, "\nWho is what? Answer in one sentence like this: ");
  put_solution(t, w, -1);
}

static int write_problem(struct arena *a, const struct island *w, struct draw *d, struct task_problem *out,
                         struct error *err)
{
  struct text question = {0}, answer = {0}, meta = {0};
  int solution = truth_first(&w->consistent);
  put_question(&question, w);
  put_solution(&answer, w, solution);
  text_puts(&meta, "{\"names\": ");
  put_strings(&meta, w->name, (size_t)w->people);
  text_puts(&meta, ", \"solution\": [");
  for (int i = 0; i < w->people; i++) text_printf(&meta, "%s%s", i ? ", " : "", solution >> i & 1 ? "true" : "false");
  text_printf(&meta, "], \"knight_knave_terms\": {\"knight\": \"%s\", \"knave\": \"%s\"}}", roles[w->role].truthful,
              roles[w->role].liar);
  out->question = text_keep(a, &question, err);
  out->answer = text_keep(a, &answer, err);
  out->meta = text_keep(a, &meta, err);
  d->canonical = arena_strndup(a, w->structure.bytes, w->structure.size, "task", err);
  return out->question && out->answer && out->meta && d->canonical ? 0 : err->code;
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  struct island w = {0};
  int tries = 0;
  while (!draw_island(c, d, &w) && tries < TRY_LIMIT) {
    clear_island(&w);
    tries++;
  }
  int rc = text_finish(&w.structure, err);
  if (!rc && tries == TRY_LIMIT)
    rc = error_fail(err, ERROR_INPUT, NULL, 0, "n_people",
                    "found no statements with exactly one solution in %d draws; expected fewer people, or deeper ones",
                    TRY_LIMIT);
  for (int i = 0; i < w.people && !rc; i++) rc = text_finish(&w.said[i], err);
  if (!rc) rc = write_problem(a, &w, d, out, err);
  clear_island(&w);
  return rc;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

enum role { ROLE_NONE, ROLE_TRUTHFUL, ROLE_LIAR, ROLE_UNCLEAR };

struct cast {
  int count;
  const char *name[PEOPLE_LIMIT];
  size_t length[PEOPLE_LIMIT];
  enum role role[PEOPLE_LIMIT];
};

/* The role that a word names, on whatever island; *many: in the plural. */
static enum role role_of(const char *word, size_t n, bool *many)
{
  for (size_t i = 0; i < 2 * ROLE_COUNT; i++) {
    const char *noun = i % 2 ? roles[i / 2].liar : roles[i / 2].truthful;
    size_t size = strlen(noun);
    if (n < size || !is_word(word, size, noun)) continue;
    *many = n > size;
    if (n == size || is_word(word + size, n - size, "s") || is_word(word + size, n - size, "es"))
      return i % 2 ? ROLE_LIAR : ROLE_TRUTHFUL;
  }
  return ROLE_NONE;
}

static int find_name(const struct cast *cast, const char *word, size_t n)
{
  for (int i = 0; i < cast->count; i++)
    if (cast->length[i] == n && same_letters(cast->name[i], word, n)) return i;
  return -1;
}

static bool next_word(const char *s, size_t n, size_t *at, size_t *start)
{
  while (*at < n && !is_letter(s[*at])) ++*at;
  *start = *at;
  while (*at < n && is_letter(s[*at])) ++*at;
  return *at > *start;
}

/* What has been read of a text: the names since the last role, the last name, and whether a "not" stands behind it. */
struct reading {
  bool waiting[PEOPLE_LIMIT], negated;
  int last;
};

static void take_role(struct cast *cast, struct reading *r, enum role role, bool many)
{
  enum role meant = !r->negated ? role : role == ROLE_LIAR ? ROLE_TRUTHFUL : ROLE_LIAR;
  for (int i = 0; i < cast->count; i++)
    if (i == r->last || (many && r->waiting[i]))
      cast->role[i] = r->waiting[i] || cast->role[i] == meant ? meant : ROLE_UNCLEAR;
  memset(r->waiting, 0, sizeof r->waiting);
  r->negated = false;
}

/* Goes through a text: a role counts for the name in front of it, in the plural ("Ada and Boris are knights") for all
 * names since the last role. The last word on each person counts; two roles behind one name ("a knight or a knave")
 * leave it unclear. */
static void read_roles(struct cast *cast, const char *s, size_t n)
{
  struct reading r = {.last = -1};
  bool many = false;
  for (size_t at = 0, start; next_word(s, n, &at, &start);) {
    size_t size = at - start;
    int who = find_name(cast, s + start, size);
    enum role role = role_of(s + start, size, &many);
    if (who >= 0) {
      r.last = who;
      r.waiting[who] = true;
      r.negated = false;
    } else if (is_word(s + start, size, "not") || is_word(s + start, size, "isn")) {
      r.negated = !r.negated;
    } else if (role && r.last >= 0) {
      take_role(cast, &r, role, many);
    }
  }
}

/* Names and roles of an answer as reasoning-gym writes them: the word in front of "is a" is a name. */
static void read_cast(struct cast *cast, const char *s, size_t n)
{
  size_t name = 0, length = 0;
  bool many;
  for (size_t at = 0, start; next_word(s, n, &at, &start) && cast->count < PEOPLE_LIMIT;) {
    enum role role = role_of(s + start, at - start, &many);
    if (role && length) {
      cast->name[cast->count] = s + name;
      cast->length[cast->count] = length;
      cast->role[cast->count++] = role;
      length = 0;
    } else if (!is_word(s + start, at - start, "is") && !is_word(s + start, at - start, "a") &&
               !is_word(s + start, at - start, "an") && !is_word(s + start, at - start, "and")) {
      name = start;
      length = at - start;
    }
  }
}

/* Who is what: meta's names and solution, or those of a known answer. */
static int need_cast(struct arena *a, const json_t *meta, const char *answer, struct cast *cast, struct error *err)
{
  const json_t *solution = json_object_get(meta, "solution");
  size_t count;
  TRY(meta_strings(meta, "names", cast->name, PEOPLE_LIMIT, &count, err));
  if (count && json_array_size(solution) != count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "solution",
            "found names and no solution in meta; expected true or false for each");
  cast->count = (int)count;
  for (size_t i = 0; i < count; i++) {
    cast->length[i] = strlen(cast->name[i]);
    cast->role[i] = json_is_true(json_array_get(solution, i)) ? ROLE_TRUTHFUL : ROLE_LIAR;
  }
  if (count) return 0;
  TRY(answer_known(a, meta, answer, &answer, err));
  read_cast(cast, answer, strlen(answer));
  if (!cast->count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer", "found \"%.60s\"; expected an answer like \"Ada is a knight\"",
            answer);
  return 0;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  struct cast want = {0}, got;
  struct answer_span span;
  const char *why;
  int right = 0;
  TRY(need_cast(a, meta, answer, &want, err));
  if (!answer_find(response, n, ANSWER_TEXT, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  got = want;
  memset(got.role, 0, sizeof got.role);
  read_roles(&got, read, span.length);
  for (int i = 0; i < want.count; i++) {
    if (got.role[i] == ROLE_NONE || got.role[i] == ROLE_UNCLEAR)
      return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) %s what %.*s is", span.rule,
                            got.role[i] ? "leaves open" : "does not say",
                            (int)(want.length[i] < 40 ? want.length[i] : 40), want.name[i]);
    right += got.role[i] == want.role[i];
  }
  return answer_verdict(a, out, read, span.length, right == want.count, 0, err, "%d of %d people are right", right,
                        want.count);
}

const struct task task_knights_knaves = {
    .name = "knights_knaves",
    .help = "Who always tells the truth and who always lies, from what they say of each other",
    .right =
        "The right role for every person, in any order; the last word on each counts, and knight, hero, saint, angel, "
        "altruist, sage, pioneer are one role, knave, villain, sinner, devil, egoist, fool, laggard the other. No "
        "partial credit: half of it is had by guessing.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

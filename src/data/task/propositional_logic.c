/* A conclusion to be drawn from premises of propositional logic. */
#include <string.h>
#include "data/task_logic.h"
#include "data/task_text.h"

enum { SPLIT_KEY = 0x4061c001, PREMISE_LIMIT = 16, DRAWN_VARIABLES = 8, TRY_LIMIT = 1000 };

static const struct setting options[] = {
    {"min_vars", SETTING_INT, 2, DRAWN_VARIABLES, "2", NULL, "fewest variables"},
    {"max_vars", SETTING_INT, 2, DRAWN_VARIABLES, "4", NULL, "most variables"},
    {"min_statements", SETTING_INT, 2, PREMISE_LIMIT, "2", NULL, "fewest premises"},
    {"max_statements", SETTING_INT, 2, PREMISE_LIMIT, "4", NULL, "most premises"},
    {"min_complexity", SETTING_INT, 1, 6, "1", NULL, "least depth of a premise: 1 is a variable, 2 has one operator"},
    {"max_complexity", SETTING_INT, 1, 6, "3", NULL, "greatest depth of a premise"},
    {"combine", SETTING_BOOL, 0, 0, "true", NULL,
     "the conclusion must need more than one premise; false: repeating a premise is right, too"},
    TASK_HELD_OUT,
};

static const char all_variables[] = "PQRSTUVW";
_Static_assert(sizeof all_variables == DRAWN_VARIABLES + 1, "DRAWN_VARIABLES");

struct premises {
  struct truth table[PREMISE_LIMIT], all; /* all: every one of them is true */
  const char *text[PREMISE_LIMIT];
  size_t count;
  int variables;
};

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* A formula of exactly this depth, appended to t. */
static struct truth draw_formula(struct draw *d, int variables, int depth, struct text *t)
{
  if (depth <= 1) {
    int variable = (int)draw_index(d, (size_t)variables);
    text_add(t, &all_variables[variable], 1);
    return truth_variable(variable);
  }
  size_t op = draw_index(d, LOGIC_OPS + 1);
  if (op == LOGIC_OPS) {
    text_puts(t, "\xc2\xac");
    struct truth x = draw_formula(d, variables, depth - 1, t);
    return truth_not(&x);
  }
  text_puts(t, "(");
  struct truth x = draw_formula(d, variables, depth - 1, t);
  text_printf(t, " %s ", logic_sign((enum logic_op)op));
  struct truth y = draw_formula(d, variables, depth - 1, t);
  text_puts(t, ")");
  return truth_combine((enum logic_op)op, &x, &y);
}

/* Whether the conclusion is right: it follows, is not true in any case and, where asked for, needs several premises. */
static bool is_right(const struct premises *p, const struct truth *what, bool combine)
{
  struct truth all = truth_all();
  if (truth_follows(&all, what) || !truth_follows(&p->all, what)) return false;
  for (size_t i = 0; i < p->count && combine; i++)
    if (truth_follows(&p->table[i], what)) return false;
  return true;
}

/* Premises that can all be true together, each neither empty nor impossible, from which something follows. */
static int draw_premises(struct arena *a, const struct task_config *c, struct draw *d, struct premises *p, bool *usable,
                         struct error *err)
{
  p->variables = (int)task_draw_between(c, d, "min_vars", "max_vars");
  p->count = (size_t)task_draw_between(c, d, "min_statements", "max_statements");
  p->all = truth_all();
  *usable = true;
  for (size_t i = 0; i < p->count && *usable; i++) {
    struct text t = {0};
    p->table[i] = draw_formula(d, p->variables, (int)task_draw_between(c, d, "min_complexity", "max_complexity"), &t);
    int count = truth_count(&p->table[i], p->variables);
    *usable = count > 0 && count < 1 << p->variables;
    p->all = truth_combine(LOGIC_AND, &p->all, &p->table[i]);
    if (!(p->text[i] = text_keep(a, &t, err))) return err->code;
  }
  *usable =
      *usable && truth_count(&p->all, p->variables) > 0 && is_right(p, &p->all, task_value(c, "combine")->integer != 0);
  return 0;
}

/* Conclusions of one operator over two variables, or a negated variable: candidate number k, false: there are no more.
 */
static bool candidate(int variables, int k, struct truth *out, char text[32])
{
  int signs = k % 4, op = k / 4 % LOGIC_OPS, pair = k / 4 / LOGIC_OPS, x = pair / variables, y = pair % variables;
  if (x >= variables) return false;
  struct truth left = truth_variable(x), right = truth_variable(y);
  if (signs & 1) left = truth_not(&left);
  if (signs & 2) right = truth_not(&right);
  const char *no = "\xc2\xac";
  if (x == y) {
    right = truth_variable(x);
    *out = truth_not(&right);
    snprintf(text, 32, "%s%c", no, all_variables[x]);
  } else {
    *out = truth_combine((enum logic_op)op, &left, &right);
    snprintf(text, 32, "(%s%c %s %s%c)", signs & 1 ? no : "", all_variables[x], logic_sign((enum logic_op)op),
             signs & 2 ? no : "", all_variables[y]);
  }
  return true;
}

/* A short conclusion at random or, where there is none, all premises in one. */
static char *draw_conclusion(struct arena *a, const struct task_config *c, struct draw *d, const struct premises *p,
                             struct error *err)
{
  char right[32] = "", text[32];
  struct truth t;
  size_t found = 0;
  for (int k = 0; candidate(p->variables, k, &t, text); k++) {
    if (!is_right(p, &t, task_value(c, "combine")->integer != 0)) continue;
    if (draw_index(d, ++found) == 0) memcpy(right, text, sizeof right);
  }
  if (found) return arena_strdup(a, right, "task", err);
  struct text all = {0};
  for (size_t i = 1; i < p->count; i++) text_puts(&all, "(");
  for (size_t i = 0; i < p->count; i++) text_printf(&all, i ? " %s %s)" : "%.0s%s", logic_sign(LOGIC_AND), p->text[i]);
  return text_keep(a, &all, err);
}

static int write_problem(struct arena *a, const struct task_config *c, const struct premises *p,
                         struct task_problem *out, struct error *err)
{
  bool combine = task_value(c, "combine")->integer != 0;
  struct text question = {0}, meta = {0};
  text_puts(&question, "Given:\n");
  for (size_t i = 0; i < p->count; i++) text_printf(&question, "%zu. %s\n", i + 1, p->text[i]);
  text_printf(&question,
              "\n\xc2\xac is not, %s and, %s or, %s implies, %s if and only if. What follows? Answer with one formula "
              "over the same letters that is true whenever all the premises are, and is not true in every case%s.",
              logic_sign(LOGIC_AND), logic_sign(LOGIC_OR), logic_sign(LOGIC_IMPLIES), logic_sign(LOGIC_IFF),
              combine ? ". It must need more than one premise: no single one may be enough for it" : "");
  text_puts(&meta, "{\"premises\": ");
  put_strings(&meta, p->text, p->count);
  text_puts(&meta, ", \"variables\": [");
  for (int i = 0; i < p->variables; i++) text_printf(&meta, "%s\"%c\"", i ? ", " : "", all_variables[i]);
  text_printf(&meta, "], \"combine\": %s}", combine ? "true" : "false");
  out->question = text_keep(a, &question, err);
  out->meta = text_keep(a, &meta, err);
  return out->question && out->meta ? 0 : err->code;
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  struct premises p;
  bool usable = false;
  for (int i = 0; i < TRY_LIMIT && !usable; i++) TRY(draw_premises(a, c, d, &p, &usable, err));
  if (!usable)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_complexity",
            "found no premises with a conclusion in %d draws; expected more variables, other depths, or combine: false",
            TRY_LIMIT);
  out->answer = draw_conclusion(a, c, d, &p, err);
  return out->answer ? write_problem(a, c, &p, out, err) : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_vars", "max_vars", err));
  TRY(task_need_order(c, "min_statements", "max_statements", err));
  TRY(task_need_order(c, "min_complexity", "max_complexity", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static int read_premises(const json_t *meta, char variables[LOGIC_VARIABLES + 1], struct premises *p, struct error *err)
{
  const char *letters[LOGIC_VARIABLES], *why;
  size_t count;
  TRY(meta_strings(meta, "variables", letters, LOGIC_VARIABLES, &count, err));
  for (size_t i = 0; i < count; i++) variables[i] = letters[i][0];
  variables[count] = '\0';
  p->variables = (int)count;
  p->all = truth_all();
  TRY(meta_strings(meta, "premises", p->text, PREMISE_LIMIT, &p->count, err));
  for (size_t i = 0; i < p->count; i++) {
    if (!logic_read(p->text[i], strlen(p->text[i]), variables, &p->table[i], &why))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "premises", "found \"%.60s\" in meta; expected a formula over \"%s\"",
              p->text[i], variables);
    p->all = truth_combine(LOGIC_AND, &p->all, &p->table[i]);
  }
  if (!p->count || !count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "premises", "found no premises and variables in meta; expected both");
  return 0;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  char variables[LOGIC_VARIABLES + 1];
  struct premises p;
  struct truth got, all = truth_all();
  struct answer_span span;
  const char *why;
  bool combine;
  (void)answer;
  TRY(read_premises(meta, variables, &p, err));
  TRY(json_bool_or(meta, "combine", false, &combine, NULL, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  if (!logic_read(read, span.length, variables, &got, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s (%s)", why, span.rule);
  bool right = is_right(&p, &got, combine);
  return answer_verdict(a, out, read, span.length, right, 0, err, "%s",
                        right                         ? "it follows from the premises"
                        : truth_follows(&all, &got)   ? "it is true in every case, whatever the premises"
                        : truth_follows(&p.all, &got) ? "a single premise is enough for it"
                                                      : "the premises can be true while it is false");
}

const struct task task_propositional_logic = {
    .name = "propositional_logic",
    .help = "A conclusion to be drawn from premises of propositional logic",
    .right =
        "Any formula over the given letters that is true whenever all premises are, is not true in every case and "
        "(combine) does not follow from one premise alone; in any usual notation (\xe2\x88\xa7 & and \\land ...), case "
        "aside. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

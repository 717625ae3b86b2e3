#include "data/task_countdown.h"
#include <string.h>
#include "data/task_answer.h"
#include "data/task_expression.h"
#include "data/task_number.h"

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* A number (op 0) or two nodes under an operator. */
struct node {
  char op;
  int left, right;
  struct rational value;
};

static bool is_allowed(const struct countdown_rules *rules, const struct rational *value)
{
  const int128 limit = (int128)1000 * COUNTDOWN_MAX_VALUE;
  if (value->top > limit || value->top < -limit || value->bottom > limit) return false;
  return rules->fractions || (value->bottom == 1 && value->top > 0);
}

static bool is_sum(char op)
{
  return op == '+' || op == '-';
}

/* Whether a part needs brackets: a sum in a product, and on the right what - or / would take apart. */
static bool needs_brackets(char op, char part, bool right)
{
  if (!is_sum(op) && is_sum(part)) return true;
  return right && part && (op == '/' || (op == '-' && is_sum(part)));
}

static void put_node(struct text *t, const struct node *nodes, int at)
{
  const struct node *x = &nodes[at];
  if (!x->op) {
    text_printf(t, "%lld", (long long)x->value.top);
    return;
  }
  for (int side = 0; side < 2; side++) {
    int part = side ? x->right : x->left;
    bool brackets = needs_brackets(x->op, nodes[part].op, side);
    if (side) text_printf(t, is_sum(x->op) ? " %c " : "%c", x->op);
    if (brackets) text_puts(t, "(");
    put_node(t, nodes, part);
    if (brackets) text_puts(t, ")");
  }
}

static bool join(struct node *nodes, int at, char op, int left, int right, const struct countdown_rules *rules)
{
  nodes[at] = (struct node){.op = op, .left = left, .right = right};
  return rational_apply(op, &nodes[left].value, &nodes[right].value, &nodes[at].value) &&
         is_allowed(rules, &nodes[at].value);
}

/* The last two values under whatever operator, from a drawn one on, gives a wanted value. */
static bool join_last(struct draw *d, struct node *nodes, int at, int left, int right,
                      const struct countdown_rules *rules)
{
  size_t operators = strlen(rules->operators), first = draw_index(d, 2 * operators);
  for (size_t i = 0; i < 2 * operators; i++) {
    size_t way = (first + i) % (2 * operators);
    bool swap = way >= operators;
    if (!join(nodes, at, rules->operators[way % operators], swap ? right : left, swap ? left : right, rules)) continue;
    const struct rational *value = &nodes[at].value;
    if (value->bottom == 1 && value->top >= rules->min_target && value->top <= rules->max_target) return true;
  }
  return false;
}

/* The numbers combined at random: the index of the last node, or -1 where the value is none that is wanted. */
static int combine(struct draw *d, const struct countdown_rules *rules, const struct countdown_problem *p,
                   struct node nodes[2 * COUNTDOWN_NUMBERS])
{
  int pool[COUNTDOWN_NUMBERS], made = 0;
  size_t operators = strlen(rules->operators);
  for (; made < (int)p->count; made++) {
    nodes[made] = (struct node){.value = rational_whole(p->numbers[made])};
    pool[made] = made;
  }
  for (size_t left = p->count; left > 2; left--) {
    size_t i = draw_index(d, left), j = draw_index(d, left - 1);
    if (j >= i) j++;
    if (!join(nodes, made, rules->operators[draw_index(d, operators)], pool[i], pool[j], rules)) return -1;
    pool[i] = made++;
    pool[j] = pool[left - 1];
  }
  return join_last(d, nodes, made, pool[0], pool[1], rules) ? made : -1;
}

int countdown_draw(struct arena *a, struct draw *d, const struct countdown_rules *rules, size_t count, int64_t low,
                   int64_t high, struct countdown_problem *out, struct error *err)
{
  enum { COMBINATIONS = 64 }; /* of the same numbers, before others are drawn */
  struct node nodes[2 * COUNTDOWN_NUMBERS];
  out->count = count;
  for (int tries = 0; tries < COUNTDOWN_TRIES; tries++) {
    struct arena_mark mark = arena_mark(a);
    int top = -1;
    for (size_t i = 0; i < count; i++) out->numbers[i] = draw_int(d, low, high);
    d->canonical = task_join_sorted(a, out->numbers, count, err);
    if (!d->canonical) return err->code;
    bool wanted = draw_wanted(d, d->canonical);
    for (int i = 0; wanted && top < 0 && i < COMBINATIONS; i++) top = combine(d, rules, out, nodes);
    if (top < 0) {
      arena_release(a, mark);
      continue;
    }
    struct text t = {0};
    put_node(&t, nodes, top);
    out->target = (int64_t)nodes[top].value.top;
    out->expression = text_finish(&t, err) ? NULL : arena_strndup(a, t.bytes, t.size, "task", err);
    text_free(&t);
    out->list = out->expression ? task_join(a, out->numbers, count, ", ", err) : NULL;
    return out->list ? 0 : err->code;
  }
  FAIL_AT(
      err, ERROR_INPUT, NULL, 0, "max_value",
      "found no %s numbers from %lld to %lld that make %lld to %lld in %d tries; expected some; change the range of "
      "the numbers, the target or held_out",
      d->held_out ? "held-out" : "train", (long long)low, (long long)high, (long long)rules->min_target,
      (long long)rules->max_target, COUNTDOWN_TRIES);
}

int countdown_need_operators(const char *operators, struct error *err)
{
  if (!*operators || strspn(operators, "+-*/") != strlen(operators))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "operators", "found operators: \"%.40s\"; expected some of +-*/, like \"+-*\"",
            operators);
  return 0;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* The numbers of the expression are the given ones, each as often. */
static bool uses_exactly(const struct expression *e, const int64_t *numbers, size_t count)
{
  bool used[COUNTDOWN_NUMBERS] = {false};
  if (e->count != count) return false;
  for (size_t i = 0; i < count; i++) {
    size_t j = 0;
    struct rational want;
    for (; j < count; j++) {
      want = rational_whole(numbers[j]);
      if (!used[j] && rational_equal(&want, &e->numbers[i])) break;
    }
    if (j == count) return false;
    used[j] = true;
  }
  return true;
}

/* Reads "EXPRESSION", "EXPRESSION = TARGET" or "TARGET = EXPRESSION". */
static bool read_equation(const char *s, size_t n, int64_t target, struct expression *out, const char **why)
{
  const char *equals = memchr(s, '=', n);
  if (!equals) return expression_read(s, n, out, why);
  size_t left = (size_t)(equals - s);
  struct expression other;
  struct rational want = rational_whole(target);
  *why = "it says = and something else than the target";
  if (!expression_read(s, left, out, why) || !expression_read(equals + 1, n - left - 1, &other, why)) return false;
  if (out->count == 1 && rational_equal(&out->value, &want)) {
    struct expression swap = *out;
    *out = other;
    other = swap;
  }
  *why = "it says = and something else than the target";
  return other.count == 1 && rational_equal(&other.value, &want);
}

/* The expression of the span; where it is none, of what stands behind its last colon ("My expression: 3 * 8"). */
static bool read_answer(const char *s, struct answer_span *span, int64_t target, struct expression *out,
                        const char **why)
{
  if (read_equation(s + span->start, span->length, target, out, why)) return true;
  for (size_t at = span->length; at-- > 0;) {
    if (s[span->start + at] != ':') continue;
    span->start += at + 1;
    span->length -= at + 1;
    answer_strip(s, &span->start, &span->length);
    return read_equation(s + span->start, span->length, target, out, why);
  }
  return false;
}

int countdown_judge(struct arena *a, const int64_t *numbers, size_t count, int64_t target, const char *response,
                    size_t n, struct task_verdict *out, struct error *err)
{
  struct answer_span span;
  struct expression e;
  const char *why = NULL;
  struct rational want = rational_whole(target);
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  bool readable = read_answer(response, &span, target, &e, &why);
  const char *text = response + span.start;
  int shown = (int)(span.length < 100 ? span.length : 100);
  if (!readable) return answer_verdict(a, out, NULL, 0, false, 0, err, "%.*s (%s): %s", shown, text, span.rule, why);
  if (numbers ? !uses_exactly(&e, numbers, count) : e.count != count)
    return answer_verdict(a, out, text, span.length, false, 0, err,
                          "%.*s (%s) does not use each of the %zu numbers exactly once", shown, text, span.rule, count);
  bool correct = rational_equal(&e.value, &want);
  return answer_verdict(a, out, text, span.length, correct, 0.1, err, "%.*s (%s) is %s %lld", shown, text, span.rule,
                        correct ? "right:" : "not", (long long)target);
}

static int numbers_of_answer(const struct expression *e, int64_t numbers[COUNTDOWN_NUMBERS], size_t *count,
                             struct error *err)
{
  for (*count = 0; *count < e->count; ++*count) {
    const struct rational *x = &e->numbers[*count];
    if (*count == COUNTDOWN_NUMBERS || x->bottom != 1 || x->top > COUNTDOWN_MAX_VALUE)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer",
              "found an answer with other numbers than 1 to %d whole ones up to %d; expected those of the problem",
              COUNTDOWN_NUMBERS, COUNTDOWN_MAX_VALUE);
    numbers[*count] = (int64_t)x->top;
  }
  return 0;
}

int countdown_numbers(struct arena *a, const json_t *meta, const char *answer, int64_t numbers[COUNTDOWN_NUMBERS],
                      size_t *count, struct error *err)
{
  const json_t *list = json_object_get(meta, "numbers");
  if (!list) {
    struct expression e;
    const char *known, *why = NULL;
    TRY(answer_known(a, meta, answer, &known, err));
    if (!expression_read(known, strlen(known), &e, &why))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer",
              "found no numbers in meta and the answer \"%.60s\": %s; expected one", known, why);
    return numbers_of_answer(&e, numbers, count, err);
  }
  *count = json_array_size(list);
  if (*count < 1 || *count > COUNTDOWN_NUMBERS)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "numbers", "found no list of 1 to %d numbers in meta; expected one",
            COUNTDOWN_NUMBERS);
  for (size_t i = 0; i < *count; i++) {
    const json_t *x = json_array_get(list, i);
    if (!json_is_integer(x) || json_integer_value(x) < 0 || json_integer_value(x) > COUNTDOWN_MAX_VALUE)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "numbers", "found a number that is not whole, or not in 0..%d; expected such",
              COUNTDOWN_MAX_VALUE);
    numbers[i] = json_integer_value(x);
  }
  return 0;
}

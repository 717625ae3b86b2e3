#include "data/task_number.h"
#include <string.h>
#include "data/natural.h"
#include "data/task_answer.h"

/* The number that a response gives as its answer. */
static bool read_response(const char *response, size_t n, struct number_found *found, const char **why)
{
  struct answer_span span;
  if (!answer_find(response, n, ANSWER_LINE, &span, why)) return false;
  size_t start = 0, length = n;
  if (!strcmp(span.rule, "<answer>") || !strcmp(span.rule, "\\boxed{}")) {
    start = span.start;
    length = span.length;
  }
  if (!number_extract(response + start, length, found, why)) return false;
  found->start += start;
  if (start) found->rule = span.rule;
  return true;
}

static int read_known(struct arena *a, const json_t *meta, const char *answer, const char **text, struct number *out,
                      struct error *err)
{
  TRY(answer_known(a, meta, answer, text, err));
  size_t n = strlen(*text), at = strspn(*text, " \t\r\n");
  size_t length = number_read(*text, n, at, out);
  if (!length || strspn(*text + at + length, " \t\r\n") != n - at - length)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer", "found the answer \"%.60s\"; expected a number", *text);
  return 0;
}

static int judge(struct arena *a, const char *response, const struct number_found *found, const char *known,
                 bool correct, struct task_verdict *out, struct error *err)
{
  int shown = (int)(found->length < 64 ? found->length : 64);
  return answer_verdict(a, out, response + found->start, found->length, correct, 0, err, "%.*s (%s) is %s %.64s", shown,
                        response + found->start, found->rule, correct ? "right:" : "not", known);
}

int task_number_check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                      struct task_verdict *out, struct error *err)
{
  struct number want;
  struct number_found found;
  const char *known, *why;
  TRY(read_known(a, meta, answer, &known, &want, err));
  if (!read_response(response, n, &found, &why)) return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  return judge(a, response, &found, known, !found.value.percent && number_equal(&found.value, &want), out, err);
}

static int natural_order(const struct natural *x, const struct natural *y)
{
  if (x->size != y->size) return x->size < y->size ? -1 : 1;
  for (int i = x->size; i-- > 0;)
    if (x->limb[i] != y->limb[i]) return x->limb[i] < y->limb[i] ? -1 : 1;
  return 0;
}

/* x.top / x.bottom against y.top * scale / (y.bottom * 10^digits), magnitudes only. */
static int order_scaled(const struct number *x, const struct number *y, uint64_t scale, int digits)
{
  struct natural factor, top, left, right, bottom;
  natural_set(&factor, scale);
  natural_multiply(&y->top, &factor, &top);
  bottom = y->bottom;
  natural_shift(&bottom, digits);
  natural_multiply(&x->top, &bottom, &left);
  natural_multiply(&top, &x->bottom, &right);
  return natural_order(&left, &right);
}

int task_number_check_close(struct arena *a, const json_t *meta, const char *answer, int digits, const char *response,
                            size_t n, struct task_verdict *out, struct error *err)
{
  struct number want;
  struct number_found found;
  const char *known, *why;
  uint64_t one = 1;
  for (int i = 0; i < digits; i++) one *= 10;
  TRY(read_known(a, meta, answer, &known, &want, err));
  if (strlen(known) > 64)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer", "found the answer \"%.60s...\"; expected at most 64 digits", known);
  if (!read_response(response, n, &found, &why)) return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const struct number *got = &found.value;
  bool close = !got->percent && got->negative == want.negative && order_scaled(got, &want, one - 1, digits) >= 0 &&
               order_scaled(got, &want, one + 1, digits) <= 0;
  return judge(a, response, &found, known, close, out, err);
}

char *task_join(struct arena *a, const int64_t *values, size_t count, const char *between, struct error *err)
{
  size_t room = count * (21 + strlen(between)) + 1, at = 0;
  char *out = ARENA_NEW(a, char, room, "task", err);
  if (!out) return NULL;
  for (size_t i = 0; i < count; i++)
    at += (size_t)snprintf(out + at, room - at, "%s%lld", i ? between : "", (long long)values[i]);
  return out;
}

char *task_join_sorted(struct arena *a, const int64_t *values, size_t count, struct error *err)
{
  int64_t sorted[64];
  ASSAY_BUG_IF(count > 64);
  for (size_t i = 0; i < count; i++) {
    size_t at = i;
    for (; at && sorted[at - 1] > values[i]; at--) sorted[at] = sorted[at - 1];
    sorted[at] = values[i];
  }
  return task_join(a, sorted, count, " ", err);
}

int64_t task_divisor(int64_t x, int64_t y)
{
  while (y) {
    int64_t r = x % y;
    x = y;
    y = r;
  }
  return x < 0 ? -x : x;
}

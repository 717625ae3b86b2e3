#include "eval/cot.h"
#include <string.h>
#include "core/json.h"
#include "core/math.h"

const char *const cot_rule_names[COT_RULES] = {"any", "majority", "all"};

static bool is_word(const char *s, size_t n, const char *word)
{
  if (n != strlen(word)) return false;
  for (size_t i = 0; i < n; i++)
    if ((s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 32) : s[i]) != word[i]) return false;
  return true;
}

int cot_read_verdict(const char *text, size_t n)
{
  static const char end_of_thought[] = "</think>", box[] = "\\boxed{";
  const char *end = text + n, *begin, *stop;
  size_t thought = text_find_last(text, n, end_of_thought, false);
  if (thought == n && text_find_last(text, n, "<think>", false) < n) return COT_BAD;
  if (thought < n) text += thought + sizeof end_of_thought - 1;
  n = (size_t)(end - text);
  size_t last = text_find_last(text, n, box, false);
  if (last == n) return COT_BAD;
  begin = text + last + sizeof box - 1;
  int depth = 1;
  for (stop = begin; stop < end; stop++) {
    depth += (*stop == '{') - (*stop == '}');
    if (!depth) break;
  }
  if (stop == end) return COT_BAD;
  while (begin < stop && strchr(" \t\r\n", *begin)) begin++;
  while (begin < stop && strchr(" \t\r\n", stop[-1])) stop--;
  size_t length = (size_t)(stop - begin);
  return is_word(begin, length, "yes") ? COT_YES : is_word(begin, length, "no") ? COT_NO : COT_BAD;
}

void cot_combine(const int *verdicts, size_t n, enum cot_bad bad, bool out[COT_RULES])
{
  size_t yes = 0, usable = 0;
  for (size_t i = 0; i < n; i++) {
    yes += verdicts[i] == COT_YES;
    usable += verdicts[i] != COT_BAD || bad == COT_AS_NO;
  }
  size_t all_of = bad == COT_SPLIT ? n : usable;
  out[COT_ANY] = yes > 0;
  out[COT_MAJORITY] = 2 * yes > usable;
  out[COT_ALL] = all_of > 0 && yes == all_of;
}

static double power(double x, int64_t n)
{
  double y = 1;
  for (int64_t i = 0; i < n; i++) y *= x;
  return y;
}

/* P(more than half of n are yes), each with probability p; or at least half. */
static double half_or_more(double p, int64_t n, bool or_equal)
{
  double choose = 1, sum = 0;
  for (int64_t m = 0; m <= n; m++) {
    if (2 * m > n || (or_equal && 2 * m == n)) sum += choose * power(p, m) * power(1 - p, n - m);
    choose = choose * (double)(n - m) / (double)(m + 1);
  }
  return sum;
}

struct cot_errors cot_error_rates(double false_yes, double false_no, int64_t n)
{
  return (struct cot_errors){
      .false_yes = {1 - power(1 - false_yes, n), half_or_more(false_yes, n, false), power(false_yes, n)},
      .false_no = {power(false_no, n), half_or_more(false_no, n, true), 1 - power(1 - false_no, n)}};
}

/* Expected advantage of an answer with this reward among group - 1 others that are right with probability mean. */
static double expected_advantage(double reward, double mean, int64_t group, double eps)
{
  double choose = 1, sum = 0;
  for (int64_t others = 0; others < group; others++) {
    double right = (double)others + reward, m = right / (double)group;
    if (right > 0 && right < (double)group)
      sum += choose * power(mean, others) * power(1 - mean, group - 1 - others) * (reward - m) /
             (math_sqrt(m * (1 - m)) + eps);
    choose = choose * (double)(group - 1 - others) / (double)(others + 1);
  }
  return sum;
}

struct cot_theorem cot_expect(double p, double alpha, double beta, int64_t group, double eps)
{
  struct cot_theorem t = {.mean = p * alpha + (1 - p) * beta, .alarm = alpha <= beta};
  t.variance = (alpha - beta) * (alpha - beta) * p * (1 - p) + p * alpha * (1 - alpha) + (1 - p) * beta * (1 - beta);
  double std = math_sqrt(t.variance);
  if (group == 0) {
    t.right = std > 0 ? (1 - p) * (alpha - beta) / std : 0;
    t.wrong = std > 0 ? -p * (alpha - beta) / std : 0;
    t.informative = 1;
    return t;
  }
  double up = expected_advantage(1, t.mean, group, eps), down = expected_advantage(0, t.mean, group, eps);
  t.right = alpha * up + (1 - alpha) * down;
  t.wrong = beta * up + (1 - beta) * down;
  t.informative = 1 - power(t.mean, group) - power(1 - t.mean, group);
  return t;
}

void cot_estimate(const struct cot_counts *c, double *alpha, double *beta)
{
  double right = c->right_right + c->wrong_right, wrong = c->right_wrong + c->wrong_wrong;
  *alpha = right > 0 ? c->right_right / right : (double)__builtin_nanf("");
  *beta = wrong > 0 ? c->right_wrong / wrong : (double)__builtin_nanf("");
}

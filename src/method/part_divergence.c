#include "method/part_divergence.h"

#include "core/math.h"

static double log_sum(const double *x, int32_t n)
{
  double most = -__builtin_inf(), sum = 0;
  for (int32_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
  if (!math_is_finite(most)) return most;
  for (int32_t i = 0; i < n; i++) sum += math_exp(x[i] - most);
  return most + math_log(sum);
}

void divergence_log_softmax(const double *logits, int32_t v, double *out)
{
  double all = log_sum(logits, v);
  for (int32_t i = 0; i < v; i++) out[i] = logits[i] - all;
}

/* mass * (a - b), where a mass of 0 gives 0. */
static double share(double mass, double a, double b)
{
  return mass > 0 ? mass * (a - b) : 0;
}

static double log_mixture(double lp, double lq, double alpha)
{
  double a = lp + math_log1p(-alpha), b = lq + math_log(alpha), most = a > b ? a : b;
  return math_is_finite(most) ? most + math_log(math_exp(a - most) + math_exp(b - most)) : most;
}

/* The divergence of two lists of log-probabilities; by: its derivative by each of the student's. */
static double divergence(const double *lp, const double *lq, int32_t n, double alpha, double *by)
{
  double sum = 0;
  for (int32_t i = 0; i < n; i++) {
    double p = math_exp(lp[i]), q = math_exp(lq[i]);
    if (!(alpha > 0)) {
      sum += share(q, lq[i], lp[i]);
      by[i] = -q;
    } else if (!(alpha < 1)) {
      sum += share(p, lp[i], lq[i]);
      by[i] = share(p, lp[i], lq[i]) + p;
    } else {
      double lm = log_mixture(lp[i], lq[i], alpha), own = (1 - alpha) * math_exp(lp[i] - lm);
      if (!(p > 0) && !(q > 0)) own = 0;
      double student = share(p, lp[i], lm);
      sum += (1 - alpha) * student + alpha * share(q, lq[i], lm);
      by[i] = (1 - alpha) * (student + p - p * own) - alpha * q * own;
    }
  }
  return sum;
}

/* The `top` largest logits, in falling order; of equal ones the first. taken: the list as doubles, to share the work.
 */
static void likeliest(const double *logits, int32_t v, int32_t top, double *taken)
{
  int32_t n = 0;
  for (int32_t i = 0; i < v; i++) {
    int32_t at = n < top ? n : top;
    for (; at > 0 && logits[(int32_t)taken[at - 1]] < logits[i]; at--)
      if (at < top) taken[at] = taken[at - 1];
    if (at < top) taken[at] = i;
    n += n < top;
  }
}

/* Derivatives by log-probabilities of the support become those by what they were before the tail or the new norm. */
static void close_support(const double *lp, int32_t n, bool tail, double open, double *by)
{
  double sum = 0;
  if (tail) {
    double rest = -math_expm1(open);
    for (int32_t i = 0; i < n; i++) by[i] -= open < -1e-7 ? by[n] * math_exp(lp[i]) / rest : 0;
    return;
  }
  for (int32_t i = 0; i < n; i++) sum += by[i];
  for (int32_t i = 0; i < n; i++) by[i] -= sum * math_exp(lp[i]);
}

/* Appends the tail or renormalises; returns the log of the mass of the support. */
static double make_support(double *l, int32_t n, bool tail)
{
  double mass = log_sum(l, n);
  if (tail) {
    l[n] = math_log(-math_expm1(mass < -1e-7 ? mass : -1e-7));
    return mass;
  }
  for (int32_t i = 0; i < n; i++) l[i] -= mass;
  return mass;
}

double divergence_row(const double *student, const double *teacher, int32_t v, const struct divergence_options *o,
                      double *gradient, double *work)
{
  double all = log_sum(student, v), other = log_sum(teacher, v), sum = 0;
  int32_t n = o->top > 0 && o->top < v ? o->top : v;
  bool part = o->top > 0;
  double *lp = work, *lq = lp + v + 1, *by = lq + v + 1, *taken = by + v + 1;
  if (part) likeliest(student, v, n, taken);
  for (int32_t i = 0; i < n; i++) {
    int32_t at = part ? (int32_t)taken[i] : i;
    lp[i] = student[at] - all;
    lq[i] = teacher[at] - other;
  }
  double open = part ? make_support(lp, n, o->tail) : 0;
  if (part) make_support(lq, n, o->tail);
  double d = divergence(lp, lq, part && o->tail ? n + 1 : n, o->alpha, by);
  if (part) close_support(lp, n, o->tail, open, by);
  for (int32_t i = 0; i < n; i++) sum += by[i];
  for (int32_t i = 0; i < v; i++) gradient[i] = -sum * math_exp(student[i] - all);
  for (int32_t i = 0; i < n; i++) gradient[part ? (int32_t)taken[i] : i] += by[i];
  return d;
}

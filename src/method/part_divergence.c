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

/* The weight of the teacher, and the logs of both weights: made once a row. */
struct mixture {
  double alpha, log_student, log_teacher;
};

static struct mixture mixture_of(double alpha)
{
  bool both = alpha > 0 && alpha < 1;
  return (struct mixture){alpha, both ? math_log1p(-alpha) : 0, both ? math_log(alpha) : 0};
}

static double log_mixture(double lp, double lq, const struct mixture *m)
{
  double a = lp + m->log_student, b = lq + m->log_teacher, most = a > b ? a : b;
  return math_is_finite(most) ? most + math_log(math_exp(a - most) + math_exp(b - most)) : most;
}

/* One outcome's part of the divergence; by: its derivative by the student's log-probability. */
static double outcome(double lp, double lq, const struct mixture *m, double *by)
{
  double alpha = m->alpha;
  if (!(alpha > 0)) {
    double q = math_exp(lq);
    *by = -q;
    return share(q, lq, lp);
  }
  double p = math_exp(lp);
  if (!(alpha < 1)) {
    double own = share(p, lp, lq);
    *by = own + p;
    return own;
  }
  double q = math_exp(lq), lm = log_mixture(lp, lq, m), student = share(p, lp, lm);
  double part = p > 0 ? (1 - alpha) * math_exp(lp - lm) : 0; /* the student's part of the mixture */
  *by = (1 - alpha) * (student + p - p * part) - alpha * q * part;
  return (1 - alpha) * student + alpha * share(q, lq, lm);
}

/* The `top` largest, in falling order; of equal ones the first. taken: their numbers. */
static void likeliest(const double *x, int32_t v, int32_t top, double *taken)
{
  int32_t n = 0;
  for (int32_t i = 0; i < v; i++) {
    int32_t at = n;
    for (; at > 0 && x[(int32_t)taken[at - 1]] < x[i]; at--)
      if (at < top) taken[at] = taken[at - 1];
    if (at < top) taken[at] = i;
    n += n < top;
  }
}

static double log_mass(const double *x, const double *taken, int32_t n)
{
  double sum = 0;
  for (int32_t i = 0; i < n; i++) sum += math_exp(x[(int32_t)taken[i]]);
  return math_log(sum);
}

/* The log of what a support of this log mass leaves; TRL's bound keeps it finite. */
static double log_rest(double mass)
{
  return math_log(-math_expm1(mass < -1e-7 ? mass : -1e-7));
}

static double support_row(const double *lp, const double *lq, int32_t v, const struct divergence_options *o,
                          double *gradient, double *work)
{
  int32_t n = o->top < v ? o->top : v;
  const struct mixture m = mixture_of(o->alpha);
  double *taken = work, *by = work + v, d = 0, pull = 0, sum = 0;
  likeliest(lp, v, n, taken);
  double mass = log_mass(lp, taken, n), other = log_mass(lq, taken, n), off = o->tail ? 0 : mass;
  for (int32_t i = 0; i < n; i++) {
    int32_t at = (int32_t)taken[i];
    d += outcome(lp[at] - off, lq[at] - (o->tail ? 0 : other), &m, &by[i]);
    pull += by[i];
  }
  if (o->tail) { /* d log rest / d lp_i = -p_i / rest */
    double rest = log_rest(mass);
    d += outcome(rest, log_rest(other), &m, &pull);
    pull *= mass < -1e-7 ? math_exp(-rest) : 0;
  }
  for (int32_t i = 0; i < n; i++) {
    by[i] -= pull * math_exp(lp[(int32_t)taken[i]] - off);
    sum += by[i];
  }
  for (int32_t i = 0; i < v; i++) gradient[i] = -sum * math_exp(lp[i]);
  for (int32_t i = 0; i < n; i++) gradient[(int32_t)taken[i]] += by[i];
  return d;
}

double divergence_row(const double *student, const double *teacher, int32_t v, const struct divergence_options *o,
                      double *gradient, double *work)
{
  if (o->top > 0) return support_row(student, teacher, v, o, gradient, work);
  const struct mixture m = mixture_of(o->alpha);
  double d = 0, sum = 0;
  for (int32_t i = 0; i < v; i++) {
    d += outcome(student[i], teacher[i], &m, &gradient[i]);
    sum += gradient[i];
  }
  for (int32_t i = 0; i < v; i++) gradient[i] -= sum * math_exp(student[i]);
  return d;
}

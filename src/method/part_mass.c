#include "method/part_mass.h"

#include "core/math.h"

void mass_softmax(const double *z, int32_t n, double *p)
{
  double most = z[0], sum = 0;
  for (int32_t i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
  for (int32_t i = 0; i < n; i++) sum += p[i] = math_exp(z[i] - most);
  for (int32_t i = 0; i < n; i++) p[i] /= sum;
}

/* Sum of the right ones' probabilities under z + dz, without room for a second list. */
static double right_mass(const double *z, const double *dz, const bool *right, int32_t n)
{
  double most = z[0] + dz[0], sum = 0, in = 0;
  for (int32_t i = 1; i < n; i++) most = z[i] + dz[i] > most ? z[i] + dz[i] : most;
  for (int32_t i = 0; i < n; i++) {
    double e = math_exp(z[i] + dz[i] - most);
    sum += e;
    if (right[i]) in += e;
  }
  return in / sum;
}

struct mass mass_balance(const double *z, const bool *right, const bool *sampled, int32_t n,
                         const struct mass_rewards *o, double *p, double *dz)
{
  struct mass m = {0};
  mass_softmax(z, n, p);
  for (int32_t i = 0; i < n; i++) {
    double square = p[i] * p[i];
    m.s += sampled[i] ? (right[i] ? o->right : o->wrong) * p[i] : 0;
    m.q += right[i] ? p[i] : 0;
    *(sampled[i] ? (right[i] ? &m.a2 : &m.b2) : right[i] ? &m.u_right2 : &m.u_wrong2) += square;
  }
  m.terms[0] = (o->right - m.s) * (1 - m.q) * m.a2;
  m.terms[1] = (m.s - o->wrong) * m.q * m.b2;
  m.terms[2] = m.s * (m.q * m.u_wrong2 - (1 - m.q) * m.u_right2);
  m.predicted = o->rate / o->n * (m.terms[0] + m.terms[1] + m.terms[2]);
  for (int32_t i = 0; i < n; i++)
    dz[i] = o->rate / o->n * p[i] * ((sampled[i] ? (right[i] ? o->right : o->wrong) : 0) - m.s);
  m.exact = right_mass(z, dz, right, n) - m.q;
  return m;
}

double mass_unsampled(double p, double n)
{
  return p * p * math_pow(1 - p, n);
}

struct mass_draws mass_step(struct mass_state *s, const bool *right, const int32_t *draws, int32_t count,
                            const struct mass_adam *o)
{
  struct mass_draws out = {0};
  double whole = 0;
  mass_softmax(s->z, s->n, s->p);
  for (int32_t i = 0; i < s->n; i++) s->gradient[i] = 0;
  for (int32_t k = 0; k < count; k++) out.baseline += (right[draws[k]] ? 1.0 : -1.0) / count;
  for (int32_t k = 0; k < count; k++) {
    double part = ((right[draws[k]] ? 1.0 : -1.0) - out.baseline) * s->p[draws[k]] / count;
    s->gradient[draws[k]] -= part;
    whole += part;
  }
  out.surrogate = -whole;
  s->step++;
  double one = 1 - math_pow(o->beta1, (double)s->step), two = 1 - math_pow(o->beta2, (double)s->step);
  for (int32_t i = 0; i < s->n; i++) {
    double g = s->gradient[i] += whole * s->p[i];
    s->first[i] = o->beta1 * s->first[i] + (1 - o->beta1) * g;
    s->second[i] = o->beta2 * s->second[i] + (1 - o->beta2) * g * g;
    s->z[i] =
        s->z[i] * (1 - o->rate * o->decay) - o->rate * (s->first[i] / one) / (math_sqrt(s->second[i] / two) + o->eps);
  }
  return out;
}

struct mass_progress mass_compare(const double *before, const double *now, const bool *right, int32_t n)
{
  struct mass_progress out = {0};
  double count = 0;
  for (int32_t i = 0; i < n; i++) {
    if (!right[i]) continue;
    double rise = now[i] - before[i];
    count++;
    out.q += now[i];
    out.improved += rise > 0;
    out.drop = -rise > out.drop ? -rise : out.drop;
  }
  if (count > 0) out.improved /= count;
  return out;
}

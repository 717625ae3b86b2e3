#include "method/part_pair.h"

#include "core/math.h"
#include "method/part_logistic.h"

/* A loss and its derivatives by its one or two arguments. */
struct slope {
  double loss, first, second;
};

/* f(x) and f'(x) */
static struct slope score(enum pair_score kind, double x)
{
  switch (kind) {
    case PAIR_REVERSE_KL:
      break;
    case PAIR_FORWARD_KL:
      return (struct slope){-math_expm1(-x), math_exp(-x), 0};
    case PAIR_JS:
      return (struct slope){math_log(2) + logistic_log(x), logistic(-x), 0};
  }
  return (struct slope){x, 1, 0};
}

/* (1 - e) (-log s(x)) + e (-log s(-x)) by x */
static struct slope smoothed(double x, double e)
{
  return (struct slope){-(1 - e) * logistic_log(x) - e * logistic_log(-x), -(1 - e) * logistic(-x) + e * logistic(x),
                        0};
}

/* Losses of beta d alone, by it. */
static struct slope exo(double x, double e)
{
  double up = logistic(x), down = logistic(-x);
  double a = logistic_log(x) - math_log1p(-e), b = logistic_log(-x) - math_log(e);
  return (struct slope){up * a + down * b, up * down * (a - b), 0};
}

static struct slope discopop(double x, double tau)
{
  double mix = logistic(x / tau), slope = mix * logistic(-x / tau) / tau, grown = math_exp(-x),
         plain = -logistic_log(x);
  return (struct slope){plain * (1 - mix) + grown * mix,
                        -logistic(-x) * (1 - mix) - plain * slope - grown * mix + grown * slope, 0};
}

static struct slope of_difference(const struct pair_options *o, double x)
{
  struct slope s = smoothed(x, o->smoothing);
  switch (o->loss) {
    case PAIR_HINGE:
      return x < 1 ? (struct slope){1 - x, -1, 0} : (struct slope){0, 0, 0};
    case PAIR_EXO:
      return exo(x, o->smoothing);
    case PAIR_DISCOPOP:
      return discopop(x, o->tau);
    case PAIR_ROBUST: {
      double e = o->smoothing;
      return (struct slope){(-(1 - e) * logistic_log(x) + e * logistic_log(-x)) / (1 - 2 * e),
                            (-(1 - e) * logistic(-x) - e * logistic(x)) / (1 - 2 * e), 0};
    }
    default:
      return s;
  }
}

/* Losses of beta c and beta r apart. */
static struct slope of_sides(const struct pair_options *o, double c, double r)
{
  double up = logistic(c), down = logistic(r), both = logistic(c - r);
  switch (o->loss) {
    case PAIR_NCA:
      return (struct slope){-logistic_log(c) - 0.5 * (logistic_log(-c) + logistic_log(-r)), -logistic(-c) + 0.5 * up,
                            0.5 * down};
    case PAIR_BCO:
      return (struct slope){-logistic_log(c) - logistic_log(-r), -logistic(-c), down};
    case PAIR_APO_ZERO:
      return (struct slope){logistic(-c) + down, -up * logistic(-c), down * logistic(-r)};
    default: { /* PAIR_APO_DOWN */
      double turn = both * logistic(r - c);
      return (struct slope){up + logistic(r - c), up * logistic(-c) - turn, turn};
    }
  }
}

static double length(const struct pair_side *s)
{
  return s->tokens > 1 ? s->tokens : 1;
}

static struct slope one_pair(const struct pair_options *o, const struct pair *p, bool per_token)
{
  double c = p->chosen.logp - p->chosen.reference, r = p->rejected.logp - p->rejected.reference;
  if (o->loss == PAIR_NCA || o->loss == PAIR_BCO || o->loss == PAIR_APO_ZERO || o->loss == PAIR_APO_DOWN) {
    struct slope s = of_sides(o, o->beta * c, o->beta * r);
    return (struct slope){s.loss, o->beta * s.first, o->beta * s.second};
  }
  if (o->loss == PAIR_SPPO) {
    double half = 0.5 / o->beta;
    return (struct slope){(c - half) * (c - half) + (r + half) * (r + half), 2 * (c - half), 2 * (r + half)};
  }
  struct slope fc = score(o->score, c), fr = score(o->score, r);
  bool averaged = o->loss == PAIR_SIGMOID_NORM || (o->loss == PAIR_IPO && per_token);
  double by_c = averaged ? 1 / length(&p->chosen) : 1, by_r = averaged ? 1 / length(&p->rejected) : 1;
  double d = fc.loss * by_c - fr.loss * by_r;
  struct slope s;
  if (o->loss == PAIR_IPO) {
    double off = d - 1 / (2 * o->beta);
    s = (struct slope){off * off, 2 * off, 0};
  } else {
    s = of_difference(o, o->beta * d);
    s.first *= o->beta;
  }
  return (struct slope){s.loss, s.first * fc.first * by_c, -s.first * fr.first * by_r};
}

/* Numbers 0 .. n - 1 so that key rises; of equal keys the first comes first. */
static void sort_by(const double *key, size_t n, size_t *order)
{
  for (size_t i = 0; i < n; i++) {
    size_t at = i;
    for (; at > 0 && key[order[at - 1]] > key[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
}

/* AOT: the k-th smallest against the k-th smallest. */
static int sorted_losses(struct arena *a, const struct pair_options *o, const struct pair *pairs, size_t n,
                         double *loss, double *by_chosen, double *by_rejected, struct error *err)
{
  bool unpaired = o->loss == PAIR_AOT_UNPAIRED;
  double *first = ARENA_NEW(a, double, 2 * n, "pairs", err), *second = first + n;
  size_t *up = ARENA_NEW(a, size_t, 2 * n, "pairs", err), *other = up + n;
  if (!first || !up) return err->code;
  for (size_t i = 0; i < n; i++) {
    const struct pair_side *c = &pairs[i].chosen, *r = &pairs[i].rejected;
    first[i] = unpaired ? c->logp - c->reference : c->logp - r->logp;
    second[i] = unpaired ? r->logp - r->reference : c->reference - r->reference;
  }
  sort_by(first, n, up);
  sort_by(second, n, other);
  for (size_t k = 0; k < n; k++) {
    struct slope s = smoothed(o->beta * (first[up[k]] - second[other[k]]), o->smoothing);
    *loss += s.loss / (double)n;
    by_chosen[up[k]] = o->beta * s.first / (double)n;
    by_rejected[unpaired ? other[k] : up[k]] = -o->beta * s.first / (double)n;
  }
  return 0;
}

static void chosen_tokens(const struct pair *pairs, size_t n, double *loss, double *by_chosen, double *by_rejected)
{
  double tokens = 0;
  for (size_t i = 0; i < n; i++) tokens += pairs[i].chosen.tokens;
  for (size_t i = 0; i < n; i++) {
    by_chosen[i] = tokens > 0 ? -1 / tokens : 0;
    by_rejected[i] = 0;
    *loss += by_chosen[i] * pairs[i].chosen.logp;
  }
}

int pair_losses(struct arena *a, const struct pair_options *o, const struct pair *pairs, size_t n, bool per_token,
                double *loss, double *by_chosen, double *by_rejected, struct error *err)
{
  *loss = 0;
  if (o->loss == PAIR_AOT || o->loss == PAIR_AOT_UNPAIRED)
    return sorted_losses(a, o, pairs, n, loss, by_chosen, by_rejected, err);
  if (o->loss == PAIR_SFT) return chosen_tokens(pairs, n, loss, by_chosen, by_rejected), 0;
  for (size_t i = 0; i < n; i++) {
    struct slope s = one_pair(o, &pairs[i], per_token);
    *loss += s.loss / (double)n;
    by_chosen[i] = s.first / (double)n;
    by_rejected[i] = s.second / (double)n;
  }
  return 0;
}

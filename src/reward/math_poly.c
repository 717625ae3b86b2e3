#include <string.h>
#include "reward/math_exact.h"

enum { LETTERS = 16, TERMS = 3000, WORK = 200000, DEGREE = 2000 };

/* The polynomial ring: its generators are letters, constants, and whatever else occurs, as a whole. */
struct ring {
  struct math *m;
  const struct math_node *letter[LETTERS];
  int count;
  int i; /* the generator of i, or -1 */
  bool only_letters;
  fmpq_mpoly_ctx_t ctx;
};

/* top / bottom */
struct fraction {
  fmpq_mpoly_t top, bottom;
};

static bool is_arithmetic(const struct math_node *n)
{
  int64_t e;
  switch (n->kind) {
    case MATH_NUMBER:
    case MATH_SUM:
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
    case MATH_NEGATE:
    case MATH_PERCENT:
    case MATH_QUANTITY:
      return true;
    case MATH_POWER:
      return math_small(n->child[1], &e) && e >= -DEGREE && e <= DEGREE;
    default:
      return false;
  }
}

static int find_letter(const struct ring *r, const struct math_node *n)
{
  for (int i = 0; i < r->count; i++)
    if (math_same(r->letter[i], n)) return i;
  return -1;
}

/* What is compared with limits must be comparable: sets and relations are not. */
static bool is_value(const struct math_node *n)
{
  return n->kind <= MATH_I || n->kind == MATH_POWER || n->kind == MATH_CALL || n->kind == MATH_DEGREE;
}

static bool collect(struct ring *r, const struct math_node *n)
{
  if (!math_step(r->m, 1)) return false;
  if (is_arithmetic(n)) {
    int count = n->kind == MATH_POWER ? 1 : n->count;
    for (int i = 0; i < count; i++)
      if (!collect(r, n->child[i])) return false;
    return true;
  }
  if (!is_value(n)) return false;
  if (find_letter(r, n) >= 0) return true;
  if (r->count == LETTERS) return false;
  if (n->kind == MATH_I) r->i = r->count;
  if (n->kind != MATH_SYMBOL && n->kind != MATH_I) r->only_letters = false;
  r->letter[r->count++] = n;
  return true;
}

/* Not inlined: gcc 12 would take the first field of a polynomial for the whole of it, and warn. */
static __attribute__((noinline)) void start(struct ring *r, struct fraction *f)
{
  fmpq_mpoly_init(f->top, r->ctx);
  fmpq_mpoly_init(f->bottom, r->ctx);
  fmpq_mpoly_one(f->bottom, r->ctx);
}

static void finish(struct ring *r, struct fraction *f)
{
  fmpq_mpoly_clear(f->top, r->ctx);
  fmpq_mpoly_clear(f->bottom, r->ctx);
}

static slong bits_of(const fmpq_mpoly_struct *p)
{
  slong bits = fmpz_mpoly_max_bits(p->zpoly);
  return (bits < 0 ? -bits : bits) + (slong)fmpz_bits(fmpq_numref(p->content)) +
         (slong)fmpz_bits(fmpq_denref(p->content));
}

static bool within(const struct ring *r, const fmpq_mpoly_struct *p)
{
  slong n = fmpq_mpoly_length(p, r->ctx);
  return n <= TERMS && (!n || (fmpq_mpoly_total_degree_fits_si(p, r->ctx) &&
                               fmpq_mpoly_total_degree_si(p, r->ctx) <= DEGREE && bits_of(p) <= MATH_MAX_BITS));
}

/* out = a b, if it is sure to stay small. */
/* Pointers, not FLINT's arrays of one: gcc 12 takes those for reads past their end. */
static bool multiply(struct ring *r, fmpq_mpoly_struct *out, const fmpq_mpoly_struct *a, const fmpq_mpoly_struct *b)
{
  slong work = fmpq_mpoly_length(a, r->ctx) * fmpq_mpoly_length(b, r->ctx);
  if (work > WORK || bits_of(a) + bits_of(b) > MATH_MAX_BITS) return false;
  if (!math_step(r->m, 1 + work / 4 * (1 + (bits_of(a) + bits_of(b)) / 512))) return false;
  fmpq_mpoly_mul(out, a, b, r->ctx);
  return within(r, out);
}

static bool same_bottom(struct ring *r, const struct fraction *a, const struct fraction *b)
{
  return fmpq_mpoly_equal(a->bottom, b->bottom, r->ctx);
}

static __attribute__((noinline)) bool add(struct ring *r, struct fraction *a, struct fraction *b) /* as above */
{
  if (!same_bottom(r, a, b)) {
    fmpq_mpoly_t bottom;
    fmpq_mpoly_init(bottom, r->ctx);
    bool ok = multiply(r, a->top, a->top, b->bottom) && multiply(r, b->top, b->top, a->bottom) &&
              multiply(r, bottom, a->bottom, b->bottom);
    fmpq_mpoly_swap(a->bottom, bottom, r->ctx);
    fmpq_mpoly_clear(bottom, r->ctx);
    if (!ok) return false;
  }
  fmpq_mpoly_add(a->top, a->top, b->top, r->ctx);
  return within(r, a->top);
}

static bool read_value(struct ring *r, const struct math_node *n, struct fraction *out);

static bool combine(struct ring *r, enum math_kind kind, const struct math_node *n, struct fraction *out)
{
  struct fraction x;
  start(r, &x);
  bool ok = read_value(r, n, &x);
  if (ok && kind == MATH_QUOTIENT) {
    fmpq_mpoly_swap(x.top, x.bottom, r->ctx);
    ok = !fmpq_mpoly_is_zero(x.bottom, r->ctx);
  }
  if (ok && kind == MATH_SUM)
    ok = add(r, out, &x);
  else if (ok)
    ok = multiply(r, out->top, out->top, x.top) && multiply(r, out->bottom, out->bottom, x.bottom);
  finish(r, &x);
  return ok;
}

/* By repeated multiplication, so that each step is checked. */
static bool raise_to(struct ring *r, struct fraction *f, int64_t e)
{
  struct fraction base;
  if (e < 0) {
    fmpq_mpoly_swap(f->top, f->bottom, r->ctx);
    if (fmpq_mpoly_is_zero(f->bottom, r->ctx)) return false;
    e = -e;
  }
  if (e == 0) {
    if (fmpq_mpoly_is_zero(f->top, r->ctx)) return false;
    fmpq_mpoly_one(f->top, r->ctx);
    fmpq_mpoly_one(f->bottom, r->ctx);
    return true;
  }
  bool single = fmpq_mpoly_length(f->top, r->ctx) <= 1 && fmpq_mpoly_length(f->bottom, r->ctx) <= 1;
  if (!single && e > 64) return false;
  start(r, &base);
  fmpq_mpoly_set(base.top, f->top, r->ctx);
  fmpq_mpoly_set(base.bottom, f->bottom, r->ctx);
  bool ok = true;
  for (int bit = 62 - __builtin_clzll((uint64_t)e); ok && bit >= 0; bit--) {
    ok = multiply(r, f->top, f->top, f->top) && multiply(r, f->bottom, f->bottom, f->bottom);
    if (ok && (e >> bit & 1))
      ok = multiply(r, f->top, f->top, base.top) && multiply(r, f->bottom, f->bottom, base.bottom);
  }
  finish(r, &base);
  return ok;
}

static bool read_number(struct ring *r, const struct math_node *n, struct fraction *out)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(r->m, n, x);
  if (ok) fmpq_mpoly_set_fmpq(out->top, x, r->ctx);
  fmpq_clear(x);
  return ok;
}

/* out is 0 / 1 on entry. */
static bool read_value(struct ring *r, const struct math_node *n, struct fraction *out)
{
  if (!math_step(r->m, 1)) return false;
  if (!is_arithmetic(n)) {
    fmpq_mpoly_gen(out->top, find_letter(r, n), r->ctx);
    return true;
  }
  if (n->kind == MATH_NUMBER) return read_number(r, n, out);
  if (!read_value(r, n->child[0], out)) return false;
  if (n->kind == MATH_NEGATE) fmpq_mpoly_neg(out->top, out->top, r->ctx);
  if (n->kind == MATH_PERCENT) fmpq_mpoly_scalar_div_si(out->top, out->top, 100, r->ctx);
  int64_t e = 1;
  if (n->kind == MATH_POWER) return math_small(n->child[1], &e) && raise_to(r, out, e);
  for (int i = 1; i < n->count; i++)
    if (!combine(r, n->kind, n->child[i], out)) return false;
  return true;
}

/* p modulo i^2 + 1 */
static void reduce(struct ring *r, fmpq_mpoly_t p)
{
  if (r->i < 0 || fmpq_mpoly_is_zero(p, r->ctx)) return;
  fmpq_mpoly_t by, q;
  fmpq_mpoly_init(by, r->ctx);
  fmpq_mpoly_init(q, r->ctx);
  fmpq_mpoly_gen(by, r->i, r->ctx);
  fmpq_mpoly_mul(by, by, by, r->ctx);
  fmpq_mpoly_add_si(by, by, 1, r->ctx);
  fmpq_mpoly_divrem(q, p, p, by, r->ctx);
  fmpq_mpoly_clear(q, r->ctx);
  fmpq_mpoly_clear(by, r->ctx);
}

static bool is_nought(struct ring *r, fmpq_mpoly_t p)
{
  reduce(r, p);
  return fmpq_mpoly_is_zero(p, r->ctx);
}

/* Both as fractions of one ring, their bottoms not 0. The ring and the fractions must be closed whatever comes back. */
static bool open_ring(struct ring *r, const struct math_node *a, const struct math_node *b, struct fraction *x,
                      struct fraction *y)
{
  fmpq_mpoly_ctx_init(r->ctx, r->count ? r->count : 1, ORD_LEX);
  start(r, x);
  start(r, y);
  return read_value(r, a, x) && read_value(r, b, y) && !is_nought(r, x->bottom) && !is_nought(r, y->bottom);
}

static void close_ring(struct ring *r, struct fraction *x, struct fraction *y)
{
  finish(r, x);
  finish(r, y);
  fmpq_mpoly_ctx_clear(r->ctx);
}

static bool gather(struct ring *r, struct math *m, const struct math_node *a, const struct math_node *b)
{
  *r = (struct ring){.m = m, .i = -1, .only_letters = true};
  return collect(r, a) && collect(r, b);
}

enum math_verdict math_identity(struct math *m, const struct math_node *a, const struct math_node *b)
{
  struct ring r;
  struct fraction x, y;
  if (!gather(&r, m, a, b)) return MATH_UNDECIDED;
  enum math_verdict verdict = MATH_UNDECIDED;
  if (open_ring(&r, a, b, &x, &y) && multiply(&r, x.top, x.top, y.bottom) && multiply(&r, y.top, y.top, x.bottom)) {
    fmpq_mpoly_sub(x.top, x.top, y.top, r.ctx);
    verdict = is_nought(&r, x.top) ? MATH_EQUAL : r.only_letters ? MATH_DIFFERENT : MATH_UNDECIDED;
  }
  close_ring(&r, &x, &y);
  return verdict;
}

/* p = c q for a number c != 0; its sign. */
static bool are_proportional(struct ring *r, fmpq_mpoly_t p, fmpq_mpoly_t q, int *sign)
{
  if (is_nought(r, p) || is_nought(r, q)) return false;
  fmpq_t c, d;
  fmpq_init(c);
  fmpq_init(d);
  fmpq_mpoly_get_term_coeff_fmpq(c, p, 0, r->ctx);
  fmpq_mpoly_get_term_coeff_fmpq(d, q, 0, r->ctx);
  *sign = fmpq_sgn(c) * fmpq_sgn(d);
  fmpq_mpoly_scalar_mul_fmpq(p, p, d, r->ctx);
  fmpq_mpoly_scalar_mul_fmpq(q, q, c, r->ctx);
  fmpq_clear(c);
  fmpq_clear(d);
  return fmpq_mpoly_equal(p, q, r->ctx);
}

enum math_verdict math_proportional(struct math *m, const struct math_node *a, const struct math_node *b, bool tops,
                                    int *sign)
{
  struct ring r;
  struct fraction x, y;
  if (!gather(&r, m, a, b)) return MATH_UNDECIDED;
  enum math_verdict verdict = MATH_UNDECIDED;
  if (open_ring(&r, a, b, &x, &y) &&
      (tops || (multiply(&r, x.top, x.top, y.bottom) && multiply(&r, y.top, y.top, x.bottom))))
    verdict = are_proportional(&r, x.top, y.top, sign) ? MATH_EQUAL : r.only_letters ? MATH_DIFFERENT : MATH_UNDECIDED;
  close_ring(&r, &x, &y);
  return verdict;
}

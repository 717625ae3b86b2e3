/* The number in a free text (data/number says which, and what counts as one), compared exactly or within a tolerance.
 * The answer may be a worked solution itself, as in GSM8K ("... #### 72"): it is read by the same rules. Units are left
 * aside: 72, $72, "72 dollars" are one answer.
 *
 *     right iff |x - y| <= absolute  or  |x - y| <= relative * |y|        y the answer; in exact fractions
 *
 * percent: lenient (default) takes 15% for 0.15 and, since a sign may be left out, for 15; strict for 0.15 alone.
 *
 * Worked examples: answer "#### 1,080", response "so 3 * 360 = 1080.0 apples": right, extracted "1080.0". Answer
 * "3.14159", response "3.14", relative 0.001: 0.00159 <= 0.00314159: right.
 */
#include <gmp.h>
#include <string.h>
#include "data/number.h"
#include "reward/verifier.h"

/* ---- exact fractions --------------------------------------------------------------------------------------------- */

static void set_natural(mpz_t z, const struct natural *n)
{
  mpz_set_ui(z, 0);
  for (int i = n->size; i-- > 0;) {
    mpz_mul_ui(z, z, 1000000000);
    mpz_add_ui(z, z, n->limb[i]);
  }
}

/* percent: the sign divides by 100. */
static void set_fraction(mpq_t q, const struct number *x, bool percent)
{
  set_natural(mpq_numref(q), &x->top);
  set_natural(mpq_denref(q), &x->bottom);
  if (percent) mpz_mul_ui(mpq_denref(q), mpq_denref(q), 100);
  mpq_canonicalize(q);
  if (x->negative) mpq_neg(q, q);
}

struct tolerance {
  struct number absolute, relative;
  bool strict, none;
};

static bool is_near(const struct tolerance *t, const struct number *got, bool got_percent, const struct number *want,
                    bool want_percent)
{
  mpq_t x, y, bound;
  mpq_inits(x, y, bound, NULL);
  set_fraction(x, got, got_percent);
  set_fraction(y, want, want_percent);
  mpq_sub(x, x, y);
  mpq_abs(x, x);
  set_fraction(bound, &t->absolute, false);
  bool near = mpq_cmp(x, bound) <= 0;
  set_fraction(bound, &t->relative, false);
  mpq_abs(y, y);
  mpq_mul(bound, bound, y);
  near = near || mpq_cmp(x, bound) <= 0;
  mpq_clears(x, y, bound, NULL);
  return near;
}

static bool is_right(const struct tolerance *t, const struct number *got, const struct number *want)
{
  if (!t->strict && t->none) return number_equal(got, want);
  if (t->strict) return is_near(t, got, got->percent, want, want->percent);
  return is_near(t, got, false, want, false) ||
         (got->percent != want->percent && is_near(t, got, got->percent, want, want->percent));
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static int read_bound(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *name,
                      struct number *out, bool *zero, struct error *err)
{
  struct setting_value v;
  TRY(verifier_option(a, c, p, name, &v, err));
  if (number_read(v.text, strlen(v.text), 0, out) != strlen(v.text) || out->percent)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, name, "found %s: %s; expected a plain number like 0.001 or 1e-6",
            name, v.text);
  *zero = *zero && out->top.size == 0;
  return 0;
}

static int read_tolerance(struct arena *a, const struct verifier_config *c, const struct problem *p,
                          struct tolerance *out, struct error *err)
{
  out->none = true;
  out->strict = !strcmp(verifier_value(c, "percent")->text, "strict");
  TRY(read_bound(a, c, p, "absolute", &out->absolute, &out->none, err));
  return read_bound(a, c, p, "relative", &out->relative, &out->none, err);
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct number_found want, got;
  struct tolerance tolerance;
  const char *why;
  *out = (struct verdict){0};
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected a number for the verifier \"number\"");
  if (!number_extract(p->answer, strlen(p->answer), &want, &why))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found answer \"%.80s\"; expected a number for the verifier \"number\" (%s); map the right field, or use "
            "another verifier",
            p->answer, why);
  TRY(read_tolerance(a, c, p, &tolerance, err));
  if (!number_extract(response, n, &got, &out->reason)) return 0;
  out->readable = true;
  out->correct = is_right(&tolerance, &got.value, &want.value);
  out->reward = out->correct ? 1 : 0;
  out->extracted = arena_strndup(a, response + got.start, got.length, "verdict", err);
  int shown = got.length < 64 ? (int)got.length : 64, size = want.length < 64 ? (int)want.length : 64;
  const char *relation = out->correct     ? tolerance.none ? "equals" : "is as near as asked to"
                         : tolerance.none ? "is not"
                                          : "is too far from";
  out->reason = arena_printf(a, "verdict", err, "%.*s (%s) %s %.*s", shown, response + got.start, got.rule, relation,
                             size, p->answer + want.start);
  return out->extracted && out->reason ? 0 : err->code;
}

static const struct setting settings[] = {
    {"absolute", SETTING_REAL, 0, 1e300, "0", NULL, "largest difference"},
    {"relative", SETTING_REAL, 0, 1, "0", NULL, "largest difference as a share of the answer"},
    {"percent", SETTING_TEXT, 0, 0, "lenient", "lenient strict", "whether 15% is 15 as well as 0.15"},
};

const struct verifier verifier_number = {
    .name = "number",
    .help = "the final number of the response equals the answer's, in any spelling; exactly, or within a tolerance",
    .fields = "answer, absolute?, relative?",
    .channels = "",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .judge = judge,
};

/* A whole number as the product of its primes. */
#include <string.h>
#include "data/task_answer.h"
#include "data/task_draw.h"
#include "data/task_number.h"

enum { MAX_FACTORS = 64 /* 2^63 has 63 */ };
static const uint32_t split_key = 0x91e40001u;

static const struct setting options[] = {
    {"min_value", SETTING_INT, 2, 1e9, "2", NULL, "smallest number"},
    {"max_value", SETTING_INT, 2, 1e9, "1000", NULL, "largest number"},
    TASK_HELD_OUT,
};

struct factors {
  int64_t items[MAX_FACTORS];
  size_t count;
};

static void divide_out(int64_t *n, int64_t d, struct factors *out)
{
  for (; *n % d == 0; *n /= d) out->items[out->count++] = d;
}

/* By trial division, ascending; n at most 10^12, say. */
static struct factors factorize(int64_t n)
{
  struct factors f = {.count = 0};
  divide_out(&n, 2, &f);
  for (int64_t d = 3; d * d <= n; d += 2) divide_out(&n, d, &f);
  if (n > 1) f.items[f.count++] = n;
  return f;
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  int64_t n = task_draw_between(c, d, "min_value", "max_value");
  struct factors f = factorize(n);
  char *list = task_join(a, f.items, f.count, ", ", err);
  out->question = list ? arena_printf(a, "task", err,
                                      "Find the prime factorization of %lld. Answer with the primes, with × between, "
                                      "like 2 × 2 × 3 for 12.",
                                      (long long)n)
                       : NULL;
  out->answer = out->question ? task_join(a, f.items, f.count, " × ", err) : NULL;
  out->meta = out->answer ? arena_printf(a, "task", err, "{\"number\": %lld, \"factors\": [%s], \"answer\": \"%s\"}",
                                         (long long)n, list, out->answer)
                          : NULL;
  return out->meta ? 0 : err->code;
}

/* ---- reading a product ------------------------------------------------------------------------------------------- */

struct reader {
  const char *s;
  size_t n, at;
};

static bool take(struct reader *r, const char *word)
{
  size_t size = strlen(word);
  if (r->n - r->at < size || memcmp(r->s + r->at, word, size) != 0) return false;
  r->at += size;
  return true;
}

static void skip(struct reader *r)
{
  while (take(r, " ") || take(r, "\t") || take(r, "\n") || take(r, "\r") || take(r, "\\,") || take(r, "\\ ") ||
         take(r, "$") || take(r, "\xc2\xa0"))
    continue;
}

/* Digits; at most 18 of them. */
static bool take_number(struct reader *r, int64_t *out)
{
  size_t start = r->at;
  for (*out = 0; r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9'; r->at++) {
    if (r->at - start >= 18) return false;
    *out = *out * 10 + (r->s[r->at] - '0');
  }
  return r->at > start;
}

/* "^3", "**3", "^{3}", "³": the power behind a factor, 1 where there is none. */
static bool take_power(struct reader *r, int64_t *out)
{
  static const char *const raised[] = {"\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
                                       "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9"};
  bool any = false;
  struct reader ahead = *r;
  skip(&ahead);
  if (take(&ahead, "^") || take(&ahead, "**")) {
    skip(&ahead);
    bool brace = take(&ahead, "{"), bracket = !brace && take(&ahead, "(");
    if (!take_number(&ahead, out)) return false;
    *r = ahead;
    return brace ? take(r, "}") : !bracket || take(r, ")");
  }
  *out = 0;
  for (int i = 0; i < 10;) {
    if (!take(r, raised[i])) {
      i++;
      continue;
    }
    if (*out > 99) return false;
    *out = *out * 10 + i;
    any = true;
    i = 0;
  }
  if (!any) *out = 1;
  return true;
}

static bool take_times(struct reader *r)
{
  skip(r);
  return take(r, "\xc3\x97") || take(r, "*") || take(r, "x") || take(r, "X") || take(r, "\xc2\xb7") ||
         take(r, "\xe2\x8b\x85") || take(r, "\\times") || take(r, "\\cdot") || take(r, ",");
}

/* FACTOR (TIMES FACTOR)*, powers multiplied out. false: it is something else, or has more than MAX_FACTORS factors. */
static bool read_product(const char *s, size_t n, struct factors *out)
{
  struct reader r = {s, n, 0};
  out->count = 0;
  do {
    int64_t factor, power;
    skip(&r);
    bool bracket = take(&r, "(");
    if (!take_number(&r, &factor) || !take_power(&r, &power)) return false;
    if (bracket && !take(&r, ")")) return false;
    if (power < 1 || power > MAX_FACTORS - (int64_t)out->count) return false;
    for (; power > 0; power--) out->items[out->count++] = factor;
  } while (take_times(&r));
  skip(&r);
  return r.at == n;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* What the factors multiply to, or 0 where that is beyond 10^18 or a factor is no proper one. */
static int64_t product_of(const struct factors *f)
{
  int64_t product = 1;
  for (size_t i = 0; i < f->count; i++) {
    if (f->items[i] < 2 || __builtin_mul_overflow(product, f->items[i], &product)) return 0;
    if (product > (int64_t)1e18) return 0;
  }
  return product;
}

/* How many of the given factors are among the primes, each as often as it is there. */
static size_t count_primes(const struct factors *given, struct factors primes)
{
  size_t found = 0;
  for (size_t i = 0; i < given->count; i++)
    for (size_t j = 0; j < primes.count; j++)
      if (primes.items[j] == given->items[i]) {
        primes.items[j] = 0;
        found++;
        break;
      }
  return found;
}

/* Behind "980 =" and "my answer:" stands the product; the last equal sign or colon counts. */
static bool read_answer(const char *s, struct answer_span *span, struct factors *out)
{
  size_t start = span->start, end = span->start + span->length;
  if (read_product(s + start, end - start, out)) return true;
  for (size_t at = end; at-- > start;) {
    if (s[at] != '=' && s[at] != ':') continue;
    span->start = at + 1;
    span->length = end - at - 1;
    answer_strip(s, &span->start, &span->length);
    return read_product(s + span->start, span->length, out);
  }
  return false;
}

static int known_primes(struct arena *a, const json_t *meta, const char *answer, struct factors *out, struct error *err)
{
  const char *known;
  TRY(answer_known(a, meta, answer, &known, err));
  if (!read_product(known, strlen(known), out) || !product_of(out))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer", "found the answer \"%.60s\"; expected a product of primes", known);
  return 0;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  struct factors primes, given;
  struct answer_span span;
  const char *why;
  TRY(known_primes(a, meta, answer, &primes, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  bool readable = read_answer(response, &span, &given);
  const char *text = response + span.start;
  int shown = (int)(span.length < 100 ? span.length : 100);
  if (!readable)
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%.*s (%s) is no product of whole numbers", shown, text,
                          span.rule);
  long long want = (long long)product_of(&primes);
  if (product_of(&given) != want)
    return answer_verdict(a, out, text, span.length, false, 0, err, "%.*s (%s) is not %lld", shown, text, span.rule,
                          want);
  size_t found = count_primes(&given, primes);
  bool correct = found == primes.count && given.count == primes.count;
  return answer_verdict(a, out, text, span.length, correct, 0.5 * (double)found / (double)primes.count, err,
                        "%.*s (%s) is %lld, %s", shown, text, span.rule, want,
                        correct ? "in primes: right" : "but not all of it is prime");
}

static int open_primes(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_value", "max_value", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_prime_factorization = {
    .name = "prime_factorization",
    .help = "A whole number as the product of its primes",
    .right =
        "The primes, in any order, with ×, *, x, · or commas between them; powers (2^2 × 3, 2² · 3) count. A "
        "right product that is not all prime earns half of the share of the primes that stand in it.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_primes,
    .make = make,
    .check = check,
};

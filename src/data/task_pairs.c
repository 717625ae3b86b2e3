#include "data/task_pairs.h"
#include <string.h>
#include "core/rng.h"
#include "data/number.h"

enum {
  LIST_LIMIT = 1 << 20, /* pairs that are listed */
  DRAW_LIMIT = 10000    /* draws until one falls on the wanted side */
};

struct pairs_state {
  const struct pairs_kind *kind;
  int64_t min, max;
  double held_out;    /* fraction held out: hashes below it */
  double train_until; /* hashes from here on are set aside */
  const char *text;   /* the template, with {a} and {b} */
  bool plain;
  const uint32_t *listed; /* [count] (a - min) * width + (b - min), ascending; NULL: drawn */
};

const struct setting pairs_options[PAIRS_OPTION_COUNT] = {
    {"digits", SETTING_INT, 1, 18, "2", NULL, "digits of an operand: 1 gives 0..9, 2 gives 10..99"},
    {"min", SETTING_INT, 0, 1e18, NULL, NULL, "smallest operand (default: from digits)"},
    {"max", SETTING_INT, 0, 1e18, NULL, NULL, "largest operand (default: from digits)"},
    {"held_out", SETTING_REAL, 0, 1, "0.2", NULL, "fraction of the pairs that are held out"},
    {"train_until", SETTING_REAL, 0, 1, "1", NULL,
     "where training ends: the pairs from here to 1 are in neither side (another recipe's held_out can start there)"},
    {"held_out_count", SETTING_INT, 1, LIST_LIMIT, NULL, NULL,
     "ordered pairs that are held out, exactly (instead of held_out)"},
    {"format", SETTING_TEXT, 0, 0, "question", "question plain",
     "question: a chat message; plain: a text to go on with, like 12+34="},
    {"template", SETTING_TEXT, 0, 0, NULL, NULL, "text of a problem, with {a} and {b}"},
};

/* A number in 0..2^32-1 that is the same for (a, b) and (b, a). */
static void hash_pair(uint32_t key, int64_t a, int64_t b, uint32_t out[4])
{
  uint64_t low = (uint64_t)(a < b ? a : b), high = (uint64_t)(a < b ? b : a);
  const uint32_t counter[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)};
  const uint32_t keys[2] = {key, 0x5eed0001u};
  rng_philox(counter, keys, out);
}

static bool on_side(const struct pairs_state *s, int64_t a, int64_t b, bool held_out)
{
  uint32_t h[4];
  hash_pair(s->kind->split_key, a, b, h);
  double at = (double)h[0] / 4294967296.0;
  return held_out ? at < s->held_out : at >= s->held_out && at < s->train_until;
}

/* ---- exactly so many held out ------------------------------------------------------------------------------------ */

struct ranked {
  uint64_t hash;
  uint32_t low, high; /* operands - min */
};

static void sift(struct ranked *r, size_t root, size_t n)
{
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && r[child].hash < r[child + 1].hash) child++;
    if (r[root].hash >= r[child].hash) return;
    struct ranked t = r[root];
    r[root] = r[child];
    r[child] = t;
  }
}

static void sort_ranked(struct ranked *r, size_t n)
{
  for (size_t i = n / 2; i-- > 0;) sift(r, i, n);
  for (size_t i = n; i-- > 1;) {
    struct ranked t = r[0];
    r[0] = r[i];
    r[i] = t;
    sift(r, 0, i);
  }
}

/* Marks exactly `count` ordered pairs: unordered ones in the order of their hash, leaving out what would go beyond. */
static int mark_exactly(struct arena *a, const struct pairs_state *s, uint32_t width, int64_t count, uint8_t *held,
                        struct error *err)
{
  size_t n = 0;
  struct ranked *r = ARENA_NEW(a, struct ranked, (size_t)width * (width + 1) / 2, "task", err);
  if (!r) return err->code;
  for (uint32_t low = 0; low < width; low++)
    for (uint32_t high = low; high < width; high++) {
      uint32_t h[4];
      hash_pair(s->kind->split_key, s->min + low, s->min + high, h);
      r[n++] = (struct ranked){(uint64_t)h[1] << 32 | h[2], low, high};
    }
  sort_ranked(r, n);
  for (size_t i = 0; i < n && count; i++) {
    int64_t size = r[i].low == r[i].high ? 1 : 2;
    if (size > count) continue;
    held[r[i].low * width + r[i].high] = held[r[i].high * width + r[i].low] = 1;
    count -= size;
  }
  return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int list_side(struct arena *a, struct task_config *c, struct pairs_state *s, uint32_t width, struct error *err)
{
  const struct setting_value *exactly = task_value(c, "held_out_count");
  size_t all = (size_t)width * width;
  uint32_t *listed = ARENA_NEW(a, uint32_t, all, "task", err);
  uint8_t *held = listed ? ARENA_NEW(a, uint8_t, all, "task", err) : NULL;
  if (!held) return err->code;
  if (exactly->set) TRY(mark_exactly(a, s, width, exactly->integer, held, err));
  c->count = 0;
  for (uint32_t i = 0; i < all; i++) {
    if (exactly->set ? held[i] == c->held_out : on_side(s, s->min + i / width, s->min + i % width, c->held_out))
      listed[c->count++] = i;
  }
  s->listed = listed;
  if (!c->count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "held_out",
            "found no %s problems among %zu; expected at least one; change held_out, or the range of the operands",
            c->held_out ? "held-out" : "train", all);
  return 0;
}

static int check_template(const char *text, struct error *err)
{
  for (const char *at = text; (at = strchr(at, '{')); at++)
    if (strncmp(at, "{a}", 3) != 0 && strncmp(at, "{b}", 3) != 0)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "template", "found template \"%s\"; expected {a} and {b} and no other braces",
              text);
  if (!strstr(text, "{a}") || !strstr(text, "{b}"))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "template", "found template \"%s\"; expected both {a} and {b} in it", text);
  return 0;
}

static int choose_range(const struct task_config *c, struct pairs_state *s, struct error *err)
{
  const struct setting_value *min = task_value(c, "min"), *max = task_value(c, "max");
  int64_t digits = task_value(c, "digits")->integer, power = 1, limit = 1;
  if (digits > s->kind->max_digits)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "digits", "found digits: %lld; expected 1 to %d, so that answers fit 64 bits",
            (long long)digits, s->kind->max_digits);
  for (int64_t i = 1; i < digits; i++) power *= 10;
  for (int i = 0; i < s->kind->max_digits; i++) limit *= 10;
  s->min = min->set ? min->integer : digits == 1 ? 0 : power;
  s->max = max->set ? max->integer : 10 * power - 1;
  if (s->min > s->max)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "min", "found operands from %lld to %lld; expected min <= max",
            (long long)s->min, (long long)s->max);
  if (s->max >= limit)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max", "found max: %lld; expected less than %lld, so that answers fit 64 bits",
            (long long)s->max, (long long)limit);
  return 0;
}

int pairs_open(struct arena *a, struct task_config *c, const struct pairs_kind *kind, struct error *err)
{
  struct pairs_state *s = ARENA_NEW(a, struct pairs_state, 1, "task", err);
  if (!s) return err->code;
  const struct setting_value *text = task_value(c, "template"), *exactly = task_value(c, "held_out_count");
  s->kind = kind;
  s->plain = !strcmp(task_value(c, "format")->text, "plain");
  s->held_out = task_value(c, "held_out")->real;
  s->train_until = task_value(c, "train_until")->real;
  s->text = text->set  ? text->text
            : s->plain ? arena_printf(a, "task", err, "{a}%s{b}=", kind->sign)
                       : arena_printf(a, "task", err, "What is {a} %s {b}? Answer with a number.", kind->sign);
  if (!s->text) return err->code;
  TRY(check_template(s->text, err));
  TRY(choose_range(c, s, err));
  c->state = s;
  uint64_t width = (uint64_t)(s->max - s->min) + 1;
  if (width <= 1024) return list_side(a, c, s, (uint32_t)width, err);
  if (exactly->set)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "held_out_count",
            "found held_out_count with %llu operands; expected at most 1024 of them; use held_out, a fraction",
            (unsigned long long)width);
  bool none = c->held_out ? s->held_out <= 0 : s->held_out >= s->train_until;
  if (none)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "held_out",
            "found held_out: %g and %s problems wanted; expected a fraction that leaves some", s->held_out,
            c->held_out ? "held-out" : "train");
  return 0;
}

/* ---- making and checking ----------------------------------------------------------------------------------------- */

/* Uniform in min..max: as many bits as the range needs, drawn again while they lie outside. */
static int64_t draw_operand(const struct task_config *c, const struct pairs_state *s, uint64_t index, uint32_t which,
                            uint32_t draw)
{
  struct rng_at at = {.purpose = RNG_TASK,
                      .step = (uint32_t)(index >> 32),
                      .position = (uint32_t)index,
                      .group = which,
                      .attempt = draw,
                      .rollout = s->kind->split_key};
  uint64_t span = (uint64_t)(s->max - s->min), mask = span;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  for (;; at.draw++) {
    uint32_t bits[4];
    rng_block(c->seed, &at, bits);
    uint64_t value = ((uint64_t)bits[0] << 32 | bits[1]) & mask;
    if (value <= span) return s->min + (int64_t)value;
  }
}

static int choose_pair(const struct task_config *c, const struct pairs_state *s, uint64_t index, int64_t *x, int64_t *y,
                       struct error *err)
{
  int64_t width = s->max - s->min + 1;
  if (s->listed) {
    ASSAY_BUG_IF(index >= c->count);
    *x = s->min + s->listed[index] / width;
    *y = s->min + s->listed[index] % width;
    return 0;
  }
  for (uint32_t draw = 0; draw < DRAW_LIMIT; draw++) {
    *x = draw_operand(c, s, index, 0, draw);
    *y = draw_operand(c, s, index, 1, draw);
    if (on_side(s, *x, *y, c->held_out)) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "held_out",
          "found no %s problem in %d draws with held_out: %g; expected a fraction that leaves some",
          c->held_out ? "held-out" : "train", DRAW_LIMIT, s->held_out);
}

/* The template with the operands in it. */
static char *fill(struct arena *a, const char *text, int64_t x, int64_t y, struct error *err)
{
  struct text t = {0};
  for (const char *at = text; *at; at++) {
    if (*at != '{') {
      text_add(&t, at, 1);
      continue;
    }
    text_printf(&t, "%lld", (long long)(at[1] == 'a' ? x : y));
    at += 2;
  }
  char *out = text_finish(&t, err) ? NULL : arena_strndup(a, t.bytes, t.size, "task", err);
  text_free(&t);
  return out;
}

int pairs_make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
               struct error *err)
{
  const struct pairs_state *s = c->state;
  int64_t x, y;
  TRY(choose_pair(c, s, index, &x, &y, err));
  out->question = fill(a, s->text, x, y, err);
  out->prompt = s->plain ? out->question : NULL;
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)s->kind->answer(x, y)) : NULL;
  out->meta =
      out->answer ? arena_printf(a, "task", err, "{\"a\": %lld, \"b\": %lld}", (long long)x, (long long)y) : NULL;
  return out->meta ? 0 : err->code;
}

int pairs_check(struct arena *a, const struct pairs_kind *kind, const json_t *meta, const char *response, size_t n,
                struct task_verdict *out, struct error *err)
{
  struct number want, *got;
  struct number_found found;
  int64_t x, y, limit = 1;
  for (int i = 0; i < kind->max_digits; i++) limit *= 10;
  TRY(json_need_int(meta, "a", 0, limit - 1, &x, NULL, err));
  TRY(json_need_int(meta, "b", 0, limit - 1, &y, NULL, err));
  char answer[32];
  int size = snprintf(answer, sizeof answer, "%lld", (long long)kind->answer(x, y));
  number_read(answer, (size_t)size, 0, &want);
  *out = (struct task_verdict){0};
  if (!number_extract(response, n, &found, &out->reason)) return 0;
  got = &found.value;
  out->readable = true;
  out->correct = !got->percent && number_equal(got, &want);
  out->reward = out->correct ? 1 : 0;
  out->extracted = arena_strndup(a, response + found.start, found.length, "verdict", err);
  out->reason = arena_printf(a, "verdict", err, "%.*s (%s) is %s %s", (int)(found.length < 64 ? found.length : 64),
                             response + found.start, found.rule, out->correct ? "right:" : "not", answer);
  return out->extracted && out->reason ? 0 : err->code;
}

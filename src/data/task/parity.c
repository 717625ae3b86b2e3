/* Whether a string of bits has an even or an odd number of ones. */
#include <string.h>
#include "data/task_text.h"

enum { SPLIT_KEY = 0x1a417001, BIT_LIMIT = 1000 };

static const struct setting options[] = {
    {"min_bits", SETTING_INT, 1, BIT_LIMIT, "4", NULL, "fewest bits"},
    {"max_bits", SETTING_INT, 1, BIT_LIMIT, "16", NULL, "most bits"},
    TASK_HELD_OUT,
};

static const char *parity_of(const char *bits)
{
  size_t ones = 0;
  for (; *bits; bits++) ones += *bits == '1';
  return ones % 2 ? "odd" : "even";
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  char bits[BIT_LIMIT + 1];
  size_t count = (size_t)task_draw_between(c, d, "min_bits", "max_bits");
  for (size_t i = 0; i < count; i++) bits[i] = draw_index(d, 2) ? '1' : '0';
  bits[count] = '\0';
  out->answer = parity_of(bits);
  out->question = arena_printf(
      a, "task", err, "Is the number of ones in this string of bits even or odd: %s? Answer even or odd.", bits);
  out->meta = arena_printf(a, "task", err, "{\"bits\": \"%s\"}", bits);
  return out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_bits", "max_bits", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* "even" or "odd" where the text says one of them and neither "not" nor the other; else NULL. */
static const char *read_parity(const char *s, size_t n)
{
  const char *found = NULL;
  for (size_t at = 0; at < n;) {
    size_t end = at;
    while (end < n && is_letter(s[end])) end++;
    const char *word = is_word(s + at, end - at, "even") ? "even" : is_word(s + at, end - at, "odd") ? "odd" : NULL;
    if ((word && found && word[0] != found[0]) || is_word(s + at, end - at, "not")) return NULL;
    if (word) found = word;
    at = end > at ? end : at + 1;
  }
  return found;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  const char *bits = json_string_value(json_object_get(meta, "bits")), *want, *got, *why;
  struct answer_span span;
  if (bits)
    want = parity_of(bits);
  else
    TRY(answer_known(a, meta, answer, &want, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  got = read_parity(response + span.start, span.length);
  if (!got)
    return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is not one of even and odd", span.rule);
  bool right = is_word(want, strlen(want), got);
  return answer_verdict(a, out, got, strlen(got), right, 0, err, "%s (%s) is %s", got, span.rule,
                        right ? "right" : "wrong");
}

const struct task task_parity = {
    .name = "parity",
    .help = "Whether a string of bits has an even or an odd number of ones",
    .right = "The answer says even or odd, and not both; case is nothing. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

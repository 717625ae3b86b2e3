/* Letters to be put in an order that reads the same in both directions. */
#include <string.h>
#include "data/task_text.h"

enum { SPLIT_KEY = 0x1a11d401, LETTER_LIMIT = 100 };

static const struct setting options[] = {
    {"min_length", SETTING_INT, 1, LETTER_LIMIT, "3", NULL, "fewest letters"},
    {"max_length", SETTING_INT, 1, LETTER_LIMIT, "10", NULL, "most letters"},
    TASK_HELD_OUT,
};

static void sort_letters(char *s, size_t n)
{
  for (size_t i = 1; i < n; i++)
    for (size_t j = i; j > 0 && s[j - 1] > s[j]; j--) {
      char kept = s[j];
      s[j] = s[j - 1];
      s[j - 1] = kept;
    }
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  char word[LETTER_LIMIT], letters[LETTER_LIMIT];
  size_t n = (size_t)task_draw_between(c, d, "min_length", "max_length");
  ASSAY_BUG_IF(n < 1 || n > LETTER_LIMIT);
  struct text question = {0}, meta = {0};
  for (size_t i = 0; i < (n + 1) / 2; i++) word[i] = word[n - 1 - i] = (char)('a' + draw_index(d, 26));
  memcpy(letters, word, n);
  draw_shuffle(d, letters, n, 1);
  text_puts(&question,
            "Put these letters in an order that reads the same forward and backward, using each exactly as "
            "often as it is given: ");
  text_puts(&meta, "{\"letters\": [");
  for (size_t i = 0; i < n; i++) {
    text_printf(&question, "%s%c", i ? ", " : "", letters[i]);
    text_printf(&meta, "%s\"%c\"", i ? ", " : "", letters[i]);
  }
  text_puts(&question, ". Answer with one word, like abcba.");
  text_puts(&meta, "]}");
  sort_letters(letters, n);
  out->answer = arena_strndup(a, word, n, "task", err);
  out->question = text_keep(a, &question, err);
  out->meta = text_keep(a, &meta, err);
  d->canonical = arena_strndup(a, letters, n, "task", err);
  return out->answer && out->question && out->meta && d->canonical ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_length", "max_length", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* The letters to be used, sorted, from meta or from a known answer. */
static int need_letters(struct arena *a, const json_t *meta, const char *answer, char want[LETTER_LIMIT], size_t *count,
                        struct error *err)
{
  const char *letters[LETTER_LIMIT];
  TRY(meta_strings(meta, "letters", letters, LETTER_LIMIT, count, err));
  for (size_t i = 0; i < *count; i++) want[i] = to_lower(letters[i][0]);
  if (!*count) {
    TRY(answer_known(a, meta, answer, &answer, err));
    letters_read(answer, strlen(answer), want, LETTER_LIMIT, count);
    if (!*count) FAIL_AT(err, ERROR_INPUT, NULL, 0, "letters", "found no letters in meta; expected a list of them");
  }
  sort_letters(want, *count);
  return 0;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  char want[LETTER_LIMIT], word[LETTER_LIMIT], sorted[LETTER_LIMIT];
  size_t count, length, mirrored = 0;
  struct answer_span span;
  const char *why;
  TRY(need_letters(a, meta, answer, want, &count, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  letters_read(response + span.start, span.length, word, sizeof word, &length);
  if (!length) return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is not one word", span.rule);
  memcpy(sorted, word, length);
  sort_letters(sorted, length);
  if (length != count || memcmp(sorted, want, count) != 0)
    return answer_verdict(a, out, response + span.start, span.length, false, 0, err,
                          "%.*s does not use exactly the given letters", (int)length, word);
  for (size_t i = 0; i < count / 2; i++) mirrored += word[i] == word[count - 1 - i];
  bool right = mirrored == count / 2;
  return answer_verdict(a, out, response + span.start, span.length, right,
                        right ? 1 : 0.5 * (double)mirrored / (double)(count / 2), err, "%.*s %s", (int)length, word,
                        right ? "reads the same in both directions" : "does not read the same backward");
}

const struct task task_palindrome_generation = {
    .name = "palindrome_generation",
    .help = "Letters to be put in an order that reads the same in both directions",
    .right =
        "Any palindrome that uses every letter exactly as often as it is given; case is nothing. Partial credit, for "
        "exactly the given letters: half the share of pairs (first and last, ...) that match.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

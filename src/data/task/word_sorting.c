/* Words to be sorted by their characters' codes. */
#include <string.h>
#include "data/task_text.h"
#include "data/task_words.h"

enum { SPLIT_KEY = 0x5047d401, WORD_LIMIT = 100 };

static const struct setting options[] = {
    {"min_words", SETTING_INT, 2, WORD_LIMIT, "3", NULL, "fewest words"},
    {"max_words", SETTING_INT, 2, WORD_LIMIT, "10", NULL, "most words"},
    {"min_word_length", SETTING_INT, 3, TASK_WORD_LONGEST, "3", NULL, "fewest letters of a word"},
    {"max_word_length", SETTING_INT, 3, TASK_WORD_LONGEST, "11", NULL, "most letters of a word"},
    {"transformation", SETTING_TEXT, 0, 0, "lowercase", "lowercase uppercase capitalized randomcase",
     "how words are written; capital letters come before small ones"},
    TASK_HELD_OUT,
};

static char *write_word(struct arena *a, const struct task_config *c, struct draw *d, const char *word,
                        struct error *err)
{
  const char *how = task_value(c, "transformation")->text;
  char *out = arena_strdup(a, word, "task", err);
  for (size_t i = 0; out && out[i]; i++) {
    bool upper = how[0] == 'u' || (how[0] == 'c' && i == 0) || (how[0] == 'r' && draw_index(d, 2));
    if (upper) out[i] = (char)(out[i] - 32);
  }
  return out;
}

static void sort_words(const char **words, size_t count, bool descending)
{
  for (size_t i = 1; i < count; i++)
    for (size_t j = i; j > 0 && (strcmp(words[j - 1], words[j]) > 0) != descending; j--) {
      const char *kept = words[j];
      words[j] = words[j - 1];
      words[j - 1] = kept;
    }
}

static char *join(struct arena *a, const char *const *words, size_t count, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < count; i++) text_printf(&t, "%s%s", i ? ", " : "", words[i]);
  return text_keep(a, &t, err);
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  const char *words[WORD_LIMIT], *listed;
  size_t count = (size_t)task_draw_between(c, d, "min_words", "max_words");
  bool descending = draw_index(d, 2) == 1;
  struct text meta = {0};
  words_draw_distinct(d, task_int(c, "min_word_length"), task_int(c, "max_word_length"), words, count);
  for (size_t i = 0; i < count; i++)
    if (!(words[i] = write_word(a, c, d, words[i], err))) return err->code;
  if (!(listed = join(a, words, count, err))) return err->code;
  text_puts(&meta, "{\"original_words\": ");
  put_strings(&meta, words, count);
  sort_words(words, count, false);
  d->canonical = join(a, words, count, err); /* every order of the same words is on one side */
  sort_words(words, count, descending);
  text_printf(&meta, ", \"direction\": \"%s\", \"sorted_words\": ", descending ? "descending" : "ascending");
  put_strings(&meta, words, count);
  text_puts(&meta, "}");
  out->answer = join(a, words, count, err);
  out->meta = text_keep(a, &meta, err);
  out->question = arena_printf(
      a, "task", err, "Sort these words in %s order%s: %s. Answer with the words, separated by commas.",
      descending ? "descending" : "ascending",
      task_value(c, "transformation")->text[0] == 'r' ? " by their ASCII codes (capital letters before small ones)"
                                                      : " of the alphabet",
      listed);
  return d->canonical && out->answer && out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_words", "max_words", err));
  TRY(words_need(c, "min_word_length", "max_word_length", (size_t)task_int(c, "max_words"), err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* The sorted words: meta's, or those of a known answer. */
static int need_words(struct arena *a, const json_t *meta, const char *answer, struct list_item want[WORD_LIMIT],
                      size_t *count, struct error *err)
{
  const char *words[WORD_LIMIT];
  TRY(meta_strings(meta, "sorted_words", words, WORD_LIMIT, count, err));
  for (size_t i = 0; i < *count; i++) want[i] = (struct list_item){words[i], strlen(words[i])};
  if (*count) return 0;
  TRY(answer_known(a, meta, answer, &answer, err));
  *count = list_read(answer, strlen(answer), want, WORD_LIMIT);
  if (!*count) FAIL_AT(err, ERROR_INPUT, NULL, 0, "sorted_words", "found no sorted_words in meta; expected a list");
  return 0;
}

static bool same(struct list_item x, struct list_item y)
{
  return x.n == y.n && !memcmp(x.at, y.at, x.n);
}

/* Every word exactly as often as in want. */
static bool same_words(const struct list_item *want, const struct list_item *got, size_t count)
{
  bool used[WORD_LIMIT] = {false};
  for (size_t i = 0; i < count; i++) {
    size_t j = 0;
    while (j < count && (used[j] || !same(want[i], got[j]))) j++;
    if (j == count) return false;
    used[j] = true;
  }
  return true;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  struct list_item want[WORD_LIMIT], got[WORD_LIMIT];
  size_t count, found, right = 0;
  struct answer_span span;
  const char *why;
  TRY(need_words(a, meta, answer, want, &count, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  found = list_read(read, span.length, got, WORD_LIMIT);
  if (!found) return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is no list of words", span.rule);
  if (found != count || !same_words(want, got, count))
    return answer_verdict(a, out, read, span.length, false, 0, err,
                          "the answer (%s) has not exactly the %zu given words", span.rule, count);
  for (size_t i = 0; i < count; i++) right += same(want[i], got[i]);
  return answer_verdict(a, out, read, span.length, right == count, 0.5 * (double)right / (double)count, err,
                        "%zu of %zu words are in their place", right, count);
}

const struct task task_word_sorting = {
    .name = "word_sorting",
    .help = "Words to be sorted, forward or backward",
    .right =
        "All the given words, written as given, in the order asked for, separated by commas (or blanks; brackets and "
        "quotes may stand around). Partial credit, for exactly the given words: half the share in their place.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

/* A text whose letters were all moved by the same distance in the alphabet, to be read without knowing the distance. */
#include <string.h>
#include "data/task_text.h"
#include "data/task_words.h"

enum { SPLIT_KEY = 0x4ae5a401, WORD_LIMIT = 100 };

static const struct setting options[] = {
    {"min_words", SETTING_INT, 1, WORD_LIMIT, "3", NULL, "fewest words"},
    {"max_words", SETTING_INT, 1, WORD_LIMIT, "20", NULL, "most words"},
    {"min_rotation", SETTING_INT, 1, 25, "1", NULL, "shortest distance that letters move"},
    {"max_rotation", SETTING_INT, 1, 25, "25", NULL, "longest distance that letters move"},
    TASK_HELD_OUT,
};

/* The word with its letters moved, `first` for 'a'; returns its length. */
static size_t rotate(const char *word, int by, char first, char out[TASK_WORD_LONGEST + 1])
{
  size_t n = 0;
  for (; n < TASK_WORD_LONGEST && word[n]; n++) out[n] = (char)(first + (word[n] - 'a' + by) % 26);
  return n;
}

/* Whether another distance gives words of the list as well: then the text could be read in two ways. */
static bool is_ambiguous(const char *const *words, size_t count)
{
  for (int by = 1; by < 26; by++) {
    size_t known = 0;
    for (; known < count; known++) {
      char moved[TASK_WORD_LONGEST + 1];
      if (!words_has(moved, rotate(words[known], by, 'a', moved))) break;
    }
    if (known == count) return true;
  }
  return false;
}

static char *write_text(struct arena *a, const char *const *words, size_t count, int by, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < count; i++) {
    char moved[TASK_WORD_LONGEST + 1];
    if (i) text_puts(&t, " ");
    text_add(&t, moved, rotate(words[i], by, 'A', moved));
  }
  return text_keep(a, &t, err);
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  const char *words[WORD_LIMIT], *cipher;
  size_t count = (size_t)task_draw_between(c, d, "min_words", "max_words");
  int by = (int)task_draw_between(c, d, "min_rotation", "max_rotation");
  do {
    words_draw_distinct(d, 1, TASK_WORD_LONGEST, words, count);
  } while (is_ambiguous(words, count));
  cipher = write_text(a, words, count, by, err);
  d->canonical = out->answer = write_text(a, words, count, 0, err); /* every distance is on one side */
  if (!cipher || !out->answer) return err->code;
  out->question = arena_printf(a, "task", err,
                               "Every letter of this text was moved by the same distance in the alphabet (a Caesar "
                               "cipher): %s. What did it say? Answer with the text alone.",
                               cipher);
  out->meta = arena_printf(a, "task", err, "{\"rotation\": %d, \"cipher_text\": \"%s\", \"clear_text\": \"%s\"}", by,
                           cipher, out->answer);
  return out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_words", "max_words", err));
  TRY(task_need_order(c, "min_rotation", "max_rotation", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* The next run of characters that are not blank; false at the end. */
static bool next_word(const char *s, size_t n, size_t *at, struct list_item *word)
{
  while (*at < n && strchr(" \t\r\n", s[*at]) && s[*at]) ++*at;
  word->at = s + *at;
  size_t start = *at;
  while (*at < n && !(strchr(" \t\r\n", s[*at]) && s[*at])) ++*at;
  word->n = *at - start;
  return word->n > 0;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  const char *want = json_string_value(json_object_get(meta, "clear_text")), *why;
  struct answer_span span;
  struct list_item x, y;
  if (!want) TRY(answer_known(a, meta, answer, &want, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  size_t at = 0, wanted_at = 0, size = strlen(want), right = 0, count = 0;
  bool more, wanted;
  for (;; count++) {
    more = next_word(response + span.start, span.length, &at, &x);
    wanted = next_word(want, size, &wanted_at, &y);
    if (!more || !wanted) break;
    right += x.n == y.n && same_letters(x.at, y.at, x.n);
  }
  bool fits = !more && !wanted && count;
  return answer_verdict(a, out, response + span.start, span.length, fits && right == count,
                        fits ? 0.5 * (double)right / (double)count : 0, err, "%zu %s of the text %s right", right,
                        right == 1 ? "word" : "words", right == 1 ? "is" : "are");
}

const struct task task_caesar_cipher = {
    .name = "caesar_cipher",
    .help = "A text whose letters were moved by an unknown distance in the alphabet",
    .right =
        "The text, word for word, case aside. Partial credit, where the number of words is right: half the share of "
        "words that are.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

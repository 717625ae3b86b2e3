/* The last letters of some words, put together. */
#include <string.h>
#include "data/task_text.h"
#include "data/task_words.h"

enum { SPLIT_KEY = 0x1a571e77, WORD_LIMIT = 64 };

static const struct setting options[] = {
    {"min_words", SETTING_INT, 1, WORD_LIMIT, "2", NULL, "fewest words"},
    {"max_words", SETTING_INT, 1, WORD_LIMIT, "4", NULL, "most words"},
    TASK_HELD_OUT,
};

/* The last letters of the words of s, which are separated by single blanks. */
static char *last_letters(struct arena *a, const char *s, struct error *err)
{
  char letters[WORD_LIMIT + 1];
  size_t count = 0;
  for (; *s && count < WORD_LIMIT; s++)
    if (*s != ' ' && (s[1] == ' ' || !s[1])) letters[count++] = *s;
  return arena_strndup(a, letters, count, "task", err);
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  const char *words[WORD_LIMIT], *phrase;
  size_t count = (size_t)task_draw_between(c, d, "min_words", "max_words");
  struct text t = {0};
  words_draw_distinct(d, 1, TASK_WORD_LONGEST, words, count);
  for (size_t i = 0; i < count; i++) text_printf(&t, "%s%s", i ? " " : "", words[i]);
  if (!(phrase = text_keep(a, &t, err))) return err->code;
  out->answer = last_letters(a, phrase, err);
  out->question =
      arena_printf(a, "task", err,
                   "Take the last letter of each of these words, in order, and put them together: %s. Answer "
                   "with the letters as one word.",
                   phrase);
  out->meta = arena_printf(a, "task", err, "{\"words\": \"%s\"}", phrase);
  return out->answer && out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_words", "max_words", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  const char *words = json_string_value(json_object_get(meta, "words")), *want;
  if (words) {
    want = last_letters(a, words, err);
    if (!want) return err->code;
  } else {
    TRY(answer_known(a, meta, answer, &want, err));
  }
  return word_check(a, want, response, n, out, err);
}

const struct task task_last_letter = {
    .name = "last_letter",
    .help = "The last letters of some words, put together",
    .right =
        "The letters in order, as one word or with blanks, commas or hyphens between them; case is nothing. Partial "
        "credit: half the share of letters in their place, where their number is right.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

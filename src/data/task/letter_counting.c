/* How often a letter occurs in a text. */
#include <string.h>
#include "data/task_number.h"
#include "data/task_text.h"
#include "data/task_words.h"

enum { SPLIT_KEY = 0x1e77c047, WORD_LIMIT = 100 };

static const struct setting options[] = {
    {"min_words", SETTING_INT, 1, WORD_LIMIT, "5", NULL, "fewest words of the text"},
    {"max_words", SETTING_INT, 1, WORD_LIMIT, "15", NULL, "most words of the text"},
    TASK_HELD_OUT,
};

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  const char *words[WORD_LIMIT], *span;
  size_t count = (size_t)task_draw_between(c, d, "min_words", "max_words"), size, found = 0;
  struct text t = {0};
  words_draw_distinct(d, 1, TASK_WORD_LONGEST, words, count);
  for (size_t i = 0; i < count; i++) text_printf(&t, "%s%s", i ? " " : "", words[i]);
  if (!(span = text_keep(a, &t, err))) return err->code;
  size = strlen(span);
  char letter;
  do {
    letter = span[draw_index(d, size)];
  } while (letter == ' ');
  for (size_t i = 0; i < size; i++) found += span[i] == letter;
  out->answer = arena_printf(a, "task", err, "%zu", found);
  out->question = arena_printf(
      a, "task", err, "How many times does the letter \"%c\" occur in this text: \"%s\"? Answer with a number.", letter,
      span);
  out->meta = arena_printf(a, "task", err, "{\"span\": \"%s\", \"target_letter\": \"%c\", \"answer\": %zu}", span,
                           letter, found);
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
  return task_number_check(a, meta, answer, response, n, out, err);
}

const struct task task_letter_counting = {
    .name = "letter_counting",
    .help = "How often a letter occurs in a text",
    .right =
        "The text's last number (or the one in \\boxed{}, behind #### or \"answer is\") is the count. No partial "
        "credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

/* Words spelled from the last letter to the first. */
#include <string.h>
#include "data/task_text.h"
#include "data/task_words.h"

enum { SPLIT_KEY = 0x5be11001 };

static const struct setting options[] = {
    {"min_word_len", SETTING_INT, 3, TASK_WORD_LONGEST, "3", NULL, "fewest letters"},
    {"max_word_len", SETTING_INT, 3, TASK_WORD_LONGEST, "10", NULL, "most letters"},
    TASK_HELD_OUT,
};

static char *backward(struct arena *a, const char *word, struct error *err)
{
  size_t n = strlen(word);
  char *out = arena_strndup(a, word, n, "task", err);
  for (size_t i = 0; i < n && out; i++) out[i] = word[n - 1 - i];
  return out;
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  const char *word = words_draw(d, task_int(c, "min_word_len"), task_int(c, "max_word_len"));
  out->answer = backward(a, word, err);
  out->question = arena_printf(
      a, "task", err, "Spell this word backward: %s. Answer with the reversed word, like olleh for hello.", word);
  out->meta = arena_printf(a, "task", err, "{\"word\": \"%s\"}", word);
  return out->answer && out->question && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(words_need(c, "min_word_len", "max_word_len", 1, err));
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
  const char *word = json_string_value(json_object_get(meta, "word")), *want;
  if (word) {
    want = backward(a, word, err);
    if (!want) return err->code;
  } else {
    TRY(answer_known(a, meta, answer, &want, err));
  }
  return word_check(a, want, response, n, out, err);
}

const struct task task_spell_backward = {
    .name = "spell_backward",
    .help = "Words spelled from the last letter to the first",
    .right =
        "The reversed word; case is nothing, and s-u-n is sun. Partial credit: half the share of letters in their "
        "place, where the length is right.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};

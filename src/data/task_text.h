/* data/task_text: what tasks over words share: texts into an arena, JSON lists, and the checkers of two kinds of
 * answer: one word, and a count.
 */
#ifndef ASSAY_DATA_TASK_TEXT_H
#define ASSAY_DATA_TASK_TEXT_H

#include "data/task_answer.h"
#include "data/task_draw.h"

/* The text in arena a; frees t. NULL and err set on no memory. */
char *text_keep(struct arena *a, struct text *t, struct error *err);
/* ["a", "b"] */
void put_strings(struct text *t, const char *const *items, size_t count);

bool is_letter(char c);
char to_lower(char c);
bool same_letters(const char *x, const char *y, size_t n); /* case aside */
/* s[0..n) is `word` (lower case), whatever its case. */
bool is_word(const char *s, size_t n, const char *word);

/* The strings of meta's list `key` into out (at most max; pointers into meta). ERROR_INPUT where it is no list of 1 to
 * max strings; *count 0 and no error where it is absent. */
int meta_strings(const json_t *meta, const char *key, const char **out, size_t max, size_t *count,
                 struct error *err) MUST_USE;

/* One word as an answer: letters only, or single letters with blanks, commas or hyphens between them ("s-u-n"). Case is
 * nothing. Writes the letters in lower case; *length 0 where s[0..n) is nothing like it, or longer than size. */
void letters_read(const char *s, size_t n, char *out, size_t size, size_t *length);

/* The items of a list as people write it: "a, b, c", "[a, b]", "['a', 'b']", or without a comma, blanks between them.
 * Quotes and one pair of brackets around all are left aside. Pointers into s; 0: an item is empty, or more than max. */
struct list_item {
  const char *at;
  size_t n;
};
size_t list_read(const char *s, size_t n, struct list_item *items, size_t max);

/* The answer (the last line, ...: data/task_answer) is the word `want`. Partial credit: half the share of letters that
 * stand in their place, where the length is right. */
int word_check(struct arena *a, const char *want, const char *response, size_t n, struct task_verdict *out,
               struct error *err) MUST_USE;

#endif

/* data/task_words: the words that tasks are made of: 1725 common English words of 3 to 11 letters, lower case, sorted.
 */
#ifndef ASSAY_DATA_TASK_WORDS_H
#define ASSAY_DATA_TASK_WORDS_H

#include "data/task_draw.h"

enum { TASK_WORD_COUNT = 1725, TASK_WORD_LONGEST = 11 };
extern const char *const task_words[TASK_WORD_COUNT];

size_t words_between(int64_t low, int64_t high); /* how many have low to high letters */
bool words_has(const char *word, size_t n);
/* One of low to high letters (there is one: words_need); words_draw_distinct: count different ones. */
const char *words_draw(struct draw *d, int64_t low, int64_t high);
void words_draw_distinct(struct draw *d, int64_t low, int64_t high, const char **out, size_t count);
/* ERROR_INPUT unless the options named low and high are in order and leave at least count words. */
int words_need(const struct task_config *c, const char *low, const char *high, size_t count,
               struct error *err) MUST_USE;

#endif

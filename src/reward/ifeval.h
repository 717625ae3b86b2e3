/* reward/ifeval: the 25 verifiable constraints of IFEval (Zhou et al. 2023, "Instruction-Following Evaluation for Large
 * Language Models"), with the semantics of the official checkers: their patterns, their counting of words, sentences
 * and capital words. Two of their parts are models that cannot be built in and are replaced by documented rules:
 * sentences (ifeval_sentences) and languages (reward/language.h).
 */
#ifndef ASSAY_REWARD_IFEVAL_H
#define ASSAY_REWARD_IFEVAL_H

#include "core/json.h"
#include "reward/pattern.h"

/* Patterns that do not depend on the problem. X(name, flags, pattern) */
#define IFEVAL_PATTERNS(X)                                                                \
  X(WORD, 0, "\\w+")                                                                      \
  X(BRACKETS, 0, "\\[.*?\\]")                                                             \
  X(PPS, PATTERN_MULTILINE, "\\s*p\\.\\s?p\\.\\s?s.*$")                                   \
  X(PS, PATTERN_MULTILINE, "\\s*p\\.\\s?s\\..*$")                                         \
  X(STARS, PATTERN_MULTILINE, "^\\s*\\*[^\\*].*$")                                        \
  X(DASHES, PATTERN_MULTILINE, "^\\s*-.*$")                                               \
  X(HIGHLIGHT, 0, "\\*[^\\n\\*]*\\*")                                                     \
  X(DOUBLE_HIGHLIGHT, 0, "\\*\\*[^\\n\\*]*\\*\\*")                                        \
  X(TITLE, 0, "<<[^\\n]+>>")                                                              \
  X(RULE, 0, "\\s?\\*\\*\\*\\s?")                                                         \
  /* words as the Penn Treebank cuts them, in this order */                               \
  X(CUT_OPEN, 0, "([\xc2\xab\xe2\x80\x9c\xe2\x80\x98\xe2\x80\x9e]|[`]+)")                 \
  X(CUT_QUOTE_FIRST, 0, "^\"")                                                            \
  X(CUT_QUOTE_OPEN, 0, "([ \\(\\[{<])(\"|'{2})")                                          \
  X(CUT_APOSTROPHE, PATTERN_IGNORE_CASE, "(')(?!re|ve|ll|m|t|s|d|n)(\\w)\\b")             \
  X(CUT_PERIOD, 0, "([^\\.])(\\.)([\\]\\)}>\"'\xc2\xbb\xe2\x80\x9d\xe2\x80\x99 ]*)\\s*$") \
  X(CUT_COMMA, 0, "([:,])([^\\d])")                                                       \
  X(CUT_COMMA_LAST, 0, "([:,])$")                                                         \
  X(CUT_DOTS, 0, "(\\.{2,})")                                                             \
  X(CUT_SIGNS, 0, "([;@#$%&?!*\\]\\[\\(\\)\\{\\}\\<\\>]|--)")                             \
  X(CUT_SINGLE, 0, "([^'])' ")                                                            \
  X(CUT_CLOSE, 0, "([\xc2\xbb\xe2\x80\x9d\xe2\x80\x99]|''|\")")                           \
  X(CUT_SHORT, 0, "([^' ])('[sSmMdD]|') ")                                                \
  X(CUT_LONG, 0, "([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ")                             \
  X(CUT_JOINED, PATTERN_IGNORE_CASE,                                                      \
    "\\b(?|(can)(not)|(d)('ye)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(more)('n)|(wan)(na)(?=\\s))\\b")

enum ifeval_pattern {
#define IFEVAL_ENUM(name, flags, text) IFEVAL_##name,
  IFEVAL_PATTERNS(IFEVAL_ENUM)
#undef IFEVAL_ENUM
      IFEVAL_PATTERN_COUNT
};
struct ifeval_patterns {
  struct pattern *at[IFEVAL_PATTERN_COUNT];
};
int ifeval_compile(struct arena *a, struct ifeval_patterns *out, struct error *err) MUST_USE;

/* A piece of text. */
struct span {
  const char *s;
  size_t n;
};
struct span span_strip(struct span t); /* without white space at either end */

/* Lower case of a code point, and whether it is a letter in upper or lower case: ASCII without a look into tables. */
uint32_t letter_lower(uint32_t c);
enum letter_case { LETTER_NONE, LETTER_LOWER, LETTER_UPPER, LETTER_TITLE };
enum letter_case letter_case_of(uint32_t c);

/* How many sentences a text has. A sentence ends behind . ? ! (closing quotes and brackets included) before white
 * space, unless the full stop belongs to an abbreviation ("Mr.", "e.g.", an initial "J.") or a following word in lower
 * case shows that the sentence goes on behind a number or dots. */
int64_t ifeval_sentences(struct span t);
/* How many of the text's words, cut as the Penn Treebank cuts them, are in capitals ("U.S." is one, "DON'T" two). */
int ifeval_capital_words(struct arena *a, const struct ifeval_patterns *patterns, struct span t, int64_t *out,
                         struct error *err) MUST_USE;

/* One constraint of a problem. */
struct constraint {
  struct arena *arena;
  const struct ifeval_patterns *patterns;
  const json_t *arguments; /* its kwargs */
  const char *id;          /* "keywords:existence" */
  const char *reason;      /* why it does not hold; set where the last text failed */
};
/* Does the text follow it? ERROR_INPUT: an unknown id (naming the nearest) or a missing argument. */
int constraint_check(struct constraint *c, struct span t, bool *holds, struct error *err) MUST_USE;
size_t constraint_count(void);
const char *constraint_at(size_t i);

#endif

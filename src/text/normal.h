/* text/normal: what happens to a text before it is cut: a list of steps, each over the text that the one before gave.
 */
#ifndef ASSAY_TEXT_NORMAL_H
#define ASSAY_TEXT_NORMAL_H

#include "text/tokenizer.h"
#include "text/unicode.h"

enum normal_kind {
  NORMAL_FORM,    /* NFC, NFD, NFKC, NFKD */
  NORMAL_PREPEND, /* a text in front, unless the text is empty */
  NORMAL_REPLACE, /* each match of a pattern by a text */
  NORMAL_STRIP    /* white space at the ends */
};
struct normal_step {
  enum normal_kind kind;
  enum unicode_form form; /* FORM */
  const char *pattern;    /* REPLACE: as in the file */
  bool literal;           /* REPLACE: the pattern is a plain string */
  const char *content;    /* REPLACE, PREPEND: the text */
  bool left, right;       /* STRIP: which ends */
  void *code;             /* REPLACE: the compiled pattern, or NULL */
};

/* Compiles the step's pattern, if it has one that is no plain string. */
int normal_prepare(struct arena *a, struct normal_step *s, const char *file, struct error *err) MUST_USE;
/* Appends the normalised text; n bytes of UTF-8. */
int normal_run(const struct normal_step *s, const char *text, size_t n, struct text *out, struct error *err) MUST_USE;

#endif

/* text/tokenizer_state: what a tokenizer is made of; seen by the files that load, write and run it. */
#ifndef ASSAY_TEXT_TOKENIZER_STATE_H
#define ASSAY_TEXT_TOKENIZER_STATE_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/pretoken.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum { TOKENIZER_FORMS = 8, TOKENIZER_AROUND = 16 };

struct tokenizer {
  struct bpe bpe;
  struct added_token *added;
  size_t added_count;
  struct added_set plain, normalized; /* of `added`, by where they are looked for */
  bool *special;                      /* by id */
  enum unicode_form forms[TOKENIZER_FORMS];
  size_t form_count;
  struct pretoken pretoken;
  int32_t before[TOKENIZER_AROUND], after[TOKENIZER_AROUND]; /* the post-processor's tokens */
  size_t before_count, after_count;
  int32_t bos, eos, pad;
  const char *chat_template, *tool_template;
};

/* After vocabulary and added tokens are in: the special flags and the two sets. Texts of normalised tokens are
 * normalised. */
int tokenizer_finish(struct arena *a, struct tokenizer *t, struct error *err) MUST_USE;

/* The normal forms of t, one after the other, of n bytes of UTF-8; *out, *out_size point into `text` or into one of the
 * buffers. */
int tokenizer_normalize(const struct tokenizer *t, const char *text, size_t n, struct text buffers[2], const char **out,
                        size_t *out_size, struct error *err) MUST_USE;

#endif

/* text/tokenizer_state: what a tokenizer is made of; seen by the files that load, write and run it. */
#ifndef ASSAY_TEXT_TOKENIZER_STATE_H
#define ASSAY_TEXT_TOKENIZER_STATE_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/normal.h"
#include "text/pretoken.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/unigram.h"

enum { TOKENIZER_FORMS = 8, TOKENIZER_AROUND = 16 };

enum metaspace_prepend { PREPEND_ALWAYS, PREPEND_FIRST /* at the start of the whole text only */, PREPEND_NEVER };

/* Metaspace: a space becomes U+2581, and one stands in front of the text. */
struct metaspace {
  bool on, split; /* split: every U+2581 begins a piece */
  enum metaspace_prepend prepend;
};

/* How tokens become text. */
enum decode_kind {
  DECODE_BYTES,    /* ByteLevel: tokens are bytes */
  DECODE_SPACES,   /* U+2581 becomes a space, <0x0A> a byte */
  DECODE_METASPACE /* the same, but the first token loses its U+2581 */
};

struct tokenizer {
  struct bpe bpe;         /* the vocabulary, and the merges of BPE */
  struct unigram unigram; /* in their place */
  struct metaspace metaspace;
  bool cut_at_spaces; /* no token holds U+2581 behind another character, so a word ends before every one */
  enum decode_kind decode;
  bool decode_strip; /* SPACES: one space at the start of the text is left out */
  struct added_token *added;
  size_t added_count;
  struct added_set plain, normalized; /* of `added`, by where they are looked for */
  bool *special;                      /* by id */
  struct normal_step normal[TOKENIZER_FORMS];
  size_t normal_count;
  struct pretoken pretoken;
  int32_t before[TOKENIZER_AROUND], after[TOKENIZER_AROUND]; /* the post-processor's tokens */
  size_t before_count, after_count;
  int32_t bos, eos, pad;
  const char *chat_template, *tool_template;
};

/* After vocabulary and added tokens are in: the special flags and the two sets. Texts of normalised tokens are
 * normalised. */
int tokenizer_finish(struct arena *a, struct tokenizer *t, struct error *err) MUST_USE;

/* The normaliser's steps, one after the other, over n bytes of UTF-8; *out, *out_size point into `text` or into one of
 * the buffers. */
int tokenizer_normalize(const struct tokenizer *t, const char *text, size_t n, struct text buffers[2], const char **out,
                        size_t *out_size, struct error *err) MUST_USE;

#endif

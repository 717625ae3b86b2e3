/* text/added: added tokens, found in a text before the pre-tokeniser sees it: leftmost first, the longest of those that
 * start there. A match may also take the white space beside it (lstrip, rstrip) or count only as a whole word
 * (single_word). */
#ifndef ASSAY_TEXT_ADDED_H
#define ASSAY_TEXT_ADDED_H

#include "core/arena.h"

struct added_token {
  const char *text;
  size_t size;
  int32_t id;
  bool special, lstrip, rstrip, single_word;
  bool normalized; /* looked for in the normalised text; else in the text as it came */
};

/* Tokens sorted by their bytes; range[b] .. range[b + 1] start with byte b. */
struct added_set {
  const struct added_token **sorted;
  size_t count;
  uint32_t range[257];
};
/* Those of `tokens` whose `normalized` is this; empty texts are left out. The tokens must outlive the set. */
int added_set_create(struct arena *a, const struct added_token *tokens, size_t count, bool normalized,
                     struct added_set *out, struct error *err) MUST_USE;

/* Walks over the matches in a text. With skip_special, special tokens count as plain text. */
struct added_walk {
  const struct added_set *set;
  const char *text;
  size_t size;
  bool skip_special;
  size_t search;    /* where the next search starts */
  size_t last_stop; /* end of the last match taken, white space included */
};
/* The next match: its token, and its bytes start .. stop. NULL at the end. */
const struct added_token *added_next(struct added_walk *w, size_t *start, size_t *stop);

#endif

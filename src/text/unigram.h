/* text/unigram: the most likely way to cut a piece into tokens (Kudo 2018, "Subword Regularization"), by Viterbi's
 * algorithm over the tokens that match at each character, as the `tokenizers` package does it. */
#ifndef ASSAY_TEXT_UNIGRAM_H
#define ASSAY_TEXT_UNIGRAM_H

#include "text/bpe.h"

struct unigram {
  double *scores;   /* by id: log-probabilities; NULL: the model is no Unigram */
  size_t count;     /* ids below this are the model's */
  double unk_score; /* of a character that no token is */
  int32_t unk;
  size_t longest; /* bytes of the longest token */
};

/* Scores are in; finds unk_score and longest. */
void unigram_finish(struct unigram *u, const struct bpe *vocabulary);

struct unigram_node;
struct unigram_scratch {
  struct unigram_node *nodes;
  size_t room;
};
void unigram_scratch_free(struct unigram_scratch *s);

/* Appends the ids of n bytes of UTF-8. Neighbouring unknown characters are one unknown token, or with byte fallback
   their bytes. Time grows as n times the longest token. */
int unigram_encode(const struct unigram *u, const struct bpe *vocabulary, const char *piece, size_t n,
                   struct unigram_scratch *s, struct token_list *out, struct error *err) MUST_USE;

#endif

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
  /* The tokens as a trie: nodes are numbered from the root, 0; an edge leads to exactly one of the others. A hash table
   * by the edge's key, two thirds full at most; an empty slot has node 0. */
  struct unigram_edge {
    uint32_t key;  /* the node above << 8 | the byte */
    uint32_t node; /* below */
    int32_t id;    /* the token that ends there, -1: none */
  } * edges;
  size_t edge_mask;
};

/* Scores are in; finds unk_score and makes the trie. ERROR_INPUT: tokens of more than 16 Mi bytes together. */
int unigram_finish(struct arena *a, struct unigram *u, const struct bpe *vocabulary, struct error *err) MUST_USE;

struct unigram_node;
struct unigram_scratch {
  struct unigram_node *nodes;
  size_t room;
};
void unigram_scratch_free(struct unigram_scratch *s);

/* Appends the ids of n bytes of UTF-8. Neighbouring unknown characters are one unknown token, or with byte fallback
   their bytes. Time grows as n times the longest token, at worst. */
int unigram_encode(const struct unigram *u, const struct bpe *vocabulary, const char *piece, size_t n,
                   struct unigram_scratch *s, struct token_list *out, struct error *err) MUST_USE;

#endif

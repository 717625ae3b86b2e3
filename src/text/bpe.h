/* text/bpe: the vocabulary and the merges of a byte-level BPE.
 *
 * Files spell a token in an alphabet of 256 printable characters that stand for the bytes ("\u0120" is the space). Here
 * a token is its bytes; `mapped` tells that its spelling was in that alphabet. The others (added tokens such as
 * "<\uff5cUser\uff5c>") stand for their own UTF-8 and are never made by merges.
 */
#ifndef ASSAY_TEXT_BPE_H
#define ASSAY_TEXT_BPE_H

#include "text/tokenizer.h"

enum { BPE_TOKEN_BYTES = 16384 /* no token is longer */ };

struct bpe_token {
  const char *bytes; /* NULL: no token has this id */
  uint32_t size;
  bool mapped;
  bool added; /* an added token that the model's own vocabulary lacks: no word becomes it */
};

struct bpe_merge {
  int32_t left, right, made; /* left -1: an empty slot of the table */
  uint32_t rank;
};

struct bpe {
  struct bpe_token *tokens; /* by id */
  size_t count;             /* largest id + 1 */
  uint32_t *slots;          /* hash table of ids + 1 */
  size_t slot_mask;
  struct bpe_merge *merges; /* hash table by (left, right) */
  size_t merge_mask;
  struct bpe_merge *ranks; /* by rank */
  size_t merge_count;
  bool plain;            /* tokens are text, and the first symbols characters, not bytes */
  bool byte_fallback;    /* plain: a character that is no token is its bytes' tokens, "<0x0A>" */
  int32_t byte_ids[256]; /* plain: of the ASCII characters */
  int32_t fallback[256]; /* plain: of the tokens "<0x00>" to "<0xFF>"; -1: none */
  int32_t unk;           /* for bytes that have no token; -1: they are dropped */
  bool fuse_unk;         /* a run of unknown bytes is one token */
  bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
};

/* Room for ids below `count` and for `merges` merges. */
int bpe_create(struct arena *a, struct bpe *b, size_t count, size_t merges, struct error *err) MUST_USE;
/* spelling: as in the file. An id that is taken is an error, a spelling seen before keeps its first id. */
int bpe_add_token(struct arena *a, struct bpe *b, const char *spelling, size_t n, int32_t id, bool added,
                  const char *file, struct error *err) MUST_USE;
/* After all tokens: adds the merge of the next rank; left and right as in the file. */
int bpe_add_merge(struct bpe *b, const char *left, size_t left_size, const char *right, size_t right_size,
                  const char *file, struct error *err) MUST_USE;
/* "left right" in one string. */
int bpe_add_merge_line(struct bpe *b, const char *line, size_t n, const char *file, struct error *err) MUST_USE;
/* The same of given tokens, with a rank that several merges may share. */
void bpe_add_ranked_merge(struct bpe *b, int32_t left, int32_t right, int32_t made, uint32_t rank);
void bpe_finish(struct bpe *b); /* after all tokens: fills byte_ids */

int32_t bpe_find(const struct bpe *b, const char *spelling, size_t n); /* as in the file; -1: none */
int32_t bpe_find_bytes(const struct bpe *b, const char *bytes, size_t n, bool mapped);
void bpe_put_spelling(const struct bpe *b, int32_t id, struct text *out); /* as in the file */

/* Buffers of one encoding call. */
struct bpe_symbol;
struct bpe_scratch {
  struct bpe_symbol *symbols;
  size_t symbol_room;
  struct bpe_candidate *heap;
  size_t heap_room;
};
void bpe_scratch_free(struct bpe_scratch *s);

/* Appends the ids of one word (a piece of the pre-tokeniser; raw bytes). Merges are applied lowest rank first, leftmost
 * first among equals. */
int bpe_encode(const struct bpe *b, const uint8_t *word, size_t n, struct bpe_scratch *s, struct token_list *out,
               struct error *err) MUST_USE;

#endif

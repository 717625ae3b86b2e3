#include "text/unigram.h"

#include "text/unicode.h"

static const double UNKNOWN_PENALTY = 10;

/* The best path that ends before a byte. */
struct unigram_node {
  double score;
  int32_t id;
  uint32_t start; /* where its last token begins */
  bool reached;
};

#define NOWHERE UINT32_MAX

void unigram_finish(struct unigram *u, const struct bpe *vocabulary)
{
  double least = 0;
  for (size_t i = 0; i < u->count; i++) {
    if (i == 0 || u->scores[i] < least) least = u->scores[i];
    if (vocabulary->tokens[i].size > u->longest) u->longest = vocabulary->tokens[i].size;
  }
  u->unk_score = least - UNKNOWN_PENALTY;
}

void unigram_scratch_free(struct unigram_scratch *s)
{
  memory_free(s->nodes);
  *s = (struct unigram_scratch){0};
}

static void reach(struct unigram_node *node, double score, int32_t id, size_t start)
{
  if (node->reached && !(score > node->score)) return;
  *node = (struct unigram_node){score, id, (uint32_t)start, true};
}

/* All tokens that begin at a character, and the unknown one where no token is this character alone. */
static void step_from(const struct unigram *u, const struct bpe *b, const char *piece, size_t n, size_t at,
                      size_t width, struct unigram_node *nodes)
{
  size_t most = n - at < u->longest ? n - at : u->longest;
  double before = nodes[at].score;
  struct bpe_prefix prefix;
  bool alone = false;
  bpe_prefix_start(&prefix);
  for (size_t size = 1; size <= most; size++) {
    bpe_prefix_add(&prefix, (uint8_t)piece[at + size - 1]);
    if (at + size < n && ((uint8_t)piece[at + size] & 0xc0) == 0x80) continue; /* inside a character */
    int32_t id = bpe_prefix_find(b, &prefix, piece + at, size);
    if (id < 0 || (size_t)id >= u->count) continue;
    reach(&nodes[at + size], before + u->scores[id], id, at);
    alone = alone || size == width;
  }
  if (!alone) reach(&nodes[at + width], before + u->unk_score, u->unk, at);
}

/* Turns the path round: each node's start becomes that of the token behind it. */
static void turn(struct unigram_node *nodes, size_t n)
{
  uint32_t next = NOWHERE;
  for (size_t end = n; end > 0;) {
    size_t start = nodes[end].start;
    nodes[end].start = next;
    next = (uint32_t)end;
    end = start;
  }
  nodes[0].start = next;
}

static int put_unknown(const struct unigram *u, const struct bpe *b, const char *bytes, size_t n,
                       struct token_list *out, struct error *err)
{
  bool all = b->byte_fallback;
  for (size_t i = 0; i < n && all; i++) all = b->fallback[(uint8_t)bytes[i]] >= 0;
  if (!all) return u->unk < 0 ? 0 : token_list_push(out, u->unk, err);
  for (size_t i = 0; i < n; i++) TRY(token_list_push(out, b->fallback[(uint8_t)bytes[i]], err));
  return 0;
}

static int put_path(const struct unigram *u, const struct bpe *b, const char *piece, size_t n,
                    const struct unigram_node *nodes, struct token_list *out, struct error *err)
{
  size_t unknown = 0; /* bytes of unknown characters before `start` */
  for (size_t start = 0; start < n;) {
    size_t end = nodes[start].start;
    bool known = nodes[end].id != u->unk;
    if (!known) unknown += end - start;
    bool last = known || end == n;
    if (unknown && last) {
      size_t stop = known ? start : end;
      TRY(put_unknown(u, b, piece + stop - unknown, unknown, out, err));
      unknown = 0;
    }
    if (known) TRY(token_list_push(out, nodes[end].id, err));
    start = end;
  }
  return 0;
}

int unigram_encode(const struct unigram *u, const struct bpe *vocabulary, const char *piece, size_t n,
                   struct unigram_scratch *s, struct token_list *out, struct error *err)
{
  if (n >= INT32_MAX) FAIL(err, ERROR_INPUT, "found a word of %zu bytes; expected less than 2 GiB", n);
  if (s->room < n + 1) {
    struct unigram_node *nodes = memory_resize(s->nodes, n + 1, sizeof *nodes, "tokenizer scratch", err);
    if (!nodes) return ERROR_RESOURCE;
    s->nodes = nodes;
    s->room = n + 1;
  }
  for (size_t i = 0; i <= n; i++) s->nodes[i] = (struct unigram_node){0};
  for (size_t at = 0, width; at < n; at += width) {
    unicode_at(piece, n, at, &width);
    step_from(u, vocabulary, piece, n, at, width, s->nodes);
  }
  turn(s->nodes, n);
  return put_path(u, vocabulary, piece, n, s->nodes, out, err);
}

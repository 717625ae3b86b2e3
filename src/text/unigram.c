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

/* ---- the trie ---------------------------------------------------------------------------------------------------- */

enum { NODES_MOST = 1 << 24 /* what a key holds */ };

/* The edge's slot, or the empty one where it belongs. */
static struct unigram_edge *find_edge(const struct unigram *u, uint32_t node, uint8_t byte)
{
  uint32_t key = node << 8 | byte;
  size_t at = (key * 0x9e3779b97f4a7c15ull >> 32) & u->edge_mask;
  while (u->edges[at].node && u->edges[at].key != key) at = (at + 1) & u->edge_mask;
  return &u->edges[at];
}

static bool is_matched(const struct unigram *u, const struct bpe *vocabulary, size_t id)
{
  return id < u->count && vocabulary->tokens[id].size && !vocabulary->tokens[id].added;
}

static int make_trie(struct arena *a, struct unigram *u, const struct bpe *vocabulary, struct error *err)
{
  size_t bytes = 0, room = 16;
  uint32_t nodes = 1;
  for (size_t id = 0; id < u->count; id++) bytes += is_matched(u, vocabulary, id) ? vocabulary->tokens[id].size : 0;
  if (bytes >= NODES_MOST)
    FAIL(err, ERROR_INPUT, "found %zu bytes of Unigram tokens; expected less than %d", bytes, NODES_MOST);
  while (room < bytes + bytes / 2) room *= 2;
  u->edges = ARENA_NEW(a, struct unigram_edge, room, "tokenizer", err);
  if (!u->edges) return err->code;
  u->edge_mask = room - 1;
  for (size_t id = 0; id < u->count; id++) {
    if (!is_matched(u, vocabulary, id)) continue;
    const struct bpe_token *t = &vocabulary->tokens[id];
    struct unigram_edge *edge = NULL;
    for (uint32_t i = 0, node = 0; i < t->size; i++, node = edge->node) {
      edge = find_edge(u, node, (uint8_t)t->bytes[i]);
      if (!edge->node) *edge = (struct unigram_edge){node << 8 | (uint8_t)t->bytes[i], nodes++, -1};
    }
    edge->id = (int32_t)id;
  }
  return 0;
}

int unigram_finish(struct arena *a, struct unigram *u, const struct bpe *vocabulary, struct error *err)
{
  double least = 0;
  for (size_t i = 0; i < u->count; i++)
    if (i == 0 || u->scores[i] < least) least = u->scores[i];
  u->unk_score = least - UNKNOWN_PENALTY;
  return make_trie(a, u, vocabulary, err);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

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
static void step_from(const struct unigram *u, const char *piece, size_t n, size_t at, size_t width,
                      struct unigram_node *nodes)
{
  double before = nodes[at].score;
  bool alone = false;
  uint32_t node = 0;
  for (size_t end = at; end < n;) {
    const struct unigram_edge *edge = find_edge(u, node, (uint8_t)piece[end++]);
    if (!edge->node) break;
    node = edge->node;
    if (edge->id < 0 || (end < n && ((uint8_t)piece[end] & 0xc0) == 0x80)) continue; /* inside a character */
    reach(&nodes[end], before + u->scores[edge->id], edge->id, at);
    alone = alone || end == at + width;
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
    step_from(u, piece, n, at, width, s->nodes);
  }
  turn(s->nodes, n);
  return put_path(u, vocabulary, piece, n, s->nodes, out, err);
}

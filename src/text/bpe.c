#include "text/bpe.h"

#include "core/cursor.h"

#include <stdio.h>
#include <string.h>

/* The alphabet of GPT-2: bytes that print stand for themselves, the other 68 for U+0100 and on, in order. */

static bool byte_prints(unsigned b)
{
  return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

static uint32_t char_of_byte(unsigned byte)
{
  if (byte_prints(byte)) return byte;
  if (byte <= 32) return 256 + byte;
  if (byte <= 160) return 256 + 33 + (byte - 127);
  return 256 + 67; /* 173, the soft hyphen */
}

static int byte_of_char(uint32_t c)
{
  if (c < 256) return byte_prints(c) ? (int)c : -1;
  if (c <= 256 + 32) return (int)(c - 256);
  if (c <= 256 + 66) return (int)(c - 256 - 33 + 127);
  return c == 256 + 67 ? 173 : -1;
}

/* Writes the bytes that a spelling stands for; false if a character is not of it. out has room for n bytes. */
static bool map_spelling(const char *spelling, size_t n, char *out, size_t *size)
{
  size_t used = 0;
  for (size_t i = 0; i < n;) {
    uint32_t c;
    size_t step = utf8_decode((const uint8_t *)spelling + i, n - i, &c);
    int byte = step ? byte_of_char(c) : -1;
    if (byte < 0) return false;
    out[used++] = (char)byte;
    i += step;
  }
  *size = used;
  return true;
}

/* Hash tables: open addressing, powers of two, at most half full. */

static size_t table_size(size_t entries)
{
  size_t size = 16;
  while (size < entries * 2) size *= 2;
  return size;
}

static uint64_t mix(uint64_t h)
{
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ull;
  h ^= h >> 32;
  return h;
}

#define HASH_START 0xcbf29ce484222325ull

static uint64_t hash_byte(uint64_t h, uint8_t byte)
{
  return (h ^ byte) * 0x100000001b3ull;
}

static uint64_t hash_bytes(const char *bytes, size_t n, bool mapped)
{
  uint64_t h = HASH_START + mapped;
  for (size_t i = 0; i < n; i++) h = hash_byte(h, (uint8_t)bytes[i]);
  return mix(h);
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
  return mix(mix((uint64_t)(uint32_t)left * 0x9e3779b97f4a7c15ull) + (uint32_t)right);
}

int bpe_create(struct arena *a, struct bpe *b, size_t count, size_t merges, struct error *err)
{
  *b = (struct bpe){.unk = -1, .count = count};
  size_t slots = table_size(count), pairs = table_size(merges);
  b->tokens = ARENA_NEW(a, struct bpe_token, count, "tokenizer", err);
  b->slots = ARENA_NEW(a, uint32_t, slots, "tokenizer", err);
  b->merges = ARENA_NEW(a, struct bpe_merge, pairs, "tokenizer", err);
  b->ranks = ARENA_NEW(a, struct bpe_merge, merges, "tokenizer", err);
  if (!b->tokens || !b->slots || !b->merges || !b->ranks) return ERROR_RESOURCE;
  b->slot_mask = slots - 1;
  b->merge_mask = pairs - 1;
  for (size_t i = 0; i < pairs; i++) b->merges[i].left = -1;
  for (int i = 0; i < 256; i++) b->byte_ids[i] = b->fallback[i] = -1;
  return 0;
}

/* The slot of a token, or the empty slot where it belongs. */
static size_t find_slot(const struct bpe *b, const char *bytes, size_t n, bool mapped)
{
  size_t at = hash_bytes(bytes, n, mapped) & b->slot_mask;
  for (; b->slots[at]; at = (at + 1) & b->slot_mask) {
    const struct bpe_token *t = &b->tokens[b->slots[at] - 1];
    if (t->size == n && t->mapped == mapped && !memcmp(t->bytes, bytes, n)) break;
  }
  return at;
}

int32_t bpe_find_bytes(const struct bpe *b, const char *bytes, size_t n, bool mapped)
{
  return (int32_t)b->slots[find_slot(b, bytes, n, mapped)] - 1;
}

int32_t bpe_find(const struct bpe *b, const char *spelling, size_t n)
{
  char bytes[BPE_TOKEN_BYTES];
  size_t size;
  if (n > sizeof bytes) return -1;
  if (!b->plain && map_spelling(spelling, n, bytes, &size)) return bpe_find_bytes(b, bytes, size, true);
  return bpe_find_bytes(b, spelling, n, false);
}

int bpe_add_token(struct arena *a, struct bpe *b, const char *spelling, size_t n, int32_t id, bool added,
                  const char *file, struct error *err)
{
  if (id < 0 || (size_t)id >= b->count)
    FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "token \"%.60s\" has id %d; expected 0 to %zu", spelling, id,
            b->count - 1);
  struct bpe_token *t = &b->tokens[id];
  if (n > BPE_TOKEN_BYTES)
    FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "token %d is %zu bytes long; expected at most %d", id, n, BPE_TOKEN_BYTES);
  char *bytes = arena_push(a, n + 1, 1, "tokenizer", err);
  if (!bytes) return ERROR_RESOURCE;
  size_t size = n;
  bool mapped = !b->plain && map_spelling(spelling, n, bytes, &size);
  if (!mapped) memcpy(bytes, spelling, n);
  bytes[size] = 0;
  size_t slot = find_slot(b, bytes, size, mapped);
  if (b->slots[slot]) return 0;
  if (t->bytes)
    FAIL_AT(err, ERROR_INPUT, file, 0, NULL,
            "tokens \"%.60s\" and \"%.60s\" have the same id %d; expected one token per id", t->bytes, spelling, id);
  *t = (struct bpe_token){.bytes = bytes, .size = (uint32_t)size, .mapped = mapped, .added = added};
  b->slots[slot] = (uint32_t)id + 1;
  return 0;
}

static struct bpe_merge *find_merge(const struct bpe *b, int32_t left, int32_t right)
{
  size_t at = hash_pair(left, right) & b->merge_mask;
  while (b->merges[at].left >= 0 && (b->merges[at].left != left || b->merges[at].right != right))
    at = (at + 1) & b->merge_mask;
  return &b->merges[at];
}

int bpe_add_merge(struct bpe *b, const char *left, size_t left_size, const char *right, size_t right_size,
                  const char *file, struct error *err)
{
  struct bpe_merge m = {bpe_find(b, left, left_size), bpe_find(b, right, right_size), -1, (uint32_t)b->merge_count};
  char joined[BPE_TOKEN_BYTES];
  if (m.left >= 0 && m.right >= 0) {
    const struct bpe_token *l = &b->tokens[m.left], *r = &b->tokens[m.right];
    if (l->mapped == r->mapped && (size_t)l->size + r->size <= sizeof joined) {
      memcpy(joined, l->bytes, l->size);
      memcpy(joined + l->size, r->bytes, r->size);
      m.made = bpe_find_bytes(b, joined, (size_t)l->size + r->size, l->mapped);
    }
  }
  if (m.made < 0)
    FAIL_AT(err, ERROR_INPUT, file, 0, "merges",
            "merge %zu joins \"%.*s\" and \"%.*s\"; expected both and what they make to be tokens of the vocabulary",
            b->merge_count, (int)(left_size < 60 ? left_size : 60), left, (int)(right_size < 60 ? right_size : 60),
            right);
  b->ranks[b->merge_count++] = m;
  *find_merge(b, m.left, m.right) = m; /* of two equal merges the later rank counts, as in the tokenizers package */
  return 0;
}

void bpe_add_ranked_merge(struct bpe *b, int32_t left, int32_t right, int32_t made, uint32_t rank)
{
  struct bpe_merge m = {left, right, made, rank};
  b->ranks[b->merge_count++] = m;
  *find_merge(b, left, right) = m;
}

int bpe_add_merge_line(struct bpe *b, const char *line, size_t n, const char *file, struct error *err)
{
  const char *space = n ? memchr(line, ' ', n) : NULL;
  size_t left = space ? (size_t)(space - line) : 0;
  if (!space || memchr(space + 1, ' ', n - left - 1))
    FAIL_AT(err, ERROR_INPUT, file, 0, "merges",
            "merge %zu is \"%.*s\"; expected two tokens with one space between them", b->merge_count,
            (int)(n < 60 ? n : 60), line);
  return bpe_add_merge(b, line, left, space + 1, n - left - 1, file, err);
}

void bpe_finish(struct bpe *b)
{
  for (int i = 0; i < 256; i++) {
    char byte = (char)i, name[8];
    snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
    b->byte_ids[i] = i < 128 || !b->plain ? bpe_find_bytes(b, &byte, 1, !b->plain) : -1;
    b->fallback[i] = b->plain ? bpe_find_bytes(b, name, 6, false) : -1;
  }
}

void bpe_put_spelling(const struct bpe *b, int32_t id, struct text *out)
{
  const struct bpe_token *t = &b->tokens[id];
  if (!t->mapped) {
    text_add(out, t->bytes, t->size);
    return;
  }
  for (uint32_t i = 0; i < t->size; i++) {
    uint8_t utf8[4];
    text_add(out, utf8, utf8_encode(char_of_byte((uint8_t)t->bytes[i]), utf8));
  }
}

/* Encoding. A symbol is a run of the word's bytes that is one token so far. */

struct bpe_symbol {
  int32_t id; /* -1: merged away */
  uint32_t prev, next;
};
struct bpe_candidate {
  uint64_t key; /* rank << 32 | position of the left symbol: the smallest is merged first */
  int32_t made;
};

enum { SMALL_WORD = 48 };
#define NO_SYMBOL UINT32_MAX

void bpe_scratch_free(struct bpe_scratch *s)
{
  memory_free(s->symbols);
  memory_free(s->heap);
  *s = (struct bpe_scratch){0};
}

enum { CHARACTER_MOST = 4 };

/* A character's own token, or -1. */
static int32_t character_token(const struct bpe *b, const uint8_t *at, size_t n)
{
  int32_t id = n == 1 ? b->byte_ids[*at] : bpe_find_bytes(b, (const char *)at, n, false);
  return id >= 0 && !b->tokens[id].added ? id : -1;
}

/* The first symbols of a word, from *at on, which is moved: the token of a byte, or in a plain vocabulary of a
 * character or else its bytes; or the unknown token (one for a run with fuse_unk). How many: 0 where it is dropped. */
static size_t next_symbols(const struct bpe *b, const uint8_t *word, size_t n, size_t *at, bool *unknown,
                           int32_t ids[CHARACTER_MOST])
{
  const uint8_t *from = word + *at;
  bool after_unknown = *unknown;
  size_t step = 1;
  if (b->plain && *from >= 0x80) {
    step = *from < 0xe0 ? 2 : *from < 0xf0 ? 3 : 4;
    if (step > n - *at) step = n - *at;
  }
  *at += step;
  *ids = b->plain ? character_token(b, from, step) : b->byte_ids[*from];
  *unknown = *ids < 0;
  if (!*unknown) return 1;
  bool bytes = b->byte_fallback;
  for (size_t i = 0; i < step && bytes; i++) bytes = b->fallback[from[i]] >= 0;
  if (bytes) {
    for (size_t i = 0; i < step; i++) ids[i] = b->fallback[from[i]];
    *unknown = false;
    return step;
  }
  *ids = b->unk;
  return b->unk >= 0 && !(after_unknown && b->fuse_unk);
}

static uint32_t merge_rank(const struct bpe *b, int32_t left, int32_t right, int32_t *made)
{
  const struct bpe_merge *m = find_merge(b, left, right);
  if (m->left < 0) return UINT32_MAX;
  *made = m->made;
  return m->rank;
}

/* Short words, nearly all there are: arrays on the stack, the best pair by a linear look. */
static int encode_small(const struct bpe *b, const uint8_t *word, size_t n, struct token_list *out, struct error *err)
{
  int32_t ids[SMALL_WORD + CHARACTER_MOST], made[SMALL_WORD];
  uint32_t rank[SMALL_WORD];
  size_t count = 0;
  bool unknown = false;
  for (size_t i = 0; i < n;) count += next_symbols(b, word, n, &i, &unknown, &ids[count]);
  for (size_t i = 0; i + 1 < count; i++) rank[i] = merge_rank(b, ids[i], ids[i + 1], &made[i]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; i++)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == UINT32_MAX) break;
    ids[best] = made[best];
    for (size_t i = best + 1; i + 1 < count; i++) {
      ids[i] = ids[i + 1];
      rank[i] = rank[i + 1];
      made[i] = made[i + 1];
    }
    count--;
    if (best > 0) rank[best - 1] = merge_rank(b, ids[best - 1], ids[best], &made[best - 1]);
    if (best + 1 < count) rank[best] = merge_rank(b, ids[best], ids[best + 1], &made[best]);
  }
  for (size_t i = 0; i < count; i++) TRY(token_list_push(out, ids[i], err));
  return 0;
}

static void heap_push(struct bpe_candidate *heap, size_t *count, struct bpe_candidate c)
{
  size_t at = (*count)++;
  for (; at > 0 && heap[(at - 1) / 2].key > c.key; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = c;
}

static struct bpe_candidate heap_pop(struct bpe_candidate *heap, size_t *count)
{
  struct bpe_candidate top = heap[0], last = heap[--*count];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= *count) break;
    if (child + 1 < *count && heap[child + 1].key < heap[child].key) child++;
    if (heap[child].key >= last.key) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return top;
}

static void offer(const struct bpe *b, const struct bpe_symbol *symbols, uint32_t left, struct bpe_candidate *heap,
                  size_t *count)
{
  if (left == NO_SYMBOL || symbols[left].next == NO_SYMBOL) return;
  int32_t made = -1;
  uint32_t rank = merge_rank(b, symbols[left].id, symbols[symbols[left].next].id, &made);
  if (rank != UINT32_MAX) heap_push(heap, count, (struct bpe_candidate){(uint64_t)rank << 32 | left, made});
}

static int scratch_room(struct bpe_scratch *s, size_t n, struct error *err)
{
  if (s->symbol_room < n) {
    struct bpe_symbol *symbols = memory_resize(s->symbols, n, sizeof *symbols, "tokenizer scratch", err);
    if (!symbols) return ERROR_RESOURCE;
    s->symbols = symbols;
    s->symbol_room = n;
  }
  if (s->heap_room < 3 * n) { /* n - 1 pairs at first, two more for each of at most n - 1 merges */
    struct bpe_candidate *heap = memory_resize(s->heap, 3 * n, sizeof *heap, "tokenizer scratch", err);
    if (!heap) return ERROR_RESOURCE;
    s->heap = heap;
    s->heap_room = 3 * n;
  }
  return 0;
}

/* Long words: linked symbols and a heap of candidate merges; a candidate whose symbols have changed since is passed
 * over. */
static int encode_long(const struct bpe *b, const uint8_t *word, size_t n, struct bpe_scratch *s,
                       struct token_list *out, struct error *err)
{
  TRY(scratch_room(s, n, err));
  struct bpe_symbol *symbols = s->symbols;
  uint32_t count = 0;
  size_t waiting = 0;
  bool unknown = false;
  for (size_t i = 0; i < n;) {
    int32_t ids[CHARACTER_MOST];
    size_t found = next_symbols(b, word, n, &i, &unknown, ids);
    for (size_t k = 0; k < found; k++, count++)
      symbols[count] = (struct bpe_symbol){ids[k], count ? count - 1 : NO_SYMBOL, count + 1};
  }
  if (!count) return 0;
  symbols[count - 1].next = NO_SYMBOL;
  for (uint32_t i = 0; i < count; i++) offer(b, symbols, i, s->heap, &waiting);
  while (waiting) {
    struct bpe_candidate c = heap_pop(s->heap, &waiting);
    uint32_t left = (uint32_t)c.key, right = symbols[left].next;
    int32_t made = -1;
    if (symbols[left].id < 0 || right == NO_SYMBOL ||
        merge_rank(b, symbols[left].id, symbols[right].id, &made) != c.key >> 32)
      continue;
    symbols[left].id = c.made;
    symbols[left].next = symbols[right].next;
    symbols[right].id = -1;
    if (symbols[left].next != NO_SYMBOL) symbols[symbols[left].next].prev = left;
    offer(b, symbols, symbols[left].prev, s->heap, &waiting);
    offer(b, symbols, left, s->heap, &waiting);
  }
  for (uint32_t i = 0; i != NO_SYMBOL; i = symbols[i].next) TRY(token_list_push(out, symbols[i].id, err));
  return 0;
}

int bpe_encode(const struct bpe *b, const uint8_t *word, size_t n, struct bpe_scratch *s, struct token_list *out,
               struct error *err)
{
  if (b->ignore_merges) {
    int32_t id = bpe_find_bytes(b, (const char *)word, n, !b->plain);
    if (id >= 0 && !b->tokens[id].added) return token_list_push(out, id, err);
  }
  if (n <= SMALL_WORD) return encode_small(b, word, n, out, err);
  if (n >= INT32_MAX) FAIL(err, ERROR_INPUT, "found a word of %zu bytes; expected less than 2 GiB", n);
  return encode_long(b, word, n, s, out, err);
}

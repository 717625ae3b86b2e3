#include "serve/grammar.h"

#include "core/cursor.h"
#include "serve/grammar_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the vocabulary -------------------------------------------------------------------------------------------------
 */

static const struct tokenizer *sorting; /* of the sort below, which has no argument of its own */

static int by_bytes(const void *a, const void *b)
{
  const int32_t *x = a, *y = b;
  struct token_text s = tokenizer_text_of_id(sorting, *x), t = tokenizer_text_of_id(sorting, *y);
  size_t n = s.size < t.size ? s.size : t.size;
  int order = n ? memcmp(s.bytes, t.bytes, n) : 0;
  if (order) return order;
  return s.size != t.size ? (s.size < t.size ? -1 : 1) : (*x > *y) - (*x < *y);
}

/* Whole characters, none that ends a string or must be escaped in one. */
static bool is_plain_text(struct token_text t)
{
  for (size_t i = 0; i < t.size; i++)
    if ((unsigned char)t.bytes[i] < 0x20 || t.bytes[i] == '"' || t.bytes[i] == '\\') return false;
  return utf8_valid_prefix(t.bytes, t.size) == t.size;
}

static void sort_tokens(struct grammar_vocab *v)
{
  sorting = v->tokenizer;
  qsort(v->ids, v->count, sizeof *v->ids, by_bytes);
  for (size_t i = 0; i < v->count; i++) {
    struct token_text t = tokenizer_text_of_id(v->tokenizer, v->ids[i]);
    if (is_plain_text(t)) v->texts[v->ids[i] >> 5] |= (uint32_t)1 << (v->ids[i] & 31);
    if (!i) continue;
    struct token_text before = tokenizer_text_of_id(v->tokenizer, v->ids[i - 1]);
    size_t n = 0;
    while (n < t.size && n < before.size && t.bytes[n] == before.bytes[n]) n++;
    v->shared[i] = (uint8_t)n;
  }
}

int grammar_vocab_open(struct arena *a, const struct tokenizer *t, size_t model_vocab, const int *end_ids,
                       size_t end_id_count, struct grammar_vocab **out, struct error *err)
{
  struct grammar_vocab *v = ARENA_NEW(a, struct grammar_vocab, 1, "grammar", err);
  size_t size = tokenizer_vocab_size(t);
  if (!v) return err->code;
  *v = (struct grammar_vocab){
      .tokenizer = t, .words = (model_vocab + 31) / 32, .end_ids = end_ids, .end_id_count = end_id_count};
  v->ids = ARENA_NEW(a, int32_t, size, "grammar", err);
  v->shared = ARENA_NEW(a, uint8_t, size, "grammar", err);
  v->texts = ARENA_NEW(a, uint32_t, v->words, "grammar", err);
  if (!v->ids || !v->shared || !v->texts) return err->code;
  for (size_t id = 0; id < size && id < model_vocab; id++) {
    struct token_text text = tokenizer_text_of_id(t, (int32_t)id);
    if (text.size && text.size <= GRAMMAR_TOKEN && !tokenizer_is_special(t, (int32_t)id))
      v->ids[v->count++] = (int32_t)id;
  }
  sort_tokens(v);
  *out = v;
  return 0;
}

/* ---- running
 * ---------------------------------------------------------------------------------------------------------
 */

enum { BUDGET = 4096 };

static void add_thread(struct grammar_state *s, const struct grammar_thread *t)
{
  for (int i = 0; i < s->count; i++)
    if (!memcmp(&s->threads[i], t, sizeof *t)) return;
  if (s->count < GRAMMAR_THREADS) s->threads[s->count++] = *t;  // one too many: a smaller language, still a valid one
}

/* Follows what needs no byte, until each thread stands in front of one. A schema that refers to itself before any byte
 * may have no end here: it is left after BUDGET nodes, and what was not reached is not said. */
static void close_over(const struct grammar *g, struct grammar_state *s, struct grammar_thread t, int *budget)
{
  while (--*budget > 0) {
    const struct grammar_node *n = &g->nodes[t.at];
    switch ((enum grammar_op)n->op) {
      case GRAMMAR_RANGE:
        add_thread(s, &t);
        return;
      case GRAMMAR_ACCEPT:
        s->complete = true;
        return;
      case GRAMMAR_TEXT:
        s->in_text = true;
        __attribute__((fallthrough));
      case GRAMMAR_SPLIT: {
        struct grammar_thread other = t;
        other.at = n->other;
        close_over(g, s, other, budget);
        t.at = n->next;
        break;
      }
      case GRAMMAR_CALL:
        if (t.depth == GRAMMAR_DEPTH) return;
        t.stack[t.depth++] = n->next;
        t.at = n->other;
        break;
      case GRAMMAR_RETURN:
        t.at = t.stack[--t.depth];
        t.stack[t.depth] = 0;  // equal states have equal bytes
        break;
    }
  }
}

void grammar_start(const struct grammar *g, struct grammar_state *s)
{
  memset(s, 0, sizeof *s);
  int budget = BUDGET;
  close_over(g, s, (struct grammar_thread){.at = g->start}, &budget);
}

/* The state behind one byte; *to is written whole but for unused threads. */
static bool step(const struct grammar *g, const struct grammar_state *from, uint8_t byte, struct grammar_state *to)
{
  int budget = BUDGET;
  to->count = 0;
  to->complete = to->in_text = false;
  for (int i = 0; i < from->count; i++) {
    const struct grammar_node *n = &g->nodes[from->threads[i].at];
    if (byte < n->low || byte > n->high) continue;
    struct grammar_thread t = from->threads[i];
    t.at = n->next;
    close_over(g, to, t, &budget);
  }
  return to->count || to->complete;
}

bool grammar_step(const struct grammar *g, struct grammar_state *s, uint8_t byte)
{
  struct grammar_state from = *s;
  return step(g, &from, byte, s);
}

void grammar_take(const struct grammar *g, struct grammar_state *s, int32_t id)
{
  for (size_t i = 0; i < g->vocab->end_id_count; i++)
    if (g->vocab->end_ids[i] == id) return;
  struct token_text t = tokenizer_text_of_id(g->vocab->tokenizer, id);
  for (size_t i = 0; i < t.size; i++)
    if (!grammar_step(g, s, (uint8_t)t.bytes[i])) return;
}

/* ---- masks ----------------------------------------------------------------------------------------------------------
 */

static void allow(uint32_t *mask, int32_t id)
{
  mask[id >> 5] |= (uint32_t)1 << (id & 31);
}

/* All tokens in order: path[d] is the state behind the first d bytes; what a token shares with the last that was walked
 * is not walked again, and a beginning that fails fails for all that share it. */
static bool walk(struct grammar *g, const struct grammar_state *s, uint32_t *mask)
{
  const struct grammar_vocab *v = g->vocab;
  size_t good = 0; /* bytes of the last token for which path stands */
  size_t common = 0;
  bool any = false;
  g->path[0] = *s;
  for (size_t i = 0; i < v->count; i++) {
    common = i && v->shared[i] < common ? v->shared[i] : common;
    if (s->in_text && (v->texts[v->ids[i] >> 5] >> (v->ids[i] & 31) & 1)) {
      allow(mask, v->ids[i]);  // not walked: `common` goes on to speak of the last that was
      any = true;
      continue;
    }
    struct token_text t = tokenizer_text_of_id(v->tokenizer, v->ids[i]);
    bool failed = common > good;
    if (good > common) good = common;
    while (!failed && good < t.size) {
      if (step(g, &g->path[good], (uint8_t)t.bytes[good], &g->path[good + 1]))
        good++;
      else
        failed = true;
    }
    common = t.size;
    if (failed) continue;
    allow(mask, v->ids[i]);
    any = true;
  }
  return any;
}

static bool same_state(const struct grammar_state *a, const struct grammar_state *b)
{
  return a->count == b->count && a->complete == b->complete && a->in_text == b->in_text &&
         !memcmp(a->threads, b->threads, a->count * sizeof *a->threads);
}

bool grammar_mask(struct grammar *g, const struct grammar_state *s, uint32_t *mask)
{
  const struct grammar_vocab *v = g->vocab;
  struct grammar_memory *m = NULL;
  for (int i = 0; i < GRAMMAR_MEMORY && !m; i++)
    if (g->memory[i].used && same_state(&g->memory[i].state, s)) m = &g->memory[i];
  if (!m) {
    m = &g->memory[g->turn++ % GRAMMAR_MEMORY];
    memset(m->mask, 0, v->words * sizeof *m->mask);
    m->state = *s;
    m->used = true;
    m->any = walk(g, s, m->mask);
    for (size_t i = 0; i < v->end_id_count && (s->complete || !m->any); i++) allow(m->mask, v->end_ids[i]);
  }
  memcpy(mask, m->mask, v->words * sizeof *mask);
  return m->any || s->complete;
}

/* With room for what is built next. field: of the request, that asks for it. */
static int open_empty(struct arena *a, const struct grammar_vocab *v, const char *field, struct grammar **out,
                      struct error *err)
{
  struct grammar *g = ARENA_NEW(a, struct grammar, 1, "grammar", err);
  if (!g) return err->code;
  if (!v->end_id_count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, field, "needs a model with an end token: this one could not stop");
  g->vocab = v;
  for (int i = 0; i < GRAMMAR_MEMORY; i++) {
    g->memory[i].mask = ARENA_NEW(a, uint32_t, v->words, "grammar", err);
    if (!g->memory[i].mask) return err->code;
  }
  *out = g;
  return 0;
}

int grammar_open(struct arena *a, const struct grammar_vocab *v, const json_t *schema, struct grammar **out,
                 struct error *err)
{
  TRY(open_empty(a, v, "response_format", out, err));
  return grammar_build(a, schema, *out, err);
}

int grammar_open_calls(struct arena *a, const struct grammar_vocab *v, const json_t *tools, const char *only,
                       struct grammar **out, struct error *err)
{
  TRY(open_empty(a, v, "tool_choice", out, err));
  return grammar_build_calls(a, tools, only, *out, err);
}

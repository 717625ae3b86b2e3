#define _GNU_SOURCE /* memmem */
#include "text/tokenizer_state.h"

#include "core/cursor.h"

#include <string.h>

#define SPACE_SIGN "\xe2\x96\x81" /* U+2581 */
enum { SPACE_SIZE = 3 };

int token_list_push(struct token_list *l, int32_t id, struct error *err)
{
  if (l->count == l->room) {
    size_t room = l->room ? l->room * 2 : 64;
    int32_t *ids = memory_resize(l->ids, room, sizeof *ids, "token list", err);
    if (!ids) return ERROR_RESOURCE;
    l->ids = ids;
    l->room = room;
  }
  l->ids[l->count++] = id;
  return 0;
}

void token_list_clear(struct token_list *l)
{
  l->count = 0;
}

void token_list_free(struct token_list *l)
{
  memory_free(l->ids);
  *l = (struct token_list){0};
}

int tokenizer_normalize(const struct tokenizer *t, const char *text, size_t n, struct text buffers[2], const char **out,
                        size_t *out_size, struct error *err)
{
  for (size_t i = 0; i < t->normal_count; i++) {
    struct text *to = &buffers[i & 1];
    text_clear(to);
    TRY(normal_run(&t->normal[i], text, n, to, err));
    TRY(text_finish(to, err));
    text = to->size ? to->bytes : "";
    n = to->size;
  }
  *out = text;
  *out_size = n;
  return 0;
}

/* Whether merges never cross the beginning of a U+2581 that follows another character. */
static bool words_end_at_spaces(const struct tokenizer *t)
{
  const struct bpe *b = &t->bpe;
  if (!b->plain || b->ignore_merges || t->unigram.scores || bpe_find(b, SPACE_SIGN, SPACE_SIZE) < 0) return false;
  for (size_t i = 0; i < b->count; i++) {
    const struct bpe_token *token = &b->tokens[i];
    size_t lead = 0;
    if (!token->bytes || token->added) continue;
    while (lead + SPACE_SIZE <= token->size && !memcmp(token->bytes + lead, SPACE_SIGN, SPACE_SIZE)) lead += SPACE_SIZE;
    if (memmem(token->bytes + lead, token->size - lead, SPACE_SIGN, SPACE_SIZE)) return false;
  }
  return true;
}

int tokenizer_finish(struct arena *a, struct tokenizer *t, struct error *err)
{
  t->special = ARENA_NEW(a, bool, t->bpe.count, "tokenizer", err);
  if (!t->special) return ERROR_RESOURCE;
  t->cut_at_spaces = words_end_at_spaces(t);
  struct text buffers[2] = {{0}, {0}};
  int rc = 0;
  for (size_t i = 0; i < t->added_count && !rc; i++) {
    struct added_token *token = &t->added[i];
    t->special[token->id] = t->special[token->id] || token->special;
    if (!token->normalized) continue;
    const char *text = NULL, *given = token->text;
    size_t n = 0, given_size = token->size;
    rc = tokenizer_normalize(t, token->text, token->size, buffers, &text, &n, err);
    if (!rc && !(token->text = arena_strndup(a, text, n, "tokenizer", err))) rc = ERROR_RESOURCE;
    // as in the tokenizers package, where a special token is known by its text
    if (!rc && (n != given_size || memcmp(text, given, n) != 0)) t->special[token->id] = false;
    token->size = n;
  }
  text_free(&buffers[0]);
  text_free(&buffers[1]);
  if (!rc) rc = added_set_create(a, t->added, t->added_count, false, &t->plain, err);
  if (!rc) rc = added_set_create(a, t->added, t->added_count, true, &t->normalized, err);
  return rc;
}

/* One encoding call: text -> added tokens and what lies between -> normalised -> added tokens again -> pieces -> ids.
 */
struct encoding {
  const struct tokenizer *t;
  bool skip_special;
  struct token_list *out;
  struct text valid, normal[2];
  struct pretoken_cuts cuts;
  struct bpe_scratch scratch;
  struct unigram_scratch lattice;
  struct text spaced;
  bool at_start; /* nothing of the text has been encoded yet */
};

/* One piece: as it is, or in words that merges never leave. */
static int encode_piece(struct encoding *e, const char *piece, size_t n, struct error *err)
{
  const struct tokenizer *t = e->t;
  if (t->unigram.scores) return unigram_encode(&t->unigram, &t->bpe, piece, n, &e->lattice, e->out, err);
  size_t from = 0;
  while (t->cut_at_spaces && from < n) {
    size_t end = from;
    while (end + SPACE_SIZE <= n && !memcmp(piece + end, SPACE_SIGN, SPACE_SIZE)) end += SPACE_SIZE;
    const char *next = end < n ? memmem(piece + end, n - end, SPACE_SIGN, SPACE_SIZE) : NULL;
    if (!next) break;
    size_t stop = (size_t)(next - piece);
    TRY(bpe_encode(&t->bpe, (const uint8_t *)piece + from, stop - from, &e->scratch, e->out, err));
    from = stop;
  }
  return from < n ? bpe_encode(&t->bpe, (const uint8_t *)piece + from, n - from, &e->scratch, e->out, err) : 0;
}

static int encode_cuts(struct encoding *e, const char *text, size_t n, struct error *err)
{
  TRY(pretoken_run(&e->t->pretoken, text, n, &e->cuts, err));
  for (size_t i = 0; i < e->cuts.spans.count; i++) {
    struct pretoken_span span = e->cuts.spans.items[i];
    TRY(encode_piece(e, e->cuts.bytes + span.start, span.end - span.start, err));
  }
  return 0;
}

/* Spaces written out, and pieces from one to the next where they are split. */
static int encode_spaced(struct encoding *e, const char *text, size_t n, struct error *err)
{
  static const struct normal_step signs = {
      .kind = NORMAL_REPLACE, .literal = true, .pattern = " ", .content = SPACE_SIGN};
  const struct metaspace *m = &e->t->metaspace;
  bool in_front = m->prepend == PREPEND_ALWAYS || (m->prepend == PREPEND_FIRST && e->at_start);
  text_clear(&e->spaced);
  if (in_front && n && *text != ' ' && (n < SPACE_SIZE || memcmp(text, SPACE_SIGN, SPACE_SIZE) != 0))
    text_puts(&e->spaced, SPACE_SIGN);
  TRY(normal_run(&signs, text, n, &e->spaced, err));
  TRY(text_finish(&e->spaced, err));
  text = e->spaced.bytes;
  n = e->spaced.size;
  for (size_t from = 0, stop; from < n; from = stop) {
    const char *next = m->split && from + 1 < n ? memmem(text + from + 1, n - from - 1, SPACE_SIGN, SPACE_SIZE) : NULL;
    stop = next ? (size_t)(next - text) : n;
    TRY(encode_piece(e, text + from, stop - from, err));
  }
  return 0;
}

static int encode_pieces(struct encoding *e, const char *text, size_t n, struct error *err)
{
  int rc;
  if (e->t->metaspace.on)
    rc = encode_spaced(e, text, n, err);
  else if (e->t->pretoken.count)
    rc = encode_cuts(e, text, n, err);
  else
    rc = encode_piece(e, text, n, err);
  e->at_start = false;
  return rc;
}

static int encode_between(struct encoding *e, const struct added_set *set, const char *text, size_t n,
                          struct error *err);

static int encode_normalized(struct encoding *e, const char *text, size_t n, struct error *err)
{
  TRY(tokenizer_normalize(e->t, text, n, e->normal, &text, &n, err));
  return encode_between(e, &e->t->normalized, text, n, err);
}

/* Tokens of the set become ids; what lies between them goes one level down. */
static int encode_between(struct encoding *e, const struct added_set *set, const char *text, size_t n,
                          struct error *err)
{
  int (*deeper)(struct encoding *, const char *, size_t, struct error *) =
      set == &e->t->plain ? encode_normalized : encode_pieces;
  struct added_walk walk = {.set = set, .text = text, .size = n, .skip_special = e->skip_special};
  size_t done = 0, start, stop;
  for (const struct added_token *token; (token = added_next(&walk, &start, &stop));) {
    if (done < start) TRY(deeper(e, text + done, start - done, err));
    TRY(token_list_push(e->out, token->id, err));
    e->at_start = false;
    done = stop;
  }
  return done < n ? deeper(e, text + done, n - done, err) : 0;
}

static void encoding_free(struct encoding *e)
{
  text_free(&e->valid);
  text_free(&e->normal[0]);
  text_free(&e->normal[1]);
  pretoken_cuts_free(&e->cuts);
  bpe_scratch_free(&e->scratch);
  unigram_scratch_free(&e->lattice);
  text_free(&e->spaced);
}

/* Makes the text valid UTF-8 if it is not. */
static int make_valid(const char **text, size_t *n, struct text *buffer, struct error *err)
{
  if (utf8_valid_prefix(*text, *n) == *n) return 0;
  unicode_put_valid(buffer, *text, *n);
  TRY(text_finish(buffer, err));
  *text = buffer->bytes;
  *n = buffer->size;
  return 0;
}

static int push_all(struct token_list *out, const int32_t *ids, size_t count, struct error *err)
{
  for (size_t i = 0; i < count; i++) TRY(token_list_push(out, ids[i], err));
  return 0;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, int flags, struct token_list *out,
                     struct error *err)
{
  struct encoding e = {.t = t, .skip_special = !(flags & TOKENIZER_SPECIAL), .out = out, .at_start = true};
  bool around = flags & TOKENIZER_ADD_SPECIAL;
  int rc = around ? push_all(out, t->before, t->before_count, err) : 0;
  if (!rc) rc = make_valid(&text, &n, &e.valid, err);
  if (!rc) rc = encode_between(&e, &t->plain, text, n, err);
  if (!rc && around) rc = push_all(out, t->after, t->after_count, err);
  encoding_free(&e);
  return rc;
}

int tokenizer_cut(const struct tokenizer *t, const char *text, size_t n, struct token_list *lengths, struct error *err)
{
  struct encoding e = {.t = t};
  int rc = make_valid(&text, &n, &e.valid, err);
  if (!rc) rc = tokenizer_normalize(t, text, n, e.normal, &text, &n, err);
  if (!rc) rc = pretoken_run(&t->pretoken, text, n, &e.cuts, err);
  for (size_t i = 0; !rc && i < e.cuts.spans.count; i++)
    rc = token_list_push(lengths, (int32_t)(e.cuts.spans.items[i].end - e.cuts.spans.items[i].start), err);
  encoding_free(&e);
  return rc;
}

size_t tokenizer_vocab_size(const struct tokenizer *t)
{
  return t->bpe.count;
}

int32_t tokenizer_id_of_text(const struct tokenizer *t, const char *text, size_t n)
{
  return bpe_find(&t->bpe, text, n);
}

struct token_text tokenizer_text_of_id(const struct tokenizer *t, int32_t id)
{
  if (id < 0 || (size_t)id >= t->bpe.count || !t->bpe.tokens[id].bytes) return (struct token_text){"", 0};
  return (struct token_text){t->bpe.tokens[id].bytes, t->bpe.tokens[id].size};
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
  return id >= 0 && (size_t)id < t->bpe.count && t->special[id];
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
  return t->bos;
}
int32_t tokenizer_eos(const struct tokenizer *t)
{
  return t->eos;
}
int32_t tokenizer_pad(const struct tokenizer *t)
{
  return t->pad;
}
const char *tokenizer_chat_template(const struct tokenizer *t)
{
  return t->chat_template;
}
const char *tokenizer_tool_template(const struct tokenizer *t)
{
  return t->tool_template;
}

#include "text/tokenizer_state.h"

#include "core/cursor.h"

#include <string.h>

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
  for (size_t i = 0; i < t->form_count; i++) {
    struct text *to = &buffers[i & 1];
    text_clear(to);
    TRY(unicode_normalize(t->forms[i], text, n, to, err));
    TRY(text_finish(to, err));
    text = to->size ? to->bytes : "";
    n = to->size;
  }
  *out = text;
  *out_size = n;
  return 0;
}

int tokenizer_finish(struct arena *a, struct tokenizer *t, struct error *err)
{
  t->special = ARENA_NEW(a, bool, t->bpe.count, "tokenizer", err);
  if (!t->special) return ERROR_RESOURCE;
  struct text buffers[2] = {{0}, {0}};
  int rc = 0;
  for (size_t i = 0; i < t->added_count && !rc; i++) {
    struct added_token *token = &t->added[i];
    if (token->special) t->special[token->id] = true;
    if (!token->normalized) continue;
    const char *text = NULL;
    size_t n = 0;
    rc = tokenizer_normalize(t, token->text, token->size, buffers, &text, &n, err);
    if (!rc && !(token->text = arena_strndup(a, text, n, "tokenizer", err))) rc = ERROR_RESOURCE;
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
};

static int encode_pieces(struct encoding *e, const char *text, size_t n, struct error *err)
{
  TRY(pretoken_run(&e->t->pretoken, text, n, &e->cuts, err));
  const uint8_t *bytes = (const uint8_t *)e->cuts.bytes;
  for (size_t i = 0; i < e->cuts.spans.count; i++) {
    struct pretoken_span span = e->cuts.spans.items[i];
    TRY(bpe_encode(&e->t->bpe, bytes + span.start, span.end - span.start, &e->scratch, e->out, err));
  }
  return 0;
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
  struct encoding e = {.t = t, .skip_special = !(flags & TOKENIZER_SPECIAL), .out = out};
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

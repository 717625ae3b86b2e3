/* A tokenizer as the metadata of a GGUF file, in llama.cpp's words. */
#include "text/tokenizer_state.h"

#include "model/gguf_write.h"

#include <stdio.h>
#include <string.h>

/* The added token with this id, or NULL. */
static const struct added_token *added_at(const struct tokenizer *t, size_t id)
{
  for (size_t i = 0; i < t->added_count; i++)
    if ((size_t)t->added[i].id == id) return &t->added[i];
  return NULL;
}

static void put_spelled(struct gguf_pairs *out, const struct text *s)
{
  gguf_put_item(out, s->size ? s->bytes : "", s->size);
  if (s->rc) out->bytes.rc = s->rc;
}

/* Of a token of text that is not added: enum token_type. */
static int32_t plain_type(const struct tokenizer *t, size_t id)
{
  for (int i = 0; i < 256; i++)
    if (t->bpe.fallback[i] == (int32_t)id) return TOKEN_BYTE;
  return (int32_t)id == t->bpe.unk ? TOKEN_UNKNOWN : TOKEN_NORMAL;
}

static int put_tokens(const struct tokenizer *t, struct arena *a, size_t vocab, struct gguf_pairs *out,
                      struct error *err)
{
  int32_t *types = ARENA_NEW(a, int32_t, vocab, "tokenizer", err);
  if (!types) return ERROR_RESOURCE;
  struct text s = {0};
  gguf_put_strings(out, "tokenizer.ggml.tokens", vocab);
  for (size_t id = 0; id < vocab; id++) {
    const struct added_token *added = added_at(t, id);
    text_clear(&s);
    types[id] = added ? (added->special ? TOKEN_CONTROL : TOKEN_USER) : TOKEN_NORMAL;
    if (t->bpe.plain && ((int32_t)id == t->bpe.unk || !added)) types[id] = plain_type(t, id);
    if (id < t->bpe.count && t->bpe.tokens[id].bytes) {
      bpe_put_spelling(&t->bpe, (int32_t)id, &s);
    } else {
      text_printf(&s, "[PAD%zu]", id); /* the name that llama.cpp's converter gives */
      types[id] = TOKEN_UNUSED;
    }
    put_spelled(out, &s);
  }
  text_free(&s);
  gguf_put_ints(out, "tokenizer.ggml.token_type", types, vocab);
  return 0;
}

static void put_merges(const struct tokenizer *t, struct gguf_pairs *out)
{
  struct text s = {0};
  gguf_put_strings(out, "tokenizer.ggml.merges", t->bpe.merge_count);
  for (size_t i = 0; i < t->bpe.merge_count; i++) {
    text_clear(&s);
    bpe_put_spelling(&t->bpe, t->bpe.ranks[i].left, &s);
    text_puts(&s, " ");
    bpe_put_spelling(&t->bpe, t->bpe.ranks[i].right, &s);
    put_spelled(out, &s);
  }
  text_free(&s);
}

static void put_id(struct gguf_pairs *out, const char *key, int32_t id)
{
  if (id >= 0) gguf_put_u32(out, key, (uint32_t)id);
}

static void put_template(struct gguf_pairs *out, const char *key, const char *text)
{
  if (text) gguf_put_string(out, key, text, strlen(text));
}

/* ---- vocabularies of text ------------------------------------------------------------------------------------ */

/* Scores under which joining the best-scored neighbours is what the merges do: the lower a merge's rank, the higher.
   What no merge makes is never joined. */
static int put_scores(const struct tokenizer *t, struct arena *a, size_t vocab, struct gguf_pairs *out,
                      struct error *err)
{
  const struct bpe *b = &t->bpe;
  float *scores = ARENA_NEW(a, float, vocab, "tokenizer", err);
  if (!scores) return ERROR_RESOURCE;
  for (size_t id = 0; id < vocab; id++) scores[id] = -1e9f;
  for (size_t i = b->merge_count; i-- > 0;)
    if ((size_t)b->ranks[i].made < vocab) scores[b->ranks[i].made] = -(float)b->ranks[i].rank;
  gguf_put_reals(out, "tokenizer.ggml.scores", scores, vocab);
  return 0;
}

static bool fallback_bpe(const struct tokenizer *t)
{
  return !t->unigram.scores && t->bpe.byte_fallback && !t->bpe.ignore_merges && t->decode == DECODE_SPACES;
}

/* Gemma's pre-tokeniser splits at spaces, of which none is left. */
static bool cuts_nothing(const struct pretoken *p)
{
  return !p->count || (p->count == 1 && p->steps[0].literal && !strcmp(p->steps[0].pattern, " "));
}

/* Whether llama.cpp's one rule (spaces are U+2581, one in front or none, no further cuts) is this tokenizer's. */
static bool is_sentencepiece(const struct tokenizer *t, bool *in_front)
{
  const struct normal_step *last = t->normal_count ? &t->normal[t->normal_count - 1] : NULL;
  *in_front = t->metaspace.on ? t->metaspace.prepend != PREPEND_NEVER : t->normal_count == 2;
  if (!fallback_bpe(t) || !cuts_nothing(&t->pretoken)) return false;
  if (t->metaspace.on) return !t->normal_count && !t->metaspace.split;
  bool replaces = last && last->kind == NORMAL_REPLACE && last->literal && !strcmp(last->pattern, " ");
  return replaces && (t->normal_count == 1 || (t->normal_count == 2 && t->normal[0].kind == NORMAL_PREPEND));
}

static int put_common(const struct tokenizer *t, bool prefix_space, struct gguf_pairs *out, struct error *err)
{
  put_id(out, "tokenizer.ggml.bos_token_id", t->bos);
  put_id(out, "tokenizer.ggml.eos_token_id", t->eos);
  put_id(out, "tokenizer.ggml.padding_token_id", t->pad);
  gguf_put_bool(out, "tokenizer.ggml.add_bos_token", t->before_count > 0 && t->before[0] == t->bos);
  gguf_put_bool(out, "tokenizer.ggml.add_eos_token", t->after_count > 0 && t->after[0] == t->eos);
  gguf_put_bool(out, "tokenizer.ggml.add_space_prefix", prefix_space);
  put_template(out, "tokenizer.chat_template", t->chat_template);
  put_template(out, "tokenizer.chat_template.tool_use", t->tool_template);
  return text_finish(&out->bytes, err);
}

int tokenizer_put_gguf(const struct tokenizer *t, struct arena *a, size_t vocab, struct gguf_pairs *out,
                       struct error *err)
{
  bool in_front;
  if (t->bpe.plain && is_sentencepiece(t, &in_front)) {
    gguf_put_string(out, "tokenizer.ggml.model", "llama", 5);
    gguf_put_string(out, "tokenizer.ggml.pre", "default", 7);
    TRY(put_tokens(t, a, vocab, out, err));
    TRY(put_scores(t, a, vocab, out, err));
    return put_common(t, in_front, out, err);
  }
  const bool nfc = t->normal_count == 1 && t->normal[0].kind == NORMAL_FORM && t->normal[0].form == UNICODE_NFC;
  const char *pre = t->bpe.plain ? NULL : pretoken_find_name(&t->pretoken, nfc, t->bpe.ignore_merges);
  if (!pre || t->normal_count > nfc)
    FAIL_AT(
        err, ERROR_INPUT, NULL, 0, "pre_tokenizer",
        "GGUF has no name for this tokenizer's way to cut a text; those that can be written are byte-level BPE as of "
        "GPT-2, SmolLM, Qwen2, Llama 3, Tekken and DeepSeek 3, and sentencepiece's with byte fallback; write a folder");
  gguf_put_string(out, "tokenizer.ggml.model", "gpt2", 4);
  gguf_put_string(out, "tokenizer.ggml.pre", pre, strlen(pre));
  TRY(put_tokens(t, a, vocab, out, err));
  put_merges(t, out);
  return put_common(t, t->pretoken.steps[t->pretoken.count - 1].prefix_space, out, err);
}

/* A tokenizer from what a GGUF file tells of it. */
#include "text/tokenizer_state.h"

#include <string.h>

static bool is_added(const struct tokenizer_parts *p, size_t i)
{
  return p->types && (p->types[i] == TOKEN_CONTROL || p->types[i] == TOKEN_USER || p->types[i] == TOKEN_UNKNOWN);
}

static int load_tokens(struct arena *a, struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
  size_t added = 0;
  for (size_t i = 0; i < p->token_count; i++) {
    if (is_added(p, i)) added++;
    TRY(bpe_add_token(a, &t->bpe, p->tokens[i].bytes, p->tokens[i].size, (int32_t)i, is_added(p, i), p->file, err));
  }
  bpe_finish(&t->bpe);
  for (size_t i = 0; i < p->merge_count; i++)
    TRY(bpe_add_merge_line(&t->bpe, p->merges[i].bytes, p->merges[i].size, p->file, err));
  t->added = ARENA_NEW(a, struct added_token, added, "tokenizer", err);
  if (!t->added) return ERROR_RESOURCE;
  for (size_t i = 0; i < p->token_count; i++) {
    if (!is_added(p, i)) continue;
    const char *text = arena_strndup(a, p->tokens[i].bytes, p->tokens[i].size, "tokenizer", err);
    if (!text) return ERROR_RESOURCE;
    t->added[t->added_count++] = (struct added_token){
        .text = text, .size = p->tokens[i].size, .id = (int32_t)i, .special = p->types[i] != TOKEN_USER};
  }
  return 0;
}

static int check_id(const struct tokenizer_parts *p, int32_t id, const char *key, struct error *err)
{
  if (id < -1 || (id >= 0 && (size_t)id >= p->token_count))
    FAIL_AT(err, ERROR_INPUT, p->file, 0, key, "%s is %d; expected an id below %zu", key, id, p->token_count);
  return 0;
}

static int check(const struct tokenizer_parts *p, struct error *err)
{
  if (!p->token_count || p->token_count > INT32_MAX / 2)
    FAIL_AT(err, ERROR_INPUT, p->file, 0, "tokenizer.ggml.tokens", "found %zu tokens; expected a vocabulary",
            p->token_count);
  TRY(check_id(p, p->bos, "tokenizer.ggml.bos_token_id", err));
  TRY(check_id(p, p->eos, "tokenizer.ggml.eos_token_id", err));
  TRY(check_id(p, p->pad, "tokenizer.ggml.padding_token_id", err));
  return check_id(p, p->unk, "tokenizer.ggml.unknown_token_id", err);
}

int tokenizer_from_parts(struct arena *a, const struct tokenizer_parts *p, struct tokenizer **out, struct error *err)
{
  TRY(check(p, err));
  struct tokenizer *t = ARENA_NEW(a, struct tokenizer, 1, "tokenizer", err);
  if (!t) return ERROR_RESOURCE;
  TRY(bpe_create(a, &t->bpe, p->token_count, p->merge_count, err));
  TRY(load_tokens(a, t, p, err));
  bool nfc;
  TRY(pretoken_by_name(a, &t->pretoken, p->pre ? p->pre : "gpt-2", p->add_prefix_space, &nfc, &t->bpe.ignore_merges,
                       p->file, err));
  if (nfc) t->forms[t->form_count++] = UNICODE_NFC;
  t->bos = p->bos;
  t->eos = p->eos;
  t->pad = p->pad;
  t->bpe.unk = p->unk;
  if (p->add_bos && p->bos >= 0) t->before[t->before_count++] = p->bos;
  if (p->add_eos && p->eos >= 0) t->after[t->after_count++] = p->eos;
  if (p->chat_template && !(t->chat_template = arena_strdup(a, p->chat_template, "chat template", err)))
    return ERROR_RESOURCE;
  TRY(tokenizer_finish(a, t, err));
  *out = t;
  return 0;
}

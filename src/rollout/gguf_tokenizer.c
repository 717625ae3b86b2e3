#include "rollout/gguf_tokenizer.h"
#include <string.h>
#include "model/gguf.h"

static int copy_strings(struct arena *a, const struct gguf *g, const char *key, const struct token_text **out,
                        size_t *count, struct error *err)
{
  const struct gguf_array *list;
  TRY(gguf_get_array(g, key, GGUF_STRING, &list, err));
  if (!list)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "found no %s; expected the tokenizer's part of a GGUF file", key);
  struct token_text *t = ARENA_NEW(a, struct token_text, list->count, "tokenizer", err);
  if (!t) return err->code;
  for (uint64_t i = 0; i < list->count; i++) t[i] = (struct token_text){list->strings[i].bytes, list->strings[i].size};
  *out = t;
  *count = list->count;
  return 0;
}

static int copy_types(struct arena *a, const struct gguf *g, size_t tokens, const int32_t **out, struct error *err)
{
  static const char key[] = "tokenizer.ggml.token_type";
  const struct gguf_array *list;
  TRY(gguf_get_array(g, key, GGUF_INT32, &list, err));
  if (!list) return 0;
  if (list->count != tokens)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "found %llu token types for %zu tokens; expected one each",
            (unsigned long long)list->count, tokens);
  int32_t *types = ARENA_NEW(a, int32_t, tokens, "tokenizer", err);
  if (!types) return err->code;
  for (size_t i = 0; i < tokens; i++) types[i] = (int32_t)gguf_array_int(list, i);
  *out = types;
  return 0;
}

static int get_id(const struct gguf *g, const char *key, size_t tokens, int32_t *out, struct error *err)
{
  int64_t id;
  TRY(gguf_get_int(g, key, -1, (int64_t)tokens - 1, -1, &id, err));
  *out = (int32_t)id;
  return 0;
}

static int copy_text(struct arena *a, const struct gguf *g, const char *key, const char **out, struct error *err)
{
  struct gguf_string s;
  TRY(gguf_get_string(g, key, &s, err));
  *out = s.bytes ? arena_strndup(a, s.bytes, s.size, "tokenizer", err) : NULL;
  return s.bytes && !*out ? err->code : 0;
}

/* Llama 3's files leave add_bos_token out and mean true (llama.cpp, llama-vocab.cpp). */
static bool adds_bos(const char *pre)
{
  return pre && (!strcmp(pre, "llama-bpe") || !strcmp(pre, "llama3") || !strcmp(pre, "llama-v3"));
}

bool gguf_has_tokenizer(const struct gguf *g)
{
  const struct gguf_value *v = gguf_find(g, "tokenizer.ggml.model");
  return v && !(v->type == GGUF_STRING && (gguf_string_is(v->s, "none") || gguf_string_is(v->s, "no_vocab")));
}

int gguf_tokenizer_open(struct arena *a, const struct gguf *g, const char *file, struct tokenizer **out,
                        struct error *err)
{
  struct tokenizer_parts p = {.file = file};
  struct gguf_string kind;
  TRY(gguf_get_string(g, "tokenizer.ggml.model", &kind, err));
  if (!gguf_string_is(kind, "gpt2"))
    FAIL_AT(err, ERROR_INPUT, file, 0, "tokenizer.ggml.model",
            "found tokenizer \"%.*s\"; expected \"gpt2\" (byte-level BPE), the only kind supported so far",
            kind.bytes ? (int)(kind.size < 40 ? kind.size : 40) : 4, kind.bytes ? kind.bytes : "none");
  TRY(copy_strings(a, g, "tokenizer.ggml.tokens", &p.tokens, &p.token_count, err));
  TRY(copy_strings(a, g, "tokenizer.ggml.merges", &p.merges, &p.merge_count, err));
  TRY(copy_types(a, g, p.token_count, &p.types, err));
  TRY(copy_text(a, g, "tokenizer.ggml.pre", &p.pre, err));
  TRY(copy_text(a, g, "tokenizer.chat_template", &p.chat_template, err));
  TRY(get_id(g, "tokenizer.ggml.bos_token_id", p.token_count, &p.bos, err));
  TRY(get_id(g, "tokenizer.ggml.eos_token_id", p.token_count, &p.eos, err));
  TRY(get_id(g, "tokenizer.ggml.padding_token_id", p.token_count, &p.pad, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", adds_bos(p.pre), &p.add_bos, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_eos_token", false, &p.add_eos, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", false, &p.add_prefix_space, err));
  return tokenizer_from_parts(a, &p, out, err);
}

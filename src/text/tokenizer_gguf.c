/* A tokenizer from what a GGUF file tells of it. */
#include "text/tokenizer_state.h"

#include "core/file.h"
#include "model/gguf.h"

#include <stdlib.h>
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

/* ---- vocabularies of text: "llama", sentencepiece's ------------------------------------------------------------- */

/* One way to make a token of two others. */
struct joining {
  double score; /* of the token made: the highest is made first */
  int32_t left, right, made;
  uint32_t left_size;
};

static int compare_joinings(const void *a, const void *b)
{
  const struct joining *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  if (x->left_size != y->left_size) return x->left_size < y->left_size ? -1 : 1;
  return x->made < y->made ? -1 : x->made > y->made;
}

/* Every way to make a token i of two tokens; with NULL they are counted only. */
static size_t find_joinings(const struct bpe *b, const struct tokenizer_parts *p, size_t i, struct joining *to)
{
  const struct token_text *token = &p->tokens[i];
  size_t found = 0;
  if (p->types && p->types[i] != TOKEN_NORMAL && p->types[i] != TOKEN_USER) return 0;
  for (size_t at = 1; at < token->size; at++) {
    if (((uint8_t)token->bytes[at] & 0xc0) == 0x80) continue; /* inside a character */
    int32_t left = bpe_find_bytes(b, token->bytes, at, false),
            right = bpe_find_bytes(b, token->bytes + at, token->size - at, false);
    if (left < 0 || right < 0) continue;
    if (to) to[found] = (struct joining){p->scores[i], left, right, (int32_t)i, (uint32_t)at};
    found++;
  }
  return found;
}

/* Sentencepiece joins the two neighbours whose token has the highest score, the leftmost of equals: merges by rank of
   score. */
static int load_scored_merges(struct tokenizer *t, const struct tokenizer_parts *p, size_t count, struct error *err)
{
  struct joining *all = memory_alloc(count ? count : 1, sizeof *all, "tokenizer", err);
  size_t at = 0;
  uint32_t rank = 0;
  if (!all) return ERROR_RESOURCE;
  for (size_t i = 0; i < p->token_count; i++) at += find_joinings(&t->bpe, p, i, all + at);
  qsort(all, count, sizeof *all, compare_joinings);
  for (size_t i = 0; i < count; i++) {
    if (i && all[i].score < all[i - 1].score) rank++;
    bpe_add_ranked_merge(&t->bpe, all[i].left, all[i].right, all[i].made, rank);
  }
  memory_free(all);
  return 0;
}

/* The text's spaces, as the converter's models have them. */
static void set_spaces(struct tokenizer *t, bool in_front)
{
  static const char sign[] = "\xe2\x96\x81";
  if (in_front) t->normal[t->normal_count++] = (struct normal_step){.kind = NORMAL_PREPEND, .content = sign};
  t->normal[t->normal_count++] =
      (struct normal_step){.kind = NORMAL_REPLACE, .literal = true, .pattern = " ", .content = sign};
  t->decode = DECODE_SPACES;
  t->decode_strip = in_front;
}

static int load_text_vocabulary(struct arena *a, struct tokenizer *t, const struct tokenizer_parts *p,
                                struct error *err)
{
  struct bpe plain = {0};
  size_t merges = 0;
  TRY(bpe_create(a, &plain, p->token_count, 0, err));
  plain.plain = true;
  for (size_t i = 0; i < p->token_count; i++)
    TRY(bpe_add_token(a, &plain, p->tokens[i].bytes, p->tokens[i].size, (int32_t)i, false, p->file, err));
  for (size_t i = 0; i < p->token_count; i++) merges += find_joinings(&plain, p, i, NULL);
  TRY(bpe_create(a, &t->bpe, p->token_count, merges, err));
  t->bpe.plain = t->bpe.byte_fallback = t->bpe.fuse_unk = true;
  TRY(load_tokens(a, t, p, err));
  for (size_t i = 0; p->types && i < p->token_count; i++)
    if (p->types[i] == TOKEN_UNKNOWN) t->bpe.unk = (int32_t)i;
  TRY(load_scored_merges(t, p, merges, err));
  set_spaces(t, p->add_prefix_space);
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
  if (!p->pre && !p->scores)
    FAIL_AT(
        err, ERROR_INPUT, p->file, 0, "tokenizer.ggml.pre",
        "tokenizer.ggml.pre is missing, so how the text is cut is unknown; convert the model again with a newer tool");
  TRY(check_id(p, p->bos, "tokenizer.ggml.bos_token_id", err));
  TRY(check_id(p, p->eos, "tokenizer.ggml.eos_token_id", err));
  return check_id(p, p->pad, "tokenizer.ggml.padding_token_id", err);
}

int tokenizer_from_parts(struct arena *a, const struct tokenizer_parts *p, struct tokenizer **out, struct error *err)
{
  TRY(check(p, err));
  struct tokenizer *t = ARENA_NEW(a, struct tokenizer, 1, "tokenizer", err);
  if (!t) return ERROR_RESOURCE;
  bool nfc = false;
  if (p->scores) {
    TRY(load_text_vocabulary(a, t, p, err));
  } else {
    TRY(bpe_create(a, &t->bpe, p->token_count, p->merge_count, err));
    TRY(load_tokens(a, t, p, err));
    TRY(pretoken_by_name(a, &t->pretoken, p->pre, p->add_prefix_space, &nfc, &t->bpe.ignore_merges, p->file, err));
  }
  if (nfc) t->normal[t->normal_count++] = (struct normal_step){.kind = NORMAL_FORM, .form = UNICODE_NFC};
  t->bos = p->bos;
  t->eos = p->eos;
  t->pad = p->pad;
  if (p->add_bos && p->bos >= 0) t->before[t->before_count++] = p->bos;
  if (p->add_eos && p->eos >= 0) t->after[t->after_count++] = p->eos;
  if (p->chat_template && !(t->chat_template = arena_strdup(a, p->chat_template, "chat template", err)))
    return ERROR_RESOURCE;
  if (p->tool_template && !(t->tool_template = arena_strdup(a, p->tool_template, "chat template", err)))
    return ERROR_RESOURCE;
  TRY(tokenizer_finish(a, t, err));
  *out = t;
  return 0;
}

/* A string of the file with a NUL behind it; NULL where it is absent. */
static int read_string(struct arena *a, const struct gguf *g, const char *key, const char **out, struct error *err)
{
  struct gguf_string s;
  *out = NULL;
  TRY(gguf_get_string(g, key, &s, err));
  if (s.bytes && !(*out = arena_strndup(a, s.bytes, s.size, "tokenizer", err))) return ERROR_RESOURCE;
  return 0;
}

static int read_texts(struct arena *a, const struct gguf *g, const char *key, const struct token_text **out,
                      size_t *count, struct error *err)
{
  const struct gguf_array *array;
  TRY(gguf_get_array(g, key, GGUF_STRING, &array, err));
  if (!array) FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "%s is missing; expected a list of strings", key);
  struct token_text *texts = ARENA_NEW(a, struct token_text, array->count, "tokenizer", err);
  if (!texts) return ERROR_RESOURCE;
  for (uint64_t i = 0; i < array->count; i++)
    texts[i] = (struct token_text){array->strings[i].bytes, array->strings[i].size};
  *out = texts;
  *count = array->count;
  return 0;
}

static int read_types(struct arena *a, const struct gguf *g, struct tokenizer_parts *p, struct error *err)
{
  static const char key[] = "tokenizer.ggml.token_type";
  const struct gguf_array *array;
  TRY(gguf_get_array(g, key, GGUF_INT32, &array, err));
  if (!array) return 0;
  if (array->count != p->token_count)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "found %llu token types and %zu tokens; expected as many",
            (unsigned long long)array->count, p->token_count);
  int32_t *types = ARENA_NEW(a, int32_t, array->count, "tokenizer", err);
  if (!types) return ERROR_RESOURCE;
  for (uint64_t i = 0; i < array->count; i++) types[i] = (int32_t)gguf_array_int(array, i);
  p->types = types;
  return 0;
}

static int read_scores(struct arena *a, const struct gguf *g, struct tokenizer_parts *p, struct error *err)
{
  static const char key[] = "tokenizer.ggml.scores";
  const struct gguf_array *array;
  TRY(gguf_get_array(g, key, GGUF_FLOAT32, &array, err));
  if (!array || array->count != p->token_count)
    FAIL_AT(err, ERROR_INPUT, g->path, 0, key, "found %llu scores and %zu tokens; expected as many",
            (unsigned long long)(array ? array->count : 0), p->token_count);
  double *scores = ARENA_NEW(a, double, array->count, "tokenizer", err);
  if (!scores) return ERROR_RESOURCE;
  for (uint64_t i = 0; i < array->count; i++) scores[i] = gguf_array_real(array, i);
  p->scores = scores;
  return 0;
}

static int read_id(const struct gguf *g, const char *key, int32_t *out, struct error *err)
{
  int64_t id;
  TRY(gguf_get_int(g, key, -1, UINT32_MAX, -1, &id, err));
  *out = id > INT32_MAX ? -1 : (int32_t)id; /* 2^32 - 1 means none */
  return 0;
}

int tokenizer_from_gguf(struct arena *a, const struct gguf *g, struct tokenizer **out, struct error *err)
{
  struct tokenizer_parts p = {.file = g->path};
  const char *model;
  TRY(read_string(a, g, "tokenizer.ggml.model", &model, err));
  bool text = model && !strcmp(model, "llama");
  if (!text && (!model || strcmp(model, "gpt2")))
    FAIL_AT(err, ERROR_INPUT, g->path, 0, "tokenizer.ggml.model",
            "found the tokenizer \"%.60s\"; supported are \"gpt2\" (byte-level BPE) and \"llama\" (sentencepiece BPE)",
            model ? model : "(none)");
  TRY(read_texts(a, g, "tokenizer.ggml.tokens", &p.tokens, &p.token_count, err));
  if (text)
    TRY(read_scores(a, g, &p, err));
  else
    TRY(read_texts(a, g, "tokenizer.ggml.merges", &p.merges, &p.merge_count, err));
  TRY(read_types(a, g, &p, err));
  TRY(read_string(a, g, "tokenizer.ggml.pre", &p.pre, err));
  TRY(read_string(a, g, "tokenizer.chat_template", &p.chat_template, err));
  TRY(read_string(a, g, "tokenizer.chat_template.tool_use", &p.tool_template, err));
  TRY(read_id(g, "tokenizer.ggml.bos_token_id", &p.bos, err));
  TRY(read_id(g, "tokenizer.ggml.eos_token_id", &p.eos, err));
  TRY(read_id(g, "tokenizer.ggml.padding_token_id", &p.pad, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", text, &p.add_bos, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_eos_token", false, &p.add_eos, err));
  TRY(gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", text, &p.add_prefix_space, err));
  return tokenizer_from_parts(a, &p, out, err);
}

int tokenizer_open_gguf(struct arena *a, const char *path, struct tokenizer **out, struct error *err)
{
  struct gguf *g;
  TRY(gguf_open(a, path, &g, err));
  return tokenizer_from_gguf(a, g, out, err);
}

int tokenizer_open(struct arena *a, const char *path, struct tokenizer **out, struct error *err)
{
  return file_is_folder(path) ? tokenizer_open_folder(a, path, out, err) : tokenizer_open_gguf(a, path, out, err);
}

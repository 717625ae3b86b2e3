/* text/tokenizer: text to token ids and back, as the `tokenizers` package does it, from a model's own files.
 *
 * What is supported: byte-level BPE (the GPT-2, SmolLM, Qwen2, Llama 3, Mistral Tekken and DeepSeek kinds), BPE over
 * characters with byte fallback (Llama 2, Mistral, Phi-3, Gemma) and Unigram. Normalisers NFC, NFD, NFKC, NFKD,
 * Prepend, Replace, Strip; pre-tokenisers Split, Digits, ByteLevel and sequences of them, Metaspace, or none; added
 * tokens with all their flags; post-processors that put tokens around the text. Everything else is refused by a
 * sentence that names what was found.
 *
 * A tokenizer is read-only once made: any number of threads may encode and decode with one. Equal text gives equal ids.
 */
#ifndef ASSAY_TEXT_TOKENIZER_H
#define ASSAY_TEXT_TOKENIZER_H

#include "core/arena.h"
#include "core/json.h"

struct tokenizer;

/* A growing list of token ids. Zero it to start; free it with token_list_free. */
struct token_list {
  int32_t *ids;
  size_t count, room;
};
int token_list_push(struct token_list *l, int32_t id, struct error *err) MUST_USE;
void token_list_clear(struct token_list *l); /* keeps the memory */
void token_list_free(struct token_list *l);

/* Reads tokenizer.json, and where they are there tokenizer_config.json, special_tokens_map.json and
   chat_template.jinja. The tokenizer lives as long as the arena. ERROR_INPUT names the file and what in it is
   unsupported or wrong. */
int tokenizer_open_folder(struct arena *a, const char *folder, struct tokenizer **out, struct error *err) MUST_USE;
/* The bytes of a tokenizer.json alone; file is for messages. */
int tokenizer_from_json(struct arena *a, const char *json, size_t n, const char *file, struct tokenizer **out,
                        struct error *err) MUST_USE;

/* What a GGUF file tells of its tokenizer. Everything is copied; ids are positions in tokens; -1 means none. */
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };
struct token_text {
  const char *bytes;
  size_t size;
};
struct tokenizer_parts {
  const char *file; /* for messages */
  const struct token_text *tokens;
  const int32_t *types; /* enum token_type per token, or NULL: all normal */
  size_t token_count;
  const struct token_text *merges; /* "left right" in order of rank */
  const double *scores;            /* per token, of a vocabulary of text ("llama"): merges follow from them; or NULL */
  size_t merge_count;
  const char
      *pre; /* with merges, tokenizer.ggml.pre: "gpt-2", "smollm", "qwen2", "llama-bpe", "tekken", "deepseek-v3", ... */
  int32_t bos, eos,
      pad; /* a byte that has no token is dropped, as byte-level BPE does; GGUF's unknown token is not used */
  bool add_bos, add_eos, add_prefix_space;
  const char *chat_template; /* or NULL */
  const char *tool_template; /* the one named "tool_use", or NULL */
};
int tokenizer_from_parts(struct arena *a, const struct tokenizer_parts *p, struct tokenizer **out,
                         struct error *err) MUST_USE;

/* The same from a GGUF file (tokenizer.ggml.model "gpt2": byte-level BPE), read here or by the caller. */
struct gguf;
int tokenizer_open_gguf(struct arena *a, const char *path, struct tokenizer **out, struct error *err) MUST_USE;
int tokenizer_from_gguf(struct arena *a, const struct gguf *g, struct tokenizer **out, struct error *err) MUST_USE;
/* A folder, or else a GGUF file. */
int tokenizer_open(struct arena *a, const char *path, struct tokenizer **out, struct error *err) MUST_USE;

enum {
  TOKENIZER_SPECIAL = 1,    /* special tokens that occur in the text become their ids; else they are plain text */
  TOKENIZER_ADD_SPECIAL = 2 /* the post-processor's tokens (BOS, EOS) around the ids */
};
/* Appends the ids of n bytes of text to out. Bytes that are not UTF-8 count as U+FFFD each. Time grows as n log n at
 * worst. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, int flags, struct token_list *out,
                     struct error *err) MUST_USE;
/* The lengths in bytes of the pieces that the pre-tokeniser cuts the normalised text into; no added tokens are looked
 * for. */
int tokenizer_cut(const struct tokenizer *t, const char *text, size_t n, struct token_list *lengths,
                  struct error *err) MUST_USE;

/* Appends the text of count ids. What is not UTF-8 comes out as U+FFFD, one for each maximal broken sequence. Ids that
   no token has (models pad their vocabularies) are left out. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip_special, struct text *out);

/* The same, one token at a time: bytes are held back until the character is complete (a run of byte tokens of a
   vocabulary with byte fallback, up to its end), and flush gives U+FFFD for a rest. The pieces joined are what
   tokenizer_decode gives for all ids. */
struct token_decoder {
  const struct tokenizer *t;
  bool skip_special;
  uint8_t held[64]; /* of a character, or of a run of byte tokens */
  unsigned held_count;
  bool begun; /* a token was seen */
};
void token_decoder_start(struct token_decoder *d, const struct tokenizer *t, bool skip_special);
void token_decoder_add(struct token_decoder *d, int32_t id, struct text *out);
void token_decoder_flush(struct token_decoder *d, struct text *out);

size_t tokenizer_vocab_size(const struct tokenizer *t); /* largest id + 1 */
/* The token whose text in the tokenizer's files is this ("<|im_end|>", "\u0120the"), or -1. */
int32_t tokenizer_id_of_text(const struct tokenizer *t, const char *text, size_t n);
/* The bytes that a token decodes to; size 0 and "" for an id that no token has. */
struct token_text tokenizer_text_of_id(const struct tokenizer *t, int32_t id);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
int32_t tokenizer_bos(const struct tokenizer *t); /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_pad(const struct tokenizer *t);
/* The chat template (the one named "default" where there are several), or NULL; and the one named "tool_use", or NULL.
 */
const char *tokenizer_chat_template(const struct tokenizer *t);
const char *tokenizer_tool_template(const struct tokenizer *t);

/* Appends the metadata that a GGUF file tells of a tokenizer, with `vocab` tokens (those past the tokenizer's own are
   unused). ERROR_INPUT: not a byte-level BPE, or with a pre-tokeniser that GGUF has no name for. */
struct gguf_pairs;
int tokenizer_put_gguf(const struct tokenizer *t, struct arena *a, size_t vocab, struct gguf_pairs *out,
                       struct error *err) MUST_USE;

/* Writes tokenizer.json and tokenizer_config.json (with bos, eos, pad and the chat template) into a folder, for models
   that came as GGUF: transformers and the tokenizers package load them. */
int tokenizer_write_json(const struct tokenizer *t, struct arena *a, const char *folder, struct error *err) MUST_USE;

#endif

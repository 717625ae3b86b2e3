/* links: serve
 * Bytes as the body of a request, of both kinds: taken or refused in a sentence; its schema as an automaton, of which
 * a hundred bytes are tried; and as what a model says, with calls of tools in it. */
#include <stdlib.h>
#include <string.h>

#include "serve/grammar.h"
#include "serve/request.h"
#include "serve/tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void must(bool holds)
{
  if (!holds) abort();
}

/* A vocabulary of some letters and the end. */
static const struct grammar_vocab *vocabulary(void)
{
  static const char json[] =
      "{\"added_tokens\": [{\"id\": 0, \"content\": \"<|end|>\", \"special\": true, \"single_word\": false, "
      "\"lstrip\": "
      "false, \"rstrip\": false, \"normalized\": false}], \"normalizer\": null, \"pre_tokenizer\": {\"type\": "
      "\"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, \"post_processor\": "
      "null, "
      "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": "
      "true}, "
      "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
      "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"merges\": [], \"vocab\": "
      "{\"<|end|>\": 0, \"{\": 1, \"}\": 2, \"\\\"\": 3, \":\": 4, \",\": 5, \"[\": 6, \"]\": 7, \"0\": 8, \"1\": 9, "
      "\"a\": 10, \"\\\\\": 11, \"\xc4\xa0\": 12, \"n\": 13, \"u\": 14, \"l\": 15}}}";
  static struct grammar_vocab *vocab;
  static const int end[] = {0};
  struct error err = {0};
  struct tokenizer *t;
  if (vocab) return vocab;
  static struct arena *a;
  a = arena_create("vocabulary", 0, &err);
  must(a && !tokenizer_from_json(a, json, sizeof json - 1, "tokenizer", &t, &err));
  must(!grammar_vocab_open(a, t, 16, end, 1, &vocab, &err));
  return vocab;
}

static void try_grammar(struct arena *a, const struct api_request *r, const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct grammar *g;
  struct grammar_state s;
  uint32_t mask[1];
  if (r->must_call ? grammar_open_calls(a, vocabulary(), r->tools, r->tool, &g, &err)
                   : grammar_open(a, vocabulary(), r->schema, &g, &err)) {
    must(err.code && *err.message);
    return;
  }
  grammar_start(g, &s);
  grammar_mask(g, &s, mask);
  must(mask[0]);
  for (size_t i = 0; i < size && i < 100; i++)
    if (grammar_step(g, &s, bytes[i])) grammar_mask(g, &s, mask);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  for (int kind = 0; kind < 2; kind++) {
    struct error err = {0};
    struct arena *a = arena_create("fuzz", 0, &err);
    struct api_request r;
    if (!a) return 0;
    if (api_request_parse(a, kind ? API_CHAT : API_COMPLETION, (const char *)bytes, size, &r, &err)) {
      must(err.code && *err.message);
    } else {
      must(r.n >= 1 && r.prompt_count >= 1 && r.top <= API_TOP && r.stop_count <= API_STOPS);
      must(r.drawn >= r.n && (r.tools || !r.must_call));
      if (r.format != FORMAT_TEXT || r.must_call) try_grammar(a, &r, bytes, size);
    }
    arena_destroy(a);
  }
  must(tools_begin((const char *)bytes, size) <= size);
  json_decref(tools_read((const char *)bytes, size, "call-1", 0));
  return 0;
}

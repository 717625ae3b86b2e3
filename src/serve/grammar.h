/* serve/grammar: what a constrained answer may say next: a JSON schema as an automaton over bytes, and the tokens that
 * keep it alive.
 *
 * The automaton is a nondeterministic one with a bounded stack (recursive schemas need one). Its language is a subset
 * of what the schema allows, so that every complete answer is valid: properties come in the schema's order and none
 * that it does not name (optional ones may be left out), between the parts stands at most one space, or a newline and
 * up to 16 spaces, numbers have at most 16 digits before and behind the point, and values nest up to about 15 deep.
 *
 * Supported: type (a name or a list), properties, required, additionalProperties, items, minItems and maxItems (to
 * 256), minLength and maxLength (to 512), enum, const, anyOf, allOf of one, $ref into $defs or definitions, true.
 * Titles, descriptions, formats and the like are notes. Everything else is refused by name.
 *
 * Which tokens may follow is found by walking all tokens in order of their bytes, so that common beginnings are tried
 * once, and remembered for states that come again (inside a string nearly always).
 */
#ifndef ASSAY_SERVE_GRAMMAR_H
#define ASSAY_SERVE_GRAMMAR_H

#include "core/json.h"
#include "text/tokenizer.h"

enum { GRAMMAR_DEPTH = 32, GRAMMAR_THREADS = 64, GRAMMAR_NODES = 32768, GRAMMAR_TOKEN = 64 /* bytes of a token */ };

struct grammar_thread {
  uint16_t at, depth;
  uint16_t stack[GRAMMAR_DEPTH];
};

/* Everything that may have happened so far. */
struct grammar_state {
  uint16_t count;
  bool complete; /* the answer may end here */
  bool in_text;  /* any character of a string may follow, as often as wanted */
  struct grammar_thread threads[GRAMMAR_THREADS];
};

/* The tokens of a model in order of their bytes; made once, read by all. */
struct grammar_vocab {
  const struct tokenizer *tokenizer;
  size_t words; /* of a mask: (the model's vocabulary + 31) / 32 */
  size_t count;
  int32_t *ids;    /* [count] */
  uint8_t *shared; /* [count] bytes in common with the one before */
  uint32_t *texts; /* [words] tokens that are whole characters of a string, nothing to escape */
  const int *end_ids;
  size_t end_id_count;
};
int grammar_vocab_open(struct arena *a, const struct tokenizer *t, size_t model_vocab, const int *end_ids,
                       size_t end_id_count, struct grammar_vocab **out, struct error *err) MUST_USE;

struct grammar;

/* schema NULL: any JSON object. ERROR_INPUT names what is not supported and where. */
int grammar_open(struct arena *a, const struct grammar_vocab *v, const json_t *schema, struct grammar **out,
                 struct error *err) MUST_USE;
/* One call of one of a request's tools, {"name": ..., "arguments": ...}, its arguments by the tool's schema; only: of
 * the tool of this name, NULL: of any. */
int grammar_open_calls(struct arena *a, const struct grammar_vocab *v, const json_t *tools, const char *only,
                       struct grammar **out, struct error *err) MUST_USE;
void grammar_start(const struct grammar *g, struct grammar_state *s);
/* One byte further; false: no answer goes on so. */
bool grammar_step(const struct grammar *g, struct grammar_state *s, uint8_t byte);
/* The token was drawn: all of its bytes. An end token changes nothing. */
void grammar_take(const struct grammar *g, struct grammar_state *s, int32_t id);
/* Bit v & 31 of word v >> 5: whether token v may follow. false: none may (then all end tokens are allowed). One thread
 * at a time. */
bool grammar_mask(struct grammar *g, const struct grammar_state *s, uint32_t *mask);

#endif

/* serve/grammar_internal: the automaton, as grammar_schema.c builds it and grammar.c runs it. */
#ifndef ASSAY_SERVE_GRAMMAR_INTERNAL_H
#define ASSAY_SERVE_GRAMMAR_INTERNAL_H

#include "serve/grammar.h"

enum grammar_op {
  GRAMMAR_RANGE,  /* a byte from low to high, then next */
  GRAMMAR_SPLIT,  /* next or other */
  GRAMMAR_TEXT,   /* the same, where next is any character of a string and leads back here */
  GRAMMAR_CALL,   /* the part at `other`, then next */
  GRAMMAR_RETURN, /* the end of a part */
  GRAMMAR_ACCEPT  /* the end of the answer */
};

struct grammar_node {
  uint8_t op, low, high;
  uint16_t next, other;
};

enum { GRAMMAR_MEMORY = 16 /* masks that are remembered */ };

struct grammar_memory {
  bool used, any;
  struct grammar_state state;
  uint32_t *mask;
};

struct grammar {
  const struct grammar_vocab *vocab;
  struct grammar_node *nodes;
  uint32_t count;
  uint16_t start;
  struct grammar_memory memory[GRAMMAR_MEMORY];
  unsigned turn;                                /* the next one that is forgotten */
  struct grammar_state path[GRAMMAR_TOKEN + 1]; /* of the walk over tokens */
};

/* Nodes and start of a schema; NULL: any object. */
int grammar_build(struct arena *a, const json_t *schema, struct grammar *g, struct error *err) MUST_USE;
/* ... of calls of tools; only NULL: of any. */
int grammar_build_calls(struct arena *a, const json_t *tools, const char *only, struct grammar *g,
                        struct error *err) MUST_USE;

#endif

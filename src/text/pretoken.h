/* text/pretoken: cuts a text into the pieces that BPE works on: a list of steps, each of which cuts the pieces of the
 * one before.
 *
 * Patterns are those of tokenizer.json, written for Oniguruma; PCRE2 runs them with Unicode properties. The one
 * difference that matters, what \s means, is written out on the way.
 */
#ifndef ASSAY_TEXT_PRETOKEN_H
#define ASSAY_TEXT_PRETOKEN_H

#include "text/tokenizer.h"

enum pretoken_kind {
  PRETOKEN_SPLIT,  /* by a pattern */
  PRETOKEN_DIGITS, /* one by one, or runs */
  PRETOKEN_BYTES   /* ByteLevel: a space in front if there is none, then (use_regex) GPT-2's pattern */
};
/* What becomes of the matches: pieces of their own; left out; joined to a neighbour; pieces in which neighbours are
 * joined. */
enum pretoken_behavior {
  PRETOKEN_ISOLATED,
  PRETOKEN_REMOVED,
  PRETOKEN_WITH_PREVIOUS,
  PRETOKEN_WITH_NEXT,
  PRETOKEN_CONTIGUOUS
};

struct pretoken_step {
  enum pretoken_kind kind;
  enum pretoken_behavior behavior;
  const char *pattern; /* SPLIT: as in the file */
  bool literal;        /* SPLIT: the pattern is a plain string */
  bool invert;         /* SPLIT: what lies between matches counts as the match */
  bool each_digit;     /* DIGITS */
  bool prefix_space;   /* BYTES */
  bool use_regex;      /* BYTES */
  void *code;          /* the compiled pattern, or NULL */
};

enum { PRETOKEN_STEPS = 16 };
struct pretoken {
  struct pretoken_step steps[PRETOKEN_STEPS];
  size_t count;
};
/* A pattern of tokenizer.json as PCRE2's code, freed when the arena resets. part: for messages. */
int pretoken_compile(struct arena *a, const char *pattern, bool literal, void **out, const char *part, const char *file,
                     struct error *err) MUST_USE;
/* Compiles the step's pattern and appends it. The compiled form is freed when the arena resets. */
int pretoken_add(struct arena *a, struct pretoken *p, struct pretoken_step step, const char *file,
                 struct error *err) MUST_USE;
/* The steps of a pre-tokeniser known to GGUF by name, and whether its text is normalised to NFC and whole words skip
   the merges. ERROR_INPUT lists the names. */
int pretoken_by_name(struct arena *a, struct pretoken *p, const char *name, bool prefix_space, bool *nfc,
                     bool *ignore_merges, const char *file, struct error *err) MUST_USE;

/* The other way: GGUF's name of such steps, or NULL. */
const char *pretoken_find_name(const struct pretoken *p, bool nfc, bool ignore_merges);

struct pretoken_span {
  size_t start, end;
};
struct pretoken_spans {
  struct pretoken_span *items;
  size_t count, room;
};
/* Pieces of a text, with the buffers of one call. Zero it to start; it may be used again. */
struct pretoken_cuts {
  const char *bytes; /* what the spans point into: the text given, or `changed` */
  struct pretoken_spans spans, spare;
  struct text changed, spare_text;
  void *match; /* PCRE2's buffers */
};
void pretoken_cuts_free(struct pretoken_cuts *c);
/* Cuts n bytes of UTF-8 (which must outlive the cuts); the empty text has no pieces. */
int pretoken_run(const struct pretoken *p, const char *text, size_t n, struct pretoken_cuts *c,
                 struct error *err) MUST_USE;

#endif

/* text/template_lex: a template's text as tokens. White space control (the signs - and +, trim_blocks, lstrip_blocks,
 * the newline at the end) is done here; what comes out are the exact pieces of text and the tokens between {{ }} and
 * {% %}. */
#ifndef ASSAY_TEXT_TEMPLATE_LEX_H
#define ASSAY_TEXT_TEMPLATE_LEX_H

#include "text/template_value.h"

enum token_kind {
  LEX_END, /* of the template */
  LEX_TEXT,
  LEX_PRINT_BEGIN,
  LEX_PRINT_END,
  LEX_TAG_BEGIN,
  LEX_TAG_END,
  LEX_NAME,
  LEX_STRING,
  LEX_INT,
  LEX_FLOAT,
  LEX_OPERATOR
};

struct token {
  enum token_kind kind;
  int line;
  const char *text;   /* NUL-terminated: the name, the operator; what to call it in a message */
  struct value value; /* TEXT, STRING, INT, FLOAT */
};

/* Tokens in the arena, the last one LEX_END. */
int template_lex(struct arena *a, const char *source, size_t n, const char *file, struct token **tokens, size_t *count,
                 struct error *err) MUST_USE;

#endif

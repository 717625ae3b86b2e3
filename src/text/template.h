/* text/template: chat templates, executed from the model's own text.
 *
 * The language is Jinja as transformers runs it: its immutable sandbox with trim_blocks and lstrip_blocks, break and
 * continue, the generation tag, its tojson, raise_exception and strftime_now. Values and their printing follow Python.
 * include, import and extends are refused. A template touches nothing outside its variables, and every run is bounded
 * in steps, memory, output and depth.
 *
 * A parsed template is read-only: any number of threads may render it.
 */
#ifndef ASSAY_TEXT_TEMPLATE_H
#define ASSAY_TEXT_TEMPLATE_H

#include "core/arena.h"
#include "core/json.h"

struct template;

enum {
  TEMPLATE_STEPS = 10000000,   /* nodes and list items visited in a run */
  TEMPLATE_OUTPUT = 64 << 20,  /* bytes of one text */
  TEMPLATE_MEMORY = 256 << 20, /* bytes of all values of a run */
  TEMPLATE_RANGE = 100000,     /* items of a range, as in Jinja's sandbox */
  TEMPLATE_DEPTH = 1200,       /* of nodes within nodes while running */
  TEMPLATE_NESTING = 200       /* of brackets and blocks in the text */
};

/* Parses n bytes of UTF-8. file is for messages and kept (copied). ERROR_INPUT with file and line. */
int template_parse(struct arena *a, const char *text, size_t n, const char *file, struct template **out,
                   struct error *err) MUST_USE;

/* Whether `now` below is written as it should be. */
bool template_knows_time(const char *now);
/* Appends the rendering to out; on failure out is as before. variables: an object (messages, add_generation_prompt,
   tools, bos_token,
   ...); what is absent is undefined. now: "2025-01-15T14:30:05", what strftime_now tells; with NULL it is an error to
   call it. ERROR_INPUT where the template fails; *raised (may be NULL) is true if it called raise_exception, and out
   then holds its text, of which the message is a line. */
int template_render(const struct template *t, const json_t *variables, const char *now, struct text *out, bool *raised,
                    struct error *err) MUST_USE;

/* Bytes begin .. end-1 of a rendering that stand between {% generation %} and {% endgeneration %}: what the model is to
 * learn to write. */
struct template_span {
  size_t begin, end;
};
struct template_spans {
  struct template_span *items; /* [count], ascending, apart; in the arena of the call */
  size_t count, room;
};
/* Whether the text has that tag at all. */
bool template_has_generation(const struct template *t);
/* The same rendering with its spans, from arena a; offsets count from where out ended. A span inside of a macro, a
 * filter block or a captured text has no place in the rendering: ERROR_INPUT. */
int template_render_spans(const struct template *t, struct arena *a, const json_t *variables, const char *now,
                          struct text *out, struct template_spans *spans, struct error *err) MUST_USE;

#endif

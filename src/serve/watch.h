/* serve/watch: the window on runs: a page and what it asks for, by GET alone.
 *
 *     /                                          the page; /watch.css /watch.js /chart.js
 *     /api/state                                 {"version","chart","runs":[...]}: reads on in the runs, a little each
 * time /api/metrics?run=I[&generation=G&from=N]   numbers by step (watch_series.h) /api/problems?run=I[&q=TEXT]
 * problems with their history (watch_problems.h) /api/problem?run=I&problem=KEY             one of them
 *     /api/rollouts?run=I&step=S                 the answers of a step (watch_rollouts.h)
 *     /api/group?run=I&step=S&problem=KEY        those to one problem, token by token
 *     /api/alternatives?run=I&step=S&problem=KEY&attempt=A&rollout=N   what else could have stood there
 *     /api/evaluations?run=I&step=S              the answers of an evaluation (watch_evaluations.h)
 *     /api/evaluation?run=I&step=S&problem=KEY   those to one problem
 *     /api/recipe?run=I  /api/log?run=I          recipe.yaml as rows; the end of log.txt
 *
 * All that a run holds is untrusted: the page puts it in as text, never as markup, and the headers forbid everything
 * that is not the page's own. Not thread-safe: one call at a time.
 */
#ifndef ASSAY_SERVE_WATCH_H
#define ASSAY_SERVE_WATCH_H

#include "serve/watch_alternatives.h"

enum { WATCH_RUNS = 16 };

struct watch {
  struct arena *arena;
  struct watch_run *runs[WATCH_RUNS];
  int run_count;
  struct alternatives *alternatives;
  const char *chart; /* Chart.js as the system has it; NULL: not installed */
  size_t chart_size;
};

/* A parameter of the address, decoded; NULL where it is not there. */
typedef const char *watch_query_fn(const void *arg, const char *name);

struct watch_reply {
  int status; /* of HTTP */
  const char *type;
  struct text body; /* owned by the caller */
};

/* Opens the runs. ERROR_INPUT names the one that is none. */
int watch_open(struct arena *a, const char *const *paths, int count, struct watch **out, struct error *err) MUST_USE;
/* The answer to a path. What the asker did wrong is an answer too (400, 404); an error is a failure of ours. */
int watch_answer(struct watch *w, const char *path, watch_query_fn *query, const void *arg, struct watch_reply *out,
                 struct error *err) MUST_USE;

/* The page's parts, in the program (src/serve/web). */
struct watch_part {
  const char *path, *type;
  const unsigned char *bytes;
  size_t size;
};
const struct watch_part *watch_part_find(const char *path); /* NULL: none */
void watch_put_page(struct text *out);                      /* "/" */
/* The Content-Security-Policy of every answer. */
const char *watch_policy(void);

/* One file that needs no server: page, style, scripts, Chart.js and the runs' numbers, recipes, problems, and the
   rollouts of some steps: as many as fit into `limit` bytes, spread over the run. */
int watch_export(struct watch *w, const char *file, size_t limit, struct error *err) MUST_USE;

#endif

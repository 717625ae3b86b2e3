/* serve/watch_run: a run folder as the page sees it, finished or still being written.
 *
 * Only these regular files are read: metrics.jsonl, recipe.yaml, log.txt, rollouts/STEP.jsonl.zst and
 * evaluations/STEP.jsonl.zst; links are not followed. The tokenizer comes from the run's last checkpoint, or, as long
 * as there is none, from the model that its recipe names. What is read is added up by watch_run_poll, a little at a
 * time; when a resumed run cuts its files back, it begins anew. Memory does not grow with the run (watch_series.h,
 * watch_problems.h).
 */
#ifndef ASSAY_SERVE_WATCH_RUN_H
#define ASSAY_SERVE_WATCH_RUN_H

#include "core/file.h"
#include "serve/watch_problems.h"
#include "serve/watch_series.h"
#include "text/tokenizer.h"

enum { WATCH_INDEXED = 4096, WATCH_TAIL = 64 }; /* newest steps whose problems are counted */

/* The steps with a file STEP.jsonl.zst in one of the run's folders. */
struct watch_steps {
  int64_t *items; /* [count], ascending; memory_alloc */
  size_t count, room;
  int64_t listed_seconds, listed_nanoseconds; /* the folder's time at the last listing */
};

struct watch_run {
  struct arena *arena;     /* of the run */
  struct arena *scratch;   /* of one call */
  const char *path, *name; /* as it was given; its last part */
  bool sft, looked;        /* looked: polled before */

  struct series *series;
  int64_t metrics_read; /* bytes of metrics.jsonl in series */
  bool metrics_ended;
  char tail[WATCH_TAIL]; /* the last of them: other bytes there mean another file */
  size_t tail_size;
  int64_t damaged;   /* lines that could not be read */
  char note[400];    /* the first of them, and what else went wrong; "": nothing */
  int64_t step_goal; /* train.steps; 0: not known */

  struct watch_steps rollouts, evaluations;

  struct problems *problems;
  size_t indexed;           /* rollouts.items[0..indexed) are in problems, or passed over */
  int64_t index_from;       /* first step that is counted */
  int64_t last_indexed;     /* step; -1: none */
  struct arena *file_arena; /* of the rollout file that is being read */
  struct line_reader *reader;

  struct arena *text_arena;
  struct tokenizer *tokenizer; /* NULL: none found */
  const char *tokenizer_path;  /* where from */
  int64_t tokenizer_seconds;   /* time of checkpoints/ when it was last looked for */
};

/* ERROR_INPUT: no run folder. The run lives in the arena. */
int watch_run_open(struct arena *a, const char *path, struct watch_run **out, struct error *err) MUST_USE;
/* Reads what is new, for about that long; *more: there is more to read. What is damaged is noted and passed over. */
int watch_run_poll(struct watch_run *r, double seconds, bool *more, struct error *err) MUST_USE;
/* Whether a process holds the run's lock. */
bool watch_run_is_written(const struct watch_run *r);

/* The path of one of the run's files, part NULL, "rollouts" or "evaluations"; *path NULL where it is not there.
   ERROR_INPUT: a link, or no regular file. */
int watch_run_file(const struct watch_run *r, struct arena *a, const char *part, const char *name, char **path,
                   struct error *err) MUST_USE;
/* The lines of a step's file in one of these folders. ERROR_INPUT: it is not there. */
int watch_run_lines(const struct watch_run *r, struct arena *a, const char *part, int64_t step,
                    struct line_reader **out, struct error *err) MUST_USE;
/* At most the last `limit` bytes of a file; *text NULL where it is not there. */
int watch_run_read(const struct watch_run *r, struct arena *a, const char *name, size_t limit, char **text, size_t *n,
                   struct error *err) MUST_USE;

/* Appends what the page's head shows: {"name","path","sft","running","step","goal",...}. */
int watch_run_put_state(struct watch_run *r, struct text *out, struct error *err) MUST_USE;

#endif

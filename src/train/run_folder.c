#include "train/run_folder.h"

#include "core/math.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

static void unlock(void *arg)
{
  struct run_folder *r = arg;
  if (r->lock >= 0) close(r->lock);
  r->lock = -1;
}

enum { LOCK_TRIES = 10 }; /* of 50 ms */

static int take_lock(struct run_folder *r, struct error *err)
{
  char *path = path_join(r->arena, r->path, ".lock", err);
  if (!path) return err->code;
  r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (r->lock < 0)
    FAIL_AT(err, ERROR_INPUT, r->path, 0, NULL,
            "cannot be written (%s); expected a folder that this user may write; choose another with --run",
            strerror(errno));
  TRY(arena_on_reset(r->arena, unlock, r, err));
  // a run that was killed a moment ago may still be going, or a program that it was starting
  int busy = flock(r->lock, LOCK_EX | LOCK_NB);
  for (int i = 0; busy && i < LOCK_TRIES; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    busy = flock(r->lock, LOCK_EX | LOCK_NB);
  }
  if (busy)
    FAIL_AT(err, ERROR_INPUT, r->path, 0, NULL,
            "another process is writing this run; expected to be the only one; wait for it or choose another folder "
            "with --run");
  return 0;
}

int run_folder_check_new(struct arena *a, const char *path, struct error *err)
{
  char *recipe = path_join(a, path, "recipe.yaml", err);
  if (!recipe) return err->code;
  if (file_exists(recipe))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "holds a run already; expected a new or empty folder; add --resume to go on with it, or choose another "
            "with --run");
  return 0;
}

int run_folder_open(struct arena *a, const char *path, bool resume, struct run_folder **out, struct error *err)
{
  struct run_folder *r = ARENA_NEW(a, struct run_folder, 1, "run folder", err);
  if (!r) return err->code;
  *r = (struct run_folder){.arena = a, .lock = -1, .path = arena_strdup(a, path, "run folder", err)};
  char *recipe = path_join(a, path, "recipe.yaml", err), *rollouts = path_join(a, path, "rollouts", err),
       *checkpoints = path_join(a, path, "checkpoints", err);
  if (!r->path || !recipe || !rollouts || !checkpoints) return err->code;
  bool holds = file_exists(recipe);
  if (resume && !holds)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "holds no run to resume (no recipe.yaml); expected a run folder; leave out --resume to start one");
  TRY(file_make_folder(path, err));
  TRY(take_lock(r, err));
  if (!resume) TRY(run_folder_check_new(a, path, err));
  TRY(file_make_folder(rollouts, err));
  TRY(file_make_folder(checkpoints, err));
  *out = r;
  return 0;
}

int run_folder_next(struct arena *a, const char *recipe_path, char **out, struct error *err)
{
  const char *base = path_base(recipe_path), *dot = strrchr(base, '.');
  int length = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
  for (int n = 1; n < 100000; n++) {
    *out = arena_printf(a, "run folder", err, "runs/%.*s-%d", length, base, n);
    if (!*out) return err->code;
    if (!file_exists(*out)) return 0;
  }
  FAIL(err, ERROR_INPUT, "runs/ holds 99999 runs of this recipe; expected fewer; name a folder with --run");
}

/* Cuts metrics.jsonl behind the last line whose step is <= step; a last line that a kill cut short goes too. */
int run_folder_cut_metrics(struct run_folder *r, int64_t step, struct error *err)
{
  struct arena *a = r->arena;
  char *path = path_join(a, r->path, "metrics.jsonl", err), *text;
  size_t n, keep = 0;
  if (!path) return err->code;
  if (!file_exists(path)) return 0;
  TRY(file_read(a, path, SIZE_MAX / 2, &text, &n, err));
  for (size_t at = 0; at < n;) {
    char *end = memchr(text + at, '\n', n - at);
    if (!end) break;
    char *s = strstr(text + at, "\"step\":");
    if (!s || s > end || strtoll(s + 7, NULL, 10) > step) break;
    at = keep = (size_t)(end - text) + 1;
  }
  return keep == n ? 0 : file_truncate(path, keep, err);
}

/* PART/STEP.jsonl.zst of later steps, and what else an interrupted step left there. */
static int cut_lines(struct run_folder *r, const char *part, int64_t step, struct error *err)
{
  struct arena *a = r->arena;
  char *folder = path_join(a, r->path, part, err), **names;
  size_t count;
  if (!folder) return err->code;
  if (!file_exists(folder)) return 0;
  TRY(file_list(a, folder, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    char *end;
    long long number = strtoll(names[i], &end, 10);
    if (!strcmp(end, ".jsonl.zst") && number <= step) continue;
    char *path = path_join(a, folder, names[i], err);
    if (!path) return err->code;
    TRY(file_remove_tree(path, err));
  }
  return 0;
}

int run_folder_cut_back(struct run_folder *r, int64_t step, struct error *err)
{
  TRY(run_folder_cut_metrics(r, step, err));
  TRY(cut_lines(r, "rollouts", step, err));
  return cut_lines(r, "evaluations", step, err);
}

int run_folder_append_metrics(struct run_folder *r, const char *line, size_t n, struct error *err)
{
  struct arena_mark mark = arena_mark(r->arena);
  char *path = path_join(r->arena, r->path, "metrics.jsonl", err);
  int rc = path ? file_append(path, line, n, false, err) : err->code;
  arena_release(r->arena, mark);
  return rc;
}

int run_folder_open_lines(const struct run_folder *r, struct arena *a, const char *part, int64_t step,
                          struct file_writer **out, struct error *err)
{
  char *folder = path_join(a, r->path, part, err),
       *path = arena_printf(a, part, err, "%s/%s/%06" PRId64 ".jsonl.zst", r->path, part, step);
  if (!folder || !path) return err->code;
  TRY(file_make_folder(folder, err));
  return file_writer_open(a, path, out, err);
}

int run_folder_add_lines(struct arena *a, struct file_writer *w, const char *lines, size_t n, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  size_t room = ZSTD_compressBound(n);
  char *packed = ARENA_NEW(a, char, room, "lines", err);
  if (!packed) return err->code;
  size_t size = ZSTD_compress(packed, room, lines, n, 3);
  if (ZSTD_isError(size))
    FAIL(err, ERROR_RESOURCE, "%zu bytes of lines could not be compressed (%s); expected memory for it", n,
         ZSTD_getErrorName(size));
  TRY(file_writer_write(w, packed, size, err));
  arena_release(a, mark);
  return 0;
}

int run_folder_write_rollouts(struct run_folder *r, int64_t step, const char *lines, size_t n, struct error *err)
{
  struct arena_mark mark = arena_mark(r->arena);
  struct file_writer *w;
  TRY(run_folder_open_lines(r, r->arena, "rollouts", step, &w, err));
  TRY(run_folder_add_lines(r->arena, w, lines, n, err));
  TRY(file_writer_commit(w, err));
  arena_release(r->arena, mark);
  return 0;
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

static int find(const struct metrics *m, const char *name)
{
  for (int i = 0; i < m->count; i++)
    if (!strcmp(m->rows[i].name, name)) return i;
  return -1;
}

static void set(struct metrics *m, const char *name, double value, bool whole)
{
  int i = find(m, name);
  if (i < 0) {
    ASSAY_BUG_IF(m->count == METRICS_MOST || strlen(name) >= sizeof m->rows[0].name);
    i = m->count++;
    memcpy(m->rows[i].name, name, strlen(name) + 1);
  }
  m->rows[i].value = value;
  m->rows[i].whole = whole;
}

void metrics_set(struct metrics *m, const char *name, double value)
{
  set(m, name, value, false);
}
void metrics_set_int(struct metrics *m, const char *name, int64_t value)
{
  set(m, name, (double)value, true);
}

double metrics_get(const struct metrics *m, const char *name)
{
  int i = find(m, name);
  return i < 0 ? (double)__builtin_nanf("") : m->rows[i].value;
}

void metrics_write_line(const struct metrics *m, struct text *out)
{
  text_puts(out, "{");
  for (int i = 0; i < m->count; i++) {
    if (i) text_puts(out, ",");
    json_put_string(out, m->rows[i].name, strlen(m->rows[i].name));
    text_puts(out, ":");
    if (m->rows[i].whole)
      json_put_int(out, (int64_t)m->rows[i].value);
    else
      json_put_f64(out, m->rows[i].value);
  }
  text_puts(out, "}\n");
}

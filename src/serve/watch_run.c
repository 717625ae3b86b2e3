#include "serve/watch_run.h"

#include "core/log.h"
#include "rollout/session.h"
#include "serve/watch_index.h"
#include "serve/watch_recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 * 1024, LONGEST = 8 * 1024 * 1024 }; /* bytes of metrics.jsonl: read at once; of a line at most */

/* ---- files ------------------------------------------------------------------------------------------------------- */

int watch_run_file(const struct watch_run *r, struct arena *a, const char *part, const char *name, char **path,
                   struct error *err)
{
  struct stat st;
  char *folder = part ? path_join(a, r->path, part, err) : arena_strdup(a, r->path, "watch", err);
  *path = NULL;
  if (!folder) return err->code;
  if (part && lstat(folder, &st) != 0) return 0;
  if (part && !S_ISDIR(st.st_mode))
    FAIL_AT(err, ERROR_INPUT, folder, 0, NULL, "is no folder; expected a run's own, and no link");
  char *full = path_join(a, folder, name, err);
  if (!full) return err->code;
  if (lstat(full, &st) != 0) return 0;
  if (!S_ISREG(st.st_mode)) FAIL_AT(err, ERROR_INPUT, full, 0, NULL, "is no regular file; links are not followed");
  *path = full;
  return 0;
}

int watch_run_lines(const struct watch_run *r, struct arena *a, const char *part, int64_t step,
                    struct line_reader **out, struct error *err)
{
  char name[48], *path;
  snprintf(name, sizeof name, "%06" PRId64 ".jsonl.zst", step);
  TRY(watch_run_file(r, a, part, name, &path, err));
  if (!path)
    FAIL(err, ERROR_INPUT, "step %" PRId64 " has no %s in this run; save.rollouts of the recipe says which are kept",
         step, part);
  return line_reader_open(a, path, out, err);
}

static int open_file(const char *path, struct stat *st, int *fd, struct error *err)
{
  *fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (*fd < 0) return file_fail_open(path, err);
  if (fstat(*fd, st) == 0 && S_ISREG(st->st_mode)) return 0;
  close(*fd);
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "is no regular file");
}

/* Bytes from an offset, as many as there are. */
static int read_at(int fd, const char *path, char *to, size_t n, int64_t from, size_t *got, struct error *err)
{
  *got = 0;
  while (*got < n) {
    ssize_t rc = pread(fd, to + *got, n - *got, (off_t)(from + (int64_t)*got));
    if (rc < 0 && errno == EINTR) continue;
    if (rc < 0) FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "cannot be read: %s", strerror(errno));
    if (rc == 0) break;
    *got += (size_t)rc;
  }
  return 0;
}

int watch_run_read(const struct watch_run *r, struct arena *a, const char *name, size_t limit, char **text, size_t *n,
                   struct error *err)
{
  char *path;
  struct stat st;
  int fd;
  *text = NULL;
  *n = 0;
  TRY(watch_run_file(r, a, NULL, name, &path, err));
  if (!path) return 0;
  TRY(open_file(path, &st, &fd, err));
  int64_t size = (int64_t)st.st_size, from = size > (int64_t)limit ? size - (int64_t)limit : 0;
  char *bytes = ARENA_NEW(a, char, (size_t)(size - from) + 1, "watch", err);
  int rc = bytes ? read_at(fd, path, bytes, (size_t)(size - from), from, n, err) : err->code;
  close(fd);
  *text = rc ? NULL : bytes;
  return rc;
}

bool watch_run_is_written(const struct watch_run *r)
{
  struct arena_mark mark = arena_mark(r->scratch);
  char *path = path_join(r->scratch, r->path, ".lock", NULL);
  int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
  arena_release(r->scratch, mark);
  if (fd < 0) return false;
  bool free_now = flock(fd, LOCK_SH | LOCK_NB) == 0; /* and let go by close */
  bool held = !free_now && errno == EWOULDBLOCK;
  close(fd);
  return held;
}

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

static void note(struct watch_run *r, const struct error *e)
{
  r->damaged++;
  if (!r->note[0]) error_format(e, r->note, sizeof r->note);
}

static void restart_metrics(struct watch_run *r)
{
  series_clear(r->series);
  r->metrics_read = 0;
  r->tail_size = 0;
}

static int add_line(struct watch_run *r, const char *line, size_t n, struct error *err)
{
  struct arena_mark mark = arena_mark(r->scratch);
  struct error failure = {0};
  json_t *row;
  int rc = json_parse(r->scratch, line, n, "metrics.jsonl", (int)r->series->rows, JSON_READ_LONG, &row, &failure);
  if (!rc) rc = series_add(r->series, row, &failure);
  arena_release(r->scratch, mark);
  if (rc == ERROR_INPUT) {
    note(r, &failure);
    return 0;
  }
  if (rc) *err = failure;
  return rc;
}

static void keep_tail(struct watch_run *r, const char *end, size_t before)
{
  r->tail_size = before < WATCH_TAIL ? before : WATCH_TAIL;
  memcpy(r->tail, end - r->tail_size, r->tail_size);
}

/* Whole lines of what was read; *used: their bytes. */
static int add_lines(struct watch_run *r, const char *text, size_t n, double until, size_t *used, struct error *err)
{
  *used = 0;
  while (*used < n && clock_seconds() < until) {
    const char *line = text + *used, *end = memchr(line, '\n', n - *used);
    if (!end) break;
    TRY(add_line(r, line, (size_t)(end - line), err));
    *used = (size_t)(end - text) + 1;
  }
  if (*used) keep_tail(r, text + *used, *used);
  r->metrics_read += (int64_t)*used;
  return 0;
}

/* The file is shorter than what was read of it, or holds something else there: a run began again in this folder. */
static int check_same(struct watch_run *r, int fd, const char *path, int64_t size, struct error *err)
{
  char now[WATCH_TAIL];
  size_t got;
  if (!r->metrics_read) return 0;
  TRY(read_at(fd, path, now, r->tail_size, r->metrics_read - (int64_t)r->tail_size, &got, err));
  if (size < r->metrics_read || got != r->tail_size || memcmp(now, r->tail, got) != 0) restart_metrics(r);
  return 0;
}

static int read_pieces(struct watch_run *r, int fd, const char *path, int64_t size, double until, bool *more,
                       struct error *err)
{
  size_t room = PIECE, got, used;
  *more = r->metrics_read < size;
  while (*more && clock_seconds() < until) {
    struct arena_mark mark = arena_mark(r->scratch);
    char *piece = ARENA_NEW(r->scratch, char, room, "watch", err);
    if (!piece) return err->code;
    TRY(read_at(fd, path, piece, room, r->metrics_read, &got, err));
    TRY(add_lines(r, piece, got, until, &used, err));
    bool whole = memchr(piece, '\n', got) != NULL, cut = !whole && got == room;
    arena_release(r->scratch, mark);
    *more = r->metrics_read < size && (whole || cut);  // else the last line is still being written
    if (cut) room *= 2;
    if (room > LONGEST) FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "holds a line of more than 8 MiB; expected metrics");
  }
  return 0;
}

static int poll_metrics(struct watch_run *r, double until, bool *more, struct error *err)
{
  char *path;
  struct stat st;
  int fd;
  *more = false;
  TRY(watch_run_file(r, r->scratch, NULL, "metrics.jsonl", &path, err));
  if (!path) {
    if (r->metrics_read) restart_metrics(r);
    return 0;
  }
  TRY(open_file(path, &st, &fd, err));
  int rc = check_same(r, fd, path, (int64_t)st.st_size, err);
  if (!rc) rc = read_pieces(r, fd, path, (int64_t)st.st_size, until, more, err);
  close(fd);
  return rc;
}

/* ---- recipe and tokenizer ---------------------------------------------------------------------------------------- */

static int read_recipe(struct watch_run *r, char *model, size_t size, struct error *err)
{
  char *text, goal[32], methods[32];
  size_t n;
  TRY(watch_run_read(r, r->scratch, "recipe.yaml", 1 << 20, &text, &n, err));
  if (!text) return 0;
  recipe_rows_value(text, n, "train.steps", goal, sizeof goal);
  recipe_rows_value(text, n, "rollout.problems", methods, sizeof methods);
  recipe_rows_value(text, n, "model", model, size);
  r->step_goal = strtoll(goal, NULL, 10);
  r->sft = !methods[0];
  return 0;
}

static bool try_tokenizer(struct watch_run *r, const char *model)
{
  struct session s;
  struct error err = {0};
  arena_reset(r->text_arena);
  r->tokenizer = NULL;
  struct session_options o = {.model = model, .text_only = true, .allow_random = true};
  if (session_open(r->text_arena, &o, &s, &err)) return false;
  r->tokenizer = s.tokenizer;
  r->tokenizer_path = arena_strdup(r->text_arena, model, "watch", &err);
  return r->tokenizer && r->tokenizer_path;
}

/* Looked for again whenever checkpoints/ has changed and there is none yet. */
static int find_tokenizer(struct watch_run *r, struct error *err)
{
  struct stat st = {0};
  char model[512] = "", *checkpoints = path_join(r->scratch, r->path, "checkpoints", err);
  if (!checkpoints) return err->code;
  int64_t now = lstat(checkpoints, &st) == 0 ? (int64_t)st.st_mtime : 0;
  if (r->tokenizer || now == r->tokenizer_seconds) return 0;
  r->tokenizer_seconds = now;
  TRY(read_recipe(r, model, sizeof model, err));
  if (now && try_tokenizer(r, r->path)) return 0;
  if (!model[0] || !try_tokenizer(r, model)) r->tokenizer = NULL;
  return 0;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void close_run(void *arg)
{
  struct watch_run *r = arg;
  memory_free(r->rollouts.items);
  memory_free(r->evaluations.items);
  arena_destroy(r->scratch);
  arena_destroy(r->file_arena);
  arena_destroy(r->text_arena);
}

static const char *name_of(struct arena *a, const char *path, struct error *err)
{
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  char *trimmed = arena_strndup(a, path, n, "watch", err);
  return trimmed ? path_base(trimmed) : NULL;
}

static int open_arenas(struct watch_run *r, struct error *err)
{
  r->scratch = arena_create("watch", 0, err);
  r->file_arena = r->scratch ? arena_create("watch", 0, err) : NULL;
  r->text_arena = r->file_arena ? arena_create("watch", 0, err) : NULL;
  if (!r->text_arena) {
    close_run(r);
    return err->code;
  }
  return arena_on_reset(r->arena, close_run, r, err);
}

/* What every run has from its first second: the resolved recipe. */
static int check_run(struct arena *a, const char *path, struct error *err)
{
  char *recipe = path_join(a, path, "recipe.yaml", err), *metrics = path_join(a, path, "metrics.jsonl", err);
  if (!recipe || !metrics) return err->code;
  if (file_is_folder(path) && (file_exists(recipe) || file_exists(metrics))) return 0;
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
          "holds no run (no recipe.yaml, no metrics.jsonl); expected a folder that assay train or assay sft writes, "
          "like runs/demo-1");
}

int watch_run_open(struct arena *a, const char *path, struct watch_run **out, struct error *err)
{
  char model[512] = "";
  TRY(check_run(a, path, err));
  struct watch_run *r = ARENA_NEW(a, struct watch_run, 1, "watch", err);
  if (!r) return err->code;
  *r = (struct watch_run){.arena = a, .last_indexed = -1, .tokenizer_seconds = -1};
  r->path = arena_strdup(a, path, "watch", err);
  r->name = r->path ? name_of(a, path, err) : NULL;
  if (!r->name) return err->code;
  TRY(open_arenas(r, err));
  TRY(series_create(a, &r->series, err));
  TRY(problems_create(a, 0, &r->problems, err));
  TRY(read_recipe(r, model, sizeof model, err));
  arena_reset(r->scratch);
  *out = r;
  return 0;
}

int watch_run_poll(struct watch_run *r, double seconds, bool *more, struct error *err)
{
  double start = clock_seconds();
  bool metrics, index;
  arena_reset(r->scratch);
  // the first look is for the page's first picture: curves, and which steps there are
  bool first = !r->looked;
  r->looked = true;
  TRY(poll_metrics(r, start + seconds / 2, &metrics, err));
  if (!first) TRY(find_tokenizer(r, err));
  TRY(watch_index_poll(r, first ? start : start + seconds, &index, err));
  *more = metrics || index || first;
  return 0;
}

static int64_t first_step(const struct watch_steps *s)
{
  return s->count ? s->items[0] : -1;
}

static int64_t last_step(const struct watch_steps *s)
{
  return s->count ? s->items[s->count - 1] : -1;
}

int watch_run_put_state(struct watch_run *r, struct text *t, struct error *err)
{
  const struct series *s = r->series;
  char model[512] = "";
  arena_reset(r->scratch);
  if (!r->step_goal) TRY(read_recipe(r, model, sizeof model, err));
  text_puts(t, "{\"name\":");
  json_put_string(t, r->name, strlen(r->name));
  text_puts(t, ",\"path\":");
  json_put_string(t, r->path, strlen(r->path));
  text_printf(t, ",\"sft\":%s,\"running\":%s,\"step\":%" PRId64 ",\"goal\":%" PRId64, r->sft ? "true" : "false",
              watch_run_is_written(r) ? "true" : "false", s->last_step, r->step_goal);
  text_printf(t, ",\"generation\":%" PRId64 ",\"rows\":%" PRId64 ",\"elapsed\":", s->generation, s->rows);
  json_put_f64(t, s->elapsed);
  text_printf(t, ",\"mismatch\":%.0f,\"mismatch_of\":%.0f,\"tokens\":%.0f,\"trained\":%.0f", s->mismatch,
              s->mismatch_of, s->tokens, s->trained);
  text_printf(t, ",\"rollouts\":%zu,\"first_rollouts\":%" PRId64 ",\"last_rollouts\":%" PRId64, r->rollouts.count,
              first_step(&r->rollouts), last_step(&r->rollouts));
  text_printf(t, ",\"evaluations\":%zu,\"last_evaluation\":%" PRId64, r->evaluations.count, last_step(&r->evaluations));
  text_printf(t, ",\"indexed\":%zu,\"index_from\":%" PRId64 ",\"problems\":%zu,\"damaged\":%" PRId64 ",\"note\":",
              r->indexed, r->index_from, r->problems->count, r->damaged);
  json_put_string(t, r->note, strlen(r->note));
  text_puts(t, ",\"tokenizer\":");
  if (r->tokenizer)
    json_put_string(t, r->tokenizer_path, strlen(r->tokenizer_path));
  else
    text_puts(t, "null");
  text_puts(t, "}");
  return 0;
}

#include "serve/watch_index.h"

#include "core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PROMPT_TOKENS = 512 };

/* ---- which steps there are --------------------------------------------------------------------------------------- */

static void restart_index(struct watch_run *r)
{
  problems_clear(r->problems);
  arena_reset(r->file_arena);
  r->reader = NULL;
  r->indexed = 0;
  r->last_indexed = -1;
}

/* 000012.jsonl.zst -> 12, anything else -1. */
static int64_t step_of(const char *name)
{
  char *end;
  if (*name < '0' || *name > '9') return -1;
  long long n = strtoll(name, &end, 10);
  return strcmp(end, ".jsonl.zst") || n > INT32_MAX ? -1 : (int64_t)n;
}

static int by_number(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int take_steps(struct watch_steps *s, char *const *names, size_t count, struct error *err)
{
  if (count > s->room) {
    size_t room = count + count / 2 + 64;
    int64_t *grown = memory_alloc(room, sizeof *grown, "watch", err);
    if (!grown) return err->code;
    memory_free(s->items);
    s->items = grown;
    s->room = room;
  }
  s->count = 0;
  for (size_t i = 0; i < count; i++) {
    int64_t step = step_of(names[i]);
    if (step >= 0) s->items[s->count++] = step;
  }
  qsort(s->items, s->count, sizeof *s->items, by_number);
  return 0;
}

/* The folder is read again when its time says that something came or went. */
static int list_steps(struct watch_run *r, const char *part, struct watch_steps *s, struct error *err)
{
  struct stat st;
  char *folder = path_join(r->scratch, r->path, part, err), **names;
  size_t count;
  if (!folder) return err->code;
  if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
    s->count = 0;
    s->listed_seconds = s->listed_nanoseconds = 0;
    return 0;
  }
  if (st.st_mtim.tv_sec == s->listed_seconds && st.st_mtim.tv_nsec == s->listed_nanoseconds) return 0;
  s->listed_seconds = st.st_mtim.tv_sec;
  s->listed_nanoseconds = st.st_mtim.tv_nsec;
  TRY(file_list(r->scratch, folder, &names, &count, err));
  return take_steps(s, names, count, err);
}

int64_t watch_steps_nearest(const struct watch_steps *s, int64_t step)
{
  int64_t best = -1;
  for (size_t i = 0; i < s->count; i++) {
    int64_t far = s->items[i] > step ? s->items[i] - step : step - s->items[i];
    int64_t least = best > step ? best - step : step - best;
    if (best < 0 || far < least) best = s->items[i];
  }
  return best < 0 ? step : best;
}

/* A resumed run cuts back: what was counted of steps that are gone must go as well. */
static bool is_cut_back(const struct watch_run *r)
{
  const struct watch_steps *s = &r->rollouts;
  return r->indexed > s->count || (r->indexed && s->items[r->indexed - 1] != r->last_indexed);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* What a chat template writes around a message and is no text of it: the name of who speaks, the opening of a thought.
 * Returns where the message begins; everything may be gone. */
static struct token_text without_role(struct token_text s)
{
  static const char *const roles[] = {"system", "user", "assistant", "model", "developer", "tool", "<think>"};
  while (s.size && (*s.bytes == ' ' || *s.bytes == '\n')) s.bytes++, s.size--;
  while (s.size && (s.bytes[s.size - 1] == ' ' || s.bytes[s.size - 1] == '\n')) s.size--;
  for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
    size_t n = strlen(roles[i]);
    if (s.size < n || memcmp(s.bytes, roles[i], n) || (s.size > n && s.bytes[n] != '\n')) continue;
    return without_role((struct token_text){s.bytes + n, s.size - n});
  }
  return s;
}

/* The end of the text, with "..." where it is cut. */
static void put_end(struct token_text s, struct text *out)
{
  size_t from = 0;
  if (s.size > PROBLEM_TEXT) {
    from = s.size - (PROBLEM_TEXT - 3);
    while (from < s.size && ((unsigned char)s.bytes[from] & 0xc0) == 0x80) from++;
    text_puts(out, "...");
  }
  text_add(out, s.bytes + from, s.size - from);
}

/* Special tokens part the messages; the last one that says something is the question. */
void watch_prompt_text(const struct watch_run *r, const struct watch_line *l, struct text *out)
{
  int32_t ids[PROMPT_TOKENS];
  struct text piece = {0};
  if (!r->tokenizer) return;
  size_t end = watch_line_prompt(l, ids, PROMPT_TOKENS);
  while (end && !out->size) {
    size_t begin = end;
    while (begin && !tokenizer_is_special(r->tokenizer, ids[begin - 1])) begin--;
    text_clear(&piece);
    tokenizer_decode(r->tokenizer, ids + begin, end - begin, true, &piece);
    struct token_text said = without_role((struct token_text){piece.size ? piece.bytes : "", piece.size});
    if (said.size) put_end(said, out);
    end = begin ? begin - 1 : 0;
  }
  text_free(&piece);
}

static int count_line(struct watch_run *r, int64_t step, const char *line, size_t n, struct error *err)
{
  struct watch_line l;
  struct problem_history *h;
  struct text prompt = {0};
  int rc = 0;
  TRY(watch_line_skim(r->scratch, line, n, &l, err));
  if (!l.counts || l.verdict < 0) return 0;
  TRY(problems_find(r->problems, l.problem, &h, err));
  if (!h->text && r->tokenizer) {
    watch_prompt_text(r, &l, &prompt);
    rc = problem_set_text(h, prompt.size ? prompt.bytes : "", prompt.size, err);
    text_free(&prompt);
  }
  return rc ? rc : problem_add(h, step, l.verdict == 1, err);
}

static void note(struct watch_run *r, struct error *e)
{
  r->damaged++;
  if (!r->note[0]) error_format(e, r->note, sizeof r->note);
  error_clear(e);
}

static void finish_step(struct watch_run *r)
{
  arena_reset(r->file_arena);
  r->reader = NULL;
  r->last_indexed = r->rollouts.items[r->indexed++];
}

/* One line of the step at `indexed`; *ended: there was none. */
static int read_line(struct watch_run *r, bool *ended, struct error *err)
{
  char *line;
  size_t n;
  int number;
  *ended = false;
  if (!r->reader) TRY(watch_run_lines(r, r->file_arena, "rollouts", r->rollouts.items[r->indexed], &r->reader, err));
  TRY(line_reader_next(r->reader, &line, &n, &number, err));
  *ended = !line;
  if (!line) return 0;
  struct error failure = {0};
  struct arena_mark mark = arena_mark(r->scratch);
  int rc = count_line(r, r->rollouts.items[r->indexed], line, n, &failure);
  arena_release(r->scratch, mark);
  if (rc && rc != ERROR_INPUT) *err = failure;
  if (rc == ERROR_INPUT) {
    error_context(&failure, "step %" PRId64 ", line %d", r->rollouts.items[r->indexed], number);
    note(r, &failure);
    rc = 0;
  }
  return rc;
}

/* Only the newest steps are counted: where to begin. */
static void place_start(struct watch_run *r)
{
  const struct watch_steps *s = &r->rollouts;
  if (!r->indexed && s->count > WATCH_INDEXED) r->indexed = s->count - WATCH_INDEXED;
  if (r->reader || r->last_indexed >= 0 || !s->count) return;
  r->index_from = s->items[r->indexed < s->count ? r->indexed : s->count - 1];
  r->last_indexed = r->indexed ? s->items[r->indexed - 1] : -1;
}

int watch_index_poll(struct watch_run *r, double until, bool *more, struct error *err)
{
  TRY(list_steps(r, "rollouts", &r->rollouts, err));
  TRY(list_steps(r, "evaluations", &r->evaluations, err));
  if (is_cut_back(r)) restart_index(r);
  place_start(r);
  while (r->indexed < r->rollouts.count && clock_seconds() < until) {
    struct error failure = {0};
    bool ended;
    int rc = read_line(r, &ended, &failure);
    if (rc && rc != ERROR_INPUT) {
      *err = failure;
      return rc;
    }
    if (rc) note(r, &failure);
    if (rc || ended) finish_step(r);
  }
  *more = r->indexed < r->rollouts.count;
  return 0;
}

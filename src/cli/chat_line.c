#include "cli/chat_line.h"

#include "core/cursor.h"
#include "core/file.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#ifdef ASSAY_LIBEDIT
#include <histedit.h>
#endif

enum { HISTORY_LINES = 1000 };

struct chat_lines {
  bool terminal;
  struct line_reader *reader; /* a pipe or file */
  struct text line;
  const char *prompt;
#ifdef ASSAY_LIBEDIT
  EditLine *edit;
  History *history;
  char *history_file; /* NULL: there is no place for it */
  struct text offer;  /* libedit reads from it while the line is typed */
#endif
};

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupted;

static void note(int number)
{
  (void)number;
  interrupted = 1;
}

bool chat_interrupted(void)
{
  return interrupted != 0;
}
void chat_clear_interrupt(void)
{
  interrupted = 0;
}

static void catch_interrupts(void)
{
  struct sigaction catch = {.sa_handler = note};
  sigemptyset(&catch.sa_mask);
  sigaction(SIGINT, &catch, NULL);
}

/* Waits for a key: false after a signal. Any thread may have been given that, so no read can be relied on to come back
   by itself. */
static bool wait_for_key(void)
{
  struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
  int ready = 0;
  while (ready <= 0 && !interrupted && !cli_stopped()) ready = poll(&in, 1, 100);
  return !interrupted && !cli_stopped();
}

/* ---- the terminal -------------------------------------------------------------------------------------------------
 */

#ifdef ASSAY_LIBEDIT

static char *give_prompt(EditLine *edit)
{
  struct chat_lines *l = NULL;
  el_get(edit, EL_CLIENTDATA, (void **)&l);
  return (char *)(uintptr_t)l->prompt;
}

/* One character for libedit: 1, 0 at the end, -1 after Ctrl-C. Its own reader would wait on after a signal. */
static int read_key(EditLine *edit, wchar_t *out)
{
  uint8_t bytes[4];
  size_t have = 0;
  uint32_t code = 0xFFFD;
  (void)edit;
  while (have < sizeof bytes) {
    if (!wait_for_key()) return -1;
    ssize_t n = read(STDIN_FILENO, bytes + have, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? -1 : 0;
    if (utf8_decode(bytes, ++have, &code)) break;
    if (bytes[0] < 0x80) break;
  }
  *out = (wchar_t)code;
  return 1;
}

/* The file for what is typed, in a folder that is made. Where that cannot be, nothing is kept. */
static char *find_history(struct arena *a)
{
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  struct error ignored = {0};
  char *folder = state && *state == '/' ? arena_printf(a, "chat", &ignored, "%s/assay", state)
                 : home && *home        ? arena_printf(a, "chat", &ignored, "%s/.local/state/assay", home)
                                        : NULL;
  if (!folder || file_make_folder(folder, &ignored)) return NULL;
  return path_join(a, folder, "chat_history", &ignored);
}

static void save_history(struct chat_lines *l)
{
  HistEvent event;
  if (!l->history_file || !l->history) return;
  mode_t before = umask(0077);
  history(l->history, &event, H_SAVE, l->history_file);
  umask(before);
}

static void close_edit(void *arg)
{
  struct chat_lines *l = arg;
  save_history(l);
  text_free(&l->offer);
  if (l->edit) el_end(l->edit);
  if (l->history) history_end(l->history);
}

static int open_edit(struct arena *a, struct chat_lines *l, struct error *err)
{
  HistEvent event;
  // widths of what is typed; a terminal without a locale is taken to be one of UTF-8
  if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
  TRY(arena_on_reset(a, close_edit, l, err));
  l->history = history_init();
  l->edit = l->history ? el_init("assay", stdin, stdout, stderr) : NULL;
  if (!l->edit) FAIL(err, ERROR_RESOURCE, "no memory to edit lines");
  history(l->history, &event, H_SETSIZE, HISTORY_LINES);
  history(l->history, &event, H_SETUNIQUE, 1);
  l->history_file = find_history(a);
  if (l->history_file) history(l->history, &event, H_LOAD, l->history_file);
  el_set(l->edit, EL_CLIENTDATA, l);
  el_set(l->edit, EL_PROMPT, give_prompt);
  el_set(l->edit, EL_EDITOR, "emacs");
  el_set(l->edit, EL_SIGNAL, 0);
  el_set(l->edit, EL_HIST, history, l->history);
  el_set(l->edit, EL_GETCFN, read_key);
  el_source(l->edit, NULL);  // the person's ~/.editrc
  return 0;
}

static const char *read_terminal(struct chat_lines *l, int *count)
{
  const char *line = el_gets(l->edit, count);
  if (!line || *count <= 0) return NULL;
  HistEvent event;
  if (*count > 1) history(l->history, &event, H_ENTER, line);
  return line;
}

bool chat_lines_edits(void)
{
  return true;
}

bool chat_lines_offer(struct chat_lines *l, const char *text)
{
  if (!l->terminal) return false;
  text_clear(&l->offer);
  for (; *text; text++) text_puts(&l->offer, *text == '\n' ? "\\\n" : (char[]){*text, '\0'});
  if (l->offer.rc || !l->offer.size) return false;
  el_push(l->edit, l->offer.bytes);
  return true;
}

#else

static int open_edit(struct arena *a, struct chat_lines *l, struct error *err)
{
  (void)a;
  (void)l;
  (void)err;
  return 0;
}

static const char *read_terminal(struct chat_lines *l, int *count)
{
  static char line[1 << 16];
  fputs(l->prompt, stdout);
  fflush(stdout);
  if (!wait_for_key() || !fgets(line, sizeof line, stdin)) return NULL;
  *count = (int)strlen(line);
  return line;
}

bool chat_lines_edits(void)
{
  return false;
}

bool chat_lines_offer(struct chat_lines *l, const char *text)
{
  (void)l;
  (void)text;
  return false;
}

#endif

/* ---- lines --------------------------------------------------------------------------------------------------------
 */

static void free_line(void *arg)
{
  text_free(&((struct chat_lines *)arg)->line);
}

int chat_lines_open(struct arena *a, bool terminal, const char *in, struct chat_lines **out, struct error *err)
{
  struct chat_lines *l = ARENA_NEW(a, struct chat_lines, 1, "chat", err);
  if (!l) return err->code;
  *out = l;
  l->terminal = terminal;
  TRY(arena_on_reset(a, free_line, l, err));
  if (!terminal) return line_reader_open(a, in ? in : "-", &l->reader, err);
  catch_interrupts();
  return open_edit(a, l, err);
}

static int read_one(struct chat_lines *l, const char **line, size_t *n, enum chat_line_kind *kind, struct error *err)
{
  *kind = CHAT_LINE_TEXT;
  if (!l->terminal) {
    char *bytes;
    int number;
    TRY(line_reader_next(l->reader, &bytes, n, &number, err));
    *line = bytes;
    if (!bytes) *kind = CHAT_LINE_END;
    return 0;
  }
  int count = 0;
  *line = read_terminal(l, &count);
  if (!*line) *kind = interrupted ? CHAT_LINE_INTERRUPTED : CHAT_LINE_END;
  *n = (size_t)count;
  while (*line && *n && ((*line)[*n - 1] == '\n' || (*line)[*n - 1] == '\r')) --*n;
  return 0;
}

/* Adds a line as it was typed; true: the message goes on with the next. */
static bool add_part(struct chat_lines *l, const char *part, size_t n, bool first, bool *block)
{
  bool mark = n == 3 && !memcmp(part, "\"\"\"", 3);
  if (*block && mark) return false;
  if (first && mark) return *block = true;
  if (*block) {
    if (l->line.size) text_puts(&l->line, "\n");
    text_add(&l->line, part, n);
    return true;
  }
  bool joins = n && part[n - 1] == '\\';
  text_add(&l->line, part, n - joins);
  if (joins) text_puts(&l->line, "\n");
  return joins;
}

int chat_lines_next(struct chat_lines *l, const char *prompt, const char **line, enum chat_line_kind *kind,
                    struct error *err)
{
  const char *part = NULL;
  size_t n = 0;
  bool block = false, more = true;
  text_clear(&l->line);
  l->prompt = prompt;
  for (bool first = true; more; first = false) {
    TRY(read_one(l, &part, &n, kind, err));
    if (*kind == CHAT_LINE_END && l->line.size) *kind = CHAT_LINE_TEXT;
    if (!part) break;
    more = add_part(l, part, n, first, &block);
    l->prompt = "... ";
  }
  *line = l->line.size ? l->line.bytes : "";
  return text_finish(&l->line, err);
}

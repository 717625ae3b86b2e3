#include "core/live.h"

#include "core/cursor.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ERASE "\r\033[J"
#define SHOW  "\033[?25h"
#define HIDE  "\033[?25l"

static volatile sig_atomic_t standing; /* lines stand below the cursor */
static volatile sig_atomic_t hidden;   /* the cursor is */
static volatile sig_atomic_t stale;    /* what stands may have been disturbed: draw it even if it is the same */
/* A drawing of another thread must not land behind the erasing of a handler: it says that it goes on, and none begins
   once it is over. */
static atomic_bool drawing, over;
static bool held;
static struct text shown; /* what stands, as it was sent */
static struct text frame;

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

static bool is_set(const char *name)
{
  const char *value = getenv(name);
  return value && value[0];
}

bool live_able(void)
{
  const char *kind = getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && is_set("TERM") && strcmp(kind, "dumb") != 0 && !is_set("NO_COLOR");
}

bool live_utf8(void)
{
  const char *locale = getenv(is_set("LC_ALL") ? "LC_ALL" : is_set("LC_CTYPE") ? "LC_CTYPE" : "LANG");
  for (const char *s = locale ? locale : ""; *s; s++)
    if (!strncasecmp(s, "utf-8", 5) || !strncasecmp(s, "utf8", 4)) return true;
  return false;
}

void live_size(int *columns, int *rows)
{
  struct winsize w = {0};
  bool known = !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col && w.ws_row;
  *columns = known ? w.ws_col : 80;
  *rows = known ? w.ws_row : 24;
}

/* A program in the background leaves the terminal to the one in front. */
static bool in_front(void)
{
  pid_t front = tcgetpgrp(STDERR_FILENO);
  return front < 0 || front == getpgrp();
}

static void put(const char *bytes, size_t n)
{
  while (n) {
    ssize_t done = write(STDERR_FILENO, bytes, n);
    if (done <= 0) return;  // a terminal that is gone; nobody reads
    bytes += done;
    n -= (size_t)done;
  }
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Bytes of the escape sequence at s ("ESC [ ... letter"), 0 where none begins. */
static size_t escape_length(const char *s, size_t n)
{
  if (n < 2 || s[0] != '\033' || s[1] != '[') return 0;
  size_t i = 2;
  while (i < n && !(s[i] >= '@' && s[i] <= '~')) i++;
  return i < n ? i + 1 : n;
}

static size_t character_length(const char *s, size_t n)
{
  uint32_t code;
  size_t length = utf8_decode((const uint8_t *)s, n, &code);
  return length ? length : 1;
}

size_t live_width(const char *s, size_t n)
{
  size_t width = 0;
  for (size_t i = 0; i < n;) {
    size_t skip = escape_length(s + i, n - i);
    width += !skip;
    i += skip ? skip : character_length(s + i, n - i);
  }
  return width;
}

void live_clip(struct text *out, const char *s, size_t n, size_t columns)
{
  size_t width = 0;
  for (size_t i = 0; i < n;) {
    size_t skip = escape_length(s + i, n - i), length = skip ? skip : character_length(s + i, n - i);
    if (skip || width < columns) text_add(out, s + i, length);
    width += !skip;
    i += length;
  }
}

/* The region's lines cut to the window, and the way back to the first. One column stays free: a terminal whose last
 * column is filled erases it with the rest of the line. */
static void put_region(struct text *out, const char *lines, size_t n)
{
  int columns, rows, count = 0;
  live_size(&columns, &rows);
  for (size_t at = 0; at < n && count < rows - 1; count++) {
    const char *end = memchr(lines + at, '\n', n - at);
    size_t length = end ? (size_t)(end - (lines + at)) : n - at;
    if (count) text_puts(out, "\r\n");
    live_clip(out, lines + at, length, columns > 1 ? (size_t)columns - 1 : 1);
    text_puts(out, "\033[K");
    at += length + 1;
  }
  text_puts(out, "\033[J\r");
  if (count > 1) text_printf(out, "\033[%dA", count - 1);
}

void live_draw(const char *lines, size_t n, const char *above)
{
  if (!above && !in_front()) return;
  text_clear(&frame);
  put_region(&frame, lines, n);
  if (!above && standing && !stale && frame.size == shown.size && !memcmp(frame.bytes, shown.bytes, frame.size)) return;
  struct text all = {0};
  if (held) text_puts(&all, HIDE);
  text_puts(&all, above ? ERASE : "\r");
  if (above) text_puts(&all, above);
  text_add(&all, frame.bytes, frame.size);
  if (!all.rc && !frame.rc) {
    stale = 0;
    standing = n > 0;
    if (held) hidden = 1;
    atomic_store(&drawing, true);
    if (!atomic_load(&over)) put(all.bytes, all.size);
    atomic_store(&drawing, false);
    text_clear(&shown);
    text_add(&shown, frame.bytes, frame.size);
  }
  text_free(&all);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

enum { DRAWING_MS = 50 /* longer than a write takes; where the handler stands in it, it does not end */ };

/* Only what a signal handler may call. */
void live_rescue(void)
{
  atomic_store(&over, true);
  for (int i = 0; atomic_load(&drawing) && i < DRAWING_MS; i++) poll(NULL, 0, 1);
  if (standing && write(STDERR_FILENO, ERASE, sizeof ERASE - 1) < 0) return;
  if (hidden && write(STDERR_FILENO, SHOW, sizeof SHOW - 1) < 0) return;
  standing = hidden = 0;
  stale = 1;
}

static void suspend(int number)
{
  (void)number;
  live_rescue();
  raise(SIGSTOP);
  atomic_store(&over, false);
}

static void fatal(int number)
{
  live_rescue();
  raise(number);  // its handler is the default again: SA_RESETHAND
}

static const int FATAL[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { FATAL_COUNT = sizeof FATAL / sizeof *FATAL };
static struct sigaction before[FATAL_COUNT], before_suspend;

void live_hold(void)
{
  struct sigaction stop = {.sa_handler = suspend, .sa_flags = SA_RESTART},
                   end = {.sa_handler = fatal, .sa_flags = (int)SA_RESETHAND};
  sigemptyset(&stop.sa_mask);
  sigemptyset(&end.sa_mask);
  held = true;
  sigaction(SIGTSTP, &stop, &before_suspend);
  for (int i = 0; i < FATAL_COUNT; i++) sigaction(FATAL[i], &end, &before[i]);
}

void live_close(void)
{
  live_rescue();
  atomic_store(&over, false);
  text_free(&shown);
  text_free(&frame);
  if (!held) return;
  held = false;
  sigaction(SIGTSTP, &before_suspend, NULL);
  for (int i = 0; i < FATAL_COUNT; i++) sigaction(FATAL[i], &before[i], NULL);
}

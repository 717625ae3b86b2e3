#include "reward/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

enum { LOGGED_LINES = 100, PATIENCE = 20 /* times 5 ms for an orderly end */ };

extern char **environ;

void child_init(struct child *c)
{
  *c = (struct child){.to = -1, .from = -1, .errors = -1};
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static void close_end(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* Both ends close on exec; ours never blocks. */
static int make_pair(int ours_theirs[2], bool to_child)
{
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -1;
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  shutdown(pair[0], to_child ? SHUT_RD : SHUT_WR);
  ours_theirs[0] = pair[0];
  ours_theirs[1] = pair[1];
  return 0;
}

static int spawn(struct child *c, const char *command, const int pairs[3][2])
{
  const char *argv[] = {"sh", "-c", command, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t how;
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, pairs[i][1], i);
  posix_spawnattr_init(&how);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setsigdefault(&how, &defaults);
  int rc = posix_spawn(&c->pid, "/bin/sh", &actions, &how, (char *const *)(uintptr_t)argv, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&actions);
  if (rc) c->pid = 0;
  return rc;
}

int child_start(struct child *c, const char *command, struct error *err)
{
  int pairs[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
  bool made = true;
  for (int i = 0; i < 3 && made; i++) made = make_pair(pairs[i], i == 0) == 0;
  int rc = made ? spawn(c, command, (const int(*)[2])pairs) : errno;
  for (int i = 0; i < 3; i++) close_end(&pairs[i][1]);
  c->to = pairs[0][0];
  c->from = pairs[1][0];
  c->errors = pairs[2][0];
  c->asked = 0;
  c->status = 0;
  text_clear(&c->answer);
  text_clear(&c->complaint);
  if (!rc) return 0;
  child_kill(c);
  FAIL(err, ERROR_RESOURCE, "the command \"%.200s\" could not be started: %s", command, strerror(rc));
}

void child_kill(struct child *c)
{
  close_end(&c->to);
  close_end(&c->from);
  close_end(&c->errors);
  if (!c->pid) return;
  kill(-c->pid, SIGKILL);
  while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR) continue;
  c->pid = 0;
}

void child_close(struct child *c)
{
  close_end(&c->to);
  for (int i = 0; c->pid && i < PATIENCE; i++) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid) break;
    nanosleep(&(struct timespec){0, 5000000}, NULL);
  }
  child_kill(c);
  text_free(&c->answer);
  text_free(&c->complaint);
}

const char *child_status_text(const struct child *c, char *buf, size_t size)
{
  if (WIFSIGNALED(c->status))
    snprintf(buf, size, "was ended by signal %d", WTERMSIG(c->status));
  else
    snprintf(buf, size, "ended with status %d", WEXITSTATUS(c->status));
  return buf;
}

/* ---- a question -------------------------------------------------------------------------------------------------- */

/* Whole lines of stderr to the log; long ones are cut. */
static void log_complaints(struct child *c)
{
  size_t at = 0;
  for (char *end; at < c->complaint.size && (end = memchr(c->complaint.bytes + at, '\n', c->complaint.size - at));) {
    size_t n = (size_t)(end - c->complaint.bytes) - at;
    if (c->logged < LOGGED_LINES)
      log_info("command: %.*s", n > 300 ? 300 : (int)n, c->complaint.bytes + at);
    else if (c->logged == LOGGED_LINES)
      log_info("command: further lines of its stderr are left out");
    c->logged += c->logged <= LOGGED_LINES;
    at += n + 1;
  }
  if (c->complaint.size - at > 4096) at = c->complaint.size;
  if (!at) return;
  struct text rest = {0};
  text_add(&rest, c->complaint.bytes + at, c->complaint.size - at);
  text_free(&c->complaint);
  c->complaint = rest;
}

/* Reads what is there. False: end of file, or an error. */
static bool read_some(int fd, struct text *t)
{
  char bytes[16384];
  ssize_t n = read(fd, bytes, sizeof bytes);
  if (n > 0) text_add(t, bytes, (size_t)n);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

struct asking {
  const char *question;
  size_t n, written;
  double deadline;
};

static void write_some(struct child *c, struct asking *q)
{
  ssize_t n = send(c->to, q->question + q->written, q->n - q->written, MSG_NOSIGNAL);
  if (n > 0) q->written += (size_t)n;
  if (n < 0 && errno != EAGAIN && errno != EINTR) q->written = q->n; /* it reads no more: its output tells the rest */
}

/* One turn of reading and writing. False: there is a result. */
static bool turn(struct child *c, struct asking *q, enum child_result *result)
{
  double left = q->deadline - clock_seconds();
  struct pollfd ends[3] = {{c->from, POLLIN, 0}, {c->errors, POLLIN, 0}, {q->written < q->n ? c->to : -1, POLLOUT, 0}};
  *result = CHILD_LATE;
  if (left <= 0) return false;
  int ready = poll(ends, 3, left > 1 ? 1000 : (int)(left * 1000) + 1);
  if (ready <= 0) return true;
  if (ends[1].revents && !read_some(c->errors, &c->complaint)) close_end(&c->errors);
  log_complaints(c);
  if (ends[2].revents) write_some(c, q);
  *result = CHILD_ENDED;
  size_t before = c->answer.size;
  if (ends[0].revents && !read_some(c->from, &c->answer)) return false;
  if (c->answer.size > before && memchr(c->answer.bytes + before, '\n', c->answer.size - before)) {
    *result = CHILD_ANSWERED;
    return false;
  }
  *result = CHILD_FLOODED;
  return c->answer.size <= CHILD_LINE;
}

/* A line that nobody asked for would be taken for the next answer. */
static bool is_quiet(struct child *c)
{
  text_clear(&c->answer);
  struct pollfd end = {c->from, POLLIN, 0};
  return poll(&end, 1, 0) == 0;
}

int child_ask(struct child *c, const char *question, size_t n, double seconds, enum child_result *result,
              const char **line, struct error *err)
{
  struct asking q = {.question = question, .n = n, .deadline = clock_seconds() + seconds};
  *result = CHILD_FLOODED;
  *line = NULL;
  if (is_quiet(c)) {
    while (turn(c, &q, result)) continue;
  } else if (!read_some(c->from, &c->answer)) {
    *result = CHILD_ENDED;
  }
  char *end = *result == CHILD_ANSWERED ? memchr(c->answer.bytes, '\n', c->answer.size) : NULL;
  if (end && (size_t)(end - c->answer.bytes) + 1 < c->answer.size) *result = CHILD_FLOODED;
  c->asked++;
  if (*result != CHILD_ANSWERED) {
    if (*result == CHILD_ENDED) {
      /* its last words: what a script says before it dies stands in stderr */
      for (int i = 0; i < 64 && c->errors >= 0 && read_some(c->errors, &c->complaint); i++) {
        struct pollfd more = {c->errors, POLLIN, 0};
        if (poll(&more, 1, 20) <= 0) break;
      }
      log_complaints(c);
    }
    child_kill(c);
    return text_finish(&c->answer, err);
  }
  *end = 0;
  *line = c->answer.bytes;
  return text_finish(&c->answer, err);
}

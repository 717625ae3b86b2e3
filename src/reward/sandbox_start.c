/* Starting and stopping the processes of a sandbox. */
#define _GNU_SOURCE /* pipe2, vfork */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/file.h"
#include "core/log.h"
#include "reward/sandbox_internal.h"

static const char worker_text[] = {
#include "sandbox_worker.h"
    0};

static const char roles_text[] = {
#include "sandbox_roles.h"
    0};

static const char python[] = "/usr/bin/python3";

enum {
  ARGUMENTS = 128,
  CONTROL = 3, /* descriptors of the worker, as in sandbox_worker.py; the last is bubblewrap's */
  OUT,
  ERRORS,
  FILTER,
  FILES = 256,
  NOBODY = 65534
};

/* An argument list in one block. */
struct arguments {
  const char *list[ARGUMENTS + 1];
  int count;
  char texts[2048];
  size_t used;
};

static void add(struct arguments *v, const char *s)
{
  ASSAY_BUG_IF(v->count >= ARGUMENTS);
  v->list[v->count++] = s;
}

static void add_words(struct arguments *v, const char *const *words)
{
  for (; *words; words++) add(v, *words);
}

/* A copy of s that lasts as long as the list. */
static const char *keep(struct arguments *v, const char *s)
{
  size_t n = strlen(s) + 1;
  ASSAY_BUG_IF(v->used + n > sizeof v->texts);
  memcpy(v->texts + v->used, s, n);
  v->used += n;
  return v->texts + v->used - n;
}

/* The folder as it is outside: the link, the contents read-only, or nothing. */
static void add_folder(struct arguments *v, const char *path)
{
  char target[256];
  struct stat info;
  ssize_t n = readlink(path, target, sizeof target - 1);
  if (n > 0) {
    target[n] = 0;
    add_words(v, (const char *const[]){"--symlink", keep(v, target), path, NULL});
  } else if (!stat(path, &info) && S_ISDIR(info.st_mode)) {
    add_words(v, (const char *const[]){"--ro-bind", path, path, NULL});
  }
}

static void add_root(struct arguments *v, const struct sandbox_options *o)
{
  static const char *const python_needs[] = {"/usr/lib", "/usr/lib64", "/usr/bin"};
  static const char *const top[] = {"/lib", "/lib64", "/lib32", "/bin"};
  static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
  char size[32];
  if (o->commands)
    add_words(
        v, (const char *const[]){"--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
                                 "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", NULL});
  for (size_t i = 0; i < sizeof python_needs / sizeof *python_needs && !o->commands; i++)
    add_folder(v, python_needs[i]);
  for (size_t i = 0; i < sizeof top / sizeof *top; i++) add_folder(v, top[i]);
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    add_words(v, (const char *const[]){"--dev-bind", devices[i], devices[i], NULL});
  snprintf(size, sizeof size, "%lld", (long long)o->limits.disk_mib << 20);
  add_words(v, (const char *const[]){"--size", keep(v, size), "--tmpfs", "/tmp", "--remount-ro", "/", NULL});
}

static void add_all(struct arguments *v, const char *bwrap, const struct sandbox_options *o)
{
  static const char *const walls[] = {"--unshare-all",
                                      "--unshare-user",
                                      "--as-pid-1",
                                      "--die-with-parent",
                                      "--new-session",
                                      "--disable-userns",
                                      "--uid",
                                      "1000",
                                      "--gid",
                                      "1000",
                                      "--hostname",
                                      "sandbox",
                                      "--cap-drop",
                                      "ALL",
                                      "--chdir",
                                      "/",
                                      "--seccomp",
                                      "6",
                                      NULL};
  static const char *const command[] = {"--", python, "-s", "-S", "-B", "-u", "-c", worker_text, roles_text, NULL};
  add(v, bwrap);
  add_words(v, walls);
  add_root(v, o);
  add_words(v, command);
}

/* ---- the child between vfork and exec: it borrows the parent's memory, so system calls only
 * --------------------------- */

struct child {
  const char *path;
  char *const *arguments;
  int ends[FILTER + 1]; /* what becomes descriptor 0 .. FILTER */
};

/* Where memory runs out, a judged program goes before the run that judges it. */
static void go_first(void)
{
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, "1000", 4);
  close(fd);
}

/* Leaves root: limits on processes do not bind it, and nothing in a sandbox should be its. */
static void become_nobody(void)
{
  if (syscall(SYS_geteuid) != 0) return;
  syscall(SYS_setgroups, 0, NULL);
  syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY);
  syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
}

static void enter(const struct child *c)
{
  static char *const environment[] = {"PATH=/usr/bin:/bin",     "HOME=/tmp",         "LANG=C.UTF-8",
                                      "PYTHONHASHSEED=0",       "PYTHONUTF8=1",      "MALLOC_ARENA_MAX=2",
                                      "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", NULL};
  struct sigaction plain = {.sa_handler = SIG_DFL};
  struct rlimit files = {FILES, FILES}, none = {0, 0};
  sigset_t nothing;
  for (int i = 1; i < NSIG; i++) sigaction(i, &plain, NULL);
  /* Out of the way first, so that no end is written over before it is placed. */
  int high[FILTER + 1];
  for (int i = 0; i <= FILTER; i++) high[i] = fcntl(c->ends[i], F_DUPFD, FILTER + 1);
  for (int i = 0; i <= FILTER; i++) dup2(high[i], i);
  if (syscall(SYS_close_range, FILTER + 1, ~0U, 0))
    for (int i = FILTER + 1; i < 1 << 16; i++) close(i);
  setsid();
  syscall(SYS_chdir, "/");
  go_first();
  become_nobody();
  setrlimit(RLIMIT_NOFILE, &files);
  setrlimit(RLIMIT_CORE, &none);
  sigemptyset(&nothing);
  sigprocmask(SIG_SETMASK, &nothing, NULL);
  execve(c->path, c->arguments, environment);
  syscall(SYS_exit_group, 127);
}

/* The parent waits in vfork until the child has become bubblewrap: no page of a model's weights is copied. */
static __attribute__((noinline)) pid_t spawn(const struct child *c)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours runs in the child */
  pid_t pid = vfork();
  if (pid == 0) enter(c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return pid;
}

/* ---- start and stop
 * --------------------------------------------------------------------------------------------------- */

static int find_bwrap(char *path, size_t size, struct error *err)
{
  const char *at = getenv("PATH");
  for (at = at ? at : "/usr/bin:/bin"; *at;) {
    size_t n = strcspn(at, ":");
    int wrote = snprintf(path, size, "%.*s/bwrap", (int)n, at);
    if (n && wrote > 0 && (size_t)wrote < size && !access(path, X_OK)) return 0;
    at += n + (at[n] == ':');
  }
  FAIL(err, ERROR_RESOURCE,
       "found no bubblewrap (bwrap) in PATH; programs are judged in its sandbox only; install it: apt-get install "
       "bubblewrap");
}

static void close_end(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* A pipe (or a connected pair), one end to keep, one for the child. */
static int open_channel(bool pair, int *keep_end, int *child_end, struct error *err)
{
  int ends[2];
  int rc = pair ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC);
  if (rc) FAIL(err, ERROR_RESOURCE, "a pipe to a sandbox could not be made: %s; use fewer --workers", strerror(errno));
  *keep_end = ends[0];
  *child_end = ends[1];
  return fcntl(ends[0], F_SETFL, O_NONBLOCK) ? ERROR_RESOURCE : 0;
}

static int open_channels(struct sandbox_process *p, int ends[FILTER + 1], struct error *err)
{
  TRY(open_channel(true, &p->control, &ends[CONTROL], err));
  TRY(open_channel(false, &p->out, &ends[OUT], err));
  TRY(open_channel(false, &p->errors, &ends[ERRORS], err));
  ends[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (ends[0] < 0) FAIL(err, ERROR_RESOURCE, "/dev/null could not be opened: %s", strerror(errno));
  ends[1] = dup(ends[0]);
  ends[2] = dup(ends[ERRORS]); /* what bubblewrap and Python say before the first word */
  return sandbox_filter(&ends[FILTER], err);
}

int sandbox_start(const struct sandbox_options *o, struct sandbox_process *p, struct error *err)
{
  char bwrap[512];
  struct arguments v = {0};
  struct child c = {.path = bwrap, .ends = {-1, -1, -1, -1, -1, -1, -1}};
  *p = (struct sandbox_process){-1, -1, -1, -1};
  TRY(find_bwrap(bwrap, sizeof bwrap, err));
  if (access(python, X_OK))
    FAIL(err, ERROR_RESOURCE, "found no %s; programs are judged with it; install it: apt-get install python3", python);
  add_all(&v, bwrap, o);
  c.arguments = (char *const *)(uintptr_t)v.list;
  int rc = open_channels(p, c.ends, err);
  if (!rc) {
    p->pid = spawn(&c);
    if (p->pid < 0)
      rc = error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "bubblewrap could not be started: %s", strerror(errno));
  }
  for (int i = 0; i <= FILTER; i++) close_end(&c.ends[i]);
  if (rc) sandbox_stop(p);
  return rc;
}

void sandbox_stop(struct sandbox_process *p)
{
  char unread[4096];
  close_end(&p->control);
  if (p->pid > 0) {
    kill(p->pid, SIGKILL); /* process 1 inside dies with it, and the namespace with process 1 */
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {}
    /* Every process inside holds this pipe or was forked by one that does: its end is theirs. */
    struct pollfd end = {p->errors, 0, 0};
    double give_up = clock_seconds() + 5;
    while (clock_seconds() < give_up && !(end.revents & (POLLHUP | POLLERR))) {
      while (read(p->errors, unread, sizeof unread) > 0) {}
      poll(&end, 1, 100);
    }
  }
  p->pid = -1;
  close_end(&p->out);
  close_end(&p->errors);
}

int sandbox_refused(struct sandbox_process *p, struct error *err)
{
  char said[512];
  struct pollfd ready = {p->errors, POLLIN, 0};
  poll(&ready, 1, 1000);
  ssize_t n = read(p->errors, said, sizeof said - 1);
  said[n > 0 ? n : 0] = 0;
  said[strcspn(said, "\n")] = 0;
  sandbox_stop(p);
  FAIL(err, ERROR_RESOURCE,
       "the sandbox for programs does not start here (%s); expected bubblewrap 0.8 and user namespaces that a normal "
       "user "
       "may make; allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
       "kernel.apparmor_restrict_unprivileged_userns=0), or judge on a machine that does",
       *said ? said : "it said nothing");
}

/* ---- memory
 * ----------------------------------------------------------------------------------------------------------- */

static size_t read_small(const char *path, char *buffer, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, buffer, size - 1);
  if (fd >= 0) close(fd);
  buffer[n > 0 ? n : 0] = 0;
  return n > 0 ? (size_t)n : 0;
}

uint64_t sandbox_memory(pid_t pid)
{
  enum { MOST = 1024 };
  char path[64], text[8192];
  long found[MOST] = {pid};
  size_t count = 1;
  uint64_t pages = 0;
  for (size_t i = 0; i < count; i++) {
    unsigned long resident = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", found[i]);
    if (read_small(path, text, sizeof text) && sscanf(text, "%*u %lu %lu", &resident, &shared) == 2)
      pages += resident > shared ? resident - shared : 0;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", found[i], found[i]);
    read_small(path, text, sizeof text);
    char *at = text, *end;
    for (long child = strtol(at, &end, 10); end != at && count < MOST; child = strtol(at, &end, 10)) {
      found[count++] = child;
      at = end;
    }
  }
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

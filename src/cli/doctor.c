#include "cli/doctor.h"

#include "core/file.h"
#include "core/log.h"
#include "reward/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void put_finding(struct doctor *d, const char *what, const char *found, const char *advice, bool needed)
{
  struct text *t = &d->text;
  const char *mark = !advice ? "\033[32mok\033[0m" : needed ? "\033[31m->\033[0m" : "\033[33m->\033[0m";
  if (!d->colour) mark = advice ? "->" : "ok";
  d->lacking = d->lacking || (needed && advice);
  if (!d->cli->json) {
    text_printf(t, "%-18s %s  %s%s%s\n", what, found, mark, advice ? " " : "", advice ? advice : "");
    return;
  }
  text_puts(t, "{\"what\": ");
  json_put_string(t, what, strlen(what));
  text_puts(t, ", \"found\": ");
  json_put_string(t, found, strlen(found));
  text_printf(t, ", \"ok\": %s, \"needed\": %s, \"advice\": ", advice ? "false" : "true", needed ? "true" : "false");
  if (advice)
    json_put_string(t, advice, strlen(advice));
  else
    text_puts(t, "null");
  text_puts(t, "}\n");
}

void doctor_tell(struct doctor *d, const char *what, const char *found, const char *advice)
{
  put_finding(d, what, found, advice, false);
}

void doctor_need(struct doctor *d, const char *what, const char *found, const char *advice)
{
  put_finding(d, what, found, advice, true);
}

bool doctor_read(const char *path, char *out, size_t size)
{
  FILE *f = fopen(path, "re");
  *out = 0;
  if (!f) return false;
  bool ok = fgets(out, (int)size, f) != NULL;
  fclose(f);
  out[strcspn(out, "\n")] = 0;
  return ok;
}

/* ---- programs -----------------------------------------------------------------------------------------------------
 */

/* Looks a program up as a shell would. */
static bool in_path(const char *name, char *out, size_t size)
{
  const char *path = getenv("PATH");
  for (const char *at = path ? path : ""; *at;) {
    size_t n = strcspn(at, ":");
    snprintf(out, size, "%.*s/%s", (int)n, at, name);
    if (n && access(out, X_OK) == 0) return true;
    at += n + (at[n] == ':');
  }
  return false;
}

/* Runs a program, deaf and mute; its exit status, -1 where it cannot be started or takes over 5 s. */
static int exit_status(const char *const *words)
{
  posix_spawn_file_actions_t files;
  pid_t pid;
  int status = -1;
  if (posix_spawn_file_actions_init(&files)) return -1;
  for (int fd = 0; fd < 3; fd++) posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  bool started = posix_spawn(&pid, words[0], &files, NULL, (char *const *)(uintptr_t)words, environ) == 0;
  posix_spawn_file_actions_destroy(&files);
  for (double start = clock_seconds(); started && waitpid(pid, &status, WNOHANG) == 0;) {
    if (clock_seconds() - start > 5) kill(pid, SIGKILL);
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
  return started && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What the system says against namespaces of users, or NULL. */
static const char *namespace_advice(void)
{
  char text[64];
  if (doctor_read("/proc/sys/kernel/unprivileged_userns_clone", text, sizeof text) && !strcmp(text, "0"))
    return "user namespaces are switched off: sysctl -w kernel.unprivileged_userns_clone=1";
  if (doctor_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", text, sizeof text) && !strcmp(text, "1"))
    return "AppArmor keeps user namespaces from programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or "
           "give bwrap a profile that allows userns";
  if (doctor_read("/proc/sys/user/max_user_namespaces", text, sizeof text) && !strcmp(text, "0"))
    return "no user namespace is allowed: sysctl -w user.max_user_namespaces=10000";
  return NULL;
}

/* Runs a program in it, as the verifier `code` would. */
static int try_sandbox(struct arena *a, double *start_ms, struct error *err)
{
  static const char program[] = "print(6 * 7)";
  const struct sandbox_options o = {.limits = {.cpu_seconds = 5,
                                               .wall_seconds = 10,
                                               .memory_mib = 256,
                                               .disk_mib = 16,
                                               .processes = 8,
                                               .output_bytes = 1 << 16}};
  const struct sandbox_job job = {
      .kind = SANDBOX_SCRIPT, .first = program, .first_size = sizeof program - 1, .second = ""};
  struct sandbox_pool *pool;
  struct sandbox *s;
  struct sandbox_result result;
  TRY(sandbox_pool_create(a, &o, &pool, err));
  TRY(sandbox_take(pool, &s, err));
  int rc = sandbox_run(s, a, &job, 10, &result, err);
  *start_ms = 1000 * sandbox_start_seconds(s);
  sandbox_give(pool, s);
  TRY(rc);
  if (result.outcome != SANDBOX_ENDED || strncmp(result.output, "42", 2) != 0)
    FAIL(err, ERROR_RESOURCE, "a program of one line did not do in it what it does outside");
  return 0;
}

static void tell_sandbox(struct doctor *d)
{
  char found[160], advice[sizeof((struct error *)0)->message + 512], where[512];
  double ms = 0;
  struct error err = {0};
  struct arena *a = arena_create("doctor", 0, &err);
  int rc = a ? try_sandbox(a, &ms, &err) : err.code;
  arena_destroy(a);
  snprintf(found, sizeof found, "bubblewrap and seccomp, a worker starts in %.0f ms", ms);
  const char *names = in_path("bwrap", where, sizeof where) ? namespace_advice() : NULL;
  snprintf(advice, sizeof advice, "only the code verifiers need it: %s%s%s", err.message, names ? "; " : "",
           names ? names : "");
  doctor_tell(d, "sandbox", rc ? "does not work" : found, rc ? advice : NULL);
  error_clear(&err);
}

static void tell_programs(struct doctor *d)
{
  static const struct {
    const char *name, *advice;
  } programs[] = {
      {"python3", "only the code verifiers and tools/get-smollm2.sh need it: apt-get install python3 python3-pip"},
      {"curl", "nothing here needs it; models are fetched by hand with it: apt-get install curl"}};
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
    char where[512], found[600];
    bool there = in_path(programs[i].name, where, sizeof where);
    const char *words[] = {where, "--version", NULL};
    bool works = there && exit_status(words) == 0;
    snprintf(found, sizeof found, "%s%s", there ? where : "not found", there && !works ? ", does not start" : "");
    doctor_tell(d, programs[i].name, found, works ? NULL : programs[i].advice);
  }
}

/* ---- disk, terminal, GPU ------------------------------------------------------------------------------------------
 */

static void tell_disk(struct doctor *d)
{
  char found[256], where[160];
  struct statvfs fs;
  if (!getcwd(where, sizeof where)) snprintf(where, sizeof where, ".");
  bool known = statvfs(".", &fs) == 0, may = access(".", W_OK) == 0;
  double gib = known ? (double)fs.f_bavail * (double)fs.f_frsize / 1073741824.0 : 0;
  snprintf(found, sizeof found, "%.1f GiB free in %s", gib, where);
  const char *advice = NULL;
  if (!known)
    advice = "could not be asked; go to a folder that is there";
  else if (!may)
    advice = "this user may not write here: give runs a place with --run DIR";
  else if (gib < 2)
    advice =
        "a checkpoint takes 12 bytes a parameter (SmolLM2-135M: 1.6 GB), and save.keep of them stay: make room, "
        "lower save.keep, or give runs another place with --run DIR";
  doctor_tell(d, "disk", found, advice);
}

static void tell_terminal(struct doctor *d)
{
  static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  const char *term = getenv("TERM"), *locale = NULL;
  char found[128];
  for (size_t i = 0; i < 3 && !(locale && *locale); i++) locale = getenv(names[i]);
  bool utf8 = locale && (strstr(locale, "UTF-8") || strstr(locale, "utf8") || strstr(locale, "UTF8"));
  if (!isatty(STDERR_FILENO)) {
    doctor_tell(d, "terminal", "none: progress comes as plain lines", NULL);
    return;
  }
  bool dumb = !term || !*term || !strcmp(term, "dumb");
  snprintf(found, sizeof found, "TERM=%s, %s", term ? term : "", utf8 ? "UTF-8" : "not UTF-8");
  doctor_tell(d, "terminal", found,
              dumb    ? "no live table and no colour; set TERM, like TERM=xterm-256color"
              : !utf8 ? "answers may look broken; set LANG=C.UTF-8"
                      : NULL);
}

static void tell_gpu(struct doctor *d)
{
  char driver[256], found[320];
  if (!doctor_read("/proc/driver/nvidia/version", driver, sizeof driver)) {
    doctor_tell(d, "GPU", "none with an NVIDIA driver; models run on the CPU", NULL);
    return;
  }
  snprintf(found, sizeof found, "%.200s; not used, models run on the CPU", driver);
  doctor_tell(d, "GPU", found, NULL);
}

void doctor_tell_surroundings(struct doctor *d)
{
  tell_disk(d);
  tell_terminal(d);
  tell_sandbox(d);
  tell_programs(d);
  tell_gpu(d);
}

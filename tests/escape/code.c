/* links: reward
 * Programs that try to get out of the sandbox of `code`, or to write their own verdict (ways.txt beside this file).
 * Each is judged; the verdict must be the one written there, and the machine must be as before. */
#include "code_case.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"

enum { WAYS_AT_LEAST = 120 };

static char canary[64];
static int listener = -1, port;

struct way {
  char name[128], kind[16], want[128];
  const char *program;
};

/* ---- the table
 * -------------------------------------------------------------------------------------------------------- */

static void put_filled(struct text *t, const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    if (!strncmp(s + i, "{canary}", 8))
      text_puts(t, canary), i += 7;
    else if (!strncmp(s + i, "{port}", 6))
      text_printf(t, "%d", port), i += 5;
    else if (!strncmp(s + i, "{pid}", 5))
      text_printf(t, "%d", (int)getpid()), i += 4;
    else
      text_add(t, s + i, 1);
  }
}

/* "=== NAME: KIND WANT" up to the next; helpers go in front. False at the end. */
static bool next_way(const char **at, const char *helpers, size_t helpers_size, struct way *w)
{
  const char *head = strstr(*at, "\n=== ");
  if (!head) return false;
  head += 5;
  const char *line = strchr(head, '\n'), *end = strstr(line, "\n=== "),
             *colon = memchr(head, ':', (size_t)(line - head));
  *w = (struct way){0};
  *at = line;
  if (!end) end = line + strlen(line);
  CHECK(colon != NULL);
  snprintf(w->name, sizeof w->name, "%.*s", (int)(colon - head), head);
  const char *kind = colon + 2, *want = memchr(kind, ' ', (size_t)(line - kind));
  CHECK(want != NULL);
  snprintf(w->kind, sizeof w->kind, "%.*s", (int)(want - kind), kind);
  snprintf(w->want, sizeof w->want, "%.*s", (int)(line - want - 1), want + 1);
  struct text t = {0};
  text_add(&t, helpers, helpers_size);
  put_filled(&t, line, (size_t)(end - line));
  CHECK_OK(text_finish(&t, &err), &err);
  w->program = arena_strndup(arena, t.bytes, t.size, "test", &err);
  text_free(&t);
  return true;
}

/* The problem that goes with a way. */
static struct problem way_problem(const struct way *w)
{
  struct text t = {0};
  if (!strcmp(w->kind, "returns")) {
    text_puts(&t, "{\"test\": \"assert attempt() in (");
    for (const char *word = w->want; *word;) {
      int n = (int)strcspn(word, " ");
      text_printf(&t, "'%.*s',", n, word);
      word += n + (word[n] == ' ');
    }
    text_puts(&t, ")\"}");
  } else if (!strcmp(w->kind, "fails") || !strcmp(w->kind, "waits")) {
    text_puts(&t,
              "{\"test\": \"def check(candidate):\\n    assert candidate(1) == 918273\\n\", "
              "\"entry_point\": \"attempt\"}");
  } else {
    CHECK_STR(w->kind, "prints");
    text_puts(&t, "{\"cases\": [{\"stdout\": \"918273\"}]}");
  }
  CHECK_OK(text_finish(&t, &err), &err);
  struct problem p = make_problem(t.bytes);
  text_free(&t);
  return p;
}

/* ---- the machine around
 * ----------------------------------------------------------------------------------------------- */

static void open_listener(void)
{
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK(listener >= 0 && !bind(listener, (struct sockaddr *)&at, sizeof at) && !listen(listener, 16));
  CHECK(!getsockname(listener, (struct sockaddr *)&at, &size));
  port = ntohs(at.sin_port);
}

/* The listener can be reached from here: a refusal inside means something. */
static void check_reachable(void)
{
  struct sockaddr_in at = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(!connect(fd, (struct sockaddr *)&at, sizeof at));
  struct pollfd ready = {listener, POLLIN, 0};
  CHECK_INT(poll(&ready, 1, 2000), 1);
  close(accept(listener, NULL, NULL));
  close(fd);
}

static int count_escapees(void)
{
  DIR *proc = opendir("/proc");
  int count = 0;
  CHECK(proc != NULL);
  for (struct dirent *e; (e = readdir(proc));) {
    char path[300], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
    FILE *f = e->d_name[0] > '0' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
    if (!f) continue;
    if (fgets(comm, sizeof comm, f) && !strcmp(comm, "escapee\n")) count++;
    fclose(f);
  }
  closedir(proc);
  return count;
}

static bool way_holds(const struct verifier_config *c, const struct way *w)
{
  struct problem p = way_problem(w);
  struct verdict v;
  double begin = clock_seconds();
  CHECK_OK(judge_problem(c, &p, w->program, &v), &err);
  bool want = !strcmp(w->kind, "returns");
  bool ok = v.status == VERDICT_OK && v.correct == want && (want || strstr(v.reason, w->want));
  print_message("%-48s %5.0f ms  %s%s\n", w->name, (clock_seconds() - begin) * 1000,
                ok ? "" : "ESCAPED OR CHANGED: ", v.reason);
  return ok;
}

/* An honest program, by the sandbox that judged the way. */
static bool honest_holds(const struct verifier_config *c)
{
  struct problem p = make_problem("{\"test\": \"assert names() == [] and square(7) == 49\"}");
  struct verdict v;
  CHECK_OK(judge_problem(c, &p, "import os\ndef names(): return os.listdir('/tmp')\ndef square(x): return x * x\n", &v),
           &err);
  if (!v.correct) print_message("  an honest program then failed: %s\n", v.reason);
  if (count_escapees()) print_message("  %d processes are left\n", count_escapees());
  return v.correct && !count_escapees();
}

static void test_ways(void **state)
{
  (void)state;
  static const char *const settings[] = {"seconds",   "1",  "memory", "256", "disk", "8",
                                         "processes", "32", "output", "64",  NULL};
#ifndef __x86_64__
  print_message("skipped: the numbers of system calls in ways.txt are x86-64's\n");
  skip();
#endif
  struct verifier_config *c = open_code(settings, 30), *quick = c ? open_code(settings, 2) : NULL;
  if (!c) skip();
  char *text;
  size_t size;
  int count = 0, bad = 0;
  CHECK_OK(file_read(arena, ASSAY_SOURCE_DIR "/tests/escape/ways.txt", 1 << 20, &text, &size, &err), &err);
  const char *helpers = strstr(text, "=== helpers\n");
  CHECK(helpers != NULL);
  helpers += 12;
  const char *at = strstr(helpers, "\n=== ");
  size_t helpers_size = (size_t)(at - helpers) + 1;
  for (struct way w; next_way(&at, helpers, helpers_size, &w); count++) {
    struct verifier_config *judge = strcmp(w.kind, "waits") != 0 ? c : quick;
    bool ok = way_holds(judge, &w);
    if (!honest_holds(judge)) ok = false;
    bad += !ok;
  }
  print_message("%d ways, %d not as expected\n", count, bad);
  struct pollfd called = {listener, POLLIN, 0};
  CHECK_INT(poll(&called, 1, 0), 0);
  CHECK(count >= WAYS_AT_LEAST);
  CHECK_INT(bad, 0);
}

/* Everything of a verifier ends with its arena, also what a program started. */
static void test_all_ends(void **state)
{
  (void)state;
  struct verifier_config *c = open_code(NULL, 0);
  if (!c) skip();
  struct problem p = make_problem("{\"test\": \"assert f() == 1\"}");
  struct verdict v;
  CHECK_OK(judge_problem(c, &p, "def f(): return 1", &v), &err);
  CHECK(v.correct);
  CHECK_INT(waitpid(-1, NULL, WNOHANG), 0);
  arena_reset(arena);
  CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child of this process is left, not even a zombie */
}

static int setup(void **state)
{
  (void)state;
  static const char secret[] = "the checkpoint";
  snprintf(canary, sizeof canary, "/tmp/assay-canary-%d", (int)getpid());
  int fd = open(canary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, secret, sizeof secret) < 0) return -1;
  close(fd);
  setenv("ASSAY_SECRET", secret, 1);
  open_listener();
  check_reachable();
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  close(listener);
  return unlink(canary);
}

static int make_arena(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int drop_arena(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_ways, make_arena, drop_arena),
      cmocka_unit_test_setup_teardown(test_all_ends, make_arena, drop_arena),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

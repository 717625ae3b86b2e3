/* Programs, judged by running them in a sandbox (reward/sandbox.h). Two forms of problem:
 *
 *   test     a Python script of asserts, or HumanEval's check(candidate) with entry_point. It runs in a process where
 * no line of the response runs; the program's functions are called at arm's length and give back plain data
 *            (sandbox_worker.py). Each assert is a case.
 *   cases    [{stdin, stdout}]: each case runs the program anew. Outputs are compared here, white space at the ends of
 *            lines and blank lines at the end left aside.
 *
 * The reward is 1 if all cases pass, else 0 (fraction=true: the share that passes, which is also a channel). A program
 * that takes too long, too much or ends itself is wrong; only a sandbox that dies is the verifier's failure.
 */
#include <string.h>
#include <sys/wait.h>
#include "core/log.h"
#include "reward/code_program.h"
#include "reward/sandbox.h"
#include "reward/verifier.h"

enum { SHOWN = 120 };

static const struct setting settings[] = {
    {"fraction", SETTING_BOOL, 0, 0, "false", NULL, "the reward is the share of cases that pass, not all or nothing"},
    {"seconds", SETTING_INT, 1, 3600, "10", NULL, "processor time of a program, in each case anew"},
    {"memory", SETTING_INT, 64, 1 << 20, "1024", NULL, "MiB of a program"},
    {"disk", SETTING_INT, 1, 1 << 16, "64", NULL, "MiB of files in its /tmp"},
    {"processes", SETTING_INT, 1, 4096, "64", NULL, "processes and threads at a time"},
    {"output", SETTING_INT, 1, 1 << 16, "1024", NULL, "KiB of output of a case"},
    {"command", SETTING_TEXT, 0, 0, NULL, NULL, "runs programs that are not Python, with cases: \"node {file}\""},
    {"build", SETTING_TEXT, 0, 0, NULL, NULL, "once before the cases: \"gcc -O1 -o /tmp/a {file}\""},
    {"file", SETTING_TEXT, 0, 0, "program", NULL, "what {file} is called: main.c"},
};

/* The pools of a config. */
struct pools {
  struct sandbox_pool *python, *commands;
};

/* What a problem asks for. */
struct task {
  const char *test, *entry_point, *prompt; /* test NULL: cases */
  const json_t *cases;
  const char *command, *build, *file; /* command NULL: Python */
};

/* ---- the problem
 * ------------------------------------------------------------------------------------------------------ */

static int read_text(const struct problem *p, const json_t *o, const char *key, const char **out, struct error *err)
{
  const json_t *v = json_object_get(o, key);
  *out = json_string_value(v);
  if (v && !json_is_null(v) && !*out)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, key, "found the field %s, which is no text; expected a text", key);
  if (*out && strlen(*out) != json_string_length(v))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, key, "found a NUL character in %s; expected a text without", key);
  return 0;
}

/* The test: a script, or a list of its lines (MBPP's form). */
static int read_test(struct arena *a, const struct problem *p, const char **out, struct error *err)
{
  const json_t *lines = json_object_get(p->fields, "test");
  struct text t = {0};
  if (!json_is_array(lines)) return read_text(p, p->fields, "test", out, err);
  for (size_t i = 0; i < json_array_size(lines); i++) {
    const char *line = json_string_value(json_array_get(lines, i));
    if (!line) {
      text_free(&t);
      FAIL_AT(err, ERROR_INPUT, p->source, p->line, "test", "found a test whose line %zu is no text", i + 1);
    }
    text_puts(&t, line);
    text_puts(&t, "\n");
  }
  *out = text_finish(&t, err) ? NULL : arena_strndup(a, t.size ? t.bytes : "", t.size, "verdict", err);
  text_free(&t);
  return *out ? 0 : err->code;
}

static int read_cases(const struct problem *p, struct task *t, struct error *err)
{
  t->cases = json_object_get(p->fields, "cases");
  if (t->test && t->cases)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "cases", "found both test and cases; expected one of them");
  if (t->test) return 0;
  if (!json_is_array(t->cases) || !json_array_size(t->cases))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "test",
            "found no test and no cases; expected test (a Python script with asserts) or cases: [{stdin, stdout}] for "
            "the verifier \"code\"");
  for (size_t i = 0; i < json_array_size(t->cases); i++) {
    const json_t *one = json_array_get(t->cases, i), *in = json_object_get(one, "stdin");
    if (!json_is_string(json_object_get(one, "stdout")) || (in && !json_is_string(in)))
      FAIL_AT(err, ERROR_INPUT, p->source, p->line, "cases",
              "case %zu is not {stdin, stdout} with texts (stdin may be absent)", i + 1);
  }
  return 0;
}

static bool is_python(const char *language)
{
  return !strcmp(language, "python") || !strcmp(language, "python3") || !strcmp(language, "py");
}

/* language: {command, build?, file?}. */
static int read_commands(const struct problem *p, const json_t *language, struct task *t, struct error *err)
{
  const char *file;
  TRY(read_text(p, language, "command", &t->command, err));
  TRY(read_text(p, language, "build", &t->build, err));
  TRY(read_text(p, language, "file", &file, err));
  if (file) t->file = file;
  if (!t->command)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "language",
            "found a language without a command; expected language: {command, build?, file?}");
  return 0;
}

/* language: "python", or a name for which the settings have a command, or an object. */
static int read_language(const struct verifier_config *c, const struct problem *p, struct task *t, struct error *err)
{
  const json_t *language = json_object_get(p->fields, "language");
  const char *name = json_string_value(language);
  t->command = verifier_value(c, "command")->text;
  t->build = verifier_value(c, "build")->text;
  t->file = verifier_value(c, "file")->text;
  if (json_is_object(language)) return read_commands(p, language, t, err);
  if (!language || json_is_null(language)) return 0;
  if (!name)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "language",
            "found a language that is neither a name nor {command, build?, file?}");
  if (is_python(name))
    t->command = t->build = NULL;
  else if (!t->command)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "language",
            "found the language \"%.40s\" and no command for it; expected python, or the setting command (like "
            "command=\"node {file}\"), or language: {command, build?, file?}",
            name);
  return 0;
}

static int read_task(struct arena *a, const struct verifier_config *c, const struct problem *p, struct task *t,
                     struct error *err)
{
  *t = (struct task){0};
  TRY(read_test(a, p, &t->test, err));
  TRY(read_text(p, p->fields, "entry_point", &t->entry_point, err));
  t->prompt = json_string_value(json_object_get(p->fields, "prompt"));
  if (!t->entry_point || !t->prompt || !code_defines(t->prompt, strlen(t->prompt), t->entry_point)) t->prompt = NULL;
  TRY(read_cases(p, t, err));
  TRY(read_language(c, p, t, err));
  if (t->command && t->test)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "test",
            "found a test for a language that is not Python; expected cases: [{stdin, stdout}]");
  if (strchr(t->file, '/') || !*t->file || *t->file == '.')
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "file", "found the file name \"%.40s\"; expected one like main.c",
            t->file);
  return 0;
}

static int check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  struct task t;
  return read_task(a, c, p, &t, err);
}

/* ---- one verdict in the making
 * ---------------------------------------------------------------------------------------- */

struct run {
  struct arena *arena;
  const struct verifier_config *config;
  const struct problem *problem;
  struct task task;
  struct text program;
  struct sandbox *sandbox;
  double deadline;
  size_t passed, cases;
  const char *reason; /* of the first case that did not pass; NULL: none */
  bool failed;        /* the sandbox, not the program */
};

static double seconds_left(const struct run *r)
{
  double left = r->deadline - clock_seconds();
  return left > 0.001 ? left : 0.001;
}

/* Why a process ended as it did; NULL: it ended by itself, with status 0. */
static const char *how_ended(const struct run *r, const struct sandbox_result *x, struct error *err)
{
  const int64_t cpu = verifier_value(r->config, "seconds")->integer;
  switch (x->outcome) {
    case SANDBOX_WALL:
      return arena_printf(r->arena, "verdict", err, "it was still running when the %g s were over", r->config->timeout);
    case SANDBOX_MEMORY:
      return arena_printf(r->arena, "verdict", err, "its processes used more than %lld MiB of memory",
                          (long long)verifier_value(r->config, "memory")->integer);
    case SANDBOX_OUTPUT:
      return arena_printf(r->arena, "verdict", err, "it wrote more than %lld KiB",
                          (long long)verifier_value(r->config, "output")->integer);
    case SANDBOX_FILES:
      return "it made too many files";
    case SANDBOX_LOST:
      return "the sandbox died";
    case SANDBOX_ENDED:
      break;
  }
  /* The kernel counts what is limited by ticks and what is told exactly: they differ. */
  if (WIFSIGNALED(x->status) && (WTERMSIG(x->status) == SIGXCPU || x->cpu_seconds > 0.5 * (double)cpu))
    return arena_printf(r->arena, "verdict", err, "it used more than %lld s of processor time", (long long)cpu);
  if (WIFSIGNALED(x->status))
    return arena_printf(r->arena, "verdict", err, "it crashed (signal %d, %s)", WTERMSIG(x->status),
                        strsignal(WTERMSIG(x->status)));
  if (WEXITSTATUS(x->status))
    return arena_printf(r->arena, "verdict", err, "it ended with status %d", WEXITSTATUS(x->status));
  return NULL;
}

/* The last line that is not blank. */
static const char *last_line(struct arena *a, const char *s, struct error *err)
{
  size_t end = strlen(s);
  while (end && (s[end - 1] == '\n' || s[end - 1] == ' ')) end--;
  size_t begin = end;
  while (begin && s[begin - 1] != '\n') begin--;
  return verdict_shown(a, s + begin, end - begin, SHOWN, err);
}

/* ---- test
 * ------------------------------------------------------------------------------------------------------------- */

static int put_examination(struct text *t, const struct run *r, struct error *err)
{
  text_puts(t, "{\"test\": ");
  json_put_string(t, r->task.test, strlen(r->task.test));
  if (r->task.entry_point) {
    text_puts(t, ", \"entry_point\": ");
    json_put_string(t, r->task.entry_point, strlen(r->task.entry_point));
  }
  if (r->task.prompt) {
    text_puts(t, ", \"prompt\": ");
    json_put_string(t, r->task.prompt, strlen(r->task.prompt));
  }
  text_puts(t, "}");
  return text_finish(t, err);
}

static size_t count_of(const json_t *o, const char *key)
{
  json_int_t n = json_integer_value(json_object_get(o, key));
  return n > 0 ? (size_t)n : 0;
}

static const char *text_of(const json_t *o, const char *key)
{
  const char *s = json_string_value(json_object_get(o, key));
  return s ? s : "";
}

/* Why the test was not passed, from the examiner's words. */
static const char *explain(struct run *r, const json_t *v, const struct sandbox_result *x, struct error *err)
{
  const json_t *first = json_object_get(v, "first");
  const bool loaded = json_is_true(json_object_get(v, "loaded"));
  const char *ended = how_ended(r, x, err);
  if (json_is_object(first))
    return arena_printf(r->arena, "verdict", err, "case %zu of %zu: %s: %s", count_of(first, "case"), r->cases,
                        text_of(first, "line"), text_of(first, "why"));
  if (json_is_true(json_object_get(v, "gone")))
    return arena_printf(r->arena, "verdict", err, "the program went away %s: %s",
                        loaded ? "in the test" : "before the test",
                        ended ? ended : "it ended, or answered what is no answer");
  return arena_printf(r->arena, "verdict", err, "%s: %s", loaded ? "the test stopped" : "the program does not load",
                      text_of(v, "error"));
}

static int read_verdict(struct run *r, const json_t *v, const struct sandbox_result *x, struct error *err)
{
  const char *fault = json_string_value(json_object_get(v, "fault"));
  size_t written = count_of(v, "static"), seen = count_of(v, "passed") + count_of(v, "failed");
  bool ended = json_is_true(json_object_get(v, "ended"));
  if (fault && json_is_true(json_object_get(v, "wrong")))
    FAIL_AT(err, ERROR_INPUT, r->problem->source, r->problem->line, "test", "%s", fault);
  r->failed = fault != NULL;
  r->passed = count_of(v, "passed");
  if (ended && !count_of(v, "failed")) {
    r->cases = r->passed = r->passed ? r->passed : 1;
    return 0;
  }
  if (!ended) seen++;
  r->cases = written > seen ? written : seen;
  r->reason =
      fault ? arena_printf(r->arena, "verdict", err, "the test cannot be run: %s", fault) : explain(r, v, x, err);
  return r->reason ? 0 : err->code;
}

static int run_test(struct run *r, struct error *err)
{
  struct text exam = {0};
  struct sandbox_result x;
  struct error unread = {0};
  json_t *v = NULL;
  int rc = put_examination(&exam, r, err);
  const struct sandbox_job job = {SANDBOX_EXAMINE, r->program.bytes, exam.bytes, r->program.size, exam.size};
  if (!rc) rc = sandbox_run(r->sandbox, r->arena, &job, seconds_left(r), &x, err);
  text_free(&exam);
  TRY(rc);
  if (x.outcome == SANDBOX_ENDED && !json_parse(r->arena, x.output, x.output_size, "verdict", 0, 0, &v, &unread))
    return read_verdict(r, v, &x, err);
  if (unread.code == ERROR_RESOURCE) FAIL(err, ERROR_RESOURCE, "%s", unread.message);
  /* The examiner said nothing: time, memory, or the program brought it down. */
  const char *why = how_ended(r, &x, err);
  r->cases = 1;
  r->failed = x.outcome == SANDBOX_LOST;
  r->reason = arena_printf(r->arena, "verdict", err, "the test came to no end: %s",
                           why ? why : "the process that examines was stopped");
  return r->reason ? 0 : err->code;
}

/* ---- cases
 * ------------------------------------------------------------------------------------------------------------ */

struct lines {
  const char *at, *end;
};

static bool is_space(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next line without its white space at the end. */
static struct lines take_line(struct lines *s)
{
  const char *stop = s->at < s->end ? memchr(s->at, '\n', (size_t)(s->end - s->at)) : NULL;
  struct lines line = {s->at, stop ? stop : s->end};
  s->at = stop ? stop + 1 : s->end;
  while (line.end > line.at && is_space(line.end[-1])) line.end--;
  return line;
}

static bool same_output(struct lines a, struct lines b)
{
  while (a.end > a.at && is_space(a.end[-1])) a.end--;
  while (b.end > b.at && is_space(b.end[-1])) b.end--;
  while (a.at < a.end && b.at < b.end) {
    struct lines x = take_line(&a), y = take_line(&b);
    size_t n = (size_t)(x.end - x.at);
    if (n != (size_t)(y.end - y.at) || memcmp(x.at, y.at, n) != 0) return false;
  }
  return a.at >= a.end && b.at >= b.end;
}

/* The command with the file's path in place of {file}. */
static const char *fill_in(struct arena *a, const char *command, const char *file, struct error *err)
{
  struct text t = {0};
  for (const char *mark; (mark = strstr(command, "{file}")); command = mark + 6) {
    text_add(&t, command, (size_t)(mark - command));
    text_printf(&t, "/tmp/%s", file);
  }
  text_puts(&t, command);
  const char *out = text_finish(&t, err) ? NULL : arena_strndup(a, t.bytes, t.size, "verdict", err);
  text_free(&t);
  return out;
}

/* A fresh sandbox gets the program's file and is built. */
static int prepare(struct run *r, struct sandbox_result *x, bool *built, struct error *err)
{
  const struct sandbox_job write = {SANDBOX_WRITE, r->program.bytes, r->task.file, r->program.size,
                                    strlen(r->task.file)};
  *built = true;
  TRY(sandbox_run(r->sandbox, r->arena, &write, seconds_left(r), x, err));
  *built = x->outcome == SANDBOX_ENDED && !x->status;
  if (!*built || !r->task.build) return 0;
  const char *command = fill_in(r->arena, r->task.build, r->task.file, err);
  if (!command) return err->code;
  const struct sandbox_job build = {SANDBOX_COMMAND, command, "", strlen(command), 0};
  TRY(sandbox_run(r->sandbox, r->arena, &build, seconds_left(r), x, err));
  *built = x->outcome == SANDBOX_ENDED && !x->status;
  return 0;
}

static int run_case(struct run *r, const char *command, size_t i, struct sandbox_result *x, struct error *err)
{
  const json_t *one = json_array_get(r->task.cases, i), *in = json_object_get(one, "stdin"),
               *want = json_object_get(one, "stdout");
  const struct sandbox_job job = {command ? SANDBOX_COMMAND : SANDBOX_SCRIPT, command ? command : r->program.bytes,
                                  in ? json_string_value(in) : "", command ? strlen(command) : r->program.size,
                                  json_string_length(in)};
  TRY(sandbox_run(r->sandbox, r->arena, &job, seconds_left(r), x, err));
  const char *text = json_string_value(want), *why = how_ended(r, x, err);
  bool same = same_output((struct lines){x->output, x->output + x->output_size},
                          (struct lines){text, text + json_string_length(want)});
  r->failed = r->failed || x->outcome == SANDBOX_LOST;
  r->passed += same && !why;
  if (r->reason || (same && !why)) return 0;
  if (why)
    r->reason = arena_printf(r->arena, "verdict", err, "case %zu of %zu: %s%s%s", i + 1, r->cases, why,
                             *x->errors ? ": " : "", last_line(r->arena, x->errors, err));
  else
    r->reason = arena_printf(r->arena, "verdict", err, "case %zu of %zu: it wrote \"%s\"; expected \"%s\"", i + 1,
                             r->cases, verdict_shown(r->arena, x->output, x->output_size, SHOWN, err),
                             verdict_shown(r->arena, text, json_string_length(want), SHOWN, err));
  return r->reason ? 0 : err->code;
}

static int run_cases(struct run *r, struct error *err)
{
  const char *command = NULL;
  struct sandbox_result x = {0};
  bool built = !r->task.command;
  r->cases = json_array_size(r->task.cases);
  if (r->task.command && !(command = fill_in(r->arena, r->task.command, r->task.file, err))) return err->code;
  for (size_t i = 0; i < r->cases && (i == 0 || clock_seconds() < r->deadline); i++) {
    if (!built) TRY(prepare(r, &x, &built, err));
    if (!built) {
      const char *why = how_ended(r, &x, err);
      r->failed = x.outcome == SANDBOX_LOST;
      r->reason = arena_printf(r->arena, "verdict", err, "it does not build: %s: %s", why ? why : "?",
                               verdict_shown(r->arena, x.errors, strlen(x.errors), SHOWN, err));
      return r->reason ? 0 : err->code;
    }
    TRY(run_case(r, command, i, &x, err));
    /* What killed the sandbox took the program's file with it. */
    built = !command || x.outcome == SANDBOX_ENDED;
  }
  return 0;
}

/* ---- the kind
 * --------------------------------------------------------------------------------------------------------- */

static int open_kind(struct arena *a, struct verifier_config *c, struct error *err)
{
  struct pools *pools = ARENA_NEW(a, struct pools, 1, "sandbox", err);
  if (!pools) return err->code;
  struct sandbox_options o = {
      .limits = {.cpu_seconds = (int)verifier_value(c, "seconds")->integer,
                 .wall_seconds = c->timeout,
                 .memory_mib = (int)verifier_value(c, "memory")->integer,
                 .disk_mib = (int)verifier_value(c, "disk")->integer,
                 .processes = (int)verifier_value(c, "processes")->integer,
                 .output_bytes = (size_t)verifier_value(c, "output")->integer << 10},
  };
  c->state = pools;
  TRY(sandbox_pool_create(a, &o, &pools->python, err));
  o.commands = o.later = true;
  return sandbox_pool_create(a, &o, &pools->commands, err);
}

static const char *passes(const struct run *r, struct error *err)
{
  return r->cases == 1 ? "its one case passes" : arena_printf(r->arena, "verdict", err, "all %zu cases pass", r->cases);
}

static int put_verdict(struct run *r, bool fraction, struct verdict *out, struct error *err)
{
  double share = r->cases ? (double)r->passed / (double)r->cases : 0;
  out->status = r->failed ? VERDICT_FAILED : VERDICT_OK;
  out->correct = !r->failed && r->cases && r->passed == r->cases;
  out->reward = r->failed ? 0 : fraction ? share : out->correct ? 1 : 0;
  out->channel_count = 1;
  out->channels[0].name = "pass_fraction";
  out->channels[0].value = r->failed ? 0 : share;
  out->more = arena_printf(r->arena, "verdict", err, "\"passed\": %zu, \"cases\": %zu", r->passed, r->cases);
  out->reason = r->reason      ? r->reason
                : out->correct ? passes(r, err)
                               : arena_printf(r->arena, "verdict", err, "the %g s were over after %zu of %zu cases",
                                              r->config->timeout, r->passed, r->cases);
  return out->more && out->reason ? 0 : err->code;
}

static int run_all(struct run *r, struct error *err)
{
  const struct pools *pools = r->config->state;
  struct sandbox_pool *pool = r->task.command ? pools->commands : pools->python;
  TRY(text_finish(&r->program, err));
  TRY(sandbox_take(pool, &r->sandbox, err));
  int rc = r->task.test ? run_test(r, err) : run_cases(r, err);
  sandbox_give(pool, r->sandbox);
  return rc;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct setting_value fraction;
  struct run r = {.arena = a, .config = c, .problem = p, .deadline = clock_seconds() + c->timeout};
  *out = (struct verdict){.reason = "the response holds no program"};
  TRY(read_task(a, c, p, &r.task, err));
  TRY(verifier_option(a, c, p, "fraction", &fraction, err));
  struct code_program program = code_program_find(response, n, !r.task.command, r.task.entry_point);
  out->readable = program.size > 0;
  if (!out->readable) return 0;
  out->extracted = arena_strndup(a, program.text, program.size, "verdict", err);
  if (!out->extracted) return err->code;
  if (r.task.command)
    text_add(&r.program, program.text, program.size);
  else
    code_program_put(&r.program, &program, r.task.prompt, r.task.entry_point);
  int rc = run_all(&r, err);
  text_free(&r.program);
  return rc ? rc : put_verdict(&r, fraction.integer, out, err);
}

const struct verifier verifier_code = {
    .name = "code",
    .help = "the program of the response passes the problem's tests, run in a sandbox",
    .fields = "test | cases, entry_point?, prompt?, language?, fraction?",
    .outside = true,
    .channels = "pass_fraction",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open_kind,
    .judge = judge,
    .check = check,
};

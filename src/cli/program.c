#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "compute/backend.h"
#include "core/live.h"
#include "core/log.h"
#include "core/math.h"
#include "core/yaml.h"

#ifndef ASSAY_COMMIT
#define ASSAY_COMMIT "unknown"
#endif
#ifndef ASSAY_BUILD_TYPE
#define ASSAY_BUILD_TYPE "unknown"
#endif

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define X(name) extern const struct command command_##name;
#include "command_table.h"
#undef X

static const struct command *const commands[] = {
#define X(name) &command_##name,
#include "command_table.h"
#undef X
};

size_t command_count(void)
{
  return sizeof commands / sizeof *commands;
}

const struct command *command_at(size_t i)
{
  return commands[i];
}

const struct command *command_find(const char *name, struct error *err)
{
  const char *names[sizeof commands / sizeof *commands];
  for (size_t i = 0; i < command_count(); i++) {
    if (!strcmp(commands[i]->name, name)) return commands[i];
    names[i] = commands[i]->name;
  }
  const char *nearest = name_nearest(name, names, command_count());
  if (*name == '-') {
    error_fail(err, ERROR_INPUT, NULL, 0, name,
               "found option %s where a command belongs; expected: assay COMMAND [options]; `assay` lists the commands",
               name);
    return NULL;
  }
  error_fail(err, ERROR_INPUT, NULL, 0, name, "found command \"%s\"; expected one that `assay` lists%s%s%s", name,
             nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
  return NULL;
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void catch_signal(int number)
{
  (void)number;
  if (stopped) {
    live_rescue();
    _exit(ERROR_STOPPED);
  }
  stopped = 1;
}

void cli_catch_signals(void)
{
  struct sigaction catch = {.sa_handler = catch_signal}, ignore = {.sa_handler = SIG_IGN};
  sigemptyset(&catch.sa_mask);
  sigemptyset(&ignore.sa_mask);
  sigaction(SIGINT, &catch, NULL);
  sigaction(SIGTERM, &catch, NULL);
  sigaction(SIGPIPE, &ignore, NULL); /* a closed pipe is a failed write, */
  sigaction(SIGXFSZ, &ignore, NULL); /* and so is a file that grows past what it may */
}

bool cli_stopped(void)
{
  return stopped != 0;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

int cli_put_version(struct text *t, struct error *err)
{
  struct device *d;
  TRY(device_open(&(struct device_options){.kind = "cpu", .threads = 1}, &d, err));
  text_printf(t, "assay %s, commit %s, %s build, instruction set %s\n", ASSAY_VERSION, ASSAY_COMMIT, ASSAY_BUILD_TYPE,
              device_isa(d));
  device_close(d);
  return 0;
}

static int print_help(struct cli *c, const struct command *command, struct error *err)
{
  struct text t = {0};
  if (command)
    cli_put_help(&t, command);
  else
    cli_put_overview(&t);
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static int print_version(struct cli *c, struct error *err)
{
  struct text t = {0};
  int rc = cli_put_version(&t, err);
  if (!rc) rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
  return !strcmp(word, a) || !strcmp(word, b);
}

static int run(struct cli *c, int argc, char **argv, struct error *err)
{
  bool help = false;
  TRY(math_check_environment(err));
  if (argc < 2 || is_one_of(argv[1], "--help", "-h")) return print_help(c, NULL, err);
  if (is_one_of(argv[1], "--version", "-V")) return print_version(c, err);
  if (!strcmp(argv[1], "help")) {
    const struct command *about = argc > 2 ? command_find(argv[2], err) : NULL;
    return argc > 2 && !about ? err->code : print_help(c, about, err);
  }
  for (int i = 2; i < argc; i++) c->json = c->json || !strcmp(argv[i], "--json");
  c->command = command_find(argv[1], err);
  if (!c->command) return err->code;
  TRY(cli_parse(c, argc - 2, argv + 2, &help, err));
  if (help) return print_help(c, c->command, err);
  log_set_quiet(c->quiet);
  return c->command->run(c, err);
}

/* The error for a person, and with --json for a program. */
static void report(const struct cli *c, const struct error *e)
{
  struct text t = {0};
  log_error(e);
  if (!c->json) return;
  put_error(&t, e);
  text_puts(&t, "\n");
  if (!text_finish(&t, NULL)) {
    fwrite(t.bytes, 1, t.size, stdout);
    fflush(stdout);
  }
  text_free(&t);
}

int cli_main(int argc, char **argv)
{
  struct error err = {0};
  struct cli c = {.program = argc ? argv[0] : "assay"};
  cli_catch_signals();
  c.arena = arena_create("run", 0, &err);
  int rc = c.arena ? run(&c, argc, argv, &err) : err.code;
  log_progress_end();
  if (err.code) report(&c, &err);
  arena_destroy(c.arena);
  return rc;
}

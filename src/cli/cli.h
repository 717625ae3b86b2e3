/* cli/cli: what every subcommand shares: the option table, the common options, errors, lines in and lines out, signals.
 *
 * A subcommand is one file, cmd_<name>.c, that defines `const struct command command_<name>`; the table is generated
 * from the file names.
 *
 *     struct settings { int64_t top; double temperature; };
 *     static const struct option options[] = {
 *         {"--top", "K", OPTION_INT, offsetof(struct settings, top), 0, 100, "the K most likely tokens as well"}, ...};
 *     static int run(struct cli *c, struct error *err) { const struct settings *s = c->settings; ... }
 *     const struct command command_score = {.name = "score", .help = "...", .arguments = "MODEL", .about = "...",
 * .example = "...", .options = options, .option_count = 2, .defaults = &defaults, .settings_size = sizeof defaults,
 *                                           .least = 1, .most = 1, .run = run};
 *
 * run returns 0 or an error code. With err set main prints it ("assay: FILE:LINE: ..."; with --json also {"error": ...}
 * on stdout); a code without err (lines were wrong, and answered in their place) becomes the exit status silently.
 */
#ifndef ASSAY_CLI_CLI_H
#define ASSAY_CLI_CLI_H

#include "compute/backend.h"
#include "core/json.h"
#include "model/model.h"

/* The field of `settings` that an option fills: bool, int64_t, double, const char *, uint64_t (bytes: "512M", "4G",
 * "4GiB"), struct option_list (the option may be given several times). */
enum option_kind { OPTION_FLAG, OPTION_INT, OPTION_REAL, OPTION_TEXT, OPTION_SIZE, OPTION_LIST };

enum { OPTION_LIST_MOST = 64 };
struct option_list {
  const char *items[OPTION_LIST_MOST];
  size_t count;
};

struct option {
  const char *name;  /* "--top" */
  const char *value; /* what stands behind it in the help: "K"; NULL for a flag */
  enum option_kind kind;
  size_t at;        /* offsetof in the settings */
  double low, high; /* OPTION_INT, OPTION_REAL: bounds, both allowed */
  const char *help;
};

struct cli;

struct command {
  const char *name;
  const char *help;      /* one line */
  const char *arguments; /* "MODEL [PROMPT]" */
  const char *about;     /* paragraphs: what goes in, what comes out */
  const char *example;   /* a command that runs as printed */
  const struct option *options;
  size_t option_count;
  const void *defaults; /* the settings before options are read; NULL where there are none */
  size_t settings_size;
  int least, most; /* how many arguments beside options; most -1: any */
  int (*run)(struct cli *c, struct error *err);
};

struct cli {
  const char *program; /* as it was called: for commands to try next */
  const struct command *command;
  struct arena *arena;    /* lives until the program ends */
  const char **arguments; /* [argument_count] */
  int argument_count;
  void *settings;
  /* the common options */
  bool json, quiet;
  int64_t threads; /* 0: not given: the cores this process may use */
  int64_t seed;    /* default 1 */
  bool seed_given;
  uint64_t memory;      /* bytes; 0: not given */
  const char *compute;  /* "f32", "bf16", or NULL: not given */
  const char *weights;  /* "full", "keep", "q8_0", "q4_0", or NULL: not given */
  const char *in, *out; /* NULL: stdin, stdout */
};

size_t command_count(void);
const struct command *command_at(size_t i);
const struct command *command_find(const char *name, struct error *err); /* NULL and an error that names the nearest */

/* Reads the words behind the command's name. *help is set where --help stood among them (nothing else is checked then).
 */
int cli_parse(struct cli *c, int argc, char **argv, bool *help, struct error *err) MUST_USE;
/* What --compute asks for: f32 where it is not given. */
enum compute_type cli_compute_type(const struct cli *c);
/* What --weights asks for: MODEL_KEEP_FULL where it is not given. */
enum model_keep cli_keep(const struct cli *c);
/* "4G" -> bytes. */
bool cli_parse_size(const char *text, uint64_t *out);

const struct option *cli_common_options(size_t *count);           /* those that every command has */
void cli_put_help(struct text *t, const struct command *command); /* of one command */
void cli_put_overview(struct text *t);                            /* `assay` alone */
int cli_put_version(struct text *t, struct error *err) MUST_USE;

/* The whole program: returns the exit status. */
int cli_main(int argc, char **argv);

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Where results go: stdout, flushed at each put, or --out, written atomically: visible only after output_close. */
struct output;
int output_open(struct cli *c, struct output **out, struct error *err) MUST_USE;
int output_put(struct output *o, const struct text *t, struct error *err) MUST_USE; /* as it stands */
int output_line(struct output *o, struct text *t, struct error *err) MUST_USE;      /* adds \n; clears t */
int output_close(struct output *o, struct error *err) MUST_USE;
/* {"error": {"code", "file", "line", "key", "message"}} */
void put_error(struct text *t, const struct error *e);
/* A text to stdout at once (help, listings). */
int print_text(struct cli *c, struct text *t, struct error *err) MUST_USE;

/* ---- JSON Lines in, JSON Lines out ------------------------------------------------------------------------------- */

/* Lines of --in (stdin where it is not given), in order. A line that is no JSON object comes as an error of its own. */
struct lines;
struct line {
  json_t *object;     /* NULL: see error */
  int number;         /* 1-based */
  struct error error; /* ERROR_INPUT where the line itself is wrong */
};
int lines_open(struct cli *c, struct lines **out, struct error *err) MUST_USE;
/* *more false at the end. The object lives in arena a. ERROR_STOPPED after Ctrl-C. */
int lines_next(struct lines *l, struct arena *a, struct line *out, bool *more, struct error *err) MUST_USE;
const char *lines_file(const struct lines *l); /* for messages */

/* answer() appends the one JSON object that answers the line. A failure of ERROR_INPUT is answered in its place and on
   stderr, the rest goes on and the result is ERROR_INPUT without err; any other failure stops. */
typedef int answer_fn(void *arg, struct arena *a, const json_t *line, struct text *out, struct error *err);
int answer_lines(struct cli *c, answer_fn *answer, void *arg, struct error *err) MUST_USE;
/* The same for commands that work on several lines at once: puts an error in the line's place. */
int answer_error(struct cli *c, struct output *o, const struct lines *l, const struct line *line, struct error *failure,
                 struct error *err) MUST_USE;
/* Tells on stderr how far a command has come, unless its results go to the terminal. */
void lines_progress(const struct cli *c, const char *what, int64_t done, const char *unit);

/* ---- signals ----------------------------------------------------------------------------------------------------- */

/* After the first SIGINT or SIGTERM cli_stopped is true; the second ends the program at once (exit 5). */
void cli_catch_signals(void);
bool cli_stopped(void);
#define STOP_IF_ASKED(err)                                                \
  do {                                                                    \
    if (cli_stopped()) FAIL((err), ERROR_STOPPED, "stopped by a signal"); \
  } while (0)

#endif

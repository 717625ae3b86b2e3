#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/task_page.h"
#include "data/stream.h"

enum { SAMPLES = 3, LINES = 10 };

struct settings {
  int64_t count; /* 0: not given */
  bool held_out, markdown;
};
static const struct settings defaults = {0};
static const struct option options[] = {
    {"--count", "N", OPTION_INT, offsetof(struct settings, count), 1, 1e9,
     "problems to write (default 10; on a terminal 3 samples)"},
    {"--held-out", NULL, OPTION_FLAG, offsetof(struct settings, held_out), 0, 0,
     "from the held-out side, which training never sees"},
    {"--markdown", NULL, OPTION_FLAG, offsetof(struct settings, markdown), 0, 0, "docs/tasks.md"},
};

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static int read_keys(struct cli *c, struct source_options *out, struct error *err)
{
  struct setting_given *s = ARENA_NEW(c->arena, struct setting_given, (size_t)c->argument_count, "options", err);
  if (!s) return err->code;
  for (int i = 1; i < c->argument_count; i++) {
    const char *equals = strchr(c->arguments[i], '=');
    if (!equals)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, c->arguments[i], "found \"%s\"; expected key=value, like digits=3",
              c->arguments[i]);
    s[out->setting_count].key =
        arena_strndup(c->arena, c->arguments[i], (size_t)(equals - c->arguments[i]), "options", err);
    s[out->setting_count].text = equals + 1;
    if (!s[out->setting_count++].key) return err->code;
  }
  out->settings = s;
  return 0;
}

/* Results are read by a person: on a terminal, and not asked for as JSON or as a file. */
static bool is_terminal(const struct cli *c)
{
  return !c->json && !c->out && isatty(STDOUT_FILENO) == 1;
}

static bool has_colour(const struct cli *c)
{
  const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
  return is_terminal(c) && term && strcmp(term, "dumb") != 0 && !(no_colour && *no_colour);
}

static int put_problem(const struct cli *c, struct output *o, const struct problem *p, int64_t number, struct text *t,
                       struct error *err)
{
  if (is_terminal(c)) {
    task_put_sample(t, p, number, has_colour(c));
    int rc = output_put(o, t, err);
    text_clear(t);
    return rc;
  }
  json_put_value(t, p->fields);
  return output_line(o, t, err);
}

static int write_problems(struct cli *c, const struct source *source, struct stream *stream, int64_t count,
                          struct output *o, struct error *err)
{
  struct text t = {0};
  struct arena *a = arena_create("problem", 0, err);
  int rc = a ? 0 : err->code;
  if (!rc && source_count(source) && (uint64_t)count > source_count(source))
    rc = error_fail(err, ERROR_INPUT, NULL, 0, "--count",
                    "found --count %lld; this side of %s has %llu problems with these keys", (long long)count,
                    source_name(source), (unsigned long long)source_count(source));
  for (int64_t i = 0; i < count && !rc; i++) {
    struct problem p;
    if (cli_stopped()) rc = error_fail(err, ERROR_STOPPED, NULL, 0, NULL, "stopped by a signal");
    if (!rc) rc = stream_next(stream, a, &p, err);
    if (!rc) rc = put_problem(c, o, &p, i + 1, &t, err);
    lines_progress(c, "tasks", i + 1, "problems");
    arena_reset(a);
  }
  text_free(&t);
  arena_destroy(a);
  return rc;
}

static int put_head(const struct cli *c, struct output *o, struct error *err)
{
  struct text t = {0};
  const struct task *task = task_find(c->arguments[0], err);
  if (!task) return err->code;
  task_put_page(&t, task, has_colour(c));
  int rc = output_put(o, &t, err);
  text_free(&t);
  return rc;
}

static int show(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct source_options o = {.task = c->arguments[0], .weight = 1, .split = s->held_out ? SPLIT_HELD_OUT : SPLIT_TRAIN};
  struct source *source;
  struct stream *stream;
  struct output *output;
  bool page = is_terminal(c);
  TRY(read_keys(c, &o, err));
  TRY(source_open(c->arena, &o, 0, (uint64_t)c->seed, &source, err));
  TRY(stream_open(c->arena, &(struct source_list){&source, 1}, (uint64_t)c->seed, NULL, &stream, err));
  TRY(output_open(c, &output, err));
  if (page) TRY(put_head(c, output, err));
  uint64_t most = source_count(source) ? source_count(source) : UINT64_MAX;
  int64_t count = s->count ? s->count : page && most > SAMPLES ? SAMPLES : most > LINES ? LINES : (int64_t)most;
  TRY(write_problems(c, source, stream, count, output, err));
  return output_close(output, err);
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct text t = {0};
  int rc = 0;
  if (c->argument_count && !s->markdown) return show(c, err);
  if (c->argument_count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--markdown",
            "found --markdown with \"%s\"; expected it alone: all tasks on a page", c->arguments[0]);
  if (s->markdown)
    rc = task_put_markdown(c->arena, &t, err);
  else if (c->json)
    for (size_t i = 0; i < task_count(); i++) task_put_json(&t, task_at(i));
  else
    task_put_list(&t, has_colour(c));
  if (!rc) rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

const struct command command_tasks = {
    .name = "tasks",
    .help = "Procedural problems: the tasks there are, or problems of one",
    .arguments = "[NAME] [key=value ...]",
    .about =
        "Without NAME: every task, a line each (--json: {name, help, right, keys}).\n"
        "With NAME, on a terminal: what it is, its keys, what a right answer looks like, and samples. Into a pipe or a "
        "file, or with --json: JSON Lines {id, question, answer, task, meta}, which train, eval and verify read; with "
        "format=plain also {prompt}.\n"
        "Equal keys and seed give equal problems. Train and held-out problems never meet, whatever the seed. "
        "docs/tasks.md has all of it on a page.",
    .example = "assay tasks multiplication min=2 max=12 --count 3",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};

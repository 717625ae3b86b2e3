#include <string.h>
#include "cli/cli.h"
#include "data/stream.h"

struct settings {
  int64_t count;
  bool held_out;
};
static const struct settings defaults = {.count = 10};
static const struct option options[] = {
    {"--count", "N", OPTION_INT, offsetof(struct settings, count), 1, 1e9, "problems to write (default 10)"},
    {"--held-out", NULL, OPTION_FLAG, offsetof(struct settings, held_out), 0, 0,
     "from the held-out side, which training never sees"},
};

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static void put_string(struct text *t, const char *key, const char *value)
{
  text_printf(t, "\"%s\": ", key);
  json_put_string(t, value, strlen(value));
}

static void put_task_json(struct text *t, const struct task *task)
{
  text_puts(t, "{");
  put_string(t, "name", task->name);
  text_puts(t, ", ");
  put_string(t, "help", task->help);
  text_puts(t, ", ");
  put_string(t, "right", task->right);
  text_puts(t, ", \"keys\": [");
  for (size_t i = 0; i < task->option_count; i++) {
    const struct setting *o = &task->options[i];
    text_puts(t, i ? ", {" : "{");
    put_string(t, "key", o->name);
    if (o->fallback) text_puts(t, ", "), put_string(t, "default", o->fallback);
    text_puts(t, ", ");
    put_string(t, "help", o->help);
    text_puts(t, "}");
  }
  text_puts(t, "]}\n");
}

static void put_task(struct text *t, const struct task *task)
{
  text_printf(t, "%s\n  %s\n  %s\n", task->name, task->help, task->right);
  for (size_t i = 0; i < task->option_count; i++) {
    const struct setting *o = &task->options[i];
    text_printf(t, "    %-16s %s%s%s%s\n", o->name, o->help, o->fallback ? " (default " : "",
                o->fallback ? o->fallback : "", o->fallback ? ")" : "");
  }
}

static int list(struct cli *c, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < task_count(); i++) {
    if (c->json)
      put_task_json(&t, task_at(i));
    else
      put_task(&t, task_at(i));
  }
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

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

static int write_problems(struct cli *c, const struct source *source, struct stream *stream, struct error *err)
{
  const struct settings *s = c->settings;
  struct output *o;
  struct text t = {0};
  struct arena *a = arena_create("problem", 0, err);
  int rc = a ? 0 : err->code;
  if (!rc && source_count(source) && (uint64_t)s->count > source_count(source))
    rc = error_fail(err, ERROR_INPUT, NULL, 0, "--count",
                    "found --count %lld; this side of %s has %llu problems with these keys", (long long)s->count,
                    source_name(source), (unsigned long long)source_count(source));
  if (!rc) rc = output_open(c, &o, err);
  for (int64_t i = 0; i < s->count && !rc; i++) {
    struct problem p;
    if (cli_stopped()) rc = error_fail(err, ERROR_STOPPED, NULL, 0, NULL, "stopped by a signal");
    if (!rc) rc = stream_next(stream, a, &p, err);
    if (!rc) {
      json_put_value(&t, p.fields);
      rc = output_line(o, &t, err);
    }
    arena_reset(a);
  }
  text_free(&t);
  arena_destroy(a);
  return rc ? rc : output_close(o, err);
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  if (!c->argument_count) return list(c, err);
  struct source_options o = {.task = c->arguments[0], .weight = 1, .split = s->held_out ? SPLIT_HELD_OUT : SPLIT_TRAIN};
  struct source *source;
  struct stream *stream;
  TRY(read_keys(c, &o, err));
  TRY(source_open(c->arena, &o, 0, (uint64_t)c->seed, &source, err));
  TRY(stream_open(c->arena, &(struct source_list){&source, 1}, (uint64_t)c->seed, NULL, &stream, err));
  return write_problems(c, source, stream, err);
}

const struct command command_tasks = {
    .name = "tasks",
    .help = "Procedural problems: the tasks there are, or problems of one",
    .arguments = "[NAME] [key=value ...]",
    .about =
        "Without NAME: every task with its keys and what a right answer looks like (--json: {name, help, right, "
        "keys}).\n"
        "With NAME: JSON Lines {id, question, answer, task, meta}, which train, eval and verify read; with "
        "format=plain also {prompt}.\n"
        "Equal keys and seed give equal problems. Train and held-out problems never meet, whatever the seed.",
    .example = "assay tasks multiplication min=2 max=12 --count 3",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};

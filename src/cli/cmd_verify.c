#include <string.h>
#include "cli/cli.h"
#include "data/source.h"
#include "reward/channel.h"
#include "reward/verify_queue.h"

enum { WINDOW_PER_WORKER = 64 };

struct settings {
  int64_t workers;
  double timeout;
  bool kinds;
};
static const struct settings defaults = {.workers = 1, .timeout = 30};
static const struct option options[] = {
    {"--workers", "N", OPTION_INT, offsetof(struct settings, workers), 1, 256,
     "threads that judge (default 1: each line is answered at once)"},
    {"--timeout", "SECONDS", OPTION_REAL, offsetof(struct settings, timeout), 0.001, 86400,
     "limit of one verdict, for kinds that run something outside (default 30)"},
    {"--kinds", NULL, OPTION_FLAG, offsetof(struct settings, kinds), 0, 0,
     "list the kinds and the recipe's further rewards with their settings (docs/verify/kinds.md)"},
};

/* Lines that are judged together. */
struct window {
  struct line *lines; /* [room] */
  struct problem *problems;
  struct verdict *verdicts;
  size_t count, room;
};

struct verify {
  struct cli *cli;
  const struct verifier_config *verifier;
  struct verify_queue *queue; /* NULL with one worker: judged here and now */
  struct lines *lines;
  struct output *output;
  struct arena *arena; /* of the window */
  struct window window;
  bool wrong;
};

/* The line as a problem and a response. */
static int read_line(struct verify *v, struct line *line, struct problem *p)
{
  struct error *err = &line->error;
  const json_t *response = json_object_get(line->object, "response");
  *p = (struct problem){.source = lines_file(v->lines),
                        .line = line->number,
                        .fields = line->object,
                        .verifier = v->verifier->verifier->name};
  if (!json_is_string(response))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "response",
            "found no response; expected {\"answer\": ..., \"response\": TEXT}");
  return problem_value_text(v->arena, json_object_get(line->object, "answer"), &p->answer, err);
}

static int judge_window(struct verify *v)
{
  struct window *w = &v->window;
  if (v->queue) verify_queue_start(v->queue, w->verdicts, w->count);
  for (size_t i = 0; i < w->count; i++) {
    struct line *line = &w->lines[i];
    const json_t *response = json_object_get(line->object, "response");
    if (!line->object || line->error.code || read_line(v, line, &w->problems[i])) continue;
    const char *text = json_string_value(json_object_get(line->object, "response"));
    if (v->queue)
      verify_queue_submit(v->queue, v->verifier, &w->problems[i], text, json_string_length(response), i);
    else
      (void)!verify_now(v->arena, v->verifier, &w->problems[i], text, json_string_length(response), &w->verdicts[i],
                        &line->error);
  }
  struct error unused = {0};
  return v->queue ? verify_queue_wait(v->queue, &unused) : 0;
}

/* A job that failed left no verdict: judged again here, for its own error. */
static void recover_errors(struct verify *v)
{
  struct window *w = &v->window;
  for (size_t i = 0; i < w->count; i++) {
    struct line *line = &w->lines[i];
    const json_t *response = json_object_get(line->object, "response");
    if (line->error.code || w->verdicts[i].reason) continue;
    (void)!verify_now(v->arena, v->verifier, &w->problems[i], json_string_value(response), json_string_length(response),
                      &w->verdicts[i], &line->error);
  }
}

static void put_verdict(struct text *t, const struct verdict *v)
{
  text_puts(t, "{\"reward\": ");
  json_put_f64(t, v->reward);
  text_printf(t, ", \"correct\": %s, \"extracted\": ", v->correct ? "true" : "false");
  if (v->extracted)
    json_put_string(t, v->extracted, strlen(v->extracted));
  else
    text_puts(t, "null");
  text_puts(t, ", \"reason\": ");
  json_put_string(t, v->reason, strlen(v->reason));
  for (int i = 0; i < v->channel_count; i++) {
    text_puts(t, ", ");
    json_put_string(t, v->channels[i].name, strlen(v->channels[i].name));
    text_puts(t, ": ");
    json_put_f64(t, v->channels[i].value);
  }
  if (v->more) text_printf(t, ", %s", v->more);
  text_puts(t, ", \"ms\": ");
  json_put_f64(t, v->ms);
  if (v->status == VERDICT_FAILED) text_puts(t, ", \"failed\": true");
  text_puts(t, "}");
}

static int put_window(struct verify *v, struct error *err)
{
  struct window *w = &v->window;
  struct text t = {0};
  int rc = 0;
  for (size_t i = 0; i < w->count && !rc; i++) {
    struct line *line = &w->lines[i];
    if (line->error.code && line->error.code != ERROR_INPUT) {
      *err = line->error;
      rc = err->code;
    } else if (line->error.code) {
      v->wrong = true;
      rc = answer_error(v->cli, v->output, v->lines, line, &line->error, err);
    } else {
      put_verdict(&t, &w->verdicts[i]);
      rc = output_line(v->output, &t, err);
    }
  }
  text_free(&t);
  return rc;
}

/* Reads, judges and answers windows of lines until the end. */
static int run_windows(struct verify *v, struct error *err)
{
  for (bool more = true; more;) {
    struct window *w = &v->window;
    for (w->count = 0; w->count < w->room; w->count++) {
      TRY(lines_next(v->lines, v->arena, &w->lines[w->count], &more, err));
      if (!more) break;
      w->verdicts[w->count] = (struct verdict){0};
    }
    if (judge_window(v)) recover_errors(v);
    TRY(put_window(v, err));
    if (w->count) lines_progress(v->cli, "verify", w->lines[w->count - 1].number, "lines");
    arena_reset(v->arena);
  }
  TRY(output_close(v->output, err));
  return v->wrong ? ERROR_INPUT : 0;
}

static int make_window(struct arena *a, size_t room, struct window *w, struct error *err)
{
  w->room = room;
  w->lines = ARENA_NEW(a, struct line, room, "verify", err);
  w->problems = w->lines ? ARENA_NEW(a, struct problem, room, "verify", err) : NULL;
  w->verdicts = w->problems ? ARENA_NEW(a, struct verdict, room, "verify", err) : NULL;
  return w->verdicts ? 0 : err->code;
}

/* key=value behind the kind. */
static int read_settings(struct cli *c, struct setting_given **out, struct error *err)
{
  *out = ARENA_NEW(c->arena, struct setting_given, (size_t)c->argument_count, "options", err);
  if (!*out) return err->code;
  for (int i = 1; i < c->argument_count; i++) {
    const char *equals = strchr(c->arguments[i], '=');
    if (!equals)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, c->arguments[i], "found \"%s\"; expected key=value, like ordered=true",
              c->arguments[i]);
    (*out)[i - 1].key = arena_strndup(c->arena, c->arguments[i], (size_t)(equals - c->arguments[i]), "options", err);
    (*out)[i - 1].text = equals + 1;
    if (!(*out)[i - 1].key) return err->code;
  }
  return 0;
}

static void put_settings(struct text *t, const struct setting *table, size_t count)
{
  if (count) text_puts(t, "\n| setting | default | values | what |\n|---|---|---|---|\n");
  for (size_t i = 0; i < count; i++) {
    const struct setting *s = &table[i];
    text_printf(t, "| %s | %s | ", s->name, s->fallback ? s->fallback : "");
    if (s->choices)
      text_puts(t, s->choices);
    else if (s->type == SETTING_BOOL)
      text_puts(t, "true false");
    else if (s->type == SETTING_TEXT)
      text_puts(t, "text");
    else
      text_printf(t, "%.15g to %.15g", s->low, s->high);
    text_printf(t, " | %s |\n", s->help);
  }
}

static int put_kinds(struct cli *c, struct error *err)
{
  struct text t = {0};
  struct output *output;
  text_puts(
      &t,
      "# Verifiers and rewards\n\nMade by `assay verify --kinds`. How to choose and combine them: "
      "[rewards](../guide/rewards.md).\n\n"
      "A recipe says `verifier: KIND` or `verifier: {KIND: {setting: value}}`; the command line `assay verify KIND\n"
      "setting=value`. A setting whose name stands among a kind's fields with a question mark may also be a field "
      "of the\nproblem's line, and the line wins.\n");
  for (size_t i = 0; i < verifier_count(); i++) {
    const struct verifier *v = verifier_at(i);
    text_printf(&t, "\n## %s\n\n%s. Fields: %s.%s\n", v->name, v->help, v->fields,
                v->outside ? " Looks outside: its verdicts are journalled." : "");
    if (v->channels && *v->channels) text_printf(&t, "Channels beside the reward: %s.\n", v->channels);
    put_settings(&t, v->settings, v->setting_count);
  }
  text_puts(&t,
            "\n# Rewards beside the verifier's\n\nEntries of `reward.channels`. Each also has `name`: what the channel "
            "is called where that is not its kind.\n");
  for (size_t i = 0; i < channel_count(); i++) {
    const struct channel *k = channel_at(i);
    text_printf(&t, "\n## %s\n\n%s.\n", k->name, k->help);
    put_settings(&t, k->settings, k->setting_count);
  }
  int rc = text_finish(&t, err);
  if (!rc) rc = output_open(c, &output, err);
  if (!rc) rc = output_put(output, &t, err);
  if (!rc) rc = output_close(output, err);
  text_free(&t);
  return rc;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  if (s->kinds) return put_kinds(c, err);
  if (!c->argument_count)
    FAIL(err, ERROR_INPUT, "found no kind; expected: assay verify KIND; assay verify --kinds lists them");
  const struct verifier *kind = verifier_find(c->arguments[0], err);
  struct verify v = {.cli = c};
  struct verify_queue_options queue = {.workers = (int)s->workers};
  struct setting_given *given;
  struct verifier_config *opened;
  if (!kind) return err->code;
  TRY(read_settings(c, &given, err));
  TRY(verifier_open(c->arena, kind, given, (size_t)c->argument_count - 1, s->timeout, &opened, err));
  v.verifier = opened;
  TRY(make_window(c->arena, s->workers > 1 ? (size_t)s->workers * WINDOW_PER_WORKER : 1, &v.window, err));
  if (s->workers > 1) TRY(verify_queue_create(c->arena, &queue, &v.queue, err));
  TRY(lines_open(c, &v.lines, err));
  TRY(output_open(c, &v.output, err));
  v.arena = arena_create("verify", 0, err);
  if (!v.arena) return err->code;
  int rc = run_windows(&v, err);
  arena_destroy(v.arena);
  return rc;
}

const struct command command_verify = {
    .name = "verify",
    .help = "Verdicts for responses",
    .arguments = "KIND [key=value ...]",
    .about =
        "Reads JSON Lines {answer, response, ...} and writes {reward, correct, extracted, reason, ms}, one line each; "
        "a "
        "verifier that failed (time,\n"
        "a program that died) writes \"failed\": true beside a reward of 0. Settings of a kind are key=value, as in a "
        "recipe's verifier: {KIND: {...}}.\n"
        "--kinds lists kinds, the fields that they read and their settings.",
    .example = "echo '{\"answer\": \"72\", \"response\": \"48 + 24 = 72 clips\"}' | assay verify number",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};

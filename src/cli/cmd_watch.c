#include "cli/cli.h"
#include "core/log.h"
#include "serve/watch_http.h"

#include <string.h>
#include <time.h>

enum { EXPORT_LIMIT = 8 << 20 };

struct settings {
  int64_t port;
  const char *export;
};
static const struct settings defaults = {.port = 8060};
static const struct option options[] = {
    {"--port", "N", OPTION_INT, offsetof(struct settings, port), 0, 65535, "0: any free one (default 8060)"},
    {"--export", "FILE.html", OPTION_TEXT, offsetof(struct settings, export), 0, 0,
     "writes one file that shows the runs without a server, and ends"},
};

/* Where the page or the file is: the result, so on stdout. */
static int tell(struct cli *c, const char *key, const char *place, struct error *err)
{
  struct text t = {0};
  if (c->json) {
    text_printf(&t, "{\"%s\": ", key);
    json_put_string(&t, place, strlen(place));
    text_puts(&t, "}\n");
  } else {
    text_printf(&t, "%s\n", place);
  }
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct watch *w;
  struct http_server *server;
  TRY(watch_open(c->arena, c->arguments, c->argument_count, &w, err));
  if (!w->chart)
    log_warn("Chart.js is not installed, so numbers stand in tables; for curves: apt install libjs-chart.js");
  if (s->export) {
    TRY(watch_export(w, s->export, EXPORT_LIMIT, err));
    return tell(c, "file", s->export, err);
  }
  TRY(watch_http_start(c->arena, w, (int)s->port, &server, err));
  TRY(tell(c, "url", http_url(server), err));
  log_info("Ctrl-C ends it");
  cli_catch_signals();
  while (!cli_stopped()) nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
  http_stop(server);
  return 0;
}

const struct command command_watch = {
    .name = "watch",
    .help = "A page on this machine that shows runs while they run",
    .arguments = "RUN [RUN ...]",
    .about =
        "Serves a page on 127.0.0.1 alone: curves of all runs beside each other, problems with their history, the "
        "answers of every step token by\n"
        "token, the recipe with origins, the log. It follows runs that are still written, needs no network and "
        "reads nothing outside of the run folders\n"
        "but the tokenizer of a run that has no checkpoint yet. Its address is printed. Curves need Chart.js: apt "
        "install libjs-chart.js.\n"
        "--export FILE.html writes one file instead (8 MiB at most of answers, from 12 steps spread over each run) "
        "that opens anywhere.",
    .example =
        "run=$(mktemp -d)/try && assay train recipes/demo.yaml train.steps=2 rollout.problems=8 eval.problems=8 "
        "--run $run --quiet && assay watch $run --export $run/run.html",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 16,
    .run = run};

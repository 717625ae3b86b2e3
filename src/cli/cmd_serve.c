#include "cli/cli.h"
#include "core/file.h"
#include "core/log.h"
#include "core/pool.h"
#include "rollout/session.h"
#include "serve/serve.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS = 64, CONTEXT = 4096, SLOTS = 32 };

struct settings {
  const char *host, *key_file, *name, *adapter;
  int64_t port, slots, queue, context, max_tokens, connections, keep;
  uint64_t body;
  double time_limit, grace;
};
static const struct settings defaults = {.host = "127.0.0.1",
                                         .port = SERVE_PORT,
                                         .slots = SLOTS,
                                         .queue = 128,
                                         .context = CONTEXT,
                                         .max_tokens = 512,
                                         .connections = 512,
                                         .keep = SLOTS,
                                         .body = 8 << 20,
                                         .time_limit = 600,
                                         .grace = 10};
static const struct option options[] = {
    {"--host", "ADDRESS", OPTION_TEXT, offsetof(struct settings, host), 0, 0,
     "where it listens (default 127.0.0.1: this machine alone)"},
    {"--port", "N", OPTION_INT, offsetof(struct settings, port), 0, 65535, "0: any that is free (default 8080)"},
    {"--api-key-file", "FILE", OPTION_TEXT, offsetof(struct settings, key_file), 0, 0,
     "keys, one a line; clients send Authorization: Bearer KEY (default: the variable ASSAY_API_KEY, else none)"},
    {"--name", "NAME", OPTION_TEXT, offsetof(struct settings, name), 0, 0,
     "of the model, in requests and answers (default: the last part of MODEL)"},
    {"--adapter", "DIR", OPTION_TEXT, offsetof(struct settings, adapter), 0, 0,
     "a PEFT folder or run whose adapter MODEL is used with"},
    {"--slots", "N", OPTION_INT, offsetof(struct settings, slots), 1, 1024,
     "answers that are written together; moves no bit (default 32)"},
    {"--queue", "N", OPTION_INT, offsetof(struct settings, queue), 1, 1e6,
     "requests that may wait; more are answered 429 (default 128)"},
    {"--context", "N", OPTION_INT, offsetof(struct settings, context), 2, 1e7,
     "tokens that prompt and answer may have, if the model reads so many (default 4096)"},
    {"--max-tokens", "N", OPTION_INT, offsetof(struct settings, max_tokens), 1, 1e6,
     "longest answer to a chat that does not say (default 512)"},
    {"--keep", "N", OPTION_INT, offsetof(struct settings, keep), 0, 4096,
     "answers whose KV is kept for prompts that begin so; moves no bit (default 32)"},
    {"--connections", "N", OPTION_INT, offsetof(struct settings, connections), 1, 60000, "at once (default 512)"},
    {"--max-body", "BYTES", OPTION_SIZE, offsetof(struct settings, body), 0, 0, "of a request (default 8M)"},
    {"--time-limit", "SECONDS", OPTION_REAL, offsetof(struct settings, time_limit), 0, 1e6,
     "of a request, waiting included; 0: none (default 600)"},
    {"--grace", "SECONDS", OPTION_REAL, offsetof(struct settings, grace), 0, 1e6,
     "that running answers have when the server is stopped (default 10)"}};

struct keys {
  const char *list[KEYS];
  size_t count;
};

static int add_key(struct keys *k, char *key, const char *file, int line, struct error *err)
{
  key += strspn(key, " \t\r");
  for (size_t n = strlen(key); n && strchr(" \t\r", key[n - 1]);) key[--n] = '\0';
  if (!*key || *key == '#') return 0;
  if (k->count == KEYS) FAIL_AT(err, ERROR_INPUT, file, line, NULL, "found more than %d keys", KEYS);
  k->list[k->count++] = key;
  return 0;
}

static int read_keys(struct cli *c, const char *file, struct keys *k, struct error *err)
{
  const char *given = getenv("ASSAY_API_KEY");
  if (!file) {
    char *key = given && *given ? arena_strdup(c->arena, given, "serve", err) : NULL;
    return key ? add_key(k, key, "ASSAY_API_KEY", 0, err) : err->code;
  }
  char *text, *rest;
  size_t n;
  int line = 0;
  TRY(file_read(c->arena, file, 1 << 20, &text, &n, err));
  for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
    TRY(add_key(k, at, file, ++line, err));
  if (!k->count) FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "found no key; expected one a line");
  return 0;
}

/* The last part of a path, without .gguf. */
static const char *model_name(struct cli *c, struct error *err)
{
  char *path = arena_strdup(c->arena, c->arguments[0], "serve", err);
  if (!path) return NULL;
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') path[--n] = '\0';
  if (n > 5 && !strcmp(path + n - 5, ".gguf")) path[n - 5] = '\0';
  return path_base(path);
}

static void say_ready(void *arg, const char *url)
{
  struct cli *c = arg;
  struct text t = {0};
  if (c->json) {
    text_puts(&t, "{\"url\": ");
    json_put_string(&t, url, strlen(url));
    text_puts(&t, "}\n");
  } else {
    text_printf(&t, "%s\n", url);
  }
  if (!t.rc) fwrite(t.bytes, 1, t.size, stdout);
  fflush(stdout);
  text_free(&t);
}

/* Memory for KV: what --memory leaves beside the weights and the rest, else half of what is free. */
static int share_memory(struct cli *c, const struct session *s, struct serve_options *o, struct error *err)
{
  size_t kv, weights = model_fixed_bytes(&s->config, device_type(s->device)), rest;
  o->kv_bytes = 0;
  rest = serve_bytes(s, o, &kv);  // with the least KV
  rest += weights - kv;
  if (!c->memory) {
    size_t left = memory_available_bytes();
    o->kv_bytes = left > rest ? (left - rest) / 2 : 0;
  } else if (c->memory < rest + kv) {
    FAIL_AT(err, ERROR_RESOURCE, NULL, 0, "--memory",
            "found --memory %.0f MiB; expected at least %.0f MiB for weights, workspace and one answer of --context %d",
            (double)c->memory / (1 << 20), (double)(rest + kv) / (1 << 20), o->context);
  } else {
    o->kv_bytes = c->memory - rest;
  }
  size_t all = serve_bytes(s, o, &kv);
  log_info("%s: %.0f MiB of weights, %.0f MiB of KV, %.0f MiB of workspace; %d slots, context %d", o->name,
           (double)weights / (1 << 20), (double)kv / (1 << 20), (double)(all - kv) / (1 << 20), o->slots, o->context);
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct session *session = ARENA_NEW(c->arena, struct session, 1, "serve", err);
  struct keys *keys = session ? ARENA_NEW(c->arena, struct keys, 1, "serve", err) : NULL;
  if (!keys) return err->code;
  TRY(read_keys(c, s->key_file, keys, err));
  struct session_options open = {
      .model = c->arguments[0], .threads = (int)c->threads, .type = cli_compute_type(c), .adapter = s->adapter};
  TRY(session_open(c->arena, &open, session, err));
  int most = session->config.max_positions;
  struct serve_options o = {.host = s->host,
                            .port = (int)s->port,
                            .name = s->name ? s->name : model_name(c, err),
                            .keys = keys->list,
                            .key_count = keys->count,
                            .slots = (int)s->slots,
                            .queue = (int)s->queue,
                            .context = s->context < most ? (int)s->context : most,
                            .keep = (int)s->keep,
                            .max_tokens = s->max_tokens,
                            .body_limit = s->body,
                            .connections = (int)s->connections,
                            .time_limit = s->time_limit,
                            .grace = s->grace,
                            .seed = (uint64_t)c->seed,
                            .stopped = cli_stopped,
                            .ready = say_ready,
                            .arg = c};
  if (!o.name) return err->code;
  TRY(share_memory(c, session, &o, err));
  TRY(session_load(session, o.context, err));
  if (!session->template)
    log_info("no chat template: /v1/chat/completions answers 400; /v1/completions takes plain text");
  if (!keys->count && strcmp(s->host, "127.0.0.1") != 0 && strcmp(s->host, "localhost") != 0)
    log_warn("open to everybody who reaches %s: --api-key-file asks for a key", s->host);
  return serve_run(c->arena, session, &o, err);
}

const struct command command_serve = {
    .name = "serve",
    .help = "An OpenAI-compatible HTTP interface to a model",
    .arguments = "MODEL",
    .about =
        "POST /v1/chat/completions and /v1/completions (streams, n, stop, seed, logprobs, tools, JSON schemas), GET "
        "/v1/models, /health and /metrics.\n"
        "The address goes to stdout when it listens. Requests are batched as they come; an answer with a seed is that "
        "of "
        "`assay generate`, whoever else is\n"
        "served, and log-probabilities are those of `assay score`, bit for bit. SIGTERM or Ctrl-C: nothing new is "
        "taken, "
        "running answers have --grace seconds.",
    .example = "timeout 2 assay serve models/tiny --port 0 || true",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 1,
    .run = run};

#include "serve/serve.h"

#include "core/log.h"
#include "serve/engine.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { PREFILL_ROWS = 256, KV_BLOCK = 16 };

struct serve {
  const struct session *session;
  const struct serve_options *options;
  struct engine engine;
  struct meter meter;
  struct grammar_vocab *vocab;
  struct http_server *server;
  int64_t started;
  pthread_mutex_t lock;
  uint32_t ordinal; /* of requests: under the lock */
};

/* ---- a request for text --------------------------------------------------------------------------------------------
 */

static uint32_t next_ordinal(struct serve *s)
{
  pthread_mutex_lock(&s->lock);
  uint32_t ordinal = ++s->ordinal;
  pthread_mutex_unlock(&s->lock);
  return ordinal;
}

static int check_model(const struct serve *s, const struct api_request *r, struct error *err)
{
  if (!r->model || !strcmp(r->model, s->options->name)) return 0;
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "model", "found \"%.100s\"; expected \"%s\", the model that is served, or no name",
          r->model, s->options->name);
}

static int prepare(struct serve *s, struct call *c, enum api_kind kind, struct error *err)
{
  size_t n;
  const char *body = http_body(c->exchange, &n);
  const struct serve_options *o = s->options;
  struct call_limits limits = {o->context, o->slots, o->max_tokens};
  TRY(api_request_parse(c->arena, kind, body, n, &c->request, err));
  TRY(check_model(s, &c->request, err));
  const struct api_request *r = &c->request;
  if (r->format != FORMAT_TEXT) TRY(grammar_open(c->arena, s->vocab, r->schema, &c->grammar, err));
  if (r->must_call) TRY(grammar_open_calls(c->arena, s->vocab, r->tools, r->tool, &c->grammar, err));
  uint32_t ordinal = next_ordinal(s);
  snprintf(c->id, sizeof c->id, "%s-%08" PRIx64 "%08" PRIx32, kind == API_CHAT ? "chatcmpl" : "cmpl", s->started,
           ordinal);
  c->created = (int64_t)time(NULL);
  return call_prepare(c, &limits, o->seed, ordinal, err);
}

static void answer_request(struct serve *s, struct http_exchange *x, enum api_kind kind)
{
  struct error err = {0};
  struct call *c = ARENA_NEW(http_arena(x), struct call, 1, "call", &err);
  int retry = 1;
  if (c) {
    *c = (struct call){.exchange = x, .arena = http_arena(x), .session = s->session, .model = s->options->name};
    if (!prepare(s, c, kind, &err)) {
      http_hold(x);
      if (engine_submit(&s->engine, c, &retry)) return;
    }
    call_close(c);
  }
  if (err.code) {
    http_answer_failure(x, &err);
    return;
  }
  char seconds[16];
  snprintf(seconds, sizeof seconds, "%d", retry);
  meter_refused(&s->meter);
  http_put_header(x, "Retry-After", seconds);
  http_answer_error(x, 429, "rate_limit_error", NULL, "queue_full",
                    "the queue is full; expected fewer than %d requests "
                    "that wait; try again in %s s",
                    s->options->queue, seconds);
  http_release(x);
}

static void chat(void *arg, struct http_exchange *x)
{
  answer_request(arg, x, API_CHAT);
}

static void complete(void *arg, struct http_exchange *x)
{
  answer_request(arg, x, API_COMPLETION);
}

/* ---- the other pages
 * -------------------------------------------------------------------------------------------------- */

static void put_model(const struct serve *s, struct text *t)
{
  text_puts(t, "{\"id\": ");
  json_put_string(t, s->options->name, strlen(s->options->name));
  text_printf(t, ", \"object\": \"model\", \"created\": %" PRId64 ", \"owned_by\": \"assay\", \"max_model_len\": %d}",
              s->started, s->options->context);
}

static void models(void *arg, struct http_exchange *x)
{
  struct serve *s = arg;
  struct text t = {0};
  text_puts(&t, "{\"object\": \"list\", \"data\": [");
  put_model(s, &t);
  text_puts(&t, "]}\n");
  http_answer(x, 200, "application/json", &t);
}

static void one_model(void *arg, struct http_exchange *x)
{
  struct serve *s = arg;
  struct text t = {0};
  const char *name = http_path(x) + strlen("/v1/models/");
  if (strcmp(name, s->options->name) != 0) {
    http_answer_error(x, 404, "invalid_request_error", "model", "model_not_found", "found \"%.100s\"; expected \"%s\"",
                      name, s->options->name);
    return;
  }
  put_model(s, &t);
  text_puts(&t, "\n");
  http_answer(x, 200, "application/json", &t);
}

static void health(void *arg, struct http_exchange *x)
{
  static const char OK[] = "{\"status\": \"ok\"}\n";
  (void)arg;
  http_answer_static(x, 200, "application/json", OK, sizeof OK - 1);
}

static void metrics(void *arg, struct http_exchange *x)
{
  struct serve *s = arg;
  struct text t = {0};
  meter_put(&s->meter, &t);
  http_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", &t);
}

static void done(void *arg, const struct http_exchange *x, int status, double seconds)
{
  struct serve *s = arg;
  (void)x;
  (void)seconds;
  meter_answer(&s->meter, status);
}

static const struct http_route ROUTES[] = {
    {"POST", "/v1/chat/completions", 0, chat}, {"POST", "/v1/completions", 0, complete},
    {"GET", "/v1/models", 0, models},          {"GET", "/v1/models/*", 0, one_model},
    {"GET", "/health", HTTP_OPEN, health},     {"GET", "/metrics", 0, metrics}};

/* ---- starting
 * ------------------------------------------------------------------------------------------------------------ */

static struct generate_options generate_options(const struct session *s, const struct serve_options *o)
{
  struct generate_options g = {.slots = o->slots,
                               .prefill_rows = PREFILL_ROWS,
                               .max_group = o->slots,
                               .max_path = o->context,
                               .kv_block = KV_BLOCK,
                               .keep = o->keep,
                               .top = API_TOP};
  const struct model_config *c = &s->config;
  struct kv_shape shape = {c->layers, c->kv_heads, c->head_dim, KV_BLOCK, 1};
  uint64_t all = (uint64_t)(o->slots + 1) * (uint64_t)((o->context + KV_BLOCK - 1) / KV_BLOCK + 1);
  uint64_t fit = o->kv_bytes / kv_block_bytes(&shape, compute_type_size(device_type(s->device)));
  int least = generate_blocks_least(&g);
  if (fit < all) all = fit;
  g.kv_blocks = all > (uint64_t)least ? (int)all : least;
  return g;
}

size_t serve_bytes(const struct session *s, const struct serve_options *o, size_t *kv)
{
  struct generate_options g = generate_options(s, o);
  const struct model_config *c = &s->config;
  struct kv_shape shape = {c->layers, c->kv_heads, c->head_dim, KV_BLOCK, 1};
  enum compute_type type = device_type(s->device);
  *kv = kv_block_bytes(&shape, compute_type_size(type)) * (size_t)g.kv_blocks;
  return generator_bytes(c, &g, type);
}

static int open_engine(struct serve *s, struct arena *a, struct error *err)
{
  const struct serve_options *o = s->options;
  const struct session *m = s->session;
  struct generate_options g = generate_options(m, o);
  s->engine = (struct engine){.meter = &s->meter,
                              .slots = o->slots,
                              .queue_most = o->queue,
                              .stopped = o->stopped,
                              .limit = o->time_limit,
                              .grace = o->grace};
  TRY(generator_create(a, m->model, m->tokenizer, m->end_ids, m->end_id_count, &g, &s->engine.generator, err));
  TRY(grammar_vocab_open(a, m->tokenizer, (size_t)m->config.vocab, m->end_ids, m->end_id_count, &s->vocab, err));
  return engine_open(a, &s->engine, err);
}

int serve_run(struct arena *a, const struct session *session, const struct serve_options *o, struct error *err)
{
  struct serve *s = ARENA_NEW(a, struct serve, 1, "serve", err);
  if (!s) return err->code;
  s->session = session;
  s->options = o;
  s->started = (int64_t)time(NULL);
  if (pthread_mutex_init(&s->lock, NULL)) FAIL(err, ERROR_RESOURCE, "no memory for a lock");
  TRY(meter_open(&s->meter, err));
  TRY(open_engine(s, a, err));
  struct http_options http = {.host = o->host,
                              .port = o->port,
                              .routes = ROUTES,
                              .route_count = sizeof ROUTES / sizeof *ROUTES,
                              .arg = s,
                              .keys = o->keys,
                              .key_count = o->key_count,
                              .body_limit = o->body_limit,
                              .connections = o->connections,
                              .done = done};
  TRY(http_start(a, &http, &s->server, err));
  if (o->ready) o->ready(o->arg, http_url(s->server));
  int rc = engine_run(&s->engine, err);
  http_stop(s->server);
  return rc;
}

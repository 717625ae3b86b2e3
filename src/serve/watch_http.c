#include "serve/watch_http.h"

#include <pthread.h>
#include <string.h>

struct watch_server {
  struct watch *watch;
  pthread_mutex_t lock; /* the runs are read by one question at a time */
};

static const char *query_of(const void *arg, const char *name)
{
  return http_query(arg, name);
}

static void put_headers(struct http_exchange *x)
{
  http_put_header(x, "Content-Security-Policy", watch_policy());
  http_put_header(x, "Referrer-Policy", "no-referrer");
  http_put_header(x, "Cross-Origin-Resource-Policy", "same-origin");
  http_put_header(x, "Cache-Control", "no-store");
}

static void answer_page(void *arg, struct http_exchange *x)
{
  struct text page = {0};
  (void)arg;
  put_headers(x);
  watch_put_page(&page);
  http_answer(x, 200, "text/html; charset=utf-8", &page);
}

/* Without Chart.js an empty script: the page says what to install. */
static void answer_chart(void *arg, struct http_exchange *x)
{
  const struct watch_server *s = arg;
  put_headers(x);
  http_answer_static(x, 200, "text/javascript; charset=utf-8", s->watch->chart ? s->watch->chart : "",
                     s->watch->chart_size);
}

static void answer_part(void *arg, struct http_exchange *x)
{
  const struct watch_part *part = watch_part_find(http_path(x));
  (void)arg;
  put_headers(x);
  http_answer_static(x, 200, part->type, part->bytes, part->size);
}

/* Browsers say so where another site's page asks: it could not read the answer, but should not cause work either. */
static bool is_from_elsewhere(const struct http_exchange *x)
{
  const char *site = http_header(x, "Sec-Fetch-Site");
  return site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

static void answer_question(void *arg, struct http_exchange *x)
{
  struct watch_server *s = arg;
  struct watch_reply reply;
  struct error failure = {0};
  put_headers(x);
  if (is_from_elsewhere(x)) {
    http_answer_error(x, 403, "invalid_request_error", NULL, NULL, "found a question of another site's page");
    return;
  }
  pthread_mutex_lock(&s->lock);
  int rc = watch_answer(s->watch, http_path(x), query_of, x, &reply, &failure);
  pthread_mutex_unlock(&s->lock);
  if (rc) {
    text_free(&reply.body);
    http_answer_failure(x, &failure);
  } else {
    http_answer(x, reply.status, reply.type, &reply.body);
  }
}

static void destroy_lock(void *arg)
{
  pthread_mutex_destroy(arg);
}

int watch_http_start(struct arena *a, struct watch *w, int port, struct http_server **out, struct error *err)
{
  static const struct http_route routes[] = {{"GET", "/", HTTP_OPEN, answer_page},
                                             {"GET", "/watch.css", HTTP_OPEN, answer_part},
                                             {"GET", "/watch.js", HTTP_OPEN, answer_part},
                                             {"GET", "/chart.js", HTTP_OPEN, answer_chart},
                                             {"GET", "/api/*", HTTP_OPEN, answer_question}};
  struct watch_server *s = ARENA_NEW(a, struct watch_server, 1, "watch", err);
  if (!s) return err->code;
  s->watch = w;
  pthread_mutex_init(&s->lock, NULL);
  TRY(arena_on_reset(a, destroy_lock, &s->lock, err));
  struct http_options o = {.host = "127.0.0.1",
                           .port = port,
                           .routes = routes,
                           .route_count = sizeof routes / sizeof routes[0],
                           .arg = s,
                           .body_limit = 4096,
                           .connections = 64};
  return http_start(a, &o, out, err);
}

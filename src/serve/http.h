/* serve/http: a small HTTP server for a table of routes, over libmicrohttpd: what `assay serve` and `assay watch`
 * answer with.
 *
 *     static void health(void *arg, struct http_exchange *x) { http_answer_static(x, 200, "text/plain", "ok\n", 3); }
 *     static const struct http_route routes[] = {{"GET", "/health", HTTP_OPEN, health}, {"POST", "/v1/things", 0,
 * api}}; struct http_options o = {.host = "127.0.0.1", .port = 8080, .routes = routes, .route_count = 2, .arg =
 * &state}; TRY(http_start(arena, &o, &server, err)); while (!cli_stopped()) ...; http_stop(server);
 *
 * An exchange is one request and its answer. Handlers run on the server's threads when the whole request is there; each
 * answers once, before it returns or (after http_hold) later from any thread, with a whole text or with a stream.
 *
 * Bounds: header (32 KiB), body, connections, the time in which a request must have come as a whole (slow clients), the
 * time between requests, the time a stalled reader may take, bytes of a stream that nobody reads. What breaks one is
 * answered (400, 408 by closing, 413, 431) or cut off; nothing waits for ever.
 *
 * On a loopback address only a Host of this machine is answered (else 421), so that a web page elsewhere cannot reach
 * the server by a name that it points here.
 */
#ifndef ASSAY_SERVE_HTTP_H
#define ASSAY_SERVE_HTTP_H

#include "core/json.h"

struct http_server;
struct http_exchange;

typedef void http_handler(void *arg, struct http_exchange *x);

enum { HTTP_OPEN = 1 /* answered without a key */ };

struct http_route {
  const char *method; /* "GET" (HEAD too), "POST" */
  const char *path;   /* "/health"; with a * at its end: everything that begins so */
  int flags;
  http_handler *handle;
};

struct http_options {
  const char *host;                /* name or address to listen on; NULL: 127.0.0.1 */
  int port;                        /* 0: any free one, see http_port */
  const struct http_route *routes; /* first match; alive as long as the server */
  size_t route_count;
  void *arg;               /* of the handlers */
  const char *const *keys; /* "Authorization: Bearer KEY" must name one of these; none: everything is open */
  size_t key_count;
  size_t body_limit;      /* bytes of a request's body; 0: 1 MiB */
  int connections;        /* at most; 0: 512 */
  double request_seconds; /* in which a request's head, and then its body, must have come; 0: 30 */
  double idle_seconds;    /* between two requests of a connection, or of a reader that takes nothing; 0: 60 */
  /* A request is over (or was broken off: status 0); on a server's thread. NULL: nobody asks. */
  void (*done)(void *arg, const struct http_exchange *x, int status, double seconds);
};

/* ERROR_RESOURCE where it cannot listen there (port in use, address of another machine), or without libmicrohttpd. The
 * server belongs to the arena and is stopped with it. */
int http_start(struct arena *a, const struct http_options *o, struct http_server **out, struct error *err) MUST_USE;
int http_port(const struct http_server *s);
const char *http_url(const struct http_server *s); /* "http://127.0.0.1:8080" */
/* Listens no longer; requests that have come are answered. */
void http_quiesce(struct http_server *s);
/* Ends everything: what has been answered is sent, for a second at most; what holders still hold is broken off (their
 * next call finds the client gone). */
void http_stop(struct http_server *s);

/* ---- the request ------------------------------------------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);                     /* decoded, without the query */
const char *http_query(const struct http_exchange *x, const char *name);  /* ?name=value, decoded; NULL: not there. In
                                                                             handlers only */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL: not there. In handlers only */
const char *http_body(const struct http_exchange *x, size_t *n);          /* NUL behind it */
const char *http_client(const struct http_exchange *x); /* who asks: the address, and the key's number: "127.0.0.1/0" */
struct arena *http_arena(const struct http_exchange *x); /* lives as long as the exchange; one thread at a time */

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* A further header of the answer, before it is given; both are copied. */
void http_put_header(struct http_exchange *x, const char *name, const char *value);
/* A whole answer; takes over what the text holds. A text whose memory was lacking becomes a 500. */
void http_answer(struct http_exchange *x, int status, const char *type, struct text *body);
/* The same from bytes that outlive the server (pages, icons). */
void http_answer_static(struct http_exchange *x, int status, const char *type, const void *bytes, size_t n);
/* {"error": {"message", "type", "param", "code"}}; param and code may be NULL. */
void http_answer_error(struct http_exchange *x, int status, const char *type, const char *param, const char *code,
                       const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for a failure: ERROR_INPUT is 400 invalid_request_error with the error's key as param, ERROR_RESOURCE 503,
 * else 500. */
void http_answer_failure(struct http_exchange *x, const struct error *e);

/* The answer comes after the handler has returned; the caller must release the exchange once it has answered. */
void http_hold(struct http_exchange *x);
void http_release(struct http_exchange *x);

/* An answer in pieces, sent as they come (chunked): start, write any number of times, end. write says false when nobody
 * will read it any more: stop then. Not two threads at once. */
void http_stream_start(struct http_exchange *x, int status, const char *type);
bool http_stream_write(struct http_exchange *x, const void *bytes, size_t n);
void http_stream_end(struct http_exchange *x);

/* The client has hung up (or closed its sending half: the two cannot be told apart), or took nothing for too long. */
bool http_gone(struct http_exchange *x);

#endif

/* serve/http_internal: what http.c (connections and requests) and http_answer.c (answers) share. */
#ifndef ASSAY_SERVE_HTTP_INTERNAL_H
#define ASSAY_SERVE_HTTP_INTERNAL_H

#include "serve/http.h"
#include "serve/microhttpd.h"

#include <pthread.h>

enum { HTTP_HEADERS = 8, HTTP_STREAM_UNREAD = 4 << 20 /* bytes of a stream that nobody reads */ };

/* A connection, from its first byte to its last. Its deadline is when the request under way must have come: the
 * server's clock shuts it down then. */
struct http_connection {
  struct http_connection *next, *before;
  struct http_exchange *exchange; /* the request under way */
  int fd;
  double deadline; /* 0: none */
};

struct http_server {
  struct http_options options;
  struct MHD_Daemon *daemon;
  int listen_fd; /* until the daemon has it, and after http_quiesce */
  int port;
  bool loopback, stopped;
  char url[160];
  pthread_mutex_t lock; /* of the connections and of `stopping`; taken before an exchange's */
  pthread_cond_t wake;
  struct http_connection *connections;
  bool stopping, clock_runs;
  pthread_t clock;
};

enum http_state {
  HTTP_READING,  /* the request comes */
  HTTP_HANDLED,  /* its handler was called */
  HTTP_ANSWERED, /* status and body stand */
  HTTP_QUEUED    /* libmicrohttpd has the answer */
};

struct http_exchange {
  struct http_server *server;
  struct arena *arena;
  char *method, *path;
  char client[80];
  struct text body;
  bool too_large;
  double start;
  pthread_mutex_t lock;              /* of all that follows */
  int references;                    /* libmicrohttpd's and the holder's */
  struct MHD_Connection *connection; /* NULL once the request is over */
  struct http_connection *peer;
  bool suspended, held, gone;
  enum http_state state;
  int status;
  const char *type;
  struct {
    const char *name, *value;
  } headers[HTTP_HEADERS];
  int header_count;
  struct text text;         /* a whole answer, or what of a stream has not been sent */
  const void *static_bytes; /* or this */
  size_t static_size, sent;
  bool stream, ended;
};

/* Gives libmicrohttpd the answer that stands: on its thread, without the exchange's lock, which libmicrohttpd's own are
 * taken before. */
enum MHD_Result http_queue(struct http_exchange *x);
/* Under the lock: there is something to send. */
void http_wake(struct http_exchange *x);
/* Under the lock: nobody answered, and nobody will: an empty 500. */
void http_give_up(struct http_exchange *x);
/* One reference less; frees with the last. */
void http_drop(struct http_exchange *x);

#endif

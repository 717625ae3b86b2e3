#define _GNU_SOURCE 1 /* SOCK_CLOEXEC */
#include "serve/http.h"

#include "core/log.h"
#include "serve/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  HEADER_BYTES = 32 << 10,
  EXCHANGE_BYTES = 16 << 10 /* of its first memory */,
  BACKLOG = 256,
  THREADS = 2,
  SENDING_SECONDS = 1 /* for answers that stand when the server stops */
};

/* ---- the request ------------------------------------------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x)
{
  return x->method;
}
const char *http_path(const struct http_exchange *x)
{
  return x->path;
}
const char *http_query(const struct http_exchange *x, const char *name)
{
  return microhttpd.lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}
const char *http_header(const struct http_exchange *x, const char *name)
{
  return microhttpd.lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}
const char *http_body(const struct http_exchange *x, size_t *n)
{
  *n = x->body.size;
  return x->body.size ? x->body.bytes : "";
}
const char *http_client(const struct http_exchange *x)
{
  return x->client;
}
struct arena *http_arena(const struct http_exchange *x)
{
  return x->arena;
}

/* ---- who may ask ---------------------------------------------------------------------------------------------------
 */

/* Takes the same time wherever they differ. */
static bool same_secret(const char *a, const char *b)
{
  size_t n = strlen(a), m = strlen(b);
  unsigned differ = n != m;
  for (size_t i = 0; i < n; i++) differ |= (unsigned)(unsigned char)a[i] ^ (unsigned char)b[m ? i % m : 0];
  return m && !differ;
}

/* The number of the key that the request shows, 0 where none is asked for, -1: none of them. */
static int key_number(const struct http_exchange *x)
{
  const struct http_options *o = &x->server->options;
  const char *shown = http_header(x, "Authorization");
  int found = -1;
  if (!o->key_count) return 0;
  if (!shown || strncasecmp(shown, "Bearer ", 7) != 0) return -1;
  for (size_t i = 0; i < o->key_count; i++)
    if (same_secret(shown + 7, o->keys[i])) found = (int)i;
  return found;
}

static void name_client(struct http_exchange *x, int key)
{
  char address[64] = "?";
  const union MHD_ConnectionInfo *info =
      microhttpd.get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info && info->client_addr) {
    socklen_t size =
        info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    getnameinfo(info->client_addr, size, address, sizeof address, NULL, 0, NI_NUMERICHOST);
  }
  snprintf(x->client, sizeof x->client, "%s/%d", address, key);
}

/* Whether a Host names this machine by an address or as localhost; without one (HTTP/1.0) there is no page behind it.
 */
static bool host_is_local(const char *host)
{
  static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
  if (!host) return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t n = strlen(names[i]);
    if (!strncasecmp(host, names[i], n) && (!host[n] || host[n] == ':')) return true;
  }
  size_t digits = strspn(host, "0123456789.");
  return !strncmp(host, "127.", 4) && (!host[digits] || host[digits] == ':');
}

/* ---- routes
 * ---------------------------------------------------------------------------------------------------------- */

static bool path_matches(const char *pattern, const char *path)
{
  size_t n = strlen(pattern);
  return n && pattern[n - 1] == '*' ? !strncmp(pattern, path, n - 1) : !strcmp(pattern, path);
}

/* The route, or NULL; *other: the methods that the path does have. */
static const struct http_route *find_route(const struct http_exchange *x, struct text *other)
{
  const struct http_options *o = &x->server->options;
  const char *method = !strcmp(x->method, "HEAD") ? "GET" : x->method;
  for (size_t i = 0; i < o->route_count; i++) {
    const struct http_route *r = &o->routes[i];
    if (!path_matches(r->path, x->path)) continue;
    if (!strcmp(r->method, method)) return r;
    text_printf(other, "%s%s", other->size ? ", " : "", r->method);
  }
  return NULL;
}

/* What speaks against the request before its body is read: answers it and says true. */
static bool refuse(struct http_exchange *x, struct text *methods)
{
  const struct http_options *o = &x->server->options;
  const struct http_route *route = find_route(x, methods);
  const char *length = http_header(x, "Content-Length");
  int key = key_number(x);
  name_client(x, key < 0 ? 0 : key);
  if (x->server->loopback && !host_is_local(http_header(x, "Host"))) {
    http_answer_error(x, 421, "invalid_request_error", NULL, "wrong_host",
                      "the Host is not of this machine; expected localhost or 127.0.0.1; start with --host to serve "
                      "other names");
  } else if (!route && methods->size) {
    http_put_header(x, "Allow", methods->bytes);
    http_answer_error(x, 405, "invalid_request_error", NULL, NULL, "%s takes %s, not %s", x->path, methods->bytes,
                      x->method);
  } else if (!route) {
    http_answer_error(x, 404, "invalid_request_error", NULL, "not_found", "there is no %.200s here", x->path);
  } else if (key < 0 && !(route->flags & HTTP_OPEN)) {
    http_put_header(x, "WWW-Authenticate", "Bearer");
    http_answer_error(x, 401, "authentication_error", NULL, "invalid_api_key",
                      "found no known API key; expected the header Authorization: Bearer KEY");
  } else if (length && strtoull(length, NULL, 10) > o->body_limit) {
    http_answer_error(x, 413, "invalid_request_error", NULL, "too_large",
                      "found a body of %.20s bytes; expected at most %zu", length, o->body_limit);
  } else {
    return false;
  }
  return true;
}

/* ---- an exchange from its head to its answer
 * ------------------------------------------------------------------------- */

/* What a connection is at, and in how many seconds (0: no matter) it must be over. */
static void set_exchange(struct http_server *s, struct http_connection *c, struct http_exchange *x, double seconds)
{
  if (!c) return;
  pthread_mutex_lock(&s->lock);
  c->exchange = x;
  c->deadline = seconds > 0 ? clock_seconds() + seconds : 0;
  pthread_mutex_unlock(&s->lock);
}

static bool is_stopping(struct http_server *s)
{
  pthread_mutex_lock(&s->lock);
  bool stopping = s->stopping;
  pthread_mutex_unlock(&s->lock);
  return stopping;
}

static struct http_exchange *open_exchange(struct http_server *s, struct MHD_Connection *connection, const char *method,
                                           const char *path)
{
  struct error err = {0};
  struct arena *a = arena_create("exchange", EXCHANGE_BYTES, &err);
  struct http_exchange *x = a ? ARENA_NEW(a, struct http_exchange, 1, "http", &err) : NULL;
  if (x) {
    *x = (struct http_exchange){.server = s, .arena = a, .connection = connection, .references = 1};
    x->method = arena_strdup(a, method, "http", &err);
    x->path = arena_strdup(a, path, "http", &err);
    x->start = clock_seconds();
  }
  if (!x || !x->method || !x->path || pthread_mutex_init(&x->lock, NULL)) {
    arena_destroy(a);
    return NULL;
  }
  const union MHD_ConnectionInfo *info = microhttpd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  x->peer = info ? info->socket_context : NULL;
  set_exchange(s, x->peer, x, s->options.request_seconds);
  return x;
}

/* Under the lock: whether the answer stands. From here on nobody writes to it but a stream, piece by piece. */
static bool take_answer(struct http_exchange *x)
{
  if (x->state != HTTP_ANSWERED) return false;
  x->state = HTTP_QUEUED;
  return true;
}

/* The whole request is there: calls its handler, and sends what it answered or waits. */
static enum MHD_Result handle(struct http_exchange *x)
{
  struct text methods = {0};
  set_exchange(x->server, x->peer, x, 0);
  x->state = HTTP_HANDLED;
  if (is_stopping(x->server)) {
    http_answer_error(x, 503, "server_error", NULL, "stopping", "the server is stopping");
  } else if (x->too_large) {
    http_answer_error(x, 413, "invalid_request_error", NULL, "too_large", "found a body of more than %zu bytes",
                      x->server->options.body_limit);
  } else {
    const struct http_route *route = find_route(x, &methods);
    route->handle(x->server->options.arg, x);
  }
  text_free(&methods);
  pthread_mutex_lock(&x->lock);
  if (x->state == HTTP_HANDLED && (!x->held || x->gone)) http_give_up(x);
  bool answered = take_answer(x);
  if (!answered) {
    x->suspended = true;
    microhttpd.suspend_connection(x->connection);
  }
  pthread_mutex_unlock(&x->lock);
  return answered ? http_queue(x) : MHD_YES;
}

static enum MHD_Result answer_late(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  bool answered = take_answer(x);
  pthread_mutex_unlock(&x->lock);
  return answered ? http_queue(x) : MHD_YES;
}

static enum http_state state_of(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  enum http_state state = x->state;
  pthread_mutex_unlock(&x->lock);
  return state;
}

/* Called by libmicrohttpd with the head, with each part of the body, at its end, and after a resumption. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *n, void **context)
{
  struct http_server *s = arg;
  struct http_exchange *x = *context;
  (void)version;
  if (!x) {
    x = *context = open_exchange(s, connection, method, path);
    if (!x) return MHD_NO;
    struct text methods = {0};
    bool refused = refuse(x, &methods);
    text_free(&methods);
    return refused ? answer_late(x) : MHD_YES;
  }
  enum http_state state = state_of(x);
  if (state == HTTP_QUEUED) {  // refused: the rest of the body goes nowhere
    *n = 0;
    return MHD_YES;
  }
  if (*n) {
    if (x->body.size + *n > s->options.body_limit) x->too_large = true;
    if (!x->too_large) text_add(&x->body, bytes, *n);
    *n = 0;
    return x->body.rc ? MHD_NO : MHD_YES;
  }
  return state == HTTP_READING ? handle(x) : answer_late(x);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
  struct http_server *s = arg;
  struct http_exchange *x = *context;
  (void)connection;
  if (!x) return;
  *context = NULL;
  set_exchange(s, x->peer, NULL, s->options.idle_seconds);
  pthread_mutex_lock(&x->lock);
  x->gone = true;
  x->connection = NULL;
  x->peer = NULL;
  pthread_mutex_unlock(&x->lock);
  bool whole = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
  if (s->options.done) s->options.done(s->options.arg, x, whole ? x->status : 0, clock_seconds() - x->start);
  http_drop(x);
}

/* ---- connections
 * ------------------------------------------------------------------------------------------------------ */

static void link_connection(struct http_server *s, struct MHD_Connection *connection, void **context)
{
  const union MHD_ConnectionInfo *info = microhttpd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  struct http_connection *c = memory_alloc(1, sizeof *c, "http", NULL);
  if (!c || !info) {
    memory_free(c);
    return;
  }
  int on = 1;
  *c = (struct http_connection){.fd = info->connect_fd, .deadline = clock_seconds() + s->options.request_seconds};
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  pthread_mutex_lock(&s->lock);
  c->next = s->connections;
  if (c->next) c->next->before = c;
  s->connections = c;
  pthread_mutex_unlock(&s->lock);
  *context = c;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
  struct http_server *s = arg;
  struct http_connection *c = *context;
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    link_connection(s, connection, context);
    return;
  }
  if (!c) return;
  pthread_mutex_lock(&s->lock);
  if (c->before)
    c->before->next = c->next;
  else
    s->connections = c->next;
  if (c->next) c->next->before = c->before;
  pthread_mutex_unlock(&s->lock);
  memory_free(c);
  *context = NULL;
}

/* Looks at the deadlines four times a second: a request that comes drop by drop is active, so libmicrohttpd's own
 * time-out never ends it. */
static void *run_clock(void *arg)
{
  struct http_server *s = arg;
  pthread_mutex_lock(&s->lock);
  while (!s->stopping) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 250000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&s->wake, &s->lock, &until);
    double now = clock_seconds();
    for (struct http_connection *c = s->connections; c; c = c->next)
      if (c->deadline > 0 && c->deadline < now) shutdown(c->fd, SHUT_RDWR);
  }
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* ---- starting and stopping
 * ---------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *a)
{
  if (a->sa_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
  return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int open_socket(const struct addrinfo *at)
{
  int on = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!bind(fd, at->ai_addr, at->ai_addrlen) && !listen(fd, BACKLOG)) return fd;
  int kept = errno;
  close(fd);
  errno = kept;
  return -1;
}

static int read_port(struct http_server *s, const char *host)
{
  struct sockaddr_storage at = {0};
  socklen_t size = sizeof at;
  if (getsockname(s->listen_fd, (struct sockaddr *)&at, &size)) return 0;
  bool six = at.ss_family == AF_INET6;
  s->port =
      ntohs(six ? ((struct sockaddr_in6 *)(void *)&at)->sin6_port : ((struct sockaddr_in *)(void *)&at)->sin_port);
  snprintf(s->url, sizeof s->url, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, s->port);
  return s->port;
}

static int listen_at(struct http_server *s, struct error *err)
{
  const char *host = s->options.host;
  char port[16];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
  snprintf(port, sizeof port, "%d", s->options.port);
  int failed = getaddrinfo(host, port, &hints, &found);
  if (failed)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--host", "found host \"%s\": %s; expected an address of this machine", host,
            gai_strerror(failed));
  s->listen_fd = open_socket(found);
  s->loopback = is_loopback(found->ai_addr);
  int why = errno;
  freeaddrinfo(found);
  if (s->listen_fd < 0)
    FAIL(err, ERROR_RESOURCE,
         "cannot listen on %s port %s: %s; expected a free port of this machine; give another --port", host, port,
         strerror(why));
  read_port(s, host);
  return 0;
}

static int start_daemon(struct http_server *s, struct error *err)
{
  const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME;
  const struct http_options *o = &s->options;
  s->daemon = microhttpd.start_daemon(
      flags, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
      on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)o->connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
      (unsigned)o->idle_seconds + 1, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_END);
  if (!s->daemon) FAIL(err, ERROR_RESOURCE, "the HTTP server could not be started: %s", strerror(errno));
  return 0;
}

static void close_server(void *arg)
{
  http_stop(arg);
}

int http_start(struct arena *a, const struct http_options *o, struct http_server **out, struct error *err)
{
  TRY(microhttpd_open(err));
  struct http_server *s = ARENA_NEW(a, struct http_server, 1, "http", err);
  if (!s) return err->code;
  s->options = *o;
  s->listen_fd = -1;
  if (!o->host) s->options.host = "127.0.0.1";
  if (!o->body_limit) s->options.body_limit = 1 << 20;
  if (!o->connections) s->options.connections = 512;
  if (!(o->request_seconds > 0)) s->options.request_seconds = 30;
  if (!(o->idle_seconds > 0)) s->options.idle_seconds = 60;
  if (pthread_mutex_init(&s->lock, NULL) || pthread_cond_init(&s->wake, NULL))
    FAIL(err, ERROR_RESOURCE, "no memory for the HTTP server's locks");
  TRY(arena_on_reset(a, close_server, s, err));
  TRY(listen_at(s, err));
  TRY(start_daemon(s, err));
  if (pthread_create(&s->clock, NULL, run_clock, s)) FAIL(err, ERROR_RESOURCE, "no thread for the HTTP server's clock");
  s->clock_runs = true;
  *out = s;
  return 0;
}

int http_port(const struct http_server *s)
{
  return s->port;
}
const char *http_url(const struct http_server *s)
{
  return s->url;
}

void http_quiesce(struct http_server *s)
{
  if (!s->daemon) return;
  int fd = microhttpd.quiesce_daemon(s->daemon);
  if (fd >= 0) close(fd);
  s->listen_fd = -1;
}

/* Nothing may be suspended when libmicrohttpd stops. */
static void break_off(struct http_server *s)
{
  pthread_mutex_lock(&s->lock);
  for (struct http_connection *c = s->connections; c; c = c->next) {
    struct http_exchange *x = c->exchange;
    if (!x) continue;
    pthread_mutex_lock(&x->lock);
    x->gone = true;
    if (x->state == HTTP_HANDLED && x->suspended) http_give_up(x);
    http_wake(x);
    pthread_mutex_unlock(&x->lock);
  }
  pthread_mutex_unlock(&s->lock);
}

/* Is an answer that stands whole still on its way? */
static bool is_sending(struct http_server *s)
{
  bool sending = false;
  pthread_mutex_lock(&s->lock);
  for (struct http_connection *c = s->connections; c; c = c->next) {
    struct http_exchange *x = c->exchange;
    if (!x) continue;
    pthread_mutex_lock(&x->lock);
    sending = sending || (x->state >= HTTP_ANSWERED && (!x->stream || x->ended) && !x->gone);
    pthread_mutex_unlock(&x->lock);
  }
  pthread_mutex_unlock(&s->lock);
  return sending;
}

/* libmicrohttpd drops what it has not sent when it stops. */
static void send_answers(struct http_server *s)
{
  const double end = clock_seconds() + SENDING_SECONDS;
  while (is_sending(s) && clock_seconds() < end) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

void http_stop(struct http_server *s)
{
  if (s->stopped) return;
  s->stopped = true;
  http_quiesce(s);
  send_answers(s);
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  pthread_cond_signal(&s->wake);
  pthread_mutex_unlock(&s->lock);
  if (s->clock_runs) pthread_join(s->clock, NULL);
  break_off(s);
  if (s->daemon)
    microhttpd.stop_daemon(s->daemon);
  else if (s->listen_fd >= 0)
    close(s->listen_fd);
  pthread_cond_destroy(&s->wake);
  pthread_mutex_destroy(&s->lock);
}

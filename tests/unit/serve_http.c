/* The HTTP layer against clients that behave and clients that do not. */
#include "check.h"

#include "core/log.h"
#include "serve/http.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct arena *arena;
static struct http_server *server;
static struct http_exchange *held; /* by /later and /stream */
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static int done_count;

/* ---- the server under test --------------------------------------------------------------------------------------- */

static void hello(void *arg, struct http_exchange *x)
{
  (void)arg;
  http_answer_static(x, 200, "text/plain", "hello\n", 6);
}

static void echo(void *arg, struct http_exchange *x)
{
  struct text t = {0};
  size_t n;
  const char *body = http_body(x, &n), *name = http_query(x, "name");
  (void)arg;
  text_printf(&t, "%s %s %s %zu ", http_method(x), http_path(x), name ? name : "-", n);
  text_add(&t, body, n);
  http_put_header(x, "X-Echo", "yes");
  http_answer(x, 200, "text/plain", &t);
}

static void keep(void *arg, struct http_exchange *x)
{
  (void)arg;
  http_hold(x);
  if (!strcmp(http_path(x), "/stream")) http_stream_start(x, 200, "text/event-stream");
  pthread_mutex_lock(&held_lock);
  held = x;
  pthread_mutex_unlock(&held_lock);
}

static void silent(void *arg, struct http_exchange *x)
{
  (void)arg;
  (void)x;
}

static void refuse(void *arg, struct http_exchange *x)
{
  struct error e = {0};
  (void)arg;
  error_fail(&e, ERROR_INPUT, NULL, 0, "n", "found 0; expected \"1\" or more");
  http_answer_failure(x, &e);
}

static void count_done(void *arg, const struct http_exchange *x, int status, double seconds)
{
  (void)arg;
  (void)x;
  (void)status;
  (void)seconds;
  __atomic_add_fetch(&done_count, 1, __ATOMIC_SEQ_CST);
}

static const struct http_route ROUTES[] = {{"GET", "/hello", HTTP_OPEN, hello}, {"POST", "/echo", 0, echo},
                                           {"GET", "/files/*", 0, echo},        {"GET", "/later", 0, keep},
                                           {"GET", "/stream", 0, keep},         {"GET", "/silent", 0, silent},
                                           {"GET", "/refuse", 0, refuse}};

static int start(void **state)
{
  static const char *const keys[] = {"first", "second key"};
  struct error err = {0};
  (void)state;
  arena = arena_create("test", 0, &err);
  struct http_options o = {.port = 0,
                           .routes = ROUTES,
                           .route_count = sizeof ROUTES / sizeof *ROUTES,
                           .keys = keys,
                           .key_count = 2,
                           .body_limit = 1000,
                           .request_seconds = 1,
                           .idle_seconds = 2,
                           .done = count_done};
  CHECK_OK(http_start(arena, &o, &server, &err), &err);
  return 0;
}

static int stop(void **state)
{
  (void)state;
  http_stop(server);
  arena_destroy(arena);
  return 0;
}

/* ---- a client
 * -------------------------------------------------------------------------------------------------------- */

/* room: bytes that may lie in the socket unread; 0: as many as the system likes */
static int dial_with(int room)
{
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (room) CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_port(server))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_INT(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
  return fd;
}

static int dial(void)
{
  return dial_with(0);
}

static void say(int fd, const char *text)
{
  for (size_t n = strlen(text), at = 0; at < n;) {
    ssize_t done = send(fd, text + at, n - at, MSG_NOSIGNAL);
    if (done <= 0) return;  // hung up on: what it said before is still there to read
    at += (size_t)done;
  }
}

/* Reads until `until` stands in what came (NULL: until the other side closes), at most some seconds. */
static const char *hear(int fd, const char *until)
{
  static char got[1 << 16];
  size_t n = 0;
  double end = clock_seconds() + 8;
  got[0] = '\0';
  while (clock_seconds() < end && n < sizeof got - 1) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 100) <= 0) continue;
    ssize_t r = recv(fd, got + n, sizeof got - 1 - n, 0);
    if (r <= 0) return got;
    n += (size_t)r;
    got[n] = '\0';
    if (until && strstr(got, until)) return got;
  }
  fail_msg("no answer in time; so far \"%.300s\"", got);
  return got;
}

#define KEY "Authorization: Bearer second key\r\n"

static const char *ask(const char *request)
{
  int fd = dial();
  say(fd, request);
  const char *answer = hear(fd, NULL);
  close(fd);
  return answer;
}

#define EXPECT(answer, status, part)                                                                \
  do {                                                                                              \
    const char *answer_ = (answer);                                                                 \
    if (strncmp(answer_, "HTTP/1.1 " status, strlen("HTTP/1.1 " status)) || !strstr(answer_, part)) \
      fail_msg("got \"%.600s\", want %s with \"%s\"", answer_, status, part);                       \
  } while (0)

static struct http_exchange *wait_held(void)
{
  struct http_exchange *x = NULL;
  for (int i = 0; i < 500 && !x; i++) {
    pthread_mutex_lock(&held_lock);
    x = held;
    held = NULL;
    pthread_mutex_unlock(&held_lock);
    if (!x) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  CHECK(x != NULL);
  return x;
}

static bool wait_gone(struct http_exchange *x)
{
  for (int i = 0; i < 300; i++) {
    if (http_gone(x)) return true;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return false;
}

/* ---- tests
 * ------------------------------------------------------------------------------------------------------------ */

#define END "Connection: close\r\n\r\n"

static void routes(void **state)
{
  (void)state;
  EXPECT(ask("GET /hello HTTP/1.1\r\nHost: localhost\r\n" END), "200", "\r\n\r\nhello\n");
  EXPECT(ask("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n" END), "200", "Content-Length: 6");
  CHECK(!strstr(ask("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n" END), "hello"));
  EXPECT(ask("GET /files/a%20b?name=x%26y HTTP/1.1\r\nHost: 127.0.0.1:80\r\n" KEY END), "200", "GET /files/a b x&y 0 ");
  EXPECT(ask("POST /echo HTTP/1.1\r\nHost: [::1]:1\r\n" KEY "Content-Length: 3\r\n" END "abc"), "200",
         "POST /echo - 3 abc");
  EXPECT(ask("POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Transfer-Encoding: chunked\r\n" END
             "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
         "200", "POST /echo - 3 abc");
  EXPECT(ask("GET /none HTTP/1.1\r\nHost: localhost\r\n" KEY END), "404", "\"code\": \"not_found\"");
  EXPECT(ask("GET /echo HTTP/1.1\r\nHost: localhost\r\n" KEY END), "405", "Allow: POST");
  EXPECT(ask("GET /silent HTTP/1.1\r\nHost: localhost\r\n" KEY END), "500", "");
  EXPECT(ask("GET /refuse HTTP/1.1\r\nHost: localhost\r\n" KEY END), "400",
         "{\"error\": {\"message\": \"n: found 0; expected \\\"1\\\" or more\", \"type\": \"invalid_request_error\", "
         "\"param\": \"n\", \"code\": null}}");
  // several requests on one connection
  int fd = dial();
  say(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\nGET /files/2 HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  EXPECT(hear(fd, "/files/2"), "200", "hello\n");
  close(fd);
}

static void who_may_ask(void **state)
{
  (void)state;
  EXPECT(ask("GET /later HTTP/1.1\r\nHost: localhost\r\n" END), "401", "WWW-Authenticate: Bearer");
  EXPECT(ask("GET /later HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer firs\r\n" END), "401", "invalid_api_key");
  EXPECT(ask("GET /later HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \r\n" END), "401", "invalid_api_key");
  EXPECT(ask("GET /files/ HTTP/1.1\r\nHost: localhost\r\nauthorization: bearer first\r\n" END), "200", "GET /files/");
  EXPECT(ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\n" END), "421", "wrong_host");
  EXPECT(ask("GET /hello HTTP/1.1\r\nHost: localhost.evil.example\r\n" END), "421", "wrong_host");
  EXPECT(ask("GET /hello HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n" END), "421", "wrong_host");
}

static void too_much(void **state)
{
  (void)state;
  static char big[80000];
  EXPECT(ask("POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: 1001\r\n" END), "413", "too_large");
  EXPECT(ask("POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: 99999999999999999999999\r\n" END), "413",
         "");
  int n =
      snprintf(big, sizeof big, "POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Transfer-Encoding: chunked\r\n" END);
  for (int i = 0; i < 20; i++) n += snprintf(big + n, sizeof big - (size_t)n, "64\r\n%0100d\r\n", i);
  snprintf(big + n, sizeof big - (size_t)n, "0\r\n\r\n");
  EXPECT(ask(big), "413", "too_large");
  memset(big, 'a', sizeof big - 1);
  memcpy(big, "GET /hello HTTP/1.1\r\nX: ", 24);
  EXPECT(ask(big), "4", "");  // 431, or 400 where the whole head does not fit
}

static void malformed(void **state)
{
  static const char *const requests[] = {"\r\n\r\n\r\n",
                                         "GET\r\n\r\n",
                                         "POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: -1\r\n\r\n",
                                         "POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: x\r\n\r\n",
                                         "POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY
                                         "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                                         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                         "GET /hello HTTP/9.9\r\nHost: localhost\r\nConnection: close\r\n\r\n"};
  (void)state;
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
    int fd = dial();
    say(fd, requests[i]);
    shutdown(fd, SHUT_WR);
    const char *answer = hear(fd, NULL);
    if (*answer && strncmp(answer, "HTTP/1.1 4", 10) && strncmp(answer, "HTTP/1.1 5", 10))
      fail_msg("request %zu: got \"%.200s\"", i, answer);
    close(fd);
  }
  EXPECT(ask("GET /hello HTTP/1.1\r\nHost: localhost\r\n" END), "200", "hello");
}

/* A head, and a body, that come a byte at a time are cut off, however alive the client looks. */
static void slow_client(void **state)
{
  static const char *const starts[] = {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
                                       "POST /echo HTTP/1.1\r\nHost: localhost\r\n" KEY "Content-Length: 900\r\n\r\n"};
  (void)state;
  for (int i = 0; i < 2; i++) {
    int fd = dial();
    double begin = clock_seconds();
    bool closed = false;
    say(fd, starts[i]);
    while (!closed && clock_seconds() < begin + 5) {
      struct pollfd p = {.fd = fd, .events = POLLIN};
      say(fd, "a");
      char byte;
      closed = poll(&p, 1, 50) > 0 && recv(fd, &byte, 1, 0) <= 0;
    }
    CHECK(closed);
    CHECK(clock_seconds() - begin > 0.5);
    close(fd);
  }
}

static void later(void **state)
{
  (void)state;
  int fd = dial();
  say(fd, "GET /later HTTP/1.1\r\nHost: localhost\r\n" KEY END);
  struct http_exchange *x = wait_held();
  CHECK_STR(http_client(x), "127.0.0.1/1");
  CHECK(!http_gone(x));
  struct text t = {0};
  text_puts(&t, "at last");
  http_answer(x, 200, "text/plain", &t);
  http_release(x);
  EXPECT(hear(fd, NULL), "200", "at last");
  close(fd);
  // a holder that lets go without an answer
  fd = dial();
  say(fd, "GET /later HTTP/1.1\r\nHost: localhost\r\n" KEY END);
  http_release(wait_held());
  EXPECT(hear(fd, NULL), "500", "");
  close(fd);
}

static void streams(void **state)
{
  (void)state;
  int fd = dial();
  say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  struct http_exchange *x = wait_held();
  CHECK(http_stream_write(x, "data: 1\n\n", 9));
  EXPECT(hear(fd, "data: 1\n\n"), "200", "Transfer-Encoding: chunked");
  CHECK(http_stream_write(x, "data: 2\n\n", 9));
  CHECK(strstr(hear(fd, "data: 2\n\n"), "data: 2"));
  http_stream_end(x);
  http_release(x);
  CHECK(strstr(hear(fd, "0\r\n\r\n"), "0\r\n\r\n"));
  // the connection goes on
  say(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT(hear(fd, "hello"), "200", "hello");
  close(fd);
  // one that is dropped halfway ends without the last chunk
  fd = dial();
  say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  x = wait_held();
  CHECK(http_stream_write(x, "half", 4));
  http_release(x);
  CHECK(!strstr(hear(fd, NULL), "\r\n0\r\n\r\n"));
  close(fd);
}

static void clients_that_leave(void **state)
{
  (void)state;
  // while it waits, closed and half-closed
  for (int half = 0; half < 2; half++) {
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\nHost: localhost\r\n" KEY END);
    struct http_exchange *x = wait_held();
    CHECK(!http_gone(x));
    half ? shutdown(fd, SHUT_WR) : close(fd);
    CHECK(wait_gone(x));
    http_release(x);
    if (half) close(fd);
  }
  // one that never reads its stream
  int fd = dial();
  say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  struct http_exchange *x = wait_held();
  static char block[1 << 16];
  int blocks = 0;
  while (blocks < 10000 && http_stream_write(x, block, sizeof block)) blocks++;
  CHECK(blocks > 10);
  CHECK(blocks < 10000);
  CHECK(http_gone(x));
  http_release(x);
  close(fd);
}

static void start_errors(void **state)
{
  struct error err = {0};
  struct http_server *other;
  struct arena *a = arena_create("test", 0, &err);
  (void)state;
  struct http_options o = {.port = http_port(server)};
  CHECK_ERROR(http_start(a, &o, &other, &err), &err, ERROR_RESOURCE, "give another --port");
  error_clear(&err);
  o.host = "no.such.host.invalid";
  CHECK_ERROR(http_start(a, &o, &other, &err), &err, ERROR_INPUT, "expected an address of this machine");
  arena_destroy(a);
}

struct reader {
  int fd;
  size_t bytes;
  char last[8];
};

/* To the end. */
static void *read_on(void *arg)
{
  struct reader *r = arg;
  char got[sizeof r->last - 1 + (64 << 10)] = {0};
  const size_t kept = sizeof r->last - 1;
  for (ssize_t n; (n = recv(r->fd, got + kept, sizeof got - kept, 0)) > 0; r->bytes += (size_t)n)
    memmove(got, got + n, kept);
  memcpy(r->last, got, kept);
  return NULL;
}

/* Stopping sends what has been answered to its end; it breaks off what is held and what streams, and the holders see
 * it. */
static void stopping(void **state)
{
  (void)state;
  int waits = dial(), reads = dial(), ends = dial_with(4096);
  say(waits, "GET /later HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  struct http_exchange *x = wait_held();
  say(reads, "GET /stream HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  struct http_exchange *y = wait_held();
  CHECK(http_stream_write(y, "data", 4));
  say(ends, "GET /stream HTTP/1.1\r\nHost: localhost\r\n" KEY "\r\n");
  struct http_exchange *z = wait_held();
  static char words[1 << 20]; /* more than lies between two programs: it takes its reader's time */
  memset(words, 'w', sizeof words);
  CHECK(http_stream_write(z, words, sizeof words));
  http_stream_end(z);
  http_release(z);
  struct reader reader = {.fd = ends};
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, read_on, &reader), 0);
  http_stop(server);
  pthread_join(thread, NULL);
  CHECK(reader.bytes > sizeof words);
  CHECK_STR(reader.last, "\r\n0\r\n\r\n");
  close(ends);
  CHECK(http_gone(x));
  CHECK(http_gone(y));
  CHECK(!http_stream_write(y, "more", 4));
  http_answer_error(x, 503, "server_error", NULL, NULL, "too late");
  http_release(x);
  http_release(y);
  close(waits);
  close(reads);
  CHECK(__atomic_load_n(&done_count, __ATOMIC_SEQ_CST) > 20);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(routes),       cmocka_unit_test(who_may_ask),
                                     cmocka_unit_test(too_much),     cmocka_unit_test(malformed),
                                     cmocka_unit_test(slow_client),  cmocka_unit_test(later),
                                     cmocka_unit_test(streams),      cmocka_unit_test(clients_that_leave),
                                     cmocka_unit_test(start_errors), cmocka_unit_test(stopping)};
  return cmocka_run_group_tests(tests, start, stop);
}

#define _GNU_SOURCE 1 /* POLLRDHUP */
#include "serve/http_internal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ---- waking libmicrohttpd ---------------------------------------------------------------------------------------- */

void http_wake(struct http_exchange *x)
{
  if (!x->suspended || !x->connection) return;
  x->suspended = false;
  microhttpd.resume_connection(x->connection);
}

void http_give_up(struct http_exchange *x)
{
  x->state = HTTP_ANSWERED;
  x->status = 500;
  x->type = "text/plain";
}

void http_drop(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  int left = --x->references;
  pthread_mutex_unlock(&x->lock);
  if (left) return;
  text_free(&x->body);
  text_free(&x->text);
  pthread_mutex_destroy(&x->lock);
  arena_destroy(x->arena);
}

void http_hold(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  x->held = true;
  x->references++;
  pthread_mutex_unlock(&x->lock);
}

void http_release(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  // who lets go without an answer leaves nobody waiting
  if (x->state == HTTP_HANDLED) http_give_up(x);
  if (x->stream && !x->ended) x->gone = true;
  http_wake(x);
  pthread_mutex_unlock(&x->lock);
  http_drop(x);
}

/* ---- what libmicrohttpd sends --------------------------------------------------------------------------------------
 */

/* The next bytes of a stream; suspends the connection while there are none. */
static ssize_t read_stream(void *arg, uint64_t position, char *to, size_t room)
{
  struct http_exchange *x = arg;
  ssize_t result = 0;
  (void)position;
  pthread_mutex_lock(&x->lock);
  size_t left = x->text.size - x->sent, n = left < room ? left : room;
  if (n) {
    memcpy(to, x->text.bytes + x->sent, n);
    x->sent += n;
    if (x->sent == x->text.size) {
      text_clear(&x->text);
      x->sent = 0;
    }
    result = (ssize_t)n;
  } else if (x->ended) {
    result = MHD_CONTENT_READER_END_OF_STREAM;
  } else if (x->gone) {
    result = MHD_CONTENT_READER_END_WITH_ERROR;
  } else {
    x->suspended = true;
    microhttpd.suspend_connection(x->connection);
  }
  pthread_mutex_unlock(&x->lock);
  return result;
}

static struct MHD_Response *make_response(struct http_exchange *x)
{
  if (x->stream) return microhttpd.create_response_from_callback(MHD_SIZE_UNKNOWN, 1 << 14, read_stream, x, NULL);
  const void *bytes = x->static_bytes ? x->static_bytes : x->text.bytes ? x->text.bytes : "";
  size_t n = x->static_bytes ? x->static_size : x->text.size;
  return microhttpd.create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT);
}

enum MHD_Result http_queue(struct http_exchange *x)
{
  struct MHD_Response *r = make_response(x);
  if (!r) return MHD_NO;
  microhttpd.add_response_header(r, "Content-Type", x->type);
  microhttpd.add_response_header(r, "X-Content-Type-Options", "nosniff");
  for (int i = 0; i < x->header_count; i++) microhttpd.add_response_header(r, x->headers[i].name, x->headers[i].value);
  enum MHD_Result queued = microhttpd.queue_response(x->connection, (unsigned)x->status, r);
  microhttpd.destroy_response(r);
  return queued;
}

/* ---- answering -----------------------------------------------------------------------------------------------------
 */

void http_put_header(struct http_exchange *x, const char *name, const char *value)
{
  struct error ignored = {0};
  pthread_mutex_lock(&x->lock);
  const char *n = arena_strdup(x->arena, name, "http", &ignored);
  const char *v = n ? arena_strdup(x->arena, value, "http", &ignored) : NULL;
  if (v && x->header_count < HTTP_HEADERS) {
    x->headers[x->header_count].name = n;
    x->headers[x->header_count++].value = v;
  }
  pthread_mutex_unlock(&x->lock);
}

/* Under the lock. false: the server has given up on the exchange, and what stands in it is being sent. */
static bool may_answer(const struct http_exchange *x)
{
  bool open = x->state == HTTP_HANDLED || x->state == HTTP_READING;
  ASSAY_BUG_IF(!open && !x->gone);
  return open;
}

static void settle(struct http_exchange *x, int status, const char *type)
{
  x->state = HTTP_ANSWERED;
  x->status = status;
  x->type = type;
  http_wake(x);
}

void http_answer(struct http_exchange *x, int status, const char *type, struct text *body)
{
  static const char FAILED[] = "{\"error\": {\"message\": \"no memory for the answer\", \"type\": \"server_error\"}}";
  if (body->rc) {
    text_free(body);
    http_answer_static(x, 500, "application/json", FAILED, sizeof FAILED - 1);
    return;
  }
  pthread_mutex_lock(&x->lock);
  if (may_answer(x)) {
    x->text = *body;
    *body = (struct text){0};
    settle(x, status, type);
  }
  pthread_mutex_unlock(&x->lock);
  text_free(body);
}

void http_answer_static(struct http_exchange *x, int status, const char *type, const void *bytes, size_t n)
{
  pthread_mutex_lock(&x->lock);
  if (may_answer(x)) {
    x->static_bytes = bytes;
    x->static_size = n;
    settle(x, status, type);
  }
  pthread_mutex_unlock(&x->lock);
}

static void put_member(struct text *t, const char *name, const char *value)
{
  text_printf(t, ", \"%s\": ", name);
  if (value && *value)
    json_put_string(t, value, strlen(value));
  else
    text_puts(t, "null");
}

void http_answer_error(struct http_exchange *x, int status, const char *type, const char *param, const char *code,
                       const char *fmt, ...)
{
  char message[1200];
  va_list args;
  struct text t = {0};
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  text_puts(&t, "{\"error\": {\"message\": ");
  json_put_string(&t, message, strlen(message));
  put_member(&t, "type", type);
  put_member(&t, "param", param);
  put_member(&t, "code", code);
  text_puts(&t, "}}\n");
  http_answer(x, status, "application/json", &t);
}

void http_answer_failure(struct http_exchange *x, const struct error *e)
{
  bool input = e->code == ERROR_INPUT, lacking = e->code == ERROR_RESOURCE;
  http_answer_error(x,
                    input     ? 400
                    : lacking ? 503
                              : 500,
                    input ? "invalid_request_error" : "server_error", e->key, NULL, "%s%s%s", e->key,
                    *e->key ? ": " : "", e->message);
}

/* ---- streams -------------------------------------------------------------------------------------------------------
 */

void http_stream_start(struct http_exchange *x, int status, const char *type)
{
  http_put_header(x, "Cache-Control", "no-cache");
  pthread_mutex_lock(&x->lock);
  if (may_answer(x)) {
    x->stream = true;
    settle(x, status, type);
  }
  pthread_mutex_unlock(&x->lock);
}

bool http_stream_write(struct http_exchange *x, const void *bytes, size_t n)
{
  pthread_mutex_lock(&x->lock);
  if (x->text.size - x->sent + n > HTTP_STREAM_UNREAD) x->gone = true;
  if (!x->gone) {
    text_add(&x->text, bytes, n);
    if (x->text.rc) x->gone = true;
  }
  bool read = !x->gone;
  http_wake(x);
  pthread_mutex_unlock(&x->lock);
  return read;
}

void http_stream_end(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  x->ended = true;
  http_wake(x);
  pthread_mutex_unlock(&x->lock);
}

bool http_gone(struct http_exchange *x)
{
  pthread_mutex_lock(&x->lock);
  if (!x->gone && x->connection) {
    // a suspended connection is not looked at by libmicrohttpd
    struct pollfd p = {.fd = x->peer ? x->peer->fd : -1, .events = POLLRDHUP};
    if (p.fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR))) {
      x->gone = true;
      http_wake(x);
    }
  }
  bool gone = x->gone;
  pthread_mutex_unlock(&x->lock);
  return gone;
}

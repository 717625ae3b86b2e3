/* A judge for tests: an HTTP server on the loopback that answers question i by step i of a script (the last step for
 * all that follow), each connection on a thread of its own. */
#ifndef ASSAY_TESTS_UNIT_JUDGE_SERVER_H
#define ASSAY_TESTS_UNIT_JUDGE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/json.h"

struct step {
  int status;           /* 0: 200 */
  const char *content;  /* the judge's words, put into an answer as servers give it; NULL: body stands by itself */
  const char *logprobs; /* JSON of choices[0].logprobs, or NULL */
  const char *finish;   /* finish_reason; NULL: "stop" */
  const char *body;
  const char *headers; /* further lines, each ended by \r\n, or NULL */
  int delay_ms;
  size_t cut; /* bytes of the body that are never sent */
};

enum { CONNECTIONS = 512, REQUEST = 1 << 18 };

struct server {
  int fd, port;
  pthread_t acceptor, threads[CONNECTIONS];
  int fds[CONNECTIONS];
  pthread_mutex_t lock; /* guards what follows */
  int connections;
  const struct step *steps;
  int step_count, asked, now, most; /* questions: so far, under way, most at a time */
  bool stopping;
  char last[REQUEST], first[REQUEST]; /* requests, with their headers */
};

struct connection {
  struct server *server;
  int fd;
};

static void server_sleep(struct server *s, int ms)
{
  for (bool stop = false; ms > 0 && !stop; ms -= 10) {
    nanosleep(&(struct timespec){.tv_nsec = ms < 10 ? ms * 1000000L : 10000000L}, NULL);
    pthread_mutex_lock(&s->lock);
    stop = s->stopping;
    pthread_mutex_unlock(&s->lock);
  }
}

static void server_send(int fd, const char *bytes, size_t n)
{
  while (n) {
    ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
    if (done <= 0) return;
    bytes += done;
    n -= (size_t)done;
  }
}

/* One request with its body; false: the connection ends. */
static bool server_read(int fd, char *request)
{
  size_t n = 0, body = 0;
  const char *end = NULL;
  while (!end || n < (size_t)(end - request) + body) {
    ssize_t got = n < REQUEST - 1 ? recv(fd, request + n, REQUEST - 1 - n, 0) : 0;
    if (got <= 0) return false;
    request[n += (size_t)got] = 0;
    if (end || !(end = strstr(request, "\r\n\r\n"))) continue;
    end += 4;
    const char *length = strcasestr(request, "content-length:");
    body = length ? (size_t)strtoul(length + 15, NULL, 10) : 0;
  }
  return true;
}

/* The answer's head and body, one behind the other, without what is cut off. */
static void server_put(const struct step *step, struct text *out)
{
  struct text body = {0};
  if (step->content) {
    text_puts(&body,
              "{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
              "\"assistant\",\"content\":");
    json_put_string(&body, step->content, strlen(step->content));
    text_printf(&body, "},\"logprobs\":%s,\"finish_reason\":\"%s\"}]}", step->logprobs ? step->logprobs : "null",
                step->finish ? step->finish : "stop");
  } else
    text_puts(&body, step->body ? step->body : "");
  text_printf(out, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
              step->status ? step->status : 200, body.size, step->headers ? step->headers : "");
  text_add(out, body.bytes, body.size - step->cut);
  text_free(&body);
}

/* The script is looked at under the lock alone, so that a test may let go of it when it has its answer. */
static void *server_talk(void *arg)
{
  struct connection *c = arg;
  struct server *s = c->server;
  char *request = memory_alloc(REQUEST, 1, "test", NULL);
  for (bool more = true; more && server_read(c->fd, request);) {
    struct text answer = {0};
    pthread_mutex_lock(&s->lock);
    const struct step *step = &s->steps[s->asked < s->step_count ? s->asked : s->step_count - 1];
    int delay = step->delay_ms;
    more = !step->cut;
    memcpy(s->asked ? s->last : s->first, request, REQUEST);
    s->asked++;
    if (++s->now > s->most) s->most = s->now;
    server_put(step, &answer);
    pthread_mutex_unlock(&s->lock);
    server_sleep(s, delay);
    pthread_mutex_lock(&s->lock);
    s->now--;
    pthread_mutex_unlock(&s->lock);
    server_send(c->fd, answer.bytes, answer.size);
    text_free(&answer);
  }
  shutdown(c->fd, SHUT_RDWR);
  memory_free(request);
  memory_free(c);
  return NULL;
}

static void *server_accept(void *arg)
{
  struct server *s = arg;
  for (;;) {
    int fd = accept(s->fd, NULL, NULL);
    if (fd < 0) return NULL;
    struct connection *c = memory_alloc(1, sizeof *c, "test", NULL);
    *c = (struct connection){s, fd};
    pthread_mutex_lock(&s->lock);
    bool good = s->connections < CONNECTIONS && !pthread_create(&s->threads[s->connections], NULL, server_talk, c);
    s->fds[s->connections] = fd;
    s->connections += good;
    pthread_mutex_unlock(&s->lock);
    if (!good) abort();
  }
}

static struct server *server_start(const struct step *steps, int count)
{
  struct server *s = memory_alloc(1, sizeof *s, "test", NULL);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  s->steps = steps;
  s->step_count = count;
  pthread_mutex_init(&s->lock, NULL);
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(s->fd, (struct sockaddr *)&at, size) || listen(s->fd, 128) ||
      getsockname(s->fd, (struct sockaddr *)&at, &size) || pthread_create(&s->acceptor, NULL, server_accept, s))
    abort();
  s->port = ntohs(at.sin_port);
  return s;
}

/* Another script from here on. */
static void server_script(struct server *s, const struct step *steps, int count)
{
  pthread_mutex_lock(&s->lock);
  s->steps = steps;
  s->step_count = count;
  s->asked = s->most = 0;
  pthread_mutex_unlock(&s->lock);
}

static int server_asked(struct server *s)
{
  pthread_mutex_lock(&s->lock);
  int asked = s->asked;
  pthread_mutex_unlock(&s->lock);
  return asked;
}

static void server_stop(struct server *s)
{
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  for (int i = 0; i < s->connections; i++) shutdown(s->fds[i], SHUT_RDWR);
  pthread_mutex_unlock(&s->lock);
  shutdown(s->fd, SHUT_RDWR);
  pthread_join(s->acceptor, NULL);
  for (int i = 0; i < s->connections; i++) {
    shutdown(s->fds[i], SHUT_RDWR);
    pthread_join(s->threads[i], NULL);
    close(s->fds[i]);
  }
  close(s->fd);
  pthread_mutex_destroy(&s->lock);
  memory_free(s);
}

#endif

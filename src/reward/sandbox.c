/* Jobs of a sandbox, and the pool. */
#include "reward/sandbox.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/json.h"
#include "core/log.h"
#include "reward/sandbox_internal.h"

enum {
  JOB_WORDS = 8,
  DONE_WORDS = 5,
  ERRORS_KEPT = 2048,
  MEMORY_SLACK_MIB = 64, /* the worker and its modules */
  CHUNK = 1 << 16
};
static const double start_limit = 30, watch_every = 0.1, worker_grace = 5;

struct sandbox {
  struct sandbox_pool *pool;
  struct sandbox_process process;
  bool used_up; /* not to be used for another job */
  double start_seconds;
  struct sandbox *next;
};

struct sandbox_pool {
  struct sandbox_options options;
  pthread_mutex_t lock;
  struct sandbox *idle; /* linked by next */
};

/* ---- one job
 * ---------------------------------------------------------------------------------------------------------- */

/* What has been sent and received so far. */
struct exchange {
  struct sandbox *s;
  struct text input, output;
  size_t sent;
  unsigned char done[DONE_WORDS * 4];
  size_t done_size;
  char errors[ERRORS_KEPT]; /* the last bytes */
  size_t errors_size, errors_all;
  bool lost, flooded;
};

static void put_word(struct text *t, size_t value)
{
  unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8), (unsigned char)(value >> 16),
                            (unsigned char)(value >> 24)};
  text_add(t, bytes, sizeof bytes);
}

static uint32_t take_word(const unsigned char *b)
{
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void put_job(struct text *t, const struct sandbox_job *job, const struct sandbox_limits *l, double wall)
{
  const size_t words[JOB_WORDS] = {(size_t)job->kind,     (size_t)(wall * 1000), (size_t)l->cpu_seconds,
                                   (size_t)l->memory_mib, (size_t)l->disk_mib,   (size_t)l->processes,
                                   job->first_size,       job->second_size};
  for (int i = 0; i < JOB_WORDS; i++) put_word(t, words[i]);
  text_add(t, job->first, job->first_size);
  text_add(t, job->second, job->second_size);
}

static void send_some(struct exchange *x)
{
  size_t left = x->input.size - x->sent;
  ssize_t n = send(x->s->process.control, x->input.bytes + x->sent, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
  if (n > 0)
    x->sent += (size_t)n;
  else if (n < 0 && errno != EAGAIN && errno != EINTR)
    x->lost = true;
}

static void take_done(struct exchange *x)
{
  ssize_t n = recv(x->s->process.control, x->done + x->done_size, sizeof x->done - x->done_size, 0);
  if (n > 0)
    x->done_size += (size_t)n;
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    x->lost = true;
}

/* All that is there now. Neither of the two may grow without end. */
static void take_output(struct exchange *x, size_t most)
{
  char chunk[CHUNK];
  for (ssize_t n; !x->flooded && (n = read(x->s->process.out, chunk, sizeof chunk)) > 0;) {
    x->flooded = x->output.size + (size_t)n > most;
    size_t room = most - x->output.size;
    text_add(&x->output, chunk, x->flooded ? room : (size_t)n);
  }
}

static void take_errors(struct exchange *x, size_t most)
{
  char chunk[ERRORS_KEPT];
  for (ssize_t n; !x->flooded && (n = read(x->s->process.errors, chunk, sizeof chunk)) > 0;) {
    size_t keep = sizeof x->errors - (size_t)n < x->errors_size ? sizeof x->errors - (size_t)n : x->errors_size;
    memmove(x->errors, x->errors + x->errors_size - keep, keep);
    memcpy(x->errors + keep, chunk, (size_t)n);
    x->errors_size = keep + (size_t)n;
    x->errors_all += (size_t)n;
    x->flooded = x->errors_all > most;
  }
}

/* Sends and receives until the worker tells that the job is done. False: an outcome other than "ended" is in *out. */
static bool talk(struct exchange *x, double wall, struct sandbox_result *out)
{
  const struct sandbox_limits *l = &x->s->pool->options.limits;
  const uint64_t most = (uint64_t)(l->memory_mib + MEMORY_SLACK_MIB) << 20;
  double now = clock_seconds(), give_up = now + wall + worker_grace, look = now + watch_every;
  while (x->done_size < sizeof x->done) {
    struct pollfd fds[] = {{x->s->process.control, POLLIN | (x->sent < x->input.size ? POLLOUT : 0), 0},
                           {x->s->process.out, POLLIN, 0},
                           {x->s->process.errors, POLLIN, 0}};
    poll(fds, 3, (int)(watch_every * 1000));
    if (fds[0].revents & POLLOUT) send_some(x);
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) take_done(x);
    if (fds[1].revents & POLLIN) take_output(x, l->output_bytes);
    if (fds[2].revents & POLLIN) take_errors(x, l->output_bytes);
    now = clock_seconds();
    bool heavy = now >= look && sandbox_memory(x->s->process.pid) > most;
    if (now >= look) look = now + watch_every;
    out->outcome = x->flooded      ? SANDBOX_OUTPUT
                   : heavy         ? SANDBOX_MEMORY
                   : now > give_up ? SANDBOX_WALL
                   : x->lost       ? SANDBOX_LOST
                                   : SANDBOX_ENDED;
    if (out->outcome != SANDBOX_ENDED) return false;
  }
  return true;
}

static void read_done(struct exchange *x, struct sandbox_result *out)
{
  static const enum sandbox_outcome outcomes[] = {SANDBOX_ENDED, SANDBOX_WALL, SANDBOX_FILES}; /* the worker's */
  uint32_t outcome = take_word(x->done);
  out->outcome = outcome < sizeof outcomes / sizeof *outcomes ? outcomes[outcome] : SANDBOX_LOST;
  out->status = (int)take_word(x->done + 4);
  out->judge_status = (int)take_word(x->done + 8);
  out->cpu_seconds = take_word(x->done + 12) / 1000.0;
  if (take_word(x->done + 16)) x->s->used_up = true; /* files were left behind */
}

static int attempt(struct sandbox *s, struct arena *a, const struct sandbox_job *job, double wall,
                   struct sandbox_result *out, struct error *err)
{
  struct exchange x = {.s = s};
  *out = (struct sandbox_result){0};
  put_job(&x.input, job, &s->pool->options.limits, wall);
  int rc = text_finish(&x.input, err);
  if (!rc && talk(&x, wall, out)) {
    read_done(&x, out);
    take_output(&x, s->pool->options.limits.output_bytes); /* whoever could write more is dead */
    take_errors(&x, s->pool->options.limits.output_bytes);
    if (x.flooded) out->outcome = SANDBOX_OUTPUT;
  }
  if (rc || out->outcome == SANDBOX_LOST || x.flooded || out->outcome == SANDBOX_MEMORY || x.done_size < sizeof x.done)
    sandbox_stop(&s->process);
  if (!rc) rc = text_finish(&x.output, err);
  out->output = rc ? NULL : arena_strndup(a, x.output.size ? x.output.bytes : "", x.output.size, "sandbox", err);
  out->output_size = x.output.size;
  out->errors = out->output ? arena_strndup(a, x.errors, x.errors_size, "sandbox", err) : NULL;
  text_free(&x.input);
  text_free(&x.output);
  return rc ? rc : out->errors ? 0 : err->code;
}

/* ---- sandboxes
 * -------------------------------------------------------------------------------------------------------- */

/* Starts the process and waits for its first word. */
static int start(struct sandbox *s, struct error *err)
{
  static const char word[] = "ready";
  char said[sizeof word - 1];
  size_t size = 0;
  double begin = clock_seconds();
  TRY(sandbox_start(&s->pool->options, &s->process, err));
  while (size < sizeof said && clock_seconds() < begin + start_limit) {
    struct pollfd fd = {s->process.control, POLLIN, 0};
    poll(&fd, 1, 1000);
    ssize_t n = recv(s->process.control, said + size, sizeof said - size, 0);
    if (n > 0) size += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
  }
  if (size < sizeof said || memcmp(said, word, size) != 0) return sandbox_refused(&s->process, err);
  s->used_up = false;
  s->start_seconds = clock_seconds() - begin;
  return 0;
}

static bool alive(const struct sandbox *s)
{
  struct pollfd fd = {s->process.control, 0, 0};
  return s->process.pid > 0 && poll(&fd, 1, 0) == 0;
}

static int make_ready(struct sandbox *s, struct error *err)
{
  if (alive(s) && !s->used_up) return 0;
  sandbox_stop(&s->process);
  return start(s, err);
}

int sandbox_run(struct sandbox *s, struct arena *a, const struct sandbox_job *job, double wall_seconds,
                struct sandbox_result *out, struct error *err)
{
  double most = s->pool->options.limits.wall_seconds, wall = wall_seconds < most ? wall_seconds : most;
  ASSAY_BUG_IF(job->first_size > UINT32_MAX || job->second_size > UINT32_MAX);
  /* A worker cannot be killed from inside; from outside it may be (out of memory): once more, then tell. */
  for (int i = 0; i < 2; i++) {
    bool keeps_files = job->kind == SANDBOX_COMMAND || job->kind == SANDBOX_WRITE;
    if (!keeps_files || !alive(s)) TRY(make_ready(s, err));
    TRY(attempt(s, a, job, wall, out, err));
    if (keeps_files) s->used_up = true;
    if (out->outcome != SANDBOX_LOST || keeps_files) break;
  }
  return 0;
}

double sandbox_start_seconds(const struct sandbox *s)
{
  return s->start_seconds;
}

/* ---- the pool
 * --------------------------------------------------------------------------------------------------------- */

static void close_pool(void *arg)
{
  struct sandbox_pool *pool = arg;
  for (struct sandbox *s = pool->idle, *next; s; s = next) {
    next = s->next;
    sandbox_stop(&s->process);
    memory_free(s);
  }
  pthread_mutex_destroy(&pool->lock);
}

int sandbox_take(struct sandbox_pool *pool, struct sandbox **out, struct error *err)
{
  pthread_mutex_lock(&pool->lock);
  struct sandbox *s = pool->idle;
  if (s) pool->idle = s->next;
  pthread_mutex_unlock(&pool->lock);
  if (!s) {
    s = memory_alloc(1, sizeof *s, "sandbox", err);
    if (!s) return err->code;
    *s = (struct sandbox){.pool = pool, .process = {-1, -1, -1, -1}};
  }
  int rc = make_ready(s, err);
  if (rc) sandbox_give(pool, s);
  *out = s;
  return rc;
}

void sandbox_give(struct sandbox_pool *pool, struct sandbox *s)
{
  pthread_mutex_lock(&pool->lock);
  s->next = pool->idle;
  pool->idle = s;
  pthread_mutex_unlock(&pool->lock);
}

int sandbox_pool_create(struct arena *a, const struct sandbox_options *o, struct sandbox_pool **out, struct error *err)
{
  struct sandbox *first;
  struct sandbox_pool *pool = ARENA_NEW(a, struct sandbox_pool, 1, "sandbox", err);
  if (!pool) return err->code;
  pool->options = *o;
  pthread_mutex_init(&pool->lock, NULL);
  int rc = arena_on_reset(a, close_pool, pool, err);
  if (rc) {
    close_pool(pool);
    return rc;
  }
  *out = pool;
  if (o->later) return 0;
  TRY(sandbox_take(pool, &first, err));
  sandbox_give(pool, first);
  return 0;
}

#include "serve/engine.h"

#include "core/log.h"

#include <string.h>
#include <time.h>

enum { LOOK_MS = 100 /* how often clients are looked at */ };

int engine_open(struct arena *a, struct engine *e, struct error *err)
{
  e->live_room = 2 * e->slots + 4;
  e->live = ARENA_NEW(a, struct live, (size_t)e->live_room, "engine", err);
  if (!e->live) return err->code;
  if (pthread_mutex_init(&e->lock, NULL) || pthread_cond_init(&e->wake, NULL))
    FAIL(err, ERROR_RESOURCE, "no memory for a lock");
  return 0;
}

/* ---- the queue ------------------------------------------------------------------------------------------------------
 */

static uint64_t client_number(const char *name)
{
  uint64_t h = 14695981039346656037u;  // FNV-1a: who meets here shares a turn, no more
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
  return h;
}

bool engine_submit(struct engine *e, struct call *c, int *retry_after)
{
  c->client = client_number(http_client(c->exchange));
  c->arrived = clock_seconds();
  c->next = NULL;
  pthread_mutex_lock(&e->lock);
  bool taken = !e->closed && e->waiting_count < e->queue_most;
  *retry_after = 1 + e->waiting_count / (e->slots > 0 ? e->slots : 1);
  if (taken) {
    struct call **at = &e->waiting;
    while (*at) at = &(*at)->next;
    *at = c;
    c->order = e->arrivals++;
    e->waiting_count++;
    pthread_cond_signal(&e->wake);
  }
  pthread_mutex_unlock(&e->lock);
  return taken;
}

static int32_t rows_of_client(const struct engine *e, uint64_t client)
{
  int32_t rows = 0;
  for (const struct call *c = e->active; c; c = c->next) rows += c->client == client ? c->running : 0;
  for (const struct call *c = e->waiting; c; c = c->next) rows += c->client == client ? c->running : 0;
  return rows;
}

/* Whose turn it is; under the lock. */
static struct call *next_call(const struct engine *e)
{
  struct call *best = NULL;
  int32_t fewest = 0;
  for (struct call *c = e->waiting; c; c = c->next) {
    int32_t rows = rows_of_client(e, c->client);
    if (best && rows >= fewest) continue;
    best = c;
    fewest = rows;
  }
  return best;
}

static void unlink_call(struct call **list, struct call *c)
{
  while (*list != c) list = &(*list)->next;
  *list = c->next;
  c->next = NULL;
}

/* ---- calls come and go
 * ------------------------------------------------------------------------------------------------ */

static void close_call(struct call *c)
{
  struct http_exchange *x = c->exchange;
  call_close(c);
  http_release(x);
}

static int free_number(const struct engine *e)
{
  for (int i = 0; i < e->live_room; i++)
    if (!e->live[i].call) return i;
  return -1;
}

static int admit_one(struct engine *e, struct call *c, int number, struct error *err)
{
  struct generate_job *j = &c->jobs[c->next_job];
  j->number = number;
  e->live[number] = (struct live){c, c->next_job};
  TRY(generator_add(e->generator, j, err));
  c->running += j->count;
  e->running += j->count;
  if (++c->next_job < c->request.prompt_count) return 0;
  unlink_call(&e->waiting, c);
  e->waiting_count--;
  c->next = e->active;
  e->active = c;
  return 0;
}

static int admit(struct engine *e, struct error *err)
{
  int rc = 0, number;
  pthread_mutex_lock(&e->lock);
  while (!rc && e->waiting && generator_room(e->generator) > 0 && (number = free_number(e)) >= 0)
    rc = admit_one(e, next_call(e), number, err);
  pthread_mutex_unlock(&e->lock);
  return rc;
}

/* Takes the call's jobs out of the batch; its memory may go after that. */
static void cancel(struct engine *e, struct call *c)
{
  for (int i = 0; i < e->live_room; i++) {
    if (e->live[i].call != c) continue;
    generator_cancel(e->generator, &c->jobs[e->live[i].job]);
    e->live[i].call = NULL;
  }
  e->running -= c->running;
  c->running = 0;
}

/* A job that is over gives its number back; a call that is, everything. */
static void sweep(struct engine *e)
{
  for (int i = 0; i < e->live_room; i++) {
    struct call *c = e->live[i].call;
    if (!c) continue;
    bool over = true;
    for (int32_t k = 0; k < c->request.drawn; k++) over = over && call_choice(c, e->live[i].job, k)->over;
    if (over) e->live[i].call = NULL;
  }
  for (struct call **at = &e->active; *at;) {
    struct call *c = *at;
    if (c->left && !c->broken) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    if (c->left) {
      cancel(e, c);
      meter_cancelled(e->meter);
    }
    close_call(c);
  }
}

/* Whether nobody waits for the call any more, or it has taken too long. */
static bool is_lost(struct engine *e, struct call *c, double now)
{
  if (c->broken || http_gone(c->exchange)) {
    c->broken = true;
  } else if (e->limit > 0 && now - c->arrived > e->limit) {
    call_fail(c, 504, "server_error", "the answer took longer than the server's --time-limit");
  }
  return c->broken;
}

/* Clients that left while they wait or between two tokens. */
static void look_at_clients(struct engine *e)
{
  double now = clock_seconds();
  if (now - e->looked < LOOK_MS / 1000.0) return;
  e->looked = now;
  for (struct call *c = e->active; c; c = c->next) is_lost(e, c, now);  // the sweep takes them out
  pthread_mutex_lock(&e->lock);
  for (struct call **at = &e->waiting; *at;) {
    struct call *c = *at;
    if (!is_lost(e, c, now)) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    e->waiting_count--;
    cancel(e, c);
    meter_cancelled(e->meter);
    close_call(c);
  }
  pthread_mutex_unlock(&e->lock);
}

static void show(struct engine *e)
{
  int used, kept, all;
  generator_kv(e->generator, &used, &kept, &all);
  pthread_mutex_lock(&e->lock);
  struct meter_gauges now = {e->running, e->waiting_count, used, kept, all};
  pthread_mutex_unlock(&e->lock);
  meter_set(e->meter, &now);
}

/* ---- what the generator calls
 * ------------------------------------------------------------------------------------------- */

static void before_token(void *arg, const struct row_at *at, struct sample_params *params)
{
  struct engine *e = arg;
  struct call *c = e->live[at->job].call;
  struct choice *o = call_choice(c, e->live[at->job].job, at->rollout);
  params->bias = o->bias;
  params->bias_count = o->bias_count;
  if (!o->state) return;
  grammar_mask(c->grammar, o->state, o->allowed);
  params->allowed = o->allowed;
}

static void after_token(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct engine *e = arg;
  call_token(e->live[at->job].call, e->live[at->job].job, at->rollout, record);
}

static void top(void *arg, const struct row_at *at, int32_t k, const int32_t *ids, const float *logp)
{
  struct engine *e = arg;
  call_top(e->live[at->job].call, e->live[at->job].job, at->rollout, at->position, k, ids, logp);
}

static void finished(void *arg, int32_t number, int32_t rollout)
{
  struct engine *e = arg;
  struct call *c = e->live[number].call;
  c->running--;
  e->running--;
  call_finished(c, e->live[number].job, rollout);
  if (c->left) return;
  int64_t kept = 0;
  double now = clock_seconds();
  for (int32_t i = 0; i < c->request.prompt_count; i++) kept += c->jobs[i].kept;
  meter_call(e->meter, c->prompt_tokens, kept, c->generated, c->first - c->arrived, now - c->arrived);
}

/* ---- the loop
 * --------------------------------------------------------------------------------------------------------------- */

/* Sleeps until somebody asks, or for a moment. */
static void wait_for_calls(struct engine *e)
{
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += LOOK_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&e->lock);
  if (!e->waiting) pthread_cond_timedwait(&e->wake, &e->lock, &until);
  pthread_mutex_unlock(&e->lock);
}

/* Ends every call with this status. */
static void fail_all(struct engine *e, struct call **list, int status, const char *message)
{
  while (*list) {
    struct call *c = *list;
    *list = c->next;
    cancel(e, c);
    call_fail(c, status, "server_error", message);
    close_call(c);
  }
}

/* Nobody new is taken; those who wait are told so. */
static void close_queue(struct engine *e)
{
  pthread_mutex_lock(&e->lock);
  e->closed = true;
  fail_all(e, &e->waiting, 503, "the server is stopping");
  e->waiting_count = 0;
  pthread_mutex_unlock(&e->lock);
}

static int turn(struct engine *e, bool *idle, struct error *err)
{
  look_at_clients(e);
  TRY(admit(e, err));
  TRY(generator_step(e->generator, idle, err));
  sweep(e);
  show(e);
  return 0;
}

int engine_run(struct engine *e, struct error *err)
{
  struct generate_hooks hooks = {
      .before_token = before_token, .after_token = after_token, .top = top, .finished = finished, .arg = e};
  double end = 0;
  int rc = 0;
  bool idle = true;
  generator_start(e->generator, NULL, 1, 0, &hooks);
  while (!rc) {
    if (end > 0 && (!e->active || clock_seconds() > end)) break;
    if (e->stopped() && !(end > 0)) {
      end = clock_seconds() + e->grace;
      close_queue(e);
    }
    if (idle && !(end > 0)) wait_for_calls(e);
    rc = turn(e, &idle, err);
  }
  close_queue(e);
  fail_all(e, &e->active, rc ? 500 : 503, rc ? err->message : "the server stopped before the answer was complete");
  return rc;
}

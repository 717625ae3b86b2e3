#include "reward/verify_queue.h"
#include <pthread.h>
#include <string.h>
#include "core/log.h"
#include "core/math.h"

/* Jobs that may wait: one in the hostile build, so that submit always meets a full queue. */
static size_t default_room(int workers)
{
#ifdef ASSAY_HOSTILE
  (void)workers;
  return 1;
#else
  return 4 * (size_t)workers;
#endif
}

struct job {
  const struct verifier_config *verifier;
  const struct problem *problem;
  const char *response;
  size_t n, slot;
};

struct worker {
  struct verify_queue *queue;
  pthread_t thread;
  struct arena *arena; /* strings of the batch's verdicts */
  double seconds;
};

struct verify_queue {
  struct verify_queue_options options;
  struct worker *workers;
  int started;          /* workers whose thread runs */
  pthread_mutex_t lock; /* guards everything below */
  pthread_cond_t not_empty, not_full, idle;
  struct job *ring; /* [room] */
  size_t room, first, waiting, running;
  bool closing;
  struct journal *journal;
  int attempt;
  struct verdict *slots;
  size_t slot_count;
  size_t failed_slot; /* lowest slot whose job failed, SIZE_MAX: none */
  struct error failure;
};

/* Strings that go into files and messages are bounded, whatever the response. */
static int bound_text(struct arena *a, const char **s, struct error *err)
{
  size_t n = *s ? strnlen(*s, VERDICT_TEXT + 1) : 0;
  if (n <= VERDICT_TEXT) return 0;
  n = VERDICT_TEXT;
  while (n && ((unsigned char)(*s)[n] & 0xc0) == 0x80) n--;
  *s = arena_strndup(a, *s, n, "verdict", err);
  return *s ? 0 : err->code;
}

int verify_now(struct arena *a, const struct verifier_config *v, const struct problem *p, const char *response,
               size_t n, struct verdict *out, struct error *err)
{
  double start = clock_seconds();
  TRY(v->verifier->judge(a, v, p, response, n, out, err));
  out->ms = (clock_seconds() - start) * 1000;
  ASSAY_BUG_IF(!out->reason);
  TRY(bound_text(a, &out->reason, err));
  TRY(bound_text(a, &out->extracted, err));
  if (out->status == VERDICT_OK && !math_is_finite(out->reward))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "reward",
            "the verifier \"%s\" gave a reward that is not a finite number; expected 0 to 1", v->verifier->name);
  for (int i = 0; i < out->channel_count; i++)
    if (!math_is_finite(out->channels[i].value))
      FAIL_AT(err, ERROR_INPUT, p->source, p->line, out->channels[i].name,
              "the verifier \"%s\" gave channel %s a value that is not a finite number", v->verifier->name,
              out->channels[i].name);
  return 0;
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

/* Waits for a job. False: the queue closes. */
static bool take_job(struct verify_queue *q, struct job *job)
{
  pthread_mutex_lock(&q->lock);
  while (!q->waiting && !q->closing) pthread_cond_wait(&q->not_empty, &q->lock);
  bool got = !q->closing;
  if (got) {
    *job = q->ring[q->first];
    q->first = (q->first + 1) % q->room;
    q->waiting--;
    q->running++;
    pthread_cond_signal(&q->not_full);
  }
  pthread_mutex_unlock(&q->lock);
  return got;
}

static void finish_job(struct verify_queue *q, size_t slot, const struct verdict *v, const struct error *failure)
{
  pthread_mutex_lock(&q->lock);
  if (!failure->code)
    q->slots[slot] = *v;
  else if (slot < q->failed_slot) {
    q->failed_slot = slot;
    q->failure = *failure;
  }
  q->running--;
  if (!q->running && !q->waiting) pthread_cond_broadcast(&q->idle);
  pthread_mutex_unlock(&q->lock);
}

/* An outside kind's verdict comes from the journal, or goes there before anybody sees it. */
static int judge_job(struct worker *w, const struct job *job, struct verdict *v, struct error *err)
{
  const struct verify_queue *q = w->queue;
  struct journal_key key;
  bool journalled = q->journal && job->verifier->verifier->outside;
  if (journalled) TRY(journal_key_of(job->verifier, job->problem, job->response, job->n, q->attempt, &key, err));
  if (journalled && journal_find(q->journal, &key, v)) return 0;
  TRY(verify_now(w->arena, job->verifier, job->problem, job->response, job->n, v, err));
  return journalled ? journal_record(q->journal, &key, v, err) : 0;
}

static void *work(void *arg)
{
  struct worker *w = arg;
  struct verify_queue *q = w->queue;
  for (struct job job; take_job(q, &job);) {
    struct error failure = {0};
    struct verdict v = {0};
    double start = clock_seconds();
    if (q->options.before) q->options.before(q->options.arg, job.slot);
    int rc = judge_job(w, &job, &v, &failure);
    w->seconds += clock_seconds() - start;
    ASSAY_BUG_IF(rc != failure.code);
    finish_job(q, job.slot, &v, &failure);
  }
  return NULL;
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

static void close_queue(void *arg)
{
  struct verify_queue *q = arg;
  pthread_mutex_lock(&q->lock);
  q->closing = true;
  pthread_cond_broadcast(&q->not_empty);
  pthread_mutex_unlock(&q->lock);
  for (int i = 0; i < q->started; i++) pthread_join(q->workers[i].thread, NULL);
  for (int i = 0; i < q->options.workers; i++) arena_destroy(q->workers[i].arena);
  pthread_cond_destroy(&q->idle);
  pthread_cond_destroy(&q->not_full);
  pthread_cond_destroy(&q->not_empty);
  pthread_mutex_destroy(&q->lock);
}

static int start_worker(struct verify_queue *q, int i, struct error *err)
{
  struct worker *w = &q->workers[i];
  w->queue = q;
  w->arena = arena_create("verdicts", 0, err);
  if (!w->arena) return err->code;
  int rc = pthread_create(&w->thread, NULL, work, w);
  if (rc) FAIL(err, ERROR_RESOURCE, "a verifier thread could not be started: %s; use fewer --workers", strerror(rc));
  q->started = i + 1;
  return 0;
}

int verify_queue_create(struct arena *a, const struct verify_queue_options *o, struct verify_queue **out,
                        struct error *err)
{
  if (o->workers < 1 || o->workers > 256)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "workers", "found %d verifier threads; expected 1 to 256", o->workers);
  struct verify_queue *q = ARENA_NEW(a, struct verify_queue, 1, "verify queue", err);
  if (!q) return err->code;
  q->options = *o;
  q->room = o->room > 0 ? (size_t)o->room : default_room(o->workers);
  q->failed_slot = SIZE_MAX;
  q->ring = ARENA_NEW(a, struct job, q->room, "verify queue", err);
  q->workers = q->ring ? ARENA_NEW(a, struct worker, (size_t)o->workers, "verify queue", err) : NULL;
  if (!q->workers) return err->code;
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->not_empty, NULL);
  pthread_cond_init(&q->not_full, NULL);
  pthread_cond_init(&q->idle, NULL);
  int rc = arena_on_reset(a, close_queue, q, err);
  if (rc) {
    close_queue(q);
    return rc;
  }
  for (int i = 0; i < o->workers; i++) TRY(start_worker(q, i, err));
  *out = q;
  return 0;
}

void verify_queue_set_journal(struct verify_queue *q, struct journal *journal, int attempt)
{
  pthread_mutex_lock(&q->lock);
  ASSAY_BUG_IF(q->waiting || q->running);
  q->journal = journal;
  q->attempt = attempt;
  pthread_mutex_unlock(&q->lock);
}

void verify_queue_start(struct verify_queue *q, struct verdict *slots, size_t count)
{
  pthread_mutex_lock(&q->lock);
  ASSAY_BUG_IF(q->waiting || q->running);
  for (int i = 0; i < q->started; i++) {
    arena_reset(q->workers[i].arena);
    q->workers[i].seconds = 0;
  }
  q->slots = slots;
  q->slot_count = count;
  q->failed_slot = SIZE_MAX;
  error_clear(&q->failure);
  pthread_mutex_unlock(&q->lock);
}

void verify_queue_submit(struct verify_queue *q, const struct verifier_config *v, const struct problem *p,
                         const char *response, size_t n, size_t slot)
{
  pthread_mutex_lock(&q->lock);
  ASSAY_BUG_IF(slot >= q->slot_count || q->closing);
  while (q->waiting == q->room) pthread_cond_wait(&q->not_full, &q->lock);
  q->ring[(q->first + q->waiting++) % q->room] = (struct job){v, p, response, n, slot};
  pthread_cond_signal(&q->not_empty);
  pthread_mutex_unlock(&q->lock);
}

int verify_queue_wait(struct verify_queue *q, struct error *err)
{
  pthread_mutex_lock(&q->lock);
  while (q->waiting || q->running) pthread_cond_wait(&q->idle, &q->lock);
  struct error failure = q->failure;
  pthread_mutex_unlock(&q->lock);
  if (failure.code && err && !err->code) *err = failure;
  if (!failure.code && q->journal) return journal_sync(q->journal, err);
  return failure.code;
}

double verify_queue_seconds(const struct verify_queue *q)
{
  double seconds = 0;
  for (int i = 0; i < q->started; i++) seconds += q->workers[i].seconds;
  return seconds;
}

/* A checkpoint is written beside the run. Weights and moments move in updates alone, so from the end of one step to the
 * update of the next a thread may read them where they lie: no copy, no bit that could differ. The rest of a run's
 * state is small and is put into bytes before the thread begins. Whoever is about to move weights waits for it
 * (run_save_finish); a run that is killed meanwhile has the checkpoint before this one, whole.
 */
#include "train/run.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "train/card.h"

struct saving {
  struct run *run;
  struct arena *arena; /* the thread's own */
  bool going;
  pthread_t thread;
  struct text methods, history, value, card;
  const char *license; /* of the model that the run began with, or NULL */
  char best[sizeof(double) + sizeof(int64_t)];
  struct metrics awaiting;
  struct checkpoint_blob blobs[5];
  struct checkpoint checkpoint;
  char weights_hash[65], state_hash[65];
  struct error err; /* of the thread */
};

/* ---- beside the run --------------------------------------------------------------------------------------------- */

static int write_checkpoint(struct saving *s, struct error *err)
{
  static const enum save_type types[] = {[RECIPE_F32] = SAVE_F32, [RECIPE_BF16] = SAVE_BF16, [RECIPE_F16] = SAVE_F16};
  struct run *r = s->run;
  arena_reset(s->arena);
  TRY(model_hash(r->session.model, s->weights_hash, err));
  card_put_weights(s->weights_hash, &s->card);
  TRY(text_finish(&s->card, err));
  s->checkpoint.card = s->card.bytes;
  return checkpoint_save(s->arena, r->folder->path, r->session.model, &r->session.source, r->session.tokenizer,
                         &s->checkpoint, types[r->recipe->save.type], s->state_hash, err);
}

static void *run_thread(void *arg)
{
  struct saving *s = arg;
  if (write_checkpoint(s, &s->err)) return s;
  return NULL;
}

/* Signals are for the run's own thread. */
static int start_thread(struct saving *s)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&s->thread, NULL, run_thread, s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

/* ---- the run's side --------------------------------------------------------------------------------------------- */

static void free_texts(struct saving *s)
{
  text_free(&s->methods);
  text_free(&s->history);
  text_free(&s->value);
  text_free(&s->card);
}

/* No thread outlives the run, whatever went wrong. */
static void close_saving(void *arg)
{
  struct saving *s = arg;
  if (s->going) pthread_join(s->thread, NULL);
  free_texts(s);
  arena_destroy(s->arena);
}

static int open_saving(struct run *r, struct error *err)
{
  if (r->saving) return 0;
  struct saving *s = ARENA_NEW(r->arena, struct saving, 1, "checkpoint", err);
  if (!s) return err->code;
  s->run = r;
  s->arena = arena_create("checkpoint", 0, err);
  if (!s->arena) return err->code;
  int rc = arena_on_reset(r->arena, close_saving, s, err);
  if (rc) arena_destroy(s->arena);
  TRY(rc);
  TRY(card_license(r->arena, &r->session.source, &s->license, err));
  r->saving = s;
  return 0;
}

/* All of it but the hash of the weights, which the thread takes. */
static int take_card(const struct run *r, struct saving *s, struct error *err)
{
  const struct card c = {.recipe = r->recipe,
                         .license = s->license,
                         .metrics = &r->reported,
                         .ledger = r->ledger,
                         .step = r->step,
                         .adapter = r->session.model->adapter != NULL,
                         .scores = r->session.model->score != NULL};
  card_put(&c, &s->card);
  return text_finish(&s->card, err);
}

static struct checkpoint_blob blob_of(const char *name, const struct text *t)
{
  return (struct checkpoint_blob){name, t->bytes ? t->bytes : "", t->size};
}

/* All of a run's state but its weights, as bytes. */
static int take_state(struct run *r, struct saving *s, struct error *err)
{
  memcpy(s->best, &r->best, sizeof r->best);
  memcpy(s->best + sizeof r->best, &r->best_step, sizeof r->best_step);
  TRY(compose_save(r->methods, &s->methods, err));
  history_save(r->history, &s->history);
  TRY(text_finish(&s->history, err));
  if (r->policies.value) network_save(r->policies.value->net, &s->value);
  TRY(text_finish(&s->value, err));
  s->blobs[0] = blob_of("methods", &s->methods);
  s->blobs[1] = blob_of("history", &s->history);
  s->blobs[2] = (struct checkpoint_blob){"best", s->best, sizeof s->best};
  size_t count = 3;
  if (r->policies.value) s->blobs[count++] = blob_of("value", &s->value);
  s->awaiting = r->awaiting;  // a stop came before the step's evaluation ended
  if (s->awaiting.count)
    s->blobs[count++] = (struct checkpoint_blob){"awaiting", (const char *)s->awaiting.rows,
                                                 (size_t)s->awaiting.count * sizeof s->awaiting.rows[0]};
  struct checkpoint *c = &s->checkpoint;
  *c = (struct checkpoint){.step = r->step,
                           .updates = r->trainer->updates,
                           .weight_version = r->trainer->weight_version,
                           .data_position = (int64_t)stream_position(r->stream),
                           .blobs = s->blobs,
                           .blob_count = count};
  if (r->ema) c->weights[c->weights_count++] = (struct checkpoint_weights){"ema", r->ema};
  if (r->reference_moved) c->weights[c->weights_count++] = (struct checkpoint_weights){"reference", r->reference};
  memcpy(c->identity, r->identity, sizeof c->identity);
  return 0;
}

int run_save_start(struct run *r, struct error *err)
{
  double start = clock_seconds();
  TRY(run_save_finish(r, err));
  TRY(open_saving(r, err));
  struct saving *s = r->saving;
  free_texts(s);
  TRY(run_put_score(r, err));
  TRY(take_state(r, s, err));
  TRY(take_card(r, s, err));
  TRY(device_sync(r->session.device, err));  // the thread reads what has been computed, and nothing of a broken device
  if (start_thread(s))
    FAIL(err, ERROR_RESOURCE, "no thread could be started to write a checkpoint; raise the limit on processes");
  s->going = true;
  r->last_saved = r->step;
  r->save_seconds += clock_seconds() - start;
  return 0;
}

static int link_best(struct run *r, struct arena *a, struct error *err)
{
  if (r->best_step < 0) return 0;
  char *target = arena_printf(a, "run", err, "%06" PRId64, r->best_step);
  char *full = arena_printf(a, "run", err, "%s/checkpoints/%06" PRId64, r->folder->path, r->best_step);
  char *link = path_join(a, r->folder->path, "checkpoints/best", err),
       *temporary = path_join(a, r->folder->path, "checkpoints/.best", err);
  if (!target || !full || !link || !temporary) return err->code;
  if (!file_exists(full)) return 0;
  unlink(temporary);
  if (symlink(target, temporary))
    FAIL_AT(err, ERROR_RESOURCE, temporary, 0, NULL,
            "the link to the best checkpoint could not be made; expected a file system with links");
  return file_rename(temporary, link, err);
}

int run_save_finish(struct run *r, struct error *err)
{
  struct saving *s = r->saving;
  void *failed;
  if (!s || !s->going) return 0;
  pthread_join(s->thread, &failed);
  s->going = false;
  if (failed) {
    *err = s->err;
    return err->code;
  }
  memcpy(r->weights_hash, s->weights_hash, sizeof r->weights_hash);
  memcpy(r->state_hash, s->state_hash, sizeof r->state_hash);
  arena_reset(s->arena);
  TRY(link_best(r, s->arena, err));
  return checkpoint_prune(s->arena, r->folder->path, (int)r->recipe->save.keep, r->best_step, err);
}

/* One wave of rollouts: jobs for the generator, the methods' hand on the sampler, verdicts on the way. */
#include "train/wave.h"

#include "core/log.h"
#include "core/math.h"

struct making {
  struct run *run;
  struct wave *wave;
  struct generate_job *jobs;
  int32_t *first; /* [jobs] the wave's first rollout of each */
  int32_t job_count;
  int64_t tokens;
  struct error err; /* first failure inside a callback */
};

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

/* Whether two neighbours of a wave are one job: the same prompt, and numbers that follow each other. */
static bool belongs(const struct step *s, int32_t before, int32_t index)
{
  const struct rollout *a = &s->rollouts[before], *b = &s->rollouts[index];
  return a->group == b->group && a->generating == b->generating && a->attempt == b->attempt &&
         a->ordinal + 1 == b->ordinal;
}

/* Probes have a stream of their own, by method and purpose (FNV-1a), so that they shift nobody's draws. */
static uint32_t purpose_of(const struct wave *w)
{
  uint32_t h = 2166136261u;
  if (!w->request) return RNG_TRAIN;
  for (const char *p = w->method; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
  for (const char *p = w->request->purpose; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
  return (uint32_t)RNG_METHOD + (h >> 1);
}

static struct generate_job job_of(const struct making *m, int32_t at)
{
  const struct recipe *recipe = m->run->recipe;
  const struct step *s = m->wave->step;
  const struct rollout *o = &s->rollouts[m->wave->rollouts[at]];
  const struct request *q = m->wave->request ? m->wave->request : &m->run->host.defaults;
  return (struct generate_job){.segment = s->contexts[o->generating].segment,
                               .first_rollout = o->ordinal,
                               .at = {.purpose = purpose_of(m->wave),
                                      .step = (uint32_t)s->number,
                                      .group = (uint32_t)s->groups[o->group].ordinal,
                                      .attempt = (uint32_t)o->attempt},
                               .seed = s->seed,
                               .sampling = q->sampling,
                               .max_new_tokens = q->max_new_tokens,
                               .stop = recipe->rollout.stop.items,
                               .stop_count = recipe->rollout.stop.count};
}

/* A job takes neighbours with one prompt, at most as many as the generator's group. */
static int make_jobs(struct making *m, struct error *err)
{
  struct step *s = m->wave->step;
  size_t n = (size_t)m->wave->count;
  int32_t most = m->run->plan.generate.max_group;
  m->jobs = ARENA_NEW(s->arena, struct generate_job, n, "rollouts", err);
  m->first = ARENA_NEW(s->arena, int32_t, n, "rollouts", err);
  int32_t *leaves = ARENA_NEW(s->arena, int32_t, n, "rollouts", err);
  enum finish *finishes = ARENA_NEW(s->arena, enum finish, n, "rollouts", err);
  if (!m->jobs || !m->first || !leaves || !finishes) return err->code;
  for (int32_t i = 0; i < m->wave->count; i++) {
    struct generate_job *job = m->job_count ? &m->jobs[m->job_count - 1] : NULL;
    if (!job || job->count == most || !belongs(s, m->wave->rollouts[i - 1], m->wave->rollouts[i])) {
      job = &m->jobs[m->job_count];
      *job = job_of(m, i);
      job->leaf = leaves + i;
      job->finish = finishes + i;
      m->first[m->job_count++] = i;
    }
    job->count++;
  }
  return 0;
}

/* ---- while it is generated ----------------------------------------------------------------------------------------
 */

/* Called as soon as a rollout is complete: its verdict is made while others still generate. */
static void finished(void *arg, int32_t job, int32_t rollout)
{
  struct making *m = arg;
  int32_t at = m->first[job] + rollout;
  struct rollout *o = &m->wave->step->rollouts[m->wave->rollouts[at]];
  o->leaf = m->jobs[job].leaf[rollout];
  o->finish = m->jobs[job].finish[rollout];
  if (!m->err.code && wave_finish_rollout(m->run, m->wave, at, &m->err)) return;
}

static void counted(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct making *m = arg;
  (void)at;
  (void)record;
  if ((++m->tokens & 31) == 0) log_progress("generate", (double)m->tokens, 0, "tok");
}

static bool cancelled(void *arg)
{
  struct making *m = arg;
  return m->err.code || (m->run->stop && m->run->stop());
}

static void sample(void *arg, const struct row_at *at, float entropy, struct sample_params *params)
{
  struct making *m = arg;
  struct sample_row row = {.rollout = m->wave->rollouts[m->first[at->job] + at->rollout],
                           .generated = at->generated,
                           .position = at->position,
                           .entropy = entropy,
                           .params = params};
  if (!m->err.code && compose_sample(m->run->methods, m->wave->step, &row, &m->err)) return;
}

int wave_run(struct run *r, struct wave *w, struct error *err)
{
  struct step *s = w->step;
  struct making m = {.run = r, .wave = w};
  struct generate_hooks hooks = {.after_token = counted, .finished = finished, .cancelled = cancelled, .arg = &m};
  struct generate_counts counts;
  struct error waited = {0};
  bool entropy = compose_needs(r->methods)->flags & NEED_SAMPLE_ENTROPY;
  if (!w->count) return 0;
  if (!w->request && compose_samples(r->methods)) hooks.before_draw = sample;
  hooks.entropy = entropy;
  TRY(make_jobs(&m, err));
  TRY(wave_start_verdicts(r, w, err));
  log_progress("generate", 0, 0, "tok");
  int rc = generator_run(r->generator, s->tree, m.jobs, m.job_count, s->temperature, s->weight_version, &hooks, &counts,
                         err);
  double generated = clock_seconds();
  log_progress("verify", 0, 0, "answers");
  int wait_rc = verify_queue_wait(r->verify, &waited);
  log_progress_end();
  if (m.err.code)
    *err = m.err;
  else if (!rc && wait_rc)
    *err = waited;
  TRY(m.err.code ? m.err.code : rc ? rc : wait_rc);
  metrics_add(&r->metrics, "seconds/generate", counts.seconds);
  metrics_add(&r->metrics, "verify/busy", verify_queue_seconds(r->verify));
  TRY(wave_take_verdicts(r, w, err));
  metrics_add(&r->metrics, "seconds/verify", clock_seconds() - generated);
  return 0;
}

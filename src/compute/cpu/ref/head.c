/* ref/head: the LM head fused with log-softmax: logits of a chunk of the vocabulary at a time, never the whole batch by
 * V. */
#include "compute/cpu/ref/head_steps.h"

void REAL_NAME(head_logits)(struct device *d, const struct weight *w, int32_t count, struct view hidden,
                            struct view logits)
{
  head_logits_and(d, w, count, hidden, logits, NULL);
}

struct score_job {
  const struct head_rows *rows;
  const real *logit; /* [H, width]: vocabulary at .. at+width-1 */
  size_t at, width;
  real inv_temperature, *stat, *logp, *entropy;
};

/* ---- score: logp = (z - m) - log(l), entropy = log(l) - u / l ---- */

/* A chunk's blocks into the rows' states; a target that stands in it leaves its z in logp. */
static void score_chunk(void *arg, int thread, size_t begin, size_t end)
{
  const struct score_job *job = arg;
  (void)thread;
  for (size_t h = begin; h < end; h++) {
    const real *logit = job->logit + h * job->width;
    struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
    head_blocks(&s, job->at, logit, job->width, job->inv_temperature);
    job->stat[3 * h] = s.m;
    job->stat[3 * h + 1] = s.l;
    job->stat[3 * h + 2] = s.u;
    for (int32_t p = head_first_pair(job->rows, (int32_t)h);
         p < job->rows->pair_count && job->rows->pair_row[p] == (int32_t)h; p++) {
      size_t target = (size_t)job->rows->pair_target[p];
      if (target >= job->at && target < job->at + job->width)
        job->logp[p] = head_z(logit[target - job->at], job->inv_temperature);
    }
  }
}

static void score_finish(void *arg, int thread, size_t begin, size_t end)
{
  const struct score_job *job = arg;
  (void)thread;
  for (size_t h = begin; h < end; h++) {
    struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
    job->entropy[h] = head_entropy(&s);
    for (int32_t p = head_first_pair(job->rows, (int32_t)h);
         p < job->rows->pair_count && job->rows->pair_row[p] == (int32_t)h; p++)
      job->logp[p] = head_logp(&s, job->logp[p]);
  }
}

void REAL_NAME(head_score)(struct device *d, const struct weight *w, double inv_temperature,
                           const struct head_rows *rows, struct view hidden, int32_t chunk, struct view scratch,
                           struct view stat, struct view logp, struct view entropy)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct score_job job = {.rows = rows,
                          .logit = view_reals(scratch),
                          .inv_temperature = (real)inv_temperature,
                          .stat = view_reals(stat),
                          .logp = rows->pair_count ? view_reals(logp) : NULL,
                          .entropy = view_reals(entropy)};
  for (; job.at < w->n; job.at += job.width) {
    job.width = size_min((size_t)chunk, w->n - job.at);
    struct weight slice = weight_slice(w, job.at, job.width);
    d->ops.head_logits(d, &slice, rows->count, hidden, scratch);
    pool_run(d->pool, (size_t)rows->count, score_chunk, &job);
  }
  pool_run(d->pool, (size_t)rows->count, score_finish, &job);
}

/* ---- top: the k most likely tokens ---- */

struct top_job {
  const real *logit;
  size_t vocab, k;
  real inv_temperature;
  int32_t *ids;
  float *logp;
};

/* NaN stands last. */
static real top_z(const struct top_job *job, const real *logit, size_t v)
{
  real z = head_z(logit[v], job->inv_temperature);
  return z == z ? z : -REAL_INFINITY;
}

/* An insertion sort that keeps k: ids ascending come in, so an equal one goes behind and the lower id wins. */
static void top_row(const struct top_job *job, const real *logit, int32_t *ids)
{
  size_t held = 0;
  for (size_t v = 0; v < job->vocab; v++) {
    real z = top_z(job, logit, v);
    if (held == job->k && !(z > top_z(job, logit, (size_t)ids[held - 1]))) continue;
    size_t at = held < job->k ? held++ : held - 1;
    for (; at > 0 && z > top_z(job, logit, (size_t)ids[at - 1]); at--) ids[at] = ids[at - 1];
    ids[at] = (int32_t)v;
  }
}

static void top_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct top_job *job = arg;
  (void)thread;
  for (size_t row = begin; row < end; row++) {
    const real *logit = job->logit + row * job->vocab;
    int32_t *ids = job->ids + row * job->k;
    struct head_state s = {0};
    head_blocks(&s, 0, logit, job->vocab, job->inv_temperature);
    top_row(job, logit, ids);
    for (size_t i = 0; i < job->k; i++)
      job->logp[row * job->k + i] = (float)head_logp(&s, head_z(logit[ids[i]], job->inv_temperature));
  }
}

void REAL_NAME(head_top)(struct device *d, const struct weight *w, double inv_temperature, int32_t count,
                         struct view hidden, struct view scratch, int32_t k, int32_t *ids, float *logp)
{
  if (count <= 0 || k <= 0) return;
  ASSAY_BUG_IF((size_t)k > w->n);
  d->ops.head_logits(d, w, count, hidden, scratch);
  struct top_job job = {view_reals(scratch), w->n, (size_t)k, (real)inv_temperature, ids, logp};
  pool_run(d->pool, (size_t)count, top_part, &job);
}

/* method/part_poise: value estimates from the policy's own states, for a baseline that looks at the other rollouts
 * (arXiv 2605.07579, POISE; code holi-lab/POISE).
 *
 *     z_i = [mean state of the last m_p prompt tokens; of the last m_r tokens of the reasoning; mean entropy of the
 * whole response, of the reasoning, of the answer]      states at the token, entropies of what it was drawn from b_i =
 * mean over the other rollouts j of the problem of g(z_j)              A_i = R_i - b_i t_i = mean over the others of
 * R_j (or of all): what g learns from z_i      g: part_probe.h
 *
 * A step predicts, appends its rows, drops old ones, then fits; a domain has its own probe and rows.
 *
 *     steps up to `bootstrap`   the baseline is the others' mean reward; at the end of the last one every domain that
 * has rows is fitted, and its counter of steps with rows is set to that many later                     a domain with
 * new rows is fitted where its counter reached `warmup`, or has no probe yet; until it has one the others' mean reward
 * stays its baseline
 *
 * Means over the others are sums of the others alone: b_i has no trace of rollout i.
 */
#ifndef ASSAY_METHOD_PART_POISE_H
#define ASSAY_METHOD_PART_POISE_H

#include "method/part_probe.h"
#include "method/part_vectors.h"
#include "method/step.h"

/* ---- features ---------------------------------------------------------------------------------------------------- */

struct poise_pools {
  int32_t prompt, response; /* m_p, m_r */
  bool marker;              /* the end-of-thinking marker counts in the reasoning's states */
  bool whole;               /* without a marker the whole response is the reasoning, for the entropies too */
};
/* Tokens that count, in order; positions are those in the response. */
struct poise_response {
  struct vector_rows prompt, state; /* [prompt_count] the prompt's last ones at least; [count] */
  int32_t prompt_count, count;
  const double *entropy;           /* [count] nats */
  const int32_t *at;               /* [count] */
  int32_t think_start;             /* first token behind an opening marker */
  int32_t close_first, close_last; /* tokens of the closing marker; -1: none */
};
/* Where the reasoning of a rollout begins (behind the first `open`) and where the last `close` ends it; needs
 * NEED_SPANS. Without text, or with an empty `close`: no marker. */
void poise_reasoning(const struct rollout *r, const char *open, const char *close, struct poise_response *out);
/* z: [2 width + 3]. Means of nothing are 0. work: [width]. */
void poise_features(const struct poise_response *r, const struct poise_pools *o, double *z, double *work);

/* Rows of one group stand together. others: of a group of one, 0. */
void poise_others(const double *x, const int32_t *group, int32_t n, double *out);
void poise_targets(const double *reward, const int32_t *group, int32_t n, bool with_own, double *out);

/* Over n; 0 of nothing. */
double poise_variance(const double *x, int32_t n);

/* ---- the buffers ------------------------------------------------------------------------------------------------- */

enum { POISE_DOMAINS = 64 };
enum poise_window { POISE_ROWS, POISE_STEPS };
#define POISE_WINDOW_WORDS "rows|steps"
struct poise_options {
  struct probe_options probe;
  bool with_own; /* targets: the group's mean */
  int64_t bootstrap, warmup;
  enum poise_window window;
  int64_t steps; /* window: rows of the newest so many */
};

struct poise_domain {
  const char *name;
  int64_t most; /* window rows: the oldest groups go while there are more rows than this */
  int64_t observed, fits;
  bool ready;
  struct probe probe;
  int32_t count, room;
  double *z, *target; /* [count][inputs], [count] oldest first */
  struct poise_key {
    int64_t step, tag; /* tag: the caller's */
    int32_t group;
  } * key; /* [count] */
};
struct poise {
  struct arena *arena; /* of the run */
  int32_t dim, inputs;
  int64_t step; /* seen so far */
  int32_t domain_count;
  struct poise_domain domains[POISE_DOMAINS];
};

/* The number of a domain, made where it is new; more than POISE_DOMAINS is ERROR_INPUT. */
int poise_domain(struct poise *p, const struct poise_options *o, const char *name, int64_t most, int32_t *out,
                 struct error *err) MUST_USE;

/* One step's rows. */
struct poise_batch {
  int32_t n;
  const double *z, *reward;      /* [n][inputs], [n] */
  const int32_t *group, *domain; /* [n] */
  const int64_t *tag;            /* [n] or NULL */
  bool *ready;                   /* [n] results: a probe was there */
  double *g, *baseline, *target;
};
int poise_step(struct poise *p, const struct poise_options *o, struct poise_batch *b, struct arena *scratch,
               struct error *err) MUST_USE;

/* Multiply-adds of a step with so many new rows, where the window holds `most` rows or `steps` steps, for the planner.
 */
double poise_work(const struct poise_options *o, int64_t most, double fresh, double dim);

/* Everything of struct poise. A blob of another shape is ERROR_INPUT. */
void poise_save(const struct poise *p, struct text *out);
int poise_load(struct poise *p, const struct poise_options *o, const void *bytes, size_t size,
               struct error *err) MUST_USE;

#endif

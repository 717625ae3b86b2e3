/* poise: the policy's own states as critic (arXiv 2605.07579; code holi-lab/POISE).
 *
 *     A_i = R_i - b_i       b_i: what a probe guesses from the states of the other rollouts of the problem
 *
 * The guess for a rollout never enters its own advantage, so the gradient stays unbiased; and as it does not need many
 * rollouts to average over, two a problem are enough and a step can hold more problems. No standard deviation divides:
 * groups of equal rewards have an advantage too. The probe is fitted anew in each step (part_poise.h), after it was
 * used.
 *
 * The paper trains with grpo's {aggregation: seq_mean_token_mean, clip_high: 0.28, clip_dual: .inf}. How many steps its
 * window has is not said (n_steps).
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_poise.h"

enum { TARGET_OTHER, TARGET_MEAN };
enum { MARKER_NONE, MARKER_WHOLE };

#define OPTIONS(X)                                                                                                \
  X(INT, layer, 19, -1000, 1000, NULL, "layer of the states: k is the output of block k, -2 of the last but one") \
  X(INT, m_p, 10, 1, 4096, NULL, "tokens at the end of the prompt whose states are averaged")                     \
  X(INT, m_r, 10, 1, 4096, NULL, "tokens at the end of the reasoning whose states are averaged")                  \
  X(ENUM, model, PROBE_RIDGE, 0, 0, PROBE_MODEL_WORDS, "the probe")                                               \
  X(REAL, alpha, 0.01, 1e-9, 1e15, NULL, "its ridge; the released runs have 100 with components, 32 and 64")      \
  X(REAL, alpha_second, 0, 0, 1e15, NULL, "ridge: a second one, whose guess is averaged with the first; 0: none") \
  X(INT, pca_prompt, 0, 0, 4096, NULL, "principal components of the prompt's state; 0: the state as it is")       \
  X(INT, pca_response, 0, 0, 4096, NULL, "principal components of the response's state; 0: the state as it is")   \
  X(REAL, clip_min, 0, -1e9, 1e9, NULL, "least guess")                                                            \
  X(REAL, clip_max, 1, -1e9, 1e9, NULL, "largest guess")                                                          \
  X(ENUM, target, TARGET_OTHER, 0, 0, "other|mean", "what is learned: the other rollouts' mean reward, or all's") \
  X(ENUM, window, POISE_ROWS, 0, 0, POISE_WINDOW_WORDS, "what is kept: max_rows rows a domain, or n_steps steps") \
  X(INT, max_rows, 4096, 1, 1e7, NULL, "window: rows: the oldest groups go while a domain has more")              \
  X(INT, n_steps, 4, 1, 1e6, NULL, "window: steps: how many, this one included")                                  \
  X(INT, bootstrap, 16, 0, 1e9, NULL, "first steps, whose baseline is the others' mean reward")                   \
  X(INT, warmup, 8, 0, 1e9, NULL, "steps with rows of a domain before its probe is fitted again")                 \
  X(BOOL, pool_marker, 1, 0, 1, NULL, "the closing marker itself is among the reasoning's states")                \
  X(ENUM, no_marker, MARKER_NONE, 0, 0, "none|whole", "entropy of the reasoning where nothing closes it")         \
  X(STRING, open, 0, 0, 0, "<think>", "text that begins the reasoning")                                           \
  X(STRING, close, 0, 0, 0, "</think>", "text that ends it, where it stands last")                                \
  X(STRING, domain, 0, 0, 0, "domain", "field of a problem whose values have a probe each; absent: one for all")

struct self {
  OPTIONS(OPTION_FIELD)
  struct poise *probes; /* NULL before the first step */
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"ready", "share", "rollouts whose domain has a probe"},
    {"rows", "", "rows that the probes are fitted on"},
    {"baseline", "", "mean baseline"},
    {"error", "", "mean distance of the baseline from the reward"},
    {"reduction", "share", "1 - Var(A) / Var(R): what the baseline takes off; below 0 it harms"},
};

static struct poise_options options_of(const struct self *o)
{
  struct probe_options p = {.model = (enum probe_model)o->model,
                            .alpha = {o->alpha, o->alpha_second},
                            .alphas = o->alpha_second > 0 ? 2 : 1,
                            .components = {(int32_t)o->pca_prompt, (int32_t)o->pca_response},
                            .low = o->clip_min,
                            .high = o->clip_max};
  return (struct poise_options){.probe = p,
                                .with_own = o->target == TARGET_MEAN,
                                .bootstrap = o->bootstrap,
                                .warmup = o->warmup,
                                .window = (enum poise_window)o->window,
                                .steps = o->n_steps};
}

static double arithmetic(const void *self, const struct work_shape *s)
{
  const struct self *o = self;
  const struct poise_options of = options_of(o);
  return poise_work(&of, o->max_rows, s->groups * s->group, s->width) +
         s->groups * s->group * (double)(o->m_p + o->m_r) * s->width;
}

static int declare(const void *self, struct needs *out, struct error *err)
{
  const struct self *o = self;
  (void)err;
  out->flags |= NEED_HIDDEN | NEED_LAST_STATE | NEED_SPANS;
  out->hidden_layers[out->hidden_count++] = (int32_t)o->layer;
  out->prompt_states = (int32_t)o->m_p;
  out->own[out->own_count++] = (struct own_work){arithmetic, o};
  return 0;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

static int save(const void *self, struct text *out, struct error *err)
{
  const struct self *o = self;
  (void)err;
  if (o->probes) poise_save(o->probes, out);
  return 0;
}

static int open_probes(struct self *o, struct arena *run, struct error *err)
{
  if (!(o->probes = ARENA_NEW(run, struct poise, 1, "probe rows", err))) return err->code;
  o->probes->arena = run;
  return 0;
}

static int load(void *self, struct arena *run, const void *bytes, size_t size, struct error *err)
{
  struct self *o = self;
  struct poise_options of = options_of(o);
  if (!size) return 0;
  TRY(open_probes(o, run, err));
  return poise_load(o->probes, &of, bytes, size, err);
}

/* ---- features ---------------------------------------------------------------------------------------------------- */

/* Room for one response at a time. */
struct room {
  const float **prompt, **state;
  double *entropy, *work;
  int32_t *at;
};

static void read_response(const struct self *o, const struct step *s, const struct rollout *r, struct room *room,
                          struct poise_response *out)
{
  int32_t width = s->scores->of[0].states.width, layer = (int32_t)o->layer;
  int32_t length = tree_path_length(s->tree, s->contexts[r->training].segment);
  *out = (struct poise_response){.prompt = {.f32 = room->prompt, .width = width},
                                 .state = {.f32 = room->state, .width = width},
                                 .entropy = room->entropy,
                                 .at = room->at,
                                 .count = r->path_count};
  for (int32_t p = length > o->m_p ? length - (int32_t)o->m_p : 0; p < length; p++) {
    const float *h = scores_prompt_hidden(s, layer, r->training, p);
    if (h) room->prompt[out->prompt_count++] = h;
  }
  for (int32_t i = 0; i < r->path_count; i++) {
    room->state[i] = scores_state(s, layer, r->path + i);
    room->entropy[i] = (double)step_record(s, r->path + i)->entropy;
    room->at[i] = step_response_index(s, r->path + i);
  }
  poise_reasoning(r, o->open, o->close, out);
}

static int read_features(struct method_call *c, const struct step *s, double *z, struct error *err)
{
  const struct self *o = c->self;
  struct poise_pools pools = {(int32_t)o->m_p, (int32_t)o->m_r, o->pool_marker, o->no_marker == MARKER_WHOLE};
  size_t most = (size_t)s->path_count + 1;
  struct room room = {ARENA_NEW(c->scratch, const float *, (size_t)o->m_p, "poise", err),
                      ARENA_NEW(c->scratch, const float *, most, "poise", err),
                      ARENA_NEW(c->scratch, double, most, "poise", err),
                      ARENA_NEW(c->scratch, double, (size_t)o->probes->dim + 1, "poise", err),
                      ARENA_NEW(c->scratch, int32_t, most, "poise", err)};
  if (!room.prompt || !room.state || !room.entropy || !room.work || !room.at) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    struct poise_response r;
    read_response(o, s, &s->rollouts[s->order[i]], &room, &r);
    poise_features(&r, &pools, z + (int64_t)i * o->probes->inputs, room.work);
  }
  return 0;
}

/* ---- the advantage ----------------------------------------------------------------------------------------------- */

static const char *domain_of(const struct self *o, const struct problem *p)
{
  const char *name = p && p->fields ? json_string_value(json_object_get(p->fields, o->domain)) : NULL;
  return name ? name : "";
}

/* The step's rows, in canonical order: rollouts of a group stand together. */
static int open_batch(struct method_call *c, const struct step *s, struct poise_batch *b, struct error *err)
{
  const struct self *o = c->self;
  struct poise_options of = options_of(o);
  size_t n = (size_t)s->kept + 1;
  double *list = ARENA_NEW(c->scratch, double, 4 * n, "poise", err);
  double *z = ARENA_NEW(c->scratch, double, n *(size_t)o->probes->inputs, "poise", err);
  int32_t *id = ARENA_NEW(c->scratch, int32_t, 2 * n, "poise", err);
  bool *ready = ARENA_NEW(c->scratch, bool, n, "poise", err);
  if (!list || !z || !id || !ready) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    const struct group *g = &s->groups[r->group];
    list[i] = s->reward[s->order[i]];
    id[i] = g->ordinal;
    TRY(poise_domain(o->probes, &of, domain_of(o, g->problem), o->max_rows, &id[n + (size_t)i], err));
  }
  *b = (struct poise_batch){s->kept, z, list, id, id + n, NULL, ready, list + n, list + 2 * n, list + 3 * n};
  return read_features(c, s, z, err);
}

static void report(struct method_call *c, const struct poise *p, const struct poise_batch *b, const double *credit)
{
  double ready = 0, sum = 0, error = 0, rows = 0, of = poise_variance(b->reward, b->n);
  for (int32_t i = 0; i < b->n; i++) {
    ready += b->ready[i];
    sum += b->baseline[i];
    error += math_abs(credit[i]);
  }
  for (int32_t k = 0; k < p->domain_count; k++) rows += p->domains[k].count;
  method_report(c, "rows", rows);
  method_report(c, "ready", b->n ? ready / b->n : 0);
  method_report(c, "baseline", b->n ? sum / b->n : 0);
  method_report(c, "error", b->n ? error / b->n : 0);
  method_report(c, "reduction", of > 0 ? 1 - poise_variance(credit, b->n) / of : 0);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  struct self *o = c->self;
  struct poise_options of = options_of(o);
  struct poise_batch b;
  if (!s->kept) return 0;
  if (!o->probes) TRY(open_probes(o, c->run, err));
  if (!o->probes->inputs) {
    o->probes->dim = s->scores->of[0].states.width;
    o->probes->inputs = 2 * o->probes->dim + 3;
  }
  TRY(open_batch(c, s, &b, err));
  double *credit = ARENA_NEW(c->scratch, double, (size_t)b.n, "poise", err);
  if (!credit) return err->code;
  TRY(poise_step(o->probes, &of, &b, c->scratch, err));
  for (int32_t i = 0; i < b.n; i++) {
    credit[i] = b.reward[i] - b.baseline[i];
    step_spread(s, s->order[i], credit[i], out->advantage);
  }
  report(c, o->probes, &b, credit);
  return 0;
}

const struct method method_poise = {
    .name = "poise",
    .title = "POISE: the policy's states as critic",
    .paper = "arXiv 2605.07579; code holi-lab/POISE",
    .number = 36,
    .base = "grpo",
    .needs = NEED_HIDDEN | NEED_LAST_STATE | NEED_SPANS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .save = save,
    .load = load,
    .advantage = advantage,
};

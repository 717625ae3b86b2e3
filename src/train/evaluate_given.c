/* Evaluation of supervised training on texts that it never sees: how well they are predicted, and of pairs which side
 * the model holds for the better one. Nothing is sampled. */
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "eval/estimators.h"
#include "train/evaluate_given.h"
#include "train/given.h"
#include "train/preference.h"
#include "train/run.h"
#include "train/token_pass.h"

/* Sums over a set. */
struct tally {
  double nll;    /* of tokens with loss */
  double tokens; /* of them */
  double right, pairs;
  double margin, chosen, rejected; /* sums over pairs: of their scores */
};

/* ---- the sets --------------------------------------------------------------------------------------------------- */

int evaluate_given_open(struct run *r, const struct source *source, int64_t wanted, struct eval_set *set,
                        struct error *err)
{
  uint64_t count = source_count(source), left = count;
  if (!count)
    left = count = wanted ? (uint64_t)wanted : 256;
  else if (wanted && (uint64_t)wanted < count)
    left = (uint64_t)wanted;
  set->name = source_name(source);
  if (!(set->problems = ARENA_NEW(r->arena, struct problem, left, "evaluation", err))) return err->code;
  for (uint64_t i = 0; i < count && left; i++) {
    struct given g;
    struct problem *p = &set->problems[set->count];
    TRY(source_problem(source, r->arena, i, p, err));
    TRY(given_read(r, r->step_arena, p, &g, err));
    bool fits = given_longest(&g) <= run_example_room(r);
    arena_reset(r->step_arena);
    set->count += fits;
    left -= fits;
  }
  if (set->count) return 0;
  FAIL(err, ERROR_INPUT, "evaluation data %s has no example of at most train.max_tokens tokens; expected one",
       set->name);
}

/* ---- scores ----------------------------------------------------------------------------------------------------- */

struct evaluating {
  struct run *run;
  enum given_form form;
  struct arena *arena; /* of a chunk */
  struct tally tally;
};

/* Of a rollout: its log-ratio to the reference, its log-probability where there is none, or its value. */
static double score_of(const struct evaluating *w, const struct step *s, const struct rollout *o, const double *logp,
                       const struct token_want *want)
{
  double sum = 0;
  if (w->form == GIVEN_SCORED)
    return value_at(w->run->policies.value, states_row(want->states, LAYER_LAST, want->before[o->path]));
  for (int32_t i = o->path; i < o->path + o->path_count; i++) sum += logp[i] - (s->reference ? s->reference[i] : 0);
  return sum;
}

static void add_up(struct evaluating *w, const struct step *s, const struct token_want *want)
{
  struct tally *t = &w->tally;
  for (int32_t i = 0; w->form != GIVEN_SCORED && i < s->path_count; i++) t->nll -= want->logp[i];
  t->tokens += s->path_count;
  for (int32_t g = 0; w->form != GIVEN_EXAMPLES && g < s->group_count; g++) {
    const int32_t *of = s->order + s->groups[g].first;
    double chosen = score_of(w, s, &s->rollouts[of[0]], want->logp, want);
    double rejected = score_of(w, s, &s->rollouts[of[1]], want->logp, want);
    t->chosen += chosen;
    t->rejected += rejected;
    t->margin += chosen - rejected;
    t->right += chosen > rejected ? 1 : chosen < rejected ? 0 : 0.5;
    t->pairs++;
  }
}

static int read_step(struct evaluating *w, struct step *s, struct error *err)
{
  struct run *r = w->run;
  struct arena *a = w->arena;
  static const int32_t LAST[] = {LAYER_LAST};
  struct token_pass pass = {.trainer = r->trainer,
                            .step = s,
                            .rollouts = s->order,
                            .rollout_count = s->kept,
                            .count = s->path_count,
                            .trained = true};
  struct token_want want = {.logp = ARENA_NEW(a, double, (size_t)s->path_count, "evaluation", err)};
  struct states states = {0};
  if (!want.logp) return err->code;
  if (w->form == GIVEN_SCORED) {
    want.layer_count = 1;
    want.layers = LAST;
    want.states = &states;
    if (!(want.before = ARENA_NEW(a, int32_t, (size_t)s->path_count, "evaluation", err))) return err->code;
  }
  TRY(preference_fill(r, s, true, err));
  TRY(token_pass_open(&pass, a, err));
  TRY(token_pass_read(&pass, a, s->temperature, &want, err));
  add_up(w, s, &want);
  return 0;
}

static int evaluate_set(struct evaluating *w, const struct eval_set *set, struct error *err)
{
  enum { CHUNK = 32 };
  struct run *r = w->run;
  int32_t most = r->recipe->train.batch < CHUNK ? (int32_t)r->recipe->train.batch : CHUNK;
  w->tally = (struct tally){0};
  for (int32_t first = 0; first < set->count; first += most) {
    int32_t n = set->count - first < most ? set->count - first : most;
    arena_reset(w->arena);
    struct given *items = ARENA_NEW(w->arena, struct given, (size_t)n, "evaluation", err);
    struct step *s;
    if (!items) return err->code;
    for (int32_t i = 0; i < n; i++) TRY(given_read(r, w->arena, &set->problems[first + i], &items[i], err));
    TRY(given_open_step(r, w->arena, items, n, &s, err));
    TRY(read_step(w, s, err));
    log_progress("evaluate", first + n, set->count, "examples");
  }
  log_progress_end();
  return 0;
}

/* ---- report ----------------------------------------------------------------------------------------------------- */

static void put(struct run *r, const struct eval_set *set, const char *what, double value)
{
  char name[64];
  const char *base = strncmp(set->name, "task:", 5) ? path_base(set->name) : set->name + 5;
  int n = (int)strcspn(base, ".");
  snprintf(name, sizeof name, "eval/%.*s/%s", n > 40 ? 40 : n, base, what);
  metrics_set(&r->metrics, name, value);
}

/* What a larger number of says that the model is better. */
static double report(struct evaluating *w, const struct eval_set *set)
{
  struct run *r = w->run;
  const struct tally *t = &w->tally;
  double loss = t->tokens > 0 ? t->nll / t->tokens : 0, low, high;
  if (w->form == GIVEN_EXAMPLES) {
    put(r, set, "loss", loss);
    put(r, set, "perplexity", math_exp(loss));
    put(r, set, "tokens", t->tokens);
    log_info("evaluation %s, step %lld: loss %.4f, perplexity %.3f, %d examples", path_base(set->name),
             (long long)r->step, loss, math_exp(loss), set->count);
    return -loss;
  }
  double accuracy = t->right / t->pairs;
  eval_wilson(accuracy, t->pairs, &low, &high);
  put(r, set, "accuracy", accuracy);
  put(r, set, "low", low);
  put(r, set, "high", high);
  put(r, set, "margin", t->margin / t->pairs);
  put(r, set, "chosen", t->chosen / t->pairs);
  put(r, set, "rejected", t->rejected / t->pairs);
  log_info("evaluation %s, step %lld: the chosen side is ahead in %.1f %% (95 %%: %.1f to %.1f) of %d pairs, by %.3f",
           path_base(set->name), (long long)r->step, 100 * accuracy, 100 * low, 100 * high, set->count,
           t->margin / t->pairs);
  return accuracy;
}

int evaluate_given_run(struct run *r, double *mean, struct error *err)
{
  struct evaluating w = {.run = r, .form = given_form(r->recipe), .arena = arena_create("evaluation", 1 << 20, err)};
  double sum = 0;
  int rc = w.arena ? 0 : err->code;
  for (size_t i = 0; !rc && i < r->eval_set_count; i++) {
    rc = evaluate_set(&w, &r->eval_sets[i], err);
    if (!rc) sum += report(&w, &r->eval_sets[i]);
  }
  arena_destroy(w.arena);
  *mean = sum / (double)r->eval_set_count;
  return rc;
}

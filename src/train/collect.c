/* Which rollouts a step has: problems, and waves of attempts until no method asks for more or the recipe's budget is
 * spent. */
#include "train/wave.h"

#include "core/math.h"

#include <inttypes.h>
#include <string.h>

/* ---- which problems -----------------------------------------------------------------------------------------------
 */

struct drawing {
  struct run *run;
  struct step *step;
};

int collect_draw(struct run *r, struct step *s, const struct problem **out, struct error *err)
{
  struct problem *p = ARENA_NEW(s->arena, struct problem, 1, "problems", err);
  if (!p) return err->code;
  TRY(stream_next(r->stream, s->arena, p, err));
  *out = p;
  return 0;
}

static int draw(void *arg, const struct problem **out, struct error *err)
{
  struct drawing *d = arg;
  return collect_draw(d->run, d->step, out, err);
}

static struct problem_history history_of(void *arg, const struct problem *p)
{
  struct history_record h = history_get(((struct drawing *)arg)->run->history, p->id);
  return (struct problem_history){h.tried, h.solved, h.steps, h.last_step};
}

/* A group: its prompt as a root of the tree, a context that reads it, and the rollouts that are wanted. */
static int add_group(struct run *r, struct step *s, const struct problem *p, int32_t rollouts, int32_t attempt,
                     struct error *err)
{
  int32_t group, segment, context, rollout;
  struct token_list ids = {0};
  int rc = session_problem_ids(&r->session, p, r->template_variables, &ids, err);
  if (!rc) rc = step_add_group(s, p, rollouts, &group, err);
  if (!rc) rc = tree_add_segment(s->tree, -1, SEGMENT_PROMPT, (int32_t)ids.count, &segment, err);
  if (!rc) rc = tree_append_ids(s->tree, segment, ids.ids, (int32_t)ids.count, 0, err);
  token_list_free(&ids);
  if (rc) return error_context(err, "problem %s", p->id);
  TRY(step_add_context(s, group, "policy", "plain", segment, &context, err));
  for (int32_t i = 0; i < rollouts; i++) TRY(step_add_rollout(s, group, context, attempt, i, &rollout, err));
  return 0;
}

/* Attempts that a step may make: what the planner reserved memory for. */
static int64_t most_attempts(const struct recipe *r)
{
  return r->rollout.problems * r->rollout.group * r->rollout.max_attempts;
}

static int64_t most_tokens(const struct recipe *r)
{
  return r->rollout.max_tokens ? r->rollout.max_tokens : most_attempts(r) * r->rollout.max_new_tokens;
}

/* The first wave is what the recipe and `select` say: a budget that doesn't hold it is wrong. */
static int check_first(const struct recipe *r, const struct selection *picked, struct error *err)
{
  int64_t rollouts = 0;
  for (int32_t i = 0; i < picked->count; i++) rollouts += picked->picks[i].rollouts;
  if (rollouts > most_attempts(r))
    FAIL(
        err, ERROR_INPUT,
        "%" PRId64 " rollouts are picked for the step; expected at most %" PRId64
        " (rollout.problems x rollout.group x rollout.max_attempts); raise one of them, or change the method's options",
        rollouts, most_attempts(r));
  if (rollouts * r->rollout.max_new_tokens <= most_tokens(r)) return 0;
  FAIL(err, ERROR_INPUT,
       "rollout.max_tokens: %" PRId64 " tokens do not hold the %" PRId64 " rollouts of the first wave of up to %" PRId64
       " tokens; raise it to %" PRId64 " or more, or ask for fewer rollouts",
       most_tokens(r), rollouts, r->rollout.max_new_tokens, rollouts * r->rollout.max_new_tokens);
}

int collect_problems(struct run *r, struct step *s, bool *ended, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  int32_t room = (int32_t)recipe->rollout.problems;
  struct drawing d = {r, s};
  struct selection selection = {
      .number = s->number, .total = s->total, .room = room, .arg = &d, .draw = draw, .history = history_of};
  selection.picks = ARENA_NEW(s->arena, struct pick, (size_t)room, "problems", err);
  if (!selection.picks) return err->code;
  for (int32_t i = 0; i < room; i++) {
    TRY(draw(&d, &selection.picks[i].problem, err));
    selection.picks[i].rollouts = (int32_t)recipe->rollout.group;
    selection.count++;
  }
  TRY(compose_select(r->methods, &selection, err));
  *ended = selection.end_run;
  if (*ended) return 0;
  TRY(check_first(recipe, &selection, err));
  for (int32_t i = 0; i < selection.count; i++)
    TRY(add_group(r, s, selection.picks[i].problem, selection.picks[i].rollouts, 0, err));
  return 0;
}

/* ---- waves --------------------------------------------------------------------------------------------------------
 */

/* Attempts that are not made yet, by group; within one as they were asked for. */
static int pending(struct step *s, struct wave *out, struct error *err)
{
  int32_t *first = ARENA_NEW(s->arena, int32_t, (size_t)s->group_count + 1, "waves", err);
  int32_t *list = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "waves", err);
  if (!first || !list) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++) first[s->rollouts[i].group + 1] += s->rollouts[i].leaf < 0;
  for (int32_t g = 0; g < s->group_count; g++) first[g + 1] += first[g];
  *out = (struct wave){.step = s, .rollouts = list, .count = first[s->group_count]};
  for (int32_t i = 0; i < s->rollout_count; i++)
    if (s->rollouts[i].leaf < 0) list[first[s->rollouts[i].group]++] = i;
  return 0;
}

int collect_wave(struct run *r, struct step *s, struct error *err)
{
  struct wave w;
  TRY(pending(s, &w, err));
  TRY(compose_guide(r->methods, s, w.rollouts, w.count, err));
  if (!s->wave) TRY(collect_begin_verdicts(r, s->number, false, err));
  TRY(wave_run(r, &w, err));
  TRY(compose_reward(r->methods, s, err));
  return r->recipe->combination ? collect_combine(r, s, err) : 0;
}

static int64_t generated_tokens(const struct step *s)
{
  int64_t n = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) n += s->tree->segments[s->rollouts[i].leaf].count;
  return n;
}

static struct revision open_revision(const struct run *r, const struct step *s)
{
  const struct recipe *recipe = r->recipe;
  int64_t attempts = 0, by_tokens = (most_tokens(recipe) - generated_tokens(s)) / recipe->rollout.max_new_tokens;
  for (int32_t i = 0; i < s->rollout_count; i++) attempts += s->rollouts[i].probe == NULL;
  int64_t left = most_attempts(recipe) - attempts;
  if (by_tokens < left) left = by_tokens;
  return (struct revision){.rollouts_left = left > 0 ? left : 0,
                           .last = left < 1 || s->wave + 1 >= recipe->rollout.max_attempts};
}

/* Further attempts of a group in this wave are numbered on from those that were asked for before. */
static int add_attempts(struct step *s, const struct revision_request *q, int32_t attempt, struct error *err)
{
  int32_t ordinal = 0, rollout;
  for (int32_t i = s->rollout_count; i-- > 0 && s->rollouts[i].attempt == attempt && !s->rollouts[i].probe;)
    ordinal += s->rollouts[i].group == q->group;
  for (int32_t i = 0; i < q->count; i++) {
    int32_t context = q->context >= 0 ? q->context : s->groups[q->group].context;
    TRY(step_add_rollout(s, q->group, context, attempt, ordinal + i, &rollout, err));
  }
  return 0;
}

/* Metrics of all attempts, those that were dropped too. */
static void report_waves(struct run *r, const struct step *s, const struct revision *v)
{
  int64_t dropped = 0, probes = 0, right = 0, judged = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    probes += o->probe != NULL;
    if (o->probe) continue;
    dropped += !o->kept && o->status == ROLLOUT_OK;
    right += o->status == ROLLOUT_OK && o->verdict.correct;
    judged += o->status == ROLLOUT_OK;
  }
  metrics_set_int(&r->metrics, "rollout/waves", s->wave + 1);
  metrics_set_int(&r->metrics, "rollout/dropped", dropped);
  metrics_set_int(&r->metrics, "rollout/probes", probes);
  metrics_set(&r->metrics, "rollout/solved", judged ? (double)right / (double)judged : 0);
  metrics_add_int(&r->metrics, "rollout/refused", v->refused);
}

int collect_revise(struct run *r, struct step *s, bool *more, struct error *err)
{
  struct revision v = open_revision(r, s);
  int32_t attempt = s->wave + 1;
  TRY(compose_revise(r->methods, s, &v, err));
  report_waves(r, s, &v);
  for (int32_t i = 0; i < v.again_count; i++) {
    const struct revision_request *q = &v.again[i];
    if (q->problem)
      TRY(add_group(r, s, q->problem, q->count, attempt, err));
    else
      TRY(add_attempts(s, q, attempt, err));
  }
  *more = v.again_count > 0;
  return 0;
}

int collect_history(struct run *r, const struct step *s, struct error *err)
{
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    if (o->probe || o->status == ROLLOUT_FAILED) continue;
    TRY(history_add(r->history, s->groups[o->group].problem->id, s->number, 1, o->verdict.correct, err));
  }
  return 0;
}

/* ---- rollouts that are trained in another context than they were made in -------------------------------------------
 */

int collect_score_twins(struct run *r, struct step *s, struct error *err)
{
  struct batch_path *paths = ARENA_NEW(s->arena, struct batch_path, (size_t)s->kept, "twins", err);
  struct batch *b;
  int32_t n = 0;
  if (!paths) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *o = &s->rollouts[s->order[i]];
    for (int32_t k = 0; k < o->row_count; k++)
      if (s->tree->segments[o->rows[k].leaf].weight_version < 0 && o->training != o->generating)
        paths[n++].leaf = o->rows[k].leaf;
  }
  if (!n) return 0;
  TRY(trainer_batch(r->trainer, s->arena, s->tree, paths, n, &b, err));
  double *logp = ARENA_NEW(s->arena, double, (size_t)b->target_count, "twins", err),
         *entropy = ARENA_NEW(s->arena, double, (size_t)b->target_count, "twins", err);
  if (!logp || !entropy) return err->code;
  TRY(trainer_score(r->trainer, s->arena, b, s->temperature, logp, entropy, err));
  for (int32_t i = 0; i < n; i++) {
    struct segment *g = &s->tree->segments[paths[i].leaf];
    for (int32_t k = 0; k < g->count; k++) {
      g->tokens[k].logp = (float)logp[batch_target(b, paths[i].leaf, k)];
      g->tokens[k].entropy = (float)entropy[batch_target(b, paths[i].leaf, k)];
    }
    g->weight_version = s->weight_version;
  }
  return 0;
}

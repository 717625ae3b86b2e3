/* Problems, prompts, rollouts and verdicts of a step. */
#include "train/run.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"

#include <string.h>

/* ---- which problems -------------------------------------------------------------------------------------------------
 */

struct drawing {
  struct run *run;
  struct step *step;
};

static int draw(void *arg, const struct problem **out, struct error *err)
{
  struct drawing *d = arg;
  struct problem *p = ARENA_NEW(d->step->arena, struct problem, 1, "problems", err);
  if (!p) return err->code;
  TRY(stream_next(d->run->stream, d->step->arena, p, err));
  *out = p;
  return 0;
}

static struct problem_history history_of(void *arg, const struct problem *p)
{
  struct history_record h = history_get(((struct drawing *)arg)->run->history, p->id);
  return (struct problem_history){h.tried, h.solved, h.steps, h.last_step};
}

/* A group: its prompt as a root of the tree, a context that reads it, and the rollouts that are wanted. */
static int add_group(struct run *r, struct step *s, const struct pick *pick, struct error *err)
{
  int32_t group, segment, context, rollout;
  struct token_list ids = {0};
  int rc = session_problem_ids(&r->session, pick->problem, r->template_variables, &ids, err);
  if (!rc) rc = step_add_group(s, pick->problem, pick->rollouts, &group, err);
  if (!rc) rc = tree_add_segment(s->tree, -1, SEGMENT_PROMPT, (int32_t)ids.count, &segment, err);
  if (!rc) rc = tree_append_ids(s->tree, segment, ids.ids, (int32_t)ids.count, 0, err);
  token_list_free(&ids);
  if (rc) return error_context(err, "problem %s", pick->problem->id);
  TRY(step_add_context(s, group, "policy", "plain", segment, &context, err));
  for (int32_t i = 0; i < pick->rollouts; i++) TRY(step_add_rollout(s, group, context, 0, i, &rollout, err));
  return 0;
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
  for (int32_t i = 0; !*ended && i < selection.count; i++) TRY(add_group(r, s, &selection.picks[i], err));
  return 0;
}

/* ---- rollouts and verdicts -------------------------------------------------------------------------------------- */

int collect_text(const struct run *r, struct arena *a, const struct tree *t, int32_t leaf, char **text, size_t *n,
                 struct error *err)
{
  const struct segment *s = &t->segments[leaf];
  const struct recipe_texts *stop = &r->recipe->rollout.stop;
  struct text out = {0};
  int32_t *ids = ARENA_NEW(a, int32_t, (size_t)s->count, "response", err);
  if (!ids) return err->code;
  for (int32_t i = 0; i < s->count; i++) ids[i] = s->tokens[i].id;
  tokenizer_decode(r->session.tokenizer, ids, (size_t)s->count, true, &out);
  int rc = text_finish(&out, err);
  *n = rc ? 0 : generate_find_stop(out.bytes ? out.bytes : "", out.size, stop->items, stop->count);
  *text = rc ? NULL : arena_strndup(a, out.bytes ? out.bytes : "", *n, "response", err);
  text_free(&out);
  return rc ? rc : *text ? 0 : err->code;
}

struct collecting {
  struct run *run;
  struct step *step;
  const struct generate_job *jobs;          /* [groups] */
  const struct verifier_config **verifiers; /* [groups] */
  int64_t tokens;
  struct error err; /* first failure inside a callback */
};

/* Called as soon as a rollout is complete: its verdict is made while others still generate. Job j is group j; its
 * rollouts follow each other in the step. */
static void finished(void *arg, int32_t job, int32_t rollout)
{
  struct collecting *c = arg;
  struct step *s = c->step;
  int32_t index = s->groups[job].first + rollout;
  char *text;
  size_t n;
  s->rollouts[index].leaf = c->jobs[job].leaf[rollout];
  s->rollouts[index].finish = c->jobs[job].finish[rollout];
  if (c->err.code) return;
  if (collect_text(c->run, s->arena, s->tree, s->rollouts[index].leaf, &text, &n, &c->err)) return;
  verify_queue_submit(c->run->verify, c->verifiers[job], s->groups[job].problem, text, n, (size_t)index);
}

static void counted(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct collecting *c = arg;
  (void)at;
  (void)record;
  if ((++c->tokens & 31) == 0) log_progress("generate", (double)c->tokens, 0, "tok");
}

static bool cancelled(void *arg)
{
  struct collecting *c = arg;
  return c->err.code || (c->run->stop && c->run->stop());
}

/* One job a group: rollouts of a group stand one behind the other. */
static struct generate_job *make_jobs(struct run *r, struct step *s, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  struct generate_job *jobs = ARENA_NEW(s->arena, struct generate_job, (size_t)s->group_count, "rollouts", err);
  int32_t *leaves = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "rollouts", err);
  enum finish *finishes = ARENA_NEW(s->arena, enum finish, (size_t)s->rollout_count, "rollouts", err);
  if (!jobs || !leaves || !finishes) return NULL;
  int32_t first = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    struct group *group = &s->groups[g];
    group->first = first;
    jobs[g] = (struct generate_job){
        .segment = s->contexts[group->context].segment,
        .count = group->wanted,
        .at = {.purpose = RNG_TRAIN, .step = (uint32_t)s->number, .group = (uint32_t)group->ordinal},
        .seed = s->seed,
        .sampling = {recipe->rollout.temperature, recipe->rollout.top_p, recipe->rollout.min_p,
                     (int32_t)recipe->rollout.top_k},
        .max_new_tokens = (int32_t)recipe->rollout.max_new_tokens,
        .stop = recipe->rollout.stop.items,
        .stop_count = recipe->rollout.stop.count,
        .leaf = leaves + first,
        .finish = finishes + first};
    first += group->wanted;
  }
  return jobs;
}

static int find_verifiers(struct collecting *c, struct error *err)
{
  struct step *s = c->step;
  c->verifiers = ARENA_NEW(s->arena, const struct verifier_config *, (size_t)s->group_count, "rollouts", err);
  if (!c->verifiers) return err->code;
  for (int32_t g = 0; g < s->group_count; g++)
    TRY(verifier_set_find(c->run->verifiers, s->groups[g].problem, &c->verifiers[g], err));
  return 0;
}

/* ---- verdicts ------------------------------------------------------------------------------------------------------
 */

int collect_open_journal(struct run *r, struct error *err)
{
  const char *file = r->recipe->file, *base = path_base(file);
  bool keep = r->folder != NULL;
  char *run = keep ? (char *)r->folder->path : arena_strndup(r->arena, file, (size_t)(base - file), "journal", err);
  char *folder = run ? path_join(r->arena, *run ? run : ".", "journal", err) : NULL;
  return folder ? journal_open(r->arena, folder, keep, &r->journal, err) : err->code;
}

int collect_begin_verdicts(struct run *r, int64_t step, bool evaluation, struct error *err)
{
  if (r->journal) TRY(journal_begin(r->journal, step, evaluation, err));
  verify_queue_set_journal(r->verify, r->journal, 0);
  return 0;
}

/* Judges again, once, what failed. The verdicts that are there lie in the step by now. */
static int judge_again(struct run *r, struct step *s, const struct collecting *c, struct verdict *verdicts,
                       struct error *err)
{
  int64_t count = 0;
  verify_queue_set_journal(r->verify, r->journal, 1);
  verify_queue_start(r->verify, verdicts, (size_t)s->rollout_count);
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    char *text;
    size_t n;
    if (o->status != ROLLOUT_FAILED) continue;
    TRY(collect_text(r, s->arena, s->tree, o->leaf, &text, &n, err));
    verify_queue_submit(r->verify, c->verifiers[o->group], s->groups[o->group].problem, text, n, (size_t)i);
    count++;
  }
  TRY(verify_queue_wait(r->verify, err));
  for (int32_t i = 0; i < s->rollout_count; i++)
    if (s->rollouts[i].status == ROLLOUT_FAILED) TRY(step_set_verdict(s, i, &verdicts[i], err));
  metrics_set_int(&r->metrics, "verify/again", count);
  return 0;
}

/* A verifier that failed is no wrong answer: the recipe says what it is. */
static int settle(struct run *r, struct step *s, int32_t index, struct error *err)
{
  struct rollout *o = &s->rollouts[index];
  const char *id = s->groups[o->group].problem->id;
  if (o->status != ROLLOUT_FAILED) return history_add(r->history, id, s->number, 1, o->verdict.correct, err);
  if (r->recipe->reward.on_failure == RECIPE_FAILURE_DROP) {
    o->kept = false;
    return 0;
  }
  return step_set_channel(s, index, 0, 0, err);
}

/* verify/failed and its parts: failures, of them those that took too long, and both by kind. */
static void count_failures(struct run *r, const struct step *s, const struct collecting *c)
{
  int64_t failed = 0, late = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    char name[64];
    const struct verifier *kind = c->verifiers[g]->verifier;
    snprintf(name, sizeof name, "verify/failed/%.40s", kind->name);
    if (kind->outside) metrics_set_int(&r->metrics, name, 0);
  }
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    char name[64];
    if (o->status != ROLLOUT_FAILED) continue;
    snprintf(name, sizeof name, "verify/failed/%.40s", c->verifiers[o->group]->verifier->name);
    double before = metrics_get(&r->metrics, name);
    metrics_set_int(&r->metrics, name, before > 0 ? (int64_t)before + 1 : 1);
    failed++;
    late += o->verdict.timeout;
  }
  metrics_set_int(&r->metrics, "verify/failed", failed);
  metrics_set_int(&r->metrics, "verify/timeouts", late);
}

/* ---- rewards beside the verifier's ------------------------------------------------------------------------------- */

/* The tokens that the model wrote, from the context to the leaf. */
static int own_ids(const struct step *s, const struct rollout *o, const int32_t **out, int32_t *count,
                   struct error *err)
{
  const struct segment *leaf = &s->tree->segments[o->leaf];
  int32_t from = 0;
  int32_t *ids = ARENA_NEW(s->arena, int32_t, (size_t)(leaf->start + leaf->count), "rewards", err);
  if (!ids) return err->code;
  *count = 0;
  for (int32_t at = o->leaf; at >= 0; at = s->tree->segments[at].parent)
    for (int32_t i = 0; i < s->tree->segments[at].count; i++)
      *count += (s->tree->segments[at].tokens[i].flags & TOKEN_OWN) != 0;
  from = *count;
  for (int32_t at = o->leaf; at >= 0; at = s->tree->segments[at].parent)
    for (int32_t i = s->tree->segments[at].count; i-- > 0;)
      if (s->tree->segments[at].tokens[i].flags & TOKEN_OWN) ids[--from] = s->tree->segments[at].tokens[i].id;
  *out = ids;
  return 0;
}

static int add_channels(struct run *r, struct step *s, int32_t index, struct error *err)
{
  const struct rollout *o = &s->rollouts[index];
  struct channel_input in = {.problem = s->groups[o->group].problem,
                             .verdict = &o->verdict,
                             .max_new_tokens = (int32_t)r->recipe->rollout.max_new_tokens};
  char *text;
  TRY(own_ids(s, o, &in.ids, &in.tokens, err));
  TRY(collect_text(r, s->arena, s->tree, o->leaf, &text, &in.n, err));
  in.response = text;
  for (size_t i = 0; i < r->recipe->channel_count; i++) {
    const struct channel_config *c = &r->recipe->channels[i];
    double value;
    int32_t channel;
    TRY(c->channel->value(s->arena, c, &in, &value, err));
    TRY(step_channel(s, c->name, &channel, err));
    if (!math_is_nan(value)) TRY(step_set_channel(s, index, channel, value, err));
  }
  return 0;
}

struct asked {
  const struct step *step;
  int32_t rollout;
  const char *unknown; /* a channel that nobody has */
};

static double channel_of(void *arg, const char *name)
{
  struct asked *a = arg;
  double value = 0;
  int channel = step_find_channel(a->step, name);
  if (channel < 0 || a->step->channel_metric_only[channel]) a->unknown = name;
  return channel >= 0 && step_get_channel(a->step, a->rollout, channel, &value) ? value : 0;
}

int collect_combine(struct run *r, struct step *s, struct error *err)
{
  int32_t channel;
  TRY(step_channel(s, "combined", &channel, err));
  for (int32_t i = 0; i < s->rollout_count; i++) {
    struct asked asked = {s, i, NULL};
    double value = combine_value(r->recipe->combination, channel_of, &asked);
    if (asked.unknown)
      FAIL_AT(err, ERROR_INPUT, r->recipe->file, 0, "reward.combine",
              "reward.combine names the channel \"%s\", which no verdict has; name \"reward\", a channel of the "
              "verifier, or one of reward.channels",
              asked.unknown);
    TRY(step_set_channel(s, i, channel, value, err));
  }
  return 0;
}

static int take_verdicts(struct run *r, struct step *s, struct verdict *verdicts, const struct collecting *c,
                         struct error *err)
{
  bool failed = false;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    TRY(step_set_verdict(s, i, &verdicts[i], err));
    failed = failed || s->rollouts[i].status == ROLLOUT_FAILED;
  }
  metrics_set_int(&r->metrics, "verify/again", 0);
  if (failed && r->recipe->reward.on_failure == RECIPE_FAILURE_RETRY) TRY(judge_again(r, s, c, verdicts, err));
  count_failures(r, s, c);
  for (int32_t i = 0; i < s->rollout_count; i++) TRY(settle(r, s, i, err));
  for (int32_t i = 0; i < s->rollout_count && r->recipe->channel_count; i++) TRY(add_channels(r, s, i, err));
  return 0;
}

int collect_rollouts(struct run *r, struct step *s, struct error *err)
{
  struct collecting c = {.run = r, .step = s};
  struct generate_hooks hooks = {.after_token = counted, .finished = finished, .cancelled = cancelled, .arg = &c};
  struct generate_counts counts;
  struct generate_job *jobs = make_jobs(r, s, err);
  struct verdict *verdicts = ARENA_NEW(s->arena, struct verdict, (size_t)s->rollout_count, "rollouts", err);
  if (!jobs || !verdicts) return err->code;
  c.jobs = jobs;
  TRY(find_verifiers(&c, err));
  TRY(collect_begin_verdicts(r, s->number, false, err));
  verify_queue_start(r->verify, verdicts, (size_t)s->rollout_count);
  log_progress("generate", 0, 0, "tok");
  int rc = generator_run(r->generator, s->tree, jobs, s->group_count, s->temperature, s->weight_version, &hooks,
                         &counts, err);
  double generated = clock_seconds();
  log_progress("verify", 0, 0, "answers");
  struct error waited = {0};
  int wait_rc = verify_queue_wait(r->verify, &waited);
  log_progress_end();
  if (c.err.code) {
    *err = c.err;
    return err->code;
  }
  TRY(rc);
  if (wait_rc) {
    *err = waited;
    return wait_rc;
  }
  metrics_set(&r->metrics, "seconds/generate", counts.seconds);
  metrics_set(&r->metrics, "verify/busy", verify_queue_seconds(r->verify));
  rc = take_verdicts(r, s, verdicts, &c, err);
  metrics_set(&r->metrics, "seconds/verify", clock_seconds() - generated);
  return rc;
}

/* What methods ask for while a batch is gathered: prompts of text, problems, probes, scores, second verdicts. */
#include "train/wave.h"

#include "core/log.h"
#include "train/score.h"

#include <inttypes.h>
#include <string.h>

static int prompt_ids(void *arg, const struct context_source *from, struct token_list *out, struct error *err)
{
  struct run *r = arg;
  return session_prompt_ids(&r->session, from->prompt, from->messages, r->template_variables, out, err);
}

static int draw(void *arg, struct step *s, const struct problem **out, struct error *err)
{
  return collect_draw(arg, s, out, err);
}

/* ---- probes ----------------------------------------------------------------------------------------------------- */

/* Probes of a group are numbered on, so that no two have one address. */
static int32_t next_ordinal(const struct step *s, const struct request *q)
{
  int32_t n = 0;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    const struct rollout *o = &s->rollouts[i];
    n += o->probe && o->group == q->group && o->attempt == s->wave && !strcmp(o->probe, q->purpose);
  }
  return n;
}

/* Probes that the planner reserved memory for. */
static int check_probes(const struct run *r, const struct step *s, const struct method_call *who, int32_t more,
                        struct error *err)
{
  int64_t probes = more,
          most = r->recipe->rollout.problems * r->recipe->rollout.max_attempts * compose_needs(r->methods)->probes;
  for (int32_t i = 0; i < s->rollout_count; i++) probes += s->rollouts[i].probe != NULL;
  if (probes <= most) return 0;
  FAIL(err, ERROR_INPUT,
       "%s asks for %" PRId64 " probes in a step; expected at most %" PRId64
       " (rollout.problems x rollout.max_attempts x the probes of a group that methods declare); change its options",
       who->method->name, probes, most);
}

static int add_probes(struct run *r, struct step *s, const struct method_call *who, const struct request *q,
                      struct answer *out, struct error *err)
{
  int64_t tokens = r->recipe->rollout.max_new_tokens;
  if (q->count < 1 || q->max_new_tokens < 1 || q->max_new_tokens > tokens || q->group < 0 || q->group >= s->group_count)
    FAIL(err, ERROR_INPUT,
         "%s asks for %" PRId32 " probes \"%s\" of up to %" PRId32 " tokens; expected 1 or more of 1 to %" PRId64
         " tokens (rollout.max_new_tokens)",
         who->method->name, q->count, q->purpose, q->max_new_tokens, tokens);
  int32_t *list = ARENA_NEW(s->arena, int32_t, (size_t)q->count, "probes", err);
  int32_t first = next_ordinal(s, q), context = q->context >= 0 ? q->context : s->groups[q->group].context;
  if (!list) return err->code;
  TRY(check_probes(r, s, who, q->count, err));
  for (int32_t i = 0; i < q->count; i++) {
    TRY(step_add_rollout(s, q->group, context, s->wave, first + i, &list[i], err));
    s->rollouts[list[i]].probe = q->purpose;
    s->rollouts[list[i]].kept = false;
  }
  out->rollouts = list;
  return 0;
}

static bool same_kind(const struct request *a, const struct request *b)
{
  return !strcmp(a->purpose, b->purpose) && a->max_new_tokens == b->max_new_tokens &&
         !memcmp(&a->sampling, &b->sampling, sizeof a->sampling);
}

/* Requests of one kind run together; kinds in the order of asking. */
static int generate(struct run *r, struct step *s, const struct method_call *who, const struct request *requests,
                    int32_t count, struct answer *answers, struct error *err)
{
  bool *done = ARENA_NEW(s->arena, bool, (size_t)count, "probes", err);
  int32_t before = s->rollout_count;
  if (!done) return err->code;
  for (int32_t i = 0; i < count; i++) {
    if (done[i] || requests[i].kind != REQUEST_GENERATE) continue;
    struct wave w = {.step = s, .request = &requests[i], .method = who->method->name};
    int32_t first = s->rollout_count;
    for (int32_t k = i; k < count; k++) {
      if (done[k] || requests[k].kind != REQUEST_GENERATE || !same_kind(&requests[i], &requests[k])) continue;
      TRY(add_probes(r, s, who, &requests[k], &answers[k], err));
      done[k] = true;
    }
    w.count = s->rollout_count - first;
    int32_t *list = ARENA_NEW(s->arena, int32_t, (size_t)w.count, "probes", err);
    if (!list) return err->code;
    for (int32_t k = 0; k < w.count; k++) list[k] = first + k;
    w.rollouts = list;
    TRY(wave_run(r, &w, err));
  }
  return s->rollout_count > before ? step_arrange(s, err) : 0;
}

/* ---- scores and states
 * ----------------------------------------------------------------------------------------------------- */

static bool is_score(const struct request *q, const char *policy)
{
  return (q->kind == REQUEST_SCORE || q->kind == REQUEST_HIDDEN) && !strcmp(q->policy, policy);
}

/* The tokens behind their paths; they stay in the tree, for `extra`. */
static int add_scored(struct run *r, struct step *s, const struct trainer *t, const char *policy,
                      const struct request *requests, int32_t count, struct answer *answers, struct batch_path *paths,
                      int32_t *n, struct error *err)
{
  *n = 0;
  for (int32_t i = 0; i < count; i++) {
    const struct request *q = &requests[i];
    if (!is_score(q, policy)) continue;
    ASSAY_BUG_IF(!t || q->id_count < 1 || q->segment < 0 || q->segment >= s->tree->count); /* the reference is a need */
    int32_t length = tree_path_length(s->tree, q->segment) + q->id_count;
    if (length > t->options.max_path)
      FAIL(err, ERROR_INPUT,
           "%" PRId32 " tokens behind a path of %" PRId32
           " are to be scored; expected at most %d together; lower "
           "rollout.max_new_tokens or rollout.max_prompt_tokens",
           q->id_count, length - q->id_count, t->options.max_path);
    TRY(tree_add_segment(s->tree, q->segment, SEGMENT_FORCED, q->id_count, &answers[i].segment, err));
    TRY(tree_append_ids(s->tree, answers[i].segment, q->ids, q->id_count, TOKEN_FORCED | TOKEN_SCORED, err));
    if (t == r->trainer) s->tree->segments[answers[i].segment].weight_version = s->weight_version;
    paths[(*n)++] = (struct batch_path){answers[i].segment, q->kind == REQUEST_HIDDEN};
  }
  return 0;
}

/* Distinct layers of the requests for states, in the decoder's order. */
static int want_layers(const struct run *r, struct step *s, const char *policy, const struct request *requests,
                       int32_t count, struct trainer_reading *out, struct error *err)
{
  struct needs n = {0};
  int32_t *layers = ARENA_NEW(s->arena, int32_t, NEEDS_NAMED + 1, "states", err);
  if (!layers) return err->code;
  for (int32_t i = 0; i < count; i++) {
    int32_t at = 0;
    if (!is_score(&requests[i], policy) || requests[i].kind != REQUEST_HIDDEN) continue;
    while (at < n.hidden_count && n.hidden_layers[at] != requests[i].layer) at++;
    if (at == NEEDS_NAMED)
      FAIL(err, ERROR_INPUT, "found requests for the states of more than %d layers at once; ask in several rounds",
           NEEDS_NAMED);
    n.hidden_layers[at] = requests[i].layer;
    n.hidden_count += at == n.hidden_count;
  }
  out->layers = layers;
  return score_layers(&n, r->session.model->config.layers, false, layers, &out->layer_count, err);
}

/* A place for the state of each request for one. */
static int want_states(const struct run *r, struct step *s, const struct batch *b, const char *policy,
                       const struct request *requests, int32_t count, const struct answer *answers,
                       struct trainer_reading *out, struct error *err)
{
  TRY(want_layers(r, s, policy, requests, count, out, err));
  int32_t *place = ARENA_NEW(s->arena, int32_t, (size_t)b->target_count, "states", err);
  if (!place) return err->code;
  for (int32_t t = 0; t < b->target_count; t++) place[t] = -1;
  for (int32_t i = 0; i < count; i++)
    if (is_score(&requests[i], policy) && requests[i].kind == REQUEST_HIDDEN)
      place[batch_target(b, answers[i].segment, requests[i].id_count - 1)] = out->state_count++;
  out->state = place;
  size_t cells = (size_t)out->layer_count * (size_t)out->state_count * (size_t)r->session.model->config.hidden;
  out->states = ARENA_NEW(s->arena, float, cells + 1, "states", err);
  return out->states ? 0 : err->code;
}

static void take_state(const struct run *r, const struct trainer_reading *from, const struct request *q, int32_t place,
                       struct answer *out)
{
  const struct model_config *c = &r->session.model->config;
  int32_t layer, at = 0;
  ASSAY_BUG_IF(!scores_resolve_layer(c->layers, q->layer, &layer));
  while (from->layers[at] != layer) at++;
  out->width = c->hidden;
  out->state = from->states + ((size_t)at * (size_t)from->state_count + (size_t)place) * (size_t)c->hidden;
}

/* All requests of one policy in one pass. */
static int score(struct run *r, struct step *s, const char *policy, const struct request *requests, int32_t count,
                 struct answer *answers, struct error *err)
{
  struct batch_path *paths = ARENA_NEW(s->arena, struct batch_path, (size_t)count, "scores", err);
  struct batch *b;
  int32_t n = 0;
  if (!paths) return err->code;
  for (int32_t i = 0; i < count; i++) n += is_score(&requests[i], policy);
  if (!n) return 0;
  struct trainer *t = policies_find(&r->policies, policy)->scorer;
  TRY(add_scored(r, s, t, policy, requests, count, answers, paths, &n, err));
  TRY(trainer_batch(t, s->arena, s->tree, paths, n, &b, err));
  double *logp = ARENA_NEW(s->arena, double, (size_t)b->target_count, "scores", err);
  if (!logp) return err->code;
  struct trainer_reading reading = {.logp = logp};
  TRY(want_states(r, s, b, policy, requests, count, answers, &reading, err));
  TRY(trainer_read(t, s->arena, b, s->temperature, &reading, err));
  for (int32_t i = 0; i < count; i++) {
    const struct request *q = &requests[i];
    if (!is_score(q, policy)) continue;
    float *out = ARENA_NEW(s->arena, float, (size_t)q->id_count, "scores", err);
    if (!out) return err->code;
    for (int32_t k = 0; k < q->id_count; k++) {
      out[k] = (float)logp[batch_target(b, answers[i].segment, k)];
      s->tree->segments[answers[i].segment].tokens[k].logp = out[k];
    }
    answers[i].logp = out;
    if (q->kind == REQUEST_HIDDEN)
      take_state(r, &reading, q, reading.state[batch_target(b, answers[i].segment, q->id_count - 1)], &answers[i]);
  }
  return 0;
}

/* ---- second verdicts ----------------------------------------------------------------------------------------------
 */

/* A kind by its name, opened once. */
static int find_kind(struct run *r, const char *name, const struct verifier_config **out, struct error *err)
{
  for (int i = 0; i < r->appeal_count; i++) {
    *out = r->appeals[i];
    if (!strcmp((*out)->verifier->name, name)) return 0;
  }
  const struct verifier *v = verifier_find(name, err);
  if (!v) return err->code;
  ASSAY_BUG_IF(r->appeal_count == RUN_APPEALS);
  TRY(verifier_open(r->arena, v, NULL, 0, r->recipe->reward.timeout, &r->appeals[r->appeal_count], err));
  *out = r->appeals[r->appeal_count++];
  return 0;
}

static int copy_verdict(struct step *s, const struct verdict *v, struct answer *out, struct error *err)
{
  struct verdict *copy = ARENA_NEW(s->arena, struct verdict, 1, "verdicts", err);
  if (!copy) return err->code;
  *copy = *v;
  if (v->extracted && !(copy->extracted = arena_strdup(s->arena, v->extracted, "verdicts", err))) return err->code;
  if (v->reason && !(copy->reason = arena_strdup(s->arena, v->reason, "verdicts", err))) return err->code;
  for (int i = 0; i < v->channel_count; i++)
    if (!(copy->channels[i].name = arena_strdup(s->arena, v->channels[i].name, "verdicts", err))) return err->code;
  out->verdict = copy;
  return 0;
}

/* Responses, or texts of the method's own, to the problem's verifier or to one that is named. */
static int submit_verdicts(struct run *r, const struct step *s, const struct request *requests, int32_t count,
                           struct error *err)
{
  for (int32_t i = 0; i < count; i++) {
    const struct request *q = &requests[i];
    const struct verifier_config *kind;
    if (q->kind != REQUEST_JUDGE) continue;
    const struct rollout *o = &s->rollouts[q->rollout];
    const struct problem *p = q->problem ? q->problem : s->groups[o->group].problem;
    TRY(q->verifier ? find_kind(r, q->verifier, &kind, err) : verifier_set_find(r->verifiers, p, &kind, err));
    verify_queue_submit(r->verify, kind, p, q->text ? q->text : o->text, q->text ? q->text_size : o->text_size,
                        (size_t)i);
  }
  return 0;
}

static int judge(struct run *r, struct step *s, const struct request *requests, int32_t count, struct answer *answers,
                 struct error *err)
{
  struct verdict *verdicts = ARENA_NEW(s->arena, struct verdict, (size_t)count, "verdicts", err);
  bool any = false;
  if (!verdicts) return err->code;
  for (int32_t i = 0; i < count; i++) any = any || requests[i].kind == REQUEST_JUDGE;
  if (!any) return 0;
  double start = clock_seconds();
  verify_queue_start(r->verify, verdicts, (size_t)count);
  int rc = submit_verdicts(r, s, requests, count, err);
  struct error waited = {0};
  int wait_rc = verify_queue_wait(r->verify, &waited);
  if (!rc && wait_rc) *err = waited;
  TRY(rc ? rc : wait_rc);
  for (int32_t i = 0; i < count; i++)
    if (requests[i].kind == REQUEST_JUDGE) TRY(copy_verdict(s, &verdicts[i], &answers[i], err));
  metrics_add(&r->metrics, "verify/busy", verify_queue_seconds(r->verify));
  metrics_add(&r->metrics, "seconds/verify", clock_seconds() - start);
  return 0;
}

static int answer(void *arg, struct step *s, const struct method_call *who, const struct request *requests,
                  int32_t count, struct answer *answers, struct error *err)
{
  struct run *r = arg;
  TRY(generate(r, s, who, requests, count, answers, err));
  TRY(score(r, s, "policy", requests, count, answers, err));
  TRY(score(r, s, "reference", requests, count, answers, err));
  return judge(r, s, requests, count, answers, err);
}

void answer_open(struct run *r)
{
  const struct recipe *recipe = r->recipe;
  int64_t room = run_prompt_room(r), most = recipe->rollout.max_prompt_tokens;
  r->host = (struct method_host){.arg = r,
                                 .max_prompt = (int32_t)(most < room ? most : room),
                                 .prompt_ids = prompt_ids,
                                 .draw = draw,
                                 .answer = answer,
                                 .defaults = {.sampling = {recipe->rollout.temperature, recipe->rollout.top_p,
                                                           recipe->rollout.min_p, (int32_t)recipe->rollout.top_k},
                                              .max_new_tokens = (int32_t)recipe->rollout.max_new_tokens}};
  compose_set_host(r->methods, &r->host);
}

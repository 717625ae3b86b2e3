/* The stages up to a complete batch of rollouts: select, guide, sample, reward, revise; and what hooks ask for. Called
 * by train/collect.c, wave by wave. */
#include <inttypes.h>
#include <string.h>

#include "method/method_set.h"

void compose_set_host(struct composed *set, const struct method_host *host)
{
  for (size_t i = 0; i < set->count; i++) set->members[i].call.host = host;
}

int compose_select(struct composed *set, struct selection *selection, struct error *err)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = &set->members[i];
    if (!member_has(m, STAGE_select)) continue;
    METHOD_RUN(m, select, selection, err);
    ASSAY_BUG_IF(selection->count < 0 || selection->count > selection->room);
    for (int32_t k = 0; k < selection->count; k++) {
      if (selection->picks[k].problem && selection->picks[k].rollouts >= 1) continue;
      FAIL(err, ERROR_INPUT,
           "%s picks a problem with %" PRId32 " rollouts; expected a problem and 1 or more; look at its options",
           m->call.method->name, selection->picks[k].rollouts);
    }
  }
  return 0;
}

/* ---- contexts --------------------------------------------------------------------------------------------------- */

static int context_ids(const struct method_call *c, const struct context_source *from, struct token_list *ids,
                       struct error *err)
{
  ASSAY_BUG_IF((from->messages != NULL) + (from->prompt != NULL) + (from->ids != NULL) != 1);
  for (int32_t i = 0; i < from->id_count; i++) TRY(token_list_push(ids, from->ids[i], err));
  if (from->ids) return 0;
  if (c->host && c->host->prompt_ids) return c->host->prompt_ids(c->host->arg, from, ids, err);
  FAIL(err, ERROR_INPUT, "%s makes a context of text where there is no tokenizer; it needs a training run",
       c->method->name);
}

int method_add_context(struct method_call *c, struct step *s, int32_t group, const char *kind,
                       const struct context_source *from, int32_t *out, struct error *err)
{
  struct token_list ids = {0};
  int32_t parent = from->ids ? from->behind : -1, segment = -1;
  int rc = context_ids(c, from, &ids, err);
  int64_t length = (int64_t)ids.count + (parent >= 0 ? tree_path_length(s->tree, parent) : 0);
  if (!rc && (!ids.count || (c->host && c->host->max_prompt && length > c->host->max_prompt))) {
    const struct problem *p = s->groups[group].problem;
    rc = error_fail(err, ERROR_INPUT, NULL, 0, NULL,
                    "the context \"%s\" of problem %s has %" PRId64 " tokens; expected 1 to %" PRId32
                    " (rollout.max_prompt_tokens); raise it, or leave the problem out",
                    kind, p && p->id ? p->id : "without id", length, c->host ? c->host->max_prompt : 0);
  }
  if (!rc) rc = tree_add_segment(s->tree, parent, SEGMENT_PROMPT, (int32_t)ids.count, &segment, err);
  if (!rc) rc = tree_append_ids(s->tree, segment, ids.ids, (int32_t)ids.count, 0, err);
  token_list_free(&ids);
  return rc ? rc : step_add_context(s, group, "policy", kind, segment, out, err);
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

enum { REQUESTS_FIRST = 16 };

static void open_asking(const struct member *m, struct step *s, struct asking *a)
{
  *a = (struct asking){.step = s, .arena = s->arena, .defaults = m->call.host ? &m->call.host->defaults : NULL};
}

int ask(struct asking *a, enum request_kind kind, const char *purpose, struct request **out, struct error *err)
{
  if (a->request_count == a->request_room) {
    int32_t room = a->request_room ? 2 * a->request_room : REQUESTS_FIRST;
    struct request *more = ARENA_NEW(a->arena, struct request, (size_t)room, "requests", err);
    if (!more) return err->code;
    if (a->request_count) memcpy(more, a->requests, (size_t)a->request_count * sizeof *more);
    a->requests = more;
    a->request_room = room;
  }
  *out = &a->requests[a->request_count++];
  **out = a->defaults ? *a->defaults : (struct request){0};
  (*out)->kind = kind;
  (*out)->purpose = purpose;
  (*out)->context = (*out)->rollout = (*out)->segment = -1;
  (*out)->layer = LAYER_LAST;
  (*out)->count = 1;
  if (!(*out)->policy) (*out)->policy = "policy";
  return 0;
}

/* What a hook asked for, answered in the order of asking; then it is called again. */
static int answer(struct step *s, const struct member *m, struct asking *a, struct error *err)
{
  const struct method_host *host = m->call.host;
  const char *name = m->call.method->name;
  for (int32_t i = 0; i < a->request_count; i++) {
    enum request_kind kind = a->requests[i].kind;
    if (kind != REQUEST_EMBED && kind != REQUEST_ENVIRONMENT) continue;
    FAIL(err, ERROR_INPUT,
         "%s asks for %s, which nothing here gives; what is answered: generate, score, hidden, judge; leave it out",
         name, kind == REQUEST_EMBED ? "an embedding" : "an environment");
  }
  if (!host || !host->answer)
    FAIL(err, ERROR_INPUT, "%s asks for %" PRId32 " things; nobody answers requests here; it needs a training run",
         name, a->request_count);
  if (a->round + 1 >= ASKING_ROUNDS)
    FAIL(err, ERROR_INPUT, "%s asks again after %d rounds of answers; a hook asks at most so often", name,
         ASKING_ROUNDS);
  struct answer *answers = ARENA_NEW(s->arena, struct answer, (size_t)a->request_count, "requests", err);
  if (!answers) return err->code;
  TRY(host->answer(host->arg, s, &m->call, a->requests, a->request_count, answers, err));
  *a = (struct asking){.step = a->step,
                       .arena = a->arena,
                       .defaults = a->defaults,
                       .answers = answers,
                       .answer_count = a->request_count,
                       .round = a->round + 1};
  return 0;
}

/* ---- guide, sample ---------------------------------------------------------------------------------------------- */

int guide_set(struct guidance *g, int32_t rollout, int32_t generating, int32_t training, struct error *err)
{
  struct step *s = g->step;
  struct rollout *r = &s->rollouts[rollout];
  int32_t at = 0;
  while (at < g->rollout_count && g->rollouts[at] != rollout) at++;
  ASSAY_BUG_IF(at == g->rollout_count); /* not one of those that are about to be made */
  if (training < 0) training = generating;
  ASSAY_BUG_IF(generating < 0 || generating >= s->context_count || training >= s->context_count ||
               s->contexts[generating].group != r->group || s->contexts[training].group != r->group);
  if (g->by[at] && g->by[at] != g->call->method) {
    char name[256];
    FAIL(err, ERROR_INPUT, "%s and %s both set the context of %s; one method may; leave one of the two out",
         g->by[at]->name, g->call->method->name, step_rollout_name(s, rollout, name, sizeof name));
  }
  g->by[at] = g->call->method;
  r->generating = generating;
  r->training = training;
  return 0;
}

int compose_guide(struct composed *set, struct step *s, const int32_t *rollouts, int32_t count, struct error *err)
{
  const struct method **by = ARENA_NEW(s->arena, const struct method *, (size_t)count, "guidance", err);
  if (!by) return err->code;
  for (size_t i = 0; i < set->count; i++) {
    struct member *m = &set->members[i];
    if (!member_has(m, STAGE_guide)) continue;
    struct guidance out = {.step = s, .call = &m->call, .rollouts = rollouts, .rollout_count = count, .by = by};
    open_asking(m, s, &out.asking);
    METHOD_RUN(m, guide, s, &out, err);
    while (out.asking.request_count) {
      TRY(answer(s, m, &out.asking, err));
      METHOD_RUN(m, guide, s, &out, err);
    }
  }
  return 0;
}

bool compose_samples(const struct composed *set)
{
  bool any = false;
  for (size_t i = 0; i < set->count; i++) any = any || member_has(&set->members[i], STAGE_sample);
  return any;
}

int compose_sample(struct composed *set, const struct step *s, struct sample_row *row, struct error *err)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = &set->members[i];
    if (!member_has(m, STAGE_sample)) continue;
    METHOD_RUN(m, sample, s, row, err);
    const struct sample_params *p = row->params;
    if (p->temperature >= 0 && p->top_p >= 0 && p->top_p <= 1 && p->min_p >= 0 && p->min_p <= 1 && p->top_k >= 0)
      continue;
    FAIL(
        err, ERROR_INPUT,
        "%s samples with temperature %g, top_p %g, min_p %g, top_k %d; expected a temperature >= 0, shares from 0 to 1 "
        "and a count; look at its options",
        m->call.method->name, (double)p->temperature, (double)p->top_p, (double)p->min_p, (int)p->top_k);
  }
  return 0;
}

/* ---- reward ----------------------------------------------------------------------------------------------------- */

int reward_add(struct channels *c, const char *channel, bool metric_only, int32_t rollout, double value,
               struct error *err)
{
  const char *name = c->call->method->name;
  bool exists = step_find_channel(c->step, channel) >= 0;
  int32_t at;
  TRY(step_channel(c->step, channel, &at, err));
  const char *owner = c->step->channel_owner[at];
  if (exists && (!owner || strcmp(owner, name))) {
    FAIL(err, ERROR_INPUT, "%s adds the channel \"%s\", which %s has; names are used once; leave one of the two out",
         name, channel, owner ? owner : "a verifier");
  }
  c->step->channel_owner[at] = name;
  c->step->channel_metric_only[at] = metric_only;
  return step_set_channel(c->step, rollout, at, value, err);
}

int reward_rewrite(struct channels *c, const char *channel, int32_t rollout, double value, struct error *err)
{
  int at = step_find_channel(c->step, channel);
  if (at < 0) {
    FAIL(err, ERROR_INPUT,
         "%s rewrites the channel \"%s\", which nobody has; expected a channel of a verifier or of another method",
         c->call->method->name, channel);
  }
  if (c->step->rollouts[rollout].attempt < c->step->wave) return 0;
  return step_set_channel(c->step, rollout, at, value, err);
}

int compose_reward(struct composed *set, struct step *s, struct error *err)
{
  TRY(step_arrange(s, err));
  for (size_t i = 0; i < set->count; i++) {
    struct member *m = set->table[i];
    if (!member_has(m, STAGE_reward)) continue;
    struct channels out = {.step = s, .call = &m->call};
    open_asking(m, s, &out.asking);
    METHOD_RUN(m, reward, s, &out, err);
    while (out.asking.request_count) {
      TRY(answer(s, m, &out.asking, err));
      METHOD_RUN(m, reward, s, &out, err);
    }
  }
  return 0;
}

/* ---- revise ----------------------------------------------------------------------------------------------------- */

void revise_drop_group(struct revision *r, int32_t group)
{
  const struct step *s = r->step;
  for (int32_t i = 0; i < s->groups[group].count; i++) r->drop[s->order[s->groups[group].first + i]] = true;
}

static int grant(struct revision *r, const struct revision_request *wanted, struct error *err)
{
  ASSAY_BUG_IF(wanted->count < 1);
  if (r->last || wanted->count > r->rollouts_left) {
    r->refused += wanted->count;
    return 0;
  }
  if (r->again_count == r->again_room) {
    int32_t room = r->again_room ? 2 * r->again_room : REQUESTS_FIRST;
    struct revision_request *more = ARENA_NEW(r->step->arena, struct revision_request, (size_t)room, "revisions", err);
    if (!more) return err->code;
    if (r->again_count) memcpy(more, r->again, (size_t)r->again_count * sizeof *more);
    r->again = more;
    r->again_room = room;
  }
  r->again[r->again_count++] = *wanted;
  r->rollouts_left -= wanted->count;
  return 0;
}

int revise_again(struct revision *r, int32_t group, int32_t context, int32_t count, struct error *err)
{
  ASSAY_BUG_IF(group < 0 || group >= r->step->group_count);
  return grant(r, &(struct revision_request){.group = group, .context = context, .count = count}, err);
}

int revise_draw(struct revision *r, const struct problem *problem, int32_t rollouts, struct error *err)
{
  const struct method_host *host = r->call->host;
  struct revision_request wanted = {.problem = problem, .group = -1, .context = -1, .count = rollouts};
  bool fits = !r->last && rollouts <= r->rollouts_left; /* what is refused is not taken from the data */
  if (!problem && fits) {
    if (!host || !host->draw)
      FAIL(err, ERROR_INPUT, "%s draws problems where there is no data; it needs a training run",
           r->call->method->name);
    TRY(host->draw(host->arg, r->step, &wanted.problem, err));
  }
  return grant(r, &wanted, err);
}

static int make_drops(struct revision *r, struct error *err)
{
  r->drop = ARENA_NEW(r->step->arena, bool, (size_t)r->step->rollout_count, "revisions", err);
  return r->drop ? 0 : err->code;
}

int compose_revise(struct composed *set, struct step *s, struct revision *out, struct error *err)
{
  out->step = s;
  for (size_t i = 0; i < set->count; i++) {
    struct member *m = &set->members[i];
    if (!member_has(m, STAGE_revise)) continue;
    out->call = &m->call;
    open_asking(m, s, &out->asking);
    TRY(make_drops(out, err));
    METHOD_RUN(m, revise, s, out, err);
    while (out->asking.request_count) {
      TRY(answer(s, m, &out->asking, err));
      TRY(make_drops(out, err)); /* probes are rollouts more; a hook that asked decides in its last round */
      METHOD_RUN(m, revise, s, out, err);
    }
    for (int32_t r = 0; r < s->rollout_count; r++) s->rollouts[r].kept = s->rollouts[r].kept && !out->drop[r];
    TRY(step_arrange(s, err));
  }
  return 0;
}

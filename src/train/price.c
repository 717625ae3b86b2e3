#include "train/price.h"

#include <string.h>

#include "model/adapter.h"
#include "train/score.h"

/* Instructions of what is no matrix product, counted in the loops as gcc 12 compiles them for AVX2;
 * docs/performance.md, "What a method costs", has the counts. Other instruction sets change all of them by about as
 * much. */
static const double PRODUCT = 0.35;    /* a multiply-add of a forward in f32, with all that stands between products */
static const double EXPONENTIAL = 180; /* math_exp, math_log: 90 in their own code, the rest in 14 fused steps */
static const double SOFTMAX = 240;     /* a logit of a row in f64: an exponential, and 5 loops over the row */
static const double ADAMW = 6;         /* a weight: the norm of its gradient, and the move */
static const double AVERAGE = 29;      /* a weight: read from both models, blended and written in f64 */
static const double DOUBLE = 3.5;      /* a multiply-add of a method in f64 */
static const double ATTENTION_BACK = 2.2; /* attention's backward over its forward (cost.c) */

/* What goes through a model. */
struct load {
  double rows, heads, pairs; /* tokens; of them with logits; pairs of tokens that attention looks at */
};

struct pricing {
  const struct needs *needs;
  const struct price_shape *shape;
  struct load own; /* the step's prompts and answers */
  double rollouts, targets;
  double forward; /* multiply-adds of the unit */
};

static double body_of(const struct model_config *c)
{
  double q = (double)c->heads * c->head_dim, kv = (double)c->kv_heads * c->head_dim;
  return c->layers * (2 * c->hidden * (q + kv) + 3.0 * c->hidden * c->ffn) + (double)adapter_parameters(c);
}

static double head_of(const struct model_config *c)
{
  return (double)c->hidden * c->vocab;
}

static double attended(const struct model_config *c, double pairs)
{
  return 2.0 * c->layers * c->heads * c->head_dim * pairs;
}

static double forward_of(const struct model_config *c, struct load l)
{
  return l.rows * body_of(c) + l.heads * head_of(c) + attended(c, l.pairs);
}

/* The forward, its two products backwards (one where weights are frozen under an adapter), and logits once more. */
static double training_of(const struct price_shape *s, struct load l)
{
  const struct model_config *c = s->policy;
  double back = c->adapter.rank > 0 ? 1 : 2;
  double forwards = forward_of(c, l) * (s->recompute ? 2 : 1);
  return forwards + l.rows * body_of(c) * back + l.heads * head_of(c) * (1 + back) +
         ATTENTION_BACK * attended(c, l.pairs);
}

static struct load sum_of(struct load a, struct load b)
{
  return (struct load){a.rows + b.rows, a.heads + b.heads, a.pairs + b.pairs};
}

/* Answers behind contexts that each is read once: the last token of an answer is no row. */
static struct load answers(double contexts, double prompt, double count, double length)
{
  double rows = count * (length - 1);
  return (struct load){contexts * prompt + rows, contexts + rows,
                       contexts * prompt * prompt / 2 + rows * (prompt + length / 2)};
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static const struct model_config *config_of(const struct pricing *p, const char *policy)
{
  const struct price_shape *s = p->shape;
  if (!strcmp(policy, "reference") && s->reference) return s->reference;
  for (int32_t i = 0; s->policies && i < p->needs->policy_count; i++)
    if (!strcmp(p->needs->policies[i].name, policy)) return &s->policies[i];
  return s->policy;
}

static struct load second_contexts(const struct pricing *p)
{
  const struct needs *n = p->needs;
  const struct price_shape *s = p->shape;
  double contexts = n->second_each ? s->groups * n->second_each : p->rollouts;
  return answers(contexts, n->second_prompt ? n->second_prompt : s->second, p->rollouts, s->answer);
}

/* One more token behind each answer, with logits or without. */
static struct load behind_answers(const struct pricing *p, bool head)
{
  return (struct load){p->rollouts, head ? p->rollouts : 0, p->rollouts * (p->shape->prompt + p->shape->answer)};
}

static double pass_of(const struct pricing *p, const char *policy, bool second)
{
  struct load l = second ? second_contexts(p) : p->own;
  uint32_t flags = second || strcmp(policy, "policy") ? 0 : p->needs->flags;
  if (flags & (NEED_SLOT | NEED_LAST_STATE)) l = sum_of(l, behind_answers(p, flags & NEED_SLOT));
  if (flags & NEED_PROMPT_LOGP) l.heads += p->shape->groups * (p->shape->prompt - 1);
  return forward_of(config_of(p, policy), l);
}

static double passes_of(const struct pricing *p)
{
  const char *policies[3 + NEEDS_NAMED];
  double sum = 0;
  for (int i = score_policies(p->needs, policies); i-- > 0;)
    for (int second = 0; second < 2; second++)
      if (score_askers(p->needs, policies[i], second)) sum += pass_of(p, policies[i], second);
  return sum;
}

static double stat_functions(const struct token_stat *stat)
{
  return stat->kind == TOKEN_STAT_SUM_P2 || stat->kind == TOKEN_STAT_FLOOR_LOGP || stat->kind == TOKEN_STAT_FLOOR_MASS;
}

/* The policy's rows are read once for all answers that begin alike, another policy's for every token. */
static double rows_of(const struct pricing *p)
{
  const struct needs *n = p->needs;
  double own = 0, functions = 0, others = 0, softmax = p->shape->policy->hidden + SOFTMAX / PRODUCT;
  if (n->flags & (NEED_TOKEN_STAT | NEED_GROUP_P)) own++;
  for (int32_t i = 0; i < n->token_stat_count; i++) functions += stat_functions(&n->token_stats[i]);
  if (n->flags & NEED_ROW_TERM) {
    own++;
    functions += n->row_functions;
    others = n->row_source_count;
  }
  return p->shape->policy->vocab *
         ((own * p->own.heads + others * p->targets) * softmax + functions * p->targets * EXPONENTIAL / PRODUCT);
}

static struct load share_of(const struct pricing *p, double share)
{
  const struct price_shape *s = p->shape;
  if (!(share > 0)) return (struct load){0};
  double rollouts = share * p->rollouts;
  return answers(rollouts < s->groups ? rollouts : s->groups, s->prompt, rollouts, s->answer);
}

static struct work_shape work_of(const struct pricing *p)
{
  const struct price_shape *s = p->shape;
  return (struct work_shape){
      .groups = s->groups, .group = s->group, .answer = s->answer, .width = s->policy->hidden, .updates = s->updates};
}

/* Shares of a step's rollouts. What is left out and rounded up to nothing never comes back. */
struct recurring {
  double left;  /* out of the main update */
  double once;  /* in one update of earlier ones */
  double steps; /* that have such an update, of all */
};

static struct recurring recurring_of(const struct pricing *p)
{
  const struct update_need *u = &p->needs->more_updates;
  const struct work_shape shape = work_of(p);
  double rounding = u->rounding ? u->rounding(u->options, &shape) : 0;
  double left = u->left_out > rounding ? u->left_out - rounding : 0;
  double again = rounding > 0 ? u->again * left / u->left_out : u->again;
  double once = u->entries > 0 ? u->entries / p->rollouts : 1;
  return (struct recurring){left, once, again < once ? again / once : 1};
}

/* Rollouts of earlier steps are scored before they train again, and so are the step's own where those went first; law 1
 * looks at the own ones before anything moves. What an update leaves out is scored for law 1 alone. */
static double scored_for_updates(const struct pricing *p, const struct recurring *r, struct load again)
{
  const struct model_config *c = p->shape->policy;
  bool checked = p->shape->updates > 1; /* by a pass that several updates have anyhow */
  double left = checked ? 0 : forward_of(c, share_of(p, r->left));
  double own = p->forward * ((checked ? 0 : 1) + (p->needs->more_updates.first ? 1 / p->shape->updates : 0));
  return r->steps * (forward_of(c, again) + own) + (1 - r->steps) * left;
}

static void price_updates(const struct pricing *p, struct price *out)
{
  const struct needs *n = p->needs;
  const struct price_shape *s = p->shape;
  const struct recurring r = recurring_of(p);
  struct load again = share_of(p, r.steps > 0 ? r.once : 0);
  double training = training_of(s, p->own), more = r.steps * training_of(s, again) - training;
  more += training_of(s, share_of(p, 1 - r.left));
  if (r.steps > 0 || r.left > 0) out->passes += scored_for_updates(p, &r, again);
  if (n->flags & NEED_SLOT && n->slot_trained) more += training_of(s, behind_answers(p, true));
  if (n->flags & NEED_SECOND_CONTEXT && n->second_trained) more += training_of(s, second_contexts(p));
  double weights = s->policy->adapter.rank > 0 ? (double)adapter_parameters(s->policy)
                                               : body_of(s->policy) + head_of(s->policy) * (s->policy->tied ? 1 : 2);
  out->again = more / training;
  out->trained = more;
  out->updates = weights * (r.steps * ADAMW + (n->flags & NEED_EMA ? AVERAGE : 0)) / PRODUCT;
}

/* Sampled behind prompts that are read anew, and scored for law 1. */
static double probes_of(const struct pricing *p)
{
  const struct price_shape *s = p->shape;
  if (!p->needs->probes) return 0;
  return 2 * forward_of(s->policy, answers(s->groups, s->prompt, s->groups * p->needs->probes, s->answer));
}

static double own_of(const struct pricing *p)
{
  const struct work_shape shape = work_of(p);
  double sum = 0;
  for (int32_t i = 0; i < p->needs->own_count; i++) sum += p->needs->own[i].madds(p->needs->own[i].options, &shape);
  return sum * DOUBLE / PRODUCT;
}

void price_step(const struct needs *n, const struct price_shape *s, struct price *out)
{
  double rollouts = s->groups * s->group;
  struct pricing p = {n, s, answers(s->groups, s->prompt, rollouts, s->answer), rollouts, rollouts * s->answer, 0};
  p.forward = forward_of(s->policy, p.own);
  *out = (struct price){.passes = passes_of(&p), .rows = rows_of(&p), .probes = probes_of(&p), .own = own_of(&p)};
  price_updates(&p, out);
  double *const parts[] = {&out->passes, &out->rows, &out->trained, &out->updates, &out->probes, &out->own};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) out->total += *parts[i] /= p.forward;
}

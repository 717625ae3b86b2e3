/* scrl: credit per subproblem of a response (arXiv 2605.22074).
 *
 *     half of a group reads s(1), ..., s(K), the last the problem itself, and answers them in tagged blocks
 *     R_i(j) = 1 where blocks 1 .. j of response i are all right, else 0        part_curriculum.h
 *     A_i(j) = (R_i(j) - mean) / std over the half, position by position        the base's rule
 *     a token inside block j gets A_i(j), every other token 0
 *
 * The other half reads the problem alone and is credited by the base among itself; both share the denominator. The
 * subproblems are an array of {statement, ground_truth} in the problem's field "subproblems"; `prepare` makes it of
 * what an external model wrote.
 */
#include <string.h>

#include "method/method.h"
#include "method/part_group.h"
#include "method/part_half.h"
#include "method/part_plain.h"
#include "method/part_subproblems.h"

enum curriculum_std { STD_BASE, STD_POPULATION };
enum curriculum_answer { ANSWER_BOXED, ANSWER_BLOCK };

#define PROMPT                                                                                                         \
  "{problem}\n\nThe way there, in {k} problems of which the last is the problem above:\n{subproblems}\nSolve the {k} " \
  "problems in this order. Write exactly {k} blocks, {tags}, in this order. In each block reason step by step and "    \
  "end with the answer of its problem in \\boxed{}."

#define OPTIONS(X)                                                                                                  \
  X(INT, k, 4, 1, CURRICULUM_MOST, NULL, "subproblems of every problem, the last one the problem itself")           \
  X(REAL, share, 0.5, 0, 1, NULL, "of a group's rollouts that read the subproblems; 0: the base")                   \
  X(BOOL, correction, 1, 0, 1, NULL, "answers behind the first wrong one earn nothing")                             \
  X(ENUM, std, STD_BASE, 0, 0, "base|population", "both halves: the base's rule, or a deviation over n, eps 1e-6")  \
  X(BOOL, closing_tag, 0, 0, 1, NULL, "the tokens of a block's closing tag belong to the block")                    \
  X(ENUM, answer, ANSWER_BOXED, 0, 0, "boxed|block",                                                                \
    "what of a block is judged: its last \\boxed{}, or all of it, by a kind that finds answers itself")             \
  X(STRING, verifier, 0, 0, 0, "", "kind that judges blocks; empty: the problem's own, with its settings")          \
  X(STRING, prompt, 0, 0, 0, PROMPT, "what the half reads; {problem}, {subproblems}, {tags} and {k} are filled in") \
  X(STRING, generated, 0, 0, 0, "curriculum", "assay prepare: the field with what the external model wrote")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"valid", "share", "of the responses to subproblems: the tags are right"},
    {"progress", "subproblems", "of the same: mean length of the solved prefix"},
    {"complete", "share", "of the same: all subproblems are solved"},
    {"solvable", "share", "of the problems: a response to the problem alone is right"},
    {"informative", "share", "of the positions of all problems: not all responses earn the same there"},
    {"credited", "share", "of the tokens of responses to subproblems: inside a block of a right form"},
};

static const char KIND[] = "subproblems";

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!(o->share > 0)) return 0;
  out->flags |= NEED_SPANS | NEED_FIELDS | NEED_JUDGE;
  out->fields[0] = "subproblems:array";
  return 0;
}

static bool reads_subproblems(const struct step *s, int32_t rollout)
{
  const struct rollout *r = &s->rollouts[rollout];
  return !r->probe && !strcmp(s->contexts[r->generating].kind, KIND);
}

/* ---- before a run ------------------------------------------------------------------------------------------------ */

static int prepare(struct method_call *c, struct preparation *out, struct error *err)
{
  const struct self *o = c->self;
  return subproblems_prepare(c->scratch, o->generated, (int32_t)o->k, out, err);
}

/* ---- who reads what ---------------------------------------------------------------------------------------------- */

static int find_context(struct method_call *c, struct guidance *g, int32_t group, int32_t *out, struct error *err)
{
  const struct self *o = c->self;
  for (*out = 0; *out < g->step->context_count; ++*out) /* of an earlier wave */
    if (g->step->contexts[*out].group == group && !strcmp(g->step->contexts[*out].kind, KIND)) return 0;
  return subproblems_context(c, g->step, group, KIND, o->prompt, (int32_t)o->k, out, err);
}

/* The first of a group's rollouts in this wave read the subproblems. */
static int guide(struct method_call *c, const struct step *s, struct guidance *out, struct error *err)
{
  const struct self *o = c->self;
  for (int32_t i = 0, n; i < out->rollout_count; i += n) {
    int32_t group = s->rollouts[out->rollouts[i]].group, context;
    for (n = 1; i + n < out->rollout_count && s->rollouts[out->rollouts[i + n]].group == group;) n++;
    int32_t most = (int32_t)(o->share * n + 0.5);
    if (most) TRY(find_context(c, out, group, &context, err));
    for (int32_t r = 0; r < most; r++) TRY(guide_set(out, out->rollouts[i + r], context, -1, err));
  }
  return 0;
}

/* ---- what a block earns ------------------------------------------------------------------------------------------ */

static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  const struct self *o = c->self;
  const struct subproblem_judge judge = {(int32_t)o->k, o->answer == ANSWER_BOXED, *o->verifier ? o->verifier : NULL};
  double raw[CURRICULUM_MOST] = {0};
  int32_t next = 0;
  bool asks = out->asking.round == 0;
  for (int32_t i = 0; asks && i < s->rollout_count; i++)
    if (s->rollouts[i].attempt == s->wave && reads_subproblems(s, i))
      TRY(subproblems_ask(&judge, &out->asking, s, i, err));
  if (out->asking.request_count) return 0;
  for (int32_t i = 0; i < s->rollout_count; i++) {
    if (s->rollouts[i].attempt != s->wave || !reads_subproblems(s, i)) continue;
    if (out->asking.answer_count) subproblems_take(&judge, &out->asking, s, i, &next, raw);
    int32_t solved = o->correction ? curriculum_progress(raw, (int32_t)o->k) : (int32_t)o->k;
    for (int32_t j = 0; j < o->k; j++)
      TRY(reward_add(out, subproblem_channel(j), true, i, j < solved ? raw[j] : 0, err));
  }
  return 0;
}

/* ---- credit ------------------------------------------------------------------------------------------------------ */

static void over_population(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                            double *out)
{
  (void)arg;
  (void)s;
  (void)members;
  group_normalised(reward, n, false, 1e-6, out);
}

struct tally {
  double positions, informative, tokens;
};

static double earned(const struct step *s, int32_t rollout, int32_t j)
{
  double value = 0;
  int channel = step_find_channel(s, subproblem_channel(j));
  return channel >= 0 && step_get_channel(s, rollout, channel, &value) ? value : 0;
}

static bool differ(const struct step *half, int32_t g)
{
  const int32_t *member = half->order + half->groups[g].first;
  for (int32_t i = 1; i < half->groups[g].count; i++)
    if (half->reward[member[i]] < half->reward[member[0]] || half->reward[member[i]] > half->reward[member[0]])
      return true;
  return false;
}

static int credit_half(struct method_call *c, const struct step *half, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  if (o->std == STD_BASE) return c->base->method->advantage(c->base, half, out, err);
  return plain_by_group(c->scratch, half, over_population, NULL, out->advantage, err);
}

/* What a position's rewards say about its groups, and the step about itself. */
static void report(struct method_call *c, const struct step *s, const struct step *half, const struct tally *t)
{
  const struct self *o = c->self;
  double problems = 0, solvable = 0, valid = 0, progress = 0, complete = 0, tokens = 0,
         n = half->kept > 0 ? half->kept : 1;
  for (int32_t g = 0; g < s->group_count; g++) {
    bool any = false;
    for (int32_t i = 0; i < s->groups[g].count; i++) {
      int32_t r = s->order[s->groups[g].first + i];
      any = any || (!reads_subproblems(s, r) && s->rollouts[r].verdict.correct);
    }
    problems += s->groups[g].count > 0;
    solvable += any;
  }
  for (int32_t i = 0; i < half->kept; i++) {
    const struct rollout *r = &half->rollouts[half->order[i]];
    struct curriculum_block b[CURRICULUM_MOST];
    double raw[CURRICULUM_MOST] = {0};
    for (int32_t j = 0; j < o->k; j++) raw[j] = earned(half, half->order[i], j);
    int32_t solved = curriculum_progress(raw, (int32_t)o->k);
    valid += curriculum_blocks(r->text, r->text_size, (int32_t)o->k, b);
    progress += solved;
    complete += solved == o->k;
    tokens += r->path_count;
  }
  method_report(c, "valid", valid / n);
  method_report(c, "progress", progress / n);
  method_report(c, "complete", complete / n);
  method_report(c, "solvable", problems > 0 ? solvable / problems : 0);
  method_report(c, "informative", t->positions > 0 ? t->informative / t->positions : 0);
  method_report(c, "credited", tokens > 0 ? t->tokens / tokens : 0);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  struct step half;
  struct tally t = {0};
  if (!(o->share > 0)) return c->base->method->advantage(c->base, s, out, err);
  bool *in = ARENA_NEW(c->scratch, bool, (size_t)s->rollout_count + 1, "scrl", err);
  double *reward = ARENA_NEW(c->scratch, double, (size_t)s->rollout_count + 1, "scrl", err);
  double *position = ARENA_NEW(c->scratch, double, (size_t)s->path_count + 1, "scrl", err);
  if (!in || !reward || !position) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++) in[i] = !reads_subproblems(s, i);
  TRY(half_take(c->scratch, s, in, &half, err));
  TRY(credit_half(c, &half, out, err));
  for (int32_t i = 0; i < s->rollout_count; i++) in[i] = !in[i];
  TRY(half_take(c->scratch, s, in, &half, err));
  half.reward = reward;
  half.dense = NULL;
  struct credit own = {.advantage = position, .drop = out->drop, .value_target = out->value_target};
  for (int32_t j = 0; half.kept && j < o->k; j++) {
    for (int32_t i = 0; i < half.kept; i++) reward[half.order[i]] = earned(s, half.order[i], j);
    TRY(credit_half(c, &half, &own, err));
    t.tokens += curriculum_spread(&half, (int32_t)o->k, j, o->closing_tag, position, out->advantage);
    for (int32_t g = 0; g < half.group_count; g++) {
      t.positions += half.groups[g].count > 0;
      t.informative += differ(&half, g);
    }
  }
  report(c, s, &half, &t);
  return 0;
}

/* What they keep for later steps must be trained in the context that it was made in. */
static const char *const CONFLICTS[] = {"pipo", "rorecomp", NULL};
const struct method method_scrl = {
    .name = "scrl",
    .title = "Subproblem curriculum with credit per answer",
    .paper = "arXiv 2605.22074, curriculum prompt, progress gate and normalisation per position",
    .number = 46,
    .base = "grpo",
    .conflicts = CONFLICTS,
    .neutral = "share=0",
    .needs = NEED_SPANS | NEED_FIELDS | NEED_JUDGE,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .prepare = prepare,
    .guide = guide,
    .reward = reward,
    .advantage = advantage,
};

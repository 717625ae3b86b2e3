/* progrpo: advantages re-weighted by confidence (ProGRPO, arXiv 2602.05281).
 *
 *     c(o_i) = geometric mean of the old probabilities of the share f of the response's least likely tokens
 *     c(q)   = the same of the prompt: of all its tokens (full), of the share f (low), or 0 (off)
 *     A'_i   = A_i + alpha (c(q) - c(o_i))       in a group with a right response; A_i is the base's
 *
 * part_confidence.h. The paper clips at 0.2 and 0.28 without dual clip, token mean: grpo with {clip_high: 0.28,
 * clip_dual: .inf}.
 */
#include "method/method.h"
#include "method/part_confidence.h"

enum prompt_part { FULL, LOW, OFF };

#define OPTIONS(X)                                                                                                  \
  X(REAL, alpha, 0.3, 0, 1e3, NULL, "weight of the confidence term; 0: the base")                                   \
  X(REAL, f, 0.2, 0, 1, NULL, "share of low-probability tokens; one at least")                                      \
  X(ENUM, count, RANK_CEIL, 0, 0, RANK_ROUND_WORDS, "how f times the length becomes a number of tokens")            \
  X(ENUM, prompt, FULL, 0, 0, "full|low|off", "tokens of the prompt's confidence; off: it is 0, nothing is scored") \
  X(BOOL, include_all_correct, 1, 0, 1, NULL, "groups that are right throughout get the term, too")                 \
  X(BOOL, correct_only, 0, 0, 1, NULL, "wrong responses get no term")                                               \
  X(BOOL, centre, 0, 0, 1, NULL, "take the group's mean of the terms off (an ablation)")                            \
  X(REAL, correct_above, 0, -1e9, 1e9, NULL, "a response is right where its reward is above this")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"answer_confidence", "", "mean confidence of the responses"},
    {"prompt_confidence", "", "mean confidence of their prompts"},
    {"term", "", "mean of what was added to the advantages"},
    {"wrong_advantage", "", "mean advantage of the wrong responses"},
};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (o->alpha > 0 && o->prompt != OFF) out->flags |= NEED_PROMPT_LOGP;
  return 0;
}

struct confidences {
  double *reward, *prompt, *answer, *term; /* [kept] of one group */
  double *logp;                            /* tokens of one text */
  struct ranked *scratch;
};

/* Room for the longest response and the longest prompt. */
static int open_confidences(struct method_call *c, const struct step *s, struct confidences *out, struct error *err)
{
  const struct self *o = c->self;
  size_t kept = (size_t)s->kept;
  int32_t most = 1;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    int32_t prompt = 0;
    if (o->prompt != OFF) (void)scores_prompt_logp(s, r->training, &prompt);
    most = r->path_count > most ? r->path_count : most;
    most = prompt > most ? prompt : most;
  }
  out->reward = ARENA_NEW(c->scratch, double, 4 * kept + 1, "progrpo", err);
  out->logp = ARENA_NEW(c->scratch, double, (size_t)most, "progrpo", err);
  out->scratch = ARENA_NEW(c->scratch, struct ranked, (size_t)most, "progrpo", err);
  if (!out->reward || !out->logp || !out->scratch) return err->code;
  out->prompt = out->reward + kept;
  out->answer = out->prompt + kept;
  out->term = out->answer + kept;
  return 0;
}

static double prompt_confidence(const struct self *o, const struct step *s, const struct rollout *r,
                                struct confidences *x)
{
  int32_t n = 0;
  if (o->prompt == OFF) return 0;
  const double *logp = scores_prompt_logp(s, r->training, &n);
  return confidence_of(logp, n, o->prompt == LOW ? o->f : 1, (enum rank_round)o->count, x->scratch);
}

static double answer_confidence(const struct self *o, const struct step *s, const struct rollout *r,
                                struct confidences *x)
{
  for (int32_t k = 0; k < r->path_count; k++) x->logp[k] = (double)step_record(s, r->path + k)->logp;
  return confidence_of(x->logp, r->path_count, o->f, (enum rank_round)o->count, x->scratch);
}

static void add_term(const struct step *s, int32_t rollout, double term, double *advantage)
{
  const struct rollout *r = &s->rollouts[rollout];
  if (!(term < 0 || term > 0)) return; /* the base's bits */
  for (int32_t p = r->path; p < r->path + r->path_count; p++) advantage[p] += term;
}

static double first_of(const struct step *s, int32_t rollout, const double *per_token)
{
  const struct rollout *r = &s->rollouts[rollout];
  return r->path_count ? per_token[r->path] : 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  const struct confidence_rule rule = {.alpha = o->alpha,
                                       .correct_above = o->correct_above,
                                       .include_all_correct = o->include_all_correct,
                                       .correct_only = o->correct_only,
                                       .centre = o->centre};
  struct confidences x;
  double answers = 0, prompts = 0, terms = 0, wrong = 0, wrong_count = 0;
  TRY(c->base->method->advantage(c->base, s, out, err));
  if (!(o->alpha > 0)) return 0;
  TRY(open_confidences(c, s, &x, err));
  for (int32_t g = 0; g < s->group_count; g++) {
    const int32_t *members = s->order + s->groups[g].first;
    int32_t n = s->groups[g].count;
    for (int32_t i = 0; i < n; i++) {
      const struct rollout *r = &s->rollouts[members[i]];
      x.reward[i] = s->reward[members[i]];
      answers += x.answer[i] = answer_confidence(o, s, r, &x);
      prompts += x.prompt[i] = prompt_confidence(o, s, r, &x);
    }
    confidence_terms(x.reward, x.prompt, x.answer, n, &rule, x.term);
    for (int32_t i = 0; i < n; i++) {
      add_term(s, members[i], x.term[i], out->advantage);
      terms += x.term[i];
      if (x.reward[i] > o->correct_above) continue;
      wrong += first_of(s, members[i], out->advantage);
      wrong_count++;
    }
  }
  if (!s->kept) return 0;
  method_report(c, "answer_confidence", answers / s->kept);
  method_report(c, "prompt_confidence", prompts / s->kept);
  method_report(c, "term", terms / s->kept);
  if (wrong_count > 0) method_report(c, "wrong_advantage", wrong / wrong_count);
  return 0;
}

const struct method method_progrpo = {
    .name = "progrpo",
    .title = "ProGRPO: advantages re-weighted by confidence",
    .paper = "arXiv 2602.05281",
    .number = 38,
    .base = "grpo",
    .neutral = "alpha=0",
    .needs = NEED_PROMPT_LOGP,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .advantage = advantage,
};

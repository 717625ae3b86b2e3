/* sdpo: self-distillation policy optimisation (arXiv 2601.20802): the policy that has seen a right answer of the group,
 * or what the verifier said, teaches the policy that has not.
 *
 *     teacher context of rollout i: the problem, then the first right response of another rollout of its group, then
 *                                   (feedback) the verifier's reason where i is wrong
 *     L_t = sg[min(r, weight_cap)] D(p_t, q_t)      q_t: the teacher's distribution before the same token
 *     loss = grpo_weight L_grpo + agg(L_t)          over the tokens of rollouts that have a teacher context
 *
 * D: part_divergence.h: alpha 1 KL(p || q), 0 KL(q || p), between a Jensen-Shannon divergence; `top` looks at the
 * policy's likeliest tokens alone. A rollout without a right neighbour and without feedback has no teacher and no such
 * loss.
 */
#include <string.h>
#include "core/math.h"
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"
#include "method/part_divergence.h"

enum teacher { LIVE, EMA, REFERENCE };
#define OPTIONS(X)                                                                                                \
  X(ENUM, teacher, EMA, 0, 0, "live|ema|reference", "weights of the teacher: those of the policy, their average") \
  X(REAL, ema_rate, 0.05, 1e-6, 1, NULL, "teacher: ema: share of the new weights after each step")                \
  X(REAL, alpha, 1, 0, 1, NULL, "1: KL(policy || teacher), 0: KL(teacher || policy), else between")               \
  X(INT, top, 0, 0, 1e6, NULL, "divergence on so many likeliest tokens of the policy; 0: the vocabulary")         \
  X(BOOL, tail, 1, 0, 1, NULL, "with top: what is left is one more outcome; false: renormalised")                 \
  X(REAL, weight_cap, 2, 0, OPTION_INF, NULL, "bound on the ratio that weighs a token")                           \
  X(REAL, threshold, 1, -1e9, 1e9, NULL, "reward from which a response is right")                                 \
  X(BOOL, feedback, 0, 0, 1, NULL, "the verifier's reason is shown where a response is wrong")                    \
  X(STRING, prompt, 0, 0, 0, "{prompt}{solution}{feedback}\n\nCorrectly solve the original question.\n",          \
    "what the user says to the teacher; {prompt}: what the user said last")                                       \
  X(STRING, solution, 0, 0, 0, "\nCorrect solution:\n\n{text}\n\n", "{solution}, where there is one")             \
  X(STRING, reason, 0, 0, 0, "\nThe following is feedback from your unsuccessful earlier attempt:\n\n{text}\n\n", \
    "{feedback}, where there is one")                                                                             \
  X(REAL, grpo_weight, 0, 0, 1e6, NULL, "weight of grpo's loss beside the distillation")                          \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")         \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"taught", "share", "rollouts that have a teacher context"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  static const char *const names[] = {"policy", "ema", "reference"};
  const struct self *o = options_of;
  (void)err;
  out->flags |= NEED_ROW_TERM | NEED_SECOND_CONTEXT | NEED_ALWAYS;
  out->row_sources[out->row_source_count++] = (struct row_source){names[o->teacher], true};
  out->second_each = o->feedback ? 0 : 2; /* one shows the first right answer, to all but itself */
  out->row_functions = o->top > 0 ? 1 : o->alpha > 0 && o->alpha < 1 ? 7 : 2;
  if (o->teacher != EMA) return 0;
  out->flags |= NEED_EMA;
  out->ema_rate = o->ema_rate;
  return 0;
}

/* ---- the teacher's context --------------------------------------------------------------------------------------- */

static bool is_right(const struct self *o, const struct step *s, int32_t r)
{
  double reward;
  return s->rollouts[r].status == ROLLOUT_OK && step_get_channel(s, r, 0, &reward) && reward >= o->threshold;
}

/* The first right response of the group that is not r's own, or -1. */
static int32_t demonstration(const struct self *o, const struct step *s, int32_t r)
{
  const struct group *g = &s->groups[s->rollouts[r].group];
  for (int32_t i = g->first; i < g->first + g->count; i++)
    if (s->order[i] != r && s->rollouts[s->order[i]].text && is_right(o, s, s->order[i])) return s->order[i];
  return -1;
}

/* What the user said last. */
static const char *question(const struct problem *p)
{
  if (!p) return "";
  if (p->prompt) return p->prompt;
  size_t n = json_array_size(p->messages);
  const char *text = n ? json_string_value(json_object_get(json_array_get(p->messages, n - 1), "content")) : NULL;
  return text ? text : "";
}

/* A template with "{name}" replaced by its value; NULL values are empty. */
struct slot {
  const char *name, *value;
};
static void expand(const char *template, const struct slot *slots, size_t count, struct text *out)
{
  while (template && *template) {
    size_t k = 0;
    while (k < count && strncmp(template, slots[k].name, strlen(slots[k].name))) k++;
    if (k == count) {
      text_add(out, template ++, 1);
      continue;
    }
    if (slots[k].value) text_puts(out, slots[k].value);
    template += strlen(slots[k].name);
  }
}

/* What the user says to the teacher of rollout r. */
static void tell(const struct self *o, const struct step *s, int32_t r, int32_t demo, const char *reason,
                 struct text *out)
{
  struct text solution = {0}, feedback = {0};
  if (demo >= 0) expand(o->solution, &(struct slot){"{text}", s->rollouts[demo].text}, 1, &solution);
  if (reason) expand(o->reason, &(struct slot){"{text}", reason}, 1, &feedback);
  const struct slot slots[] = {{"{prompt}", question(s->groups[s->rollouts[r].group].problem)},
                               {"{solution}", solution.bytes},
                               {"{feedback}", feedback.bytes}};
  expand(o->prompt, slots, 3, out);
  if (!out->rc) out->rc = solution.rc ? solution.rc : feedback.rc;
  text_free(&solution);
  text_free(&feedback);
}

static int second(struct method_call *c, const struct step *s, struct second *out, struct error *err)
{
  const struct self *o = c->self;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i], demo = demonstration(o, s, r);
    const char *reason = o->feedback && !is_right(o, s, r) ? s->rollouts[r].verdict.reason : NULL;
    struct text text = {0};
    if (demo < 0 && !reason) continue;
    tell(o, s, r, demo, reason, &text);
    int rc = text_finish(&text, err);
    if (!rc) rc = second_add_text(out, s->rollouts[r].group, text.bytes ? text.bytes : "", &out->context[r], err);
    text_free(&text);
    if (rc) return rc;
  }
  return 0;
}

/* ---- the loss ---------------------------------------------------------------------------------------------------- */

static double apart(const void *arg, const struct row_input *in, double *gradient)
{
  if (in->other[0]) return divergence_row(in->logp, in->other[0], in->vocab, arg, gradient, in->scratch);
  memset(gradient, 0, (size_t)in->vocab * sizeof *gradient);
  return 0;
}

static bool has_teacher(const struct step *s, int32_t rollout)
{
  return s->second && s->second[rollout] >= 0;
}

/* Tokens without a teacher count in no denominator. */
static double *counted_tokens(struct method_call *c, const struct minibatch *m, struct error *err)
{
  const struct step *s = m->step;
  int32_t taught = 0;
  for (int32_t i = 0; i < s->kept; i++) taught += has_teacher(s, s->order[i]);
  method_report(c, "taught", s->kept ? (double)taught / s->kept : 0);
  double *counted = ARENA_NEW(c->scratch, double, (size_t)m->count, "sdpo", err);
  for (int32_t i = 0; counted && i < m->count; i++) {
    counted[i] = has_teacher(s, s->path[m->token[i]].rollout) ? m->counted[i] : 0;
  }
  return counted;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  if (o->grpo_weight > 0) TRY(c->base->method->objective(c->base, m, out, err));
  double *counted = counted_tokens(c, m, err);
  struct divergence_options *d = ARENA_NEW(out->arena, struct divergence_options, 1, "sdpo", err);
  if (!counted || !d) return err->code;
  *d = (struct divergence_options){.alpha = o->alpha, .top = (int32_t)o->top, .tail = o->tail};
  double *scale = aggregate_scales(out->arena, m, (enum aggregation)o->aggregation, o->constant, counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    double r = clip_ratio(m->logp[i], m->old[i]);
    out->loss[i] *= o->grpo_weight;
    out->coef[i] *= o->grpo_weight;
    if (math_is_nan(r)) out->loss[i] = r; /* a broken number is not left out with its weight */
    scale[i] *= m->weight[i] * (r < o->weight_cap ? r : o->weight_cap);
  }
  out->row = (struct row_term){.scale = scale, .at = apart, .arg = d};
  return 0;
}

const struct method method_sdpo = {
    .name = "sdpo",
    .title = "Self-distillation policy optimisation",
    .paper = "arXiv 2601.20802; TRL's SDPOTrainer",
    .base = "grpo",
    .needs = NEED_ROW_TERM | NEED_SECOND_CONTEXT | NEED_EMA | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .second = second,
    .objective = objective,
};

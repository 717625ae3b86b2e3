/* Verdicts: a wave's responses are judged while others are still generated; what comes of each is written into the
 * step.
 */
#include "train/wave.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"

#include <string.h>

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

/* ---- a response as text -------------------------------------------------------------------------------------------
 */

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

/* Where each token of the response begins in its text. A character that is cut over several tokens belongs to the last
 * of them. */
static int token_bytes(const struct run *r, struct step *s, struct rollout *o, struct error *err)
{
  const struct segment *leaf = &s->tree->segments[o->leaf];
  struct token_decoder d;
  struct text all = {0};
  o->token_byte = ARENA_NEW(s->arena, int32_t, (size_t)leaf->count + 1, "response", err);
  if (!o->token_byte) return err->code;
  token_decoder_start(&d, r->session.tokenizer, true);
  for (int32_t i = 0; i <= leaf->count; i++) {
    o->token_byte[i] = (int32_t)(all.size < o->text_size && i < leaf->count ? all.size : o->text_size);
    if (i < leaf->count) token_decoder_add(&d, leaf->tokens[i].id, &all);
  }
  int rc = text_finish(&all, err);
  text_free(&all);
  return rc;
}

int wave_finish_rollout(struct run *r, struct wave *w, int32_t at, struct error *err)
{
  struct step *s = w->step;
  struct rollout *o = &s->rollouts[w->rollouts[at]];
  char *text;
  TRY(collect_text(r, s->arena, s->tree, o->leaf, &text, &o->text_size, err));
  o->text = text;
  o->response = s->tree->segments[o->leaf].count;
  if (compose_needs(r->methods)->flags & NEED_SPANS) TRY(token_bytes(r, s, o, err));
  verify_queue_submit(r->verify, w->verifiers[at], s->groups[o->group].problem, text, o->text_size, (size_t)at);
  return 0;
}

/* ---- judging ------------------------------------------------------------------------------------------------------
 */

int wave_start_verdicts(struct run *r, struct wave *w, struct error *err)
{
  struct step *s = w->step;
  size_t n = (size_t)w->count;
  w->verifiers = ARENA_NEW(s->arena, const struct verifier_config *, n, "verdicts", err);
  w->verdicts = ARENA_NEW(s->arena, struct verdict, n, "verdicts", err);
  if (!w->verifiers || !w->verdicts) return err->code;
  for (int32_t i = 0; i < w->count; i++)
    TRY(verifier_set_find(r->verifiers, s->groups[s->rollouts[w->rollouts[i]].group].problem, &w->verifiers[i], err));
  verify_queue_start(r->verify, w->verdicts, n);
  return 0;
}

/* Judges again, once, what failed. The verdicts that are there lie in the step by now. */
static int judge_again(struct run *r, struct wave *w, struct error *err)
{
  struct step *s = w->step;
  int64_t count = 0;
  verify_queue_set_journal(r->verify, r->journal, 1);
  verify_queue_start(r->verify, w->verdicts, (size_t)w->count);
  for (int32_t i = 0; i < w->count; i++) {
    const struct rollout *o = &s->rollouts[w->rollouts[i]];
    if (o->status != ROLLOUT_FAILED) continue;
    verify_queue_submit(r->verify, w->verifiers[i], s->groups[o->group].problem, o->text, o->text_size, (size_t)i);
    count++;
  }
  TRY(verify_queue_wait(r->verify, err));
  verify_queue_set_journal(r->verify, r->journal, 0);
  for (int32_t i = 0; i < w->count; i++)
    if (s->rollouts[w->rollouts[i]].status == ROLLOUT_FAILED)
      TRY(step_set_verdict(s, w->rollouts[i], &w->verdicts[i], err));
  metrics_add_int(&r->metrics, "verify/again", count);
  return 0;
}

/* A verifier that failed is no wrong answer: the recipe says what it is. */
static int settle(struct run *r, struct step *s, int32_t index, struct error *err)
{
  struct rollout *o = &s->rollouts[index];
  if (o->status != ROLLOUT_FAILED) return 0;
  if (r->recipe->reward.on_failure == RECIPE_FAILURE_DROP) {
    o->kept = false;
    return 0;
  }
  return step_set_channel(s, index, 0, 0, err);
}

/* verify/failed and its parts: failures, of them those that took too long, and both by kind. */
static void count_failures(struct run *r, const struct wave *w)
{
  int64_t failed = 0, late = 0;
  for (int32_t i = 0; i < w->count; i++) {
    const struct rollout *o = &w->step->rollouts[w->rollouts[i]];
    const struct verifier *kind = w->verifiers[i]->verifier;
    bool failure = o->status == ROLLOUT_FAILED;
    char name[64];
    snprintf(name, sizeof name, "verify/failed/%.40s", kind->name);
    if (kind->outside || failure) metrics_add_int(&r->metrics, name, failure);
    failed += failure;
    late += failure && o->verdict.timeout;
  }
  metrics_add_int(&r->metrics, "verify/failed", failed);
  metrics_add_int(&r->metrics, "verify/timeouts", late);
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
  in.response = o->text;
  in.n = o->text_size;
  TRY(own_ids(s, o, &in.ids, &in.tokens, err));
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

int wave_take_verdicts(struct run *r, struct wave *w, struct error *err)
{
  struct step *s = w->step;
  bool failed = false;
  for (int32_t i = 0; i < w->count; i++) {
    TRY(step_set_verdict(s, w->rollouts[i], &w->verdicts[i], err));
    failed = failed || s->rollouts[w->rollouts[i]].status == ROLLOUT_FAILED;
  }
  metrics_add_int(&r->metrics, "verify/again", 0);
  if (failed && r->recipe->reward.on_failure == RECIPE_FAILURE_RETRY) TRY(judge_again(r, w, err));
  count_failures(r, w);
  for (int32_t i = 0; i < w->count; i++) TRY(settle(r, s, w->rollouts[i], err));
  for (int32_t i = 0; i < w->count && r->recipe->channel_count; i++) TRY(add_channels(r, s, w->rollouts[i], err));
  return 0;
}

/* The score of a reward model, in this process and by the same forward as everything else.
 *
 *     verifier: {reward_model: {model: runs/rm, threshold: 0, scale: sigmoid}}
 *
 *     question, prompt or messages   what was asked; with the response through the model's own chat template
 *     reward     scale: sigmoid  1 / (1 + exp(-score))
 *                       raw      the score itself
 *     correct    score > threshold
 *     channels   score
 *
 * A response that makes the sequence longer than max_tokens is not scored: reward 0 (raw: the threshold less 1), not
 * readable. Worked example: score 0.8, threshold 0: reward 0.690, correct.
 */
#include <pthread.h>
#include <string.h>

#include "core/math.h"
#include "data/source.h"
#include "reward/verifier.h"
#include "rollout/reward_score.h"

/* One scorer for all threads that judge. */
struct shared {
  struct reward_scorer *scorer;
  pthread_mutex_t lock;
};

static void close_shared(void *arg)
{
  struct shared *s = arg;
  pthread_mutex_destroy(&s->lock);
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  const struct setting_value *model = verifier_value(c, "model");
  struct shared *s = c->state = ARENA_NEW(a, struct shared, 1, "reward model", err);
  if (!s) return err->code;
  if (!model->set || !*model->text)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "model",
            "the verifier reward_model names no model; expected verifier: {reward_model: {model: FOLDER}}");
  struct reward_scorer_options o = {
      .model = model->text,
      .threads = (int)verifier_value(c, "threads")->integer,
      .type = strcmp(verifier_value(c, "compute")->text, "bf16") ? COMPUTE_F32 : COMPUTE_BF16,
      .max_tokens = (int)verifier_value(c, "max_tokens")->integer};
  TRY(reward_scorer_open(a, &o, &s->scorer, err));
  pthread_mutex_init(&s->lock, NULL);
  return arena_on_reset(a, close_shared, s, err);
}

static int score(struct shared *s, const struct problem *p, const char *response, size_t n, bool *fits, double *out,
                 struct error *err)
{
  struct token_list ids = {0};
  int rc = reward_score_ids(s->scorer, p, response, n, &ids, err);
  *fits = ids.count > 0 && ids.count <= (size_t)reward_scorer_longest(s->scorer);
  if (!rc && *fits) {
    pthread_mutex_lock(&s->lock);
    rc = reward_score(s->scorer, ids.ids, ids.count, out, err);
    pthread_mutex_unlock(&s->lock);
  }
  token_list_free(&ids);
  return rc;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  double threshold = verifier_value(c, "threshold")->real, x = threshold - 1;
  bool raw = !strcmp(verifier_value(c, "scale")->text, "raw"), fits;
  struct problem whole;
  *out = (struct verdict){.channel_count = 1};
  if (!p->prompt && !p->messages) {  // of `assay verify`: only its line is known
    TRY(problem_from_object(a, (json_t *)p->fields, NULL, p->source, p->line, &whole, err));
    p = &whole;
  }
  TRY(score(c->state, p, response, n, &fits, &x, err));
  out->channels[0].name = "score";
  out->channels[0].value = x;
  out->reward = raw ? x : fits ? 1 / (1 + math_exp(-x)) : 0;
  out->readable = fits;
  out->correct = fits && x > threshold;
  out->reason =
      fits ? arena_printf(a, "verdict", err, "the reward model gives %.4g; right is above %.4g", x, threshold)
           : arena_printf(a, "verdict", err, "prompt and response are longer than the reward model's %d tokens",
                          reward_scorer_longest(((struct shared *)c->state)->scorer));
  return out->reason ? 0 : err->code;
}

static const struct setting settings[] = {
    {"model", SETTING_TEXT, 0, 0, NULL, NULL,
     "folder of the reward model: a run, a checkpoint, or transformers' with num_labels 1"},
    {"scale", SETTING_TEXT, 0, 0, "sigmoid", "sigmoid raw", "the reward: 1 / (1 + exp(-score)), or the score"},
    {"threshold", SETTING_REAL, -1e9, 1e9, "0", NULL, "score above which a response is correct"},
    {"max_tokens", SETTING_INT, 0, 1e7, "0", NULL, "longest prompt with response; 0: what the model allows"},
    {"threads", SETTING_INT, 0, 4096, "1", NULL, "cores that score; 0: all"},
    {"compute", SETTING_TEXT, 0, 0, "f32", "f32 bf16", "compute type"},
};

const struct verifier verifier_reward_model = {
    .name = "reward_model",
    .help = "a reward model's score of the response, computed here",
    .fields = "question or prompt or messages",
    .channels = "score",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
};

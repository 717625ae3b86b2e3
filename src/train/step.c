/* One step of training, from top to bottom. Someone who has read this file has read the program:
 *
 *     problem -> select -> guide -> rollout -> reward -> revise -> shape -> advantage -> weight
 *             -> updates: objective -> observe
 *
 * Every stage reads what the stage before it wrote in `struct step`. No method is known here by name.
 */
#include "train/run.h"

#include "core/log.h"

static int open_step(struct run *r, struct step **out, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  arena_reset(r->step_arena);
  r->metrics.count = 0;
  struct step_options o = {.seed = (uint64_t)recipe->top.seed,
                           .number = r->step,
                           .total = recipe->train.steps,
                           .temperature = recipe->train.temperature,
                           .max_new_tokens = (int32_t)recipe->rollout.max_new_tokens,
                           .weight_version = r->trainer->weight_version,
                           .combine = recipe->combine,
                           .combine_count = (int32_t)recipe->combine_count};
  return step_create(r->step_arena, &o, out, err);
}

/* What remains of a step whose update was vouched for: methods look at it, and it is written down. */
static int close_step(struct run *r, struct step *s, const struct update_result *u, struct error *err)
{
  struct observation seen = {.loss = u->loss,
                             .kl = u->kl,
                             .entropy = u->entropy,
                             .grad_norm = u->grad_norm,
                             .solved = metrics_get(&r->metrics, "solved")};
  TRY(compose_observe(r->methods, s, &seen, err));
  TRY(run_move_policies(r, &seen, u->updates > 0, err));
  if (r->recipe->kind == RECIPE_TRAIN && r->recipe->save.rollouts == RECIPE_ROLLOUTS_ALL)
    TRY(report_rollouts(r, s, err));
  return 0;
}

/* All that comes before the weights move. */
int run_sample(struct run *r, struct step **out, struct error *err)
{
  struct step *s;
  bool ended = false;
  TRY(open_step(r, out, err));
  s = *out;

  if (r->recipe->kind == RECIPE_SFT) {
    // examples stand where rollouts would
    TRY(sft_collect(r, s, err));
  } else {
    // which problems, and what the model reads
    TRY(collect_problems(r, s, &ended, err));
    if (ended) FAIL(err, ERROR_STOPPED, "a method ended the run after %lld steps", (long long)r->step);

    // waves: a tree of tokens for each group, verdicts while others still generate, named scores; until no method asks
    // for more or the budget is spent
    for (bool more = true; more;) {
      TRY(collect_wave(r, s, err));
      TRY(collect_revise(r, s, &more, err));
    }
    TRY(collect_history(r, s, err));
    if (r->hooks.after_rollouts) r->hooks.after_rollouts(r->hooks.arg, r);
  }

  // one number a rollout, then credit per token
  TRY(step_gather(s, err));
  TRY(collect_score_twins(r, s, err));

  // what methods need beside the tokens: one scoring pass a policy and context
  TRY(run_score(r, s, err));
  if (r->recipe->kind == RECIPE_SFT) TRY(sft_reference(r, s, err));
  TRY(compose_shape(r->methods, s, err));
  TRY(compose_advantage(r->methods, s, err));
  return compose_weight(r->methods, s, err);
}

/* The checkpoint of the step before is written beside this one, up to here. */
static int before_move(void *run, struct error *err)
{
  return run_save_finish(run, err);
}

int run_step(struct run *r, struct error *err)
{
  struct step *s;
  struct update_result result;
  double start = clock_seconds();
  TRY(run_sample(r, &s, err));

  // coefficients on log-probabilities, gradients, new weights; law 1 is checked before they move
  const struct update_options options = {.lr = run_learning_rate(r->recipe, r->step),
                                         .optimiser = {.beta1 = r->recipe->train.betas.first,
                                                       .beta2 = r->recipe->train.betas.second,
                                                       .eps = r->recipe->train.eps,
                                                       .weight_decay = r->recipe->train.weight_decay,
                                                       .clip_norm = r->recipe->train.clip_norm},
                                         .before_move = before_move,
                                         .arg = r};
  double train_start = clock_seconds();
  r->trainer->counts = (struct trainer_counts){0};
  TRY(update_step(r->methods, s, &r->policies, &options, &result, err));
  TRY(run_save_finish(r, err));  // what follows may set moments, averages and references anew
  metrics_set(&r->metrics, "lr", options.lr);
  metrics_set(&r->metrics, "seconds/train", clock_seconds() - train_start);

  // numbers first: a broken law is reported with them
  r->step++;
  TRY(report_step(r, s, &result, err));
  if (!result.mismatch) TRY(close_step(r, s, &result, err));
  report_methods(r);
  metrics_set(&r->metrics, "time_s", clock_seconds() - start);
  if (r->recipe->kind == RECIPE_TRAIN)
    metrics_set(&r->metrics, "verify/share", metrics_get(&r->metrics, "seconds/verify") / (clock_seconds() - start));
  if (result.mismatch) {
    if (r->folder) TRY(report_write(r, err));
    FAIL(err, ERROR_LAW,
         "step %lld: %lld of %lld tokens have another log-probability in training than when they were sampled (%s); "
         "expected the same bits; the weights were "
         "not moved: resume from the last checkpoint and report this",
         (long long)r->step, (long long)result.mismatch, (long long)result.mismatch_of, result.first_mismatch);
  }
  return 0;
}

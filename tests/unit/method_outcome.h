/* method_outcome: one small step of given numbers through a method, up to its loss, for the tests of the whole
 * registry. */
#ifndef ASSAY_TESTS_UNIT_METHOD_OUTCOME_H
#define ASSAY_TESTS_UNIT_METHOD_OUTCOME_H

#include "unit/method_case.h"

static CHECK_UNUSED const struct case_rollout STEP[] = {{0, 0, 1, 3},   {0, 1, 0, 2},   {0, 2, 0.25, 4},
                                                        {1, 0, 0, 1},   {1, 1, 1, 5},   {1, 2, 1, 2},
                                                        {2, 0, 0.5, 2}, {2, 1, 0.5, 3}, {2, 2, 0.5, 1}};
enum { COUNT = sizeof STEP / sizeof STEP[0], GROUPS = 3 };

static CHECK_UNUSED void open_one(const struct method *m, const char *options, int32_t minibatches,
                                  struct composed **out)
{
  char text[512];
  struct error err = {0};
  snprintf(text, sizeof text, "[{%s: {%s}}]", m->name, options);
  CHECK_OK(case_open(text, minibatches, out, &err), &err);
}

/* What the trainer writes: every current log-probability a little off the record. */
static CHECK_UNUSED void move(struct minibatch *m)
{
  for (int32_t i = 0; i < m->count; i++) {
    m->logp[i] = m->old[i] + 0.05 * ((i * 7) % 5 - 2);
    if (m->entropy) m->entropy[i] = 1 + 0.1 * i;
    if (m->reference) m->reference[i] = m->old[i] - 0.03 * ((i * 3) % 7 - 3);
    if (m->value) m->value[i] = m->value_old[i] + 0.07 * ((i * 5) % 6 - 2);
    if (m->second_logp) m->second_logp[i] = m->second_old[i] + 0.06 * ((i * 11) % 7 - 3);
  }
  for (int32_t i = 0; m->slot_logp && i < m->rollout_count; i++) m->slot_logp[i] += 0.4 * ((i * 5) % 3 - 1);
}

struct outcome {
  struct step *step;
  struct composed_loss loss;
  struct minibatch *batch;
};

static CHECK_UNUSED int run(struct composed *set, struct step *s, struct outcome *out, struct error *err)
{
  out->step = s;
  TRY(compose_reward(set, s, err));
  TRY(step_gather(s, err));
  case_score(set, s);
  TRY(compose_shape(set, s, err));
  TRY(compose_advantage(set, s, err));
  TRY(compose_weight(set, s, err));
  struct update_list list;
  TRY(compose_updates(set, s, &list, err));
  TRY(compose_minibatch(set, s, &list.items[0], 0, 0, case_arena, &out->batch, err));
  move(out->batch);
  case_current(set, out->batch);
  TRY(compose_weight_current(set, out->batch, case_arena, err));
  return compose_objective(set, out->batch, case_arena, &out->loss, err);
}

static CHECK_UNUSED void run_default(const struct method *m, const char *options, const struct case_rollout *rollouts,
                                     size_t count, struct outcome *out)
{
  struct composed *set;
  struct error err = {0};
  open_one(m, options, 1, &set);
  CHECK_OK(run(set, case_step(rollouts, count, NULL), out, &err), &err);
}

#endif

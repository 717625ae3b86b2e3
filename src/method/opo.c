/* opo: the baseline of least variance where a response's gradient grows with its length (arXiv 2505.23585).
 *
 *     A_i = R_i - sum_j n_j R_j / sum_j n_j        n: trained tokens of a rollout
 *
 * No division by a deviation; the paper trains strictly on-policy, without KL and entropy terms. A group of one keeps
 * its reward; rollouts without any token have the plain mean. The loss is grpo's.
 */
#include "method/part_group.h"
#include "method/part_plain.h"

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  double *length = (double *)(uintptr_t)arg; /* scratch of the call */
  for (int32_t i = 0; i < n; i++) length[i] = s->rollouts[members[i]].path_count;
  group_length_weighted(reward, length, n, out);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  double *length = ARENA_NEW(c->scratch, double, (size_t)s->kept, "opo", err);
  return length ? plain_by_group(c->scratch, s, credit_group, length, out->advantage, err) : err->code;
}

const struct method method_opo = {
    .name = "opo",
    .title = "On-policy RL with the optimal reward baseline",
    .paper = "arXiv 2505.23585",
    .base = "grpo",
    .advantage = advantage,
};

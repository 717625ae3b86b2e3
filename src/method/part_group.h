/* method/part_group: statistics of the rewards of a group, and what advantages are made of.
 *
 * All sums are f64 of d_i = R_i - R_1 in the given order: equal rewards give d = 0 exactly, hence advantages of exactly
 * 0, whatever the value. (Frameworks that subtract a rounded float32 mean give 0.001 to 0.93 for eight rewards of 1.4:
 * fixtures/rl, grpo_equal.)
 */
#ifndef ASSAY_METHOD_PART_GROUP_H
#define ASSAY_METHOD_PART_GROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Mean of d and standard deviation. mean() = first + centre. */
struct group_statistics {
  double first;  /* R_1 */
  double centre; /* mean of R_i - R_1 */
  double std;    /* 0 for fewer than two (n - 1) or one (n) */
};
/* unbiased: divide by n - 1, else by n. */
struct group_statistics group_statistics(const double *reward, int32_t n, bool unbiased);

/* A_i = (R_i - mean) / (std + eps); eps < 0: no division (Dr.GRPO, arXiv 2503.20783). A group of one: A = R / (1 + eps)
   as in verl (mean 0, std 1), R without division. GRPO: arXiv 2402.03300, eq. 3 and section 4.1.2. */
void group_normalised(const double *reward, int32_t n, bool unbiased, double eps, double *advantage);

/* A_i = R_i - mean of the others, the others summed one by one (arXiv 2402.14740; total minus own would leave a trace
 * of the own rollout). A group of one: A = R. */
void group_leave_one_out(const double *reward, int32_t n, double *advantage);

/* A_i = (R_i - mean) / by, for a divisor that is not the group's own: the standard deviation of the batch (TRL,
 * scale_rewards: batch), a constant (GPG's alpha). A group of one: A = R / by. */
void group_divided(const double *reward, int32_t n, double by, double *advantage);

/* A_i = R_i - sum n_j R_j / sum n_j: lengths weigh the baseline (OPO, arXiv 2505.23585). Without any token the
 * mean is the plain one. A group of one: A = R. */
void group_length_weighted(const double *reward, const double *length, int32_t n, double *advantage);

/* pass@k by the best of the group (arXiv 2503.19595): the first of the largest rewards gets (largest - second largest)
 * / (std + eps), the others 0; eps < 0: no division. A group of one: 0. */
void group_best(const double *reward, int32_t n, double eps, double *advantage);

/* pass@k in closed form (arXiv 2508.10751) of n rollouts, `wrong` of them wrong, taken k at a time: with
 * the mean m = 1 - C(wrong, k) / C(n, k) and s = sqrt(m (1 - m)),
 *
 *     right (1 - m) / s       wrong (1 - m - C(wrong - 1, k - 1) / C(n - 1, k - 1)) / s
 *
 * Both 0 where m is 0 or 1, k > n included: every set of k is then worth the same. */
struct group_sets {
  double right, wrong;
};
struct group_sets group_sets(int64_t n, int64_t wrong, int64_t k);

#endif

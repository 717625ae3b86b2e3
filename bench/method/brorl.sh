#!/bin/sh
# 64 rollouts of 3 problems a step beside 8 rollouts of 24, as many samples in all and the same recipe: from a start that
# knows its problems unevenly, fewer groups teach nothing, and more is learned. The paper's B does not change, so that
# the learning rate is scaled by neither.
recipe='[{brorl: {base_batch: 192, kl_coef: 0}}]'
lab() {
  "$(dirname "$0")/lab.py" brorl --method "$recipe" --base "$recipe" --seeds 8 --claim up \
    --set rollout.max_attempts=3 --method-set rollout.group=64 rollout.problems=3 "$@" --write
}
lab --bed chain --quantity brorl/pass_rate:mean "$@" && lab --bed chain --quantity accuracy "$@"

#!/bin/bash
# REINFORCE++ (arXiv 2501.03262): the deviation of the whole step is steadier than that of a small group. Groups of 2;
# then with verdicts that are wrong one time in ten, or in five.
set -e
cd "$(dirname "$0")"
for bed in mixed:6 noisy:15; do
  ./lab.py reinforce_pp --bed "${bed%:*}" --method '[reinforce_pp]' \
    --quantity accuracy --claim up --seeds "${bed#*:}" --write \
    --set train.steps=100 train.lr=2e-3 rollout.group=2 "$@"
done

#!/bin/bash
# REINFORCE++ (arXiv 2501.03262): the deviation of the whole step is steadier than that of a small group. Groups of 2.
set -e
cd "$(dirname "$0")"
./lab.py reinforce_pp --bed mixed --method '[reinforce_pp]' \
  --quantity accuracy --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.group=2 "$@"

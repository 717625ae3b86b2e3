#!/bin/bash
# PPO (arXiv 1707.06347, 1506.02438): a critic is a better baseline than a moving average. One rollout a problem.
set -e
cd "$(dirname "$0")"
./lab.py ppo --bed mixed --method '[{ppo: {value_lr: 1.0e-2}}]' --base '[{reinforce: {baseline: running}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.group=1 "$@"

#!/bin/bash
# RLOO (arXiv 2402.14740): less variance than REINFORCE with a moving average, and more reward than PPO. Groups of 4.
set -e
cd "$(dirname "$0")"
./lab.py rloo --bed mixed --method '[rloo]' --base '[{reinforce: {baseline: running}}]' \
  --quantity grad_norm:mean --claim down --seeds 6 --write \
  --set train.steps=40 train.lr=0 rollout.group=4 "$@"
./lab.py rloo --bed mixed --method '[rloo]' --base '[{ppo: {value_lr: 1.0e-2}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.group=4 "$@"

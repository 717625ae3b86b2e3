#!/bin/bash
# Truncated importance sampling (F. Yao et al. 2025): weights for the difference between sampler and trainer learn
# more. The sampler draws from the likeliest 80 % alone.
set -e
cd "$(dirname "$0")"
./lab.py rollout_correction --bed mixed --method '[grpo, rollout_correction]' \
  --quantity accuracy --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.top_p=0.8 "$@"

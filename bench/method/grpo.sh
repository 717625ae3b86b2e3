#!/bin/bash
# GRPO (DeepSeekMath, arXiv 2402.03300, figure 5): learning from wrong answers too beats online rejection sampling.
set -e
cd "$(dirname "$0")"
./lab.py grpo --bed mixed --method '[grpo]' --base '[rft]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

#!/bin/bash
# Entropy bonus (arXiv 1602.01783): more entropy, and more of the right answers are kept. Three of eight are right.
set -e
cd "$(dirname "$0")"
./lab.py entropy_bonus --bed modes --method '[grpo, {entropy_bonus: {coef: 0.05}}]' \
  --quantity distinct --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

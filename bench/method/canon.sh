#!/bin/bash
# CANON (arXiv 2509.23962): alpha below 1 on lengths shortens answers at equal accuracy. Tabular bandit: 2.05 against 5.28.
set -e
cd "$(dirname "$0")"
./lab.py canon --bed long --method '[{canon: {metric: length, alpha: 0.9}}]' --base '[{grpo: {dialect: dr_grpo}}]' \
  --quantity length/mean:last --claim down --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py canon --bed long --method '[{canon: {metric: length, alpha: 0.9}}]' --base '[{grpo: {dialect: dr_grpo}}]' \
  --quantity solved:last --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

#!/bin/bash
# ReMax (arXiv 2310.10505): the greedy answer as baseline lowers the variance of REINFORCE's gradient, and it learns faster.
set -e
cd "$(dirname "$0")"
./lab.py remax --bed mixed --method '[remax]' --base '[{reinforce: {baseline: none}}]' \
  --quantity grad_norm:mean --claim down --seeds 6 --write \
  --set train.steps=40 train.lr=0 "$@"
./lab.py remax --bed mixed --method '[remax]' --base '[{reinforce: {baseline: none}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

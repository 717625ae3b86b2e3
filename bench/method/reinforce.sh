#!/bin/bash
# REINFORCE (Williams 1992): a baseline takes noise off the gradient and learning is faster for it. Weights that stand
# still: the squared norm of a gradient is that of its mean, which a baseline leaves alone, plus its variance.
set -e
cd "$(dirname "$0")"
./lab.py reinforce --bed mixed --method '[reinforce]' --base '[{reinforce: {baseline: none}}]' \
  --quantity grad_norm:mean --claim down --seeds 6 --write \
  --set train.steps=40 train.lr=0 "$@"
./lab.py reinforce --bed mixed --method '[reinforce]' --base '[{reinforce: {baseline: none}}]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

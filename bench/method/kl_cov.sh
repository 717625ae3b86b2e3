#!/bin/bash
# KL-Cov (arXiv 2505.22617): tokens of the highest covariance pay for moving, and entropy stays higher. The share is
# raised for batches of 400 tokens; the penalty acts from the second pass on: eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py kl_cov --bed mixed --method '[{kl_cov: {share: 0.05, coef: 2}}]' \
  --quantity entropy:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

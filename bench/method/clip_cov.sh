#!/bin/bash
# Clip-Cov (arXiv 2505.22617): tokens of high covariance lose their gradient, and entropy stays higher. The share is
# raised: a mini-batch has 400 tokens, and the advantages bound the covariance. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py clip_cov --bed mixed --method '[{clip_cov: {share: 0.05, low: 0.3, high: 10}}]' \
  --quantity entropy:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

#!/bin/bash
# VESPO (arXiv 2602.10693): a kernel over the ratio of the whole response stays stable and learns faster than a clip
# when updates are far from the sampler. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py vespo --bed bandit --method '[vespo]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

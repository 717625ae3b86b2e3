#!/bin/bash
# GMPO (arXiv 2507.20673): the geometric mean holds extreme ratios, and keeps more entropy than GRPO. Answers of
# several tokens, eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py gmpo --bed long --method '[gmpo]' \
  --quantity ratio/max:mean --claim down --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
./lab.py gmpo --bed long --method '[gmpo]' \
  --quantity entropy:last --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

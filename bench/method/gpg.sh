#!/bin/bash
# GPG (arXiv 2504.02546): the plain gradient, scaled up by the share of rollouts that earn nothing, beats GRPO.
set -e
cd "$(dirname "$0")"
./lab.py gpg --bed mixed --method '[gpg]' \
  --quantity solved:mean --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

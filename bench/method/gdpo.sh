#!/bin/bash
# GDPO (arXiv 2601.05242): rewards normalised one by one: the one of small spread is not drowned. A length of 4 is
# rewarded with a weight that drowns the digit when both are added first.
set -e
cd "$(dirname "$0")"
./lab.py gdpo --bed long --method '[gdpo]' \
  --quantity solved:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 'reward.channels=[{length: {mode: target, target: 4, alpha: 1}}]' 'reward.combine=[reward, {length: 1}]' "$@"

#!/bin/bash
# DAPO (arXiv 2503.14476): groups without a difference are replaced, so that more of a step teaches and it learns
# more a step; clip-higher keeps entropy. Up to four waves, twelve problems a step. Accuracy is that of the evaluation:
# what a step reports counts the kept groups alone.
set -e
cd "$(dirname "$0")"
./lab.py dapo --bed mixed --method '[{dapo: {overlong: none}}]' \
  --quantity groups/mixed:mean --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.problems=12 rollout.max_attempts=4 "$@"
./lab.py dapo --bed mixed --method '[{dapo: {overlong: none}}]' \
  --quantity accuracy --claim up --seeds 6 --write \
  --set train.steps=100 train.lr=2e-3 rollout.problems=12 rollout.max_attempts=4 "$@"

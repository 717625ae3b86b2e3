#!/bin/bash
# ProGRPO (arXiv 2602.05281): right answers that the policy finds unlikely gain: entropy and the number of right answers
# that are kept rise. Tabular bandit: three right arms, entropy 0.78 against 0.07. Three of eight letters are right.
set -e
cd "$(dirname "$0")"
./lab.py progrpo --bed modes --method '[progrpo]' \
  --quantity entropy:last --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py progrpo --bed modes --method '[progrpo]' \
  --quantity distinct --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

#!/bin/bash
# ACE (arXiv 2602.21420): errors of which the policy has become surer are pushed down harder: pass@8 above GRPO's. A tabular
# bandit: the arm of reward 0.9 behind a decoy. The start answers with a decoy in 7 of 10. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py ace --bed decoy --method '[ace]' \
  --quantity pass@8 --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
./lab.py ace --bed decoy --method '[ace]' --base '[{ace: {gate: uniform}}]' \
  --quantity pass@8 --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

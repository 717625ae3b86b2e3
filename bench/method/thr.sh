#!/bin/bash
# THR (arXiv 2510.03669): p below 0 explores, above 0 exploits: more of the right answers are kept with -0.2 than 0.2.
set -e
cd "$(dirname "$0")"
./lab.py thr --bed modes --method '[{thr: {p: -0.2}}]' --base '[{thr: {p: 0.2}}]' \
  --quantity distinct --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py thr --bed modes --method '[{thr: {p: 0.2}}]' \
  --quantity solved:mean --claim up --seeds 15 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

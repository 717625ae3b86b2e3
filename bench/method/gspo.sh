#!/bin/bash
# GSPO (arXiv 2507.18071): one ratio for the response clips far more tokens than GRPO and yet learns faster. Answers
# of several tokens, eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py gspo --bed long --method '[gspo]' \
  --quantity clip:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
./lab.py gspo --bed long --method '[gspo]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

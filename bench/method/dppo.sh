#!/bin/bash
# DPPO (arXiv 2602.04879): a trust region of probabilities leaves rare tokens free that a ratio clips, so that it
# learns faster. The start of this bed answers rightly with 3 %: those are the tokens. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py dppo --bed decoy --method '[dppo]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

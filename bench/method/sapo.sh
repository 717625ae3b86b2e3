#!/bin/bash
# SAPO (arXiv 2511.20347): a gate that closes softly learns from tokens that a hard clip silences. Eight passes a batch;
# secondly with right answers of 3 % at the start, whose growth a clip bounds.
set -e
cd "$(dirname "$0")"
./lab.py sapo --bed bandit --method '[sapo]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"
./lab.py sapo --bed decoy --method '[sapo]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

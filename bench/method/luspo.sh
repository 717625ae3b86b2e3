#!/bin/bash
# LUSPO (arXiv 2602.05261): without GSPO's division by the length answers stay longer. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py luspo --bed long --method '[luspo]' --base '[gspo]' \
  --quantity length/mean:last --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

#!/bin/bash
# GSPO-token (arXiv 2507.18071, section 4.3): the same ratio with credit of its own for each token, here the bonus for
# late tokens of ppl_position, which GSPO spreads over the response. The digit at the end decides. Eight passes a batch.
set -e
cd "$(dirname "$0")"
./lab.py gspo_token --bed long --method '[gspo_token, {ppl_position: {ppl: off, position: true, gamma: 0.5}}]' --base '[gspo, {ppl_position: {ppl: off, position: true, gamma: 0.5}}]' \
  --quantity solved:mean --claim up --seeds 8 --write \
  --set train.steps=40 train.epochs=8 train.lr=3e-3 "$@"

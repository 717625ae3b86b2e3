#!/bin/bash
# Beyond 80/20 (arXiv 2506.01939): the fifth of the tokens with the highest entropy carries the learning, the other four
# fifths do not; and entropy stays higher than with all. Answers of a template and one letter that decides.
set -e
cd "$(dirname "$0")"
./lab.py beyond_8020 --bed template --method '[beyond_8020]' --base '[{beyond_8020: {side: bottom}}]' \
  --quantity solved:last --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"
./lab.py beyond_8020 --bed template --method '[beyond_8020]' \
  --quantity entropy:mean --claim up --seeds 8 --write \
  --set train.steps=100 train.lr=2e-3 "$@"

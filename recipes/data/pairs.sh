#!/bin/sh
# Makes pairs of sums for recipes/dpo-pairs.yaml and recipes/reward_model.yaml. From the root of the repository:
#     recipes/data/pairs.sh near >recipes/data/sum_pairs.jsonl    the rejected answer is wrong by 1 or by 10
#     recipes/data/pairs.sh far >recipes/data/sum_pairs_far.jsonl it is wrong by 40 or by 60
case $1 in near) a=1 b=10 ;; far) a=40 b=60 ;; *) echo "pairs.sh: found $1; expected near or far" >&2; exit 2 ;; esac
"${ASSAY:-assay}" tasks addition format=plain held_out=0.2 train_until=0.7 --count 600 --seed 3 |
  sed -E 's/.*"prompt":"([^"]*)".*"answer":"([0-9]+)".*/\1 \2/' | sort -u |
  awk -v a=$a -v b=$b '{ wrong = $2 + (NR % 4 < 2 ? a : b) * (NR % 2 ? 1 : -1); if (wrong < 0) wrong = $2 + a
         printf "{\"prompt\":\"%s\",\"chosen\":\"%s\",\"rejected\":\"%d\"}\n", $1, $2, wrong }'

#!/bin/sh
# Makes recipes/data/sum_pairs.jsonl: sums with the right answer and one that is wrong in the last digit or in the one
# before. From the root of the repository: recipes/data/pairs.sh >recipes/data/sum_pairs.jsonl
"${ASSAY:-assay}" tasks addition format=plain held_out=0.2 train_until=0.7 --count 600 --seed 3 |
  sed -E 's/.*"prompt":"([^"]*)".*"answer":"([0-9]+)".*/\1 \2/' | sort -u |
  awk '{ wrong = $2 + (NR % 4 < 2 ? 1 : 10) * (NR % 2 ? 1 : -1); if (wrong < 0) wrong = $2 + 1
         printf "{\"prompt\":\"%s\",\"chosen\":\"%s\",\"rejected\":\"%d\"}\n", $1, $2, wrong }'

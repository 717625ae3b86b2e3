#!/bin/sh
# PIPO beside GRPO: a verdict is wrong one time in ten, or in five. The paper claims a higher success after as many steps;
# the mean over the run shows how fast it is reached. PIPO makes two updates a step: the last two rows are against GRPO that
# makes as many, twice over each batch, and against GRPO at twice the rate.
set -e
lab="$(dirname "$0")/lab.py"
"$lab" pipo --bed noisy --quantity eval/problems/accuracy:end --claim up --seeds 10 --method '[pipo, grpo]' "$@" --write
"$lab" pipo --bed mixed --quantity solved:mean --claim up --seeds 10 --method '[pipo, grpo]' "$@" --write
"$lab" pipo --bed mixed --quantity solved:mean --claim up --seeds 10 --method '[pipo, grpo]' --base-set train.epochs=2 "$@" --write
"$lab" pipo --bed mixed --quantity solved:mean --claim up --seeds 10 --method '[pipo, grpo]' --base-set train.lr=2.0e-3 "$@" --write

#!/bin/sh
# PIPO beside GRPO: a verdict is wrong one time in ten, or in five. The paper claims a higher success after as many steps;
# the mean over the run shows how fast it is reached.
set -e
lab="$(dirname "$0")/lab.py"
"$lab" pipo --bed noisy --quantity eval/problems/accuracy:end --claim up --seeds 10 --method '[pipo, grpo]' "$@" --write
"$lab" pipo --bed mixed --quantity solved:mean --claim up --seeds 10 --method '[pipo, grpo]' "$@" --write

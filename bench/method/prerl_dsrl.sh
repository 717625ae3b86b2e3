#!/bin/sh
# DSRL beside GRPO: problems from nearly unknown to nearly known, 19 of 200 steps without the prompt. The paper claims a
# higher accuracy after as many steps. start_token: these models have no turn token and no BOS.
exec "$(dirname "$0")/lab.py" prerl_dsrl --bed mixed --quantity eval/problems/accuracy:end --claim up --seeds 20 \
  --method '[{prerl_dsrl: {start_token: 0}}, {grpo: {clip_dual: 10}}]' --base '[{grpo: {clip_dual: 10}}]' "$@" --write

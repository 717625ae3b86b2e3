#!/bin/sh
# POISE's claim: two rollouts a problem and a probe give the gradient less noise than leave-one-out rewards do
# (arXiv 2605.07579). The base is the same method whose bootstrap never ends: leave-one-out.
exec "$(dirname "$0")/lab.py" poise --bed mixed --method '[{poise: {layer: -2, alpha: 100, bootstrap: 4, max_rows: 512}}, {grpo: {aggregation: seq_mean_token_mean, clip_high: 0.28, clip_dual: .inf}}]' \
  --base '[{poise: {layer: -2, bootstrap: 1000000, max_rows: 512}}, {grpo: {aggregation: seq_mean_token_mean, clip_high: 0.28, clip_dual: .inf}}]' \
  --quantity poise/reduction:mean --claim up --set rollout.group=2 rollout.problems=24 --seeds 5 "$@" --write

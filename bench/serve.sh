#!/usr/bin/env bash
# assay serve beside llama.cpp's server: the same GGUF file in f32, the same clients, in turn.
#
#     bench/serve.sh MODEL.gguf LLAMA_SERVER [ASSAY]
#
# From the environment: CLIENTS (32), SECONDS_EACH (20), TOKENS (64), THREADS (2), ROUNDS (2). Prints the line of
# bench/serve.py for each, and the ratio of tokens a second: above 1, Assay is faster. Both have CLIENTS slots; KV in
# f32 for llama.cpp too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
(($# >= 2)) || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }
model=$1 llama=$2 assay=${3:-$here/../build/release/assay}
clients=${CLIENTS:-32} seconds=${SECONDS_EACH:-20} tokens=${TOKENS:-64} threads=${THREADS:-2} rounds=${ROUNDS:-2}
log=$(mktemp)
server=0
trap 'kill $server 2>/dev/null; rm -f "$log"' EXIT

measure() { # NAME PORT: waits until the server answers, measures, stops it
  for _ in $(seq 300); do curl -sf "http://127.0.0.1:$2/health" >/dev/null && break; sleep 0.1; done
  python3 "$here/serve.py" "http://127.0.0.1:$2" "$1" "$clients" "$seconds" "$tokens" || true
  kill "$server"
}
rate() { sed -n 's/.*"tok_s": \([0-9.]*\).*/\1/p' <<<"$1"; }

for ((round = 1; round <= rounds; round++)); do
  "$assay" serve "$model" --name assay --port 18181 --threads "$threads" --slots "$clients" --context 512 >"$log" 2>&1 &
  server=$!
  ours=$(measure assay 18181)
  wait "$server" || true
  echo "assay: $ours"
  "$llama" -m "$model" --port 18182 -t "$threads" -np "$clients" -c $((clients * 512)) -ctk f32 -ctv f32 -cb >"$log" 2>&1 &
  server=$!
  theirs=$(measure llama 18182)
  wait "$server" || true
  echo "llama.cpp: $theirs"
  awk -v a="$(rate "$ours")" -v b="$(rate "$theirs")" 'BEGIN { printf "ratio %.2f\n", a / b }'
done

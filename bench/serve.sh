#!/usr/bin/env bash
# assay serve beside llama.cpp: the same GGUF file in f32, the same work: CLIENTS requests at once, of some 30 tokens each,
# answered by TOKENS tokens, streamed.
#
#     bench/serve.sh MODEL.gguf LLAMA [ASSAY]
#
# LLAMA is llama-server, measured by the same clients, or llama-batched-bench: the engine below it without HTTP, JSON or
# text, which is more than its server can reach. From the environment: CLIENTS (32), TOKENS (64), THREADS (2), ROUNDS (3).
# Prints tokens a second of each, in turn, and the ratio: above 1, Assay is faster. KV is f32 in both.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
(($# >= 2)) || { sed -n '2,10s/^# \?//p' "$0" >&2; exit 2; }
model=$1 llama=$2 assay=${3:-$here/../build/release/assay}
clients=${CLIENTS:-32} tokens=${TOKENS:-64} threads=${THREADS:-2} rounds=${ROUNDS:-3}
log=$(mktemp)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; rm -f "$log"' EXIT

ready() { for _ in $(seq 600); do curl -sf "http://127.0.0.1:$1/health" >/dev/null && return; sleep 0.1; done; return 1; }
# One wave of requests: NAME PORT SEED
wave() { python3 "$here/serve.py" "http://127.0.0.1:$2" "$1" "$clients" 0.001 "$tokens" "$3" | sed -n 's/.*"tok_s": \([0-9.]*\).*/\1/p'; }
batched() { # generated tokens over all of the time, prompts included
  "$llama" -m "$model" -t "$threads" -npp 30 -ntg "$tokens" -npl "$clients" -c $((clients * (tokens + 32))) -ctk f32 -ctv f32 \
    --output-format jsonl 2>>"$log" | grep '"speed_tg"' |
    python3 -c 'import json, sys; j = json.load(sys.stdin); print("%.1f" % (float(sys.argv[1]) / (j["t_pp"] + j["t_tg"])))' $((clients * tokens))
}

"$assay" serve "$model" --name assay --port 18181 --threads "$threads" --slots "$clients" --context 256 --keep 0 >"$log" 2>&1 &
servers+=($!)
ready 18181
case $llama in
  *batched-bench) ;;
  *) "$llama" -m "$model" --port 18182 -t "$threads" -np "$clients" -c $((clients * 256)) -ctk f32 -ctv f32 >>"$log" 2>&1 & servers+=($!)
     ready 18182 ;;
esac
for ((round = 1; round <= rounds; round++)); do
  a=$(wave assay 18181 "$round")
  b=$(if ((${#servers[@]} > 1)); then wave llama 18182 "$round"; else batched; fi)
  awk -v a="$a" -v b="$b" 'BEGIN { printf "assay %.1f tok/s, llama.cpp %.1f tok/s, ratio %.2f\n", a, b, a / b }'
done

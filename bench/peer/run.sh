#!/usr/bin/env bash
# Assay and its peers on the fixed workloads, in turn, so that both meet the same disturbances of the machine.
#
#     bench/peer/run.sh PEERS_DIR [ASSAY [WORK ...]]
#
# PEERS_DIR is what setup.sh made. ASSAY is the program (default build/release/assay). WORK: decode1 decode8 decode64
# shared8 shared64 score train grpo (default: all). From the environment: ROUNDS (default 3), THREADS (2; with 1 seconds
# are processor time, which others on the machine do not disturb), and the sizes PROMPT, NEW (64), BATCH (16: score and
# train), PROBLEMS, GROUP (8).
# Prints each measurement as JSON on stderr, then one line a workload: medians, their spread (largest less smallest over
# the median), and the ratio ours / theirs in speed: above 1, Assay is faster.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
(($#)) || { sed -n '2,13s/^# \?//p' "$0" >&2; exit 2; }
peers=$(cd "$1" && pwd)
assay=${2:-$here/../../build/release/assay}
shift $(($# > 1 ? 2 : 1))
works=("$@")
((${#works[@]})) || works=(decode1 decode8 decode64 shared8 shared64 score train grpo)
rounds=${ROUNDS:-3} threads=${THREADS:-2} prompt=${PROMPT:-64} new=${NEW:-64} batch=${BATCH:-16}
problems=${PROBLEMS:-8} group=${GROUP:-8}
model=$peers/smol-f32.gguf
log=$(mktemp)
trap 'rm -f "$log" "$log.llama"' EXIT

ours() { "$assay" bench "$@" "$model" --threads "$threads" --json --quiet; }
batched() {
  "$peers/llama.cpp/build/bin/llama-batched-bench" -m "$model" -c 40960 -b 2048 -ub 512 -t "$threads" \
    --output-format jsonl "$@" 2>/dev/null
}
# With one thread: processor time less that of a run of one token (loading, warming up), shared out between prompts and
# tokens as the time of day was.
llama() {
  local TIMEFORMAT='%U %S' idle busy
  ((threads > 1)) && { batched "$@" | grep '"speed_tg"'; return; }
  idle=$({ time batched -npp 1 -ntg 1 -npl 1 >/dev/null; } 2>&1)
  busy=$({ time batched "$@" >"$log.llama"; } 2>&1)
  grep '"speed_tg"' "$log.llama" | "$peers/env/bin/python" -c 'import json, sys
j = json.load(sys.stdin)
idle, busy = (sum(map(float, s.split())) for s in sys.argv[1:])
j["t_tg"] *= (busy - idle) / j["t"]
j["speed_tg"] = j["tg"] * j["pl"] / j["t_tg"]
print(json.dumps(j))' "$idle" "$busy"
}
torch() { "$peers/env/bin/python" "$here/hf.py" "$peers/smol" "$@" --threads "$threads" 2>/dev/null; }
trl() {
  (cd "$peers" && HF_HUB_OFFLINE=1 env/bin/python "$here/trl_grpo.py" smol --steps 2 --threads "$threads" \
    --problems "$problems" --group "$group" --new "$new" 2>/dev/null) |
    grep '"step_s"'
}

one() { # SIDE WORK
  case $1-$2 in
    assay-decode*) ours decode --batch "${2#decode}" --prompt "$prompt" --new "$new" --repeat 1 ;;
    assay-shared*) ours shared --batch "${2#shared}" --new "$new" --repeat 1 ;;
    assay-grpo) ours grpo --problems "$problems" --group "$group" --new "$new" --repeat 1 ;;
    assay-*) ours "$2" --batch "$batch" --prompt "$prompt" --new "$new" --repeat 1 ;;
    peer-decode*) llama -npp "$prompt" -ntg "$new" -npl "${2#decode}" ;;
    peer-shared*) llama -npp 256 -ntg "$new" -npl "${2#shared}" -pps ;;
    peer-grpo) trl ;;
    peer-*) torch "$2" --batch "$batch" --prompt "$prompt" --new "$new" --repeat 1 ;;
  esac
}

for ((round = 0; round < rounds; round++)); do
  for work in "${works[@]}"; do
    for side in assay peer; do
      line=$(one "$side" "$work") || { echo "run.sh: $side failed on $work" >&2; exit 1; }
      printf '%s\t%s\t%s\n' "$work" "$side" "$line" | tee -a "$log" >&2
    done
  done
done
"$peers/env/bin/python" - "$log" "${works[@]}" <<'PYTHON'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1]):
    work, side, text = line.rstrip("\n").split("\t")
    j = json.loads(text)
    speed = j.get("speed_tg") or (1 / j["step_s"] if "step_s" in j else 1 / j["seconds"] if work == "grpo" else j["tok_s"])
    runs.setdefault((work, side), []).append((speed, j.get("peak_mib", 0)))
print(f"{'work':10} {'unit':6} {'assay':>9} {'spread':>7} {'peer':>9} {'spread':>7} {'ratio':>6} {'MiB':>6} {'peer':>6}")
for work in sys.argv[2:]:
    cells, medians = [], []
    for side in ("assay", "peer"):
        speeds = [s for s, _ in runs[work, side]]
        shown = [1 / s for s in speeds] if work == "grpo" else speeds
        medians.append(statistics.median(speeds))
        cells.append(f"{statistics.median(shown):9.2f} {100 * (max(shown) - min(shown)) / statistics.median(shown):6.0f}%")
    memory = [max(m for _, m in runs[work, side]) for side in ("assay", "peer")]
    print(f"{work:10} {'s/step' if work == 'grpo' else 'tok/s':6} {cells[0]} {cells[1]} {medians[0] / medians[1]:6.2f} "
          f"{memory[0]:6.0f} {memory[1] or '':>6}")
PYTHON

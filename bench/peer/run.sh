#!/usr/bin/env bash
# Assay and its peers on the fixed workloads, in turn, so that both meet the same disturbances of the machine.
#
#     bench/peer/run.sh PEERS_DIR [ASSAY [WORK ...]]
#
# PEERS_DIR is what setup.sh made. ASSAY is the program (default build/release/assay). WORK: decode1 decode8 decode64
# shared8 shared64 score train train_compile grpo, each in f32, or with _bf16 behind it in bf16 (train_compile: our train
# beside torch.compile). Default: all of the first list, and decode1, decode64, shared64, score, train, grpo in bf16.
# From the environment: ROUNDS (default 3), THREADS (2; with 1 seconds are processor time, which others on the machine
# do not disturb), and the sizes PROMPT, NEW (64), BATCH (16: score and train), PROBLEMS, GROUP (8).
# Prints each measurement as JSON on stderr, then one line a workload: medians, their spread (largest less smallest over
# the median), and the ratio ours / theirs in speed: above 1, Assay is faster. A peer that is not there is named, and
# ours runs alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
(($#)) || { sed -n '2,16s/^# \?//p' "$0" >&2; exit 2; }
peers=$(cd "$1" && pwd)
assay=${2:-$here/../../build/release/assay}
shift $(($# > 1 ? 2 : 1))
works=("$@")
((${#works[@]})) || works=(decode1 decode8 decode64 shared8 shared64 score train train_compile grpo
  decode1_bf16 decode64_bf16 shared64_bf16 score_bf16 train_bf16 grpo_bf16)
rounds=${ROUNDS:-3} threads=${THREADS:-2} prompt=${PROMPT:-64} new=${NEW:-64} batch=${BATCH:-16}
problems=${PROBLEMS:-8} group=${GROUP:-8}
model=$peers/smol-f32.gguf
python=$peers/env/bin/python
[ -x "$python" ] || python=python3
[ -e "$model" ] || { echo "run.sh: $model is not there; bench/peer/setup.sh makes it" >&2; exit 2; }
log=$(mktemp)
trap 'rm -f "$log" "$log.llama"' EXIT

ours() { "$assay" bench "$@" "$model" --threads "$threads" --compute "$type" --json --quiet; }
batched() {
  "$peers/llama.cpp/build/bin/llama-batched-bench" -m "$peers/smol-$type.gguf" -c 40960 -b 2048 -ub 512 -t "$threads" \
    --output-format jsonl "$@" 2>/dev/null
}
# With one thread: processor time less that of a run of one token (loading, warming up), shared out between prompts and
# tokens as the time of day was.
llama() {
  local TIMEFORMAT='%U %S' idle busy
  ((threads > 1)) && { batched "$@" | grep '"speed_tg"'; return; }
  idle=$({ time batched -npp 1 -ntg 1 -npl 1 >/dev/null; } 2>&1)
  busy=$({ time batched "$@" >"$log.llama"; } 2>&1)
  grep '"speed_tg"' "$log.llama" | "$python" -c 'import json, sys
j = json.load(sys.stdin)
idle, busy = (sum(map(float, s.split())) for s in sys.argv[1:])
j["t_tg"] *= (busy - idle) / j["t"]
j["speed_tg"] = j["tg"] * j["pl"] / j["t_tg"]
print(json.dumps(j))' "$idle" "$busy"
}
torch() { "$python" "$here/hf.py" "$peers/smol" "$@" --threads "$threads" ${half[@]+"${half[@]}"} 2>/dev/null; }
trl() {
  (cd "$peers" && HF_HUB_OFFLINE=1 env/bin/python "$here/trl_grpo.py" smol --steps 2 --threads "$threads" \
    --problems "$problems" --group "$group" --new "$new" ${half[@]+"${half[@]}"} 2>/dev/null) |
    grep '"step_s"'
}

one() { # SIDE WORK, in $type
  case $1-$2 in
    assay-decode*) ours decode --batch "${2#decode}" --prompt "$prompt" --new "$new" --repeat 1 ;;
    assay-shared*) ours shared --batch "${2#shared}" --new "$new" --repeat 1 ;;
    assay-grpo) ours grpo --problems "$problems" --group "$group" --new "$new" --repeat 1 ;;
    assay-*) ours "${2%_compile}" --batch "$batch" --prompt "$prompt" --new "$new" --repeat 1 ;;
    peer-decode*) llama -npp "$prompt" -ntg "$new" -npl "${2#decode}" ;;
    peer-shared*) llama -npp 256 -ntg "$new" -npl "${2#shared}" -pps ;;
    peer-grpo) trl ;;
    peer-train_compile) torch train --batch "$batch" --prompt "$prompt" --new "$new" --repeat 1 --compile ;;
    peer-*) torch "$2" --batch "$batch" --prompt "$prompt" --new "$new" --repeat 1 ;;
  esac
}

# What the peer of a work needs and is not there; nothing where all is.
lacking() {
  case $1 in
    decode* | shared*)
      [ -x "$peers/llama.cpp/build/bin/llama-batched-bench" ] || echo "llama.cpp"
      [ -e "$peers/smol-$type.gguf" ] || echo "smol-$type.gguf"
      ;;
    *)
      [ -d "$peers/smol" ] || echo "the folder smol"
      local module=transformers
      [ "$1" = grpo ] && module=trl
      "$python" -c "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and u.find_spec('$module')))" ||
        echo "torch with $module"
      ;;
  esac
}

declare -A alone
for ((round = 0; round < rounds; round++)); do
  for name in "${works[@]}"; do
    work=${name%_bf16} type=f32 half=()
    [ "$work" = "$name" ] || type=bf16 half=(--bf16)
    if ((!round)); then
      alone[$name]=$(lacking "$work" | paste -sd ',')
      [ -z "${alone[$name]}" ] || echo "run.sh: $name runs without its peer: ${alone[$name]} not found in $peers" >&2
    fi
    for side in assay peer; do
      [ "$side" = assay ] || [ -z "${alone[$name]}" ] || continue
      line=$(one "$side" "$work") || {
        echo "run.sh: $side failed on $name" >&2
        [ "$side" = peer ] || exit 1
        alone[$name]="a peer that ran" # it is not asked again
        continue
      }
      printf '%s\t%s\t%s\n' "$name" "$side" "$line" | tee -a "$log" >&2
    done
  done
done
"$python" - "$log" "${works[@]}" <<'PYTHON'
import json, statistics, sys
runs, isa = {}, set()
for line in open(sys.argv[1]):
    work, side, text = line.rstrip("\n").split("\t")
    j = json.loads(text)
    isa.add(j.get("isa"))
    grpo = work.startswith("grpo")
    speed = j.get("speed_tg") or (1 / j["step_s"] if "step_s" in j else 1 / j["seconds"] if grpo else j["tok_s"])
    runs.setdefault((work, side), []).append((speed, j.get("peak_mib", 0)))
print("instruction set of Assay:", *sorted(isa - {None}))
print(f"{'work':14} {'unit':6} {'assay':>9} {'spread':>7} {'peer':>9} {'spread':>7} {'ratio':>6} {'MiB':>6} {'peer':>6}")
for work in sys.argv[2:]:
    grpo, cells, medians, memory = work.startswith("grpo"), [], [], []
    for side in ("assay", "peer"):
        found = runs.get((work, side))
        if not found:
            cells.append(f"{'-':>9} {'-':>7}")
            continue
        speeds = [s for s, _ in found]
        shown = [1 / s for s in speeds] if grpo else speeds
        middle = statistics.median(shown)
        medians.append(statistics.median(speeds))
        cells.append(f"{middle:9.2f} {100 * (max(shown) - min(shown)) / middle:6.0f}%")
        memory.append(max(m for _, m in found))
    ratio = f"{medians[0] / medians[1]:6.2f}" if len(medians) > 1 else f"{'-':>6}"
    print(f"{work:14} {'s/step' if grpo else 'tok/s':6} {' '.join(cells)} {ratio} {memory[0]:6.0f} {(memory[1:] or [0])[0] or '':>6}")
PYTHON

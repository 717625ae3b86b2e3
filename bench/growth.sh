#!/usr/bin/env bash
# How cost grows, one axis at a time, everything else fixed: a table, and a plot beside it where OUT is given.
#
#     bench/growth.sh MODEL [AXIS ...]
#
# AXIS: group (rollouts of one prompt: 8 to 128), length (new tokens: 64 to 2048), batch (sequences: 1 to 64), threads
# (1, 2). Default: all. A model's size is grown by giving another MODEL. From the environment: ASSAY (default
# build/release/assay), THREADS (1: seconds are processor time, which other programs hardly disturb), COMPUTE (f32),
# PROMPT (64), NEW (16), and each axis' points: GROUPS_, LENGTHS, BATCHES, COUNTS; OUT: a folder for AXIS.svg.
set -euo pipefail
(($#)) || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
assay=${ASSAY:-$root/build/release/assay} threads=${THREADS:-1} type=${COMPUTE:-f32} prompt=${PROMPT:-64} new=${NEW:-16}
model=$1
shift
axes=("$@")
((${#axes[@]})) || axes=(group length batch threads)

points() {
  case $1 in
    group) echo "${GROUPS_:-8 16 32 64 128}" ;;
    length) echo "${LENGTHS:-64 128 256 512 1024 2048}" ;;
    batch) echo "${BATCHES:-1 2 4 8 16 32 64}" ;;
    threads) echo "${COUNTS:-1 2}" ;;
    *) echo "growth.sh: found axis $1; expected group, length, batch or threads" >&2; exit 2 ;;
  esac
}

one() { # AXIS VALUE: JSON
  local common=(--repeat 1 --json --quiet --compute "$type")
  case $1 in
    group) "$assay" bench shared "$model" --batch "$2" --prompt "$prompt" --new "$new" --threads "$threads" "${common[@]}" ;;
    length) "$assay" bench shared "$model" --batch 8 --prompt "$prompt" --new "$2" --threads "$threads" "${common[@]}" ;;
    batch) "$assay" bench decode "$model" --batch "$2" --prompt "$prompt" --new "$new" --threads "$threads" "${common[@]}" ;;
    threads) "$assay" bench decode "$model" --batch 8 --prompt "$prompt" --new "$new" --threads "$2" "${common[@]}" ;;
  esac
}

for axis in "${axes[@]}"; do
  all=$(points "$axis")
  for value in $all; do printf '%s\t' "$value"; one "$axis" "$value"; done |
    python3 -c '
import json, math, os, sys
axis, rows = sys.argv[1], []
print(f"| {axis} | seconds | tok/s | ms a token of one rollout | peak MiB |\n|---|---|---|---|---|")
for line in sys.stdin:
    value, text = line.split("\t", 1)
    j = json.loads(text)
    rows.append((int(value), j["tok_s"]))
    each = 1000 * j["seconds"] / (j["new"] - 1)
    print("| %s | %.3f | %.1f | %.2f | %d |" % (value, j["seconds"], j["tok_s"], each, j["peak_mib"]))
folder = os.environ.get("OUT")
if folder and len(rows) > 1:
    x = lambda v: 60 + 500 * (math.log(v) - math.log(rows[0][0])) / (math.log(rows[-1][0]) - math.log(rows[0][0]))
    top = max(s for _, s in rows)
    y = lambda s: 320 - 280 * s / top
    line = " ".join(f"{x(v):.1f},{y(s):.1f}" for v, s in rows)
    marks = "".join(f"<circle cx=\"{x(v):.1f}\" cy=\"{y(s):.1f}\" r=\"3\"/><text x=\"{x(v):.1f}\" y=\"340\">{v}</text>"
                    f"<text x=\"{x(v):.1f}\" y=\"{y(s) - 8:.1f}\">{s:.0f}</text>" for v, s in rows)
    with open(os.path.join(folder, axis + ".svg"), "w") as f:
        f.write("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 360\" font-family=\"sans-serif\" "
                f"font-size=\"11\" text-anchor=\"middle\"><text x=\"300\" y=\"16\">tokens per second by {axis}</text>"
                f"<polyline points=\"{line}\" fill=\"none\" stroke=\"black\"/>{marks}</svg>\n")
' "$axis"
done

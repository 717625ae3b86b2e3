#!/usr/bin/env bash
# How cost grows, one axis at a time, everything else fixed: a table, and a plot beside it where OUT is given.
#
#     bench/growth.sh MODEL [AXIS ...]
#
# AXIS: group (rollouts of one prompt of 256: 8 to 128), length (positions behind each of 4 sequences: 64 to 2048), batch
# (sequences: 1 to 64), size (MODEL and those in MODELS, with 1 and with 64 sequences), threads (1, 2; 1 and 64
# sequences). Default: all. From the environment: ASSAY (default build/release/assay), THREADS (1: seconds are processor
# time, which other programs hardly disturb), COMPUTE (f32), NEW (8: a pass is timed 7 times), each axis' points: GROUPS_,
# LENGTHS, BATCHES, COUNTS; OUT: a folder for AXIS.svg. All axes on SmolLM2-135M take about three minutes.
set -euo pipefail
(($#)) || { sed -n '2,11s/^# \?//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
assay=${ASSAY:-$root/build/release/assay} threads=${THREADS:-1} type=${COMPUTE:-f32} new=${NEW:-8}
model=$1
shift
axes=("$@")
((${#axes[@]})) || axes=(group length batch size threads)

points() { # AXIS: its points, a line each: VALUE and the words of a workload
  local v b
  case $1 in
    group) for v in ${GROUPS_:-8 16 32 64 128}; do echo "$v shared $model --batch $v --prompt 256 --threads $threads"; done ;;
    length)
      for v in ${LENGTHS:-64 128 256 512 1024 2048}; do
        echo "$v decode $model --batch 4 --prompt $v --threads $threads"
      done ;;
    batch)
      for v in ${BATCHES:-1 2 4 8 16 32 64}; do echo "$v decode $model --batch $v --prompt 16 --threads $threads"; done ;;
    size)
      for v in $model ${MODELS:-}; do
        for b in 1 64; do echo "$(basename "$v"):$b decode $v --batch $b --prompt 16 --threads $threads"; done
      done ;;
    threads)
      for v in ${COUNTS:-1 2}; do
        for b in 1 64; do echo "$v:$b decode $model --batch $b --prompt 16 --threads $v"; done
      done ;;
    *) echo "growth.sh: found axis $1; expected group, length, batch, size or threads" >&2; exit 2 ;;
  esac
}

for axis in "${axes[@]}"; do
  all=$(points "$axis")
  while read -r value words; do
    printf '%s\t' "$value"
    # shellcheck disable=SC2086 # words are several
    "$assay" bench $words --new "$new" --repeat 1 --json --quiet --compute "$type"
  done <<<"$all" |
    python3 -c '
import json, math, os, sys
axis, rows = sys.argv[1], []
print(f"| {axis} | tok/s | ms a pass | ms a row | prefill s | peak MiB |\n|---|---|---|---|---|---|")
for line in sys.stdin:
    value, text = line.split("\t", 1)
    j = json.loads(text)
    rows.append((value, j["tok_s"]))
    each = 1000 * j["decode_s"] / (j["new"] - 1)
    print("| %s | %.1f | %.2f | %.2f | %.2f | %d |" % (value.replace(":", ", "), j["tok_s"], each, each / j["batch"],
                                                     j["prefill_s"], j["peak_mib"]), flush=True)
folder = os.environ.get("OUT")
if folder and len(rows) > 1:
    numbers = all(v.isdigit() for v, _ in rows)
    at = [math.log(int(v)) if numbers else i for i, (v, _) in enumerate(rows)]
    x = lambda i: 60 + 480 * (at[i] - at[0]) / (at[-1] - at[0])
    top = max(s for _, s in rows)
    y = lambda s: 320 - 280 * s / top
    line = " ".join(f"{x(i):.1f},{y(s):.1f}" for i, (_, s) in enumerate(rows))
    marks = "".join(f"<circle cx=\"{x(i):.1f}\" cy=\"{y(s):.1f}\" r=\"3\"/><text x=\"{x(i):.1f}\" y=\"340\">{v}</text>"
                    f"<text x=\"{x(i):.1f}\" y=\"{y(s) - 8:.1f}\">{s:.0f}</text>" for i, (v, s) in enumerate(rows))
    with open(os.path.join(folder, axis + ".svg"), "w") as f:
        f.write("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 360\" font-family=\"sans-serif\" "
                f"font-size=\"11\" text-anchor=\"middle\"><text x=\"300\" y=\"16\">tokens per second by {axis}</text>"
                f"<polyline points=\"{line}\" fill=\"none\" stroke=\"black\"/>{marks}</svg>\n")
' "$axis"
done

#!/usr/bin/env bash
# How cost grows, one axis at a time, everything else fixed: a table, and a plot beside it where OUT is given.
#
#     bench/growth.sh MODEL [AXIS ...]
#
# AXIS: group (rollouts of one prompt of 256: 8 to 128), length (positions behind each of 4 sequences: 64 to 2048), batch
# (sequences: 1 to 64), size (MODEL and those in MODELS, with 1 and with 64 sequences), threads (1, 2; 1 and 64
# sequences). Default: all. From the environment: ASSAY (default build/release/assay), THREADS (1: seconds are processor
# time, which other programs hardly disturb), COMPUTE (f32), NEW (8: a pass is timed 7 times), REPEAT (1; of more the
# median counts), each axis' points: GROUPS_, LENGTHS, BATCHES, COUNTS; OUT: a folder for AXIS.svg. All axes on
# SmolLM2-135M take about three minutes.
set -euo pipefail
(($#)) || { sed -n '2,12s/^# \?//p' "$0" >&2; exit 2; }
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
    "$assay" bench $words --new "$new" --repeat "${REPEAT:-1}" --json --quiet --compute "$type"
  done <<<"$all" |
    python3 -c '
import json, math, os, sys
TITLES = {"group": "rollouts of one prompt of 256", "length": "positions behind each of 4 sequences",
          "batch": "sequences", "size": "model, sequences", "threads": "threads, sequences"}
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
    top = max(s for _, s in rows) * 1.1
    x = lambda i: 70 + 570 * (at[i] - at[0]) / (at[-1] - at[0])
    y = lambda s: 300 - 250 * s / top
    line = " ".join(f"{x(i):.1f},{y(s):.1f}" for i, (_, s) in enumerate(rows))
    marks = "".join(f"<circle class=\"line\" cx=\"{x(i):.1f}\" cy=\"{y(s):.1f}\" r=\"3\"/>"
                    f"<text x=\"{x(i):.1f}\" y=\"318\">{v}</text><text x=\"{x(i):.1f}\" y=\"{y(s) - 9:.1f}\">{s:.0f}</text>"
                    for i, (v, s) in enumerate(rows))
    grid = "".join(f"<path class=\"grid\" d=\"M60 {y(top * k / 4):.1f}H660\"/>" for k in range(5))
    with open(os.path.join(folder, axis + ".svg"), "w") as f:
        f.write(f"""<svg xmlns="http://www.w3.org/2000/svg" width="700" height="350" viewBox="0 0 700 350" role="img">
<style>text{{font:13px system-ui,sans-serif;fill:#1f2328;text-anchor:middle}}.back{{fill:#fff}}.grid{{stroke:#d8dee4}}
.line{{fill:none;stroke:#0969da;stroke-width:2}}@media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}.back{{fill:#0d1117}}
.grid{{stroke:#30363d}}.line{{stroke:#58a6ff}}}}</style><rect class="back" width="700" height="350"/>
<text x="350" y="24" font-weight="600">tokens per second by {TITLES[axis]}</text>{grid}
<polyline class="line" points="{line}"/>{marks}<text x="350" y="340">{TITLES[axis]}</text></svg>
""")
' "$axis"
done

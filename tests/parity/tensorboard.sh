# label: long. The real tensorboard package reads the event file of a run: every number of metrics.jsonl under its name, and after a
# resume one curve. ASSAY_PEERS_PYTHON names a python3 with tensorboard.
set -euo pipefail
python=${ASSAY_PEERS_PYTHON:-python3}
if ! "$python" -c 'from tensorboard.backend.event_processing import event_accumulator' 2>/dev/null; then
  echo "skipped: $python has no tensorboard; set ASSAY_PEERS_PYTHON to one that has"
  exit 77
fi
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
assay=${ASSAY_BINARY:-$root/build/release/assay}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/recipe.yaml" <<RECIPE
model: random:$root/models/tiny
data: [{task: addition, format: plain}]
eval: {data: [{task: addition, format: plain, held_out: 0.2}], every: 2, problems: 8}
rollout: {problems: 2, group: 2, max_new_tokens: 4, max_prompt_tokens: 16}
train: {steps: 5}
save: {every: 2}
RECIPE
"$assay" train "$work/recipe.yaml" --run "$work/run" --quiet
# As a kill leaves it: steps behind the last checkpoint, and half a record.
rm -r "$work/run/checkpoints/000005"
printf '\030\000\000\000\000\000' >>"$(echo "$work"/run/events.out.tfevents.*)"
"$assay" train "$work/recipe.yaml" train.steps=7 --run "$work/run" --resume --quiet
"$python" - "$work/run" <<'PYTHON'
import glob, json, math, sys
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = sys.argv[1]
assert len(glob.glob(run + "/events.out.tfevents.*")) == 1
lines = [json.loads(line) for line in open(run + "/metrics.jsonl")]
assert [line["step"] for line in lines] == list(range(8)), lines
accumulator = EventAccumulator(run, size_guidance={"scalars": 0})
accumulator.Reload()
tags = set(accumulator.Tags()["scalars"])
names = {name for line in lines for name, value in line.items() if value is not None} - {"step"}
assert tags == names, (tags ^ names)
count = 0
for name in sorted(names):
    want = [(line["step"], np.float32(line[name])) for line in lines if line.get(name) is not None]
    got = [(e.step, np.float32(e.value)) for e in accumulator.Scalars(name)]
    assert got == want, (name, got, want)
    count += len(got)
walls = [e.wall_time for e in accumulator.Scalars("solved")]
assert all(math.isfinite(w) and w > 1.7e9 for w in walls) and walls == sorted(walls)
print(f"tensorboard read {count} numbers of {len(names)} metrics as they are in metrics.jsonl")
PYTHON

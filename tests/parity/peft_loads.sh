# label: long. pip's peft loads the adapter of a run and means the same by it, folded in or not; a run goes on from an
# adapter that peft made. ASSAY_PEERS_PYTHON names a python3 with torch, transformers and peft.
set -euo pipefail
python=${ASSAY_PEERS_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
  echo "skipped: $python has no torch, transformers and peft; set ASSAY_PEERS_PYTHON to one that has"
  exit 77
fi
assay=${ASSAY_BINARY:-$ASSAY_SOURCE_DIR/build/release/assay}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$ASSAY_SOURCE_DIR"
cat >"$work/compare.py" <<'PYTHON'
import json, subprocess, sys, warnings
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")
torch.set_grad_enabled(False)
binary, adapter, merged = sys.argv[1:]
IDS = [[1, 14, 7, 9, 3, 20, 11, 5, 40, 31], [30, 2, 2, 8, 17, 4]]
lines = "".join(json.dumps({"ids": ids}) + "\n" for ids in IDS)


def ours(model):
    done = subprocess.run([binary, "score", model, "--quiet"], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line)["logp"] for line in done.stdout.splitlines()]


def theirs(model):
    rows = [torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1) for ids in IDS]
    return [[row[t].item() for row, t in zip(logp, ids[1:])] for logp, ids in zip(rows, IDS)]


def worst(a, b):
    return max(abs(x - y) for p, q in zip(a, b) for x, y in zip(p, q))


tuned = AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
base = AutoModelForCausalLM.from_pretrained("models/tiny", dtype=torch.float32)
folded = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
reference, moved = theirs(tuned), worst(theirs(tuned), theirs(base))
by_peft = dict(tuned.merge_and_unload().state_dict())
weights = max((folded.state_dict()[name] - tensor).abs().max().item() for name, tensor in by_peft.items())
found = {"adapter": worst(ours(adapter), reference), "folded here": worst(ours(merged), reference),
         "folded there": worst(theirs(folded), reference), "weights": weights}
print(f"{adapter}: the adapter moves log-probabilities by {moved:.3f}; differences", {k: f"{v:.1e}" for k, v in found.items()})
# f32 in another order of summation; weights: one rounding of f32 against two, of values below 1
sys.exit(0 if moved > 0.01 and max(found["adapter"], found["folded here"], found["folded there"]) < 1e-4 and weights < 1e-6 else 1)
PYTHON
failed=0
for settings in "lora.rank=8" "lora.rank=4 lora.rslora=true lora.targets=[q,v,down] save.type=bf16"; do
  rm -rf "$work/run" "$work/merged"
  # shellcheck disable=SC2086
  "$assay" train recipes/lora.yaml $settings train.steps=4 eval=null rollout.problems=16 --run "$work/run" --quiet
  "$assay" merge "$work/run" "$work/merged" --quiet >"$work/out"
  "$python" "$work/compare.py" "$assay" "$work/run/checkpoints/000004" "$work/merged" || failed=1
done
rm -rf "$work/run"
"$assay" train recipes/lora.yaml lora=null lora.adapter=tests/parity/peft/rslora train.steps=2 eval=null rollout.problems=16 --run "$work/run" --quiet
rm -rf "$work/merged"
"$assay" merge "$work/run" "$work/merged" --quiet >"$work/out"
"$python" "$work/compare.py" "$assay" "$work/run/checkpoints/000002" "$work/merged" || failed=1
exit "$failed"

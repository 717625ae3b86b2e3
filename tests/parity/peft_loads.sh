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
binary, first, adapter, merged = sys.argv[1:]
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
base = AutoModelForCausalLM.from_pretrained(first, dtype=torch.float32)
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
# A Phi-3, whose files join q, k and v, gate and up, with the built-in model's tokenizer; and an adapter of it by peft.
cat >"$work/phi3.py" <<'PYTHON'
import json, shutil, sys, warnings
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

warnings.filterwarnings("ignore")
torch.manual_seed(1)
folder, adapter = sys.argv[1:]
tiny = json.load(open("models/tiny/config.json"))
config = AutoConfig.for_model(
    "phi3", vocab_size=tiny["vocab_size"], hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, original_max_position_embeddings=64, bos_token_id=tiny.get("bos_token_id"),
    eos_token_id=tiny["eos_token_id"], pad_token_id=tiny.get("pad_token_id"), tie_word_embeddings=False)
model = AutoModelForCausalLM.from_config(config).float()
model.save_pretrained(folder)
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy("models/tiny/" + name, folder)
tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=5, lora_dropout=0.0,
                                         target_modules=["qkv_proj", "o_proj", "gate_up_proj"]))
with torch.no_grad():
    for name, tensor in tuned.named_parameters():
        if "lora_B" in name:
            tensor.normal_(0, 0.3)
for settings in tuned.peft_config.values():
    settings.base_model_name_or_path = folder
tuned.save_pretrained(adapter)
PYTHON
failed=0
compare() { # BASE: the adapter of the last checkpoint of the run, and it merged
  rm -rf "$work/merged"
  "$assay" merge "$work/run" "$work/merged" --quiet >"$work/out"
  "$python" "$work/compare.py" "$assay" "$1" "$(ls -d "$work"/run/checkpoints/0* | tail -n 1)" "$work/merged" || failed=1
  rm -rf "$work/run"
}
short="eval=null rollout.problems=16 --run $work/run --quiet"
for settings in "lora.rank=8" "lora.rank=4 lora.rslora=true lora.targets=[q,v,down] save.type=bf16"; do
  # shellcheck disable=SC2086
  "$assay" train recipes/lora.yaml $settings train.steps=4 $short
  compare models/tiny
done
# shellcheck disable=SC2086
"$assay" train recipes/lora.yaml lora=null lora.adapter=tests/parity/peft/rslora train.steps=2 $short
compare models/tiny
"$python" "$work/phi3.py" "$work/phi3" "$work/phi3-adapter" 2>"$work/out" || { cat "$work/out"; exit 1; }
for settings in "lora.rank=4" "lora.rank=3 lora.rslora=true lora.targets=[q,k,v,down] save.type=bf16"; do
  # shellcheck disable=SC2086
  "$assay" sft recipes/sft.yaml "model=$work/phi3" $settings train.steps=6 train.lr=0.02 --run "$work/run" --quiet
  compare "$work/phi3"
done
"$assay" sft recipes/sft.yaml "model=$work/phi3" "lora.adapter=$work/phi3-adapter" train.steps=2 --run "$work/run" --quiet
compare "$work/phi3"
exit "$failed"

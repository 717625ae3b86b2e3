# label: long. transformers opens what assay sft saves as a reward model, and gives the same scores.
# ASSAY_PEERS_PYTHON names a python3 with torch and transformers.
set -euo pipefail
python=${ASSAY_PEERS_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
  echo "skipped: $python has no torch and transformers; set ASSAY_PEERS_PYTHON to one that has"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$ASSAY_SOURCE_DIR"
"$ASSAY_BINARY" sft recipes/reward_model.yaml train.passes=0 train.steps=8 eval=null --run "$folder/run" --quiet
for answer in 46 96 6 460 '' 4; do printf '{"prompt": "12+34=", "response": "%s"}\n' "$answer"; done >"$folder/in"
"$ASSAY_BINARY" verify reward_model model="$folder/run" scale=raw --in "$folder/in" --out "$folder/out"
"$python" - "$folder" <<'PYTHON'
import glob, json, sys, warnings
import torch, transformers
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
folder = sys.argv[1]
path = sorted(glob.glob(folder + "/run/checkpoints/0*"))[-1]
model, info = transformers.AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
assert model.config.num_labels == 1, model.config.num_labels
assert not info["missing_keys"] and not info["unexpected_keys"], info
tokenizer = transformers.AutoTokenizer.from_pretrained(path)
worst = 0
for line, verdict in zip(open(folder + "/in"), open(folder + "/out")):
    line, got = json.loads(line), json.loads(verdict)["reward"]
    ids = tokenizer(line["prompt"])["input_ids"] + tokenizer(line["response"])["input_ids"] + [tokenizer.eos_token_id]
    # padding is the end token here, which transformers would look past: a mask and the hidden state itself
    with torch.no_grad():
        state = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        want = model.score(state).item()
    worst = max(worst, abs(want - got))
    print(f"{line['response']!r:6} assay {got:.6f}  transformers {want:.6f}")
assert worst < 2e-5, worst  # f32 sums in another order, on states of size 1
PYTHON

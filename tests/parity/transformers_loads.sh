# label: long. transformers loads what we save and means the same by it: log-probabilities, ids, chat template, ends.
# ASSAY_PEERS_PYTHON names a python3 with torch and transformers; ASSAY_SMOLLM2 a GGUF file to convert as well.
set -euo pipefail
python=${ASSAY_PEERS_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
  echo "skipped: $python has no torch and transformers; set ASSAY_PEERS_PYTHON to one that has"
  exit 77
fi
fixtures=${ASSAY_FIXTURES:-$ASSAY_SOURCE_DIR/../shared/fixtures}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/compare.py" <<'PYTHON'
import json, os, subprocess, sys, warnings
import torch, transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.manual_seed(1)
binary, work, *sources = sys.argv[1:]

TEXTS = ["", " ", "12+34=", "Hello world", "  two  spaces", "tab\tand\nnewline\r\n\n", "caf\u00e9", "cafe\u0301", "\u4f60\u597d\uff0c\u4e16\u754c",
         "\u041f\u0440\u0438\u0432\u0435\u0442", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467", "don't WE'LL i'Ve", "3.14159 1,000,000 2025", "x" * 300,
         "def f(x):\n    return x ** 2  # ok", "<|im_start|>user\nhi<|im_end|>", "a<|im_end|>b", "\u00a0\u3000wide", "\ufeffBOM", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940"]
CHATS = [[{"role": "user", "content": "What is 12+34?"}],
         [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi\n"}, {"role": "assistant", "content": " Hello. "},
          {"role": "user", "content": "2+2?"}]]
failures = []


def check(holds, what):
    if not holds:
        failures.append(what)
        print("WRONG", what)


def assay(command, folder, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([binary, command, folder, "--quiet"], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"assay {command} {folder}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare_scores(name, folder, model, sequences):
    worst = 0.0
    for ids, ours in zip(sequences, assay("score", folder, [{"ids": ids, "from": 1} for ids in sequences])):
        with torch.no_grad():
            logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        theirs = logp[range(len(ids) - 1), ids[1:]]
        worst = max(worst, (theirs - torch.tensor(ours["logp"], dtype=torch.float64)).abs().max().item())
    # f32 in another order of summation; measured: 4.4e-5 at most (SmolLM2-135M), 7e-6 on the small ones
    check(worst <= 2e-4, f"{name}: log-probabilities differ by {worst:.2e}")
    return worst


def compare_text(name, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, ours in zip(TEXTS, assay("tokenize", folder, [{"text": text} for text in TEXTS])):
        theirs = tokenizer(text, add_special_tokens=False)["input_ids"]
        check(theirs == ours["ids"], f"{name}: ids of {text[:40]!r} are {theirs[:20]}, ours {ours['ids'][:20]}")
        back = tokenizer.decode(theirs, clean_up_tokenization_spaces=False)
        check(back == ours["text"], f"{name}: {text[:40]!r} comes back as {back!r}, ours {ours['text']!r}")
    for prompt in (False, True) if tokenizer.chat_template else ():
        lines = [{"messages": chat, "add_generation_prompt": prompt} for chat in CHATS]
        for chat, ours in zip(CHATS, assay("render", folder, lines)):
            theirs = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
            check(theirs == ours["text"], f"{name}: renders {theirs!r}, ours {ours['text']!r}")
    return tokenizer


def compare_ends(name, folder, config, tokenizer):
    ends = GenerationConfig.from_pretrained(folder)
    check(ends.eos_token_id is not None, f"{name}: generation_config.json has no eos_token_id")
    check(ends.bos_token_id == config.bos_token_id, f"{name}: BOS {ends.bos_token_id} but {config.bos_token_id} in config.json")
    many = ends.eos_token_id if isinstance(ends.eos_token_id, list) else [ends.eos_token_id]
    check(not tokenizer or tokenizer.eos_token_id in many, f"{name}: the tokenizer ends with another token than {many}")


for source in sources:
    for dtype, torch_dtype in ("f32", torch.float32), ("bf16", torch.bfloat16), ("f16", torch.float16):
        name, folder = f"{os.path.basename(source.rstrip('/'))} {dtype}", os.path.join(work, "model")
        subprocess.run(["rm", "-rf", folder], check=True)
        subprocess.run([binary, "convert", source, folder, "--type", dtype, "--quiet"], check=True)
        config = AutoConfig.from_pretrained(folder)
        stored = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        check(stored.dtype == torch_dtype, f"{name}: loads as {stored.dtype}")
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        check(not any(info.values()), f"{name}: loading reports {info}")
        tokenizer = None
        if os.path.exists(os.path.join(folder, "tokenizer.json")):
            tokenizer = compare_text(name, folder)
            texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in CHATS] if tokenizer.chat_template else TEXTS[2:16]
            sequences = [tokenizer(text, add_special_tokens=False)["input_ids"][:config.max_position_embeddings] for text in texts]
        else:
            sequences = [torch.randint(0, config.vocab_size, (n,)).tolist() for n in (2, 17, 60)]
        worst = compare_scores(name, folder, model.eval(), sequences)
        compare_ends(name, folder, config, tokenizer)
        print(f"{name}: {worst:.1e} at most{', with its tokenizer' if tokenizer else ''}")
sys.exit(len(failures) > 0)
PYTHON

sources=("$ASSAY_SOURCE_DIR/models/tiny")
for name in llama mistral qwen2 qwen3 qwen3-bf16-sharded smollm; do
  [ -d "$fixtures/models/$name" ] && sources+=("$fixtures/models/$name")
done
[ -z "${ASSAY_SMOLLM2:-}" ] || sources+=("$ASSAY_SMOLLM2")
HF_HUB_OFFLINE=1 "$python" "$folder/compare.py" "$ASSAY_BINARY" "$folder" "${sources[@]}"

#!/usr/bin/env bash
# What is wrong with a recipe, a model, data or a run folder is said in one line, with the right exit status, and leaves nothing half-written.
. "$(dirname "$0")/../begin.sh"
trap 'umount "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1

model="random:$root/models/tiny"
good() {
  cat <<RECIPE
model: $model
data: [{task: addition, format: plain}]
rollout: {problems: 2, group: 2, max_new_tokens: 4, max_prompt_tokens: 16}
train: {steps: 2}
save: {every: 1}
RECIPE
}
good >good.yaml

# refused STATUS TEXT WHAT ARGUMENT...: one line on stderr that holds TEXT, nothing on stdout, and no folder "run" where none was.
refused() {
  local want=$1 text=$2 what=$3 before=absent
  shift 3
  [ -e run ] && before=$(find run -type f ! -name log.txt -exec cksum {} + | sort)
  timeout 60 "$assay" "$@" >out 2>err </dev/null
  local got=$?
  [ "$got" = "$want" ] || fail "$what: exit status $got, want $want: $(head -c 400 err)"
  grep -qF -- "$text" err || fail "$what: stderr lacks \"$text\": $(head -c 400 err)"
  [ "$(grep -c '^assay: ' err)" = 1 ] || fail "$what: not one error line: $(head -c 400 err)"
  [ ! -s out ] || fail "$what: stdout is not empty"
  if [ "$before" = absent ]; then
    [ ! -e run ] || fail "$what: left a run folder"
  else
    [ "$before" = "$(find run -type f ! -name log.txt -exec cksum {} + | sort)" ] || fail "$what: changed the run folder"
  fi
  rm -f out err
}
train() { local status=$1 text=$2 what=$3; shift 3; refused "$status" "$text" "$what" train "$@" --run run --quiet; }

# --- recipes ---
{ good; echo 'rolout: {problems: 3}'; } >bad.yaml
train 2 'bad.yaml:6:' "a misspelt group has its line" bad.yaml
train 2 'rollout' "a misspelt group names the nearest" bad.yaml
sed 's/max_new_tokens/max_new_token/' good.yaml >bad.yaml
train 2 'bad.yaml:3:' "a misspelt key has its line" bad.yaml
train 2 'max_new_tokens' "a misspelt key names the nearest" bad.yaml
sed 's/steps: 2/steps: many/' good.yaml >bad.yaml
train 2 'bad.yaml:4:' "a wrong type has its line" bad.yaml
train 2 '"many"' "a wrong type is quoted" bad.yaml
train 2 'train.step' "a misspelt override" good.yaml train.step=3
train 2 'train.lr' "a wrong type on the command line" good.yaml train.lr=fast
{ good; echo 'methods: [grpo, sft]'; } >bad.yaml
train 2 'bad.yaml:6: grpo and sft both own the stage' "two owners of a stage" bad.yaml
{ good; echo 'methods: [grpo, grpo]'; } >bad.yaml
train 2 'grpo stands twice' "a method twice" bad.yaml
{ good; echo 'methods: [gpro]'; } >bad.yaml
train 2 'did you mean "grpo"' "a misspelt method" bad.yaml
{ good; echo 'train: {steps: 3}'; } >bad.yaml
train 2 'bad.yaml:6:' "a key twice" bad.yaml
: >bad.yaml
train 2 'bad.yaml' "an empty recipe" bad.yaml
printf 'model: [\n' >bad.yaml
train 2 'bad.yaml:' "a recipe that is no YAML" bad.yaml
train 2 'absent.yaml' "an absent recipe" absent.yaml
train 2 'folder' "a folder for a recipe" "$root/models"
train 2 'device cuda, which this build does not have' "a device that is not built in" good.yaml compute.device=cuda
train 2 'compute.type' "a type that there is not" good.yaml compute.type=f16
train 2 'expected some of q, k, v' "an adapter of what there is not" good.yaml 'lora.targets=[head]'
train 2 'holds no adapter' "a model for an adapter" good.yaml lora.adapter="$root/models/tiny"
train 2 '--threads 0' "no threads" good.yaml --threads 0
train 2 'expected a size' "a memory that is no size" good.yaml --memory lots
train 3 'raise compute.memory' "a memory too small" good.yaml --memory 1M

# --- models ---
train 2 'absent' "an absent model" good.yaml model=absent
mkdir empty
train 2 'empty' "a model folder without files" good.yaml model=empty
"$assay" train good.yaml --run source --quiet 2>err || fail "the good recipe does not run: $(cat err)"
cp -r source/checkpoints/000002 damaged
weights=damaged/model.safetensors
size=$(stat -c %s "$weights")
printf '\000\000\300\177' | dd of="$weights" bs=1 seek=$((size - 4000)) conv=notrunc status=none
train 2 'NaN' "a NaN among the weights" good.yaml model=damaged
train 2 'model.layers' "a NaN names its tensor" good.yaml model=damaged
cp source/checkpoints/000002/model.safetensors "$weights"
truncate -s $((size - 1)) "$weights"
train 2 'model.safetensors' "weights cut short" good.yaml model=damaged

# --- problems ---
for i in 1 2 3 4 5 6; do echo "{\"question\": \"$i+$i=\", \"answer\": $((i + i))}"; done >broken.jsonl
echo '{"question": "7+7=", "answer"' >>broken.jsonl
train 2 'broken.jsonl:7:' "a broken line" good.yaml 'data=[{path: broken.jsonl, verifier: number}]'
: >none.jsonl
train 2 'none.jsonl' "a file without problems" good.yaml 'data=[{path: none.jsonl, verifier: number}]'
train 2 'absent.jsonl' "an absent problem file" good.yaml 'data=[{path: absent.jsonl, verifier: number}]'
head -6 broken.jsonl >six.jsonl
sed 's/question/prompt/' six.jsonl >plain.jsonl
train 2 'plain.jsonl:1:' "a misspelt verifier has its line" good.yaml 'data=[{path: plain.jsonl, verifier: numbr}]'
echo '{"prompt": "7+7=", "answer": "fourteen"}' >>plain.jsonl
train 2 'plain.jsonl:7: found answer "fourteen"' "an answer that the verifier cannot read" good.yaml 'data=[{path: plain.jsonl, verifier: number}]'
train 2 'chat template' "a question for a model without a template" good.yaml 'data=[{path: six.jsonl, verifier: number}]'
train 2 'number' "a misspelt verifier" good.yaml 'data=[{path: plain.jsonl, verifier: numbr}]'
train 2 'max_prompt_tokens' "prompts that are all too long" good.yaml rollout.max_prompt_tokens=2

train 2 'rollout.max_new_tokens 60' "answers that leave no room for prompts" good.yaml rollout.max_new_tokens=60

# --- run folders ---
refused 2 'no recipe.yaml' "resuming where no run is" train good.yaml --run run --resume --quiet
echo "in the way" >run
refused 2 'run' "a file where the folder should be" train good.yaml --run run --quiet
rm -f run
refused 2 'good.yaml' "a folder below a file" train good.yaml --run good.yaml/run --quiet
cp -r source run
refused 2 'holds a run already' "a folder that holds a run" train good.yaml --run run --quiet
refused 2 'train.lr' "another learning rate on resume" train good.yaml train.lr=0.5 --run run --resume --quiet
# damage FILE: flips one bit in its middle.
damage() {
  local at=$(($(stat -c %s "$1") / 2)) byte
  byte=$(od -An -tu1 -j $at -N 1 "$1")
  printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
for file in state.bin model.safetensors tokenizer.json; do
  damage run/checkpoints/000002/$file
  refused 2 "$file: its SHA-256" "a damaged $file" train good.yaml --run run --resume --quiet train.steps=3
  cp source/checkpoints/000002/$file run/checkpoints/000002/
done
truncate -s 1000 run/checkpoints/000002/state.bin
refused 2 'state.bin: its SHA-256' "a state that was cut short" train good.yaml --run run --resume --quiet train.steps=3
rm run/checkpoints/000002/state.bin
refused 2 'state.bin' "a state that is missing" train good.yaml --run run --resume --quiet train.steps=3
"$assay" train good.yaml "model=random:$work/other" --run foreign --quiet 2>/dev/null && fail "a model folder that is absent was taken"
mkdir other && sed 's/"num_hidden_layers": 4/"num_hidden_layers": 3/' "$root/models/tiny/config.json" >other/config.json
cp "$root/models/tiny/tokenizer.json" "$root/models/tiny/tokenizer_config.json" "$root/models/tiny/generation_config.json" other
"$assay" train good.yaml "model=random:$work/other" --run foreign --quiet 2>err || fail "the other model does not run: $(cat err)"
rm -rf run/checkpoints/000002 && cp -r foreign/checkpoints/000002 run/checkpoints/
refused 2 'state.bin' "a checkpoint of another model" train good.yaml --run run --resume --quiet train.steps=3
rm -rf run && cp -r source run

# Two writers: the second is refused while the first holds the folder.
flock run/.lock sleep 5 &
holder=$!
until ! flock -n run/.lock true; do sleep 0.01; done
refused 2 'another process' "a run that is being written" train good.yaml --run run --resume --quiet train.steps=3
kill "$holder" 2>/dev/null
wait "$holder" 2>/dev/null

# A disk that fills up while a checkpoint is saved: exit status 3, and the checkpoints before are whole.
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=24m assay-test disk 2>/dev/null; then
  timeout 60 "$assay" train good.yaml train.steps=8 save.keep=100 --run disk/run --quiet >out 2>err
  [ $? = 3 ] || fail "a full disk: want exit status 3: $(head -c 300 err)"
  grep -q 'No space left' err || fail "a full disk is not named: $(head -c 300 err)"
  (cd disk/run/checkpoints/000002 && sha256sum --check --quiet checksums.txt) || fail "a full disk hurt an older checkpoint"
  [ "$(find disk/run/checkpoints -name '.writing-*')" = "" ] || fail "a full disk left half a checkpoint"
  umount disk
else
  echo "skipped: no tmpfs can be mounted here"
fi

if [ "$(id -u)" = 0 ] && setpriv --version >/dev/null 2>&1; then
  mkdir sealed && chmod 755 sealed "$work"
  timeout 60 setpriv --reuid 65534 --clear-groups "$assay" train good.yaml --run sealed/run --quiet >out 2>err
  status=$?
  if [ "$status" = 126 ] || [ "$status" = 127 ]; then
    echo "skipped: another user cannot run the program here"
  else
    [ "$status" = 2 ] || fail "a folder that may not be written: exit status $status: $(head -c 300 err)"
    grep -q 'sealed' err || fail "a folder that may not be written is not named: $(head -c 300 err)"
  fi
elif [ "$(id -u)" != 0 ]; then
  mkdir sealed && chmod 555 sealed
  "$assay" train good.yaml --run sealed/run --quiet >out 2>err
  [ $? = 2 ] || fail "a folder that may not be written: $(head -c 300 err)"
fi

[ "$failures" = 0 ] || exit 1
echo "all refused as expected"

#!/usr/bin/env bash
# The program run wrongly in all the ways of errors.tsv: each is answered by one line that says what was found, what was
# expected and what to do, with its exit status, nothing on stdout, and nothing broken behind it.
#
# A row of the table: status, text that stderr holds, text that it lacks, command. The command is one of bash, run in a
# folder that `prepare` fills; rows that begin with # are comments. A command that ends with 77 is skipped.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
trap 'umount "$work/small" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/bin" && ln -s "$assay" "$work/bin/assay"
export PATH="$work/bin:$PATH" root
cd "$work" || exit 1
rows=0 skipped=0
fail() { echo "FAILED: line $number: $*"; failures=$((failures + 1)); }

prepare() {
  chmod 755 "$work"
  mkdir models sealed small
  cp -r "$root/models/tiny" models/tiny
  cat >good.yaml <<RECIPE
model: models/tiny
data: [{task: addition, format: plain}]
eval: {data: [{task: addition, format: plain}], problems: 4}
rollout: {problems: 2, group: 2, max_new_tokens: 4, max_prompt_tokens: 16}
train: {steps: 2}
save: {every: 1}
RECIPE
  # a run that takes long enough to be disturbed
  sed 's/problems: 2, group: 2/problems: 64, group: 8/; s/steps: 2/steps: 500/; s/every: 1/every: 100/' good.yaml >long.yaml
  sed '/^eval/d; /^rollout/d; s/steps: 2/steps: 2, batch: 4/' good.yaml >sft.yaml
  printf '{"question": "1+1", "answer": 2}\n{"question": "2+2", "answer": 4}\n' >good.jsonl
  sed 's/question/prompt/' good.jsonl >plain.jsonl
  printf '{"answer": 2, "response": "2"}\n' >verdicts.jsonl
  head -c 300 /dev/urandom >noise
  : >empty
  assay train good.yaml --run run --quiet || return 1
  cp -r models/tiny models/notok && rm models/notok/tokenizer.json
  cp -r models/tiny models/notensors && rm models/notensors/model.safetensors
  cp -r models/tiny models/badconfig && sed -i 's/"num_hidden_layers": 4/"num_hidden_layers": "four"/' models/badconfig/config.json
  cp -r models/tiny models/deeper && sed -i 's/"num_hidden_layers": 4/"num_hidden_layers": 5/' models/deeper/config.json
  cp -r models/tiny models/other && sed -i 's/LlamaForCausalLM/MambaForCausalLM/; s/"model_type": "llama"/"model_type": "mamba"/' models/other/config.json
  cp -r models/tiny models/cut && truncate -s 100000 models/cut/model.safetensors
  cp -r models/tiny models/badtok && echo '{' >models/badtok/tokenizer.json
  cp -r run norecipe && rm norecipe/recipe.yaml
  cp -r run damaged && printf x | dd of=damaged/checkpoints/000002/state.bin bs=1 seek=500 conv=notrunc status=none
  cp -r run nocheckpoint && rm -r nocheckpoint/checkpoints
  echo '{% for %}' >bad.jinja
  chmod 755 sealed models run && chmod -R a+rX .
  cp verdicts.jsonl secret.jsonl && chmod 600 secret.jsonl
}

# For rows of the table: another user (root only), a small disk (root only), a signal in the middle.
as_other() {
  [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null || exit 77
  setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null || exit 77
  setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$(command -v assay)" || exit 77
  setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}
on_small_disk() {
  [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=3m assay-test small 2>/dev/null || exit 77
  "$@"
  local status=$?
  umount small
  return $status
}
# after SECONDS COMMAND...: Ctrl-C then.
after() {
  local seconds=$1
  shift
  "$@" &
  local pid=$!
  sleep "$seconds"
  kill -INT $pid 2>/dev/null
  wait $pid
}
export -f as_other on_small_disk after
declare -a before

check() {
  local status=$1 holds=$2 lacks=$3 command=$4 got
  timeout 60 bash -c "$command" >out 2>err </dev/null
  got=$?
  [ "$got" = 77 ] && { skipped=$((skipped + 1)); return; }
  [ "$got" = "$status" ] || fail "$command: exit status $got, want $status: $(head -c 300 err)"
  grep -qF -- "$holds" err || fail "$command: stderr lacks \"$holds\": $(head -c 400 err)"
  [ "$lacks" = - ] || ! grep -qF -- "$lacks" err || fail "$command: stderr has \"$lacks\": $(head -c 400 err)"
  [ "$(grep -c '^assay: ' err)" = 1 ] || fail "$command: not one error line: $(head -c 400 err)"
  [ -s out ] && ! grep -q '^{"error": ' out && fail "$command: stdout has: $(head -c 200 out)"
  grep -qE 'null\)|internal|report this|Assertion|Sanitizer' err && [ "$status" != 1 ] && [ "$status" != 4 ] && fail "$command: $(head -c 300 err)"
  [ "$(awk '{ if (length > most) most = length } END { print most + 0 }' err)" -lt 700 ] || fail "$command: a very long line"
}

number=0
prepare || { echo "FAILED: the good recipe does not run"; exit 1; }
before=$(find run models -type f ! -name log.txt -exec cksum {} + | sort)
while IFS= read -r row; do
  number=$((number + 1))
  [ -z "$row" ] || [ "${row:0:1}" = '#' ] && continue
  IFS=$'\t' read -r status holds lacks command <<<"$row"
  [ -n "${command-}" ] || { fail "not four columns: $row"; continue; }
  rows=$((rows + 1))
  check "$status" "$holds" "$lacks" "$command"
done <"$root/tests/e2e/errors.tsv"
number=end
[ "$before" = "$(find run models -type f ! -name log.txt -exec cksum {} + | sort)" ] || fail "a wrong command changed the run or a model"
[ -z "$(find . -name '*.writing-*' -o -name '.writing-*' -o -name '*.tmp*')" ] || fail "something half-written is left"
[ "$rows" -ge 100 ] || fail "only $rows rows"
[ "$failures" = 0 ] || exit 1
echo "$rows wrong commands, $skipped of them skipped here"

#!/usr/bin/env bash
# Makes the files that recipes/smollm2-gsm8k-start.yaml and recipes/smollm2-gsm8k.yaml read, from gsm8k_train.jsonl and gsm8k_test.jsonl
# of openai/grade-school-math in FROM, and svamp_test.jsonl (SVAMP's 1,000 problems) if it is there, into DIR. Equal input, equal bytes.
set -euo pipefail
export LC_ALL=C

fail() {
  echo "gsm8k-data: $*" >&2
  exit 2
}

[ $# -eq 2 ] || fail "usage: tools/gsm8k-data.sh FROM DIR"
command -v jq >/dev/null || fail "jq is missing; install it (apt install jq)"
train=$1/gsm8k_train.jsonl
test=$1/gsm8k_test.jsonl
for file in "$train" "$test"; do
  [ -f "$file" ] || fail "$file is missing; it is in openai/grade-school-math (train.jsonl and test.jsonl there)"
done
mkdir -p "$2"

# The calculations that a solution is annotated with, <<48/2=24>>, are its steps.
steps='def steps: [.answer | scan("<<([^>]*)>>")[0] | gsub(" "; "")];'

# Cold start, from the first 1,100 problems: only the calculations, then the answer.
head -1100 "$train" | jq -c "$steps"'
  steps as $steps | (.answer | split("#### ")[1] | gsub(","; "")) as $number
  | select(($steps | length) >= 1 and ($steps | length) <= 5 and ($number | test("^[0-9.]+$")))
  | {messages: [{role: "user", content: (.question + "\nAnswer with short calculations.")},
                {role: "assistant", content: (($steps | join(". ")) + ". The answer is " + $number + ".")}]}' |
  sed -n 1,960p >"$2/gsm8k_short.jsonl"

# Rewards, from the others: problems of up to three steps; problems with all steps but the last given; the steps by themselves.
tail -n +1101 "$train" | jq -c "$steps"'select((steps | length) <= 3) | {question, answer}' >"$2/gsm8k_rl.jsonl"
tail -n +1101 "$train" | jq -c "$steps"'
  steps as $steps | select(($steps | length) >= 2 and ($steps | length) <= 4)
  | {question: (.question + "\nBegin with " + ($steps[:-1] | join(". ")) + "."), answer}' >"$2/gsm8k_last.jsonl"
tail -n +1101 "$train" | jq -c "$steps"'
  steps[] | select(test("^[0-9.]+[-+*/][0-9.]+=[0-9.]+$")) | split("=")
  | {question: ("What is " + .[0] + "?"), answer: .[1]}' | sort -u | shuf --random-source="$train" >"$2/gsm8k_calc.jsonl"

# 300 test problems of each.
sed -n 1,300p "$test" >"$2/gsm8k_300.jsonl"
if [ -f "$1/svamp_test.jsonl" ]; then
  sed -n 1,300p "$1/svamp_test.jsonl" |
    jq -c '{question: ((.Body | rtrimstr(" ") | rtrimstr(".")) + ". " + (.Question | rtrimstr(" "))), answer: (.Answer | tostring)}' >"$2/svamp_300.jsonl"
fi
wc -l "$2"/*.jsonl

#!/usr/bin/env bash
# What only a process shows: exit statuses, stdout against stderr, pipes, signals, full disks.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }

# expect STATUS COMMAND...: stdout and stderr land in $work/out and $work/err.
expect() {
  local want=$1
  shift
  "$@" >"$work/out" 2>"$work/err" </dev/null
  local got=$?
  [ "$got" = "$want" ] || fail "$*: exit status $got, want $want: $(head -c 300 "$work/err")"
}
empty() { [ ! -s "$work/$1" ] || fail "$2: std$1 is not empty: $(head -c 200 "$work/$1")"; }
holds() { grep -qF -- "$2" "$work/$1" || fail "std$1 lacks \"$2\": $(head -c 300 "$work/$1")"; }

# Help is a result; errors are one line on stderr and leave stdout empty.
expect 0 "$assay"
holds out "Commands:"
empty err "assay alone"
expect 0 "$assay" --version
grep -qE '^assay [0-9.]+, commit [0-9a-f]+|unknown, [A-Za-z]+ build, instruction set [a-z0-9]+$' "$work/out" || fail "version: $(cat "$work/out")"
for command in $("$assay" | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  expect 0 "$assay" "$command" --help
  holds out "Example:"
  empty err "$command --help"
done
expect 2 "$assay" tokenise
holds err 'assay: found command "tokenise"'
empty out "an unknown command"
[ "$(wc -l <"$work/err")" = 1 ] || fail "an error is more than one line"
expect 2 "$assay" tasks --threads 0
holds err "--threads 0"
expect 2 "$assay" tasks --treads 2
holds err "did you mean --threads?"
expect 2 "$assay" tasks nothing --json
grep -q '^{"error": {"code": "input"' "$work/out" || fail "--json printed no error object: $(cat "$work/out")"
expect 2 "$assay" score "$work/absent"
holds err "absent"

# Lines: broken ones in their place, the rest answered, status 2; .gz is read; answers go to --out only when all is done.
printf '{"answer": 7, "response": "7"}\nbroken\n{"answer": 8, "response": "7"}\n' >"$work/in.jsonl"
expect 2 "$assay" verify number --in "$work/in.jsonl"
[ "$(wc -l <"$work/out")" = 3 ] || fail "three lines in, $(wc -l <"$work/out") out"
sed -n 2p "$work/out" | grep -q '"line": 2' || fail "line 2 is not answered by its error"
holds err "in.jsonl:2:"
gzip -k "$work/in.jsonl"
cut -d, -f1-4 "$work/out" >"$work/plain"
expect 2 "$assay" verify number --in "$work/in.jsonl.gz"
sed 's/in.jsonl.gz/in.jsonl/' "$work/out" | cut -d, -f1-4 | cmp -s - "$work/plain" || fail ".gz gives other answers"
expect 0 "$assay" tasks addition --count 4 --out "$work/tasks.jsonl"
empty out "--out"
[ "$(wc -l <"$work/tasks.jsonl")" = 4 ] || fail "--out has not 4 lines"
expect 2 "$assay" tasks addition digits=1 --count 1000000 --out "$work/none.jsonl"
[ ! -e "$work/none.jsonl" ] || fail "a failed command left its --out"
expect 2 "$assay" tasks addition --out "$work/no/such/folder/x"
printf '\357\273\277' | cat - "$work/in.jsonl" >"$work/marked.jsonl"
expect 2 "$assay" verify number --in "$work/marked.jsonl"
[ "$(grep -c '"reward"' "$work/out")" = 2 ] || fail "a byte order mark spoils a line: $(cat "$work/out")"
expect 2 "$assay" tasks addition --out "$work/tasks.jsonl.gz"

# A pipe or a device is written to and stays what it is; nothing else puts a file in its place.
mkfifo "$work/way"
cat "$work/way" >"$work/through" &
expect 0 "$assay" tasks addition --count 4 --out "$work/way"
wait
cmp -s "$work/through" "$work/tasks.jsonl" && [ -p "$work/way" ] || fail "--out to a pipe"
expect 2 "$assay" eval "$root/models/tiny" --data task:addition,format=plain --problems 2 --svg "$work/way"
[ -p "$work/way" ] || fail "--svg put a file in the place of a pipe"
ln -s /proc/self/fd/1 "$work/one"
expect 0 "$assay" tasks addition --count 4 --out "$work/one"
cmp -s "$work/out" "$work/tasks.jsonl" && [ -L "$work/one" ] || fail "--out to a link to stdout"
ln -s tasks.jsonl "$work/other"
expect 0 "$assay" tasks addition --count 3 --out "$work/other"
[ -L "$work/other" ] && [ "$(wc -l <"$work/tasks.jsonl")" = 3 ] || fail "--out through a link"

expect 0 "$assay" generate "$root/models/tiny" 1+1= --temperature 0 --out "$work/said.jsonl"
empty out "generate --out"
grep -q '"finish": ' "$work/said.jsonl" || fail "generate PROMPT --out wrote no answer"

# What a run proposes to try next runs as printed, for a model that writes no text too.
cd "$root" || exit 1
expect 0 "$assay" sft recipes/reward_model.yaml train.passes=0 train.steps=1 eval.problems=4 --run "$work/scorer"
next=$(sed -nE 's/^  (echo .* verify reward_model .*)$/\1/p' "$work/out")
eval "$next" 2>"$work/err" | grep -q '"reward": ' || fail "what comes next does not run: $next: $(cat "$work/err")"
cd "$work" || exit 1

# A disk that is full, a reader that has gone.
if [ -w /dev/full ]; then
  "$assay" tasks addition --count 100 >/dev/full 2>"$work/err"
  [ $? = 3 ] || fail "a full disk is not exit status 3"
  holds err "No space left"
fi
"$assay" tasks addition digits=9 --count 1000000 2>"$work/err" | head -1 >"$work/out"
[ "${PIPESTATUS[0]}" = 3 ] || fail "a closed pipe is not exit status 3"

# Ctrl-C: the first one ends in order with 5 and no --out, also where the input has not come yet.
mkfifo "$work/pipe"
"$assay" verify number --in "$work/pipe" --out "$work/stopped.jsonl" 2>"$work/err" &
pid=$!
exec 3<>"$work/pipe" # both ways: does not wait for a reader
echo '{"answer": 7, "response": "7"}' >&3
sleep 0.3
kill -INT "$pid"
sleep 0.1
kill -0 "$pid" 2>/dev/null && kill -INT "$pid" # a read that was begun may need the second
wait "$pid"
[ $? = 5 ] || fail "Ctrl-C is not exit status 5"
exec 3>&-
[ ! -e "$work/stopped.jsonl" ] || fail "a stopped command left its --out"

[ "$failures" = 0 ] || exit 1
echo "all as expected"

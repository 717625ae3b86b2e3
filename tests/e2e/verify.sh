#!/usr/bin/env bash
# assay verify from outside: every kind that needs no service, settings, timeouts, many workers, the pages' own examples.
. "$(dirname "$0")/../begin.sh"
cd "$work" || exit 1

# want REWARD LINE ARGUMENTS...: the reward of one line.
want() {
  local reward=$1 line=$2 out
  shift 2
  out=$("$assay" verify "$@" <<<"$line" 2>&1) || fail "verify $*: $out"
  [[ $out == "{\"reward\": $reward,"* && $out == *'"reason": "'* && $out == *'"ms": '* ]] || fail "verify $* of $line: $out"
}
want 1.0 '{"answer": "72", "response": "48 + 24 = 72 clips"}' number
want 1.0 '{"answer": 3.14159, "response": "3.14"}' number relative=0.001
want 1.0 '{"answer": "paris", "response": "It is Paris."}' string score=contains ignore_case=true
want 1.0 '{"answer": "B", "response": "The answer is (B)."}' choice
want 1.0 '{"answer": "^a+$", "response": "aaa"}' regex
want 0.0 '{"answer": "42", "response": "Answer: 41"}' regex 'pattern=Answer: (\d+)' group=1
want 1.0 '{"schema": {"type": "array", "items": {"type": "integer"}}, "response": "```json\n[1, 2]\n```"}' json
want 1.0 '{"schema": "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)", "query": "SELECT sum(a) FROM t", "response": "SELECT 3"}' sql
want 1.0 '{"task": "addition", "meta": {"a": 1, "b": 2}, "answer": "3", "response": "3"}' task
want 0.5 '{"response": "x"}' command 'command=while read -r l; do echo "{\"reward\": 0.5}"; done'

# A program that is late is killed in time, and is no wrong answer.
begin=$(date +%s)
out=$("$assay" verify command 'command=sleep 60' --timeout 0.5 <<<'{"response": "x"}')
[[ $out == *'"failed": true'* && $out == *'within 0.5 s'* ]] || fail "a late program: $out"
(($(date +%s) - begin < 20)) || fail "a late program was waited for"
"$assay" verify command command=/nowhere/at/all <<<'{"response": "x"}' >/dev/null 2>&1
[ $? = 3 ] || fail "a program that is not there: exit status is not 3"
"$assay" verify json <<<'{"schema": {"$ref": "#"}, "response": "1"}' >out.txt 2>&1
[ $? = 2 ] && grep -q 'keyword \\"\$ref\\"' out.txt || fail "an unsupported keyword: $(cat out.txt)"

# The same answers from one and from many workers, line for line, without the times.
for i in $(seq 300); do echo "{\"answer\": \"$((i % 7))\", \"response\": \"it is $((i % 5))\"}"; done >many.jsonl
"$assay" verify number --in many.jsonl | sed 's/"ms".*//' >one.txt
"$assay" verify number --in many.jsonl --workers 4 | sed 's/"ms".*//' >four.txt
[ "$(wc -l <one.txt)" = 300 ] && cmp -s one.txt four.txt || fail "four workers say something else than one"

# The pages.
"$assay" verify --kinds | cmp -s - "$root/docs/verify/kinds.md" ||
  fail "write it anew: assay verify --kinds --out docs/verify/kinds.md"
block() { awk -v fence="\`\`\`$2" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' "$root/$1"; }
block docs/guide/rewards.md c >kind_palindrome.c
[ "$(wc -l <kind_palindrome.c)" -gt 30 ] || fail "docs/guide/rewards.md has no C example"
cc -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -I"$root/src" -Wall -Wextra -Wconversion -Wno-misleading-indentation \
  -Werror -c -o kind_palindrome.o kind_palindrome.c 2>cc.txt || fail "the C example does not compile: $(cat cc.txt)"
if command -v python3 >/dev/null; then
  block docs/guide/rewards.md python >words.py
  want 1.0 '{"answer": "3", "response": "one two three"}' command 'command=python3 words.py'
  want 0.5 '{"answer": "4", "response": "one two"}' command 'command=exec python3 words.py'
  block docs/verify/command.md python >reward.py
  cat >math_verify.py <<'PY'
def parse(text): return [text.strip("$")]
def verify(gold, got): return gold == got
PY
  want 1.0 '{"answer": "1/2", "response": "1/2"}' command 'command=python3 reward.py'
fi
[ "$failures" = 0 ] && echo "kinds, limits, pages"
exit $((failures > 0))

#!/usr/bin/env bash
# label: long. assay serve with the official `openai` package (skipped without the network), and under 200 clients for 60 s: no
# error but 429, and memory that does not grow. PYTHON may name an interpreter that has the package.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
server=0
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
cp -r "$root/models/tiny" tiny
echo "{% for m in messages %}{{ m['content'] }}{{ '=' if m['role'] == 'user' else '' }}{% endfor %}" >tiny/chat_template.jinja
start() {
  "$assay" serve tiny --port 0 "$@" >url 2>err &
  server=$!
  for _ in $(seq 100); do [ -s url ] && break; sleep 0.1; done
  [ -s url ] || { cat err; exit 1; }
}
finish() {
  kill $server
  wait $server || fail "the server ends with $?: $(tail -n 3 err)"
}
metric() { python3 -c "import urllib.request; print([l.split()[1] for l in urllib.request.urlopen('$(cat url)/metrics').read().decode().splitlines() if l.startswith('assay_$1 ')][0])"; }

python=${PYTHON:-$work/venv/bin/python}
[ -x "$python" ] || { python3 -m venv venv && venv/bin/pip install -q openai; } >pip 2>&1 || echo "skipped: no openai package: $(tail -n 1 pip)"
if "$python" -c 'import openai' 2>/dev/null; then
  ASSAY_API_KEY=secret start
  "$python" "$root/tests/e2e/serve_openai.py" "$(cat url)" secret || fail "openai"
  finish
fi

export PROMPT_BYTES=36
start
python3 "$root/bench/serve.py" "$(cat url)" tiny 200 20 24 >warm || fail "200 clients for 20 s: $(cat warm)"
before=$(metric resident_memory_bytes)
python3 "$root/bench/serve.py" "$(cat url)" tiny 200 "${SECONDS_LONG:-60}" 24 7 >load || fail "200 clients: $(cat load)"
after=$(metric resident_memory_bytes)
cat load
echo "memory: $before bytes after 20 s, $after after $((20 + ${SECONDS_LONG:-60})) s"
awk -v a="$before" -v b="$after" 'BEGIN { exit !(b < a * 1.05 + 4e6) }' || fail "memory grows: $before to $after"
[ "$(metric rows_running)" = 0 ] && [ "$(metric requests_waiting)" = 0 ] || fail "rows are left"
finish
exit $((failures > 0))

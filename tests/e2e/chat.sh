#!/usr/bin/env bash
# assay chat: by pipe, the answers of `assay generate`, commands, what goes wrong; on a pseudo-terminal (python3),
# streaming, editing, and Ctrl-C that stops the answer and not the program.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
cd "$work" || exit 1
tiny=$root/models/tiny
# chat STATUS ARGUMENT...: lines from stdin, out and err here.
chat() {
  local want=$1
  shift
  timeout 60 "$assay" chat "$@" >out 2>err
  local got=$?
  [ "$got" = "$want" ] || fail "chat $*: exit status $got, want $want: $(head -c 300 err)"
}
holds() { grep -qF -- "$2" "$1" || fail "$1 lacks \"$2\": $(head -c 300 "$1")"; }

# A model without a template completes, says so, and answers as generate does.
echo '12+34=' | chat 0 "$tiny" --seed 5
holds err 'plain completion'
[ "$(cat out)" = "$("$assay" generate "$tiny" '12+34=' --temperature 0.7 --top-p 0.95 --seed 5)" ] || fail "sampled differs from generate: $(cat out)"
echo '12+34=' | chat 0 "$tiny" --temperature 0 --quiet
[ "$(cat out)" = "$("$assay" generate "$tiny" '12+34=' --temperature 0)" ] || fail "greedy differs from generate: $(cat out)"
[ ! -s err ] || fail "--quiet: $(cat err)"
echo '12+34=' | chat 2 "$tiny" --system 'Be brief.'
holds err 'no chat template'

# A template makes it a conversation: each answer is what generate gives for the messages before it.
cp -r "$tiny" talker
echo "{% for m in messages %}{{ m['content'] }}{{ '=' if m['role'] == 'user' else ' ' }}{% endfor %}" >talker/chat_template.jinja
printf '12+34\n7+8\n/save said.jsonl\n' | chat 0 talker --temperature 0
[ "$(wc -l <out)" = 2 ] || fail "two answers expected: $(cat out)"
holds said.jsonl '{"messages":[{"role":"user","content":"12+34"},{"role":"assistant","content":"'
sed 's/,{"role":"assistant","content":"[^"]*"}\]}$/]}/' said.jsonl >messages.jsonl
"$assay" generate talker --in messages.jsonl --temperature 0 --json >want
[ "$(sed -n 's/.*"text": "\([^"]*\)", "finish.*/\1/p' want)" = "$(sed -n 2p out)" ] || fail "second turn: $(cat want), $(cat out)"
# undo, retry, reset, system
printf '12+34\n/undo\n7+8\n' | chat 0 talker --temperature 0
[ "$(wc -l <out)" = 2 ] || fail "undo: $(cat out)"
printf '7+8\n' | "$assay" chat talker --temperature 0 --quiet | cmp -s - <(sed -n 2p out) || fail "undo leaves something behind"
printf '12+34\n/retry\n/reset\n/temperature 0\n12+34\n' | chat 0 talker --temperature 30 --max-new-tokens 4
[ "$(wc -l <out)" -ge 3 ] || fail "retry: $(cat out)"
printf '/system 1+\n1\n/save said.jsonl\n' | chat 0 talker --temperature 0
holds said.jsonl '{"messages":[{"role":"system","content":"1+"},{"role":"user","content":"1"}'
printf '1\\\n+1\n//x\n/save said.jsonl\n' | chat 0 talker --temperature 0
holds said.jsonl '"content":"1\n+1"'
holds said.jsonl '"content":"/x"'
printf '"""\n1\n+1\n"""\n/save said.jsonl\n' | chat 0 talker --temperature 0
holds said.jsonl '"content":"1\n+1"'
# edit, load, tokens
printf '12+34\n/edit 7+8\n' | chat 0 talker --temperature 0
printf '7+8\n' | "$assay" chat talker --temperature 0 --quiet | cmp -s - <(sed -n 2p out) || fail "edit leaves something behind: $(cat out)"
printf '12+34\n7+8\n/save two.jsonl\n1+1\n' | chat 0 talker --temperature 0
third=$(sed -n 3p out)
printf '/load two.jsonl\n1+1\n/tokens\n' | chat 0 talker --temperature 0
[ "$(sed -n 1p out)" = "$third" ] || fail "load: $(cat out), want $third"
holds out ' of 64 positions; the last answer read '
printf '/load none.jsonl\n/load two.jsonl\n/load\n/temperature\n' | chat 2 talker
holds err none.jsonl
printf '/edit x\n' | chat 2 talker
holds err 'nothing was said yet'

# What goes wrong is said in its place, and the rest is answered.
printf '/sytem x\n/temperature hot\n/max 0\n/save\n/save no/such/folder/x\n/undo\n1+1=\n' | chat 2 "$tiny" --temperature 0 --quiet
for text in 'did you mean /system?' '/temperature hot; expected a number from 0 to 100' '/max 0' '/save FILE' 'no/such/folder' 'nothing was said yet'; do
  holds err "$text"
done
[ "$(wc -l <out)" = 1 ] || fail "one answer expected: $(cat out)"
{ printf '1+1=%.0s' $(seq 40); echo; echo '1+1='; } | chat 2 "$tiny" --temperature 0 --quiet
holds err 'may have 64 together; /undo'
[ "$(wc -l <out)" = 1 ] || fail "a line behind one that is too long: $(cat out)"
printf '\xff\xfe\n1+1=\n' | chat 2 "$tiny" --temperature 0 --json
holds err 'not UTF-8'
grep -q '^{"error": ' out && grep -q '^{"text": "[0-9]*", "ids": \[[0-9, ]*\], "finish": "stop"}$' out || fail "--json: $(cat out)"
chat 2 "$tiny/none" </dev/null

if ! command -v python3 >/dev/null; then
  echo "skipped: no python3 for a pseudo-terminal"
  exit $((failures > 0))
fi

# A model that never ends: its vocabulary has no end token, its context is long.
cp -r "$tiny" endless
rm -f endless/generation_config.json
sed -i 's/"max_position_embeddings": 64/"max_position_embeddings": 100000/; s/"eos_token_id": 0/"eos_token_id": null/' endless/config.json
cat >strip.py <<'PYTHON'
import json
path = "endless/tokenizer_config.json"
config = json.load(open(path))
config.pop("eos_token", None)
json.dump(config, open(path, "w"))
PYTHON
python3 strip.py
cat >terminal.py <<'PYTHON'
import os, pty, select, signal, sys, time
binary, model = sys.argv[1:3]
os.environ.update(TERM="xterm", LANG="C.UTF-8", HOME="/nonexistent", XDG_STATE_HOME=os.path.abspath("state"))
os.environ.pop("EDITRC", None)
pid, fd = pty.fork()
if pid == 0:
    os.execv(binary, [binary, "chat", model, "--context", "60000", "--max-new-tokens", "50000", "--threads", "1"])
seen = b""
def read(seconds):
    global seen
    if select.select([fd], [], [], seconds)[0]:
        try:
            seen += os.read(fd, 65536)
        except OSError:
            return False
    return True
def wait(text, seconds=30):
    """Reads until text stands in what came since the last wait."""
    global seen
    end = time.time() + seconds
    while text not in seen:
        if time.time() > end or not read(end - time.time()):
            print("FAILED: no %r in %r" % (text, seen[-500:]))
            os.kill(pid, signal.SIGKILL)
            sys.exit(1)
    seen = seen[seen.index(text) + len(text):]
wait(b"/help lists commands")
wait(b"> ")
os.write(fd, b"12+34=\n")
wait(b"12+34=")          # the echo
wait(b"\n")
time.sleep(0.3)
end = time.time() + 20
while len(seen) < 40 and time.time() < end:
    read(1)
if len(seen) < 40:
    print("FAILED: nothing streams: %r" % seen); sys.exit(1)
os.write(fd, b"\x03")    # stops the answer
wait(b"stopped]")
wait(b"> ")
os.write(fd, b"/max 3\n")
wait(b"> ")
os.write(fd, b"1+2x\x7f=\n")  # a backspace on the way
wait(b"[3 tokens")
wait(b"> ")
os.write(fd, "/sytem ü\n".encode())
wait(b"did you mean /system?")
wait(b"> ")
# the second message finds the first one's KV
os.write(fd, b"/retry\n")
wait(b"[3 tokens")
wait(b"> ")
os.write(fd, b"/tokens\n")
wait(b"kept from before")
wait(b"> ")
# the last message comes back to be edited
os.write(fd, b"/edit\n")
wait(b"> ")
wait(b"1+2=")
time.sleep(0.5)  # the terminal may show the line before it listens to single keys
os.write(fd, b"\x7f9=\n")
wait(b"[3 tokens")
wait(b"> ")
os.write(fd, b"/save edited.jsonl\n")
wait(b"saved to")
wait(b"> ")
os.write(fd, b"half a line\x03")  # thrown away, with a hint
wait(b"Ctrl-C again or Ctrl-D leaves")
wait(b"> ")
os.write(fd, b"\x03")
status, end = None, time.time() + 10
while status is None and time.time() < end:
    read(0.1)
    done, code = os.waitpid(pid, os.WNOHANG)
    status = code if done else None
if status != 0:
    print("FAILED: ends with %r, want 0" % status); sys.exit(1)
said = open("edited.jsonl").read()
if '"prompt":"1+29="' not in said or '"prompt":"1+2="' in said:
    print("FAILED: edited: %s" % said); sys.exit(1)
# what was typed is there in the next conversation, for its owner alone
history = "state/assay/chat_history"
if "12+34=" not in open(history).read() or os.stat(history).st_mode & 0o077:
    print("FAILED: history: %s" % open(history).read()); sys.exit(1)
pid, fd = pty.fork()
if pid == 0:
    os.execv(binary, [binary, "chat", model, "--context", "60000", "--threads", "1", "--max-new-tokens", "2"])
wait(b"> ")
os.write(fd, b"\x1b[A")  # the key up
wait(b"edited.jsonl")
os.write(fd, b"\x15\x04")
os.waitpid(pid, 0)
PYTHON
timeout 90 python3 terminal.py "$assay" endless || failures=$((failures + 1))

[ "$failures" = 0 ] || exit 1
echo "answered as expected"

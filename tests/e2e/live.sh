#!/usr/bin/env bash
# What a person sees of a run on a terminal: a table that stays in place, lines above it that stay, a terminal left as it was found
# however the run ends. And where there is no such terminal: lines without a single escape.
. "$(dirname "$0")/../begin.sh"
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
cat >"$work/recipe.yaml" <<RECIPE
model: $root/models/tiny
data: [{task: addition, format: plain}]
eval: {data: [{task: addition, format: plain, held_out: 0.2}], every: 10, problems: 8}
rollout: {problems: 8, group: 8, max_new_tokens: 6, max_prompt_tokens: 16}
train: {steps: 20}
save: {every: 10}
RECIPE
python3 - "$assay" "$work" <<'PYTHON'
import fcntl, json, os, pty, re, select, shutil, signal, struct, subprocess, sys, termios, time

assay, work = sys.argv[1:]
signal.alarm(170)  # a run that never ends is a failure; its terminal goes with this process
recipe = work + "/recipe.yaml"


class Screen:
    """As much of a terminal as the program uses: anything else is a failure."""

    def __init__(self, rows):
        self.rows, self.lines, self.row, self.column, self.hidden = rows, [""], 0, 0, False

    def put(self, c):
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + c + line[self.column + 1 :]
        self.column += 1

    def feed(self, text):
        for control, argument, letter, c in re.findall(r"(\x1b\[)([?0-9;]*)([A-Za-z])|(.)", text, re.S):
            if c == "\r":
                self.column = 0
            elif c == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif c:
                assert c != "\x1b", "an escape of another kind"
                self.put(c)
            elif letter == "K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif letter == "J":
                self.lines[self.row] = self.lines[self.row][: self.column]
                del self.lines[self.row + 1 :]
            elif letter == "A":
                assert int(argument) <= self.row and int(argument) < self.rows, "up past the top"
                self.row -= int(argument)
            elif letter in "hl":
                assert argument == "?25", argument
                self.hidden = letter == "l"
            else:
                assert letter == "m", letter

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class Run:
    def __init__(self, name, *arguments, columns=80, rows=24, folder=None, **environment):
        self.folder = folder or f"{work}/{name}"
        command = [assay, "train", recipe, "--run", self.folder, "--threads", "1", *arguments]
        variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE")}
        variables.update({"TERM": "xterm", "LANG": "C.UTF-8"}, **environment)
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execve(assay, command, variables)
        self.resize(columns, rows)
        self.screen, self.raw = Screen(rows), ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            return False
        self.pending = getattr(self, "pending", b"") + data
        whole = self.pending.decode("utf-8", "ignore")  # a character may come in two pieces
        cut = whole.rfind("\x1b") if re.search(r"\x1b(\[[?0-9;]*)?$", whole) else len(whole)
        part, self.pending = whole[:cut], self.pending[len(whole[:cut].encode()) :]
        self.raw += part
        self.screen.feed(part)
        return bool(data)

    def wait_for(self, pattern, seconds=60):
        end = time.time() + seconds
        while not re.search(pattern, self.screen.text()):
            assert time.time() < end and self.read(0.1), f"never saw {pattern!r}:\n{self.screen.text()}"

    def end(self):
        while self.read(10):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def check(condition, what, run):
    assert condition, f"{what}:\n{run.screen.text()}\nraw: {run.raw[-600:]!r}"


def left_as_found(run):
    check(run.raw.count("\x1b[?25l") > 0 and not run.screen.hidden, "the cursor is not shown again", run)
    check("time left" not in run.screen.text(), "the table was left behind", run)


# A whole run: table while it goes on, above it lines that stay, behind it what it came to.
run = Run("whole")
run.wait_for(r"step +solved +reward +entropy +length +tok/s +mismatch +time left\n +\d+/20 ")
run.wait_for(r"\n +[1-9]\d*/20 +\d+\.\d %.* 0 of [\d,]+ ")
run.wait_for(r"solved +\d+\.\d % [\u2581-\u2588]+ ")
check(run.screen.hidden, "the cursor is not hidden", run)
check(run.end() == 0, "exit status", run)
left_as_found(run)
shown = run.screen.text()
for step in (0, 10, 20):
    check(shown.count(f"evaluation addition, step {step}: ") == 1, f"the evaluation at step {step}", run)
for part in ("before ", "after ", "Solved while training", "\u2588", "mismatch  0 of ", "Try next:", run.folder + "/curve.svg"):
    check(part in shown, f"no {part!r}", run)
check("step 20" in open(run.folder + "/log.txt").read() and os.path.getsize(run.folder + "/curve.svg") > 1000, "files", run)
last = open(run.folder + "/log.txt").read().splitlines()[-1]
hashes = re.search(r"weights ([0-9a-f]{64}) state ([0-9a-f]{64})$", last)
check(hashes and hashes[1] in shown and hashes[2] in shown, "the hashes", run)
print("a whole run")

# Other sizes, before and in the middle: no line is wider than the window less one, nothing scrolls away. ASCII where the locale is.
run = Run("narrow", columns=60, LANG="C")
run.wait_for(r"\n +[1-9]\d*/20")
check(re.search(r"solved +\d+\.\d % [.:|#]+ ", run.screen.text()) and run.raw.isascii(), "not ASCII", run)
run.resize(44, 20)
time.sleep(0.3)
run.read(0)
run.wait_for(r"evaluation addition, step 10")
frames = re.findall(r"\x1b\[\?25l(?:\r|\r\x1b\[J)((?:(?!\x1b\[\?25).)*)", run.raw, re.S)
whole = [f for f in frames if re.search(r"\x1b\[J\r\x1b\[\d+A", f)]  # of the last one a part may have been read
widths = [len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", line)) for line in whole[-1].split("\r\n") if "evaluation" not in line]
check(30 < max(widths) <= 43, f"a line of {max(widths)} columns in a window of 44", run)
check(run.end() == 0, "exit status", run)
left_as_found(run)
print("windows of other sizes")

# Ctrl-C, once and twice.
run = Run("stopped", "train.steps=100000")
run.wait_for(r"\n +[1-9]\d*/100000")
os.write(run.fd, b"\x03")
check(run.end() == 5, "exit status after Ctrl-C", run)
left_as_found(run)
check("stopped after step" in run.screen.text() and "\nassay: stopped" in run.screen.text(), "what was said", run)
run = Run("twice", "rollout.max_new_tokens=40", "rollout.problems=512", "train.steps=100000")
run.wait_for(r"\n +\d+/100000")
os.write(run.fd, b"\x03\x03")
check(run.end() == 5, "exit status after two Ctrl-C", run)
left_as_found(run)
print("Ctrl-C")

# An error in the middle stays on the screen, under the lines before it.
run = Run("error", "train.steps=100000", "eval.every=0")
run.wait_for(r"\n +[1-9]\d*/100000")
os.rename(run.folder + "/rollouts", run.folder + "/elsewhere")
open(run.folder + "/rollouts", "w").close()
check(run.end() in (2, 3), "exit status", run)
left_as_found(run)
check(run.screen.text().rstrip().splitlines()[-1].startswith("assay: "), "the error is not the last line", run)
check("evaluation addition, step 0: " in run.screen.text(), "the lines before the error", run)
print("an error")

# Ctrl-Z and fg: the terminal is the shell's in between.
run = Run("suspended", "train.steps=100000")
run.wait_for(r"\n +[1-9]\d*/100000")
os.kill(run.pid, signal.SIGTSTP)
check(os.WIFSTOPPED(os.waitpid(run.pid, os.WUNTRACED)[1]), "it did not stop", run)
while select.select([run.fd], [], [], 0.2)[0]:
    run.read(0)
left_as_found(run)
os.kill(run.pid, signal.SIGCONT)
run.wait_for(r"time left\n +\d+/100000")
os.write(run.fd, b"\x03")
check(run.end() == 5, "exit status", run)
left_as_found(run)
print("Ctrl-Z")

# No terminal, a dumb one, one that wants no colours: lines, and not one escape.
for name, environment in (("dumb", {"TERM": "dumb"}), ("plain", {"NO_COLOR": "1"})):
    run = Run(name, **environment)
    check(run.end() == 0, "exit status", run)
    check("\x1b" not in run.raw and "step   1/20 " in run.raw and "step  20/20 " in run.raw, name, run)
    check(run.raw.count("step   ") < 15, "a line for every step", run)
run = Run("quiet", "--quiet")
check(run.end() == 0 and run.raw == "", "--quiet", run)
piped = subprocess.run([assay, "train", recipe, "--run", work + "/json", "--json"], capture_output=True, text=True)
lines = [json.loads(line) for line in piped.stdout.splitlines()]
assert piped.returncode == 0 and "\x1b" not in piped.stderr, piped.stderr
assert [line["step"] for line in lines[:-1]] == list(range(21)), piped.stdout
summary = lines[-1]["summary"]
assert summary["mismatch"] == 0 and summary["mismatch_of"] > 0 and summary["evaluations"][0]["after"]["step"] == 20
assert piped.stderr.splitlines()[-1] == f"weights {summary['weights']} state {summary['state']}", piped.stderr
assert summary["weights"] == hashes[1] and summary["state"] == hashes[2], "what is shown moved a bit of the run"
print("pipes, --quiet, --json; the same hashes")

# A new best is saved although no checkpoint is due, and linked to.
command = [assay, "train", recipe, "train.lr=1e-4", "eval.every=1", "save.every=1000", "--run", work + "/best", "--json"]
lines = [json.loads(line) for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]
accuracies = [line["eval/addition/accuracy"] for line in lines[:-1]]
best = accuracies.index(max(accuracies))
assert 0 < best < 20, f"the test needs another recipe: {accuracies}"
assert lines[-1]["summary"]["best_step"] == best
assert os.readlink(work + "/best/checkpoints/best") == "%06d" % best, os.listdir(work + "/best/checkpoints")
assert os.path.exists(work + "/best/checkpoints/best/model.safetensors")
print("checkpoints/best")

# Resumed: the summary is of the whole run.
piped = subprocess.run([assay, "train", recipe, "train.steps=25", "--run", work + "/json", "--resume", "--json"], capture_output=True, text=True)
whole = json.loads(piped.stdout.splitlines()[-1])["summary"]
assert whole["steps"] == 25 and whole["evaluations"][0]["before"]["step"] == 0, whole
assert whole["tokens_generated"] > summary["tokens_generated"], whole
print("resumed")
PYTHON

# The program inside the sandbox (sandbox.h says how it is started and spoken to). It is process 1 of its own PID
# namespace and runs nothing itself: for each job it forks children, waits, kills every other process of the namespace
# and reaps them, so that no process outlives its job. What children are given they read from the control socket
# themselves: texts of tests and cases never enter the memory that the next program is forked from. What the children do
# stands in sandbox_roles.py, the first argument, so that this text is short to read and the start fast.
#
# Jobs (sandbox.c, enum sandbox_kind):
#   1 examine  two children. The program, alone with two pipes, and the examiner, which runs the problem's test and
#              calls the program's functions through these pipes. Only data comes back, rebuilt from JSON as plain
#              Python values, and the asserts are evaluated in the examiner, where no line of the program ever runs.
#   2 script   one child runs the program as __main__ with its standard input.
#   3 command  one child runs a shell command.
#   4 write    one child writes a file into /tmp.
import os, select, sys, time
import _signal

CONTROL, OUT, ERR = 3, 4, 5
EXAMINE, SCRIPT, COMMAND, WRITE = 1, 2, 3, 4
ENDED, WALL, CROWDED = 0, 1, 2
BYTES_OF_A_FILE = 4096  # /tmp may hold its size divided by this, in files: each costs the kernel memory
GONE = 3  # exit status of an examiner whose program went away


def read_exact(fd, n):
    parts = []
    while n:
        part = os.read(fd, min(n, 1 << 20))
        if not part:
            os._exit(1)
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


class Job:
    def __init__(self, words):
        (self.kind, self.wall, self.cpu, self.memory, self.disk, self.processes, self.first, self.second) = words


def fork_child(start, *sizes):
    """Forks; the child reads its texts from the control socket, says so, and starts. Returns its pid, or what `start`
    returned in the child."""
    waiting, ready = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ready)
        told = os.read(waiting, 1)
        os.close(waiting)
        if not told:
            os._exit(1)  # the stream is out of step: start anew
        return pid, None
    try:
        texts = [read_exact(CONTROL, n) for n in sizes]
        os.write(ready, b"x")
        os.close(ready)
        os.close(waiting)
        return 0, start(*texts)
    except BaseException as e:
        if not isinstance(e, SystemExit):
            os._exit(120)
        raise


def text_of(data):
    return data.decode("utf-8", "replace")


def fork_all(job):
    """(pid of the program, pid of who is waited for, what a script's child returns)"""
    if job.kind == EXAMINE:
        ask, said = os.pipe(), os.pipe()
        program, _ = fork_child(lambda t: be_program(job, text_of(t), ask[0], said[1]), job.first)
        if not program:
            os._exit(0)
        examiner, _ = fork_child(lambda t: be_examiner(job, t, said[0], ask[1]), job.second)
        for fd in ask + said:
            os.close(fd)
        return program, examiner, None
    be = {SCRIPT: lambda t, d: be_script(job, text_of(t), d), COMMAND: lambda t, d: be_command(job, t, d),
          WRITE: lambda t, d: be_writer(job, t, d)}[job.kind]
    pid, script = fork_child(be, job.first, job.second)
    return pid, pid, script


def wait_for(pid, milliseconds, files):
    """How it ended. The end of the control socket ends everything."""
    fd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(CONTROL, 0)
    outcome = WALL
    end = time.monotonic() + milliseconds / 1000
    while outcome == WALL and time.monotonic() < end:
        events = poll.poll(min(100, milliseconds))
        if any(f == CONTROL for f, _ in events):
            os._exit(0)
        room = os.statvfs("/tmp")
        if events:
            outcome = ENDED
        elif room.f_files - room.f_ffree > files:
            outcome = CROWDED
    os.close(fd)
    return outcome


def reap_all(pids):
    """Kills every other process of the namespace, then collects them. {pid: (status, milliseconds of processor)}"""
    found = {}
    for pid in pids:
        done, status, use = os.wait4(pid, os.WNOHANG)
        if done:
            found[pid] = (status, use)
    try:
        os.kill(-1, _signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while True:
            pid, status, use = os.wait4(-1, 0)
            found.setdefault(pid, (status, use))
    except ChildProcessError:
        return {p: (s, int(1000 * (u.ru_utime + u.ru_stime))) for p, (s, u) in found.items()}


def do_job(job, clean):
    """Tells how it went. In a script's child: returns the script."""
    program, waited, script = fork_all(job)
    if not program:
        return script
    files = job.disk * (1 << 20) // BYTES_OF_A_FILE
    outcome = wait_for(waited, job.wall, files)
    if waited != program and outcome == ENDED:
        # A program that went away is about to be a zombie: its own status tells why.
        info = os.waitid(os.P_PID, waited, os.WEXITED | os.WNOWAIT)
        if info.si_status == GONE:
            wait_for(program, 200, files)
    ended = reap_all({program, waited})
    words = (outcome, ended[program][0], ended[waited][0], ended[program][1], os.stat("/tmp").st_ctime_ns != clean)
    write_all(CONTROL, b"".join(int(w).to_bytes(4, "little") for w in words))
    return None


MODULES = ("json", "ast", "operator", "typing", "math", "collections", "functools", "itertools", "re", "string",
           "random", "heapq", "bisect", "copy", "datetime", "fractions", "decimal", "statistics", "hashlib",
           "dataclasses", "enum", "abc", "cmath", "time", "traceback")


def serve():
    for number in (_signal.SIGINT, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_IGN)
    sys.path[:] = [p for p in sys.path if p.startswith("/usr/")]
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    if os.path.exists("/proc/1"):  # where commands see processes, this one's memory is closed to them
        import ctypes
        ctypes.CDLL(None).prctl(4, 0)
    write_all(CONTROL, b"ready")
    os.dup2(1, 2)
    exec(compile(sys.argv[1], "roles", "exec"), globals())
    clean = os.stat("/tmp").st_ctime_ns
    left = list(MODULES)
    poll = select.poll()
    poll.register(CONTROL, select.POLLIN)
    while True:
        # While nothing is asked: modules that programs like to import, so that children find them loaded.
        while left and not poll.poll(0):
            try:
                __import__(left.pop(0))
            except ImportError:
                pass
        header = read_exact(CONTROL, 32)
        script = do_job(Job([int.from_bytes(header[i:i + 4], "little") for i in range(0, 32, 4)]), clean)
        if script:
            return script


_script = serve()
exec(*_script)

# What the children of the sandbox's worker do (sandbox_worker.py reads this text once it has said its first word, and
# into its own names): the program and its examiner, scripts, commands, files.
import os, resource, sys

ANSWER = 1 << 26  # bytes of one message between examiner and program
CLIP = 160        # characters of a value or line in a reason
FILES = 256       # above every open file


def limit(job):
    """For the rest of this process and its descendants. Soft is hard: nothing can be raised again."""
    r, mib = resource, 1 << 20
    for what, most in ((r.RLIMIT_CORE, 0), (r.RLIMIT_MEMLOCK, 0), (r.RLIMIT_NOFILE, 128), (r.RLIMIT_CPU, job.cpu),
                       (r.RLIMIT_FSIZE, job.disk * mib), (r.RLIMIT_NPROC, job.processes),
                       (r.RLIMIT_AS, job.memory * mib)):
        r.setrlimit(what, (most, most))


# ---- values between examiner and program ----------------------------------------------------------------------------

def put_value(v, other):
    """A value as JSON. `other` names what is not plain data."""
    kind = type(v)
    if v is None or kind is str or kind is bool or kind is float:
        return v
    if kind is int:
        return v if v.bit_length() < 4096 else {"t": "int", "v": hex(v)}
    if kind is list:
        return [put_value(x, other) for x in v]
    if kind in (tuple, set, frozenset):
        return {"t": kind.__name__, "v": [put_value(x, other) for x in v]}
    if kind is dict:
        return {"t": "dict", "v": [[put_value(a, other), put_value(b, other)] for a, b in v.items()]}
    if kind in (bytes, bytearray):
        return {"t": kind.__name__, "v": v.hex()}
    if kind is complex:
        return {"t": "complex", "v": [v.real, v.imag]}
    if kind is range:
        return {"t": "range", "v": [v.start, v.stop, v.step]}
    if kind.__module__ == "fractions" and kind.__name__ == "Fraction":
        return {"t": "Fraction", "v": [hex(v.numerator), hex(v.denominator)]}
    if kind.__module__ == "decimal" and kind.__name__ == "Decimal":
        return {"t": "Decimal", "v": str(v)}
    if kind is type and v in TYPES.values():
        return {"t": "type", "v": v.__name__}
    for base in (bool, int, float, str, list, tuple, dict, set, frozenset, bytes):  # IntEnum, namedtuple, Counter, ...
        if isinstance(v, base):
            return put_value(base(v) if base is not str else str.__str__(v), other)
    return other(v)


TYPES = {t.__name__: t for t in (int, float, str, bool, list, tuple, dict, set, frozenset, bytes, complex, object)}


def take_value(v, other):
    kind = type(v)
    if kind is list:
        return [take_value(x, other) for x in v]
    if kind is not dict:
        return v
    t, v = v["t"], v["v"]
    if t in ("tuple", "set", "frozenset"):
        return TYPES[t](take_value(x, other) for x in v)
    if t == "dict":
        return {take_value(a, other): take_value(b, other) for a, b in v}
    if t == "int":
        return int(v, 16)
    if t in ("bytes", "bytearray"):
        return {"bytes": bytes, "bytearray": bytearray}[t].fromhex(v)
    if t == "complex":
        return complex(float(v[0]), float(v[1]))
    if t == "range":
        return range(*v)
    if t == "Fraction":
        from fractions import Fraction
        return Fraction(int(v[0], 16), int(v[1], 16))
    if t == "Decimal":
        from decimal import Decimal
        return Decimal(v)
    if t == "type":
        return TYPES[v]
    return other(t, v)


class Channel:
    """Messages: four bytes of length, then JSON."""

    def __init__(self, source, sink):
        import json
        self.source, self.sink = source, sink
        self.loads, self.dumps = json.loads, json.dumps

    def send(self, message):
        data = self.dumps(message).encode()
        write_all(self.sink, len(data).to_bytes(4, "little") + data)

    def take(self, n):
        parts = []
        while n:
            part = os.read(self.source, min(n, 1 << 20))
            if not part:
                return None
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def receive(self):
        size = self.take(4)
        if size is None:
            return None
        size = int.from_bytes(size, "little")
        data = self.take(size) if size <= ANSWER else None
        return None if data is None else self.loads(data)


# ---- the program ------------------------------------------------------------------------------------------------------

class Program:
    """Answers the examiner's requests. It shares its process with the judged text: nothing here is trusted."""

    def __init__(self, channel):
        self.channel, self.things = channel, []

    def put(self, v):
        return put_value(v, self.put_thing)

    def put_thing(self, v):
        if isinstance(v, type) and issubclass(v, BaseException):
            return {"t": "exception", "v": [v.__name__, [c.__name__ for c in v.__mro__ if c.__module__ == "builtins"]]}
        self.things.append(v)
        return {"t": "thing", "v": len(self.things) - 1}

    def take(self, v):
        return take_value(v, self.take_thing)

    def take_thing(self, t, v):
        if t == "exception":
            return self.module.get(v) or getattr(self.builtins, v)
        if t == "iterator":
            return iter([self.take(x) for x in v])
        return self.things[v] if t == "thing" else lambda *args: self.call_back(v, args)

    def call_back(self, name, args):
        self.channel.send(["back", name, [self.put(a) for a in args]])
        return self.serve()

    def fail(self, e):
        bases = [c.__name__ for c in type(e).__mro__ if c.__module__ == "builtins"]
        try:
            args = e.args if all(a is None or type(a) in (bool, int, str, float) for a in e.args) else [str(e)]
            self.channel.send(["raised", type(e).__name__, bases, args])
        except Exception:
            self.channel.send(["raised", type(e).__name__, bases, []])

    def answer(self, what, args, names):
        import operator
        args = [self.take(a) for a in args]
        names = {k: self.take(v) for k, v in names.items()}
        if what == "call":
            v = args[0](*args[1:], **names)
        elif what == "names":
            return {n: self.put(self.module[n]) for n in args if n in self.module}
        elif what in ("iter", "next", "len", "bool", "str", "repr", "int", "float", "hash", "getattr", "setattr"):
            v = getattr(self.builtins, what)(*args)
            if what == "iter":
                return [self.put_thing(v), []]
        else:
            v = getattr(operator, what)(*args)
        after = [self.put(a) if isinstance(a, (list, dict, set, bytearray)) else None for a in args[1:]]
        return [self.put(v), after]

    def serve(self):
        """Until the reply to a call back, or for ever."""
        while True:
            message = self.channel.receive()
            if message is None:
                os._exit(0)
            if message[0] == "reply":
                return self.take(message[1])
            try:
                self.channel.send(["reply", self.answer(*message)])
            except BaseException as e:
                self.fail(e)

    def run(self, text):
        import builtins
        self.builtins = builtins
        module = type(sys)("program")
        sys.modules["program"] = module
        self.module = module.__dict__
        try:
            exec(compile(text, "program.py", "exec", dont_inherit=True), self.module)
        except BaseException as e:
            self.fail(e)
            return
        self.channel.send(["reply", None])
        self.serve()


def be_program(job, text, source, sink):
    # Its pipes become 3 and 4: neither the control socket nor the verdict's pipe stays open.
    source, sink = os.dup(source), os.dup(sink)
    os.dup2(source, 3)
    os.dup2(sink, 4)
    os.closerange(5, FILES)
    os.chdir("/tmp")
    settle()
    limit(job)
    Program(Channel(3, 4)).run(text)


def settle():
    """The same start for every program: signals as Python has them, random numbers from a fixed seed."""
    import random
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    random.seed(0)
    sys.argv = ["program.py"]


# ---- the examiner -----------------------------------------------------------------------------------------------------

class Gone(BaseException):
    """The program's process ended or stopped making sense."""


class Unfit(BaseException):
    """The test asks for what cannot be passed between two processes."""


class Examiner:
    def __init__(self, channel):
        self.channel = channel
        self.functions, self.classes = [], {}
        self.calls = self.passed = self.failed = 0
        self.loaded = False
        self.first = None  # of the failed: (case, line, why)

    def put(self, v):
        return put_value(v, self.put_other)

    def put_other(self, v):
        if isinstance(v, Remote):
            return {"t": "thing", "v": object.__getattribute__(v, "_thing")}
        if isinstance(v, type) and issubclass(v, BaseException):
            return {"t": "exception", "v": v.__name__}
        if hasattr(v, "__next__") or type(v) in (type({}.keys()), type({}.values()), type({}.items())):
            return {"t": "iterator", "v": [self.put(x) for x in v]}
        if not callable(v):
            raise Unfit("the test gives the program an object of type %s; only plain data and functions can be "
                        "given" % type(v).__name__)
        self.functions.append(v)
        return {"t": "function", "v": len(self.functions) - 1}

    def take(self, v):
        return take_value(v, self.take_thing)

    def take_thing(self, t, v):
        if t == "exception":
            return self.exception(v[0], v[1])
        if t != "thing" or type(v) is not int:
            raise Gone
        return Remote(self, v)

    def exception(self, name, bases):
        """The class of this name, or one made to stand for it."""
        import builtins
        known = [getattr(builtins, b, None) for b in bases if type(b) is str]
        known = [k for k in known if isinstance(k, type) and issubclass(k, Exception)]
        if known and known[0].__name__ == name:
            return known[0]
        if name not in self.classes:
            self.classes[name] = type(name, (known[0] if known else Exception,), {})
        return self.classes[name]

    def raise_as(self, name, bases, args):
        if "Exception" not in bases:
            raise RuntimeError("the program ended itself (%s)" % name)
        kind = self.exception(name, bases)
        try:
            e = kind(*args)
        except Exception:
            e = RuntimeError(name, *args)
        raise RuntimeError("StopIteration") if isinstance(e, StopIteration) else e

    def wait(self):
        """The program's reply, untaken; meanwhile it may call functions of the test."""
        while True:
            try:
                message = self.channel.receive()
                if type(message) is not list:
                    raise Gone
                if message[0] == "reply":
                    return message[1]
                if message[0] == "raised":
                    name, bases, args = message[1:]
                else:
                    name, args = message[1], [self.take(a) for a in message[2]]
            except (ValueError, TypeError, KeyError, IndexError, RecursionError, OSError):
                raise Gone
            if message[0] == "raised":
                self.raise_as(name, bases, args)
            self.channel.send(["reply", self.put(self.functions[name](*args))])

    def ask(self, what, *args, **names):
        self.calls += 1
        put = [self.put(a) for a in args]
        try:
            self.channel.send([what, put, {k: self.put(v) for k, v in names.items()}])
        except OSError:
            raise Gone
        reply = self.wait()
        try:
            value, after = reply
            value = self.take(value)
            for old, new, sent in zip(args[1:], after, put[1:]):  # changes in place come back
                if new is not None and new != sent:
                    replace(old, self.take(new))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            raise Gone
        return value

    def names(self, wanted):
        try:
            self.channel.send(["names", wanted, {}])
        except OSError:
            raise Gone
        reply = self.wait()
        try:
            return {k: self.take(reply[k]) for k in wanted if k in reply}  # no other: it would hide a name of Python
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            raise Gone

    # Called by the rewritten test.
    def pass_one(self):
        self.passed += 1

    def fail_one(self, line, e, sides):
        self.failed += 1
        if self.first:
            return
        why = "raised " + describe(e)
        if isinstance(e, AssertionError):
            try:
                left = sides()
                why = "gave " + show(left[0]) if left else clip(str(e.args[0])) if e.args else "is false"
            except NameError:  # it was raised before there was a left side
                pass
        self.first = (self.passed + self.failed, line, why)


def replace(old, new):
    kind = type(old)
    if kind is not type(new):
        return
    if kind in (list, bytearray):
        old[:] = new
    elif kind in (dict, set):
        old.clear()
        old.update(new)


class Remote:
    """Something of the program that is not plain data: a function, a class, an object. Comparing it with data of the
    test is never left to the program: it equals none, and has neither order nor arithmetic with any (the difference of
    an object and the right answer would be whatever the object says)."""
    __slots__ = ("_examiner", "_thing")

    def __init__(self, examiner, thing):
        object.__setattr__(self, "_examiner", examiner)
        object.__setattr__(self, "_thing", thing)

    def __call__(self, *args, **names):
        return ask(self, "call", *args, **names)

    def __getattr__(self, name):
        return ask(self, "getattr", name)

    def __setattr__(self, name, value):
        ask(self, "setattr", name, value)

    def __iter__(self):
        return ask(self, "iter")

    def __next__(self):
        try:
            return ask(self, "next")
        except RuntimeError as e:
            if e.args == ("StopIteration",):
                raise StopIteration
            raise

    def __bool__(self):
        return ask(self, "bool") is True

    def __eq__(self, other):
        return isinstance(other, Remote) and ask(self, "eq", other) is True

    def __ne__(self, other):
        return not isinstance(other, Remote) or ask(self, "ne", other) is True

    def __hash__(self):
        return ask(self, "hash")


def ask(remote, what, *args, **names):
    return object.__getattribute__(remote, "_examiner").ask(what, remote, *args, **names)


def add_operators():
    def forward(what):
        return lambda self, *args: ask(self, what, *args)

    def among_own(what):
        def apply(self, other):
            if not isinstance(other, Remote):
                raise TypeError("an object of the program has neither order nor arithmetic with data of the test")
            return ask(self, what, other)
        return apply

    for name in ("len", "str", "repr", "int", "float", "getitem", "setitem", "delitem", "neg", "pos", "abs"):
        setattr(Remote, "__%s__" % name, forward(name))
    for name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
        setattr(Remote, "__%s__" % name, among_own(name))


add_operators()


def clip(text):
    text = " ".join(text.split())
    return text if len(text) <= CLIP else text[:CLIP - 3] + "..."


def show(v):
    try:
        return clip(repr(v))
    except Exception:
        return "a value that cannot be shown"


def describe(e):
    text = clip(str(e))
    return type(e).__name__ + (": " + text if text else "")


COUNTED = """
try:
    pass
except _assay_exception as _assay_error:
    _assay_fail(0, _assay_error, lambda: [%s])
else:
    _assay_pass()
"""


def count_asserts(body, guarded):
    """Puts each assert into a try of its own, so that the asserts behind a wrong one still count. One inside a try
    with handlers is left: its failure may be meant. Returns how many were counted."""
    import ast
    count = 0
    for i, node in enumerate(body):
        if isinstance(node, ast.Assert) and not guarded:
            shown = isinstance(node.test, ast.Compare) and len(node.test.ops) == 1
            shown = shown and not isinstance(node.test.ops[0], (ast.In, ast.NotIn))
            holder = compile(COUNTED % ("_assay_left" if shown else ""), "test", "exec", ast.PyCF_ONLY_AST).body[0]
            if shown:
                target = ast.copy_location(ast.Name("_assay_left", ast.Store()), node)
                node.test.left = ast.copy_location(ast.NamedExpr(target, node.test.left), node)
            holder.body = [node]
            holder.handlers[0].body[0].value.args[0].value = node.lineno
            body[i] = holder
            count += 1
            continue
        for field in ("body", "orelse", "finalbody"):
            part = getattr(node, field, None)
            if type(part) is list:
                count += count_asserts(part, guarded or field == "body" and bool(getattr(node, "handlers", None)))
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            count += count_asserts(part.body, guarded)
    return count


def names_of(code, into):
    into.update(code.co_names)
    for part in code.co_consts:
        if hasattr(part, "co_names"):
            names_of(part, into)
    return into


def prompt_names(prompt):
    """Helpers that the problem's own text defines: the test uses these, whatever the program made of the names."""
    names = {"__name__": "prompt"}
    try:
        exec(compile(prompt, "prompt.py", "exec", dont_inherit=True), names)
    except Exception:
        return {}
    names.pop("__builtins__")
    names.pop("__name__")
    return names


def run_test(x, spec, static):
    """Runs the test; returns when it reached its end."""
    import ast, builtins
    module = type(sys)("__main__")
    names = module.__dict__
    entry = spec.get("entry_point")
    tree = compile(spec["test"], "test.py", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    static[0] = count_asserts(tree.body, False)
    code = compile(tree, "test.py", "exec", dont_inherit=True)
    names.update(prompt_names(spec.get("prompt") or ""))
    wanted = [n for n in names_of(code, set()) if not (hasattr(builtins, n) or n in names or n.startswith("_assay_"))]
    x.wait()
    x.loaded = True
    names.pop(entry, None)
    found = x.names(sorted({*wanted, entry} if entry else wanted))
    if entry and entry not in found:
        raise NameError("the program does not define " + entry)
    names.update(found)
    names.update(_assay_exception=Exception, _assay_pass=x.pass_one, _assay_fail=x.fail_one)
    sys.modules["__main__"] = module
    candidate = names.get(entry)
    exec(code, names)
    if entry and callable(names.get("check")) and not isinstance(names["check"], Remote):
        names["check"](candidate)
    elif not x.passed + x.failed:
        for name in [n for n in names if n.startswith("test") and type(names[n]) is type(clip)]:
            names[name]()
    if not x.calls and not found and all(n in names for n in wanted):
        raise Unfit("the test uses nothing of the program")


def be_examiner(job, spec, source, sink):
    source, sink = os.dup(source), os.dup(sink)
    os.dup2(OUT, 3)
    os.dup2(source, 4)
    os.dup2(sink, 5)
    os.closerange(6, FILES)
    settle()
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # the program's signals may end it, never make it skip something
    limit(job)
    x, static, ended, error, fault, gone, wrong = Examiner(Channel(4, 5)), [0], False, None, None, False, False
    try:
        spec = x.channel.loads(spec)
        run_test(x, spec, static)
        ended = True
    except Gone:
        gone = True
    except Unfit as e:
        fault = str(e)
    except SyntaxError as e:
        own = e.filename == "test.py"
        fault = "the test is not Python: line %s: %s" % (e.lineno, e.msg) if own else None
        wrong = own
        error = None if own else describe(e)
    except SystemExit as e:
        ended = not e.code
        error = None if ended else "the test ended with status %s" % clip(str(e.code))
    except BaseException as e:
        error = describe(e)
    lines = spec["test"].splitlines() if type(spec) is dict else []
    first = x.first and {"case": x.first[0], "line": clip(lines[x.first[1] - 1]) if x.first[1] <= len(lines) else "",
                         "why": x.first[2]}
    verdict = {"passed": x.passed, "failed": x.failed, "static": static[0], "ended": ended, "gone": gone,
               "loaded": x.loaded, "error": error, "fault": fault, "wrong": wrong, "first": first}
    write_all(3, x.channel.dumps(verdict).encode())
    os._exit(GONE if gone else 0)


# ---- scripts and commands ---------------------------------------------------------------------------------------------

def feed(data):
    """A pipe that gives these bytes and then ends, by a process of its own where they do not fit in at once."""
    source, sink = os.pipe()
    if len(data) <= 4096 or os.fork() == 0:
        os.set_blocking(sink, True)
        if len(data) > 4096:
            os.close(source)
            os.closerange(CONTROL, sink)
            try:
                write_all(sink, data)
            finally:
                os._exit(0)
        write_all(sink, data)
    os.close(sink)
    return source


def stand(job, data):
    """Standard input and outputs of a child; everything else is closed."""
    os.dup2(feed(data), 0)
    os.dup2(OUT, 1)
    os.dup2(ERR, 2)
    os.closerange(3, FILES)
    os.chdir("/tmp")
    settle()
    limit(job)


def be_script(job, text, data):
    """Returns what is to be run once the frames of this file are gone."""
    stand(job, data)
    module = type(sys)("__main__")
    module.__dict__["__file__"] = "/tmp/program.py"
    sys.modules["__main__"] = module
    try:
        return compile(text, "program.py", "exec", dont_inherit=True), module.__dict__
    except BaseException as e:
        sys.stderr.write(describe(e) + "\n")
        sys.exit(1)


def be_command(job, text, data):
    stand(job, data)
    for number in (_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    os.execve("/bin/sh", ["sh", "-c", text], dict(os.environ))


def be_writer(job, text, name):
    limit(job)
    fd = os.open(os.path.join("/tmp", os.path.basename(name.decode())), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
    write_all(fd, text)
    os._exit(0)

#!/usr/bin/env python3
"""Random templates, rendered by jinja2 in transformers' environment and by `assay render`: every difference is printed.

    python template_fuzz.py ASSAY [--count 2000] [--seed 1] [--keep FILE]

A template is a few statements and expressions over the variables V, typed loosely, so that most of them render and the
rest fail in one way only. Where jinja2 fails assay must fail; texts of failures are not compared. --file takes the
templates from a file, parted by lines of four dashes. --keep appends the cases as JSON Lines {template, expected |
error}: tests/golden/template.jsonl holds those of tests/golden/template_constructs.txt and 400 random ones.

Needs transformers and jinja2 (versions: see the first line of the kept file)."""
import argparse, concurrent.futures, json, os, random, subprocess, sys, tempfile

V = {"s": "Hello World", "pad": "  x y  ", "u": "caf\u00e9 \u6f22\u5b57 \U0001f642", "n": 7, "f": 2.5, "t": True, "no": False, "none": None, "l": [3, 1, 2],
     "e": [], "empty": "", "names": ["b", "A", "c", "a"], "d": {"b": 2, "a": 1, "c": {"x": [1, {"y": "z"}]}}, "nest": [[1, 2], [3], []],
     "users": [{"name": "ann", "age": 30, "on": True}, {"name": "bob", "age": 25, "on": False}, {"name": "cy", "age": 30}],
     "html": "<a href=\"x\">'&'</a>", "nl": "a\nb\n\nc\n", "neg": -3, "big": 1234567890123456789, "fl": [1.5, -0.5, 1e16, 1e-7], "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
     "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "tool_calls": [{"name": "f", "arguments": {"x": 1, "y": [1, "\u00e9"]}}]}, {"role": "user", "content": "more"}],
     "add_generation_prompt": True, "csv": "a,b,,c", "word": "banana", "title": "the quick-brown fox's", "digits": "0123", "path": "a/b/c.txt"}

def reference():
    from transformers.utils import chat_template_utils as c
    import jinja2
    compile_ = getattr(c, "_compile_jinja_template", None) or c._cached_compile_jinja_template
    def render(source):
        try:
            return {"expected": compile_(source).render(**V)}
        except RecursionError:
            return {"error": "recursion"}
        except Exception as e:
            return {"error": f"{type(e).__name__}: {e}"[:200]}
    return render

class Gen:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = []   # (name, type) that statements have set
        self.macros = []
        self.in_loop = 0
        self.depth = 0
    def pick(self, *a): return self.r.choice(a)
    def p(self, x): return self.r.random() < x
    def some(self, kind, default):
        own = [n for n, k in self.names if k == kind]
        return self.r.choice(own) if own and self.p(.3) else self.r.choice(default)
    # ---- expressions ----
    def lit_str(self):
        return self.pick("'a'", "'x y'", '"it\'s"', "''", "'\\n'", "'a,b;c'", "' pad '", "'\\u00e9'", "'%s'", "'Ab'", "'<b>'", "'1'", "'  '", "'aXbXc'", '"q\\"t"', "'1.5'", "'tab\\tx'")
    def string(self, d=3):
        if d <= 0 or self.p(.25):
            return self.some("str", ["s", "pad", "u", "html", "nl", "empty", "csv", "word", "title", "digits", "path", "messages[0].content", "users[0].name", "messages[-1]['role']"]) if self.p(.7) else self.lit_str()
        s = self.string(d - 1)
        w = lambda: s if s[0].isalpha() and all(c.isalnum() or c in "._[]'-" for c in s) else f"({s})"
        o = self.r.randrange(26)
        if o == 0: return f"{w()} ~ {self.any(d-1)}"
        if o == 1: return f"{w()} + {self.string(d-1)}"
        if o == 2: return f"{w()}|{self.pick('upper','lower','title','capitalize','trim','e','escape','string','reverse','striptags','urlencode','first','last')}"
        if o == 3: return f"{w()}.{self.pick('upper','lower','title','capitalize','strip','lstrip','rstrip','swapcase')}()"
        if o == 4: return f"{w()}.{self.pick('strip','lstrip','rstrip')}({self.lit_str()})"
        if o == 5: return f"{w()}.replace({self.lit_str()}, {self.lit_str()}{self.pick('', ', 1', ', 2')})"
        if o == 6: return f"{w()}|replace({self.lit_str()}, {self.lit_str()}{self.pick('', ', 1')})"
        if o == 7: return f"{w()}[{self.slice()}]"
        if o == 8: return f"{self.list(d-1)}|join({self.pick('', self.lit_str())})"
        if o == 9: return f"{self.lit_str()}.join({self.strlist(d-1)})"
        if o == 10: return f"{w()} * {self.pick('0','1','2','3','-1')}"
        if o == 11: return f"({w()} if {self.bool(d-1)} else {self.string(d-1)})"
        if o == 12: return f"{w()}|default({self.lit_str()}{self.pick('', ', true')})"
        if o == 13: return f"{self.any(d-1)}|tojson{self.pick('', '(indent=2)', '(indent=4)', '(ensure_ascii=true)', '(sort_keys=true)')}"
        if o == 14: return f"{w()}|indent{self.pick('', '(2)', '(2, true)', '(width=1, first=true, blank=true)', '(blank=true)')}"
        if o == 15: return f"{w()}|{self.pick('center(14)', 'truncate(5)', 'truncate(8, true)', 'truncate(6, true, '+repr('~')+')', 'trim('+self.lit_str()+')')}"
        if o == 16: return f"{self.any(d-1)}|string"
        if o == 17: return f"'%s-%s'|format({self.any(d-1)}, {self.any(d-1)})"
        if o == 18: return f"'{self.pick('%d','%5d','%05.1f','%x','%+d','%e','%g','%-4d|','%%%d','%.3s','%r','%o','%c')}'|format({self.pick(self.int(d-1), self.num(d-1), w())})"
        if o == 19: return f"{w()}.split({self.pick('', self.lit_str(), self.lit_str() + ', 1', 'none', 'none, 1', 'maxsplit=1')}){self.pick('[0]','[-1]','|first','|last')}"
        if o == 20: return f"{w()}.{self.pick('zfill(8)', 'center(12)', 'ljust(14)', 'rjust(14)', 'removeprefix('+self.lit_str()+')', 'removesuffix('+self.lit_str()+')', 'expandtabs()', 'casefold()')}"
        if o == 21: return f"{w()}.{self.pick('partition','rpartition')}({self.lit_str()}){self.pick('[0]','[1]','[2]','')}"
        if o == 22: return f"'{self.pick('{}','{:>5}','{0}-{0}','{!r}','{:.2f}','{:d}','{:,}','{x}')}'.format({self.any(d-1)}{self.pick('', ', x=' + self.any(d-1))})"
        if o == 23: return f"{w()}|{self.pick('list', 'length', 'wordcount', 'int', 'float', 'count')}"
        if o == 24: return f"{w()}|map('{self.pick('upper','lower','string','capitalize','int')}')|join"
        return f"{self.dict(d-1)}|{self.pick('string','tojson','items|list|string','dictsort|string','list|string','length')}"
    def slice(self):
        x = lambda: self.pick('', '', '0', '1', '2', '-1', '-2', '5', '-9', '99')
        return self.pick('0', '-1', '1', f"{x()}:{x()}", f"{x()}:{x()}", f"{x()}:{x()}:{self.pick('1','2','-1','-2','')}")
    def int(self, d=2):
        if d <= 0 or self.p(.3): return self.some("int", ["n", "neg", "0", "1", "2", "5", "-4", "users[0].age", "l[0]", "d.a", "10"])
        a, b = self.int(d-1), self.int(d-1)
        o = self.r.randrange(14)
        if o < 5: return f"({a} {self.pick('+','-','*','//','%','+')} {b})"
        if o == 5: return f"{self.list(d-1)}|{self.pick('length','count')}"
        if o == 6: return f"{self.string(d-1)}|length"
        if o == 7: return f"({self.any(d-1)})|int{self.pick('', '(5)')}"
        if o == 8: return f"-{a}"
        if o == 9: return f"({a})|abs"
        if o == 10: return f"{self.pick('l','range(5)','[4,1]','e','users|map(attribute='+repr('age')+')|list')}|{self.pick('sum','min','max','first','last','sum(start=3)')}"
        if o == 11: return f"({self.string(d-1)}).{self.pick('find','count','index','rfind')}({self.lit_str()})"
        if o == 12: return f"{self.pick('l','names','users')}.{self.pick('index','count')}({self.any(0)})"
        return f"({a} ** {self.pick('2','3','0')})"
    def num(self, d=2):
        if d <= 0 or self.p(.25): return self.pick("f", "1.5", "-0.5", "1e3", "2.0", "fl[0]", "0.1", "n")
        o = self.r.randrange(8)
        a, b = self.num(d-1), self.num(d-1)
        if o < 3: return f"({a} {self.pick('+','-','*','/','//','%')} {b})"
        if o == 3: return f"({a})|round{self.pick('', '(1)', '(2)', '(0, '+repr('floor')+')', '(1, '+repr('ceil')+')', '(-1)')}"
        if o == 4: return f"({self.any(d-1)})|float{self.pick('', '(1.0)')}"
        if o == 5: return f"({a})|{self.pick('abs','int','string','round|int')}"
        if o == 6: return f"{self.int(d-1)} / {self.pick('2','4','3','n')}"
        return self.int(d)
    def strlist(self, d=2):
        return self.pick("names", f"({self.string(d)}).split({self.pick('', self.lit_str())})", f"({self.string(d)}).splitlines()", f"[{self.string(d-1)}, {self.lit_str()}]", "csv.split(',')", f"({self.string(d-1)})|list", "users|map(attribute='name')", "names|sort")
    def list(self, d=2):
        if d <= 0 or self.p(.25): return self.some("list", ["l", "names", "users", "e", "nest", "messages", "fl", "mixed", "[1, 2, 3, 4, 5]", "range(4)", "['x', 'y']", "(1, 2)", "[]"])
        a = self.list(d-1)
        w = a if all(c.isalnum() for c in a) else f"({a})"
        o = self.r.randrange(24)
        if o == 0: return f"{w}|sort{self.pick('', '(reverse=true)', '(attribute='+repr('age')+')', '(attribute='+repr('age,name')+')', '(case_sensitive=true)', '(true)')}"
        if o == 1: return f"{w}|reverse|list"
        if o == 2: return f"{w}|unique{self.pick('', '(case_sensitive=true)', '(attribute='+repr('age')+')')}|list"
        if o == 3: return f"{w}|map({self.pick(repr('string'), repr('upper'), 'attribute='+repr('name'), 'attribute='+repr('age')+', default=0', repr('first'), repr('length'), repr('default')+', 3', repr('tojson'), repr('int'), 'attribute=0', repr('replace')+', '+repr('a')+', '+repr('b'))})|list"
        if o == 4: return f"{w}|{self.pick('select','reject')}({self.pick('', repr('odd'), repr('string'), repr('number'), repr('defined'), repr('gt')+', 1', repr('in')+', [1, 2]', repr('equalto')+', '+repr('a'), repr('mapping'), repr('none'), repr('iterable'), repr('divisibleby')+', 2')})|list"
        if o == 5: return f"users|{self.pick('selectattr','rejectattr')}({self.pick(repr('on'), repr('on')+', '+repr('defined'), repr('age')+', '+repr('gt')+', 26', repr('name')+', '+repr('eq')+', '+repr('bob'), repr('age')+', '+repr('in')+', [25]', repr('missing'), repr('name')+', '+repr('ne')+', '+repr('x'))})|list"
        if o == 6: return f"{w}|batch({self.pick('2','3','2, 0','1')})|list"
        if o == 7: return f"{w}|slice({self.pick('2','3','2, 0','1')})|list"
        if o == 8: return f"{w}[{self.slice()}]"
        if o == 9: return f"{w} + {self.list(d-1)}"
        if o == 10: return f"[{self.any(d-1)}, {self.any(d-1)}]"
        if o == 11: return f"{self.dict(d-1)}.{self.pick('keys','values','items')}(){self.pick('', '|list')}"
        if o == 12: return f"{self.dict(d-1)}|{self.pick('dictsort', 'dictsort(by='+repr('value')+')', 'dictsort(reverse=true)', 'dictsort(true)', 'items|list', 'list')}"
        if o == 13: return f"users|groupby({self.pick(repr('age'), repr('on'), repr('on')+', default=false', 'attribute='+repr('name'))})"
        if o == 14: return self.strlist(d-1)
        if o == 15: return f"{w}|list"
        if o == 16: return f"[{self.int(d-1)}] * {self.pick('0','2','3')}"
        if o == 17: return f"({self.any(d-1)},)"
        if o == 18: return f"range({self.int(0)}, {self.int(0)}{self.pick('', ', 2', ', -1')})|list"
        if o == 19: return f"{w} if {self.bool(d-1)} else []"
        if o == 20: return f"{w}|selectattr('{self.pick('role','name','content')}', '{self.pick('equalto','eq','==','!=','in')}', {self.lit_str()})|list"
        if o == 21: return f"nest|{self.pick('sum(start=[])', 'map('+repr('sum')+')|list', 'map('+repr('length')+')|list', 'sort|list', 'max', 'first', 'last')}"
        if o == 22: return f"namespace(a={self.any(0)}).a"
        return f"{w}|{self.pick('first','last','min','max','string|list','tojson','join')}"
    def dict(self, d=2):
        if d <= 0 or self.p(.4): return self.some("dict", ["d", "users[0]", "messages[2]", "d.c", "{}", "messages[2].tool_calls[0].arguments"])
        return self.pick(f"{{'k': {self.any(d-1)}, 'j': {self.any(d-1)}}}", f"{{{self.string(0)}: {self.any(d-1)}}}", f"dict(a={self.any(d-1)}, b=2)", f"{{1: {self.any(d-1)}, none: 'n'}}", "dict(d, z=1)", "dict([('a', 1)])")
    def bool(self, d=2):
        if d <= 0: return self.pick("t", "no", "true", "false", "n", "e", "s", "none", "missing")
        o = self.r.randrange(16)
        if o == 0: return f"{self.any(d-1)} {self.pick('==','!=')} {self.any(d-1)}"
        if o == 1: return f"{self.num(d-1)} {self.pick('<','>','<=','>=','==')} {self.num(d-1)}"
        if o == 2: return f"{self.string(d-1)} {self.pick('<','>','in','not in','==','!=')} {self.string(d-1)}"
        if o == 3: return f"{self.any(d-1)} {self.pick('in','not in')} {self.list(d-1)}"
        if o == 4: return f"({self.bool(d-1)}) {self.pick('and','or')} ({self.bool(d-1)})"
        if o == 5: return f"not {self.bool(d-1)}"
        if o == 6:
            x = self.any(0)
            return f"({x} if {self.bool(d-1)}) is {self.pick('','not ')}{self.pick('defined','undefined','none','string','number','mapping','iterable','sequence','boolean','integer','float','true','false','callable')}"
        if o == 7: return f"{self.any(0)} is {self.pick('','not ')}{self.pick('string','number','mapping','iterable','sequence','boolean','integer','float','none','true','false','defined','callable','upper','lower')}"
        if o == 8: return f"{self.int(d-1)} is {self.pick('odd','even','divisibleby 2','divisibleby(3)','eq 7','gt 2','lt(3)','ge 1','le 1','ne 3','sameas 7','in [1, 7]')}"
        if o == 9: return f"({self.string(d-1)}).{self.pick('startswith','endswith')}({self.pick(self.lit_str(), '('+self.lit_str()+', '+self.lit_str()+')')})"
        if o == 10: return f"({self.string(d-1)}).{self.pick('isdigit','isalpha','isupper','islower','isspace','isalnum','istitle','isnumeric','isdecimal','isidentifier','isascii')}()"
        if o == 11: return f"{self.int(d-1)} {self.pick('<','<=')} {self.int(d-1)} {self.pick('<','<=','!=','>')} {self.int(d-1)}"
        if o == 12: return f"missing.x is defined" if self.p(.1) else f"{self.dict(0)}.{self.pick('a','name','zz')} is {self.pick('','not ')}defined"
        if o == 13: return f"'{self.pick('a','name','role')}' {self.pick('in','not in')} {self.dict(d-1)}"
        if o == 14: return f"{self.list(d-1)}|{self.pick('length > 2','first is defined','sum > 3','length')}"
        return self.pick("true", "false", "t", "loop.first" if self.in_loop else "t")
    def any(self, d=2):
        o = self.r.randrange(12)
        if o < 3: return self.string(d)
        if o < 5: return self.int(d)
        if o == 5: return self.num(d)
        if o == 6: return self.list(d)
        if o == 7: return self.dict(d)
        if o == 8: return self.bool(d)
        if o == 9: return self.pick("none", "missing", "d.zz", "d['c'].x[1].y", "l[9]", "s[0]", "messages[0]", "big", "mixed", "u")
        if o == 10 and self.in_loop: return self.pick("loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex", "loop.revindex0", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(item)", "loop.depth", "loop.depth0", "item")
        return self.some("any", ["n", "s", "l", "d"])
    # ---- statements ----
    def tag(self, body):
        a = "{%" + self.pick("", "", "", "-", "+", "-")
        b = self.pick("", "", "", "-", "-", "+") + "%}"
        return f"{a} {body} {b}"
    def out(self, body):
        return "{{" + self.pick("", "", "-") + f" {body} " + self.pick("", "", "-") + "}}"
    def text(self):
        return self.pick("x", " ", "\n", "\n  ", "text\n", " a b ", "", "\n\n", "\t", "{", "}", "#", "%", "| ", "é", "  \n  ", "'", "<|im_start|>")
    def block(self, n, d):
        return "".join(self.statement(d) for _ in range(n))
    def statement(self, d):
        o = self.r.randrange(24)
        if d <= 0 or o < 5: return self.text() + self.out(self.any(3)) + self.text()
        if o == 5: return self.text() + self.out(self.string(3))
        if o < 8:
            s = self.tag(f"if {self.bool()}") + self.block(1, d-1)
            if self.p(.3): s += self.tag(f"elif {self.bool()}") + self.block(1, d-1)
            if self.p(.5): s += self.tag("else") + self.block(1, d-1)
            return s + self.tag("endif")
        if o < 12:
            keep = list(self.names)
            it = self.list()
            if self.p(.2): head, it = "k, v", self.pick("d.items()", "users[0].items()", "d|dictsort", "users[0]|items", "[(1, 2), (3, 4)]", "[[1, 2]]")
            else: head = "item"
            cond = f" if {self.pick('item', 'item is string', 'item is not none', 'item is mapping', 'loop is defined')}" if head == "item" and self.p(.2) else ""
            self.in_loop += 1
            self.names.append(("item" if head == "item" else "v", "any"))
            body = self.block(self.pick(1, 1, 2), d-1)
            if self.p(.2): body += self.tag(f"if {self.bool()}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.text()
            self.in_loop -= 1
            self.names = keep
            other = self.tag("else") + self.block(1, d-1) if self.p(.2) else ""
            return self.tag(f"for {head} in {it}{cond}") + body + other + self.tag("endfor")
        if o < 15:
            name, kind = f"v{self.r.randrange(4)}", self.pick("str", "int", "list", "dict", "any")
            value = {"str": self.string, "int": self.int, "list": self.list, "dict": self.dict, "any": self.any}[kind]()
            s = self.tag(f"set {name} = {value}")
            self.names.append((name, kind))
            return s
        if o == 15:
            name = f"v{self.r.randrange(4)}"
            s = self.tag(f"set {name}{self.pick('', ' | upper', ' | trim', ' | trim | length')}") + self.block(1, d-1) + self.tag("endset")
            self.names.append((name, "str"))
            return s
        if o == 16:
            return self.tag(f"filter {self.pick('upper','trim','indent(2)','replace('+repr('a')+', '+repr('b')+')','lower|trim','length')}") + self.block(1, d-1) + self.tag("endfilter")
        if o == 17:
            return self.tag(f"with {self.pick('w = ' + self.any(1), 'w = 1, w2 = ' + self.any(1), 'w = n')}") + self.out("w") + self.block(1, d-1) + self.tag("endwith")
        if o == 18:
            name = f"m{self.r.randrange(3)}"
            keep, self.names, loops, self.in_loop = list(self.names), [("a", "any"), ("b", "any")], self.in_loop, 0
            extra = self.pick("", self.out("varargs"), self.out("kwargs"), self.out("caller() if caller else 'none'"), self.out("caller()"))
            s = self.tag(f"macro {name}(a, b={self.any(0)})") + self.block(1, d-1) + extra + self.tag("endmacro")
            self.names, self.in_loop = keep, loops
            self.macros.append(name)
            return s
        if o == 19 and self.macros:
            return self.out(f"{self.r.choice(self.macros)}({self.pick('', '1', '1, 2', 'b=3', 'a=1, b=2', '1, 2, 3', 'z=1', '*l', '**dict(a=1)', self.any(1))})")
        if o == 20 and self.macros:
            return self.tag(f"call{self.pick('', '(x)', '(x=1)')} {self.r.choice(self.macros)}({self.pick('1', '1, 2')})") + self.block(1, d-1) + self.tag("endcall")
        if o == 21:
            return self.tag("set ns = namespace(c=0, s='')") + self.tag(f"for item in {self.list()}") + self.tag(f"set ns.c = ns.c + {self.pick('1', 'loop.index')}") + self.tag("endfor") + self.out("ns.c")
        if o == 22:
            return self.pick("{# note #}", "{#- note -#}", " {# a\nb #} ", "{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {% x %} {%- endraw -%}", "\n{# x #}\n", self.tag("generation") + "g" + self.tag("endgeneration"))
        return self.tag("for item in nest recursive") + self.out("item if item is number else '<' ~ loop(item) ~ '>'") + self.out("loop.depth") + self.tag("endfor")

def program(seed):
    g = Gen(seed)
    return g.block(g.r.choice([1, 1, 2, 3]), g.r.choice([0, 1, 2, 3]))

def assay(binary, source, folder, number):
    path = os.path.join(folder, f"{number}.jinja")
    with open(path, "w", newline="") as f: f.write(source)
    line = json.dumps({"messages": V["messages"], "add_generation_prompt": True, "variables": {k: v for k, v in V.items() if k not in ("messages", "add_generation_prompt")}})
    try:
        p = subprocess.run([binary, "render", path, "--quiet", "--threads", "1"], input=line, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return {"error": "TIMEOUT"}
    os.remove(path)
    if p.returncode < 0: return {"crash": p.returncode}
    try: o = json.loads(p.stdout)
    except ValueError: return {"error": p.stderr.strip()[:200]}
    return {"expected": o["text"]} if "text" in o else {"error": o["error"]["message"]}

def main():
    a = argparse.ArgumentParser()
    a.add_argument("binary"); a.add_argument("--count", type=int, default=2000); a.add_argument("--seed", type=int, default=1)
    a.add_argument("--keep"); a.add_argument("--file"); a.add_argument("--show", type=int, default=40)
    o = a.parse_args()
    if o.file:
        # cases of several lines are parted by a line of ----
        sources = [s.strip("\n") for s in open(o.file, encoding="utf-8").read().split("\n----\n")]
    else:
        sources = [program(o.seed * 1000003 + i) for i in range(o.count)]
    render, folder = reference(), tempfile.mkdtemp()
    wants = [render(s) for s in sources]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        gots = list(pool.map(lambda i: assay(o.binary, sources[i], folder, i), range(len(sources))))
    bad = fails = 0
    for i, (s, w, g) in enumerate(zip(sources, wants, gots)):
        fails += "error" in w
        # Python's addresses and set order are nobody's business
        if "expected" in w and (" object at 0x" in w["expected"] or " at 0x" in w["expected"]): continue
        same = w.get("expected") == g.get("expected") and ("error" in w) == ("error" in g) and "crash" not in g
        if same: continue
        bad += 1
        if bad <= o.show:
            print(f"---- {i}\n{s}\nwant {json.dumps(w, ensure_ascii=False)}\ngot  {json.dumps(g, ensure_ascii=False)}")
    print(f"{len(sources)} templates, {fails} that fail in jinja2, {bad} differences")
    if o.keep:
        fresh = not os.path.exists(o.keep)
        with open(o.keep, "a", encoding="ascii") as f:
            if fresh:
                import jinja2, transformers
                f.write(json.dumps({"made_by": f"jinja2 {jinja2.__version__}, transformers {transformers.__version__}", "variables": V}) + "\n")
            for s, w in zip(sources, wants):
                if "expected" in w and " at 0x" in w["expected"]: continue
                f.write(json.dumps({"template": s, **w}) + "\n")
    sys.exit(bad > 0)
main()

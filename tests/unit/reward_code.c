/* `code`: what is found in a response, how tests and cases are judged, which problems are refused, and many threads. */
#include "code_case.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/file.h"
#include "reward/code_program.h"

static struct verifier_config *shared; /* NULL: no sandbox on this machine */
static struct arena *shared_arena;

static int make_arena(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int drop_arena(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int open_shared(void **state)
{
  static const char *const settings[] = {"seconds", "5", "memory", "512", NULL};
  if (make_arena(state)) return -1;
  shared = open_code(settings, 30);
  shared_arena = arena;
  return 0;
}

static int close_shared(void **state)
{
  (void)state;
  arena_destroy(shared_arena);
  return 0;
}

/* ---- the program in a response
 * ---------------------------------------------------------------------------------------- */

static void check_found(const char *response, bool python, const char *entry, const char *want, bool fenced)
{
  struct code_program p = code_program_find(response, strlen(response), python, entry);
  CHECK_STR(arena_strndup(arena, p.text ? p.text : "", p.size, "test", &err), want);
  if (p.size) CHECK_INT(p.fenced, fenced);
}

static void test_find(void **state)
{
  (void)state;
  check_found("    return 1\n", true, "f", "    return 1\n", false);
  check_found("See:\n```python\ndef f(): pass\n```\nDone.", true, NULL, "def f(): pass\n", true);
  check_found("```\na\n```\n```python\nb\n```\n```text\nc\n```", true, NULL, "b\n", true);
  check_found("```\na\n```\n```text\nc\n```", true, NULL, "c\n", true);
  check_found("```python\ndef f(): pass\n```\n```python\nprint(f())\n```", true, "f", "def f(): pass\n", true);
  check_found("```python\ndef f(): 1\n```\n```python\ndef f(): 2\n```", true, "f", "def f(): 2\n", true);
  check_found("```python\nx\n```\n```python\nprint(f())\n```", true, "f", "print(f())\n", true);
  check_found("```python\ndef f(): cut", true, "f", "def f(): cut", true);
  check_found("```c\nint main;\n```", false, NULL, "int main;\n", true);
  check_found("<think>\n```python\nwrong\n```\n</think>\ndef f(): 1", true, "f", "\ndef f(): 1", false);
  check_found("<think> never ends ```python\nx\n```", true, NULL, "", false);
  check_found(" \n\t", true, NULL, "", false);
  check_found("```python\n```", true, NULL, "", false);
}

static void test_defines(void **state)
{
  (void)state;
  static const char *const yes[] = {"def f():",  "x = 1\nasync def f():", "class f:", "f = lambda: 1", "f=1",
                                    "def  f ():"};
  static const char *const no[] = {"def ff():",  "  def f():", "f == 1",       "f(1)",
                                   "# def f():", "xdef f():",  "def\xc3\xa9 f"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) CHECK(code_defines(yes[i], strlen(yes[i]), "f"));
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) CHECK(!code_defines(no[i], strlen(no[i]), "f"));
}

static void check_put(const char *response, const char *prompt, const char *want)
{
  struct text t = {0};
  struct code_program p = code_program_find(response, strlen(response), true, "f");
  code_program_put(&t, &p, prompt, "f");
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK_STR(t.bytes, want);
  text_free(&t);
}

static void test_prompt(void **state)
{
  (void)state;
  check_put("  return 1", "def f():\n", "def f():\n  return 1\n");
  check_put("def f(): 1", "import math\ndef f():\n  'doc'", "import math\ndef f():\n  'doc'\ndef f(): 1\n");
  check_put("def f(): 1", "Write f, which is 1.", "def f(): 1\n");
  check_put("from __future__ import annotations\ndef f(): 1", "def f():\n",
            "from __future__ import annotations\ndef f(): 1\n");
  check_put("def f(): 1", NULL, "def f(): 1\n");
}

/* ---- verdicts
 * --------------------------------------------------------------------------------------------------------- */

struct expectation {
  const char *json, *response;
  int passed, cases;
  const char *reason; /* a part of it */
};

static void check_verdict(const struct verifier_config *c, const struct expectation *e)
{
  struct verdict v;
  char more[64];
  struct problem p = make_problem(e->json);
  CHECK_OK(judge_problem(c, &p, e->response, &v), &err);
  snprintf(more, sizeof more, "\"passed\": %d, \"cases\": %d", e->passed, e->cases);
  if (v.status != VERDICT_OK || !v.more || strcmp(v.more, more) != 0 || !strstr(v.reason, e->reason))
    fail_msg("%s\n  against %s\n  gives %s: %s\n  want %s: %s", e->response, e->json, v.more, v.reason, more,
             e->reason);
  bool right = e->passed == e->cases;
  CHECK(v.correct == right && v.reward == (right ? 1 : 0) && v.readable && v.channel_count == 1);
  CHECK_CLOSE(v.channels[0].value, (double)e->passed / e->cases, 1e-15, "one division");
}

static void check_all(const struct verifier_config *c, const struct expectation *list, size_t count)
{
  for (size_t i = 0; i < count; i++) check_verdict(c, &list[i]);
}

#define HUMAN(test) "{\"entry_point\": \"f\", \"test\": \"def check(candidate):\\n" test "\"}"
#define PLAIN(test) "{\"test\": \"" test "\"}"

static void test_asserts(void **state)
{
  (void)state;
  static const struct expectation list[] = {
      {HUMAN("    assert candidate(1) == 1\\n    assert candidate(2) == 4\\n"), "def f(x): return x * x", 2, 2,
       "all 2"},
      {HUMAN("    assert candidate(1) == 1\\n    assert candidate(2) == 4\\n"), "def f(x): return x", 1, 2,
       "case 2 of 2: assert candidate(2) == 4: gave 2"},
      {PLAIN("for i in range(5):\\n    assert f(i) == i"), "def f(x): return x if x < 3 else 0", 3, 5, "case 4 of 5"},
      {PLAIN("assert f(1) == 1\\nassert f(2) == 2"), "def f(x): return {1: 1}[x]", 1, 2, "raised KeyError: 2"},
      {PLAIN("assert f(1) == 1\\nassert f(2) == 2"), "def f(x: return 1", 0, 2, "does not load: SyntaxError"},
      {PLAIN("assert f(1) == 1\\nassert f(2) == 2"), "def g(x): return 1", 0, 2, "NameError: name 'f' is not defined"},
      {HUMAN("    assert candidate(1) == 1\\n"), "def g(x): return 1", 0, 1, "does not define f"},
      {PLAIN("x = f(1)\\nx.y\\nassert x == 1"), "def f(x): return 1", 0, 1, "the test stopped: AttributeError"},
      {PLAIN("if f(1) != 1: raise Exception"), "def f(x): return 1", 1, 1, "pass"},
      {PLAIN("if f(1) != 1: raise Exception('no')"), "def f(x): return 2", 0, 1, "the test stopped: Exception: no"},
      {PLAIN("assert f(1), 'one is odd'"), "def f(x): return False", 0, 1, ": one is odd"},
      {PLAIN("def test_a():\\n    assert f(1) == 1\\ndef test_b():\\n    assert f(2) == 2"), "def f(x): return x", 2, 2,
       "all 2"},
      {PLAIN("import unittest\\nclass T(unittest.TestCase):\\n    def test_a(self):\\n        self.assertEqual(f(1), "
             "1)\\n"
             "if __name__ == '__main__':\\n    unittest.main()"),
       "def f(x): return x", 1, 1, "pass"},
      {PLAIN("import unittest\\nclass T(unittest.TestCase):\\n    def test_a(self):\\n        self.assertEqual(f(1), "
             "1)\\n"
             "if __name__ == '__main__':\\n    unittest.main()"),
       "def f(x): return 0", 0, 1, "the test ended with status True"},
      /* An assert inside a try may be meant to fail. */
      {PLAIN("try:\\n    assert f(1) == 7\\nexcept AssertionError:\\n    assert f(1) == 1"), "def f(x): return 1", 1, 1,
       "one case passes"},
      {PLAIN("try:\\n    f(-1)\\n    assert False, 'no error'\\nexcept ValueError:\\n    pass"),
       "def f(x): raise ValueError(x)", 1, 1, "pass"},
      {PLAIN("try:\\n    f(-1)\\n    assert False, 'no error'\\nexcept ValueError:\\n    pass"), "def f(x): return 1",
       0, 1, "no error"},
  };
  if (!shared) skip();
  check_all(shared, list, sizeof list / sizeof *list);
}

/* Values cross between the processes as what they are. */
static void test_values(void **state)
{
  (void)state;
  static const char same[] = "def f(x): return x";
  static const char *const values[] = {"None",
                                       "True",
                                       "-1",
                                       "2**70",
                                       "-(7**5000)",
                                       "0.1",
                                       "float('inf')",
                                       "1e-320",
                                       "'a\\u00e9\\\\ud800\\\\n'",
                                       "b'\\\\x00\\\\xff'",
                                       "bytearray(b'x')",
                                       "[1, [2, [3]]]",
                                       "(1, (2,), ())",
                                       "{1, 2}",
                                       "frozenset({1})",
                                       "{1: 'a', (2, 3): [4]}",
                                       "3+4j",
                                       "range(2, 9, 3)",
                                       "int",
                                       "[]",
                                       "{}",
                                       "set()",
                                       "__import__('fractions').Fraction(22, 7)",
                                       "__import__('decimal').Decimal('1.10')"};
  if (!shared) skip();
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    struct expectation e = {
        arena_printf(arena, "test", &err, PLAIN("x = %s\\nassert f(x) == x and type(f(x)) is type(x)"), values[i]),
        same, 1, 1, "one case passes"};
    check_verdict(shared, &e);
  }
}

static void test_objects(void **state)
{
  (void)state;
  static const char stack[] =
      "class Empty(Exception): pass\nclass Stack:\n    def __init__(self, items=()): self.items = list(items)\n"
      "    def push(self, x): self.items.append(x)\n    def pop(self):\n        if not self.items: raise Empty('none "
      "left')\n"
      "        return self.items.pop()\n    def __len__(self): return len(self.items)\n    def __iter__(self): return "
      "iter(self.items)\n"
      "    def __eq__(self, o): return self.items == o.items\n    def __getitem__(self, i): return self.items[i]\n"
      "    def __add__(self, o): return Stack(self.items + o.items)\n    def __str__(self): return 'S%s' % "
      "self.items\n";
  static const struct expectation list[] = {
      {PLAIN("s = Stack()\\ns.push(3)\\ns.push([4])\\nassert len(s) == 2\\nassert list(s) == [3, [4]]\\nassert s.pop() "
             "== [4]\\n"
             "assert s[0] == 3 and 3 in s and 4 not in s\\nassert s == Stack([3])\\nassert s != Stack()\\nassert "
             "s\\nassert not Stack()\\n"
             "assert (s + s).items == [3, 3]\\nassert str(s) == 'S[3]'\\ns.items = [9]\\nassert s.pop() == 9\\n"
             "try:\\n    s.pop()\\n    assert False\\nexcept Empty as e:\\n    assert 'none left' in str(e)"),
       stack, 12, 12, "all 12"},
      {PLAIN("assert [x for x in f(4)] == [0, 1, 2, 3]\\nassert next(f(1)) == 0"), "def f(n):\n    yield from range(n)",
       2, 2, "all 2"},
      {PLAIN("assert f(lambda x: x + 1, [1, 2]) == [2, 3]"), "def f(g, xs): return [g(x) for x in xs]", 1, 1,
       "one case passes"},
      {PLAIN("assert f(2)(3) == 6"), "def f(a): return lambda b: a * b", 1, 1, "one case passes"},
      {PLAIN("x = [3, 1, 2]\\nassert f(x) is None\\nassert x == [1, 2, 3]"), "def f(x): x.sort()", 2, 2, "all 2"},
      {PLAIN("assert g(f(1)) == 'E'"), "class E(Exception): pass\ndef f(x): return E\ndef g(e): return e.__name__", 1,
       1, "one case passes"},
      {PLAIN("assert f(iter([1, 2])) == 1\\nassert f(x for x in [3]) == 3"), "def f(i): return next(i)", 2, 2, "all 2"},
      {PLAIN("assert f(a=1, b=2) == 3"), "def f(a, b): return a + b", 1, 1, "one case passes"},
      {"{\"test\": [\"assert f(1) == 1\", \"assert f(2) == 2\"]}", "def f(x): return x", 2, 2, "all 2"},
      {PLAIN("assert LIMIT == 10"), "LIMIT = 10", 1, 1, "one case passes"},
      {PLAIN("assert f(1) == (1, 2)"),
       "from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef f(x): return P(1, 2)", 1, 1,
       "one case passes"},
      /* Objects that agree with everything do not. */
      {PLAIN("assert abs(f(1) - 3) < 1e-6"),
       "class A:\n    def __sub__(self, o): return 0.0\n    def __abs__(self): return 0.0\ndef f(x): return A()", 0, 1,
       "raised TypeError"},
      {PLAIN("assert 3 in f(1)"),
       "class A:\n    def __contains__(self, o): return True\n    def __iter__(self): return iter(())\ndef f(x): "
       "return A()",
       0, 1, "is false"},
      {PLAIN("assert f(1) >= 3"), "class A:\n    def __ge__(self, o): return True\ndef f(x): return A()", 0, 1,
       "raised TypeError"},
      {PLAIN("assert max(f(1), f(2)) == 5"),
       "import sys\np = type(sys._getframe(1).f_locals['self'])\nold = p.answer\n"
       "def answer(self, what, args, names):\n    if what == 'names':\n        return {'f': self.put(f), 'max': "
       "self.put(lambda *a: 5)}\n"
       "    return old(self, what, args, names)\np.answer = answer\ndef f(x): return 1",
       0, 1, "gave 1"},
      /* Helpers that the problem defines are the problem's. */
      {"{\"entry_point\": \"root\", \"prompt\": \"def poly(x): return x * x - 4\\ndef root():\\n    'the root of "
       "poly'\\n\", "
       "\"test\": \"def check(candidate):\\n    assert abs(poly(candidate())) < 1e-6\"}",
       "def poly(x): return 0\ndef root(): return 17", 0, 1, "gave 285"},
  };
  if (!shared) skip();
  check_all(shared, list, sizeof list / sizeof *list);
}

static void test_cases(void **state)
{
  (void)state;
  static const char sums[] =
      "{\"cases\": [{\"stdin\": \"1 2\\n\", \"stdout\": \"3\\n\"}, {\"stdin\": \"4 5\\n\", \"stdout\": \"9\"}]}";
  static const struct expectation list[] = {
      {sums, "print(sum(map(int, input().split())))", 2, 2, "all 2"},
      {sums, "import sys\nfor l in sys.stdin: print(3, '  \\r')\nprint()\nprint()", 1, 2,
       "case 2 of 2: it wrote \"3   "},
      {sums, "print(open(0).read() and 9)", 1, 2, "case 1 of 2: it wrote \"9 \"; expected \"3 \""},
      {sums, "raise ValueError('no')", 0, 2, "case 1 of 2: it ended with status 1: ValueError: no"},
      {sums, "print(3", 0, 2, "SyntaxError"},
      {sums,
       "if __name__ == '__main__':\n    import threading\n    threading.Thread(target=lambda: print(sum(map(int, "
       "input().split())))).start()",
       2, 2, "all 2"},
      {"{\"cases\": [{\"stdout\": \"a\\n\\nb\\n\"}]}", "print('a \\n\\nb\\n\\n\\n')", 1, 1, "one case passes"},
      {"{\"cases\": [{\"stdout\": \"a\\n\\nb\\n\"}]}", "print('a\\nb')", 0, 1, "expected \"a  b \""},
      {"{\"cases\": [{\"stdout\": \"\"}]}", "x = 1", 1, 1, "one case passes"},
  };
  if (!shared) skip();
  check_all(shared, list, sizeof list / sizeof *list);
  /* More input than a pipe holds. */
  char *json = arena_push(arena, 1, 400100, "test", &err);
  size_t n = (size_t)snprintf(json, 100, "{\"cases\": [{\"stdout\": \"400000\", \"stdin\": \"");
  memset(json + n, 'x', 400000);
  memcpy(json + n + 400000, "\"}]}", 5);
  check_verdict(shared,
                &(struct expectation){json, "import sys\nprint(len(sys.stdin.read()))", 1, 1, "one case passes"});
}

static void test_commands(void **state)
{
  (void)state;
  static const struct expectation list[] = {
      {"{\"language\": {\"command\": \"sh {file}\"}, \"cases\": [{\"stdin\": \"5\\n\", \"stdout\": \"5\"}, {\"stdin\": "
       "\"6\", \"stdout\": \"7\"}]}",
       "```sh\ncat\n```", 1, 2, "case 2 of 2: it wrote \"6\""},
      {"{\"language\": {\"command\": \"/tmp/a\", \"build\": \"cp {file} /tmp/a && chmod 700 /tmp/a\", \"file\": "
       "\"a.sh\"}, \"cases\": [{\"stdout\": \"ok\"}]}",
       "#!/bin/sh\necho ok", 1, 1, "one case passes"},
      {"{\"language\": {\"command\": \"true\", \"build\": \"echo line 3 is wrong >&2; exit 1\"}, \"cases\": "
       "[{\"stdout\": \"ok\"}]}",
       "x", 0, 1, "it does not build: it ended with status 1: line 3 is wrong"},
      {"{\"language\": {\"command\": \"sh {file}\"}, \"cases\": [{\"stdout\": \"1\"}, {\"stdout\": \"1\"}]}",
       "test -e /tmp/x || { echo 1; echo > /tmp/x; while :; do echo too much; done; }; echo 1", 0, 2,
       "it wrote more than"},
  };
  if (!shared) skip();
  check_all(shared, list, sizeof list / sizeof *list);
  /* A command sees the processes of its sandbox; process 1 is closed to it, and cannot be ended. */
  check_verdict(shared,
                &(struct expectation){
                    "{\"language\": {\"command\": \"sh {file}\"}, \"cases\": [{\"stdout\": \"sh closed closed\"}]}",
                    "kill -9 1; kill -INT 1; p=$(cat /proc/self/stat 2>/dev/null | cut -c1-1 >/dev/null; cat "
                    "/proc/$$/comm)\n"
                    "m=closed; (echo x > /proc/1/mem) 2>/dev/null && m=open\n"
                    "e=closed; cat /proc/1/environ >/dev/null 2>&1 && e=open\necho $p $m $e",
                    1, 1, "one case passes"});
}

static void test_problems(void **state)
{
  (void)state;
  static const struct {
    const char *json, *part;
  } list[] = {
      {"{}", "found no test and no cases"},
      {"{\"test\": 1}", "which is no text"},
      {"{\"test\": [\"x\", 1]}", "line 2 is no text"},
      {"{\"test\": \"x\", \"cases\": []}", "both test and cases"},
      {"{\"cases\": []}", "found no test and no cases"},
      {"{\"cases\": [{\"stdin\": \"\"}]}", "case 1 is not"},
      {"{\"language\": \"rust\", \"cases\": [{\"stdout\": \"\"}]}", "no command for it"},
      {"{\"language\": {}, \"cases\": [{\"stdout\": \"\"}]}", "without a command"},
      {"{\"language\": {\"command\": \"x\"}, \"test\": \"x\"}", "a language that is not Python"},
      {"{\"language\": {\"command\": \"x\", \"file\": \"../x\"}, \"cases\": [{\"stdout\": \"\"}]}", "file name"},
      {PLAIN("assert f( == 1"), "the test is not Python: line 1"},
  };
  if (!shared) skip();
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    struct verdict v;
    struct problem p = make_problem(list[i].json);
    CHECK_ERROR(judge_problem(shared, &p, "def f(x): return 1", &v), &err, ERROR_INPUT, list[i].part);
    CHECK_INT(err.line, 3);
    error_clear(&err);
  }
  struct verdict v;
  struct problem p = make_problem(PLAIN("assert f(1) == 1"));
  CHECK_OK(judge_problem(shared, &p, " ", &v), &err);
  CHECK(!v.readable && !v.correct && v.status == VERDICT_OK);
  /* A test that asks for what two processes cannot give: the verifier's failure, whatever the response. */
  p = make_problem(PLAIN("class A: pass\\nassert f(A()) == 1"));
  CHECK_OK(judge_problem(shared, &p, "def f(x): return 1", &v), &err);
  CHECK(v.status == VERDICT_FAILED && strstr(v.reason, "object of type A"));
  p = make_problem(PLAIN("assert 1 == 1"));
  CHECK_OK(judge_problem(shared, &p, "def f(x): return 1", &v), &err);
  CHECK(v.status == VERDICT_FAILED && strstr(v.reason, "uses nothing of the program"));
}

static void test_fraction(void **state)
{
  (void)state;
  if (!shared) skip();
  struct verdict v;
  struct problem p = make_problem(
      "{\"fraction\": true, \"test\": \"assert f(1) == 1\\nassert f(2) == 2\\nassert f(3) == 3\\nassert f(4) == 4\"}");
  CHECK_OK(judge_problem(shared, &p, "def f(x): return min(x, 3)", &v), &err);
  CHECK(!v.correct && v.reward == 0.75);
}

/* Many jobs on many threads, each with the verdict that is its own. */
static void test_threads(void **state)
{
  (void)state;
  enum { JOBS = 48 };
  struct verify_queue *q;
  struct problem problems[JOBS];
  struct verdict verdicts[JOBS];
  if (!shared) skip();
  CHECK_OK(verify_queue_create(arena, &(struct verify_queue_options){.workers = 4}, &q, &err), &err);
  verify_queue_start(q, verdicts, JOBS);
  for (int i = 0; i < JOBS; i++) {
    problems[i] = make_problem(arena_printf(arena, "test", &err, PLAIN("assert f() == %d"), i));
    const char *response = arena_printf(arena, "test", &err, "def f(): return %d", i % 3 ? i : -1);
    verify_queue_submit(q, shared, &problems[i], response, strlen(response), (size_t)i);
  }
  CHECK_OK(verify_queue_wait(q, &err), &err);
  for (int i = 0; i < JOBS; i++) CHECK(verdicts[i].status == VERDICT_OK && verdicts[i].correct == (i % 3 != 0));
}

/* ---- machines that cannot, sandboxes that die
 * --------------------------------------------------------------------------- */

static int open_with_path(const char *path)
{
  struct verifier_config *c;
  char *before = arena_strdup(arena, getenv("PATH"), "test", &err);
  setenv("PATH", path, 1);
  int rc = verifier_open(arena, verifier_find("code", &err), NULL, 0, 0, &c, &err);
  setenv("PATH", before, 1);
  return rc;
}

static void write_script(const char *folder, const char *text)
{
  const char *path = arena_printf(arena, "test", &err, "%s/bwrap", folder);
  FILE *f = fopen(path, "w");
  CHECK(f && fputs(text, f) >= 0 && !fclose(f) && !chmod(path, 0755));
}

static void test_refused(void **state)
{
  (void)state;
  char folder[] = "/tmp/assay-code-XXXXXX";
  CHECK(mkdtemp(folder) && !chmod(folder, 0755));
  CHECK_ERROR(open_with_path(folder), &err, ERROR_RESOURCE, "apt-get install bubblewrap");
  error_clear(&err);
  if (check_emulated()) skip(); /* libseccomp asks the kernel which actions it has, and the emulator does not answer */
  write_script(folder, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n");
  CHECK_ERROR(open_with_path(folder), &err, ERROR_RESOURCE,
              "does not start here (bwrap: No permissions to create new namespace)");
  error_clear(&err);
  write_script(folder, "#!/bin/sh\nprintf stead >&3\nsleep 100\n");
  CHECK_ERROR(open_with_path(folder), &err, ERROR_RESOURCE, "does not start here");
  CHECK_OK(file_remove_tree(folder, NULL), NULL);
}

/* Kills every child of this process. */
static int kill_children(void)
{
  char path[64];
  int killed = 0;
  long pid;
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
  FILE *f = fopen(path, "r");
  CHECK(f != NULL);
  while (fscanf(f, "%ld", &pid) == 1) killed += kill((pid_t)pid, SIGKILL) == 0;
  fclose(f);
  return killed;
}

static void *kill_soon(void *unused)
{
  (void)unused;
  usleep(700000);
  kill_children();
  return NULL;
}

static void test_dies(void **state)
{
  (void)state;
  pthread_t killer;
  struct verdict v;
  struct problem p = make_problem(PLAIN("assert f() == 1"));
  if (!shared) skip();
  CHECK(kill_children() > 0);
  CHECK_OK(judge_problem(shared, &p, "def f(): return 1", &v), &err);
  CHECK(v.correct);
  /* In the middle of a job: it is run once more. */
  CHECK_INT(pthread_create(&killer, NULL, kill_soon, NULL), 0);
  CHECK_OK(judge_problem(shared, &p, "import time\ntime.sleep(2)\ndef f(): return 1", &v), &err);
  CHECK(v.status == VERDICT_OK && v.correct);
  pthread_join(killer, NULL);
}

#ifdef ASSAY_HOSTILE
/* Whatever allocation fails: an error in words, or the verdict; and the next verdict is right. */
static void test_faults(void **state)
{
  (void)state;
  struct verdict v;
  struct problem p = make_problem(PLAIN("assert f() == 1"));
  int failures = 0;
  if (!shared) skip();
  for (long n = 1; n < 1000; n++) {
    fault_set(FAULT_ALLOC, n);
    int rc = judge_problem(shared, &p, "def f(): return 1", &v);
    bool hit = fault_calls(FAULT_ALLOC) >= n;
    fault_set(FAULT_ALLOC, 0);
    if (rc) CHECK_INT(rc, ERROR_RESOURCE);
    if (!rc) CHECK(v.correct);
    failures += rc != 0;
    error_clear(&err);
    if (!hit) break;
  }
  CHECK(failures > 5);
  CHECK_OK(judge_problem(shared, &p, "def f(): return 1", &v), &err);
  CHECK(v.correct);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_arena, drop_arena)
  const struct CMUnitTest tests[] = {
      TEST(test_find),    TEST(test_defines), TEST(test_prompt),   TEST(test_asserts),  TEST(test_values),
      TEST(test_objects), TEST(test_cases),   TEST(test_commands), TEST(test_problems), TEST(test_fraction),
      TEST(test_threads), TEST(test_refused), TEST(test_dies),
#ifdef ASSAY_HOSTILE
      TEST(test_faults),
#endif
  };
  return cmocka_run_group_tests(tests, open_shared, close_shared);
}

/* links: text
 * Chat templates: what the language prints (the parity test has the breadth), where it stops, and what it says when
 * something is wrong. */
#include "check.h"
#include "core/file.h"
#include "text/template.h"

static struct arena *arena;
static json_t *variables;

static int setup(void **state)
{
  (void)state;
  struct error err = {0};
  static const char text[] =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"yo\"}],\"n\":7,"
      "\"s\":\"caf\\u00e9\",\"l\":[3,1,2],"
      "\"d\":{\"b\":2,\"a\":1.5},\"tools\":null}";
  arena = arena_create("test", 0, &err);
  return arena ? json_parse(arena, text, sizeof text - 1, "variables", 0, JSON_READ_PLAIN, &variables, &err) : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int render(const char *source, const char *now, struct text *out, bool *raised, struct error *err)
{
  struct template *t;
  int rc = template_parse(arena, source, strlen(source), "chat.jinja", &t, err);
  return rc ? rc : template_render(t, variables, now, out, raised, err);
}

static void check_render(const char *source, const char *want)
{
  struct error err = {0};
  struct text out = {0};
  bool raised = true;
  CHECK_OK(render(source, "2025-01-15T14:30:05", &out, &raised, &err), &err);
  CHECK_STR(out.size ? out.bytes : "", want);
  CHECK(!raised);
  text_free(&out);
}

static void check_fails(const char *source, int line, const char *part)
{
  struct error err = {0};
  struct text out = {0};
  bool raised = true;
  CHECK_ERROR(render(source, NULL, &out, &raised, &err), &err, ERROR_INPUT, part);
  CHECK_STR(err.file, "chat.jinja");
  CHECK_INT(err.line, line);
  CHECK_INT(out.size, 0);
  text_free(&out);
}

static void test_chatml(void **state)
{
  (void)state;
  check_render(
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m.content + '<|im_end|>' }}\n{% endfor %}"
      "{% if add_generation_prompt is not defined %}\n<|im_start|>assistant\n{% endif %}\n",
      "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n<|im_start|>assistant\n");
}

static void test_printing(void **state)
{
  (void)state;
  check_render("{{ [n, 1.0, none, true, s, d] }}", "[7, 1.0, None, True, 'caf\u00e9', {'b': 2, 'a': 1.5}]");
  check_render("{{ d | tojson }}{{ s | tojson }}", "{\"b\": 2, \"a\": 1.5}\"caf\u00e9\"");
  check_render("{{ 1e16 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 100000.0 }}", "1e+16 0.30000000000000004 1e-05 100000.0");
  check_render("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 100 }}", "-4 2 3.5 1267650600228229401496703205376");
  check_render(
      "{{ -7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ -4.0 % 2 }} {{ 4.0 % -2 }} {{ 0.0 // -2 }} {{ 1 // 0.1 }}",
      "-4.0 0.5 -0.5 0.0 -0.0 -0.0 9.0");
  check_render("{{ 25 | round(-1) }} {{ 35.0 | round(-1) }} {{ 2.5 | round }} {{ -0.5 | round }}", "20 40.0 2.0 -0.0");
  check_render("{{ s | length }} {{ s[3] }} {{ s[::-1] }} {{ l[1:] }}", "4 \u00e9 \u00e9fac [1, 2]");
  check_render("{{ strftime_now('%d %b %Y') }}", "15 Jan 2025");
}

/* Found by comparing random expressions with jinja2 3.1.6. */
static void test_corners(void **state)
{
  (void)state;
  check_render("{{ tools | map('upper') | list }}{{ 0 | select | list }}", "[][]");
  check_render("{{ range(9)[2:8:3] }} {{ 2.5 is odd }} {{ 3 is odd }} {{ l | truncate(5) }}",
               "range(2, 8, 3) False True [3, 1, 2]");
  check_render("{{ l | safe | length }}", "9");
  check_fails("{{ d[1:] }}", 1, "cannot be sliced");
  check_fails("{{ l | indent }}", 1, "needs a string");
  check_fails("{{ n | map('upper') | list }}", 1, "not iterable");
}

static void test_scopes(void **state)
{
  (void)state;
  check_render("{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "4 2 3 1");
  check_render("{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "7");
  check_render("{% macro f(a, b=2) %}{{ a }}{{ b }}{{ n }}{% endmacro %}{{ f(1) }} {{ f(b=5, a=4) }}", "127 457");
  check_render("{% for i in l if i > 1 %}{{ loop.index }}{{ i }}{{ loop.last }} {% else %}none{% endfor %}",
               "13False 22True ");
  check_render("{% for x in (l if n else [])[:2] %}{{ x }}{% endfor %}", "31");
}

static void test_white_space(void **state)
{
  (void)state;
  check_render("a\n  {% if n %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc");
  check_render("a {%- if n -%} b {%- endif %} c", "ab c");
  check_render("  {%+ if n %}x{% endif %}", "  x");
  check_render("{% raw %}{{ n }}{% endraw %}{# no #}!", "{{ n }}!");
}

static void test_errors(void **state)
{
  (void)state;
  check_fails("a\n{{ n", 2, "ends inside");
  check_fails("{% if n %}", 1, "endif");
  check_fails("\n\n{% odd %}", 3, "odd");
  check_fails("x\n{{ missing.y }}", 2, "'missing' is undefined");
  check_fails("{{ 'a' + 1 }}", 1, "concatenate");
  check_fails("{{ l.append(1) }}", 1, "undefined");
  check_fails("{{ s | nosuch }}", 1, "nosuch");
  check_fails("{{ n is nosuch }}", 1, "nosuch");
  check_fails("{% include 'x' %}", 1, "cannot load other files");
  check_fails("{{ strftime_now('%Y') }}", 1, "\"now\"");
  check_fails("{{ 2 ** 1000 }}", 1, "too large");
  check_fails("{% break %}", 1, "outside of a loop");
  check_fails("{{ '\xff' }}", 0, "UTF-8");
}

static void test_raised(void **state)
{
  (void)state;
  struct error err = {0};
  struct text out = {0};
  bool raised = false;
  CHECK_ERROR(render("text {{ raise_exception('no:\\n' ~ n) }}", NULL, &out, &raised, &err), &err, ERROR_INPUT,
              "no:?7");
  CHECK_STR(err.message, "no:?7");
  CHECK(raised);
  CHECK_OK(text_finish(&out, &err), NULL);
  CHECK_STR(out.bytes, "no:\n7"); /* what was raised, whole, and nothing of the rendering */
  text_free(&out);
}

/* Whatever a template does, it ends: too many steps, too much text, too deep. */
static void test_bounds(void **state)
{
  (void)state;
  check_fails("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", 1, "takes more than");
  check_fails("{% for a in range(9999) %}{% for b in range(999) %}{% set c = a + b %}{% endfor %}{% endfor %}", 1,
              "steps");
  check_fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", 1, "recursion");
  check_fails("{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", 1,
              "MiB");
  check_fails("{{ 'x' * 99999999999 }}", 1, "MiB");
  check_fails("{{ range(100001) }}", 1, "Range too big");
  check_fails("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", 1, "recursion");
  char deep[4096];
  memset(deep, '(', sizeof deep);
  memcpy(deep, "{{ ", 3);
  deep[sizeof deep - 1] = 0;
  check_fails(deep, 1, "nested deeper");
  struct text tower = {0};
  text_puts(&tower, "{{ ");
  for (int i = 0; i < 100000; i++) text_puts(&tower, "-not ");
  text_puts(&tower, "1 }}");
  struct error err = {0};
  struct template *t;
  CHECK(template_parse(arena, tower.bytes, tower.size, "chat.jinja", &t, &err) == ERROR_INPUT);
  text_free(&tower);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {TEST(test_chatml), TEST(test_printing),    TEST(test_corners),
                                     TEST(test_scopes), TEST(test_white_space), TEST(test_errors),
                                     TEST(test_raised), TEST(test_bounds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

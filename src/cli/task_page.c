#include "cli/task_page.h"
#include <string.h>

enum { WIDTH = 100, NAME_WIDTH = 24, KEY_WIDTH = 18, DEFAULT_WIDTH = 12, CANDIDATES = 16 };

static const char bold[] = "1", dim[] = "2", green[] = "32", cyan[] = "36";

/* s in a colour, filled up with blanks to `width`. */
static void put(struct text *t, bool colour, const char *style, const char *s, int width)
{
  int blanks = width - (int)strlen(s);
  if (colour) text_printf(t, "\x1b[%sm", style);
  text_puts(t, s);
  if (colour) text_puts(t, "\x1b[0m");
  text_printf(t, "%*s", blanks > 0 ? blanks : 0, "");
}

/* Words of s in lines of at most WIDTH columns, the next ones indented; `at`: the column where the first begins. */
static void put_wrapped(struct text *t, const char *s, int at, int indent)
{
  for (int column = at; *s;) {
    size_t n = strcspn(s, " ");
    if (column > indent && column + 1 + (int)n > WIDTH) {
      text_printf(t, "\n%*s", indent, "");
      column = indent;
    } else if (column > at) {
      text_puts(t, " ");
      column++;
    }
    text_add(t, s, n);
    column += (int)n;
    s += n + (s[n] == ' ');
  }
  text_puts(t, "\n");
}

static void put_string(struct text *t, const char *key, const char *value)
{
  text_printf(t, "\"%s\": ", key);
  json_put_string(t, value, strlen(value));
}

/* "1 to 9", "question or plain", "true or false", "text". */
static void put_values(struct text *t, const struct setting *o)
{
  if (o->choices) {
    for (const char *c = o->choices; *c; c++) text_puts(t, *c == ' ' ? " or " : (char[]){*c, '\0'});
  } else if (o->type == SETTING_INT || o->type == SETTING_REAL) {
    text_printf(t, "%.12g to %.12g", o->low, o->high);
  } else {
    text_puts(t, o->type == SETTING_BOOL ? "true or false" : "text");
  }
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

void task_put_list(struct text *t, bool colour)
{
  for (size_t i = 0; i < task_count(); i++) {
    put(t, colour, bold, task_at(i)->name, NAME_WIDTH);
    text_printf(t, "%s\n", task_at(i)->help);
  }
  text_puts(t, "\nassay tasks NAME shows a task with its keys and samples.\n");
}

void task_put_json(struct text *t, const struct task *task)
{
  text_puts(t, "{");
  put_string(t, "name", task->name);
  text_puts(t, ", ");
  put_string(t, "help", task->help);
  text_puts(t, ", ");
  put_string(t, "right", task->right);
  text_puts(t, ", \"keys\": [");
  for (size_t i = 0; i < task->option_count; i++) {
    const struct setting *o = &task->options[i];
    text_puts(t, i ? ", {" : "{");
    put_string(t, "key", o->name);
    if (o->fallback) text_puts(t, ", "), put_string(t, "default", o->fallback);
    text_puts(t, ", ");
    put_string(t, "help", o->help);
    text_puts(t, "}");
  }
  text_puts(t, "]}\n");
}

/* ---- one task on a terminal -------------------------------------------------------------------------------------- */

void task_put_page(struct text *t, const struct task *task, bool colour)
{
  put(t, colour, bold, task->name, 0);
  text_printf(t, "\n%s\n\n", task->help);
  put(t, colour, bold, "right", 8);
  put_wrapped(t, task->right, 8, 8);
  text_puts(t, "\n");
  put(t, colour, bold, "keys", 0);
  text_puts(t, "\n");
  for (size_t i = 0; i < task->option_count; i++) {
    const struct setting *o = &task->options[i];
    text_puts(t, "  ");
    put(t, colour, cyan, o->name, KEY_WIDTH);
    put(t, colour, green, o->fallback ? o->fallback : "-", DEFAULT_WIDTH);
    struct text line = {0};
    text_printf(&line, "%s (", o->help);
    put_values(&line, o);
    text_puts(&line, ")");
    put_wrapped(t, line.bytes ? line.bytes : "", KEY_WIDTH + DEFAULT_WIDTH + 2, KEY_WIDTH + DEFAULT_WIDTH + 2);
    text_free(&line);
  }
  text_puts(t, "\n");
}

/* The text with its lines indented. */
static void put_indented(struct text *t, bool colour, const char *style, const char *s)
{
  for (;;) {
    size_t n = strcspn(s, "\n");
    text_puts(t, n ? "    " : "");
    if (colour && *style) text_printf(t, "\x1b[%sm", style);
    text_add(t, s, n);
    if (colour && *style) text_puts(t, "\x1b[0m");
    text_puts(t, "\n");
    if (!s[n]) return;
    s += n + 1;
  }
}

static const char *question_of(const struct problem *p)
{
  const char *chat = json_string_value(json_object_get(json_array_get(p->messages, 0), "content"));
  return p->prompt ? p->prompt : chat ? chat : "";
}

void task_put_sample(struct text *t, const struct problem *p, int64_t number, bool colour)
{
  char title[32];
  snprintf(title, sizeof title, "sample %lld", (long long)number);
  put(t, colour, bold, title, 0);
  put(t, colour, dim, "  id ", 0);
  put(t, colour, dim, p->id, 0);
  text_puts(t, "\n");
  put_indented(t, false, "", question_of(p));
  put(t, colour, dim, "  answer", 0);
  text_puts(t, "\n");
  put_indented(t, colour, green, p->answer ? p->answer : "");
  text_puts(t, "\n");
}

/* ---- docs/tasks.md ----------------------------------------------------------------------------------------------- */

static void put_cell(struct text *t, const char *s)
{
  for (; *s; s++) text_printf(t, "%s%c", *s == '|' ? "\\" : "", *s);
}

static void put_keys_markdown(struct text *t, const struct task *task)
{
  text_puts(t, "| key | default | values | meaning |\n|---|---|---|---|\n");
  for (size_t i = 0; i < task->option_count; i++) {
    const struct setting *o = &task->options[i];
    text_printf(t, "| %s | %s | ", o->name, o->fallback ? o->fallback : "unset");
    put_values(t, o);
    text_puts(t, " | ");
    put_cell(t, o->help);
    text_puts(t, " |\n");
  }
}

static int put_task_markdown(struct arena *a, struct text *t, const struct task *task, struct error *err)
{
  struct task_config *c;
  struct task_problem best = {0}, p;
  size_t least = SIZE_MAX;
  TRY(task_open(a, task, NULL, 0, false, 1, &c, err));
  for (uint64_t i = 0; i < CANDIDATES; i++) {
    TRY(task->make(a, c, i, &p, err));
    size_t size = strlen(p.question) + strlen(p.answer);
    if (size < least) best = p, least = size;
  }
  text_printf(t, "\n## %s\n\n%s.\n\n", task->name, task->help);
  put_keys_markdown(t, task);
  text_printf(t, "\nRight: %s\n\n", task->right);
  text_printf(t, "```text\n%s\n```\n\nAnswer:\n\n```text\n%s\n```\n", best.question, best.answer);
  return 0;
}

int task_put_markdown(struct arena *a, struct text *t, struct error *err)
{
  text_puts(
      t,
      "# Tasks\n\n"
      "Made by `assay tasks --markdown`. Problems without end, each made from a seed, with a checker that accepts\n"
      "every correct answer. Equal keys and seed give equal problems; train and held-out problems never meet,\n"
      "whatever the seed, because the side is a hash of the problem itself.\n\n"
      "In a recipe: `data: [{task: maze, max_dist: 20}]`; for the held-out side `eval: {data: {task: maze}}`.\n"
      "As a file: `assay tasks maze --count 1000 --held-out --out FILE`. `assay verify task` judges `{task, meta,\n"
      "response}`, also with the `metadata` and `answer` of reasoning-gym's task of the same name.\n\n"
      "A right answer earns 1. Partial credit is named with each task, and is below 1 always; where none is named,\n"
      "everything else earns 0. Where the answer stands in a text: `<answer>...</answer>`, `\\boxed{...}`, behind\n"
      "`####` or \"answer is\", else the last line (numbers: the last number; grids and lists of moves: the whole\n"
      "text). What stands inside `<think>...</think>` does not count.\n\n");
  for (size_t i = 0; i < task_count(); i++)
    text_printf(t, "- [%s](#%s): %s\n", task_at(i)->name, task_at(i)->name, task_at(i)->help);
  for (size_t i = 0; i < task_count(); i++) TRY(put_task_markdown(a, t, task_at(i), err));
  return 0;
}

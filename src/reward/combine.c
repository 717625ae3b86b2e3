#include "reward/combine.h"
#include <string.h>
#include "core/math.h"
#include "core/settings.h"

enum op { CHANNEL, NUMBER, SUM, PRODUCT, MIN, MAX, GATE };
static const char *const words[] = {
    [SUM] = "sum", [PRODUCT] = "product", [MIN] = "min", [MAX] = "max", [GATE] = "gate"};
enum { DEEPEST = 32 };

struct combine {
  enum op op;
  const char *channel; /* CHANNEL, GATE */
  double number;       /* NUMBER: itself; CHANNEL: weight; GATE: least */
  size_t count;
  struct combine **parts;
  const char *file;
  int line;
};

static bool find_op(const char *word, enum op *out)
{
  for (enum op i = SUM; i <= GATE; i++) {
    if (strcmp(words[i], word) != 0) continue;
    *out = i;
    return true;
  }
  return false;
}

bool combine_is_reserved(const char *name)
{
  enum op unused;
  return find_op(name, &unused) || !strcmp(name, "combined");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int read(struct arena *a, const struct yaml_node *n, int depth, struct combine **out, struct error *err);

static int bad(const struct yaml_node *n, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, "reward.combine",
          "reward.combine: found \"%s\"; expected a list of channels, each with its weight if it is not 1, like "
          "[reward, {format: 0.1}], or {min: [...]}, {max: [...]}, {product: [...]}, {sum: [...]}, {gate: [CHANNEL, "
          "...]}",
          n->kind == YAML_SCALAR ? n->text
          : n->kind == YAML_LIST ? "a list"
                                 : "a map");
}

static int read_parts(struct arena *a, const struct yaml_node *list, size_t from, size_t count, int depth,
                      struct combine *c, struct error *err)
{
  c->parts = ARENA_NEW(a, struct combine *, count, "rewards", err);
  if (!c->parts) return err->code;
  c->count = count;
  for (size_t i = 0; i < count; i++) TRY(read(a, list->items[from + i], depth + 1, &c->parts[i], err));
  return 0;
}

static int read_operator(struct arena *a, const struct yaml_node *n, enum op op, int depth, struct combine *c,
                         struct error *err)
{
  c->op = op;
  if (n->kind != YAML_LIST || !n->count) return bad(n, err);
  if (op != GATE) return read_parts(a, n, 0, n->count, depth, c, err);
  c->number = 1;
  bool named = n->count >= 2 && n->count <= 3 && n->items[0]->kind == YAML_SCALAR && *n->items[0]->text;
  if (!named || (n->count == 3 && !(yaml_as_real(n->items[2], &c->number) && math_is_finite(c->number))))
    return bad(n, err);
  c->channel = n->items[0]->text;
  return read_parts(a, n, 1, 1, depth, c, err);
}

static int read_scalar(const struct yaml_node *n, struct combine *c, struct error *err)
{
  if (!n->text || !*n->text || yaml_is_null(n)) return bad(n, err);
  c->op = !n->quoted && yaml_as_real(n, &c->number) ? NUMBER : CHANNEL;
  if (c->op == NUMBER) return math_is_finite(c->number) ? 0 : bad(n, err);
  c->number = 1;
  c->channel = n->text;
  return 0;
}

static int read(struct arena *a, const struct yaml_node *n, int depth, struct combine **out, struct error *err)
{
  enum op op;
  struct combine *c = ARENA_NEW(a, struct combine, 1, "rewards", err);
  if (!c) return err->code;
  *out = c;
  *c = (struct combine){.file = n->file, .line = n->line};
  if (depth > DEEPEST) return bad(n, err);
  if (n->kind == YAML_SCALAR) return read_scalar(n, c, err);
  if (n->kind == YAML_LIST && !depth) return read_operator(a, n, SUM, depth, c, err);
  if (n->kind != YAML_MAP || n->count != 1) return bad(n, err);
  if (find_op(n->keys[0], &op)) return read_operator(a, n->items[0], op, depth, c, err);
  c->op = CHANNEL;
  c->channel = n->keys[0];
  return yaml_as_real(n->items[0], &c->number) && math_is_finite(c->number) && *c->channel ? 0 : bad(n, err);
}

int combine_read(struct arena *a, const struct yaml_node *n, struct combine **out, struct error *err)
{
  return read(a, n, 0, out, err);
}

size_t combine_terms(const struct combine *c)
{
  if (c->op == CHANNEL) return 1;
  for (size_t i = 0; i < c->count; i++)
    if (c->op != SUM || c->parts[i]->op != CHANNEL) return 0;
  return c->count;
}

void combine_term_at(const struct combine *c, size_t i, const char **channel, double *weight)
{
  const struct combine *term = c->op == CHANNEL ? c : c->parts[i];
  *channel = term->channel;
  *weight = term->number;
}

int combine_check(const struct combine *c, const char *const *names, size_t count, struct error *err)
{
  bool known = !c->channel;
  for (size_t i = 0; i < count && !known; i++) known = !strcmp(names[i], c->channel);
  if (!known) return names_unknown("reward.combine's channel", c->channel, names, count, c->file, c->line, err);
  for (size_t i = 0; i < c->count; i++) TRY(combine_check(c->parts[i], names, count, err));
  return 0;
}

/* ---- the number -------------------------------------------------------------------------------------------------- */

double combine_value(const struct combine *c, double (*get)(void *arg, const char *channel), void *arg)
{
  if (c->op == NUMBER) return c->number;
  if (c->op == CHANNEL) return c->number * get(arg, c->channel);
  if (c->op == GATE) return get(arg, c->channel) >= c->number ? combine_value(c->parts[0], get, arg) : 0;
  double x = combine_value(c->parts[0], get, arg);
  for (size_t i = 1; i < c->count; i++) {
    double y = combine_value(c->parts[i], get, arg);
    x = c->op == SUM ? x + y : c->op == PRODUCT ? x * y : (c->op == MIN) == (y < x) ? y : x;
  }
  return x;
}

static void put_name(struct text *t, const char *name)
{
  json_put_string(t, name, strlen(name));
}

static void put(const struct combine *c, bool top, struct text *t)
{
  bool braces = c->op != NUMBER && !(c->op == SUM && top);
  if (braces) text_puts(t, "{");
  if (c->op == NUMBER) json_put_f64(t, c->number);
  if (c->op == CHANNEL) {
    put_name(t, c->channel);
    text_puts(t, ": ");
    json_put_f64(t, c->number);
  } else if (c->op != NUMBER) {
    if (braces) text_printf(t, "%s: ", words[c->op]);
    text_puts(t, "[");
    if (c->op == GATE) put_name(t, c->channel);
    for (size_t i = 0; i < c->count; i++) {
      if (i || c->op == GATE) text_puts(t, ", ");
      put(c->parts[i], false, t);
    }
    if (c->op == GATE) {
      text_puts(t, ", ");
      json_put_f64(t, c->number);
    }
    text_puts(t, "]");
  }
  if (braces) text_puts(t, "}");
}

void combine_put(const struct combine *c, struct text *t)
{
  put(c, true, t);
}

/* Expressions of templates, by recursive descent; the order of binding is Jinja's, which is not Python's in places:
 * filters bind tighter than any operator, ~ tighter than +, a sign tighter than **. */
#include "text/template_ast.h"

#include <string.h>

static int parse_unary(struct parser *p, bool with_filters, struct node **out);

static int binary(struct parser *p, struct node *left, const char *op, struct node *right, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_BINARY);
  if (!n) return ERROR_RESOURCE;
  n->name = op;
  n->a = left;
  n->b = right;
  *out = n;
  return 0;
}

static const char *take_operator(struct parser *p, const char *const *ops)
{
  for (; *ops; ops++)
    if (jinja_parser_skip(p, LEX_OPERATOR, *ops)) return *ops;
  return NULL;
}

static int parse_power(struct parser *p, struct node **out)
{
  TRY(parse_unary(p, true, out));
  while (jinja_parser_skip(p, LEX_OPERATOR, "**")) {
    struct node *right;
    TRY(parse_unary(p, true, &right));
    TRY(binary(p, *out, "**", right, out));
  }
  return 0;
}

static int parse_product(struct parser *p, struct node **out)
{
  static const char *const ops[] = {"*", "//", "/", "%", NULL};
  TRY(parse_power(p, out));
  for (const char *op; (op = take_operator(p, ops));) {
    struct node *right;
    TRY(parse_power(p, &right));
    TRY(binary(p, *out, op, right, out));
  }
  return 0;
}

static int parse_concat(struct parser *p, struct node **out)
{
  TRY(parse_product(p, out));
  if (!jinja_parser_is(p, LEX_OPERATOR, "~")) return 0;
  struct node *n = jinja_parser_node(p, NODE_CONCAT);
  if (!n) return ERROR_RESOURCE;
  TRY(jinja_parser_add(p, &n->items, *out));
  while (jinja_parser_skip(p, LEX_OPERATOR, "~")) {
    struct node *right;
    TRY(parse_product(p, &right));
    TRY(jinja_parser_add(p, &n->items, right));
  }
  *out = n;
  return 0;
}

static int parse_sum(struct parser *p, struct node **out)
{
  static const char *const ops[] = {"+", "-", NULL};
  TRY(parse_concat(p, out));
  for (const char *op; (op = take_operator(p, ops));) {
    struct node *right;
    TRY(parse_concat(p, &right));
    TRY(binary(p, *out, op, right, out));
  }
  return 0;
}

static const char *take_comparison(struct parser *p)
{
  static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">", NULL};
  const char *op = take_operator(p, ops);
  if (op) return op;
  if (jinja_parser_skip(p, LEX_NAME, "in")) return "in";
  if (jinja_parser_is(p, LEX_NAME, "not") && p->at[1].kind == LEX_NAME && !strcmp(p->at[1].text, "in")) {
    p->at += 2;
    return "not in";
  }
  return NULL;
}

static int parse_compare(struct parser *p, struct node **out)
{
  TRY(parse_sum(p, out));
  const char *op = take_comparison(p);
  if (!op) return 0;
  struct node *n = jinja_parser_node(p, NODE_COMPARE);
  if (!n) return ERROR_RESOURCE;
  TRY(jinja_parser_add(p, &n->items, *out));
  size_t room = 0, count = 0;
  for (; op; op = take_comparison(p)) {
    struct node *right;
    if (count == room) {
      room = room ? room * 2 : 2;
      const char **ops = ARENA_NEW(p->a, const char *, room, "template", p->err);
      if (!ops) return ERROR_RESOURCE;
      if (count) memcpy(ops, n->ops, count * sizeof *ops);
      n->ops = ops;
    }
    n->ops[count++] = op;
    TRY(parse_sum(p, &right));
    TRY(jinja_parser_add(p, &n->items, right));
  }
  *out = n;
  return 0;
}

static int parse_not(struct parser *p, struct node **out)
{
  if (!jinja_parser_skip(p, LEX_NAME, "not")) return parse_compare(p, out);
  struct node *n = jinja_parser_node(p, NODE_NOT);
  if (!n) return ERROR_RESOURCE;
  TRY(jinja_parser_enter(p));
  TRY(parse_not(p, &n->a));
  p->depth--;
  *out = n;
  return 0;
}

static int parse_and(struct parser *p, struct node **out)
{
  TRY(parse_not(p, out));
  while (jinja_parser_skip(p, LEX_NAME, "and")) {
    struct node *n = jinja_parser_node(p, NODE_AND);
    if (!n) return ERROR_RESOURCE;
    n->a = *out;
    TRY(parse_not(p, &n->b));
    *out = n;
  }
  return 0;
}

static int parse_or(struct parser *p, struct node **out)
{
  TRY(parse_and(p, out));
  while (jinja_parser_skip(p, LEX_NAME, "or")) {
    struct node *n = jinja_parser_node(p, NODE_OR);
    if (!n) return ERROR_RESOURCE;
    n->a = *out;
    TRY(parse_and(p, &n->b));
    *out = n;
  }
  return 0;
}

int jinja_parse_expression(struct parser *p, struct node **out)
{
  bool without_if = p->without_if;
  p->without_if = false;
  TRY(jinja_parser_enter(p));
  TRY(parse_or(p, out));
  while (!without_if && jinja_parser_skip(p, LEX_NAME, "if")) {
    struct node *n = jinja_parser_node(p, NODE_COND);
    if (!n) return ERROR_RESOURCE;
    n->a = *out;
    TRY(parse_or(p, &n->b));
    if (jinja_parser_skip(p, LEX_NAME, "else")) TRY(jinja_parse_expression(p, &n->c));
    *out = n;
  }
  p->depth--;
  return 0;
}

static bool is_tuple_end(const struct parser *p, bool ends_at_in)
{
  return p->at->kind == LEX_PRINT_END || p->at->kind == LEX_TAG_END || jinja_parser_is(p, LEX_OPERATOR, ")") ||
         (ends_at_in && jinja_parser_is(p, LEX_NAME, "in"));
}

int jinja_parse_tuple(struct parser *p, bool simple, bool ends_at_in, bool in_parentheses, struct node **out)
{
  struct node_list items = {0};
  bool is_tuple = false, without_if = p->without_if;
  int line = p->at->line;
  for (;;) {
    if (items.count) TRY(jinja_parser_expect(p, LEX_OPERATOR, ",", NULL));
    if (is_tuple_end(p, ends_at_in)) break;
    struct node *item;
    p->without_if = without_if;
    TRY(simple ? jinja_parse_primary(p, true, &item) : jinja_parse_expression(p, &item));
    TRY(jinja_parser_add(p, &items, item));
    if (!jinja_parser_is(p, LEX_OPERATOR, ",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.count) {
    *out = items.items[0];
    return 0;
  }
  if (!is_tuple && !in_parentheses) return jinja_parser_fail(p, "found %s; expected an expression", p->at->text);
  struct node *n = jinja_parser_node(p, NODE_TUPLE);
  if (!n) return ERROR_RESOURCE;
  n->line = line;
  n->items = items;
  *out = n;
  return 0;
}

/* [a, b] and {k: v}: the opening bracket is the current token. */
static int parse_collection(struct parser *p, bool dict, struct node **out)
{
  struct node *n = jinja_parser_node(p, dict ? NODE_DICT : NODE_LIST), *item;
  if (!n) return ERROR_RESOURCE;
  const char *close = dict ? "}" : "]";
  p->at++;
  for (bool first = true; !jinja_parser_is(p, LEX_OPERATOR, close); first = false) {
    if (!first) TRY(jinja_parser_expect(p, LEX_OPERATOR, ",", NULL));
    if (jinja_parser_is(p, LEX_OPERATOR, close)) break;
    TRY(jinja_parse_expression(p, &item));
    TRY(jinja_parser_add(p, &n->items, item));
    if (!dict) continue;
    TRY(jinja_parser_expect(p, LEX_OPERATOR, ":", NULL));
    TRY(jinja_parse_expression(p, &item));
    TRY(jinja_parser_add(p, &n->items, item));
  }
  *out = n;
  return jinja_parser_expect(p, LEX_OPERATOR, close, NULL);
}

/* A constant by name, a variable, or (as a target) a member of a namespace. */
static int parse_name(struct parser *p, bool with_member, struct node **out)
{
  const char *name = p->at->text;
  bool yes = !strcmp(name, "true") || !strcmp(name, "True"), no = !strcmp(name, "false") || !strcmp(name, "False");
  bool none = !strcmp(name, "none") || !strcmp(name, "None");
  struct node *n = jinja_parser_node(p, yes || no || none ? NODE_CONST : NODE_NAME);
  if (!n) return ERROR_RESOURCE;
  p->at++;
  n->name = name;
  n->value = none ? value_none() : value_bool(yes);
  if (n->kind == NODE_NAME && p->macro) {
    p->macro->uses_varargs |= !strcmp(name, "varargs");
    p->macro->uses_kwargs |= !strcmp(name, "kwargs");
    p->macro->uses_caller |= !strcmp(name, "caller");
  }
  *out = n;
  if (!with_member || n->kind != NODE_NAME || !jinja_parser_skip(p, LEX_OPERATOR, ".")) return 0;
  const struct token *attribute = NULL;
  TRY(jinja_parser_expect(p, LEX_NAME, NULL, &attribute));
  n->kind = NODE_MEMBER;
  n->b = jinja_parser_node(p, NODE_NAME);
  if (!n->b) return ERROR_RESOURCE;
  n->b->name = attribute->text;
  return 0;
}

/* A literal; strings that stand side by side are one. */
static int parse_literal(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_CONST);
  if (!n) return ERROR_RESOURCE;
  n->value = p->at->value;
  bool string = p->at->kind == LEX_STRING;
  p->at++;
  while (string && p->at->kind == LEX_STRING) {
    size_t left = n->value.as.string.size, right = p->at->value.as.string.size;
    char *joined = arena_push(p->a, left + right + 1, 1, "template", p->err);
    if (!joined) return ERROR_RESOURCE;
    memcpy(joined, n->value.as.string.bytes, left);
    memcpy(joined + left, p->at->value.as.string.bytes, right);
    n->value = value_string(joined, left + right);
    p->at++;
  }
  *out = n;
  return 0;
}

int jinja_parse_primary(struct parser *p, bool with_member, struct node **out)
{
  switch (p->at->kind) {
    case LEX_NAME:
      return parse_name(p, with_member, out);
    case LEX_STRING:
    case LEX_INT:
    case LEX_FLOAT:
      return parse_literal(p, out);
    default:
      break;
  }
  if (jinja_parser_is(p, LEX_OPERATOR, "[") || jinja_parser_is(p, LEX_OPERATOR, "{"))
    return parse_collection(p, p->at->text[0] == '{', out);
  if (!jinja_parser_skip(p, LEX_OPERATOR, "("))
    return jinja_parser_fail(p, "found %s; expected an expression", p->at->text);
  TRY(jinja_parser_enter(p));
  TRY(jinja_parse_tuple(p, false, false, true, out));
  p->depth--;
  return jinja_parser_expect(p, LEX_OPERATOR, ")", NULL);
}

/* One index, or start:stop:step with parts left out. */
static int parse_index(struct parser *p, struct node **out)
{
  struct node *parts[3] = {NULL, NULL, NULL};
  if (!jinja_parser_is(p, LEX_OPERATOR, ":")) {
    TRY(jinja_parse_expression(p, &parts[0]));
    if (!jinja_parser_is(p, LEX_OPERATOR, ":")) {
      *out = parts[0];
      return 0;
    }
  }
  for (int i = 1; i < 3 && jinja_parser_skip(p, LEX_OPERATOR, ":"); i++)
    if (!jinja_parser_is(p, LEX_OPERATOR, ":") && !jinja_parser_is(p, LEX_OPERATOR, "]") &&
        !jinja_parser_is(p, LEX_OPERATOR, ","))
      TRY(jinja_parse_expression(p, &parts[i]));
  struct node *n = jinja_parser_node(p, NODE_SLICE);
  if (!n) return ERROR_RESOURCE;
  n->a = parts[0];
  n->b = parts[1];
  n->c = parts[2];
  *out = n;
  return 0;
}

static int parse_subscript(struct parser *p, struct node *of, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_ITEM);
  if (!n) return ERROR_RESOURCE;
  n->a = of;
  *out = n;
  if (jinja_parser_skip(p, LEX_OPERATOR, ".")) {
    if (p->at->kind == LEX_INT) return parse_literal(p, &n->b);
    n->kind = NODE_ATTR;
    n->name = p->at->text;
    return jinja_parser_expect(p, LEX_NAME, NULL, NULL);
  }
  p->at++;
  if (jinja_parser_is(p, LEX_OPERATOR, "]")) return jinja_parser_fail(p, "found []; expected an index");
  TRY(parse_index(p, &n->b));
  if (jinja_parser_is(p, LEX_OPERATOR, ",")) return jinja_parser_fail(p, "found several indices; expected one");
  return jinja_parser_expect(p, LEX_OPERATOR, "]", NULL);
}

static int add_named(struct parser *p, struct node *call, const char *name, struct node *value)
{
  size_t at = call->values.count;
  if ((at & (at - 1)) == 0) { /* room is the next power of two */
    const char **names = ARENA_NEW(p->a, const char *, at ? at * 2 : 1, "template", p->err);
    if (!names) return ERROR_RESOURCE;
    if (at) memcpy(names, call->names, at * sizeof *names);
    call->names = names;
  }
  call->names[at] = name;
  return jinja_parser_add(p, &call->values, value);
}

static int parse_argument(struct parser *p, struct node *call)
{
  struct node *value;
  bool star = jinja_parser_skip(p, LEX_OPERATOR, "*"), star2 = !star && jinja_parser_skip(p, LEX_OPERATOR, "**");
  if (star || star2) {
    struct node **where = star ? &call->star : &call->star2;
    if (*where || call->star2) return jinja_parser_fail(p, "invalid syntax for function call expression");
    return jinja_parse_expression(p, where);
  }
  if (p->at->kind == LEX_NAME && p->at[1].kind == LEX_OPERATOR && !strcmp(p->at[1].text, "=")) {
    const char *name = p->at->text;
    p->at += 2;
    TRY(jinja_parse_expression(p, &value));
    return add_named(p, call, name, value);
  }
  if (call->star || call->star2 || call->values.count)
    return jinja_parser_fail(p, "an argument without a name follows one with a name");
  TRY(jinja_parse_expression(p, &value));
  return jinja_parser_add(p, &call->items, value);
}

/* (a, b, c=d, *e, **f) into a CALL, FILTER or TEST. */
static int parse_arguments(struct parser *p, struct node *call)
{
  TRY(jinja_parser_expect(p, LEX_OPERATOR, "(", NULL));
  for (bool first = true; !jinja_parser_is(p, LEX_OPERATOR, ")"); first = false) {
    if (!first) TRY(jinja_parser_expect(p, LEX_OPERATOR, ",", NULL));
    if (jinja_parser_is(p, LEX_OPERATOR, ")")) break;
    TRY(parse_argument(p, call));
  }
  return jinja_parser_expect(p, LEX_OPERATOR, ")", NULL);
}

static int parse_call(struct parser *p, struct node *of, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_CALL);
  if (!n) return ERROR_RESOURCE;
  n->a = of;
  TRY(parse_arguments(p, n));
  *out = n;
  return 0;
}

static int parse_postfix(struct parser *p, struct node **out)
{
  for (;;) {
    if (jinja_parser_is(p, LEX_OPERATOR, ".") || jinja_parser_is(p, LEX_OPERATOR, "["))
      TRY(parse_subscript(p, *out, out));
    else if (jinja_parser_is(p, LEX_OPERATOR, "("))
      TRY(parse_call(p, *out, out));
    else
      return 0;
  }
}

int jinja_parse_filters(struct parser *p, struct node *input, bool first_without_bar, struct node **out)
{
  *out = input;
  while (first_without_bar || jinja_parser_skip(p, LEX_OPERATOR, "|")) {
    first_without_bar = false;
    struct node *n = jinja_parser_node(p, NODE_FILTER);
    if (!n) return ERROR_RESOURCE;
    const struct token *name = NULL;
    TRY(jinja_parser_expect(p, LEX_NAME, NULL, &name));
    n->name = name->text;
    n->a = *out;
    if (jinja_parser_is(p, LEX_OPERATOR, "(")) TRY(parse_arguments(p, n));
    *out = n;
  }
  return 0;
}

/* Does a test's argument without parentheses start here ("is divisibleby 3")? */
static bool starts_argument(const struct parser *p)
{
  if (p->at->kind == LEX_NAME)
    return strcmp(p->at->text, "else") && strcmp(p->at->text, "or") && strcmp(p->at->text, "and");
  return p->at->kind == LEX_STRING || p->at->kind == LEX_INT || p->at->kind == LEX_FLOAT ||
         jinja_parser_is(p, LEX_OPERATOR, "[") || jinja_parser_is(p, LEX_OPERATOR, "{");
}

static int parse_test(struct parser *p, struct node *of, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_TEST), *argument;
  if (!n) return ERROR_RESOURCE;
  p->at++;
  bool negated = jinja_parser_skip(p, LEX_NAME, "not");
  const struct token *name = NULL;
  TRY(jinja_parser_expect(p, LEX_NAME, NULL, &name));
  n->name = name->text;
  n->a = of;
  if (jinja_parser_is(p, LEX_OPERATOR, "(")) {
    TRY(parse_arguments(p, n));
  } else if (starts_argument(p)) {
    if (jinja_parser_is(p, LEX_NAME, "is")) return jinja_parser_fail(p, "two tests with \"is\" in a row; use \"and\"");
    TRY(jinja_parse_primary(p, false, &argument));
    TRY(parse_postfix(p, &argument));
    TRY(jinja_parser_add(p, &n->items, argument));
  }
  *out = n;
  if (!negated) return 0;
  struct node *not = jinja_parser_node(p, NODE_NOT);
  if (!not ) return ERROR_RESOURCE;
  not ->a = n;
  *out = not ;
  return 0;
}

static int parse_unary(struct parser *p, bool with_filters, struct node **out)
{
  TRY(jinja_parser_enter(p));
  bool minus = jinja_parser_is(p, LEX_OPERATOR, "-");
  if (minus || jinja_parser_is(p, LEX_OPERATOR, "+")) {
    struct node *n = jinja_parser_node(p, minus ? NODE_NEG : NODE_POS);
    if (!n) return ERROR_RESOURCE;
    p->at++;
    TRY(parse_unary(p, false, &n->a));
    *out = n;
  } else {
    TRY(jinja_parse_primary(p, false, out));
  }
  TRY(parse_postfix(p, out));
  while (with_filters) {
    if (jinja_parser_is(p, LEX_OPERATOR, "|"))
      TRY(jinja_parse_filters(p, *out, false, out));
    else if (jinja_parser_is(p, LEX_NAME, "is"))
      TRY(parse_test(p, *out, out));
    else if (jinja_parser_is(p, LEX_OPERATOR, "("))
      TRY(parse_call(p, *out, out));
    else
      break;
  }
  p->depth--;
  return 0;
}

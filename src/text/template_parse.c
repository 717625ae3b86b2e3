/* Statements of templates. */
#include "text/template_ast.h"

#include <stdio.h>
#include <string.h>

int jinja_parser_fail(struct parser *p, const char *fmt, ...)
{
  char why[400];
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, sizeof why, fmt, args);
  va_end(args);
  FAIL_AT(p->err, ERROR_INPUT, p->file, p->at->line, NULL, "%s", why);
}

struct node *jinja_parser_node(struct parser *p, enum node_kind kind)
{
  struct node *n = ARENA_NEW(p->a, struct node, 1, "template", p->err);
  if (!n) return NULL;
  n->kind = kind;
  n->line = p->at->line;
  return n;
}

int jinja_parser_add(struct parser *p, struct node_list *list, struct node *n)
{
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 4;
    struct node **items = ARENA_NEW(p->a, struct node *, room, "template", p->err);
    if (!items) return ERROR_RESOURCE;
    if (list->count) memcpy(items, list->items, list->count * sizeof(struct node *));
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] = n;
  return 0;
}

int jinja_parser_enter(struct parser *p)
{
  if (++p->depth > TEMPLATE_NESTING)
    return jinja_parser_fail(p, "the template is nested deeper than %d levels", TEMPLATE_NESTING);
  return 0;
}

bool jinja_parser_is(const struct parser *p, enum token_kind kind, const char *text)
{
  return p->at->kind == kind && (!text || !strcmp(p->at->text, text));
}

bool jinja_parser_skip(struct parser *p, enum token_kind kind, const char *text)
{
  if (!jinja_parser_is(p, kind, text)) return false;
  p->at++;
  return true;
}

int jinja_parser_expect(struct parser *p, enum token_kind kind, const char *text, const struct token **out)
{
  if (!jinja_parser_is(p, kind, text))
    return jinja_parser_fail(p, "found \"%s\"; expected \"%s\"", p->at->text,
                             text               ? text
                             : kind == LEX_NAME ? "a name"
                                                : "the end of the tag");
  if (out) *out = p->at;
  p->at++;
  return 0;
}

static int parse_body(struct parser *p, const char *const *ends, struct node_list *out, const char **end);

/* The rest of a tag, then statements up to {% end %}, which is taken. */
static int parse_block(struct parser *p, const char *end, struct node_list *out)
{
  const char *const ends[] = {end, NULL};
  const char *found;
  TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
  TRY(parse_body(p, ends, out, &found));
  return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
}

static bool can_assign(const struct node *n)
{
  if (n->kind == NODE_NAME || n->kind == NODE_MEMBER) return true;
  if (n->kind != NODE_TUPLE) return false;
  for (size_t i = 0; i < n->items.count; i++)
    if (!can_assign(n->items.items[i])) return false;
  return true;
}

static int parse_target(struct parser *p, bool ends_at_in, struct node **out)
{
  TRY(jinja_parse_tuple(p, true, ends_at_in, false, out));
  return can_assign(*out) ? 0 : jinja_parser_fail(p, "found something else than a name where a value is assigned");
}

static int parse_if(struct parser *p, struct node **out)
{
  static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
  struct node *n = jinja_parser_node(p, NODE_IF), *first = n;
  if (!n) return ERROR_RESOURCE;
  const char *end = "elif";
  while (!strcmp(end, "elif")) {
    p->without_if = true;
    TRY(jinja_parse_tuple(p, false, false, false, &n->a));
    TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
    TRY(parse_body(p, ends, &n->body, &end));
    if (strcmp(end, "elif")) break;
    struct node *next = jinja_parser_node(p, NODE_IF);
    if (!next) return ERROR_RESOURCE;
    TRY(jinja_parser_add(p, &n->other, next));
    n = next;
  }
  if (!strcmp(end, "else")) {
    TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
    TRY(parse_body(p, last, &n->other, &end));
  }
  *out = first;
  return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
}

static int parse_for(struct parser *p, struct node **out)
{
  static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
  struct node *n = jinja_parser_node(p, NODE_FOR);
  if (!n) return ERROR_RESOURCE;
  TRY(parse_target(p, true, &n->a));
  if (n->a->kind == NODE_NAME && !strcmp(n->a->name, "loop"))
    return jinja_parser_fail(p,
                             "found \"loop\" as the name of an item; expected another: a for gives it its own meaning");
  TRY(jinja_parser_expect(p, LEX_NAME, "in", NULL));
  p->without_if = true;
  TRY(jinja_parse_tuple(p, false, false, false, &n->b));
  if (jinja_parser_skip(p, LEX_NAME, "if")) TRY(jinja_parse_expression(p, &n->c));
  n->flag = jinja_parser_skip(p, LEX_NAME, "recursive");
  TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
  const char *end;
  TRY(parse_body(p, ends, &n->body, &end));
  if (!strcmp(end, "else")) {
    TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
    TRY(parse_body(p, last, &n->other, &end));
  }
  *out = n;
  return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
}

static int parse_set(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_SET), *input;
  if (!n) return ERROR_RESOURCE;
  *out = n;
  TRY(parse_target(p, false, &n->a));
  if (jinja_parser_skip(p, LEX_OPERATOR, "=")) {
    TRY(jinja_parse_tuple(p, false, false, false, &n->b));
    return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
  }
  n->kind = NODE_SET_BLOCK;
  input = jinja_parser_node(p, NODE_BLOCK);
  if (!input) return ERROR_RESOURCE;
  if (jinja_parser_is(p, LEX_OPERATOR, "|")) TRY(jinja_parse_filters(p, input, false, &n->b));
  return parse_block(p, "endset", &n->body);
}

/* (a, b=1): names, and defaults for the last of them. */
static int parse_parameters(struct parser *p, struct node *macro)
{
  TRY(jinja_parser_expect(p, LEX_OPERATOR, "(", NULL));
  for (bool first = true; !jinja_parser_is(p, LEX_OPERATOR, ")"); first = false) {
    if (!first) TRY(jinja_parser_expect(p, LEX_OPERATOR, ",", NULL));
    struct node *name = jinja_parser_node(p, NODE_NAME), *value;
    if (!name) return ERROR_RESOURCE;
    name->name = p->at->text;
    TRY(jinja_parser_expect(p, LEX_NAME, NULL, NULL));
    if (jinja_parser_skip(p, LEX_OPERATOR, "=")) {
      TRY(jinja_parse_expression(p, &value));
      TRY(jinja_parser_add(p, &macro->values, value));
    } else if (macro->values.count) {
      return jinja_parser_fail(p, "non-default argument follows default argument");
    }
    TRY(jinja_parser_add(p, &macro->items, name));
  }
  return jinja_parser_expect(p, LEX_OPERATOR, ")", NULL);
}

static int parse_macro_body(struct parser *p, struct node *macro, const char *end)
{
  struct node *around = p->macro;
  p->macro = macro;
  int rc = parse_block(p, end, &macro->body);
  p->macro = around;
  return rc;
}

static int parse_macro(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_MACRO);
  if (!n) return ERROR_RESOURCE;
  n->name = p->at->text;
  TRY(jinja_parser_expect(p, LEX_NAME, NULL, NULL));
  TRY(parse_parameters(p, n));
  *out = n;
  return parse_macro_body(p, n, "endmacro");
}

static int parse_call_tag(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_CALL_BLOCK);
  if (!n || !(n->b = jinja_parser_node(p, NODE_MACRO))) return ERROR_RESOURCE;
  n->b->name = "caller";
  if (jinja_parser_is(p, LEX_OPERATOR, "(")) TRY(parse_parameters(p, n->b));
  TRY(jinja_parse_expression(p, &n->a));
  if (n->a->kind != NODE_CALL) return jinja_parser_fail(p, "found something else than a call behind \"call\"");
  *out = n;
  return parse_macro_body(p, n->b, "endcall");
}

static int parse_filter_tag(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_FILTER_BLOCK), *input = jinja_parser_node(p, NODE_BLOCK);
  if (!n || !input) return ERROR_RESOURCE;
  TRY(jinja_parse_filters(p, input, true, &n->a));
  *out = n;
  return parse_block(p, "endfilter", &n->body);
}

static int parse_with(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_WITH), *target, *value;
  if (!n) return ERROR_RESOURCE;
  while (p->at->kind != LEX_TAG_END) {
    if (n->items.count) TRY(jinja_parser_expect(p, LEX_OPERATOR, ",", NULL));
    TRY(jinja_parse_primary(p, false, &target));
    if (!can_assign(target)) return jinja_parser_fail(p, "found something else than a name where a value is assigned");
    TRY(jinja_parser_expect(p, LEX_OPERATOR, "=", NULL));
    TRY(jinja_parse_expression(p, &value));
    TRY(jinja_parser_add(p, &n->items, target));
    TRY(jinja_parser_add(p, &n->values, value));
  }
  *out = n;
  return parse_block(p, "endwith", &n->body);
}

static int parse_scope(struct parser *p, const char *end, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_SCOPE);
  if (!n) return ERROR_RESOURCE;
  *out = n;
  return parse_block(p, end, &n->body);
}

static int parse_generation(struct parser *p, struct node **out)
{
  p->generation = true;
  TRY(parse_scope(p, "endgeneration", out));
  (*out)->flag = true;
  return 0;
}

static int parse_named_block(struct parser *p, struct node **out)
{
  struct node *n = jinja_parser_node(p, NODE_NAMED);
  if (!n) return ERROR_RESOURCE;
  n->name = p->at->text;
  TRY(jinja_parser_expect(p, LEX_NAME, NULL, NULL));
  static const char *const ends[] = {"endblock", NULL};
  const char *end;
  for (bool more = true; more;) {
    bool scoped = jinja_parser_skip(p, LEX_NAME, "scoped");
    n->flag = n->flag || scoped;
    more = scoped || jinja_parser_skip(p, LEX_NAME, "required");
  }
  for (size_t i = 0; i < p->blocks.count; i++)
    if (!strcmp(p->blocks.items[i]->name, n->name))
      return jinja_parser_fail(p, "found the block \"%s\" a second time", n->name);
  TRY(jinja_parser_add(p, &p->blocks, n));
  TRY(jinja_parser_expect(p, LEX_TAG_END, NULL, NULL));
  TRY(parse_body(p, ends, &n->body, &end));
  jinja_parser_skip(p, LEX_NAME, NULL); /* the name may be repeated */
  *out = n;
  return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
}

/* break, continue; and tags that need other files, which fail when they are reached. */
static int parse_single(struct parser *p, enum node_kind kind, const char *name, struct node **out)
{
  struct node *n = jinja_parser_node(p, kind);
  if (!n) return ERROR_RESOURCE;
  n->name = name;
  while (kind == NODE_REFUSED && p->at->kind != LEX_TAG_END && p->at->kind != LEX_END) p->at++;
  *out = n;
  return jinja_parser_expect(p, LEX_TAG_END, NULL, NULL);
}

static int parse_tag(struct parser *p, struct node **out)
{
  const struct token *name = NULL;
  TRY(jinja_parser_expect(p, LEX_NAME, NULL, &name));
  static const struct {
    const char *name;
    int (*parse)(struct parser *, struct node **);
  } tags[] = {{"if", parse_if},       {"for", parse_for},           {"set", parse_set},
              {"macro", parse_macro}, {"call", parse_call_tag},     {"filter", parse_filter_tag},
              {"with", parse_with},   {"block", parse_named_block}, {"generation", parse_generation}};
  for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
    if (!strcmp(name->text, tags[i].name)) return tags[i].parse(p, out);
  if (!strcmp(name->text, "break")) return parse_single(p, NODE_BREAK, name->text, out);
  if (!strcmp(name->text, "continue")) return parse_single(p, NODE_CONTINUE, name->text, out);
  for (const char *const *refused = (const char *const[]){"include", "import", "from", "extends", NULL}; *refused;
       refused++)
    if (!strcmp(name->text, *refused)) return parse_single(p, NODE_REFUSED, *refused, out);
  p->at--;
  return jinja_parser_fail(p, "found the tag \"%s\", which is unknown here", name->text);
}

static bool is_end(const struct parser *p, const char *const *ends, const char **end)
{
  for (; ends && *ends; ends++) {
    if (p->at[1].kind != LEX_NAME || strcmp(p->at[1].text, *ends)) continue;
    *end = *ends;
    return true;
  }
  return false;
}

/* Statements up to a tag of `ends`, whose name is taken and told; NULL: up to the end of the template. */
static int parse_body(struct parser *p, const char *const *ends, struct node_list *out, const char **end)
{
  TRY(jinja_parser_enter(p));
  while (p->at->kind != LEX_END) {
    struct node *n = NULL;
    if (p->at->kind == LEX_TEXT) {
      n = jinja_parser_node(p, NODE_TEXT);
      if (!n) return ERROR_RESOURCE;
      n->value = p->at++->value;
    } else if (p->at->kind == LEX_PRINT_BEGIN) {
      n = jinja_parser_node(p, NODE_PRINT);
      if (!n) return ERROR_RESOURCE;
      p->at++;
      TRY(jinja_parse_tuple(p, false, false, false, &n->a));
      TRY(jinja_parser_expect(p, LEX_PRINT_END, NULL, NULL));
    } else {
      if (is_end(p, ends, end)) {
        p->at += 2;
        p->depth--;
        return 0;
      }
      p->at++;
      TRY(parse_tag(p, &n));
    }
    TRY(jinja_parser_add(p, out, n));
  }
  p->depth--;
  if (!ends) return 0;
  char names[200] = "";
  for (size_t i = 0, used = 0; ends[i] && used < sizeof names; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s{%% %s %%}", i ? " or " : "", ends[i]);
  return jinja_parser_fail(p, "the template ends where %s is expected", names);
}

int template_parse(struct arena *a, const char *text, size_t n, const char *file, struct template **out,
                   struct error *err)
{
  struct template *t = ARENA_NEW(a, struct template, 1, "template", err);
  if (!t || !(t->file = arena_strdup(a, file ? file : "chat template", "template", err))) return ERROR_RESOURCE;
  struct token *tokens;
  size_t count;
  TRY(template_lex(a, text, n, t->file, &tokens, &count, err));
  struct parser p = {.a = a, .file = t->file, .err = err, .at = tokens};
  TRY(parse_body(&p, NULL, &t->body, NULL));
  t->generation = p.generation;
  t->blocks = p.blocks;
  *out = t;
  return 0;
}

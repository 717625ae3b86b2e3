/* text/template_ast: a parsed template. */
#ifndef ASSAY_TEXT_TEMPLATE_AST_H
#define ASSAY_TEXT_TEMPLATE_AST_H

#include "text/template_lex.h"

enum node_kind {
  /* expressions */
  NODE_CONST,   /* value */
  NODE_NAME,    /* name */
  NODE_TUPLE,   /* items */
  NODE_LIST,    /* items */
  NODE_DICT,    /* items: key, value, key, value, ... */
  NODE_ATTR,    /* a.name */
  NODE_ITEM,    /* a[b] */
  NODE_SLICE,   /* a:b:c, each may be NULL; only as b of NODE_ITEM */
  NODE_CALL,    /* a(items, named); star, star2 */
  NODE_FILTER,  /* a | name(items, named) */
  NODE_TEST,    /* a is name(items, named) */
  NODE_BLOCK,   /* the text that a filter block hands to its filters */
  NODE_NOT,     /* not a */
  NODE_NEG,     /* -a */
  NODE_POS,     /* +a */
  NODE_BINARY,  /* a op b; op: + - * / // % ** */
  NODE_CONCAT,  /* items ~ */
  NODE_COMPARE, /* items[0] ops[0] items[1] ... */
  NODE_AND,
  NODE_OR,
  NODE_COND,   /* a if b else c (may be NULL) */
  NODE_MEMBER, /* target only: name.attr of a namespace; b->name is the attribute */
  /* statements */
  NODE_TEXT,         /* value */
  NODE_PRINT,        /* a */
  NODE_IF,           /* if a: body, else: other (an elif is an IF in it) */
  NODE_FOR,          /* for a in b if c: body, else: other; flag: recursive */
  NODE_SET,          /* a = b */
  NODE_SET_BLOCK,    /* a = body, through the filters of b (may be NULL) */
  NODE_MACRO,        /* name(items: NAMEs, defaults for the last ones): body */
  NODE_CALL_BLOCK,   /* a: the call; b: a MACRO, the caller */
  NODE_FILTER_BLOCK, /* body through the filters of a */
  NODE_WITH,         /* items = values: body */
  NODE_SCOPE,        /* body in a scope of its own; flag: what it prints is a generation */
  NODE_NAMED,        /* the block name: sees what the template itself has set; flag: and what is set around it */
  NODE_BREAK,
  NODE_CONTINUE,
  NODE_REFUSED /* include, import, extends: an error when reached; name */
};

struct node_list {
  struct node **items;
  size_t count, room;
};

struct node {
  enum node_kind kind;
  int line;
  const char *name;
  struct value value;
  struct node *a, *b, *c;
  struct node_list items, values; /* values: of with, defaults of a macro, arguments by name */
  const char **names;             /* of the named arguments in values */
  const char **ops;
  struct node *star, *star2; /* f(*star, **star2) */
  struct node_list body, other;
  bool flag;
  bool uses_varargs, uses_kwargs, uses_caller; /* MACRO */
};

struct template
{
  const char *file;
  struct node_list body, blocks; /* blocks: the NAMED ones, wherever they stand */
  bool generation;               /* it has the tag */
};

/* The parser's state; template_parse.c has the statements, template_expr.c the expressions. */
struct parser {
  struct arena *a;
  const char *file;
  struct error *err;
  const struct token *at; /* the current token; the last one is LEX_END */
  unsigned depth;
  bool without_if;    /* the next expression stops at a word `if`: the items of a for */
  struct node *macro; /* the innermost macro around */
  bool generation;    /* the tag was seen */
  struct node_list blocks;
};

int jinja_parser_fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct node *jinja_parser_node(struct parser *p, enum node_kind kind); /* NULL after failing */
int jinja_parser_add(struct parser *p, struct node_list *list, struct node *n) MUST_USE;
int jinja_parser_enter(struct parser *p) MUST_USE;
bool jinja_parser_is(const struct parser *p, enum token_kind kind, const char *text); /* text NULL: any */
bool jinja_parser_skip(struct parser *p, enum token_kind kind, const char *text);
int jinja_parser_expect(struct parser *p, enum token_kind kind, const char *text, const struct token **out) MUST_USE;

int jinja_parse_expression(struct parser *p, struct node **out) MUST_USE;
int jinja_parse_primary(struct parser *p, bool with_member, struct node **out) MUST_USE;
/* One expression, or several with commas between them: a tuple. simple: names and literals only, up to a word `in`
 * where ends_at_in. */
int jinja_parse_tuple(struct parser *p, bool simple, bool ends_at_in, bool in_parentheses, struct node **out) MUST_USE;
int jinja_parse_filters(struct parser *p, struct node *input, bool first_without_bar, struct node **out) MUST_USE;

#endif

/* text/template_run: the running of a template: scopes, expressions, calls; what filters, tests, methods are. */
#ifndef ASSAY_TEXT_TEMPLATE_RUN_H
#define ASSAY_TEXT_TEMPLATE_RUN_H

#include "text/template_ast.h"

/* Variables of a scope, newest first. */
struct variable {
  const char *name;
  struct value value;
  struct variable *next;
};
struct scope {
  struct scope *parent;
  struct variable *first;
};
int jinja_set(struct jinja *r, const char *name, struct value v) MUST_USE; /* in the innermost scope */

struct macro {
  const struct node *node;
  struct scope *scope; /* where it was defined */
};

struct loop {
  const struct node *node;
  struct scope *scope;
  struct value_list items;
  size_t index, depth;
  struct value changed; /* the last value that changed() saw */
  bool has_changed;
};

/* The arguments of a call, evaluated. */
struct arguments {
  struct value *items;
  size_t count;
  const char **names;
  struct value *values;
  size_t named;
};
/* By position or name; NULL where it is absent. */
const struct value *jinja_argument(const struct arguments *args, size_t position, const char *name);
bool jinja_argument_truth(const struct arguments *args, size_t position, const char *name, bool fallback);
/* An integer within long's range, or a failure that names the argument. */
int jinja_argument_integer(struct jinja *r, const struct arguments *args, size_t position, const char *name,
                           long fallback, long *out) MUST_USE;
int jinja_argument_string(struct jinja *r, const struct arguments *args, size_t position, const char *name,
                          struct value fallback, struct value *out) MUST_USE;

enum { EXEC_BREAK = -1, EXEC_CONTINUE = -2 };
/* Statements; 0, a failure, EXEC_BREAK or EXEC_CONTINUE. */
int jinja_body(struct jinja *r, const struct node_list *body) MUST_USE;
/* Statements in a new scope, with their output as a string value. */
int jinja_capture(struct jinja *r, const struct node_list *body, struct scope *parent, struct value *out) MUST_USE;
int jinja_assign(struct jinja *r, const struct node *target, struct value v) MUST_USE;
/* A for over these items in this scope. */
int jinja_loop(struct jinja *r, const struct node *n, const struct value *items, size_t depth,
               struct scope *scope) MUST_USE;

int jinja_eval(struct jinja *r, const struct node *n, struct value *out) MUST_USE;
int jinja_eval_arguments(struct jinja *r, const struct node *call, struct arguments *out) MUST_USE;
/* template_operators.c */
int jinja_fail_undefined(struct jinja *r, const struct value *v) MUST_USE;
bool jinja_is_sequence(const struct value *v); /* a string, list or tuple */
int jinja_eval_binary(struct jinja *r, const char *op, const struct value *a, const struct value *b,
                      struct value *out) MUST_USE;
int jinja_eval_compare(struct jinja *r, const char *op, const struct value *a, const struct value *b,
                       bool *out) MUST_USE;
/* v.name, and v[key] as Jinja looks them up: attributes first or items first, undefined where neither is. */
int jinja_eval_attribute(struct jinja *r, const struct value *v, const char *name, struct value *out) MUST_USE;
int jinja_eval_item(struct jinja *r, const struct value *v, const struct value *key, struct value *out) MUST_USE;
/* v.a.0.b: a dotted path, as filters take it. fallback (may be NULL) stands for each part that is undefined. */
int jinja_eval_path(struct jinja *r, const struct value *v, const struct value *path, const struct value *fallback,
                    struct value *out) MUST_USE;
int jinja_call_value(struct jinja *r, const struct value *f, const struct arguments *args, struct value *out) MUST_USE;

/* Global functions. */
bool jinja_function_exists(const char *name);
int jinja_call_function(struct jinja *r, const char *name, const struct arguments *args, struct value *out) MUST_USE;

bool jinja_filter_exists(const char *name);
int jinja_call_filter(struct jinja *r, const char *name, const struct value *v, const struct arguments *args,
                      struct value *out) MUST_USE;
bool jinja_test_exists(const char *name);
int jinja_call_test(struct jinja *r, const char *name, const struct value *v, const struct arguments *args,
                    bool *out) MUST_USE;

/* Methods of strings, dicts, lists, numbers, loops and cyclers. jinja_method_exists tells whether v.name is one. */
bool jinja_method_exists(const struct value *v, const char *name);
int jinja_call_method(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                      struct value *out) MUST_USE;
int jinja_call_string_method(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                             struct value *out) MUST_USE;
bool jinja_string_method_exists(const char *name);

/* Pieces that several of them share. */
int string_replace(struct jinja *r, const struct value *s, const struct value *from, const struct value *to, long limit,
                   struct value *out) MUST_USE;
int string_case(struct jinja *r, const struct value *s, bool upper, struct value *out) MUST_USE;
int string_title(struct jinja *r, const struct value *s, bool jinja, struct value *out) MUST_USE;
int string_capitalize(struct jinja *r, const struct value *s, struct value *out) MUST_USE;
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
/* Characters of `chars` (NULL: white space) taken off the ends. */
struct value string_strip(const struct value *s, const struct value *chars, int sides);
/* keep: with the ends of lines. */
int string_lines(struct jinja *r, const struct value *s, bool keep, struct value_list *out) MUST_USE;
/* template_markup.c: HTML's characters escaped, the result marked; marked text stays as it is. */
int string_escape(struct jinja *r, const struct value *s, struct value *out) MUST_USE;
bool string_is_case(const struct value *s, bool upper);
int string_center(struct jinja *r, const struct value *s, size_t width, char align, uint32_t fill,
                  struct value *out) MUST_USE;
int value_dict_view(struct jinja *r, const struct value_dict *d, const char *kind, enum value_kind as,
                    struct value *out) MUST_USE;
int value_sort(struct jinja *r, struct value *keys, struct value *items, size_t count,
               bool reverse) MUST_USE; /* stable, by keys */

/* template_format.c */
int jinja_format_percent(struct jinja *r, const struct value *format, const struct value *values,
                         struct value *out) MUST_USE;
int jinja_format_braces(struct jinja *r, const struct value *format, const struct arguments *args,
                        struct value *out) MUST_USE;
int jinja_format_time(struct jinja *r, const struct value *format, struct value *out) MUST_USE; /* of r->now */
/* template_json.c: transformers' tojson. */
int jinja_tojson(struct jinja *r, const struct value *v, const struct arguments *args, struct value *out) MUST_USE;

#endif

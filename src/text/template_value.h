/* text/template_value: the values of a template while it runs: Python's, as far as templates can see them. All memory
 * belongs to the run's arena, and nothing changes once made but namespaces and the state of loops and iterators. */
#ifndef ASSAY_TEXT_TEMPLATE_VALUE_H
#define ASSAY_TEXT_TEMPLATE_VALUE_H

#include "text/template.h"

__extension__ typedef __int128 wide; /* integers; what does not fit is an error */

enum value_kind {
  VALUE_UNDEFINED, /* hint: what was missing, for the message */
  VALUE_NONE,
  VALUE_BOOL,
  VALUE_INT,
  VALUE_FLOAT,
  VALUE_STRING,
  VALUE_LIST,
  VALUE_TUPLE,
  VALUE_DICT,
  VALUE_VIEW, /* dict.keys(), values(), items(): a list that prints otherwise */
  VALUE_RANGE,
  VALUE_ITERATOR, /* what map, select, ... give: a list that can be walked once */
  VALUE_NAMESPACE,
  VALUE_FUNCTION, /* a global function */
  VALUE_METHOD,   /* a method with its object */
  VALUE_MACRO,
  VALUE_LOOP, /* the variable loop */
  VALUE_JOINER,
  VALUE_CYCLER,
  VALUE_SELF
};

struct value;
struct value_list {
  struct value *items;
  size_t count;
};
struct value_dict { /* in order of insertion */
  struct value *keys, *values;
  size_t count, room;
};
struct value_iterator {
  struct value_list list;
  size_t at;
};
struct value_range {
  wide start, stop, step;
  size_t count;
};
struct value_method {
  const struct value *self;
  const char *name;
};

struct value {
  enum value_kind kind;
  bool markup; /* STRING: HTML by the filters safe and escape, as Python's markupsafe has it */
  union {
    bool truth;
    wide integer;
    double real;
    struct {
      const char *bytes; /* UTF-8, no NUL behind it */
      size_t size;
    } string;
    const char *hint;        /* UNDEFINED */
    const char *name;        /* FUNCTION */
    struct value_list *list; /* LIST, TUPLE */
    struct {
      struct value_list *list;
      const char *name; /* "dict_keys", ... */
    } view;
    struct value_dict *dict;         /* DICT, NAMESPACE */
    struct value_iterator *iterator; /* ITERATOR; CYCLER: at is the current item */
    struct value_range *range;
    struct value_method *method;
    struct macro *macro;
    struct loop *loop;
    struct {
      struct value *separator;
      bool *used;
    } joiner;
  } as;
};

/* One rendering. The first failure is kept in err, and rc is its code. */
struct jinja {
  const struct template *t;
  struct arena *arena;
  struct error *err;
  int rc;
  int line; /* of the statement at work */
  bool raised;
  struct value raised_text; /* where raised: what raise_exception was given */
  const char *now;
  uint64_t steps, bytes;
  unsigned depth;
  struct jinja_text *out;
  struct scope *scope, *top;       /* top: of the template itself */
  struct variable *free_variables; /* of finished turns of loops */
  size_t macros;                   /* defined so far: each keeps the scope it was defined in */
  struct value block;              /* what a filter block or a filtered set hands to its filters */
  struct template_spans *spans;    /* generations are noted here, or NULL */
  struct arena *spans_arena;
  const struct jinja_text *rendering; /* what the template as a whole prints to */
};

/* Fails the run with a sentence; returns its code. */
int jinja_fail(struct jinja *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Counts work; fails the run when it is too much. */
int jinja_step(struct jinja *r, size_t n) MUST_USE;
/* Nesting of whatever recurses; jinja_leave after each success of jinja_enter. */
int jinja_enter(struct jinja *r) MUST_USE;
void jinja_leave(struct jinja *r);
/* Zeroed memory of the run; NULL after failing the run. */
void *jinja_alloc(struct jinja *r, size_t count, size_t size);

/* A growing text in the run's memory. Failures stay in the run: jinja_take returns them. */
struct jinja_text {
  struct jinja *r;
  char *bytes;
  size_t size, room;
};
void jinja_add(struct jinja_text *b, const char *bytes, size_t n);
void jinja_puts(struct jinja_text *b, const char *s);
void jinja_put_code(struct jinja_text *b, uint32_t code); /* one character */
int jinja_take(struct jinja_text *b, struct value *out) MUST_USE;

struct value value_none(void);
struct value value_bool(bool truth);
struct value value_int(wide n);
struct value value_float(double x);
struct value value_string(const char *bytes, size_t n); /* not copied */
struct value value_text(const char *s);                 /* a literal */
struct value value_undefined(const char *hint);
/* `count` items, undefined at first, to be filled in. kind: LIST, TUPLE or ITERATOR. */
int value_list_new(struct jinja *r, enum value_kind kind, size_t count, struct value *out,
                   struct value_list **list) MUST_USE;
int value_pair(struct jinja *r, struct value a, struct value b, struct value *out) MUST_USE; /* a tuple */
/* A list that grows; give it to value_list_from at the end. */
struct value_grow {
  struct value *items;
  size_t count, room;
};
int value_grow_add(struct jinja *r, struct value_grow *g, struct value v) MUST_USE;
int value_list_from(struct jinja *r, enum value_kind kind, const struct value_grow *g, struct value *out) MUST_USE;

int value_dict_new(struct jinja *r, enum value_kind kind, size_t room, struct value *out) MUST_USE;
int value_dict_set(struct jinja *r, struct value_dict *d, struct value key, struct value v) MUST_USE;
/* NULL where the key is absent. */
struct value *value_dict_get(struct jinja *r, const struct value_dict *d, const struct value *key);
struct value *value_dict_text(const struct value_dict *d, const char *key, size_t n);

int value_from_json(struct jinja *r, const json_t *j, unsigned depth, struct value *out) MUST_USE;

const char *value_type(const struct value *v); /* Python's name: "str", "dict", ... */
bool value_is_number(const struct value *v);   /* int, float, bool */
bool value_is_integer(const struct value *v);  /* int, bool */
bool value_is_string(const struct value *v, const char *s);
wide value_as_integer(const struct value *v); /* of an int or bool */
double value_as_real(const struct value *v);  /* of a number */
bool value_truth(const struct value *v);
/* == of Python; never fails but by depth (the run's rc). */
bool value_equal(struct jinja *r, const struct value *a, const struct value *b);
/* *order < 0, 0, > 0; fails where Python's < does. */
/* Fails where Python's hash does: lists, dicts, and tuples that hold one. */
int value_check_hashable(struct jinja *r, const struct value *v) MUST_USE;
int value_compare(struct jinja *r, const struct value *a, const struct value *b, int *order) MUST_USE;
/* The items of anything that can be walked over; an iterator is used up. */
int value_iterate(struct jinja *r, const struct value *v, struct value_list *out) MUST_USE;
int value_length(struct jinja *r, const struct value *v, size_t *out) MUST_USE;
int value_contains(struct jinja *r, const struct value *item, const struct value *in, bool *out) MUST_USE;

/* str(v) and repr(v), appended; and str(v) as a string value. */
int value_put_str(struct jinja_text *b, const struct value *v) MUST_USE;
int value_put_repr(struct jinja_text *b, const struct value *v) MUST_USE;
int value_to_string(struct jinja *r, const struct value *v, struct value *out) MUST_USE;
void value_put_real(struct jinja_text *b, double x);
void value_put_int(struct jinja_text *b, wide n);

/* Characters of a string. */
size_t string_length(const struct value *s);
/* The bytes of characters first .. first + count - 1. */
struct value string_part(const struct value *s, size_t first, size_t count);

#endif

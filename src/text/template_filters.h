/* text/template_filters: a filter's call, for the files that hold filters. */
#ifndef ASSAY_TEXT_TEMPLATE_FILTERS_H
#define ASSAY_TEXT_TEMPLATE_FILTERS_H

#include "text/template_run.h"

struct filter_call {
  struct jinja *r;
  const struct value *v; /* what is filtered */
  const struct arguments *args;
  const char *name;
  struct value *out;
};
struct filter {
  const char *name;
  int (*run)(struct filter_call *);
};
const struct filter *jinja_find_list_filter(const char *name); /* NULL: none */

/* template_markup.c */
int jinja_filter_markup(struct filter_call *c) MUST_USE; /* safe, escape, forceescape */
int jinja_filter_xmlattr(struct filter_call *c) MUST_USE;
/* template_layout.c */
int jinja_filter_wordwrap(struct filter_call *c) MUST_USE;
int jinja_filter_pprint(struct filter_call *c) MUST_USE;

#endif

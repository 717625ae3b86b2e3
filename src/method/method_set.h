/* method/method_set: what a composed set is made of; for the compose files of this folder alone. */
#ifndef ASSAY_METHOD_METHOD_SET_H
#define ASSAY_METHOD_METHOD_SET_H

#include "method/compose.h"

struct option_origin {
  const char *file; /* NULL: default */
  int line;
};

struct member {
  struct method_call call;            /* first: a method_call of the set is its member */
  size_t rank;                        /* place in the registry */
  const struct method_choice *choice; /* NULL: brought by a method that names it as base */
  struct option_origin *origins;      /* [option_count] */
  struct needs needs;                 /* its own, under its options */
  int32_t extra_count;                /* auxiliary sequences of the present mini-batch */
};

/* Metrics of a step, one slot for each metric that a member declares. */
struct report {
  size_t count;
  struct report_slot {
    const struct method *method;
    const struct metric *metric;
    const char *name; /* "<method>/<metric>" */
    double value;
    bool written;
  } * slots;
};

struct composed {
  struct arena *run, *scratch;
  const struct compose_options *options;
  struct member *members; /* [count] in the recipe's order, bases first */
  size_t count;
  struct member **table; /* [count] the same in table order */
  const struct member *owner[STAGE_COUNT];
  struct needs needs;
  struct report report;
};

/* Runs one hook with its scratch memory given back afterwards; returns from the caller where it fails. */
#define METHOD_RUN(member, hook, ...)                                                \
  do {                                                                               \
    struct arena_mark mark_ = arena_mark((member)->call.scratch);                    \
    struct method_call call_ = (member)->call;                                       \
    int rc_ = call_.method->hook(&call_, __VA_ARGS__);                               \
    arena_release((member)->call.scratch, mark_);                                    \
    if (rc_) return error_context(err, "%s, stage '%s'", call_.method->name, #hook); \
  } while (0)

static inline bool member_has(const struct member *m, enum method_stage stage)
{
  return method_has(m->call.method, stage);
}
/* "M gives NaN in stage S for problem P, rollout R": ERROR_INPUT. */
int method_bad_number(const struct step *s, const struct member *m, enum method_stage stage, int32_t rollout, double x,
                      struct error *err);
/* Whether a has b among its bases. */
bool method_refines(const struct method *a, const struct method *b);
/* The value of an option as a recipe would have it. */
void method_option_put(const struct method_option *o, const void *value, struct text *out);

#endif

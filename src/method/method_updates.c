/* Updates: which optimiser steps a step makes, the batches that they are made of, and auxiliary sequences. */
#include <string.h>

#include "core/math.h"
#include "method/method_replay.h"
#include "method/method_set.h"

enum { UPDATES_MOST = 32 };

static struct update main_update(const struct composed *set, const struct step *s)
{
  return (struct update){.name = "main",
                         .on = true,
                         .batch = s,
                         .old = OLD_RECORD,
                         .factor = 1.0,
                         .lr = 1.0,
                         .regularised = true,
                         .epochs = set->options->epochs,
                         .minibatches = set->options->minibatches};
}

int updates_add(struct update_list *l, const char *name, struct update **out, struct error *err)
{
  if (l->count == l->room)
    FAIL(err, ERROR_INPUT, "%s adds update \"%s\", one more than %d; this is the most that a step has room for",
         l->call->method->name, name, UPDATES_MOST);
  *out = &l->items[l->count++];
  **out = l->plain;
  (*out)->name = name;
  return 0;
}

/* A wrong list has one author: the method that wrote it last. */
static int check_updates(const struct member *m, const struct update_list *l, struct error *err)
{
  for (int32_t i = 0; i < l->count; i++) {
    const struct update *u = &l->items[i];
    if (!u->on) continue;
    ASSAY_BUG_IF(!u->batch || u->epochs < 1 || u->minibatches < 1);
    ASSAY_BUG_IF((u->loss != NULL) != (u->objective != NULL));
    if (!math_is_finite(u->factor) || !math_is_finite(u->lr) || u->lr < 0)
      FAIL(err, ERROR_INPUT,
           "%s gives update \"%s\" the factor %g and the learning rate factor %g; expected finite numbers; look at its "
           "options",
           m->call.method->name, u->name, u->factor, u->lr);
  }
  return 0;
}

int compose_updates(struct composed *set, struct step *s, struct update_list *out, struct error *err)
{
  *out = (struct update_list){.step = s, .count = 1, .room = UPDATES_MOST, .plain = main_update(set, s)};
  out->items = ARENA_NEW(s->arena, struct update, UPDATES_MOST, "step updates", err);
  if (!out->items) return err->code;
  out->items[0] = out->plain;
  for (size_t i = 0; i < set->count; i++) {
    struct member *m = &set->members[i];
    if (!member_has(m, STAGE_updates)) continue;
    out->call = &m->call;
    METHOD_RUN(m, updates, s, out, err);
    TRY(check_updates(m, out, err));
  }
  return 0;
}

/* ---- auxiliary sequences ----------------------------------------------------------------------------------------- */

bool compose_has_extra(const struct composed *set, const struct update *u)
{
  bool any = false;
  for (size_t i = 0; i < set->count; i++) any = any || member_has(&set->members[i], STAGE_extra);
  return any && u->regularised;
}

int extra_add(struct auxiliary *x, int32_t rollout, int32_t segment, int32_t begin, int32_t end, struct error *err)
{
  ASSAY_BUG_IF(x->scored || begin < 0 || end <= begin);
  if (x->count == x->room) {
    int32_t room = x->room ? 2 * x->room : 16;
    struct auxiliary_sequence *more = ARENA_NEW(x->arena, struct auxiliary_sequence, (size_t)room, "auxiliary", err);
    if (!more) return err->code;
    if (x->count) memcpy(more, x->sequences, (size_t)x->count * sizeof *more);
    x->sequences = more;
    x->room = room;
  }
  struct auxiliary_sequence *q = &x->sequences[x->count];
  *q = (struct auxiliary_sequence){.rollout = rollout, .segment = segment, .begin = begin, .end = end};
  q->logp = ARENA_NEW(x->arena, double, (size_t)(end - begin), "auxiliary", err);
  q->coef = ARENA_NEW(x->arena, double, (size_t)(end - begin), "auxiliary", err);
  if (!q->logp || !q->coef) return err->code;
  x->count++;
  return 0;
}

static int check_extra(const struct minibatch *m, const struct member *who, const struct auxiliary *x,
                       struct error *err)
{
  for (int32_t i = 0; i < x->count; i++) {
    const struct auxiliary_sequence *q = &x->sequences[i];
    for (int32_t k = 0; k < q->end - q->begin; k++)
      if (!math_is_finite(q->coef[k]) && q->rollout >= 0)
        return method_bad_number(m->step, who, STAGE_extra, q->rollout, q->coef[k], err);
  }
  if (math_is_finite(x->loss)) return 0;
  FAIL(err, ERROR_INPUT, "%s gives a loss that is not finite in stage 'extra'; look at its options",
       who->call.method->name);
}

/* Each member has sequences of its own: a part of the list. */
int compose_extra(struct composed *set, const struct minibatch *m, struct auxiliary *x, struct error *err)
{
  int32_t first = 0;
  double loss = 0;
  for (size_t i = 0; i < set->count; i++) {
    struct member *who = set->table[i];
    if (!member_has(who, STAGE_extra)) continue;
    struct auxiliary part = {.scored = x->scored, .arena = x->arena};
    if (x->scored) {
      part.sequences = x->sequences + first;
      part.count = part.room = who->extra_count;
    }
    METHOD_RUN(who, extra, m, &part, err);
    if (x->scored) TRY(check_extra(m, who, &part, err));
    for (int32_t k = 0; !x->scored && k < part.count; k++) {
      const struct auxiliary_sequence *q = &part.sequences[k];
      TRY(extra_add(x, q->rollout, q->segment, q->begin, q->end, err));
    }
    if (!x->scored) who->extra_count = part.count;
    first += who->extra_count;
    loss += part.loss;
  }
  x->loss = loss;
  return 0;
}

int compose_evaluate(struct composed *set, struct evaluation *records, struct error *err)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = set->table[i];
    if (member_has(m, STAGE_evaluate)) METHOD_RUN(m, evaluate, records, err);
  }
  return 0;
}

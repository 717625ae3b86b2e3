#include "reward/verifier.h"
#include <stdio.h>
#include <string.h>

#define X(name) extern const struct verifier verifier_##name;
#include "verifier_table.h"
#undef X

static const struct verifier *const verifiers[] = {
#define X(name) &verifier_##name,
#include "verifier_table.h"
#undef X
};

size_t verifier_count(void)
{
  return sizeof verifiers / sizeof *verifiers;
}

const struct verifier *verifier_at(size_t i)
{
  ASSAY_BUG_IF(i >= verifier_count());
  return verifiers[i];
}

const struct verifier *verifier_find(const char *name, struct error *err)
{
  const char *names[sizeof verifiers / sizeof *verifiers];
  for (size_t i = 0; i < verifier_count(); i++) {
    if (!strcmp(verifiers[i]->name, name)) return verifiers[i];
    names[i] = verifiers[i]->name;
  }
  (void)!names_unknown("verifier", name, names, verifier_count(), NULL, 0, err);
  return NULL;
}

int verifier_open(struct arena *a, const struct verifier *v, const struct setting_given *given, size_t given_count,
                  double timeout, struct verifier_config **out, struct error *err)
{
  char owner[64];
  struct verifier_config *c = ARENA_NEW(a, struct verifier_config, 1, "verifier", err);
  if (!c) return err->code;
  c->verifier = v;
  c->timeout = timeout > 0 ? timeout : 30;
  snprintf(owner, sizeof owner, "verifier %s", v->name);
  TRY(settings_read(a, owner, v->settings, v->setting_count, given, given_count, &c->values, err));
  if (v->open) TRY(v->open(a, c, err));
  *out = c;
  return 0;
}

const struct setting_value *verifier_value(const struct verifier_config *c, const char *name)
{
  return settings_value(c->verifier->settings, c->verifier->setting_count, c->values, name);
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

struct opened {
  const char *name;
  const struct setting_given *settings; /* of the source: the same pointer is the same settings */
  struct verifier_config *config;
  struct opened *next;
};

struct verifier_set {
  struct arena *arena;
  double timeout;
  struct opened *first;
};

int verifier_set_create(struct arena *a, double timeout, struct verifier_set **out, struct error *err)
{
  struct verifier_set *set = ARENA_NEW(a, struct verifier_set, 1, "verifiers", err);
  if (!set) return err->code;
  *set = (struct verifier_set){.arena = a, .timeout = timeout};
  *out = set;
  return 0;
}

static int open_kind(struct verifier_set *set, const struct problem *p, struct opened **out, struct error *err)
{
  const struct verifier *v = verifier_find(p->verifier, err);
  struct opened *o = v ? ARENA_NEW(set->arena, struct opened, 1, "verifiers", err) : NULL;
  if (!o) return err->code;
  *o = (struct opened){.name = v->name, .settings = p->verifier_settings, .next = set->first};
  TRY(verifier_open(set->arena, v, p->verifier_settings, p->verifier_setting_count, set->timeout, &o->config, err));
  set->first = o;
  *out = o;
  return 0;
}

int verifier_set_find(struct verifier_set *set, const struct problem *p, const struct verifier_config **out,
                      struct error *err)
{
  struct opened *o = set->first;
  while (o && (o->settings != p->verifier_settings || strcmp(o->name, p->verifier))) o = o->next;
  if (!o && open_kind(set, p, &o, err)) return error_place(err, p->source, p->line);
  *out = o->config;
  return 0;
}

/* Resolving: from names and options to a set in which every stage has its owner. */
#include "method/compose.h"

#include <stdio.h>
#include <string.h>

#include "core/settings.h"
#include "method/method_replay.h"
#include "method/method_set.h"

bool method_refines(const struct method *a, const struct method *b)
{
  for (size_t depth = 0; a->base; depth++) {
    ASSAY_BUG_IF(depth > method_count()); /* bases form a circle */
    a = method_find(a->base);
    ASSAY_BUG_IF(!a); /* a base that is not in the table */
    if (a == b) return true;
  }
  return false;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void set_default(const struct method_option *o, void *self)
{
  char *at = (char *)self + o->at;
  switch (o->type) {
    case METHOD_OPTION_REAL:
      *(double *)(void *)at = o->fallback;
      break;
    case METHOD_OPTION_INT:
      *(int64_t *)(void *)at = (int64_t)o->fallback;
      break;
    case METHOD_OPTION_BOOL:
      *(bool *)(void *)at = o->fallback > 0;
      break;
    case METHOD_OPTION_ENUM:
      *(int32_t *)(void *)at = (int32_t)o->fallback;
      break;
    case METHOD_OPTION_STRING:
      *(const char **)(void *)at = o->text;
      break;
  }
}

/* The ordinal of a word in "a|b|c", or -1. */
static int32_t word_ordinal(const char *words, const char *word)
{
  size_t n = strlen(word);
  for (int32_t i = 0;; i++) {
    const char *end = strchr(words, '|');
    size_t length = end ? (size_t)(end - words) : strlen(words);
    if (length == n && !memcmp(words, word, n)) return i;
    if (!end) return -1;
    words = end + 1;
  }
}

static int bad_value(const struct method *m, const struct method_option *o, const struct yaml_node *v,
                     struct error *err)
{
  char key[128];
  snprintf(key, sizeof key, "methods.%s.%s", m->name, o->name);
  const char *found = v->kind == YAML_SCALAR ? v->text : v->kind == YAML_LIST ? "a list" : "a map";
  if (o->type == METHOD_OPTION_ENUM) {
    FAIL_AT(err, ERROR_INPUT, v->file, v->line, key, "%s: found \"%s\"; expected one of %s; choose one", key, found,
            o->text);
  }
  char wanted[96];
  bool whole = o->type == METHOD_OPTION_INT;
  if (whole || o->type == METHOD_OPTION_REAL)
    number_wanted(whole, o->low, o->high, wanted, sizeof wanted);
  else
    snprintf(wanted, sizeof wanted, "%s", o->type == METHOD_OPTION_BOOL ? "true or false" : "a string");
  FAIL_AT(err, ERROR_INPUT, v->file, v->line, key, "%s: found \"%s\"; expected %s; change it", key, found, wanted);
}

static int set_option(const struct method *m, const struct method_option *o, const struct yaml_node *v, void *self,
                      struct error *err)
{
  char *at = (char *)self + o->at;
  if (v->kind != YAML_SCALAR) return bad_value(m, o, v, err);
  bool good = false;
  switch (o->type) {
    case METHOD_OPTION_REAL: {
      double x = 0;
      good = yaml_as_real(v, &x) && x >= o->low && x <= o->high;
      *(double *)(void *)at = x;
      break;
    }
    case METHOD_OPTION_INT: {
      int64_t x = 0;
      good = yaml_as_int(v, &x) && (double)x >= o->low && (double)x <= o->high;
      *(int64_t *)(void *)at = x;
      break;
    }
    case METHOD_OPTION_BOOL:
      good = yaml_as_bool(v, (bool *)(void *)at);
      break;
    case METHOD_OPTION_ENUM: {
      int32_t x = word_ordinal(o->text, v->text);
      good = x >= 0;
      *(int32_t *)(void *)at = x;
      break;
    }
    case METHOD_OPTION_STRING:
      good = true;
      *(const char **)(void *)at = yaml_is_null(v) ? NULL : v->text;
      break;
  }
  return good ? 0 : bad_value(m, o, v, err);
}

static int unknown_option(struct composed *set, const struct method *m, const struct yaml_node *map, size_t i,
                          struct error *err)
{
  const char **names = ARENA_NEW(set->run, const char *, m->option_count, "methods", err);
  if (!names) return err->code;
  for (size_t o = 0; o < m->option_count; o++) names[o] = m->options[o].name;
  const char *nearest = name_nearest(map->keys[i], names, m->option_count);
  FAIL_AT(err, ERROR_INPUT, map->items[i]->file, map->key_lines[i], map->keys[i],
          "method %s has no option \"%s\"; %s%s%sassay methods %s lists them", m->name, map->keys[i],
          nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "", m->name);
}

static int read_options(struct composed *set, struct member *member, struct error *err)
{
  const struct method *m = member->call.method;
  const struct yaml_node *map = member->choice ? member->choice->options : NULL;
  for (size_t o = 0; o < m->option_count; o++) set_default(&m->options[o], member->call.self);
  if (!map || yaml_is_null(map)) return 0;
  if (map->kind != YAML_MAP) {
    FAIL_AT(err, ERROR_INPUT, map->file, map->line, m->name,
            "the options of method %s are not a map; expected {option: value}; write {%s: {...}}", m->name, m->name);
  }
  for (size_t i = 0; i < map->count; i++) {
    size_t o = 0;
    while (o < m->option_count && strcmp(m->options[o].name, map->keys[i])) o++;
    if (o == m->option_count) return unknown_option(set, m, map, i, err);
    TRY(set_option(m, &m->options[o], map->items[i], member->call.self, err));
    member->origins[o] = (struct option_origin){.file = map->items[i]->file, .line = map->items[i]->line};
  }
  return 0;
}

/* ---- members ---------------------------------------------------------------------------------------------------- */

static struct member *find_member(const struct composed *set, const struct method *m)
{
  for (size_t i = 0; i < set->count; i++) {
    if (set->members[i].call.method == m) return &set->members[i];
  }
  return NULL;
}

static int unknown_method(struct composed *set, const struct method_choice *c, struct error *err)
{
  const char **names = ARENA_NEW(set->run, const char *, method_count(), "methods", err);
  if (!names) return err->code;
  for (size_t i = 0; i < method_count(); i++) names[i] = method_at(i)->name;
  const char *nearest = name_nearest(c->name, names, method_count());
  FAIL_AT(err, ERROR_INPUT, c->file, c->line, "methods",
          "there is no method \"%s\"; %s%s%sassay methods lists them all", c->name, nearest ? "did you mean \"" : "",
          nearest ? nearest : "", nearest ? "\"? " : "");
}

/* Adds a method, its base first; options from the choice that names it, if there is one. */
static int add_member(struct composed *set, const struct method *m, const struct method_choice *choices, size_t count,
                      struct error *err)
{
  if (find_member(set, m)) return 0;
  if (m->base) {
    const struct method *base = method_find(m->base);
    ASSAY_BUG_IF(!base || base == m || method_refines(base, m));
    TRY(add_member(set, base, choices, count, err));
  }
  struct member *member = &set->members[set->count];
  size_t size = m->self_size ? m->self_size : 1;
  member->call = (struct method_call){.method = m, .scratch = set->scratch, .run = set->run, .report = &set->report};
  member->call.seed = set->options->seed;
  member->call.self = arena_push(set->run, 1, size, "method state", err);
  member->origins = ARENA_NEW(set->run, struct option_origin, m->option_count, "methods", err);
  if (!member->call.self || !member->origins) return err->code;
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(choices[i].name, m->name)) member->choice = &choices[i];
  }
  while (method_at(member->rank) != m) member->rank++;
  if (m->base) member->call.base = &find_member(set, method_find(m->base))->call;
  TRY(read_options(set, member, err));
  set->count++;
  return 0;
}

static int add_choices(struct composed *set, const struct method_choice *choices, size_t count, struct error *err)
{
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < i; j++) {
      if (strcmp(choices[i].name, choices[j].name)) continue;
      FAIL_AT(err, ERROR_INPUT, choices[i].file, choices[i].line, "methods",
              "method %s stands twice, first in line %d; a method runs once; remove one", choices[i].name,
              choices[j].line);
    }
    if (!method_find(choices[i].name)) return unknown_method(set, &choices[i], err);
  }
  for (size_t i = 0; i < count; i++) TRY(add_member(set, method_find(choices[i].name), choices, count, err));
  /* The same members in table order, for sums and products. */
  for (size_t i = 0; i < set->count; i++) {
    size_t at = i;
    for (; at > 0 && set->table[at - 1]->rank > set->members[i].rank; at--) set->table[at] = set->table[at - 1];
    set->table[at] = &set->members[i];
  }
  return 0;
}

/* Where to point in a message: the method itself, or the first that brought it. */
static const struct method_choice *place(const struct composed *set, const struct member *m)
{
  for (size_t i = 0; !m->choice && i < set->count; i++) {
    const struct member *other = &set->members[i];
    if (other->choice && method_refines(other->call.method, m->call.method)) return other->choice;
  }
  return m->choice;
}

static int check_conflicts(const struct composed *set, struct error *err)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct method *m = set->members[i].call.method;
    for (const char *const *name = m->conflicts; name && *name; name++) {
      const struct method *other = method_find(*name);
      if (!other || !find_member(set, other)) continue;
      const struct method_choice *at = place(set, &set->members[i]);
      FAIL_AT(err, ERROR_INPUT, at->file, at->line, "methods",
              "methods %s and %s do not go together (see assay methods %s); name one of them", m->name, *name, m->name);
    }
  }
  return 0;
}

/* ---- stages ----------------------------------------------------------------------------------------------------- */

/* A member as the recipe's author knows it: a base that stands in no recipe comes with the method that brought it. */
static const char *spoken(const struct composed *set, const struct member *m, char *buf, size_t size)
{
  if (m->choice) return m->call.method->name;
  snprintf(buf, size, "%s (the base of %s)", m->call.method->name, place(set, m)->name);
  return buf;
}

/* The owner is the one that no other candidate refines. */
static int find_owner(struct composed *set, enum method_stage stage, struct error *err)
{
  const struct member *owner = NULL;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = &set->members[i];
    if (!method_has(m->call.method, stage)) continue;
    if (!owner || method_refines(m->call.method, owner->call.method)) {
      owner = m;
    } else if (!method_refines(owner->call.method, m->call.method)) {
      const struct method_choice *at = place(set, m);
      char first[128], second[128];
      FAIL_AT(
          err, ERROR_INPUT, at->file, at->line, "methods",
          "%s and %s both own the stage '%s'; one method must own it; name one of them, or one that refines the other",
          spoken(set, owner, first, sizeof first), spoken(set, m, second, sizeof second), method_stage_name(stage));
    }
  }
  if (!owner) {
    const struct method_choice *at = place(set, &set->members[0]);
    FAIL_AT(err, ERROR_INPUT, at->file, at->line, "methods",
            "nothing owns the stage '%s'; exactly one method must; add one that does, such as grpo",
            method_stage_name(stage));
  }
  set->owner[stage] = owner;
  return 0;
}

/* The needs of one more method; where they contradict those of another, the sentence names both. */
static int unite_needs(struct composed *set, const struct member *m, const struct needs *n, struct error *err)
{
  int rc = needs_add(&set->needs, n, m->call.method->name, err);
  for (size_t i = 0; rc && set->table[i] != m; i++) {
    struct needs other = set->table[i]->needs;
    struct error trial = {0};
    if (needs_add(&other, n, m->call.method->name, &trial)) {
      rc = error_context(err, "%s beside %s", m->call.method->name, set->table[i]->call.method->name);
      break;
    }
  }
  return rc;
}

static int add_needs(struct composed *set, struct member *m, struct error *err)
{
  struct needs n = {0};
  if (!m->call.method->declare) return 0;
  int rc = m->call.method->declare(m->call.self, &n, err);
  if (!rc && (n.flags & ~m->call.method->needs)) ASSAY_BUG_IF(true); /* the docs would not mention it */
  for (size_t i = 0; !rc && i < method_need_count(); i++) {
    const struct method_need *need = method_need_at(i);
    if (!(n.flags & need->flag) || need->run) continue;
    rc = error_fail(err, ERROR_INPUT, NULL, 0, "methods",
                    "method %s needs '%s' (%s); this build does not provide it; leave the method out, or change the "
                    "option that asks for it",
                    m->call.method->name, need->word, need->what);
  }
  if (!rc) rc = unite_needs(set, m, &n, err);
  if (!rc && n.flags & NEED_REPLAY) rc = replay_create(set->run, &m->call.replay, err);
  if (!rc) {
    m->needs = n;
    return 0;
  }
  const struct method_choice *at = place(set, m);
  error_place(err, at->file, at->line);
  return rc;
}

static int make_report(struct composed *set, struct error *err)
{
  size_t room = 0;
  for (size_t i = 0; i < set->count; i++) room += set->members[i].call.method->metric_count;
  set->report.slots = ARENA_NEW(set->run, struct report_slot, room, "method metrics", err);
  if (!set->report.slots) return err->code;
  for (size_t i = 0; i < set->count; i++) {
    const struct method *m = set->table[i]->call.method;
    for (size_t k = 0; k < m->metric_count; k++) {
      struct report_slot *slot = &set->report.slots[set->report.count++];
      *slot = (struct report_slot){.method = m, .metric = &m->metrics[k]};
      slot->name = arena_printf(set->run, "method metrics", err, "%s/%s", m->name, m->metrics[k].name);
      if (!slot->name) return err->code;
    }
  }
  return 0;
}

static void destroy_scratch(void *arena)
{
  arena_destroy(arena);
}

static int resolve(struct composed *set, const struct method_choice *choices, size_t count, struct error *err)
{
  TRY(add_choices(set, choices, count, err));
  TRY(check_conflicts(set, err));
  for (enum method_stage stage = 0; stage < STAGE_COUNT; stage++) {
    if (method_stage_rule(stage) == RULE_OWNER) TRY(find_owner(set, stage, err));
  }
  for (size_t i = 0; i < set->count; i++) TRY(add_needs(set, set->table[i], err));
  return make_report(set, err);
}

int compose_open(struct arena *run, const struct method_choice *choices, size_t count, const struct compose_options *o,
                 struct composed **out, struct error *err)
{
  if (count == 0) FAIL(err, ERROR_INPUT, "no method is named; expected at least one; write methods: [grpo]");
  struct composed *set = ARENA_NEW(run, struct composed, 1, "methods", err);
  struct compose_options *options = ARENA_NEW(run, struct compose_options, 1, "methods", err);
  if (!set || !options) return err->code;
  *options = *o;
  set->run = run;
  set->options = options;
  set->members = ARENA_NEW(run, struct member, method_count(), "methods", err);
  set->table = ARENA_NEW(run, struct member *, method_count(), "methods", err);
  if (!set->members || !set->table) return err->code;
  set->scratch = arena_create("method scratch", 0, err);
  if (!set->scratch) return err->code;
  int rc = arena_on_reset(run, destroy_scratch, set->scratch, err);
  if (rc) {
    arena_destroy(set->scratch);
    return rc;
  }
  TRY(resolve(set, choices, count, err));
  *out = set;
  return 0;
}

/* ---- looking at a set ------------------------------------------------------------------------------------------- */

const struct needs *compose_needs(const struct composed *set)
{
  return &set->needs;
}

size_t compose_members(const struct composed *set)
{
  return set->count;
}

const struct method_call *compose_member(const struct composed *set, size_t i)
{
  ASSAY_BUG_IF(i >= set->count);
  return &set->members[i].call;
}

const struct method_call *compose_owner(const struct composed *set, enum method_stage stage)
{
  return set->owner[stage] ? &set->owner[stage]->call : NULL;
}

size_t compose_contributors(const struct composed *set, enum method_stage stage, const struct method_call **out,
                            size_t max)
{
  enum method_rule rule = method_stage_rule(stage);
  size_t n = 0;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = rule == RULE_CHAIN ? &set->members[i] : set->table[i];
    if (!method_has(m->call.method, stage) || (rule == RULE_OWNER && m != set->owner[stage])) continue;
    if (n < max) out[n] = &m->call;
    n++;
  }
  return n;
}

int compose_option_text(const struct composed *set, size_t member, size_t option, struct text *out, const char **origin,
                        struct error *err)
{
  ASSAY_BUG_IF(member >= set->count || option >= set->members[member].call.method->option_count);
  const struct member *m = &set->members[member];
  const struct method_option *o = &m->call.method->options[option];
  method_option_put(o, (const char *)m->call.self + o->at, out);
  const struct option_origin *from = &m->origins[option];
  *origin = "default";
  if (from->file) {
    *origin = from->line ? arena_printf(set->run, "methods", err, "%s:%d", from->file, from->line) : from->file;
    if (!*origin) return err->code;
  }
  return text_finish(out, err);
}

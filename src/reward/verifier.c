#include "reward/verifier.h"
#include <stdio.h>
#include <string.h>
#include "data/source.h"

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

static bool overridable(const char *fields, const char *name)
{
  size_t n = strlen(name);
  for (const char *at = fields; (at = strstr(at, name)); at += n)
    if ((at == fields || at[-1] == ' ') && at[n] == '?') return true;
  return false;
}

int verifier_option(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *name,
                    struct setting_value *out, struct error *err)
{
  const json_t *field = json_object_get(p->fields, name);
  const struct setting *row = NULL;
  struct setting_value *read;
  ASSAY_BUG_IF(!overridable(c->verifier->fields, name));
  *out = *verifier_value(c, name);
  if (!field || json_is_null(field)) return 0;
  for (size_t i = 0; i < c->verifier->setting_count; i++)
    if (!strcmp(c->verifier->settings[i].name, name)) row = &c->verifier->settings[i];
  if (row->type == SETTING_BOOL && !json_is_boolean(field))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, name,
            "found the field %s, which is no boolean; expected true or false", name);
  struct setting_given given = {.key = name, .file = p->source, .line = p->line};
  TRY(problem_value_text(a, field, &given.text, err));
  TRY(settings_read(a, c->verifier->name, row, 1, &given, 1, &read, err));
  *out = *read;
  return 0;
}

int verifier_check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  struct verdict verdict;
  if (c->verifier->check) return c->verifier->check(a, c, p, err);
  return c->verifier->outside ? 0 : c->verifier->judge(a, c, p, "", 0, &verdict, err);
}

/* ---- what kinds share -------------------------------------------------------------------------------------------- */

/* The last place where word stands, or n. */
static size_t last_place(const char *s, size_t n, const char *word)
{
  size_t length = strlen(word);
  for (size_t i = n >= length ? n - length + 1 : 0; i-- > 0;)
    if (!memcmp(s + i, word, length)) return i;
  return n;
}

bool verdict_skip_thinking(const char **response, size_t *n)
{
  size_t begin = last_place(*response, *n, "<think>"), end = last_place(*response, *n, "</think>");
  if (begin < *n && (end == *n || end < begin)) return false;
  if (end == *n) return true;
  *response += end + 8;
  *n -= end + 8;
  return true;
}

/* The fence at or behind s[at] that begins a line; n: none. */
static size_t next_fence(const char *s, size_t n, size_t at)
{
  for (; at + 3 <= n; at++) {
    const char *found = memchr(s + at, '`', n - at);
    if (!found || (at = (size_t)(found - s)) + 3 > n) return n;
    size_t line = at;
    while (line && (s[line - 1] == ' ' || s[line - 1] == '\t')) line--;
    if ((!line || s[line - 1] == '\n') && s[at + 1] == '`' && s[at + 2] == '`') return at;
    while (at + 1 < n && s[at + 1] == '`') at++;
  }
  return n;
}

static bool has_name(const char *s, size_t n, const char *const *names)
{
  size_t length = 0;
  while (length < n && s[length] > ' ') length++;
  for (; *names; names++) {
    bool same = strlen(*names) == length;
    for (size_t i = 0; same && i < length; i++) same = (s[i] | 32) == (*names)[i];
    if (same) return true;
  }
  return false;
}

bool verdict_last_block(const char *s, size_t n, const char *const *names, const char **block, size_t *size)
{
  bool found = false, named = false;
  for (size_t at = next_fence(s, n, 0); at < n;) {
    size_t name = at + 3, line = name;
    while (line < n && s[line] != '\n') line++;
    size_t end = next_fence(s, n, line);
    bool is_named = has_name(s + name, line - name, names);
    if (line < n && (is_named || !named)) {
      *block = s + line + 1;
      *size = end - line - 1;
      found = true;
      named = is_named;
    }
    at = end < n ? next_fence(s, n, end + 3) : n;
  }
  return found;
}

const char *verdict_shown(struct arena *a, const char *s, size_t n, size_t most, struct error *err)
{
  size_t keep = n <= most ? n : most;
  while (keep < n && keep && ((unsigned char)s[keep] & 0xc0) == 0x80) keep--;
  char *out = ARENA_NEW(a, char, keep + 4, "verdict", err);
  if (!out) return "";
  for (size_t i = 0; i < keep; i++) out[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i];
  memcpy(out + keep, keep < n ? "..." : "", keep < n ? 4 : 1);
  return out;
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

bool verifier_set_waits(const struct verifier_set *set)
{
  for (const struct opened *o = set->first; o; o = o->next)
    if (o->config->verifier->waits) return true;
  return false;
}

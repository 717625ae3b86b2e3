/* Writing the resolved recipe, and comparing two of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/cursor.h"
#include "core/math.h"
#include "train/given.h"
#include "train/recipe_parts.h"

/* ---- YAML pieces ------------------------------------------------------------------------------------------------ */

void recipe_put_quoted(struct text *t, const char *s)
{
  const uint8_t *at = (const uint8_t *)s, *end = at + strlen(s);
  text_puts(t, "\"");
  while (at < end) {
    uint32_t code;
    size_t n = utf8_decode(at, (size_t)(end - at), &code);
    if (n == 0) { /* not UTF-8: the reader would not have let it in */
      code = 0xfffd;
      n = 1;
    }
    bool plain = (code >= 0x20 && code < 0x7f) || (code >= 0xa0 && code < 0xd800 && code != 0x2028 && code != 0x2029) ||
                 (code >= 0xe000 && code < 0xfffe && code != 0xfeff);
    if (code == '"' || code == '\\')
      text_printf(t, "\\%c", (char)code);
    else if (plain)
      text_add(t, at, n);
    else if (code > 0xffff)
      text_printf(t, "\\U%08" PRIX32, code);
    else
      text_printf(t, "\\u%04" PRIX32, code);
    at += n;
  }
  text_puts(t, "\"");
}

static void put_text(struct text *t, const char *s)
{
  if (s)
    recipe_put_quoted(t, s);
  else
    text_puts(t, "null");
}

static void put_real(struct text *t, double x)
{
  if (math_is_finite(x))
    json_put_f64(t, x);
  else
    text_puts(t, math_is_nan(x) ? "auto" : x < 0 ? "-.inf" : ".inf");
}

/* A scalar stays what it was: numbers, booleans and null as they stand, anything else in quotes. */
static void put_scalar(struct text *t, const struct yaml_node *n)
{
  double x;
  bool yes;
  bool bare = !n->quoted && (yaml_as_real(n, &x) || yaml_as_bool(n, &yes));
  if (yaml_is_null(n))
    text_puts(t, "null");
  else if (bare)
    text_puts(t, n->text);
  else
    recipe_put_quoted(t, n->text);
}

static void put_node(struct text *t, const struct yaml_node *n)
{
  if (n->kind == YAML_SCALAR) {
    put_scalar(t, n);
    return;
  }
  bool map = n->kind == YAML_MAP;
  text_puts(t, map ? "{" : "[");
  for (size_t i = 0; i < n->count; i++) {
    if (i) text_puts(t, ", ");
    if (map) recipe_put_quoted(t, n->keys[i]);
    if (map) text_puts(t, ": ");
    put_node(t, n->items[i]);
  }
  text_puts(t, map ? "}" : "]");
}

static const char *origin(const char *file, int line, char *buf, size_t size)
{
  if (!file)
    snprintf(buf, size, "default");
  else if (!line)
    snprintf(buf, size, "%s", file);
  else
    snprintf(buf, size, "%s:%d", file, line);
  for (char *p = buf; *p; p++) {
    if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
  }
  return buf;
}

static void put_comment(struct text *t, const char *file, int line)
{
  char buf[600];
  text_printf(t, "  # %s\n", origin(file, line, buf, sizeof buf));
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void put_word(const char *words, int32_t ordinal, struct text *t)
{
  while (ordinal-- > 0) words = strchr(words, '|') + 1;
  text_add(t, words, strcspn(words, "|"));
}

void recipe_value_text(const struct recipe *r, const struct recipe_key *k, struct text *t)
{
  const void *at = (const char *)r + k->at;
  int64_t whole = 0;
  switch (k->type) {
    case RECIPE_REAL:
    case RECIPE_REAL_AUTO:
      put_real(t, *(const double *)at);
      break;
    case RECIPE_BOOL:
      text_puts(t, *(const bool *)at ? "true" : "false");
      break;
    case RECIPE_ENUM:
      put_word(k->words, *(const int32_t *)at, t);
      break;
    case RECIPE_TEXT:
      put_text(t, *(const char *const *)at);
      break;
    case RECIPE_SWITCH:
      text_puts(t, *(const int32_t *)at < 0 ? "auto" : *(const int32_t *)at ? "true" : "false");
      break;
    case RECIPE_INT:
    case RECIPE_AUTO:
    case RECIPE_SIZE:
      whole = *(const int64_t *)at;
      if (whole == 0 && k->type != RECIPE_INT)
        text_puts(t, "auto");
      else
        json_put_int(t, whole);
      break;
    case RECIPE_PAIR: {
      const struct recipe_pair *pair = at;
      text_puts(t, "[");
      put_real(t, pair->first);
      text_puts(t, ", ");
      put_real(t, pair->second);
      text_puts(t, "]");
      break;
    }
    case RECIPE_TEXTS: {
      const struct recipe_texts *list = at;
      text_puts(t, "[");
      for (size_t i = 0; i < list->count; i++) {
        if (i) text_puts(t, ", ");
        recipe_put_quoted(t, list->items[i]);
      }
      text_puts(t, "]");
      break;
    }
  }
}

const char *recipe_origin_text(const struct recipe *r, const char *key, char *buf, size_t size)
{
  const struct recipe_origin *from = NULL;
  for (size_t i = 0; i < recipe_key_count(); i++) {
    char path[128];
    recipe_key_path(recipe_key_at(i), path, sizeof path);
    if (!strcmp(path, key)) from = &r->origins[i];
  }
  ASSAY_BUG_IF(!from); /* a key that no recipe has */
  return origin(from->file, from->line, buf, size);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static void put_data(const struct recipe_data *data, size_t count, const char *indent, struct text *t)
{
  text_printf(t, "%sdata:\n", indent);
  for (size_t i = 0; i < count; i++) {
    text_printf(t, "%s  - ", indent);
    put_node(t, data[i].node);
    put_comment(t, data[i].node->file, data[i].node->line);
  }
}

static void put_channels(const struct recipe *r, struct text *t)
{
  if (!r->channel_count) return;
  text_puts(t, "  channels: ");
  put_node(t, r->channels_node);
  put_comment(t, r->channels_node->file, r->channels_node->line);
}

static void put_combine(const struct recipe *r, struct text *t)
{
  if (r->combination) {
    text_puts(t, "  combine: ");
    combine_put(r->combination, t);
    text_puts(t, "\n");
    return;
  }
  text_puts(t, "  combine: [");
  for (size_t i = 0; i < r->combine_count; i++) {
    text_puts(t, i ? ", {" : "{");
    recipe_put_quoted(t, r->combine[i].channel);
    text_puts(t, ": ");
    put_real(t, r->combine[i].weight);
    text_puts(t, "}");
  }
  text_puts(t, "]\n");
}

/* All members with all options, in the order that gives the same set again. */
static int put_members(const struct composed *set, struct text *t, struct error *err)
{
  for (size_t i = 0; i < compose_members(set); i++) {
    const struct method *m = compose_member(set, i)->method;
    text_printf(t, "  - %s%s\n", m->name, m->option_count ? ":" : "");
    for (size_t o = 0; o < m->option_count; o++) {
      const char *from;
      text_printf(t, "      %s: ", m->options[o].name);
      TRY(compose_option_text(set, i, o, t, &from, err));
      put_comment(t, from, 0);
    }
  }
  return 0;
}

static int put_methods(const struct recipe *r, const struct composed *set, struct text *t, struct error *err)
{
  text_puts(t, "methods:\n");
  if (set) return put_members(set, t, err);
  for (size_t i = 0; i < r->method_count; i++) {
    const struct method_choice *m = &r->methods[i];
    text_puts(t, "  - ");
    recipe_put_quoted(t, m->name);
    if (m->options) {
      text_puts(t, ": ");
      put_node(t, m->options);
    }
    put_comment(t, m->file, m->line);
  }
  return 0;
}

static int put_group(const struct recipe *r, const struct composed *set, const char *group, struct text *t,
                     struct error *err)
{
  bool top = !strcmp(group, "top");
  if (!top) text_printf(t, "%s:\n", group);
  if (!strcmp(group, "eval") && r->eval_data_count) put_data(r->eval_data, r->eval_data_count, "  ", t);
  if (!strcmp(group, "reward")) put_channels(r, t);
  if (!strcmp(group, "reward")) put_combine(r, t);
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    if (strcmp(k->group, group) || !recipe_key_applies(k, r->kind)) continue;
    text_printf(t, "%s%s: ", top ? "" : "  ", k->name);
    recipe_value_text(r, k, t);
    put_comment(t, r->origins[i].file, r->origins[i].line);
  }
  if (top) put_data(r->data, r->data_count, "", t);
  if (!strcmp(group, "template") && (r->kind == RECIPE_TRAIN || given_sequences(r) > 1))
    return put_methods(r, set, t, err);
  return 0;
}

int recipe_write(const struct recipe *r, const struct composed *set, struct text *t, struct error *err)
{
  text_puts(t, "# The resolved recipe: every key with its value and where it came from.\n");
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    bool first = i == 0 || strcmp(k->group, recipe_key_at(i - 1)->group);
    bool none = r->kind == RECIPE_SFT && (!strcmp(k->group, "rollout") || !strcmp(k->group, "reward"));
    if (first && !none) TRY(put_group(r, set, k->group, t, err));
  }
  return text_finish(t, err);
}

/* ---- resume ----------------------------------------------------------------------------------------------------- */

/* train.steps, save, eval, compute.threads and compute.memory. */
static bool may_change(const struct recipe_key *k)
{
  if (!strcmp(k->group, "save") || !strcmp(k->group, "eval")) return true;
  if (!strcmp(k->group, "train")) return !strcmp(k->name, "steps") || !strcmp(k->name, "passes");
  return !strcmp(k->group, "compute") && (!strcmp(k->name, "threads") || !strcmp(k->name, "memory"));
}

static int compare(const char *key, const struct text *saved, const struct text *now, const char *file, int line,
                   struct error *err)
{
  TRY(text_finish(saved, err));
  TRY(text_finish(now, err));
  const char *a = saved->bytes ? saved->bytes : "", *b = now->bytes ? now->bytes : "";
  if (!strcmp(a, b)) return 0;
  FAIL_AT(err, ERROR_INPUT, file, line, key,
          "%s is %.200s, but the run began with %.200s; on --resume only train.steps (or passes), save, eval, "
          "compute.threads and "
          "compute.memory may change; "
          "start a new run, or set it back",
          key, b, a);
}

static int compare_keys(const struct recipe *saved, const struct recipe *now, struct error *err)
{
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    if (may_change(k) || !recipe_key_applies(k, now->kind)) continue;
    if (k->at == offsetof(struct recipe, template.now) && !now->template.now)
      continue; /* the run's first start is kept */
    char path[128];
    struct text a = {0}, b = {0};
    recipe_key_path(k, path, sizeof path);
    recipe_value_text(saved, k, &a);
    recipe_value_text(now, k, &b);
    int rc = compare(path, &a, &b, now->origins[i].file, now->origins[i].line, err);
    text_free(&a);
    text_free(&b);
    if (rc) return rc;
  }
  return 0;
}

static int compare_data(const struct recipe *saved, const struct recipe *now, struct error *err)
{
  struct text a = {0}, b = {0};
  for (size_t i = 0; i < saved->data_count; i++) put_node(&a, saved->data[i].node);
  for (size_t i = 0; i < now->data_count; i++) put_node(&b, now->data[i].node);
  int rc = compare("data", &a, &b, now->data[0].node->file, now->data[0].node->line, err);
  text_free(&a);
  text_free(&b);
  return rc;
}

/* Members and options as they come out, whether written or not: a saved recipe has them all. */
static int put_resolved(struct arena *a, const struct recipe *r, struct text *t, struct error *err)
{
  struct composed *set;
  struct compose_options o = {.seed = (uint64_t)r->top.seed, .epochs = 1, .minibatches = 1};
  TRY(compose_open(a, r->methods, r->method_count, &o, &set, err));
  for (size_t i = 0; i < compose_members(set); i++) {
    const struct method *m = compose_member(set, i)->method;
    text_printf(t, "%s%s: {", i ? ", " : "", m->name);
    for (size_t k = 0; k < m->option_count; k++) {
      const char *from;
      text_printf(t, "%s%s: ", k ? ", " : "", m->options[k].name);
      TRY(compose_option_text(set, i, k, t, &from, err));
    }
    text_puts(t, "}");
  }
  return 0;
}

static int compare_methods(const struct recipe *saved, const struct recipe *now, struct error *err)
{
  struct text a = {0}, b = {0};
  struct arena *arena = arena_create("resume", 0, err);
  if (!arena) return err->code;
  int rc = put_resolved(arena, saved, &a, err);
  if (!rc) rc = put_resolved(arena, now, &b, err);
  if (!rc) rc = compare("methods", &a, &b, now->methods[0].file, now->methods[0].line, err);
  text_clear(&a);
  text_clear(&b);
  put_combine(saved, &a);
  put_combine(now, &b);
  if (!rc && now->kind == RECIPE_TRAIN) rc = compare("reward.combine", &a, &b, now->file, 0, err);
  text_clear(&a);
  text_clear(&b);
  if (saved->channel_count) put_node(&a, saved->channels_node);
  if (now->channel_count) put_node(&b, now->channels_node);
  if (!rc) rc = compare("reward.channels", &a, &b, now->file, 0, err);
  text_free(&a);
  text_free(&b);
  arena_destroy(arena);
  return rc;
}

int recipe_check_resume(const struct recipe *saved, const struct recipe *now, struct error *err)
{
  if (saved->kind != now->kind) {
    FAIL_AT(err, ERROR_INPUT, now->file, 0, NULL, "the run was made by assay %s; resume it with that command",
            saved->kind == RECIPE_SFT ? "sft" : "train");
  }
  TRY(compare_keys(saved, now, err));
  TRY(compare_data(saved, now, err));
  return compare_methods(saved, now, err);
}

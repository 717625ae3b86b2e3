#include "core/settings.h"
#include <stdio.h>
#include <string.h>
#include "core/math.h"
#include "core/yaml.h"

const char *number_wanted(bool whole, double low, double high, char *buf, size_t size)
{
  const char *kind = whole ? "whole " : "";
  int digits = whole ? 19 : 15;
  if (math_is_finite(low) && math_is_finite(high))
    snprintf(buf, size, "a %snumber from %.*g to %.*g", kind, digits, low, digits, high);
  else if (math_is_finite(low))
    snprintf(buf, size, "a %snumber of at least %.*g%s", kind, digits, low, whole ? "" : ", or .inf");
  else if (math_is_finite(high))
    snprintf(buf, size, "a %snumber of at most %.*g%s", kind, digits, high, whole ? "" : ", or -.inf");
  else
    snprintf(buf, size, "a %snumber%s", kind, whole ? "" : ", or -.inf or .inf");
  return buf;
}

const char *names_list(const char *const *names, size_t count, char *buf, size_t size)
{
  size_t at = 0;
  buf[0] = 0;
  for (size_t i = 0; i < count && at < size; i++) {
    int n = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", names[i]);
    at += n > 0 ? (size_t)n : 0;
  }
  return buf;
}

int names_unknown(const char *what, const char *name, const char *const *names, size_t count, const char *file,
                  int line, struct error *err)
{
  char list[1024];
  const char *nearest = name_nearest(name, names, count);
  FAIL_AT(err, ERROR_INPUT, file, line, name, "found %s \"%s\"; expected one of: %s%s%s%s", what, name,
          names_list(names, count, list, sizeof list), nearest ? "; did you mean \"" : "", nearest ? nearest : "",
          nearest ? "\"?" : "");
}

static bool is_choice(const char *choices, const char *text)
{
  size_t n = strlen(text);
  for (const char *at = choices; *at;) {
    size_t length = strcspn(at, " ");
    if (length == n && !memcmp(at, text, n)) return true;
    at += length + (at[length] == ' ');
  }
  return false;
}

/* Reads the text by the row's type. */
static bool read_text(const struct setting *row, const char *text, struct setting_value *v)
{
  struct yaml_node node = {.kind = YAML_SCALAR, .text = text};
  bool flag = false, good = true;
  switch (row->type) {
    case SETTING_INT:
      good = yaml_as_int(&node, &v->integer);
      v->real = (double)v->integer;
      break;
    case SETTING_REAL:
      good = yaml_as_real(&node, &v->real);
      break;
    case SETTING_BOOL:
      good = yaml_as_bool(&node, &flag);
      v->integer = flag;
      break;
    case SETTING_TEXT:
      good = !row->choices || is_choice(row->choices, text);
      break;
  }
  return good;
}

static int set_value(const char *owner, const struct setting *row, const struct setting_given *g,
                     struct setting_value *v, struct error *err)
{
  static const char *const wanted[] = {"a whole number", "a number", "true or false"};
  v->set = true;
  v->text = g->text;
  bool good = read_text(row, g->text, v);
  if (!good && row->type == SETTING_TEXT)
    FAIL_AT(err, ERROR_INPUT, g->file, g->line, g->key, "found %s: \"%s\"; expected one of: %s", g->key, g->text,
            row->choices);
  if (!good)
    FAIL_AT(err, ERROR_INPUT, g->file, g->line, g->key, "found %s: \"%s\"; expected %s (%s: %s)", g->key, g->text,
            wanted[row->type], owner, row->help);
  if ((row->type == SETTING_INT || row->type == SETTING_REAL) && !(v->real >= row->low && v->real <= row->high))
    FAIL_AT(err, ERROR_INPUT, g->file, g->line, g->key, "found %s: %s; expected %.15g to %.15g", g->key, g->text,
            row->low, row->high);
  return 0;
}

static int apply(const char *owner, const struct setting *table, size_t count, const struct setting_given *g,
                 struct setting_value *values, struct error *err)
{
  const char *names[64];
  char what[96];
  ASSAY_BUG_IF(count > 64);
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(table[i].name, g->key)) return set_value(owner, &table[i], g, &values[i], err);
    names[i] = table[i].name;
  }
  if (!count)
    FAIL_AT(err, ERROR_INPUT, g->file, g->line, g->key, "found key \"%s\"; %s has no keys; leave it out", g->key,
            owner);
  snprintf(what, sizeof what, "%s: key", owner);
  return names_unknown(what, g->key, names, count, g->file, g->line, err);
}

int settings_read(struct arena *a, const char *owner, const struct setting *table, size_t count,
                  const struct setting_given *given, size_t given_count, struct setting_value **out, struct error *err)
{
  struct setting_value *values = ARENA_NEW(a, struct setting_value, count ? count : 1, "settings", err);
  if (!values) return err->code;
  for (size_t i = 0; i < count; i++) {
    struct setting_given g = {table[i].name, table[i].fallback, NULL, 0};
    if (g.text) TRY(set_value(owner, &table[i], &g, &values[i], err));
  }
  for (size_t i = 0; i < given_count; i++) TRY(apply(owner, table, count, &given[i], values, err));
  *out = values;
  return 0;
}

const struct setting_value *settings_value(const struct setting *table, size_t count,
                                           const struct setting_value *values, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (!strcmp(table[i].name, name)) return &values[i];
  error_bug(__FILE__, __LINE__, name);
}

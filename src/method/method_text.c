/* Methods as text: help, docs/methods.md, JSON, and what a resolved set does. */
#include <inttypes.h>
#include <string.h>

#include "core/math.h"
#include "method/method_set.h"

static void put_real(double x, struct text *out)
{
  if (math_is_finite(x)) {
    json_put_f64(out, x);
  } else {
    text_puts(out, math_is_nan(x) ? ".nan" : x < 0 ? "-.inf" : ".inf");
  }
}

/* Word `ordinal` of "a|b|c". */
static void put_word(const char *words, int32_t ordinal, struct text *out)
{
  while (ordinal-- > 0) words = strchr(words, '|') + 1;
  text_add(out, words, strcspn(words, "|"));
}

void method_option_put(const struct method_option *o, const void *value, struct text *out)
{
  switch (o->type) {
    case METHOD_OPTION_REAL:
      put_real(*(const double *)value, out);
      break;
    case METHOD_OPTION_INT:
      json_put_int(out, *(const int64_t *)value);
      break;
    case METHOD_OPTION_BOOL:
      text_puts(out, *(const bool *)value ? "true" : "false");
      break;
    case METHOD_OPTION_ENUM:
      put_word(o->text, *(const int32_t *)value, out);
      break;
    case METHOD_OPTION_STRING: {
      const char *s = *(const char *const *)value;
      if (s) {
        json_put_string(out, s, strlen(s));
      } else {
        text_puts(out, "null");
      }
      break;
    }
  }
}

static void put_default(const struct method_option *o, struct text *out)
{
  bool yes = o->fallback > 0;
  int64_t whole = (int64_t)(o->type == METHOD_OPTION_INT ? o->fallback : 0);
  int32_t ordinal = (int32_t)(o->type == METHOD_OPTION_ENUM ? o->fallback : 0);
  switch (o->type) {
    case METHOD_OPTION_REAL:
      method_option_put(o, &o->fallback, out);
      break;
    case METHOD_OPTION_INT:
      method_option_put(o, &whole, out);
      break;
    case METHOD_OPTION_BOOL:
      method_option_put(o, &yes, out);
      break;
    case METHOD_OPTION_ENUM:
      method_option_put(o, &ordinal, out);
      break;
    case METHOD_OPTION_STRING:
      method_option_put(o, &o->text, out);
      break;
  }
}

/* What may be written: "0 to 1", "a, b or c". */
static void put_range(const struct method_option *o, struct text *out)
{
  switch (o->type) {
    case METHOD_OPTION_REAL:
    case METHOD_OPTION_INT:
      put_real(o->low, out);
      text_puts(out, " to ");
      put_real(o->high, out);
      break;
    case METHOD_OPTION_BOOL:
      text_puts(out, "true, false");
      break;
    case METHOD_OPTION_ENUM:
      for (const char *w = o->text; *w; w++) text_add(out, *w == '|' ? ", " : w, *w == '|' ? 2 : 1);
      break;
    case METHOD_OPTION_STRING:
      text_puts(out, "text");
      break;
  }
}

static void put_stages(const struct method *m, const char *between, struct text *out)
{
  const char *before = "";
  for (enum method_stage s = 0; s < STAGE_COUNT; s++) {
    if (!method_has(m, s)) continue;
    text_printf(out, "%s%s", before, method_stage_name(s));
    before = between;
  }
}

static void put_needs(uint32_t flags, const char *between, struct text *out)
{
  const char *before = "";
  for (size_t i = 0; i < method_need_count(); i++) {
    if (!(flags & method_need_at(i)->flag)) continue;
    text_printf(out, "%s%s", before, method_need_at(i)->word);
    before = between;
  }
  if (!*before) text_puts(out, "nothing");
}

int method_describe(const struct method *m, struct text *out, struct error *err)
{
  text_printf(out, "%s: %s\n  paper    %s\n  base     %s\n  stages   ", m->name, m->title, m->paper,
              m->base ? m->base : "none");
  put_stages(m, " ", out);
  text_puts(out, "\n  may need ");
  put_needs(m->needs, " ", out);
  if (m->neutral) text_printf(out, "\n  neutral  %s gives the bits of %s", m->neutral, m->base ? m->base : "its base");
  text_puts(out, "\n\noptions\n");
  for (size_t i = 0; i < m->option_count; i++) {
    const struct method_option *o = &m->options[i];
    text_printf(out, "  %-14s ", o->name);
    put_default(o, out);
    text_puts(out, "  (");
    put_range(o, out);
    text_printf(out, ")\n                 %s\n", o->help);
  }
  if (m->metric_count) text_puts(out, "\nmetrics\n");
  for (size_t i = 0; i < m->metric_count; i++) {
    text_printf(out, "  %s/%-14s %s (%s)\n", m->name, m->metrics[i].name, m->metrics[i].help, m->metrics[i].unit);
  }
  return text_finish(out, err);
}

static void markdown_method(const struct method *m, struct text *out)
{
  text_printf(out, "\n## %s\n\n%s. %s.\n\nStages: ", m->name, m->title, m->paper);
  put_stages(m, ", ", out);
  text_puts(out, ". May need: ");
  put_needs(m->needs, ", ", out);
  text_puts(out, ".\n\n| option | default | values | meaning |\n|---|---|---|---|\n");
  for (size_t i = 0; i < m->option_count; i++) {
    const struct method_option *o = &m->options[i];
    text_printf(out, "| %s | ", o->name);
    put_default(o, out);
    text_puts(out, " | ");
    put_range(o, out);
    text_printf(out, " | %s |\n", o->help);
  }
  if (m->metric_count) text_puts(out, "\n| metric | unit | meaning |\n|---|---|---|\n");
  for (size_t i = 0; i < m->metric_count; i++) {
    text_printf(out, "| %s/%s | %s | %s |\n", m->name, m->metrics[i].name, m->metrics[i].unit, m->metrics[i].help);
  }
}

int method_markdown(struct text *out, struct error *err)
{
  text_puts(out,
            "# Methods\n\nMade by `assay methods --markdown`. Number 0 is a baseline; the others are the rows of the "
            "list of methods.\n\n"
            "| number | method | title | stages | base | file | recipe | test | evidence "
            "|\n|---|---|---|---|---|---|---|---|---|\n");
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    text_printf(out, "| %02d | [%s](#%s) | %s | ", m->number, m->name, m->name, m->title);
    put_stages(m, ", ", out);
    text_printf(out,
                " | %s | src/method/%s.c | recipes/%s.yaml | tests/golden/%s.tsv | [page](method/%s.md), "
                "bench/method/%s.sh |\n",
                m->base ? m->base : "", m->name, m->name, m->name, m->name, m->name);
  }
  text_puts(out, "\n## Stages\n\n| stage | several methods | what |\n|---|---|---|\n");
  for (enum method_stage s = 0; s < STAGE_COUNT; s++) {
    text_printf(out, "| %s | %s | %s |\n", method_stage_name(s), method_rule_name(method_stage_rule(s)),
                method_stage_what(s));
  }
  for (size_t i = 0; i < method_count(); i++) markdown_method(method_at(i), out);
  return text_finish(out, err);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void put_text(const char *s, struct text *out)
{
  if (s) {
    json_put_string(out, s, strlen(s));
  } else {
    text_puts(out, "null");
  }
}

/* A default as JSON: words as strings, infinities as null. */
static void json_default(const struct method_option *o, struct text *out)
{
  struct text value = {0};
  put_default(o, &value);
  if (o->type == METHOD_OPTION_ENUM) {
    put_text(value.bytes, out);
  } else {
    text_puts(out, o->type == METHOD_OPTION_REAL && !math_is_finite(o->fallback) ? "null" : value.bytes);
  }
  text_free(&value);
}

static void json_option(const struct method_option *o, struct text *out)
{
  static const char *const TYPES[] = {"real", "int", "bool", "enum", "string"};
  text_puts(out, "{\"name\": ");
  put_text(o->name, out);
  text_printf(out, ", \"type\": \"%s\", \"default\": ", TYPES[o->type]);
  json_default(o, out);
  if (o->type == METHOD_OPTION_REAL || o->type == METHOD_OPTION_INT) {
    text_puts(out, ", \"low\": ");
    json_put_f64(out, o->low);
    text_puts(out, ", \"high\": ");
    json_put_f64(out, o->high);
  }
  if (o->type == METHOD_OPTION_ENUM) {
    text_puts(out, ", \"values\": [\"");
    for (const char *w = o->text; *w; w++) text_add(out, *w == '|' ? "\", \"" : w, *w == '|' ? 4 : 1);
    text_puts(out, "\"]");
  }
  text_puts(out, ", \"help\": ");
  put_text(o->help, out);
  text_puts(out, "}");
}

void method_needs_json(uint32_t flags, struct text *out)
{
  const char *before = "\"";
  for (size_t i = 0; i < method_need_count(); i++) {
    if (!(flags & method_need_at(i)->flag)) continue;
    text_printf(out, "%s%s\"", before, method_need_at(i)->word);
    before = ", \"";
  }
}

int method_json(const struct method *m, struct text *out, struct error *err)
{
  text_puts(out, "{\"name\": ");
  put_text(m->name, out);
  text_printf(out, ", \"number\": %d, \"title\": ", m->number);
  put_text(m->title, out);
  text_puts(out, ", \"base\": ");
  put_text(m->base, out);
  text_puts(out, ", \"stages\": [\"");
  put_stages(m, "\", \"", out);
  text_puts(out, "\"], \"options\": [");
  for (size_t i = 0; i < m->option_count; i++) {
    if (i) text_puts(out, ", ");
    json_option(&m->options[i], out);
  }
  text_puts(out, "], \"needs\": [");
  method_needs_json(m->needs, out);
  text_puts(out, "]}\n");
  return text_finish(out, err);
}

/* ---- a resolved set --------------------------------------------------------------------------------------------- */

int compose_describe(const struct composed *set, struct text *out, struct error *err)
{
  text_puts(out, "stages\n");
  for (enum method_stage s = 0; s < STAGE_COUNT; s++) {
    const struct method_call *who[64];
    size_t n = compose_contributors(set, s, who, 64);
    if (n == 0) continue;
    text_printf(out, "  %-11s %-8s", method_stage_name(s), method_rule_name(method_stage_rule(s)));
    for (size_t i = 0; i < n && i < 64; i++) text_printf(out, " %s", who[i]->method->name);
    text_puts(out, "\n");
  }
  text_puts(out, "\noptions\n");
  for (size_t i = 0; i < set->count; i++) {
    const struct method *m = set->members[i].call.method;
    for (size_t o = 0; o < m->option_count; o++) {
      struct text value = {0};
      const char *origin = NULL;
      int rc = compose_option_text(set, i, o, &value, &origin, err);
      if (!rc)
        text_printf(out, "  %s.%-*s %-20s # %s\n", m->name, 24 - (int)strlen(m->name), m->options[o].name, value.bytes,
                    origin);
      text_free(&value);
      if (rc) return rc;
    }
  }
  text_puts(out, "\nneeds        ");
  put_needs(set->needs.flags, ", ", out);
  text_printf(out, "\nupdates      main: %" PRId32 " epoch%s of %" PRId32 " mini-batch%s\n", set->options->epochs,
              set->options->epochs == 1 ? "" : "s", set->options->minibatches,
              set->options->minibatches == 1 ? "" : "es");
  return text_finish(out, err);
}

static void json_stages(const struct composed *set, struct text *out)
{
  const char *before = "";
  for (enum method_stage s = 0; s < STAGE_COUNT; s++) {
    const struct method_call *who[64];
    size_t n = compose_contributors(set, s, who, 64);
    if (n == 0) continue;
    text_printf(out, "%s\"%s\": [", before, method_stage_name(s));
    for (size_t i = 0; i < n && i < 64; i++) text_printf(out, "%s\"%s\"", i ? ", " : "", who[i]->method->name);
    text_puts(out, "]");
    before = ", ";
  }
}

int compose_json(const struct composed *set, struct text *out, struct error *err)
{
  const char *before = "";
  text_puts(out, "\"stages\": {");
  json_stages(set, out);
  text_puts(out, "}, \"options\": [");
  for (size_t i = 0; i < set->count; i++) {
    const struct method *m = set->members[i].call.method;
    for (size_t o = 0; o < m->option_count; o++) {
      struct text value = {0};
      const char *origin = NULL;
      int rc = compose_option_text(set, i, o, &value, &origin, err);
      if (!rc) {
        text_printf(out, "%s{\"method\": \"%s\", \"option\": \"%s\", \"value\": ", before, m->name, m->options[o].name);
        put_text(value.bytes, out);
        text_puts(out, ", \"origin\": ");
        put_text(origin, out);
        text_puts(out, "}");
      }
      text_free(&value);
      if (rc) return rc;
      before = ", ";
    }
  }
  text_puts(out, "], \"needs\": [");
  method_needs_json(set->needs.flags, out);
  text_puts(out, "]");
  return text_finish(out, err);
}

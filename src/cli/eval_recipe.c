#include "cli/eval_recipe.h"

#include <stdlib.h>
#include <string.h>

#include "core/settings.h"
#include "reward/verifier.h"

enum { DEFAULT_SAMPLES = 1, DEFAULT_NEW_TOKENS = 256, DEFAULT_SLOTS = 32 };

/* "1,8,64", ascending. */
static int read_ks(const char *text, struct eval_plan *out, struct error *err)
{
  const char *all = text;
  for (out->k_count = 0; text && *text;) {
    char *end;
    long long k = strtoll(text, &end, 10);
    if (end == text || (*end && *end != ',') || k < 1 || out->k_count == EVAL_MAX_K ||
        (out->k_count && k <= out->ks[out->k_count - 1]))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "--k",
              "found --k \"%s\"; expected at most %d whole numbers in ascending order, like 1,8,64", all, EVAL_MAX_K);
    out->ks[out->k_count++] = k;
    text = *end ? end + 1 : end;
  }
  return 0;
}

/* ---- the recipe -------------------------------------------------------------------------------------------------- */

enum kind { COUNT, REAL, TEXT, FLAG, DATA };
static const struct key {
  const char *name;
  enum kind kind;
  size_t at; /* in struct eval_given */
  double low, high;
} keys[] = {
    {"data", DATA, 0, 0, 0},
    {"samples", COUNT, offsetof(struct eval_given, samples), 1, 4096},
    {"problems", COUNT, offsetof(struct eval_given, problems), 1, 1e9},
    {"max_new_tokens", COUNT, offsetof(struct eval_given, max_new_tokens), 1, 1e6},
    {"temperature", REAL, offsetof(struct eval_given, temperature), 0, 100},
    {"top_p", REAL, offsetof(struct eval_given, top_p), 0, 1},
    {"top_k", COUNT, offsetof(struct eval_given, top_k), 0, 1e6},
    {"min_p", REAL, offsetof(struct eval_given, min_p), 0, 1},
    {"greedy", FLAG, offsetof(struct eval_given, greedy), 0, 0},
    {"k", TEXT, offsetof(struct eval_given, k), 0, 0},
    {"by", TEXT, offsetof(struct eval_given, by), 0, 0},
    {"stop", TEXT, offsetof(struct eval_given, stop), 0, 0},
};
enum { KEYS = sizeof keys / sizeof *keys };

static int wrong_value(const struct key *key, const struct yaml_node *n, struct error *err)
{
  char wanted[96];
  const char *found = n->kind == YAML_SCALAR ? n->text : "a list or map";
  if (key->kind == COUNT || key->kind == REAL)
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, key->name, "found %s: %s; expected %s", key->name, found,
            number_wanted(key->kind == COUNT, key->low, key->high, wanted, sizeof wanted));
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, key->name, "found %s: %s; expected %s", key->name, found,
          key->kind == FLAG ? "true or false" : "text");
}

/* Fill a field unless an option did; false: the value is of another kind, or out of bounds. */
static bool take_count(const struct key *key, const struct yaml_node *n, void *field)
{
  int64_t given, value;
  memcpy(&given, field, sizeof given);
  if (!yaml_as_int(n, &value) || (double)value < key->low || (double)value > key->high) return false;
  if (given < 0) memcpy(field, &value, sizeof value);
  return true;
}

static bool take_real(const struct key *key, const struct yaml_node *n, void *field)
{
  double given, value;
  memcpy(&given, field, sizeof given);
  if (!yaml_as_real(n, &value) || !(value >= key->low && value <= key->high)) return false;
  if (given < 0) memcpy(field, &value, sizeof value);
  return true;
}

static bool take_flag(const struct yaml_node *n, void *field)
{
  bool given, value;
  memcpy(&given, field, sizeof given);
  if (!yaml_as_bool(n, &value)) return false;
  value = value || given;
  memcpy(field, &value, sizeof value);
  return true;
}

static bool take_text(const struct yaml_node *n, void *field)
{
  const char *given;
  memcpy(&given, field, sizeof given);
  if (yaml_is_null(n)) return false;
  if (!given) memcpy(field, &n->text, sizeof n->text);
  return true;
}

static int read_key(const struct key *key, const struct yaml_node *n, struct eval_given *g, struct error *err)
{
  char *field = (char *)g + key->at;
  bool right = n->kind == YAML_SCALAR;
  if (right && key->kind == COUNT) right = take_count(key, n, field);
  if (right && key->kind == REAL) right = take_real(key, n, field);
  if (right && key->kind == FLAG) right = take_flag(n, field);
  if (right && key->kind == TEXT) right = take_text(n, field);
  return right ? 0 : wrong_value(key, n, err);
}

static int unknown_key(const struct yaml_node *root, size_t i, struct error *err)
{
  const char *names[KEYS];
  char list[256];
  for (size_t k = 0; k < KEYS; k++) names[k] = keys[k].name;
  const char *nearest = name_nearest(root->keys[i], names, KEYS);
  FAIL_AT(err, ERROR_INPUT, root->items[i]->file, root->key_lines[i], root->keys[i],
          "found key \"%s\"; expected one of %s%s%s%s", root->keys[i], names_list(names, KEYS, list, sizeof list),
          nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* The entries under data; out is [count] of them. */
static int read_data(struct arena *a, const struct yaml_node *data, struct eval_plan *out, struct error *err)
{
  size_t count = data->kind == YAML_LIST ? data->count : 1;
  struct source_options *o = ARENA_NEW(a, struct source_options, count, "eval", err);
  if (!o) return err->code;
  for (size_t i = 0; i < count; i++)
    TRY(source_options_from_yaml(a, data->kind == YAML_LIST ? data->items[i] : data, SPLIT_HELD_OUT, &o[i], err));
  out->generate.data = o;
  out->generate.data_count = count;
  return 0;
}

static int read_recipe(struct arena *a, struct eval_given *g, const char *const *assignments, int count,
                       struct eval_plan *out, struct error *err)
{
  struct yaml_node *root;
  TRY(yaml_parse_file(a, g->recipe, &root, err));
  if (root->kind != YAML_MAP)
    FAIL_AT(err, ERROR_INPUT, g->recipe, 1, NULL, "found no map; expected data: and what else recipes/eval shows");
  for (int i = 0; i < count; i++) TRY(yaml_override(a, root, assignments[i], err));
  for (size_t i = 0; i < root->count; i++) {
    const struct key *key = NULL;
    for (size_t k = 0; k < KEYS && !key; k++)
      if (!strcmp(root->keys[i], keys[k].name)) key = &keys[k];
    if (!key) return unknown_key(root, i, err);
    if (key->kind == DATA && g->data.count) continue;
    TRY(key->kind == DATA ? read_data(a, root->items[i], out, err) : read_key(key, root->items[i], g, err));
  }
  return 0;
}

/* ---- together ---------------------------------------------------------------------------------------------------- */

/* --data replaces the recipe's data; --verifier, --system and --suffix go over all of them. */
static int settle_data(struct arena *a, const struct eval_given *g, struct eval_plan *out, struct error *err)
{
  size_t count = g->data.count ? g->data.count : out->generate.data_count;
  struct source_options *o = ARENA_NEW(a, struct source_options, count ? count : 1, "eval", err);
  if (!o) return err->code;
  if (g->verifier && !verifier_find(g->verifier, err)) return err->code;
  for (size_t i = 0; i < count; i++) {
    if (g->data.count)
      TRY(source_options_from_text(a, g->data.items[i], SPLIT_HELD_OUT, &o[i], err));
    else
      o[i] = out->generate.data[i];
    if (g->verifier) o[i].verifier = g->verifier, o[i].verifier_settings = NULL, o[i].verifier_setting_count = 0;
    if (g->system) o[i].system = g->system;
    if (g->suffix) o[i].suffix = g->suffix;
  }
  out->generate.data = o;
  out->generate.data_count = count;
  return 0;
}

static int64_t either(int64_t given, int64_t otherwise)
{
  return given < 0 ? otherwise : given;
}

int eval_plan_make(struct arena *a, const struct eval_given *given, const char *const *assignments, int count,
                   struct eval_plan *out, struct error *err)
{
  struct eval_given g = *given;
  struct eval_settings *s = &out->generate;
  *out = (struct eval_plan){0};
  if (count && !g.recipe)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, assignments[0],
            "found \"%s\" without --recipe FILE; expected one MODEL; key=value changes a recipe's keys",
            assignments[0]);
  if (g.recipe) TRY(read_recipe(a, &g, assignments, count, out, err));
  TRY(settle_data(a, &g, out, err));
  TRY(read_ks(g.k, out, err));
  s->samples = either(g.samples, DEFAULT_SAMPLES);
  s->problems = either(g.problems, 0);
  s->max_new_tokens = either(g.max_new_tokens, DEFAULT_NEW_TOKENS);
  s->slots = either(g.slots, DEFAULT_SLOTS);
  s->greedy = g.greedy;
  s->by = g.by;
  s->sampling = (struct sampling){.temperature = g.temperature < 0 ? 1 : g.temperature,
                                  .top_p = g.top_p < 0 ? 1 : g.top_p,
                                  .min_p = g.min_p < 0 ? 0 : g.min_p,
                                  .top_k = (int32_t)either(g.top_k, 0)};
  if (!g.stop) return 0;
  const char **stop = ARENA_NEW(a, const char *, 1, "eval", err);
  if (!stop) return err->code;
  stop[0] = g.stop;
  s->stop = stop;
  s->stop_count = 1;
  return 0;
}

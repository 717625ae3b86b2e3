/* Reading: YAML, then overrides, then every key by its table row, then the lists (data, methods, reward.combine). */
#include "train/recipe.h"

#include <stdio.h>
#include <string.h>

#include "core/math.h"
#include "core/settings.h"
#include "model/adapter.h"
#include "text/template.h"
#include "train/recipe_parts.h"

static const struct recipe_key KEYS[] = {
#define KEY(group, type, name, fallback, low, high, words, help) \
  {#group, #name, RECIPE_##type, offsetof(struct recipe, group.name), fallback, low, high, words, help},
    RECIPE_KEYS(KEY)
#undef KEY
};
enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0] };

/* Names that stand in the file beside the keys. */
static const char *const PARTS[] = {"data", "methods"};

size_t recipe_key_count(void)
{
  return KEY_COUNT;
}

const struct recipe_key *recipe_key_at(size_t i)
{
  return &KEYS[i];
}

bool recipe_key_applies(const struct recipe_key *key, enum recipe_kind kind)
{
  static const char *const SUPERVISED[] = {"batch", "max_tokens", "passes", "share_prefixes"};
  if (kind == RECIPE_SFT) return strcmp(key->group, "rollout") && strcmp(key->group, "reward");
  for (size_t i = 0; i < sizeof SUPERVISED / sizeof SUPERVISED[0] && !strcmp(key->group, "train"); i++)
    if (!strcmp(key->name, SUPERVISED[i])) return false;
  return true;
}

static bool is_top(const struct recipe_key *key)
{
  return !strcmp(key->group, "top");
}

void recipe_key_path(const struct recipe_key *key, char *buf, size_t size)
{
  snprintf(buf, size, "%s%s%s", is_top(key) ? "" : key->group, is_top(key) ? "" : ".", key->name);
}

struct reader {
  struct arena *a;
  struct recipe *r;
  struct yaml_node *root;
};

static const char *found(const struct yaml_node *n)
{
  return n->kind == YAML_SCALAR ? n->text : n->kind == YAML_MAP ? "a map" : n->count ? "a list" : "an empty list";
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static int bad_value(const struct recipe_key *k, const struct yaml_node *n, struct error *err)
{
  char path[128], number[96], wanted[160] = "";
  recipe_key_path(k, path, sizeof path);
  switch (k->type) {
    case RECIPE_INT:
      number_wanted(true, k->low, k->high, wanted, sizeof wanted);
      break;
    case RECIPE_REAL:
      number_wanted(false, k->low, k->high, wanted, sizeof wanted);
      break;
    case RECIPE_BOOL:
      snprintf(wanted, sizeof wanted, "true or false");
      break;
    case RECIPE_ENUM:
      snprintf(wanted, sizeof wanted, "one of %s", k->words);
      break;
    case RECIPE_TEXT:
      snprintf(wanted, sizeof wanted, "a text");
      break;
    case RECIPE_AUTO:
      snprintf(wanted, sizeof wanted, "auto or %s", number_wanted(true, k->low, k->high, number, sizeof number));
      break;
    case RECIPE_SIZE:
      snprintf(wanted, sizeof wanted, "auto or a size of 1M or more, like 512M or 4G");
      break;
    case RECIPE_SWITCH:
      snprintf(wanted, sizeof wanted, "auto, true or false");
      break;
    case RECIPE_REAL_AUTO:
      snprintf(wanted, sizeof wanted, "auto or %s", number_wanted(false, k->low, k->high, number, sizeof number));
      break;
    case RECIPE_PAIR:
      snprintf(wanted, sizeof wanted, "two numbers from %.7g to %.7g, [a, b]", k->low, k->high);
      break;
    case RECIPE_TEXTS:
      snprintf(wanted, sizeof wanted, "a list of texts");
      break;
  }
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, path, "%s: found \"%s\"; expected %s", path, found(n), wanted);
}

static bool in_bounds(const struct recipe_key *k, double x)
{
  return x >= k->low && x <= k->high;
}

static bool is_auto(const struct yaml_node *n)
{
  return n->kind == YAML_SCALAR && !n->quoted && !strcmp(n->text, "auto");
}

/* 512M, 4G, 1.5G; powers of 1024. */
static bool read_size(const struct yaml_node *n, double *out)
{
  static const char UNITS[] = "KMGT";
  char number[64];
  size_t length = n->kind == YAML_SCALAR ? strlen(n->text) : 0;
  if (length == 0 || length >= sizeof number) return false;
  memcpy(number, n->text, length + 1);
  double scale = 1;
  const char *unit = strchr(UNITS, number[length - 1]);
  if (unit) {
    number[length - 1] = '\0';
    for (long i = 0; i <= unit - UNITS; i++) scale *= 1024;
  }
  struct yaml_node plain = {.kind = YAML_SCALAR, .text = number};
  if (!yaml_as_real(&plain, out)) return false;
  *out = math_floor(*out * scale);
  return true;
}

static int32_t word_ordinal(const char *words, const char *word)
{
  size_t n = strlen(word);
  for (int32_t i = 0;; i++, words++) {
    size_t length = strcspn(words, "|");
    if (length == n && !memcmp(words, word, n)) return i;
    words += length;
    if (!*words) return -1;
  }
}

static int read_texts(struct reader *d, const struct recipe_key *k, const struct yaml_node *n, struct recipe_texts *out,
                      struct error *err)
{
  if (n->kind != YAML_LIST) return bad_value(k, n, err);
  out->items = ARENA_NEW(d->a, const char *, n->count, "recipe", err);
  if (!out->items) return err->code;
  for (size_t i = 0; i < n->count; i++) {
    const struct yaml_node *item = n->items[i];
    if (item->kind != YAML_SCALAR || !*item->text) return bad_value(k, item, err);
    out->items[i] = item->text;
  }
  out->count = n->count;
  return 0;
}

static bool read_pair(const struct recipe_key *k, const struct yaml_node *n, struct recipe_pair *out)
{
  return n->kind == YAML_LIST && n->count == 2 && yaml_as_real(n->items[0], &out->first) &&
         yaml_as_real(n->items[1], &out->second) && in_bounds(k, out->first) && in_bounds(k, out->second);
}

static bool read_number(const struct recipe_key *k, const struct yaml_node *n, void *at)
{
  double x = 0;
  int64_t whole = 0;
  switch (k->type) {
    case RECIPE_REAL:
    case RECIPE_REAL_AUTO:
      if (k->type == RECIPE_REAL_AUTO && is_auto(n)) {
        *(double *)at = __builtin_nan("");
        return true;
      }
      if (!yaml_as_real(n, &x) || !in_bounds(k, x)) return false;
      *(double *)at = x;
      return true;
    case RECIPE_SIZE:
      if (is_auto(n))
        x = 0;
      else if (!read_size(n, &x) || !in_bounds(k, x))
        return false;
      *(int64_t *)at = (int64_t)x;
      return true;
    default:
      if (k->type == RECIPE_AUTO && is_auto(n))
        whole = 0;
      else if (!yaml_as_int(n, &whole) || !in_bounds(k, (double)whole))
        return false;
      *(int64_t *)at = whole;
      return true;
  }
}

static bool read_word(const struct recipe_key *k, const struct yaml_node *n, void *at)
{
  bool yes = false;
  if (n->kind != YAML_SCALAR) return false;
  if (k->type == RECIPE_ENUM) return (*(int32_t *)at = word_ordinal(k->words, n->text)) >= 0;
  if (k->type == RECIPE_SWITCH && is_auto(n)) {
    *(int32_t *)at = -1;
    return true;
  }
  if (!yaml_as_bool(n, &yes)) return false;
  if (k->type == RECIPE_SWITCH)
    *(int32_t *)at = yes;
  else
    *(bool *)at = yes;
  return true;
}

static int read_value(struct reader *d, const struct recipe_key *k, const struct yaml_node *n, struct error *err)
{
  void *at = (char *)d->r + k->at;
  bool good = false;
  switch (k->type) {
    case RECIPE_TEXTS:
      return read_texts(d, k, n, at, err);
    case RECIPE_PAIR:
      good = read_pair(k, n, at);
      break;
    case RECIPE_TEXT:
      good = n->kind == YAML_SCALAR;
      if (good) *(const char **)at = yaml_is_null(n) ? NULL : n->text;
      break;
    case RECIPE_BOOL:
    case RECIPE_ENUM:
    case RECIPE_SWITCH:
      good = read_word(k, n, at);
      break;
    default:
      good = n->kind == YAML_SCALAR && read_number(k, n, at);
      break;
  }
  return good ? 0 : bad_value(k, n, err);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static int read_defaults(struct reader *d, struct error *err)
{
  for (size_t i = 0; i < KEY_COUNT; i++) {
    struct yaml_node *n;
    TRY(yaml_parse_text(d->a, KEYS[i].fallback, strlen(KEYS[i].fallback), "default", &n, err));
    TRY(read_value(d, &KEYS[i], n, err));
  }
  return 0;
}

/* What may stand in a group, or at the top: keys, groups and lists. */
static size_t known_names(const char *group, const char **names)
{
  size_t n = 0;
  for (size_t i = 0; i < KEY_COUNT; i++) {
    if (!strcmp(KEYS[i].group, group)) names[n++] = KEYS[i].name;
    if (!strcmp(group, "top") && !is_top(&KEYS[i]) && (i == 0 || strcmp(KEYS[i].group, KEYS[i - 1].group))) {
      names[n++] = KEYS[i].group;
    }
  }
  if (!strcmp(group, "top")) {
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) names[n++] = PARTS[i];
  }
  if (!strcmp(group, "eval")) names[n++] = "data";
  if (!strcmp(group, "reward")) names[n++] = "channels";
  if (!strcmp(group, "reward")) names[n++] = "combine";
  return n;
}

/* A name that belongs to another group: "put it under rollout". */
static const char *elsewhere(const char *name)
{
  for (size_t i = 0; i < KEY_COUNT; i++) {
    if (!strcmp(KEYS[i].name, name) && !is_top(&KEYS[i])) return KEYS[i].group;
  }
  return NULL;
}

static int unknown_key(const char *group, const struct yaml_node *map, size_t i, struct error *err)
{
  const char *names[KEY_COUNT + 16];
  const char *key = map->keys[i], *file = map->items[i]->file, *top = strcmp(group, "top") ? NULL : "";
  const char *nearest = name_nearest(key, names, known_names(group, names));
  char path[256];
  snprintf(path, sizeof path, "%s%s%.120s", top ? "" : group, top ? "" : ".", key);
  if (nearest) {
    FAIL_AT(err, ERROR_INPUT, file, map->key_lines[i], path,
            "found the key \"%s\", which no recipe has; did you mean \"%s%s%s\"?", path, top ? "" : group,
            top ? "" : ".", nearest);
  }
  const char *home = elsewhere(key);
  if (home) {
    FAIL_AT(err, ERROR_INPUT, file, map->key_lines[i], path,
            "found the key \"%s\", which no recipe has; did you mean \"%s.%s\"?", path, home, key);
  }
  FAIL_AT(err, ERROR_INPUT, file, map->key_lines[i], path,
          "found the key \"%s\", which no recipe has; assay train --keys lists them", path);
}

static int check_names(const char *group, const struct yaml_node *map, struct error *err)
{
  const char *names[KEY_COUNT + 16];
  size_t n = known_names(group, names);
  for (size_t i = 0; i < map->count; i++) {
    size_t k = 0;
    while (k < n && strcmp(names[k], map->keys[i])) k++;
    if (k == n) return unknown_key(group, map, i, err);
  }
  return 0;
}

/* A key that stands in the file but that this command does not read. */
static int check_applies(const struct reader *d, const struct recipe_key *k, const struct yaml_node *n,
                         struct error *err)
{
  if (recipe_key_applies(k, d->r->kind)) return 0;
  char path[128];
  recipe_key_path(k, path, sizeof path);
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, path,
          "found %s, which assay %s does not read; it is for assay %s; remove it", path,
          d->r->kind == RECIPE_SFT ? "sft" : "train", d->r->kind == RECIPE_SFT ? "train" : "sft");
}

static int read_keys(struct reader *d, struct error *err)
{
  TRY(check_names("top", d->root, err));
  for (size_t i = 0; i < KEY_COUNT; i++) {
    const struct recipe_key *k = &KEYS[i];
    const struct yaml_node *map = is_top(k) ? d->root : yaml_get(d->root, k->group);
    if (!map || yaml_is_null(map)) continue;
    if (map->kind != YAML_MAP) {
      FAIL_AT(err, ERROR_INPUT, map->file, map->line, k->group,
              "%s: found \"%s\"; expected a map of its keys, like %s: {%s: %s}", k->group, found(map), k->group,
              k->name, k->fallback);
    }
    if (!is_top(k)) TRY(check_names(k->group, map, err));
    const struct yaml_node *n = yaml_get(map, k->name);
    if (!n) continue;
    TRY(check_applies(d, k, n, err));
    TRY(read_value(d, k, n, err));
    d->r->origins[i] = (struct recipe_origin){.file = n->file, .line = n->line};
  }
  return 0;
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

static int read_data(struct reader *d, const struct yaml_node *n, enum source_split split, struct recipe_data **out,
                     size_t *count, struct error *err)
{
  bool list = n->kind == YAML_LIST;
  *count = list ? n->count : 1;
  *out = ARENA_NEW(d->a, struct recipe_data, *count, "recipe", err);
  if (!*out) return err->code;
  for (size_t i = 0; i < *count; i++) {
    struct recipe_data *entry = &(*out)[i];
    entry->node = list ? n->items[i] : n;
    TRY(source_options_from_yaml(d->a, entry->node, split, &entry->source, err));
    if (!entry->source.system) entry->source.system = d->r->template.system;
  }
  return 0;
}

static int read_all_data(struct reader *d, struct error *err)
{
  const struct yaml_node *data = yaml_get(d->root, "data"), *eval = yaml_get(yaml_get(d->root, "eval"), "data");
  if (!data || (data->kind == YAML_LIST && data->count == 0)) {
    FAIL_AT(err, ERROR_INPUT, d->r->file, 0, "data",
            "the recipe has no data; expected data: [{path: FILE, verifier: KIND}] or data: [{task: NAME}]");
  }
  TRY(read_data(d, data, SPLIT_TRAIN, &d->r->data, &d->r->data_count, err));
  if (!eval || yaml_is_null(eval)) return 0;
  return read_data(d, eval, SPLIT_HELD_OUT, &d->r->eval_data, &d->r->eval_data_count, err);
}

static int bad_method(const struct yaml_node *n, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, "methods",
          "methods: found \"%s\"; expected a list of names, each with its options if any, like [grpo, {dispo: "
          "{ep_high: 10}}]",
          found(n));
}

static int read_method(const struct yaml_node *n, struct method_choice *out, struct error *err)
{
  *out = (struct method_choice){.file = n->file, .line = n->line};
  if (n->kind == YAML_SCALAR && !yaml_is_null(n)) {
    out->name = n->text;
  } else if (n->kind == YAML_MAP && n->count == 1) {
    out->name = n->keys[0];
    out->options = n->items[0];
  } else {
    return bad_method(n, err);
  }
  return 0;
}

/* A resolved recipe names their base beside them. */
static int check_supervised(const struct reader *d, const struct yaml_node *n, struct error *err)
{
  static const char *const GIVEN[] = {"sft", "dpo", "reward_model"};
  int found = 0;
  bool other = false;
  for (size_t i = 0; i < d->r->method_count; i++) {
    int is = 0;
    for (size_t k = 0; k < sizeof GIVEN / sizeof GIVEN[0]; k++) is += !strcmp(d->r->methods[i].name, GIVEN[k]);
    found += is;
    other = other || (!is && strcmp(d->r->methods[i].name, "grpo"));
  }
  if (found == 1 && !other) return 0;
  FAIL_AT(
      err, ERROR_INPUT, n->file, n->line, "methods",
      "found methods that learn from rollouts, which assay sft does not read: they are for assay train; expected one "
      "that learns from what is given: [dpo] or [reward_model] from pairs; examples need no methods");
}

static int read_methods(struct reader *d, struct error *err)
{
  static const struct method_choice GRPO = {.name = "grpo", .file = "default"},
                                    SFT = {.name = "sft", .file = "default"};
  const struct yaml_node *n = yaml_get(d->root, "methods");
  bool sft = d->r->kind == RECIPE_SFT;
  d->r->method_count = n && n->kind == YAML_LIST ? n->count : 1;
  d->r->methods = ARENA_NEW(d->a, struct method_choice, d->r->method_count, "recipe", err);
  if (!d->r->methods) return err->code;
  if (!n)
    d->r->methods[0] = sft ? SFT : GRPO;
  else if (n->kind != YAML_LIST)
    TRY(read_method(n, &d->r->methods[0], err));
  for (size_t i = 0; n && n->kind == YAML_LIST && i < n->count; i++)
    TRY(read_method(n->items[i], &d->r->methods[i], err));
  if (n && d->r->method_count == 0) return bad_method(n, err);
  return n && sft ? check_supervised(d, n, err) : 0;
}

/* ---- overrides -------------------------------------------------------------------------------------------------- */

/* methods.NAME.OPTION=value reaches into the list: the item of that name becomes {NAME: {...}}. */
static int override_method(struct reader *d, const char *assignment, struct error *err)
{
  struct yaml_node *made = ARENA_NEW(d->a, struct yaml_node, 1, "recipe", err), *list = yaml_get(d->root, "methods");
  if (!made) return err->code;
  *made = (struct yaml_node){.kind = YAML_MAP, .file = "command line"};
  TRY(yaml_override(d->a, made, assignment, err));
  const char *name = made->keys[0];
  for (size_t i = 0; list && list->kind == YAML_LIST && i < list->count; i++) {
    struct yaml_node *item = list->items[i];
    if (item->kind == YAML_SCALAR && !strcmp(item->text, name)) {
      list->items[i] = made;
      return 0;
    }
    if (item->kind == YAML_MAP && item->count == 1 && !strcmp(item->keys[0], name))
      return yaml_override(d->a, item, assignment, err);
  }
  FAIL_AT(err, ERROR_INPUT, "command line", 0, "methods",
          "methods.%s does not end in a method of the recipe's list; name it there first, or write methods=[{NAME: "
          "{OPTION: VALUE}}]",
          assignment);
}

static int apply_override(struct reader *d, const char *assignment, struct error *err)
{
  static const char PREFIX[] = "methods.";
  const char *name = assignment + sizeof PREFIX - 1;
  if (!strncmp(assignment, PREFIX, sizeof PREFIX - 1) && strchr(assignment, '=') && (*name < '0' || *name > '9'))
    return override_method(d, name, err);
  return yaml_override(d->a, d->root, assignment, err);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static const struct recipe_origin *origin_of(const struct recipe *r, const char *path)
{
  for (size_t i = 0; i < KEY_COUNT; i++) {
    char name[128];
    recipe_key_path(&KEYS[i], name, sizeof name);
    if (!strcmp(name, path)) return &r->origins[i];
  }
  return NULL;
}

/* What tiles and storage blocks can be. */
static int check_memory_knobs(const struct recipe *r, struct error *err)
{
  if (r->compute.vocab_chunk % 32) {
    const struct recipe_origin *o = origin_of(r, "compute.vocab_chunk");
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "compute.vocab_chunk",
            "compute.vocab_chunk is %lld; expected a multiple of 32; take %lld", (long long)r->compute.vocab_chunk,
            (long long)(r->compute.vocab_chunk / 32 * 32 + 32));
  }
  int64_t block = r->compute.kv_block;
  if (block && (block < 2 || (block & (block - 1)))) {
    const struct recipe_origin *o = origin_of(r, "compute.kv_block");
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "compute.kv_block",
            "compute.kv_block is %lld; expected a power of two from 2", (long long)block);
  }
  return 0;
}

bool recipe_gives(const struct recipe *r, const char *key)
{
  const struct recipe_origin *o = origin_of(r, key);
  return o && o->file;
}

struct adapter_config recipe_adapter(const struct recipe *r)
{
  struct adapter_config c = {.rank = (int)r->lora.rank,
                             .alpha = r->lora.alpha,
                             .rslora = r->lora.rslora,
                             .init = (enum adapter_init)r->lora.init};
  for (size_t i = 0; i < r->lora.targets.count; i++) {
    enum adapter_target t = adapter_target_find(r->lora.targets.items[i]);
    if (t < ADAPTER_TARGETS) c.targets |= 1u << t;
  }
  return c;
}

/* A `lora` that names no rank has one of 16. */
static int settle_lora(struct recipe *r, const struct yaml_node *lora, struct error *err)
{
  enum { RANK = 16 };
  const char *names[ADAPTER_TARGETS];
  for (int t = 0; t < ADAPTER_TARGETS; t++) names[t] = adapter_target_name((enum adapter_target)t);
  if (lora && !yaml_is_null(lora) && !recipe_gives(r, "lora.rank")) r->lora.rank = RANK;
  const struct recipe_origin *o = origin_of(r, "lora.targets");
  for (size_t i = 0; i < r->lora.targets.count; i++) {
    const char *name = r->lora.targets.items[i], *nearest = name_nearest(name, names, ADAPTER_TARGETS);
    if (adapter_target_find(name) == ADAPTER_TARGETS)
      FAIL_AT(err, ERROR_INPUT, o->file, o->line, "lora.targets",
              "lora.targets: found \"%.80s\"; expected some of q, k, v, o, gate, up, down%s%s%s", name,
              nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
  }
  if (r->lora.rank && !r->lora.targets.count)
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "lora.targets",
            "lora.targets is empty; expected at least one of q, k, v, o, gate, up, down; rank 0 turns lora off");
  return 0;
}

/* Steps on the command line are meant, whatever passes the file asks for. */
static void settle_passes(struct recipe *r)
{
  const struct recipe_origin *steps = origin_of(r, "train.steps");
  struct recipe_origin *passes = r->origins + (origin_of(r, "train.passes") - r->origins);
  if (!steps->file || strcmp(steps->file, "command line") || !passes->file || !strcmp(passes->file, steps->file))
    return;
  r->train.passes = 0;
  *passes = *steps;
}

/* Values that follow from others, and what must agree. */
static int settle(struct recipe *r, struct error *err)
{
  settle_passes(r);
  if (!r->top.model) {
    FAIL_AT(err, ERROR_INPUT, r->file, 0, "model",
            "the recipe names no model; expected model: PATH; write it there, or model=PATH on the command line");
  }
  if (math_is_nan(r->train.temperature)) {
    bool sampled = r->kind == RECIPE_TRAIN && r->rollout.temperature > 0;
    r->train.temperature = sampled ? r->rollout.temperature : 1.0;
  }
  if (r->train.temperature < 1e-3) {
    const struct recipe_origin *o = origin_of(r, "rollout.temperature");
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "rollout.temperature",
            "rollout.temperature is %g and train.temperature follows it; expected 0.001 or more, or 0; set "
            "train.temperature",
            r->train.temperature);
  }
  if (r->kind == RECIPE_TRAIN && r->train.minibatches > r->rollout.problems) {
    const struct recipe_origin *o = origin_of(r, "train.minibatches");
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "train.minibatches",
            "train.minibatches is %lld with rollout.problems %lld; a mini-batch is one group or more; lower it",
            (long long)r->train.minibatches, (long long)r->rollout.problems);
  }
  if (r->template.now && !template_knows_time(r->template.now)) {
    const struct recipe_origin *o = origin_of(r, "template.now");
    FAIL_AT(err, ERROR_INPUT, o->file, o->line, "template.now",
            "template.now: found \"%s\"; expected a time like 2025-01-15T14:30:05; correct it, or leave it out for the "
            "run's first start",
            r->template.now);
  }
  return check_memory_knobs(r, err);
}

static int read_tree(struct reader *d, const char *const *overrides, size_t override_count, struct error *err)
{
  if (yaml_is_null(d->root)) d->root->kind = YAML_MAP;
  if (d->root->kind != YAML_MAP) {
    FAIL_AT(err, ERROR_INPUT, d->r->file, d->root->line, NULL, "found \"%s\"; expected a map of keys, like model: PATH",
            found(d->root));
  }
  for (size_t i = 0; i < override_count; i++) TRY(apply_override(d, overrides[i], err));
  TRY(read_defaults(d, err));
  TRY(read_keys(d, err));
  TRY(read_all_data(d, err));
  TRY(read_methods(d, err));
  TRY(recipe_read_reward(d->a, yaml_get(d->root, "reward"), d->r, err));
  TRY(settle_lora(d->r, yaml_get(d->root, "lora"), err));
  return settle(d->r, err);
}

static int start(struct arena *a, const char *file, enum recipe_kind kind, struct reader *d, struct error *err)
{
  *d = (struct reader){.a = a, .r = ARENA_NEW(a, struct recipe, 1, "recipe", err)};
  if (!d->r) return err->code;
  d->r->kind = kind;
  d->r->file = arena_strdup(a, file, "recipe", err);
  d->r->origins = ARENA_NEW(a, struct recipe_origin, KEY_COUNT, "recipe", err);
  return d->r->file && d->r->origins ? 0 : err->code;
}

int recipe_read_text(struct arena *a, const char *text, size_t n, const char *file, enum recipe_kind kind,
                     const char *const *overrides, size_t override_count, struct recipe **out, struct error *err)
{
  struct reader d;
  TRY(start(a, file, kind, &d, err));
  TRY(yaml_parse_text(a, text, n, file, &d.root, err));
  TRY(read_tree(&d, overrides, override_count, err));
  *out = d.r;
  return 0;
}

int recipe_read(struct arena *a, const char *path, enum recipe_kind kind, const char *const *overrides,
                size_t override_count, struct recipe **out, struct error *err)
{
  struct reader d;
  TRY(start(a, path, kind, &d, err));
  TRY(yaml_parse_file(a, path, &d.root, err));
  TRY(read_tree(&d, overrides, override_count, err));
  *out = d.r;
  return 0;
}

/* Which layers of config.json have a sliding window, and which no rotary positions. */
#include <limits.h>
#include <string.h>

#include "model/config_parts.h"

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* no_rope_layers: 1 where positions are rotated, 0 where not; or every no_rope_layer_interval-th layer without. */
static int read_nope(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                     struct error *err)
{
  const json_t *list = json_object_get(o, "no_rope_layers");
  int interval;
  if (!f->nope) return 0;
  TRY(config_size_or(o, "no_rope_layer_interval", 4, &interval, where, err));
  bool given = list && !json_is_null(list);
  if (given && (!json_is_array(list) || json_array_size(list) < (size_t)c->layers))
    FAIL_AT(err, ERROR_INPUT, where, 0, "no_rope_layers", "no_rope_layers must be a list of %d numbers, 0 or 1",
            c->layers);
  if (!given && interval < 1)
    FAIL_AT(err, ERROR_INPUT, where, 0, "no_rope_layer_interval", "no_rope_layer_interval is %d; expected 1 or more",
            interval);
  for (int i = 0; i < c->layers; i++) {
    const json_t *one = given ? json_array_get(list, (size_t)i) : NULL;
    if (given && !json_is_integer(one))
      FAIL_AT(err, ERROR_INPUT, where, 0, "no_rope_layers", "entry %d of no_rope_layers is no integer", i);
    if (given ? json_integer_value(one) == 0 : (i + 1) % interval == 0) layer_add(&c->nope_layers, i);
  }
  return 0;
}

/* What a rule needs beside the window itself. */
struct rule_options {
  bool on;
  int from, pattern;
};

static bool rule_slides(const struct model_family *f, const struct model_config *c, const struct rule_options *r,
                        int layer)
{
  switch (f->window) {
    case WINDOW_NONE:
      return false;
    case WINDOW_ALL:
      return true;
    case WINDOW_SWITCHED:
      return r->on && layer >= r->from;
    case WINDOW_PATTERN:
      return (layer + 1) % r->pattern != 0;
    case WINDOW_NOPE:
      return r->on && layer_in(&c->nope_layers, layer);
  }
  return false;
}

/* sliding_window and its switches, as the family reads them without layer_types; `slides` [layers]. */
static int read_window(const json_t *o, const struct model_family *f, struct model_config *c, bool *slides,
                       const char *where, struct error *err)
{
  bool absent = !json_object_get(o, "sliding_window"),
       switched = f->window == WINDOW_SWITCHED || f->window == WINDOW_NOPE;
  struct rule_options r;
  TRY(config_size_or(o, "sliding_window", absent ? f->window_default : 0, &c->window, where, err));
  TRY(json_bool_or(o, "use_sliding_window", !switched, &r.on, where, err));
  TRY(config_size_or(o, "max_window_layers", 28, &r.from, where, err));
  const char *key = json_object_get(o, "sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  TRY(config_size_or(o, key, f->window_pattern ? f->window_pattern : 1, &r.pattern, where, err));
  if (r.pattern < 1) FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s is %d; expected 1 or more", key, r.pattern);
  if (f->window == WINDOW_NONE && c->window > 0 && c->window < c->max_positions)
    FAIL_AT(err, ERROR_INPUT, where, 0, "sliding_window", "model_type \"%s\" has no sliding window, but %d is given",
            f->model_type, c->window);
  for (int i = 0; i < c->layers; i++) slides[i] = c->window > 0 && rule_slides(f, c, &r, i);
  return 0;
}

/* layer_types overrides the rule. */
static int read_types(const json_t *types, const struct model_family *f, const struct model_config *c, bool *slides,
                      const char *where, struct error *err)
{
  const json_t *type;
  size_t i;
  if (!json_is_array(types) || json_array_size(types) != (size_t)c->layers)
    FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types", "layer_types must be a list of %d names, one for each layer",
            c->layers);
  json_array_foreach(types, i, type)
  {
    const char *name = json_is_string(type) ? json_string_value(type) : "";
    bool sliding = !strcmp(name, "sliding_attention");
    if (!sliding && strcmp(name, "full_attention"))
      FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
              "entry %zu of layer_types is not supported; supported are full_attention and sliding_attention", i);
    if (sliding && (c->window == 0 || f->window == WINDOW_NONE))
      FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
              "layer %zu is sliding_attention, but there is no sliding_window", i);
    if (!sliding && f->window == WINDOW_ALL && c->window)
      FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
              "model_type \"%s\" has its sliding window in every layer; correct layer_types or sliding_window",
              f->model_type);
    slides[i] = sliding;
  }
  return 0;
}

int config_read_layers(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err)
{
  bool slides[MODEL_LAYERS_MAX], any = false;
  if (c->layers > MODEL_LAYERS_MAX)
    FAIL_AT(err, ERROR_INPUT, where, 0, "num_hidden_layers", "num_hidden_layers is %d; expected 1 to %d", c->layers,
            MODEL_LAYERS_MAX);
  TRY(read_nope(o, f, c, where, err));
  TRY(read_window(o, f, c, slides, where, err));
  const json_t *types = json_object_get(o, "layer_types");
  if (types && !json_is_null(types)) TRY(read_types(types, f, c, slides, where, err));
  for (int i = 0; i < c->layers; i++) any = any || slides[i];
  for (int i = 0; i < c->layers && any; i++)
    if (!slides[i]) layer_add(&c->full_layers, i);
  if (!any) c->window = 0;
  return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* max_window_layers, where full layers stand before sliding ones; else -1. */
static int window_from(const struct model_config *c)
{
  int from = 0;
  while (from < c->layers && layer_in(&c->full_layers, from)) from++;
  for (int i = from; i < c->layers; i++)
    if (layer_in(&c->full_layers, i)) return -1;
  return from;
}

static void put_types(struct text *t, const struct model_config *c)
{
  config_put_key(t, "layer_types");
  for (int i = 0; i < c->layers; i++)
    text_printf(t, "%s\"%s_attention\"", i ? ", " : "[",
                c->window && !layer_in(&c->full_layers, i) ? "sliding" : "full");
  text_puts(t, "]");
}

static void put_nope(struct text *t, const struct model_config *c)
{
  config_put_key(t, "no_rope_layers");
  for (int i = 0; i < c->layers; i++) text_printf(t, "%s%d", i ? ", " : "[", !layer_in(&c->nope_layers, i));
  text_puts(t, "]");
}

void config_put_layers(struct text *t, const struct model_config *c, const struct model_family *f)
{
  bool switched = f->window == WINDOW_SWITCHED || f->window == WINDOW_NOPE;
  int from = window_from(c);
  if (f->nope) put_nope(t, c);
  if (f->window == WINDOW_NONE) return;
  if (switched) config_put_flag(t, "use_sliding_window", c->window > 0);
  if (f->window == WINDOW_SWITCHED)
    config_put_number(t, "max_window_layers", c->window && from >= 0 ? from : c->layers);
  config_put_key(t, "sliding_window");
  if (c->window) {
    json_put_int(t, c->window);
  } else {
    text_puts(t, "null");
  }
  if (f->window == WINDOW_PATTERN || f->window == WINDOW_NOPE || (c->window && from < 0)) put_types(t, c);
}

#include "reward/channel.h"
#include <stdio.h>
#include <string.h>
#include "reward/combine.h"

#define X(name) extern const struct channel channel_##name;
#include "channel_table.h"
#undef X

static const struct channel *const channels[] = {
#define X(name) &channel_##name,
#include "channel_table.h"
#undef X
};
enum { COUNT = sizeof channels / sizeof *channels };

size_t channel_count(void)
{
  return COUNT;
}

const struct channel *channel_at(size_t i)
{
  ASSAY_BUG_IF(i >= COUNT);
  return channels[i];
}

const struct setting_value *channel_value(const struct channel_config *c, const char *name)
{
  return settings_value(c->channel->settings, c->channel->setting_count, c->values, name);
}

static const struct channel *find(const char *name, const struct yaml_node *n, struct error *err)
{
  const char *names[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    if (!strcmp(channels[i]->name, name)) return channels[i];
    names[i] = channels[i]->name;
  }
  (void)!names_unknown("reward channel", name, names, COUNT, n->file, n->line, err);
  return NULL;
}

static int bad_entry(const struct yaml_node *n, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, n->file, n->line, "reward.channels",
          "reward.channels: found %s; expected a list of names, each with its settings if any, like [format, {length: "
          "{buffer: 64}}]",
          n->kind == YAML_SCALAR ? n->text
          : n->kind == YAML_LIST ? "a list"
                                 : "a map of another form");
}

/* The settings, and apart from them the name. */
static int take_settings(struct arena *a, const struct yaml_node *map, struct channel_config *c, struct error *err)
{
  char owner[64];
  size_t count = 0;
  struct setting_given *given = ARENA_NEW(a, struct setting_given, map ? map->count : 0, "rewards", err);
  if (!given) return err->code;
  for (size_t i = 0; map && i < map->count; i++) {
    const struct yaml_node *v = map->items[i];
    if (v->kind != YAML_SCALAR || yaml_is_null(v)) return bad_entry(v, err);
    if (!strcmp(map->keys[i], "name"))
      c->name = v->text;
    else
      given[count++] =
          (struct setting_given){.key = map->keys[i], .text = v->text, .file = v->file, .line = map->key_lines[i]};
  }
  snprintf(owner, sizeof owner, "channel %s", c->channel->name);
  return settings_read(a, owner, c->channel->settings, c->channel->setting_count, given, count, &c->values, err);
}

static int read_entry(struct arena *a, const struct yaml_node *n, struct channel_config *list, size_t at,
                      struct error *err)
{
  struct channel_config *c = &list[at];
  bool plain = n->kind == YAML_SCALAR && !yaml_is_null(n), map = n->kind == YAML_MAP && n->count == 1;
  if (!plain && !(map && n->items[0]->kind == YAML_MAP)) return bad_entry(n, err);
  const char *name = plain ? n->text : n->keys[0];
  c->channel = find(name, n, err);
  if (!c->channel) return err->code;
  c->name = c->channel->name;
  TRY(take_settings(a, plain ? NULL : n->items[0], c, err));
  bool taken = combine_is_reserved(c->name) || !strcmp(c->name, "reward");
  for (size_t i = 0; i < at; i++) taken = taken || !strcmp(list[i].name, c->name);
  if (taken)
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, "reward.channels",
            "reward.channels: found a second use of the name \"%s\"; expected names of their own; write {%s: {name: "
            "ANOTHER}}",
            c->name, c->channel->name);
  if (c->channel->open && c->channel->open(a, c, err)) return error_place(err, n->file, n->line);
  return 0;
}

int channel_read(struct arena *a, const struct yaml_node *n, struct channel_config **out, size_t *count,
                 struct error *err)
{
  *count = 0;
  *out = NULL;
  if (!n || yaml_is_null(n)) return 0;
  if (n->kind != YAML_LIST) return bad_entry(n, err);
  *out = ARENA_NEW(a, struct channel_config, n->count, "rewards", err);
  if (!*out) return err->code;
  for (size_t i = 0; i < n->count; i++) TRY(read_entry(a, n->items[i], *out, i, err));
  *count = n->count;
  return 0;
}

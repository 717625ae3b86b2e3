/* The recipe's rewards: channels beside the verifier's, and how all of them become one number. */
#include <string.h>

#include "method/method.h"
#include "reward/verifier.h"
#include "train/recipe_parts.h"

enum { MOST_NAMES = 128 };

struct names {
  const char *name[MOST_NAMES];
  size_t count;
  bool open; /* others may come in the run: a line's own verifier, a program's channels, a method's */
};

static void add_name(struct names *n, const char *name)
{
  for (size_t i = 0; i < n->count; i++)
    if (!strcmp(n->name[i], name)) return;
  if (n->count == MOST_NAMES)
    n->open = true;
  else
    n->name[n->count++] = name;
}

/* The channels of the kind that judges this source. */
static int add_verifier(struct arena *a, const struct recipe_data *data, struct names *n, struct error *err)
{
  const char *kind = data->source.verifier ? data->source.verifier : data->source.task ? "task" : NULL;
  struct error unknown = {0};
  const struct verifier *v = kind ? verifier_find(kind, &unknown) : NULL;
  if (!v || !v->channels) {
    n->open = true;
    return 0;
  }
  for (const char *at = v->channels; *at;) {
    size_t length = strcspn(at, " ");
    char *name = arena_strndup(a, at, length, "recipe", err);
    if (!name) return err->code;
    if (length) add_name(n, name);
    at += length + (at[length] == ' ');
  }
  return 0;
}

static int check_names(struct arena *a, const struct recipe *r, const struct combine *c, struct error *err)
{
  struct names n = {.name = {"reward"}, .count = 1};
  for (size_t i = 0; i < r->channel_count; i++) add_name(&n, r->channels[i].name);
  for (size_t i = 0; i < r->data_count; i++) TRY(add_verifier(a, &r->data[i], &n, err));
  for (size_t i = 0; i < r->method_count; i++) {
    for (const struct method *m = method_find(r->methods[i].name); m && !n.open;
         m = m->base ? method_find(m->base) : NULL)
      n.open = m->reward != NULL;
  }
  return n.open ? 0 : combine_check(c, n.name, n.count, err);
}

/* reward.combine: the reward alone where it is absent. A plain weighted sum stays a list of terms; any other form is
 * one channel, "combined". */
static int read_combine(struct arena *a, const struct yaml_node *n, struct recipe *r, struct error *err)
{
  static const struct yaml_node alone = {.kind = YAML_SCALAR, .text = "reward", .file = "default"};
  struct combine *c;
  TRY(combine_read(a, n && !yaml_is_null(n) ? n : &alone, &c, err));
  TRY(check_names(a, r, c, err));
  size_t terms = combine_terms(c);
  r->combine_count = terms ? terms : 1;
  r->combine = ARENA_NEW(a, struct combine_term, r->combine_count, "recipe", err);
  if (!r->combine) return err->code;
  r->combine[0] = (struct combine_term){"combined", 1};
  for (size_t i = 0; i < terms; i++) combine_term_at(c, i, &r->combine[i].channel, &r->combine[i].weight);
  if (!terms) r->combination = c;
  return 0;
}

int recipe_read_reward(struct arena *a, const struct yaml_node *reward, struct recipe *r, struct error *err)
{
  const char *const keys[] = {"channels", "combine"};
  for (size_t i = 0; i < 2 && r->kind == RECIPE_SFT; i++) {
    const struct yaml_node *n = yaml_get(reward, keys[i]);
    if (n)
      FAIL_AT(err, ERROR_INPUT, n->file, n->line, keys[i],
              "found reward.%s, which assay sft does not read; it is for assay train; remove it", keys[i]);
  }
  r->channels_node = yaml_get(reward, "channels");
  TRY(channel_read(a, r->channels_node, &r->channels, &r->channel_count, err));
  return read_combine(a, yaml_get(reward, "combine"), r, err);
}

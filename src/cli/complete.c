#include "cli/complete.h"

#include "data/task.h"
#include "method/method.h"
#include "reward/verifier.h"
#include "train/recipe.h"
#include "train/recipe_parts.h"

#include <string.h>

struct completing {
  const char *current; /* the word being written */
  const char *prefix;  /* what stands before a candidate in it: "--verifier=", "task:", "" */
  size_t prefix_size;
  struct text *out;
  bool files, open;
};

static void add(struct completing *c, const char *word, const char *end, const char *help)
{
  char whole[512];
  snprintf(whole, sizeof whole, "%.*s%s%s", (int)c->prefix_size, c->prefix, word, end);
  if (strncmp(whole, c->current, strlen(c->current)) != 0) return;
  text_printf(c->out, "%s\t%s\n", whole, help ? help : "");
  if (*end) c->open = true;
}

/* "a|b|c" or "a b c". */
static void add_choices(struct completing *c, const char *choices, char between)
{
  for (const char *at = choices; *at;) {
    const char *end = strchr(at, between);
    char word[128];
    size_t n = end ? (size_t)(end - at) : strlen(at);
    snprintf(word, sizeof word, "%.*s", (int)n, at);
    add(c, word, "", NULL);
    at += n + (end != NULL);
  }
}

static void add_commands(struct completing *c)
{
  for (size_t i = 0; i < command_count(); i++) add(c, command_at(i)->name, "", command_at(i)->help);
}

static void add_tasks(struct completing *c)
{
  for (size_t i = 0; i < task_count(); i++) add(c, task_at(i)->name, "", task_at(i)->help);
}

static void add_verifiers(struct completing *c)
{
  for (size_t i = 0; i < verifier_count(); i++) add(c, verifier_at(i)->name, "", verifier_at(i)->help);
}

static void add_methods(struct completing *c)
{
  for (size_t i = 0; i < method_count(); i++) add(c, method_at(i)->name, "", method_at(i)->title);
}

static void add_options(struct completing *c, const struct option *options, size_t count)
{
  for (size_t i = 0; i < count; i++) add(c, options[i].name, "", options[i].help);
}

/* ---- key=value ----------------------------------------------------------------------------------------------------
 */

/* Behind "key=" the choices of that key, before it the keys. */
static void add_key(struct completing *c, const char *key, const char *choices, char between, const char *help)
{
  size_t n = strlen(key);
  if (strncmp(c->current, key, n) || c->current[n] != '=') {
    add(c, key, "=", help);
    return;
  }
  if (!choices) return;
  struct completing value = *c;
  value.prefix = c->current;
  value.prefix_size = n + 1;
  add_choices(&value, choices, between);
}

static void add_settings(struct completing *c, const struct setting *settings, size_t count)
{
  for (size_t i = 0; i < count; i++)
    add_key(c, settings[i].name, settings[i].type == SETTING_BOOL ? "true false" : settings[i].choices, ' ',
            settings[i].help);
}

static void add_recipe_keys(struct completing *c, enum recipe_kind kind)
{
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    char path[128];
    if (!recipe_key_applies(k, kind)) continue;
    recipe_key_path(k, path, sizeof path);
    const char *choices = k->type == RECIPE_SWITCH ? "auto|true|false"
                          : k->type == RECIPE_BOOL ? "true|false"
                                                   : k->words;
    add_key(c, path, choices, '|', k->help);
  }
}

/* The keys that fit behind a command's first argument. */
static void add_keys(struct completing *c, const struct command *command, const char *first)
{
  if (!strcmp(command->name, "tasks")) {
    const struct task *t = task_find(first, NULL);
    if (t) add_settings(c, t->options, t->option_count);
  } else if (!strcmp(command->name, "verify")) {
    const struct verifier *v = verifier_find(first, NULL);
    if (v) add_settings(c, v->settings, v->setting_count);
  } else {
    add_recipe_keys(c, strcmp(command->name, "sft") ? RECIPE_TRAIN : RECIPE_SFT);
  }
}

/* ---- what a value or an argument is --------------------------------------------------------------------------------
 */

/* By the word that stands for it in the help. */
static void add_meant(struct completing *c, const struct command *command, const char *meaning, const char *first)
{
  if (strstr(meaning, "key=value")) {
    add_keys(c, command, first);
  } else if (!strcmp(meaning, "KIND")) {
    add_verifiers(c);
  } else if (!strcmp(meaning, "METHOD") || (!strcmp(meaning, "NAME") && !strcmp(command->name, "methods"))) {
    add_methods(c);
  } else if (!strcmp(meaning, "NAME")) {
    add_tasks(c);
  } else if (!strcmp(meaning, "COMMAND")) {
    add_commands(c);
  } else if (!strcmp(meaning, "DATA")) {
    struct completing task = *c;
    char prefix[256];
    snprintf(prefix, sizeof prefix, "%.*stask:", (int)c->prefix_size, c->prefix);
    task.prefix = prefix;
    task.prefix_size = strlen(prefix);
    add_tasks(&task);
    c->files = true;
  } else if (strchr(meaning, '|') && *meaning >= 'a') {
    add_choices(c, meaning, '|');
  } else {
    static const char *const paths[] = {"MODEL", "FILE", "DIR", "RECIPE", "RUN", "SRC", "DST"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
      c->files = c->files || !strncmp(meaning, paths[i], strlen(paths[i]));
  }
}

static void add_value(struct completing *c, const struct command *command, const struct option *o)
{
  if (!strcmp(o->name, "--compute"))
    add_choices(c, "f32 bf16", ' ');
  else if (!strcmp(o->name, "--weights"))
    add_choices(c, "full keep q8_0 q4_0", ' ');
  else if (!strcmp(o->name, "--type"))
    add_choices(c, "f32 bf16 f16", ' ');
  else
    add_meant(c, command, o->value, "");
}

/* The n-th word of "MODEL [PROMPT]" without its brackets; "..." goes with what stands before it. */
static bool argument_at(const char *arguments, int n, char *out, size_t size)
{
  *out = 0;
  for (const char *at = arguments; *at;) {
    size_t length = strcspn(at, " ");
    bool more = !strncmp(at, "...", 3);
    if (*at != '-' && *at != '|' && !more) {
      snprintf(out, size, "%.*s", (int)length, at);
      char *inner = out + (*out == '[');
      memmove(out, inner, strlen(inner) + 1);
      out[strcspn(out, "]")] = 0;
      if (n-- == 0) return true;
    }
    if (more) return true;
    at += length + strspn(at + length, " ");
  }
  return false;
}

/* ---- the line -----------------------------------------------------------------------------------------------------
 */

static const struct option *option_of(const struct command *command, const char *word)
{
  size_t n = strcspn(word, "="), common_count;
  const struct option *common = cli_common_options(&common_count);
  for (size_t i = 0; i < command->option_count + common_count; i++) {
    const struct option *o = i < command->option_count ? &command->options[i] : &common[i - command->option_count];
    if (strlen(o->name) == n && !strncmp(o->name, word, n)) return o;
  }
  return NULL;
}

static void complete_argument(struct completing *c, const struct command *command, const char *const *words, int count)
{
  const char *first = "";
  char meaning[128];
  int n = 0;
  for (int i = 2; i < count - 1; i++) {
    const struct option *o = words[i][0] == '-' ? option_of(command, words[i]) : NULL;
    if (words[i][0] == '-') {
      i += o && o->value && !strchr(words[i], '=');
      continue;
    }
    if (n++ == 0) first = words[i];
  }
  if (argument_at(command->arguments, n, meaning, sizeof meaning)) add_meant(c, command, meaning, first);
}

static void complete_command(struct completing *c, const struct command *command, const char *const *words, int count)
{
  const struct option *before = words[count - 2][0] == '-' && count > 3 ? option_of(command, words[count - 2]) : NULL;
  const char *equals = strchr(c->current, '=');
  if (before && before->value && !strchr(words[count - 2], '=')) {
    add_value(c, command, before);
  } else if (c->current[0] == '-' && equals) {
    const struct option *o = option_of(command, c->current);
    c->prefix = c->current;
    c->prefix_size = (size_t)(equals - c->current) + 1;
    if (o && o->value) add_value(c, command, o);
  } else if (c->current[0] == '-') {
    size_t common_count;
    const struct option *common = cli_common_options(&common_count);
    add_options(c, command->options, command->option_count);
    add_options(c, common, common_count);
    add(c, "--help", "", "what it reads and writes, with an example");
  } else {
    complete_argument(c, command, words, count);
  }
}

void complete_words(const char *const *words, int count, struct text *out)
{
  if (count < 2) return;
  struct completing c = {.current = words[count - 1], .prefix = "", .out = out};
  const struct command *command = count > 2 ? command_find(words[1], NULL) : NULL;
  if (count == 2 || (count == 3 && !strcmp(words[1], "help"))) {
    add_commands(&c);
    if (count == 2) add(&c, "help", "", "help of a command");
    if (*c.current == '-') add(&c, "--help", "", "the commands");
    if (*c.current == '-') add(&c, "--version", "", "version, commit, build type, instruction set");
  } else if (command) {
    complete_command(&c, command, words, count);
  }
  if (c.files) text_puts(out, ":files\n");
  if (c.open) text_puts(out, ":open\n");
}

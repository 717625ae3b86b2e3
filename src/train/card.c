#include "train/card.h"

#include <inttypes.h>
#include <string.h>

#include "core/cursor.h"
#include "core/file.h"
#include "core/math.h"
#include "model/gguf.h"
#include "train/recipe_parts.h"

/* ---- the start model's license ---------------------------------------------------------------------------------- */

enum { CARD_BYTES = 4 << 20, LICENSE_BYTES = 64 }; /* a longer card, a longer name: none */

/* The hub's identifiers, in quotes or not: apache-2.0, llama3.2, other. */
static int take_license(struct arena *a, const char *s, size_t n, const char **out, struct error *err)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_";
  while (n && strchr(" \t\r", s[n - 1])) n--;
  while (n && strchr(" \t", s[0])) s++, n--;
  if (n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n - 1] == s[0]) s++, n -= 2;
  if (!n || n > LICENSE_BYTES) return 0;
  for (size_t i = 0; i < n; i++)
    if (!memchr(letters, s[i], sizeof letters - 1)) return 0;
  *out = arena_strndup(a, s, n, "card", err);
  return *out ? 0 : err->code;
}

static int license_of_card(struct arena *a, const char *text, const char **out, struct error *err)
{
  static const char key[] = "license:";
  const char *line = strchr(text, '\n');
  if (strncmp(text, "---", 3) || !line) return 0;
  for (const char *end; (end = strchr(++line, '\n')) && strncmp(line, "---", 3); line = end)
    if (!strncmp(line, key, sizeof key - 1))
      return take_license(a, line + sizeof key - 1, (size_t)(end - line) - (sizeof key - 1), out, err);
  return 0;
}

static int license_of_folder(struct arena *a, const char *folder, const char **out, struct error *err)
{
  char *card = path_join(a, folder, "README.md", err), *config = path_join(a, folder, "config.json", err), *text;
  size_t n;
  json_t *o;
  if (!card || !config) return err->code;
  // somebody else's card is no part of the model: one that cannot be read says nothing
  if (file_exists(card) && file_read(a, card, CARD_BYTES, &text, &n, err)) {
    error_clear(err);
  } else if (file_exists(card)) {
    TRY(license_of_card(a, text, out, err));
  }
  if (*out || !file_exists(config)) return 0;
  TRY(json_parse_file(a, config, &o, err));
  const char *named = json_string_value(json_object_get(o, "license"));
  return named ? take_license(a, named, strlen(named), out, err) : 0;
}

int card_license(struct arena *a, const struct model_source *source, const char **out, struct error *err)
{
  *out = NULL;
  if (source->folder) return license_of_folder(a, source->folder, out, err);
  const struct gguf_value *named = source->gguf ? gguf_find(source->gguf, "general.license") : NULL;
  if (!named || named->type != GGUF_STRING) return 0;
  return take_license(a, named->s.bytes, named->s.size, out, err);
}

/* ---- Markdown --------------------------------------------------------------------------------------------------- */

static int longest_fence(const char *s)
{
  int run = 0, longest = 0;
  for (; *s; s++) {
    run = *s == '`' ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  return longest;
}

/* In one line: control characters and what is not UTF-8 become U+FFFD. */
static void put_plain(const char *s, struct text *t)
{
  const uint8_t *at = (const uint8_t *)s, *end = at + strlen(s);
  while (at < end) {
    uint32_t code = 0;
    size_t n = utf8_decode(at, (size_t)(end - at), &code);
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
    if (n && !control)
      text_add(t, at, n);
    else
      text_puts(t, "\xef\xbf\xbd");
    at += n ? n : 1;
  }
}

/* As code, between fences longer than any run of backticks within; Markdown takes the spaces away that keep a backtick
 * at an end apart from the fence. */
static void put_code(const char *s, struct text *t)
{
  int inner = longest_fence(s);
  bool apart = inner || !*s;
  for (int i = 0; i <= inner; i++) text_puts(t, "`");
  if (apart) text_puts(t, " ");
  put_plain(s, t);
  if (inner) text_puts(t, " ");
  for (int i = 0; i <= inner; i++) text_puts(t, "`");
}

/* ---- front matter ----------------------------------------------------------------------------------------------- */

static void put_front(const struct card *c, struct text *t)
{
  const struct recipe *r = c->recipe;
  text_puts(t, "---\n");
  if (r->top.model) {
    text_puts(t, "base_model: ");
    recipe_put_quoted(t, r->top.model);
    text_puts(t, "\n");
  }
  if (c->license) {
    text_puts(t, "license: ");
    recipe_put_quoted(t, c->license);
    text_puts(t, "\n");
  }
  text_printf(t, "library_name: %s\npipeline_tag: %s\ntags:\n  - \"assay\"\n", c->adapter ? "peft" : "transformers",
              c->scores ? "text-classification" : "text-generation");
  for (size_t i = 0; i < r->method_count; i++) {
    text_puts(t, "  - ");
    recipe_put_quoted(t, r->methods[i].name);
    text_puts(t, "\n");
  }
  if (c->adapter) text_puts(t, "  - \"lora\"\n");
  text_puts(t, "---\n");
}

/* ---- what was done ---------------------------------------------------------------------------------------------- */

static void put_data(const char *title, const struct recipe_data *data, size_t count, struct text *t)
{
  if (!count) return;
  text_printf(t, "- %s: ", title);
  for (size_t i = 0; i < count; i++) {
    const struct source_options *o = &data[i].source;
    if (i) text_puts(t, ", ");
    if (!o->path) text_puts(t, "the task ");
    put_code(o->path ? path_base(o->path) : o->task, t);
  }
  text_puts(t, "\n");
}

/* Keys that say how the model came to be: not where, how fast, and how often something was written. */
static bool tells(const struct recipe *r, const struct recipe_key *k)
{
  static const char *const silent[] = {"top", "eval", "save", "compute"};
  if (!recipe_key_applies(k, r->kind) || !strcmp(k->name, "now")) return false;
  for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
    if (!strcmp(k->group, silent[i])) return false;
  return *k->group && (strcmp(k->group, "lora") != 0 || r->lora.rank > 0);
}

/* By value, not by origin: the recipe that a run wrote down and resumes from names every key. */
static bool is_default(const struct recipe_key *k, const char *value)
{
  double x, y;
  const struct yaml_node a = {.kind = YAML_SCALAR, .text = value}, b = {.kind = YAML_SCALAR, .text = k->fallback};
  return !strcmp(value, k->fallback) || (yaml_as_real(&a, &x) && yaml_as_real(&b, &y) && !(x < y) && !(x > y));
}

static void put_keys(const struct recipe *r, struct text *t)
{
  struct text value = {0};
  text_puts(t, "- Recipe, beside its defaults:");
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    if (!tells(r, k)) continue;
    char path[128];
    recipe_key_path(k, path, sizeof path);
    text_clear(&value);
    recipe_value_text(r, k, &value);
    if (!value.bytes || is_default(k, value.bytes)) continue;
    text_puts(t, "\n  - ");
    put_code(path, t);
    text_puts(t, ": ");
    put_code(value.bytes, t);
  }
  if (value.rc) t->rc = value.rc;
  text_free(&value);
  text_printf(t, "\n  - `seed`: `%" PRId64 "`\n", r->top.seed);
}

static void put_training(const struct card *c, struct text *t)
{
  const struct recipe *r = c->recipe;
  text_puts(t, "\n## Training\n\n- From: ");
  put_code(r->top.model ? r->top.model : "", t);
  text_puts(t, r->method_count > 1 ? "\n- Methods: " : "\n- Method: ");
  for (size_t i = 0; i < r->method_count; i++) {
    if (i) text_puts(t, ", ");
    put_code(r->methods[i].name, t);
  }
  text_printf(t, "\n- Steps: %" PRId64 "\n", c->step);
  put_data("Data", r->data, r->data_count, t);
  put_data("Evaluation data", r->eval_data, r->eval_data_count, t);
  put_keys(r, t);
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

/* What the step learnt; nothing that the machine had a part in. */
static bool is_figure(const char *name)
{
  static const char *const names[] = {"lr",       "solved",    "loss",    "kl",          "clip",
                                      "mismatch", "grad_norm", "entropy", "length/mean", "tokens/trained"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (!strcmp(name, names[i])) return true;
  return !strncmp(name, "reward/", 7) || !strncmp(name, "eval/", 5);
}

static void put_metrics(const struct card *c, struct text *t)
{
  text_puts(t, "\n## Figures of the last step\n\n");
  size_t before = t->size;
  for (int i = 0; i < c->metrics->count; i++) {
    const char *name = c->metrics->rows[i].name;
    double x = c->metrics->rows[i].value;
    if (!is_figure(name) || !math_is_finite(x)) continue;
    text_puts(t, "- ");
    put_code(name, t);
    text_puts(t, ": ");
    if (c->metrics->rows[i].whole)
      json_put_int(t, (int64_t)x);
    else
      json_put_f64(t, x);
    text_puts(t, "\n");
  }
  if (t->size == before) text_puts(t, "None: no step has been trained.\n");
}

static void put_result(const struct ledger_result *r, struct text *t)
{
  text_printf(t, "%.2f %% after step %" PRId64, 100 * r->accuracy, r->step);
  if (math_is_finite(r->low) && math_is_finite(r->high))
    text_printf(t, " (95 %% interval: %.2f to %.2f)", 100 * r->low, 100 * r->high);
}

static void put_evaluations(const struct card *c, struct text *t)
{
  if (!c->ledger || !c->ledger->result_count) return;
  text_puts(t, "\n## Evaluation\n\nAccuracy:\n\n");
  for (int i = 0; i < c->ledger->set_count; i++) {
    const struct ledger_result *first = ledger_first(c->ledger, i), *last = ledger_last(c->ledger, i);
    if (!first || !last) continue;
    text_puts(t, "- ");
    put_code(c->ledger->sets[i], t);
    text_puts(t, ": ");
    put_result(last, t);
    if (first != last) text_puts(t, "; at first ");
    if (first != last) put_result(first, t);
    text_puts(t, "\n");
  }
}

static void put_loading(const struct card *c, struct text *t)
{
  const char *package = c->adapter ? "peft" : "transformers";
  const char *class = c->adapter  ? c->scores ? "AutoPeftModelForSequenceClassification" : "AutoPeftModelForCausalLM"
                      : c->scores ? "AutoModelForSequenceClassification"
                                  : "AutoModelForCausalLM";
  text_printf(t,
              "\n## Loading\n\n```python\nfrom %s import %s\nfrom transformers import AutoTokenizer\n\n"
              "model = %s.from_pretrained(\"FOLDER\")\ntokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\n```\n",
              package, class, class);
  if (!c->scores) text_puts(t, "\n```sh\nassay generate FOLDER 'PROMPT'\n```\n");
}

void card_put(const struct card *c, struct text *t)
{
  put_front(c, t);
  text_printf(t, "\n# %s, post-trained with Assay\n",
              c->scores    ? "A reward model"
              : c->adapter ? "An adapter of a language model"
                           : "A language model");
  put_training(c, t);
  put_metrics(c, t);
  put_evaluations(c, t);
  put_loading(c, t);
}

void card_put_weights(const char *hash, struct text *t)
{
  text_printf(t, "\n## Weights\n\n`%s` (`assay convert --hash FOLDER`)\n", hash);
}

/* Model cards: what a checkpoint's README.md says, names that would break YAML or Markdown, and whose license counts.
 */
#include "check.h"

#include <stdlib.h>

#include "core/file.h"
#include "train/card.h"

static struct arena *arena;
static struct error err;
static char folder[64];

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  snprintf(folder, sizeof folder, "/tmp/assay-card-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  error_clear(&err);
  return file_remove_tree(folder, &err);
}

static struct recipe *recipe_of(const char *text, enum recipe_kind kind)
{
  struct recipe *r;
  CHECK_OK(recipe_read_text(arena, text, strlen(text), "r.yaml", kind, NULL, 0, &r, &err), &err);
  return r;
}

/* The card as it is written, in the arena. */
static const char *card_text(const struct card *c)
{
  struct text t = {0};
  card_put(c, &t);
  card_put_weights("0123abcd", &t);
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK_INT(strlen(t.bytes), t.size);
  const char *text = arena_strdup(arena, t.bytes, "test", &err);
  text_free(&t);
  return text;
}

static void has(const char *card, const char *words)
{
  if (!strstr(card, words)) fail_msg("the card lacks %s:\n%s", words, card);
}

static void test_a_whole_card(void **state)
{
  (void)state;
  static struct metrics before, m;
  struct ledger *ledger;
  CHECK_OK(ledger_create(arena, false, &ledger, &err), &err);
  metrics_set_int(&before, "step", 0);
  metrics_set(&before, "eval/sums/accuracy", 0.25);
  metrics_set(&before, "eval/sums/low", 0.125);
  metrics_set(&before, "eval/sums/high", 0.5);
  CHECK_OK(ledger_add(ledger, &before, &err), &err);
  metrics_set_int(&m, "step", 3);
  metrics_set(&m, "time_s", 12.5);
  metrics_set(&m, "seconds/train", 7.5);
  metrics_set(&m, "memory/peak_mib", 163);
  metrics_set(&m, "reward/mean", 0.5);
  metrics_set_int(&m, "mismatch", 0);
  metrics_set(&m, "kl", (double)__builtin_nanf(""));
  metrics_set(&m, "eval/sums/accuracy", 0.75);
  CHECK_OK(ledger_add(ledger, &m, &err), &err);
  const struct card c = {
      .recipe = recipe_of("model: org/base\ndata: [{path: /data/somebody/sums.jsonl, verifier: number}, "
                          "{task: addition}]\nmethods: [grpo, dr_grpo]\n"
                          "rollout: {group: 16, problems: 8}\ntrain: {lr: 1e-6, warmup: 5}\n"
                          "template: {now: \"2025-01-15T14:30:05\"}\n"
                          "compute: {threads: 3}\nsave: {every: 7}\n",
                          RECIPE_TRAIN),
      .license = "apache-2.0",
      .metrics = &m,
      .ledger = ledger,
      .step = 3};
  const char *card = card_text(&c);
  CHECK(strstr(card, "---\nbase_model: \"org/base\"\nlicense: \"apache-2.0\"\nlibrary_name: transformers\n") == card);
  has(card, "\ntags:\n  - \"assay\"\n  - \"grpo\"\n  - \"dr_grpo\"\n---\n");
  has(card, "- From: `org/base`\n- Methods: `grpo`, `dr_grpo`\n- Steps: 3\n");
  has(card, "- Data: `sums.jsonl`, the task `addition`\n");
  has(card, "  - `rollout.group`: `16`\n");
  has(card, "  - `train.warmup`: `5`\n");
  has(card, "  - `seed`: `1`\n");
  has(card, "- `reward/mean`: 0.5\n- `mismatch`: 0\n- `eval/sums/accuracy`: 0.75\n");
  has(card, "- `sums`: 75.00 % after step 3; at first 25.00 % after step 0 (95 % interval: 12.50 to 50.00)\n");
  has(card, "AutoModelForCausalLM.from_pretrained(\"FOLDER\")");
  has(card, "`0123abcd`");
  // defaults, times, and what the machine had a part in
  static const char *const absent[] = {"somebody", "rollout.problems", "train.lr", "2025", "threads", "save.",
                                       "time_s",   "seconds/",         "163",      "`kl`", "lora",    "nan"};
  for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
    if (strstr(card, absent[i])) fail_msg("the card says %s:\n%s", absent[i], card);
  CHECK_STR(card_text(&c), card);
}

static void test_kinds_of_folders(void **state)
{
  (void)state;
  static const struct metrics none;
  struct card c = {.recipe = recipe_of("model: m\ndata: [{path: d.jsonl}]\nlora: {rank: 4}\n", RECIPE_SFT),
                   .metrics = &none,
                   .adapter = true};
  const char *card = card_text(&c);
  has(card, "library_name: peft\npipeline_tag: text-generation\n");
  has(card, "  - \"lora\"\n---\n");
  has(card, "  - `lora.rank`: `4`\n");
  has(card, "AutoPeftModelForCausalLM");
  has(card, "no step has been trained");
  CHECK(!strstr(card, "license") && !strstr(card, "## Evaluation"));
  c.adapter = false;
  c.scores = true;
  card = card_text(&c);
  has(card, "library_name: transformers\npipeline_tag: text-classification\n");
  has(card, "AutoModelForSequenceClassification");
  CHECK(!strstr(card, "assay generate"));
}

/* The front matter reads back as what went in, and no name begins a line, a heading or a link of its own. */
static void test_hostile_names(void **state)
{
  (void)state;
  static const struct metrics none;
  static const char text[] =
      "model: \"a\\\"b: [x]\\n---\\n# T `` u\\u2028v\\u0085\"\n"
      "data: [{path: \"dir/`x`\\n- [l](http://e)\", verifier: number}]\n";
  const struct card c = {.recipe = recipe_of(text, RECIPE_TRAIN), .metrics = &none};
  const char *card = card_text(&c), *end = strstr(card + 4, "\n---\n");
  struct yaml_node *front;
  CHECK(end != NULL);
  CHECK_OK(yaml_parse_text(arena, card + 4, (size_t)(end + 1 - (card + 4)), "front", &front, &err), &err);
  CHECK_STR(yaml_get(front, "base_model")->text, c.recipe->top.model);
  CHECK_INT(yaml_get(front, "tags")->count, 2);
  has(card, "- From: ``` a\"b: [x]\xef\xbf\xbd---\xef\xbf\xbd# T `` u\xef\xbf\xbdv\xef\xbf\xbd ```\n");
  CHECK(!strstr(card, "\n# T") && !strstr(card, "\n- [l]"));
}

static void license_is(const char *card, const char *config, const char *want)
{
  const struct model_source source = {.path = folder, .folder = folder};
  const char *const names[] = {"README.md", "config.json"}, *const texts[] = {card, config}, *got;
  for (int i = 0; i < 2; i++) {
    struct file_writer *w;
    CHECK_OK(file_writer_open(arena, path_join(arena, folder, names[i], &err), &w, &err), &err);
    CHECK_OK(file_writer_write(w, texts[i], strlen(texts[i]), &err), &err);
    CHECK_OK(file_writer_commit(w, &err), &err);
  }
  CHECK_OK(card_license(arena, &source, &got, &err), &err);
  if (want)
    CHECK_STR(got, want);
  else
    CHECK(got == NULL);
}

static void test_license(void **state)
{
  (void)state;
  license_is("---\nlanguage: en\nlicense: apache-2.0\r\n---\n# M\n", "{}", "apache-2.0");
  license_is("---\nlicense: 'llama3.2'\n---\n", "{\"license\": \"mit\"}", "llama3.2");
  license_is("# M\nlicense: no\n", "{\"license\": \"mit\"}", "mit");
  license_is("---\na: b\n---\nlicense: no\n", "{}", NULL);
  license_is("---\nlicense:\n  - mit\n---\n", "{\"license\": 3}", NULL);
  license_is("---\nlicense: see [here](http://e)\n---\n", "{\"license\": \"a\\nb\"}", NULL);
  license_is("---", "{}", NULL);
  license_is("", "{}", NULL);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {CASE(test_a_whole_card), CASE(test_kinds_of_folders), CASE(test_hostile_names),
                                     CASE(test_license)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

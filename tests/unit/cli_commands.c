/* Commands from words to lines, in this process, on a random model of 20 thousand weights: one answer a line whatever
 * stands beside it. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "cli/cli.h"
#include "core/file.h"
#include "model/model.h"

static char folder[64], model_folder[96];
static struct arena *arena;
static struct error err;

static const char tokenizer_json[] =
    "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"<s>\", \"single_word\": false, \"lstrip\": "
    "false, \"rstrip\": false, "
    "\"normalized\": false, \"special\": true}], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
    "\"add_prefix_space\": false, "
    "\"trim_offsets\": true, \"use_regex\": true}, \"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
    "\"add_prefix_space\": true, "
    "\"trim_offsets\": true, \"use_regex\": true}, \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": "
    "null, "
    "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
    "\"vocab\": {\"<s>\": 0, "
    "\"0\": 1, \"1\": 2, \"2\": 3, \"3\": 4, \"4\": 5, \"+\": 6, \"=\": 7, \"h\": 8, \"i\": 9, \"hi\": 10, \":\": 11, "
    "\"\\u0120\": 12}, \"merges\": [\"h i\"]}}";
static const char tokenizer_config[] =
    "{\"bos_token\": \"<s>\", \"eos_token\": \"<s>\", \"chat_template\": \"{{ bos_token }}{% for m in messages %}{{ "
    "m.content }}{% endfor %}"
    "{% if add_generation_prompt %}:{% endif %}{% if fail %}{{ raise_exception('no\\\\nway') }}{% endif %}"
    "{% if tools is not none or documents is not none %}{{ tools | tojson }}{% endif %}\"}";

static const char *path_of(const char *name)
{
  return path_join(arena, folder, name, &err);
}

static void write_file(const char *path, const char *text)
{
  struct file_writer *w;
  CHECK_OK(file_writer_open(arena, path, &w, &err), &err);
  CHECK_OK(file_writer_write(w, text, strlen(text), &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static int make_model(void **state)
{
  struct device *device;
  struct model *m;
  struct model_config c = {.architecture = "LlamaForCausalLM",
                           .model_type = "llama",
                           .vocab = 64,
                           .hidden = 32,
                           .layers = 2,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 8,
                           .ffn = 48,
                           .max_positions = 1400,
                           .norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .tied = true,
                           .bos = 0,
                           .eos = 0,
                           .pad = -1};
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-cli-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(model_folder, sizeof model_folder, "%s/model", folder);
  arena = arena_create("test", 0, &err);
  CHECK_OK(file_make_folder(model_folder, &err), &err);
  CHECK_OK(device_open(&(struct device_options){.kind = "cpu", .threads = 1}, &device, &err), &err);
  struct arena *a = arena_create("model", 0, &err);
  CHECK_OK(model_create(a, device, &c, 64, &m, &err), &err);
  CHECK_OK(model_randomise(m, 5, &err), &err);
  int end = 0;
  struct model_source source = {.end_ids = &end, .end_id_count = 1};
  CHECK_OK(model_save(m, &source, model_folder, SAVE_F32, &err), &err);
  arena_destroy(a);
  device_close(device);
  write_file(path_join(arena, model_folder, "tokenizer.json", &err), tokenizer_json);
  write_file(path_join(arena, model_folder, "tokenizer_config.json", &err), tokenizer_config);
  return err.code;
}

static int remove_model(void **state)
{
  (void)state;
  arena_destroy(arena);
  return file_remove_tree(folder, &err);
}

/* Runs "assay WORDS --in IN --out OUT --quiet"; words are separated by '|'. The output's text, or "" where nothing was
 * written. */
static const char *run(const char *words, const char *input, int want)
{
  static char buffer[1024];
  const char *in = path_of("in.jsonl"), *out = path_of("out.jsonl");
  char *argv[32], *text = NULL;
  int argc = 0;
  size_t n = 0;
  write_file(in, input);
  remove(out);
  snprintf(buffer, sizeof buffer, "assay|%s|--in|%s|--out|%s|--quiet", words, in, out);
  for (char *at = buffer; *at;) {
    argv[argc++] = at;
    at += strcspn(at, "|");
    if (*at) *at++ = 0;
  }
  CHECK_INT(cli_main(argc, argv), want);
  if (!file_exists(out)) return "";
  CHECK_OK(file_read(arena, out, 64 << 20, &text, &n, &err), &err);
  return text;
}

/* The same, what goes to stdout instead of a file. */
static const char *run_printing(const char *words)
{
  const char *printed = path_of("printed");
  char *argv[32], *buffer = arena_printf(arena, "test", &err, "assay|%s|--quiet", words), *text = NULL;
  int argc = 0;
  size_t n = 0;
  for (char *at = buffer; *at;) {
    argv[argc++] = at;
    at += strcspn(at, "|");
    if (*at) *at++ = 0;
  }
  fflush(stdout);
  int kept = dup(1), fd = open(printed, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(kept >= 0 && fd >= 0 && dup2(fd, 1) == 1);
  int rc = cli_main(argc, argv);
  fflush(stdout);
  CHECK(dup2(kept, 1) == 1);
  close(fd);
  close(kept);
  CHECK_INT(rc, 0);
  CHECK_OK(file_read(arena, printed, 1 << 20, &text, &n, &err), &err);
  return text;
}

static const char *on_model(const char *command)
{
  return arena_printf(arena, "test", &err, "%s|%s", command, model_folder);
}

/* Line `number` (from 0) of a text. */
static const char *line_of(const char *text, int number)
{
  for (; number > 0 && text; number--) text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL;
  return text ? arena_strndup(arena, text, strcspn(text, "\n"), "test", &err) : "(no such line)";
}

static int count_lines(const char *text)
{
  int n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

static void test_tokenize(void **state)
{
  (void)state;
  const char *out = run(on_model("tokenize"),
                        "{\"text\": \"hi12+3=<s>\"}\n{\"ids\": [10, 0, 2], \"skip_special\": true}\nbroken\n"
                        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"add_generation_prompt\": "
                        "true}\n{\"text\": 5}\n{\"ids\": [-1]}\n[]",
                        ERROR_INPUT);
  CHECK_INT(count_lines(out), 7);
  CHECK_STR(line_of(out, 0), "{\"ids\": [10, 2, 3, 6, 4, 7, 0], \"text\": \"hi12+3=<s>\"}");
  CHECK_STR(line_of(out, 1), "{\"ids\": [10, 0, 2], \"text\": \"hi1\"}");
  CHECK(strstr(line_of(out, 2), "\"line\": 3"));
  CHECK_STR(line_of(out, 3), "{\"ids\": [0, 10, 11], \"text\": \"<s>hi:\"}");
  for (int i = 4; i < 7; i++) CHECK(!strncmp(line_of(out, i), "{\"error\": {\"code\": \"input\"", 25));
}

static void test_render(void **state)
{
  (void)state;
  const char *template = path_of("a.jinja");
  const char *out =
      run(on_model("render"),
          "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n"
          "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"variables\": {\"fail\": true, \"bos_token\": "
          "\"B\"}}\n"
          "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"variables\": {\"bos_token\": \"B\"}}\n"
          "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"variables\": {\"tools\": [7]}}\n",
          ERROR_INPUT);
  CHECK_STR(line_of(out, 0), "{\"text\": \"<s>x\"}");
  CHECK_STR(line_of(out, 1), "{\"error\": {\"message\": \"no\\nway\", \"raised\": true}}");
  CHECK_STR(line_of(out, 2), "{\"text\": \"Bx\"}");
  CHECK_STR(line_of(out, 3), "{\"text\": \"<s>x[7]\"}"); /* without tools the template has none, not undefined */
  write_file(template, "{{ strftime_now('%Y') }} {{ messages[0].content }}");
  const char *words = arena_printf(arena, "test", &err, "render|%s", template);
  out = run(words,
            "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"now\": "
            "\"2025-01-15T14:30:05\"}\n{\"messages\": [{}]}\n{}",
            ERROR_INPUT);
  CHECK_STR(line_of(out, 0), "{\"text\": \"2025 x\"}");
  /* A line's `now` is not the next line's. */
  CHECK(!strncmp(line_of(out, 1), "{\"text\": \"20", 12) && !strstr(line_of(out, 1), "2025 "));
  CHECK(strstr(line_of(out, 2), "no messages"));
}

/* Lines of many lengths, in one file and one by one, in any order: the same bytes. */
static void test_score_alone(void **state)
{
  (void)state;
  enum { LINES = 90 };
  struct text all = {0}, line = {0};
  char *lines[LINES];
  for (int i = 0; i < LINES; i++) {
    int n = i % 13 + 1;
    text_clear(&line);
    text_puts(&line, "{\"ids\": [");
    for (int k = 0; k < n; k++) text_printf(&line, "%s%d", k ? ", " : "", (7 * i + 5 * k * k + k) % 64);
    text_printf(&line, "], \"from\": %d}\n", i % n + 1);
    text_add(&all, line.bytes, line.size);
    lines[i] = arena_strndup(arena, line.bytes, line.size, "test", &err);
  }
  const char *together = run(on_model("score"), all.bytes, 0);
  const char *threads = run(on_model("score|--threads|3"), all.bytes, 0);
  CHECK_INT(count_lines(together), LINES);
  CHECK_STR(threads, together);
  for (int i = 0; i < LINES; i += 11) CHECK_STR(line_of(run(on_model("score"), lines[i], 0), 0), line_of(together, i));
  CHECK(strstr(line_of(together, 4), "\"logp\": [") && !strstr(line_of(together, 4), "null"));
  text_free(&all);
  text_free(&line);
}

/* A line longer than a pass: its beginning scores as if it stood alone. */
static void test_score_long(void **state)
{
  (void)state;
  struct text t = {0};
  text_puts(&t, "{\"ids\": [1");
  for (int k = 1; k < 1300; k++) text_printf(&t, ", %d", k * k % 64);
  text_puts(&t, "]}\n{\"ids\": [1");
  for (int k = 1; k < 100; k++) text_printf(&t, ", %d", k * k % 64);
  text_puts(&t, "]}\n{\"ids\": [1");
  for (int k = 1; k < 1401; k++) text_puts(&t, ", 1");
  text_puts(&t, "]}\n");
  const char *out = run(on_model("score"), t.bytes, ERROR_INPUT);
  const char *whole = strstr(line_of(out, 0), "\"logp\": "), *part = strstr(line_of(out, 1), "\"logp\": ");
  CHECK(whole && part);
  CHECK(!strncmp(whole, part, strcspn(part, "]")));
  CHECK(strstr(line_of(out, 2), "at most 1400"));
  text_free(&t);
}

static void test_score_forms(void **state)
{
  (void)state;
  const char *out = run(on_model("score|--top|2"),
                        "{\"prompt\": \"hi\", \"completion\": \"12\"}\n{\"messages\": [{\"role\": \"user\", "
                        "\"content\": \"hi\"}], \"completion\": \"1\"}\n"
                        "{\"ids\": [1, 64]}\n{\"ids\": []}\n{\"ids\": [1, 2], \"from\": 3}\n{\"prompt\": \"\", "
                        "\"completion\": \"1\"}\n{\"ids\": [3]}\n{\"x\": 1}\n",
                        ERROR_INPUT);
  CHECK_INT(count_lines(out), 8);
  CHECK(!strncmp(line_of(out, 0), "{\"ids\": [10, 2, 3], \"from\": 1, \"logp\": [", 40));
  CHECK(strstr(line_of(out, 0), "\"top\": [{\"ids\": ["));
  CHECK(!strncmp(line_of(out, 1), "{\"ids\": [0, 10, 11, 2], \"from\": 3", 33));
  CHECK(strstr(line_of(out, 2), "expected 0 to 63"));
  CHECK(strstr(line_of(out, 3), "no tokens"));
  CHECK(strstr(line_of(out, 4), "from 3"));
  CHECK(strstr(line_of(out, 5), "\"error\""));
  CHECK_STR(line_of(out, 6), "{\"ids\": [3], \"from\": 1, \"logp\": [], \"entropy\": [], \"top\": []}");
  CHECK(strstr(line_of(out, 7), "neither ids nor a prompt"));
  CHECK_STR(run(on_model("score|--top|65"), "{\"ids\": [1]}", ERROR_INPUT), "");
}

static void test_verify(void **state)
{
  (void)state;
  struct text t = {0};
  for (int i = 0; i < 300; i++)
    if (i % 50 == 7)
      text_puts(&t, i % 100 == 7 ? "{\"response\": \"1\"}\n" : "{\"answer\": 1}\n");
    else
      text_printf(&t, "{\"answer\": %d, \"response\": \"it is %d\"}\n", i, i % 2 ? i : i + 1);
  const char *one = run("verify|number", t.bytes, ERROR_INPUT),
             *four = run("verify|number|--workers|4", t.bytes, ERROR_INPUT);
  CHECK_INT(count_lines(one), 300);
  for (int i = 0; i < 300; i++) {
    const char *a = line_of(one, i), *b = line_of(four, i);
    size_t n = strstr(a, "\"ms\"") ? (size_t)(strstr(a, "\"ms\"") - a) : strlen(a);
    CHECK(!strncmp(a, b, n));
    CHECK(!strstr(a, "\"error\"") == (i % 50 != 7));
    if (i % 50 != 7)
      CHECK(!strncmp(a, i % 2 ? "{\"reward\": 1.0, \"correct\": true" : "{\"reward\": 0.0, \"correct\": false", 31));
  }
  CHECK_STR(run("verify|nubmer", "", ERROR_INPUT), "");
  const char *task = run("tasks|addition|digits=3|--count|5|--seed|4", "", 0);
  CHECK_INT(count_lines(task), 5);
  CHECK_STR(task, run("tasks|addition|digits=3|--count|5|--seed|4", "", 0));
  CHECK(strcmp(task, run("tasks|addition|digits=3|--count|5|--seed|5", "", 0)) != 0);
  text_free(&t);
}

static void test_tasks(void **state)
{
  (void)state;
  const char *held = run("tasks|multiplication|min=2|max=12|held_out_count=30|--held-out|--count|30", "", 0);
  CHECK_INT(count_lines(held), 30);
  CHECK_STR(run("tasks|multiplication|min=2|max=12|held_out_count=30|--held-out|--count|31", "", ERROR_INPUT), "");
  CHECK(strstr(run("tasks|addition|format=plain|--count|1", "", 0), "\"prompt\":"));
  CHECK(strstr(run("tasks|--json", "", 0), "{\"name\": \"addition\""));
  CHECK_STR(run("tasks|additoin", "", ERROR_INPUT), "");
  CHECK_STR(run("tasks|addition|digits", "", ERROR_INPUT), "");
}

static void test_eval(void **state)
{
  (void)state;
  const char *attempts = path_of("attempts.jsonl");
  write_file(attempts,
             "{\"problem\": \"a\", \"sample\": 0, \"correct\": true, \"extracted\": \"1\"}\n{\"problem\": \"a\", "
             "\"sample\": 1, \"correct\": false}\n");
  const char *words = arena_printf(arena, "test", &err, "eval|--json|--from|%s", attempts);
  const char *out = run_printing(words);
  CHECK(strstr(out, "\"accuracy\": 0.5,") && strstr(out, "\"pass@k\": {\"1\": 0.5, \"2\": 1.0}") &&
        strstr(out, "\"majority@k\": {\"1\": 0.5, \"2\": 1.0}"));
  CHECK_STR(run(arena_printf(arena, "test", &err, "%s|--k|3", words), "", ERROR_INPUT), "");
  CHECK_STR(run(arena_printf(arena, "test", &err, "%s|--k|2,1", words), "", ERROR_INPUT), "");
}

/* Attempts of a model: slots and threads move no bit, and the stored ones give the same report. */
static void test_eval_model(void **state)
{
  (void)state;
  const char *problems = path_of("problems.jsonl");
  struct text t = {0};
  for (int i = 0; i < 70; i++) text_printf(&t, "{\"prompt\": \"%d+%d=\", \"answer\": \"%d\"}\n", i % 3, i % 5, i % 4);
  write_file(problems, t.bytes);
  text_free(&t);
  const char *words = arena_printf(arena, "test", &err, "%s|--data|%s|--verifier|number|--samples|3|--max-new-tokens|5",
                                   on_model("eval"), problems);
  const char *attempts = run(words, "", 0);
  CHECK_INT(count_lines(attempts), 210);
  CHECK_STR(run(arena_printf(arena, "test", &err, "%s|--slots|1|--threads|2", words), "", 0), attempts);
  CHECK(strcmp(run(arena_printf(arena, "test", &err, "%s|--seed|2", words), "", 0), attempts) != 0);
  const char *head = arena_printf(arena, "test", &err, "%s|--problems|2", words);
  CHECK(!strncmp(attempts, run(head, "", 0), strlen(run(head, "", 0))));
  write_file(path_of("attempts.jsonl"), attempts);
  const char *report =
      run_printing(arena_printf(arena, "test", &err, "eval|--json|--from|%s", path_of("attempts.jsonl")));
  CHECK(strstr(report, "{\"problems\": 70, \"attempts\": 210,"));
  run(arena_printf(arena, "test", &err, "%s|--k|4", words), "", ERROR_INPUT);
  run(arena_printf(arena, "test", &err, "%s|--verifier|maths", words), "", ERROR_INPUT);
  run(on_model("eval"), "", ERROR_INPUT);
  run("eval", "", ERROR_INPUT);
  run(arena_printf(arena, "test", &err, "%s|--data|%s", on_model("eval"), problems), "", ERROR_INPUT); /* no verifier */
  run(arena_printf(arena, "test", &err, "%s|--data|task:addtion", on_model("eval")), "", ERROR_INPUT);
}

static void test_convert(void **state)
{
  (void)state;
  const char *to = path_of("copy"),
             *hash = run(arena_printf(arena, "test", &err, "convert|--hash|%s", model_folder), "", 0);
  CHECK(!strncmp(hash, "weights ", 8) && strstr(hash, "state none"));
  const char *words = arena_printf(arena, "test", &err, "convert|%s|%s", model_folder, to);
  run(words, "", 0);
  CHECK_STR(run(arena_printf(arena, "test", &err, "convert|--hash|%s", to), "", 0), hash);
  CHECK_STR(run(arena_printf(arena, "test", &err, "score|%s", to), "{\"prompt\": \"hi\", \"completion\": \"12\"}", 0),
            run(on_model("score"), "{\"prompt\": \"hi\", \"completion\": \"12\"}", 0));
  run(words, "", ERROR_INPUT); /* exists already */
  run(arena_printf(arena, "test", &err, "convert|%s|%s", model_folder, path_of("m.gguf")), "", 0);
  CHECK(file_exists(path_of("m.gguf")));
  run(arena_printf(arena, "test", &err, "convert|%s|%s|--type|q9", model_folder, path_of("m")), "", ERROR_INPUT);
  run(arena_printf(arena, "test", &err, "convert|%s|%s", path_of("absent"), path_of("m")), "", ERROR_INPUT);
  CHECK(!file_exists(path_of("m")) && !file_exists(path_of("m.partial")));
}

static void test_doctor(void **state)
{
  (void)state;
  const char *out = run("doctor|--json", "", 0);
  CHECK(count_lines(out) >= 9 && strstr(out, "\"memory bandwidth\"") && strstr(out, "\"sandbox\""));
  for (int i = 0; i < count_lines(out); i++) {
    json_t *o;
    CHECK_OK(json_parse(arena, line_of(out, i), strlen(line_of(out, i)), "doctor", 0, JSON_READ_UNIQUE, &o, &err),
             &err);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tokenize),   cmocka_unit_test(test_render),      cmocka_unit_test(test_score_alone),
      cmocka_unit_test(test_score_long), cmocka_unit_test(test_score_forms), cmocka_unit_test(test_verify),
      cmocka_unit_test(test_tasks),      cmocka_unit_test(test_eval),        cmocka_unit_test(test_eval_model),
      cmocka_unit_test(test_convert),    cmocka_unit_test(test_doctor),
  };
  return cmocka_run_group_tests(tests, make_model, remove_model);
}

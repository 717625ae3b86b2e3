/* links: core. Law 4: the peak that --plan prints is what the kernel reports at the end of the run, within 10 %, with
   recomputation on and off, with small passes and large ones; and a plan over the limit is refused before anything is
   made. With ASSAY_SMOLLM2 in the environment (the path of a GGUF file) also on a model of 135 M parameters. */
#include "check.h"

#include "core/file.h"
#include "tiny_model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum { MOST_WORDS = 16 };
static char folder[64], recipe[96], run[96];

/* Runs `assay train recipe words...`; output goes to the file "out". Returns the exit status and the peak in MiB. */
static int assay_train(const char *const *words, double *peak)
{
  char out[96];
  const char *argv[MOST_WORDS + 4] = {ASSAY_BINARY, "train", recipe};
  for (int i = 0; words[i]; i++) argv[3 + i] = words[i];
  snprintf(out, sizeof out, "%s/out", folder);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (!pid) {
    int to = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    execv(ASSAY_BINARY, (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  int status;
  struct rusage usage;
  CHECK(wait4(pid, &status, 0, &usage) == pid);
  *peak = (double)usage.ru_maxrss / 1024;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double read_peak(void)
{
  char out[96], line[256];
  double peak = 0;
  snprintf(out, sizeof out, "%s/out", folder);
  FILE *f = fopen(out, "r");
  CHECK(f != NULL);
  while (fgets(line, sizeof line, f))
    if (!strncmp(line, "  peak ", 7)) peak = strtod(line + 7, NULL);
  fclose(f);
  CHECK(peak > 0);
  return peak;
}

static void write_recipe(const char *model, const char *text)
{
  FILE *f = fopen(recipe, "w");
  CHECK(f != NULL);
  fprintf(f, "model: %s\n%strain: {steps: 1, lr: 1.0e-4}\nsave: {every: 1}\n", model, text);
  CHECK(fclose(f) == 0);
}

static void compare(const char *what, const char *type, const char *knob, const char *value)
{
  double planned, measured;
  struct error err = {0};
  char setting[64];
  snprintf(setting, sizeof setting, "compute.%s=%s", knob, value);
  const char *plan[] = {setting, "--compute", type, "--threads", "2", "--plan", NULL};
  const char *train[] = {setting, "--compute", type, "--threads", "2", "--quiet", "--run", run, NULL};
  CHECK_INT(assay_train(plan, &measured), 0);
  planned = read_peak();
  CHECK_INT(assay_train(train, &measured), 0);
  CHECK_OK(file_remove_tree(run, &err), &err);
  print_message("%s, %s, %s: planned %.1f MiB, measured %.1f MiB\n", what, type, setting, planned, measured);
  CHECK_CLOSE(measured, planned, 0.10 * planned, "law 4 allows 10 %: the program's own pages and malloc's rounding");
}

static void test_plan_is_what_the_kernel_reports(void **state)
{
  (void)state;
  if (SANITIZED) {
    print_message("skipped: the sanitizer's memory is in no plan\n");
    return;
  }
  write_recipe("random:" ASSAY_SOURCE_DIR "/models/tiny",
               "data: [{task: addition, format: plain}]\n"
               "rollout: {problems: 32, group: 8, max_new_tokens: 48, max_prompt_tokens: 16}\n");
  compare("tiny", "f32", "recompute", "false");
  compare("tiny", "f32", "recompute", "true");
  compare("tiny", "f32", "micro_batch", "6144");
  compare("tiny", "bf16", "recompute", "false");
  compare("tiny", "bf16", "recompute", "true");
  // a reference, in the compute type alone
  write_recipe("random:" ASSAY_SOURCE_DIR "/models/tiny",
               "methods: [{grpo: {kl_coef: 0.1}}]\n"
               "data: [{task: addition, format: plain}]\n"
               "rollout: {problems: 8, group: 8, max_new_tokens: 16, max_prompt_tokens: 16}\n");
  compare("tiny with a reference", "f32", "micro_batch", "512");
  compare("tiny with a reference", "bf16", "micro_batch", "512");
  // an adapter: no gradients and moments of the base, which is the reference as well
  write_recipe("random:" ASSAY_SOURCE_DIR "/models/tiny",
               "methods: [{grpo: {kl_coef: 0.1}}]\n"
               "lora: {rank: 8}\n"
               "data: [{task: addition, format: plain}]\n"
               "rollout: {problems: 8, group: 8, max_new_tokens: 16, max_prompt_tokens: 16}\n");
  compare("tiny with an adapter", "f32", "micro_batch", "512");
  compare("tiny with an adapter", "bf16", "micro_batch", "512");
}

/* A model whose activations weigh, in a step of fewer rows than a unit, whose answers are all as long as they may be;
 * the base under an adapter whole and in blocks.
 */
static void test_a_small_step_of_a_wide_model(void **state)
{
  (void)state;
  char model[96];
  FILE *f;
  if (SANITIZED) return;
  snprintf(model, sizeof model, "%s/wide", folder);
  CHECK_INT(tiny_model_write(model), 0);
  CHECK_INT(tiny_file(model, "config.json", &f), 0);
  fputs(
      "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 64, "
      "\"hidden_size\": 512, \"intermediate_size\": 2048, \"num_hidden_layers\": 6, \"num_attention_heads\": 8, "
      "\"num_key_value_heads\": 4, \"hidden_act\": \"silu\", \"max_position_embeddings\": 128, \"rms_norm_eps\": "
      "1e-05, \"rope_theta\": 10000.0, \"tie_word_embeddings\": true, \"eos_token_id\": null}\n",
      f);
  CHECK(fclose(f) == 0);
  snprintf(model, sizeof model, "random:%s/wide", folder);
  write_recipe(model,
               "methods: [{grpo: {kl_coef: 0.1}}]\n"
               "lora: {rank: 8}\n"
               "data: [{task: addition, digits: 2, format: plain}]\n"
               "rollout: {problems: 2, group: 4, max_new_tokens: 40, max_prompt_tokens: 8}\n");
  static const char *const kinds[] = {"full", "q8_0", "q4_0"};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    compare("wide with an adapter", "f32", "weights", kinds[i]);
    compare("wide with an adapter", "bf16", "weights", kinds[i]);
  }
}

static void test_a_plan_over_the_limit_is_refused(void **state)
{
  (void)state;
  double peak;
  const char *words[] = {"--memory", "20M", "--run", run, NULL};
  write_recipe("random:" ASSAY_SOURCE_DIR "/models/tiny",
               "data: [{task: addition, format: plain}]\n"
               "rollout: {problems: 32, group: 8, max_new_tokens: 48, max_prompt_tokens: 16}\n");
  CHECK_INT(assay_train(words, &peak), ERROR_RESOURCE);
  CHECK(!file_exists(run));
}

static void test_smollm2(void **state)
{
  (void)state;
  const char *model = getenv("ASSAY_SMOLLM2");
  if (SANITIZED || !model) {
    print_message("skipped: ASSAY_SMOLLM2 names no model\n");
    return;
  }
  write_recipe(model,
               "data: [{task: multiplication}]\n"
               "rollout: {problems: 12, group: 8, max_new_tokens: 24, max_prompt_tokens: 64}\n");
  compare("SmolLM2", "f32", "recompute", "false");
  compare("SmolLM2", "bf16", "recompute", "false");
  write_recipe(model,
               "lora: {rank: 16}\n"
               "data: [{task: multiplication}]\n"
               "rollout: {problems: 12, group: 8, max_new_tokens: 24, max_prompt_tokens: 64}\n");
  compare("SmolLM2 with an adapter", "f32", "recompute", "false");
  compare("SmolLM2 with an adapter", "bf16", "recompute", "false");
}

static int make_folder(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-memory-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(recipe, sizeof recipe, "%s/recipe.yaml", folder);
  snprintf(run, sizeof run, "%s/run", folder);
  return 0;
}

static int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plan_is_what_the_kernel_reports), cmocka_unit_test(test_a_small_step_of_a_wide_model),
      cmocka_unit_test(test_a_plan_over_the_limit_is_refused), cmocka_unit_test(test_smollm2)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* GRPO in 60 lines: a small model learns to add from rewards alone, in a loop that is yours to change. It prints the
   share of right answers a step; "mismatch" counts log-probabilities that training saw otherwise than sampling: 0,
   always.

     cc -std=c17 grpo.c $(pkg-config --cflags --libs assay) -o grpo && ./grpo models/tiny 60 trained */
#include <assay.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROBLEMS = 16, GROUP = 8, MOST = 6 };
static struct assay_error error;
static long mismatch;

static void must(int code)
{
  if (!code) return;
  fprintf(stderr, "grpo: %s: %s\n", error.file, error.message);
  exit(code);
}

/* One problem: GROUP answers, a reward each, and the gradient of -advantage * log p, averaged over tokens and answers.
   Returns the share of right answers. */
static double learn(struct assay_session *session, struct assay_trainer *trainer, uint64_t seed)
{
  char question[32];
  const uint64_t mixed = (seed + 1) * 0x9E3779B97F4A7C15u;
  const int a = (int)(mixed >> 33) % 90 + 10, b = (int)(mixed >> 41) % 90 + 10;
  snprintf(question, sizeof question, "%d+%d=", a, b);
  const struct assay_prompt prompt = {.text = question};
  const struct assay_sampling sampling = {.temperature = 1, .max_new_tokens = MOST, .seed = seed};
  const struct assay_answer *answer;
  must(assay_session_generate(session, &prompt, GROUP, &sampling, &answer, &error));
  double reward[GROUP], mean = 0, variance = 0;
  for (int i = 0; i < GROUP; i++) mean += (reward[i] = atoi(answer[i].text) == a + b) / GROUP;
  for (int i = 0; i < GROUP; i++) variance += (reward[i] - mean) * (reward[i] - mean) / (GROUP - 1);
  for (int i = 0; i < GROUP && variance > 0; i++) { /* a group of equals teaches nothing */
    double coef[MOST], advantage = (reward[i] - mean) / (sqrt(variance) + 1e-6);
    float logp[MOST];
    for (size_t k = 0; k < answer[i].count; k++) coef[k] = -advantage / (double)(answer[i].count * GROUP * PROBLEMS);
    must(assay_trainer_add(trainer, &prompt, &answer[i], 1, coef, logp, &error));
    for (size_t k = 0; k < answer[i].count; k++) mismatch += logp[k] != answer[i].logp[k];
  }
  return mean;
}

int main(int argc, char **argv)
{
  struct assay_engine *engine;
  struct assay_session *session;
  struct assay_trainer *trainer;
  const struct assay_trainer_options options = {.beta2 = 0.99, .clip_norm = 1};
  assay_set_quiet(true);
  must(assay_engine_open(argc > 1 ? argv[1] : "models/tiny", NULL, &engine, &error));
  must(assay_session_open(engine, NULL, &session, &error));
  must(assay_trainer_open(engine, &options, &trainer, &error));
  for (int step = 0, steps = argc > 2 ? atoi(argv[2]) : 60; step < steps; step++) {
    double norm, right = 0;
    for (int p = 0; p < PROBLEMS; p++) right += learn(session, trainer, (uint64_t)(step * PROBLEMS + p));
    must(assay_trainer_update(trainer, 1e-4, &norm, &error));
    printf("step %3d  solved %5.1f %%  norm %.3f  mismatch %ld\n", step + 1, 100 * right / PROBLEMS, norm, mismatch);
  }
  if (argc > 3) must(assay_engine_save(engine, argv[3], &error));
  assay_trainer_close(trainer);
  assay_session_close(session);
  assay_engine_close(engine);
  return 0;
}

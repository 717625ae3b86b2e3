/* assay.h: Assay inside another program.
 *
 *   engine    a model on a device, opened once
 *   session   generates from the engine's model and scores token ids under it; its workspace is sized once
 *   trainer   moves the engine's weights by gradients of log-probabilities: the loop, rewards and advantages are yours
 *   run       trains by a recipe: what `assay train` and `assay sft` do
 *
 * Every function that can fail returns 0 or an enum assay_code, and then fills *error (which may be NULL). Handles are
 * opaque; close is allowed on NULL. Nothing here ends the process, and stdout is never written; progress goes to stderr
 * unless assay_set_quiet(true).
 *
 * Threads: the engine computes on its own threads. Calls on one engine and its sessions must not overlap. Only one run
 * exists at a time in a process.
 *
 * The numbers are those of the program: the same model, prompt, seed and sampling give, bit for bit, what `assay
 * generate` and `assay score` print, whatever the machine's threads and instruction set.
 *
 * How to compile and link: docs/train.md, "Inside another program". The example below is compiled, linked and run by
 * tests/e2e/api_example.sh.
 */
/* example:begin
#include <assay.h>
#include <stdio.h>

int main(int argc, char **argv)
{
  struct assay_error error;
  struct assay_engine *engine = NULL;
  struct assay_session *session = NULL;
  const struct assay_answer *answers;
  struct assay_prompt prompt = {.text = argc > 2 ? argv[2] : "12+34="};
  struct assay_sampling sampling = {.temperature = 1, .max_new_tokens = 6, .seed = 7};

  assay_set_quiet(true);
  int code = assay_engine_open(argc > 1 ? argv[1] : "models/tiny", NULL, &engine, &error);
  if (!code) code = assay_session_open(engine, NULL, &session, &error);
  if (!code) code = assay_session_generate(session, &prompt, 4, &sampling, &answers, &error);
  for (int i = 0; !code && i < 4; i++) printf("%s  (%zu tokens)\n", answers[i].text, answers[i].count);
  if (code) fprintf(stderr, "example: %s: %s\n", error.file, error.message);
  assay_session_close(session);
  assay_engine_close(engine);
  return code;
}
example:end */
#ifndef ASSAY_H
#define ASSAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The exit statuses of the program. */
enum assay_code {
  ASSAY_OK = 0,
  ASSAY_BUG = 1,      /* an internal failure: please report the message */
  ASSAY_INPUT = 2,    /* wrong input: a file, a recipe, an argument */
  ASSAY_RESOURCE = 3, /* memory, disk or a file that cannot be written */
  ASSAY_LAW = 4,      /* sampler and trainer disagree in a bit */
  ASSAY_STOPPED = 5   /* stop() said so; a checkpoint has been written */
};

struct assay_error {
  int code;           /* enum assay_code */
  int line;           /* 1-based; 0: none */
  char file[512];     /* "": none */
  char key[128];      /* recipe key, tensor, option; "": none */
  char message[1024]; /* one line: what was found; what was expected; what to do */
};

const char *assay_version(void);
void assay_set_quiet(bool quiet); /* only errors on stderr */

/* ---- engine ------------------------------------------------------------------------------------------------------ */

struct assay_engine;

struct assay_engine_options {
  int threads;         /* 0: the cores this process may use */
  int max_positions;   /* longest path that will be run; 0: what the model allows */
  uint64_t seed;       /* of the weights of a model "random:FOLDER" */
  const char *compute; /* "f32" or "bf16", in which products are computed; NULL: f32 */
};

/* model: a Hugging Face folder, a GGUF file, a run folder (its last checkpoint), a checkpoint folder, or
   "random:FOLDER": config.json and tokenizer of the folder, weights drawn from the seed. A tokenizer may be missing:
   then prompts are ids. options may be NULL. */
int assay_engine_open(const char *model, const struct assay_engine_options *options, struct assay_engine **out,
                      struct assay_error *error);
void assay_engine_close(struct assay_engine *engine); /* after its sessions */

size_t assay_engine_parameters(const struct assay_engine *engine);
int assay_engine_vocabulary(const struct assay_engine *engine);
int assay_engine_positions(const struct assay_engine *engine); /* longest path: prompt and answer */
/* SHA-256 of the weights as `assay convert --hash` prints it: 64 hexadecimal digits. */
int assay_engine_hash(const struct assay_engine *engine, char hex[65], struct assay_error *error);
/* Writes a Hugging Face folder in f32, with the tokenizer; it is made, and must not hold a model yet. */
int assay_engine_save(const struct assay_engine *engine, const char *folder, struct assay_error *error);

/* ---- session ----------------------------------------------------------------------------------------------------- */

struct assay_session;

struct assay_session_options {
  int answers;    /* most answers to a prompt in one call; 0: 8 */
  int max_tokens; /* longest path, prompt and answer; 0: 1024, or the engine's positions if fewer */
};

/* Takes all the memory that its calls need for the model's work. options may be NULL. */
int assay_session_open(struct assay_engine *engine, const struct assay_session_options *options,
                       struct assay_session **out, struct assay_error *error);
void assay_session_close(struct assay_session *session);

/* What the model reads: text, or ids where ids is not NULL. */
struct assay_prompt {
  const char *text;   /* UTF-8, NUL-terminated */
  bool chat;          /* text is one user message, put through the model's chat template */
  const int32_t *ids; /* [count] */
  size_t count;
};

struct assay_sampling {
  double temperature;     /* 0: greedy */
  double top_p, min_p;    /* 0: off */
  int32_t top_k;          /* 0: off */
  int32_t max_new_tokens; /* 0: 256, or what max_tokens leaves */
  uint64_t seed;
  const char *const *stop; /* [stop_count] strings in front of which an answer ends; NULL */
  size_t stop_count;
};

struct assay_answer {
  const char *text;   /* without special tokens and stop string, NUL-terminated; NULL without a tokenizer */
  size_t text_size;   /* bytes */
  const int32_t *ids; /* [count] with the end token */
  const float *logp;  /* [count] full vocabulary at the sampling's temperature (greedy: 1), nats */
  size_t count;
  bool stopped; /* by an end token or a stop string; else by length */
};

/* `count` answers to a prompt. sampling NULL: greedy. *answers: [count], valid until the session's next call. */
int assay_session_generate(struct assay_session *session, const struct assay_prompt *prompt, int count,
                           const struct assay_sampling *sampling, const struct assay_answer **answers,
                           struct assay_error *error);

/* Log-probabilities in nats of ids[from .. count-1], each given all before it, at a temperature > 0; from >= 1. logp
   and entropy (of the distribution that each token was drawn from; may be NULL): [count - from]. */
int assay_session_score(struct assay_session *session, const int32_t *ids, size_t count, size_t from,
                        double temperature, float *logp, float *entropy, struct assay_error *error);

/* ---- trainer ----------------------------------------------------------------------------------------------------- */

struct assay_trainer;

/* AdamW; a 0 is the default in brackets. */
struct assay_trainer_options {
  int max_tokens;      /* longest path, prompt and answer; 1024, or the engine's positions if fewer */
  double beta1, beta2; /* 0.9, 0.999 */
  double eps;          /* 1e-8 */
  double weight_decay; /* decoupled; off */
  double clip_norm;    /* largest global norm of the gradients; off */
};

/* One at a time for an engine, whose weights it moves: sessions sample from them as they are. options may be NULL. */
int assay_trainer_open(struct assay_engine *engine, const struct assay_trainer_options *options,
                       struct assay_trainer **out, struct assay_error *error);
void assay_trainer_close(struct assay_trainer *trainer); /* before the engine */
/* Adds the gradient of sum_i coef[i] * log p(answer token i | what stands before it): coef [answer->count] is dLoss /
   dlogp, for a policy gradient -advantage / number of tokens. temperature > 0: of the log-probabilities. logp
   ([answer->count], may be NULL) gets them: answer->logp bit for bit if that was sampled at this temperature and the
   weights have not moved since. The answer may be of any session of the engine. */
int assay_trainer_add(struct assay_trainer *trainer, const struct assay_prompt *prompt,
                      const struct assay_answer *answer, double temperature, const double *coef, float *logp,
                      struct assay_error *error);
/* One step down the gradients that were added, which are 0 afterwards. norm (may be NULL): theirs, before clipping. */
int assay_trainer_update(struct assay_trainer *trainer, double lr, double *norm, struct assay_error *error);

/* ---- run --------------------------------------------------------------------------------------------------------- */

struct assay_run;

struct assay_run_options {
  bool sft;                     /* the recipe is one for `assay sft` */
  const char *const *overrides; /* [override_count] "rollout.temperature=0.8" */
  size_t override_count;
  const char *folder; /* of the run; NULL: runs/RECIPE-N. With resume: the run to go on with */
  bool resume;
  bool plan_only;     /* no weights, no folder: only assay_run_describe may be called */
  int threads;        /* 0: the recipe's */
  int64_t memory;     /* limit in bytes, 0: the recipe's */
  bool (*stop)(void); /* asked again and again; true ends the run in good order. NULL */
};

/* Reads the recipe, plans the memory, loads the model, makes the folder (or opens the last checkpoint). */
int assay_run_open(const char *recipe, const struct assay_run_options *options, struct assay_run **out,
                   struct assay_error *error);
/* Model, data and memory plan as text, valid until close. */
const char *assay_run_describe(struct assay_run *run);
/* To the recipe's last step, checkpoints on the way. ASSAY_STOPPED after stop(): resume goes on with the same bits. */
int assay_run_train(struct assay_run *run, struct assay_error *error);
/* Of the last checkpoint, 64 hexadecimal digits; "" before there is one. */
const char *assay_run_weights_hash(const struct assay_run *run);
const char *assay_run_state_hash(const struct assay_run *run);
void assay_run_close(struct assay_run *run);

#ifdef __cplusplus
}
#endif

#endif

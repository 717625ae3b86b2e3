/* rollout/session: a MODEL argument made usable: device, configuration, tokenizer, chat template, end tokens, and
 * weights when they are wanted.
 *
 *     struct session s;
 *     TRY(session_open(arena, &(struct session_options){.model = path, .threads = o.threads}, &s, err));
 *     TRY(session_load(&s, 0, err));
 *
 * session_open reads metadata only and takes no memory worth speaking of, so that a plan can be made before
 * session_load.
 */
#ifndef ASSAY_ROLLOUT_SESSION_H
#define ASSAY_ROLLOUT_SESSION_H

#include "data/problem.h"
#include "model/model.h"
#include "text/tokenizer.h"

struct template;
struct template_spans;

struct session_options {
  const char *model;       /* MODEL as CONTRACT.md has it */
  int threads;             /* 0: the cores this process may use */
  const char *device;      /* "cpu", "cuda"; NULL: ASSAY_DEVICE where it is set, else cpu */
  enum compute_type type;  /* what the model is computed in */
  enum model_keep keep;    /* how matrices that are not trained stay in memory */
  bool trained;            /* session_load keeps masters; else weights are in the compute type alone */
  bool text_only;          /* no device and no configuration: MODEL may be a folder that holds only tokenizer.json */
  bool tokenizer_optional; /* a missing tokenizer is no error (tokenizer is NULL then) */
  bool may_score;          /* a reward model, which writes no text, is welcome */
  bool allow_random;       /* "random:FOLDER" is a MODEL too: config.json and tokenizer of it, weights from seed */
  uint64_t seed;
  const char *adapter; /* PEFT folder, in place of MODEL's own adapter if it has one; NULL: none is named */
  const char *now;     /* strftime_now of templates, "2025-01-15T14:30:05"; NULL: the time of session_open, UTC */
};

struct session {
  struct arena *arena;   /* everything below lives in it and closes with it */
  struct device *device; /* NULL with text_only */
  struct model_source source;
  struct model_config config;
  struct model *model; /* NULL until session_load */
  bool trained;        /* as the options say */
  bool random;         /* weights are drawn, not read */
  uint64_t seed;
  struct tokenizer *tokenizer;    /* NULL where there is none (tokenizer_optional) */
  struct template *template;      /* NULL where the model has no chat template */
  struct template *tool_template; /* used where tools are given; usually NULL */
  const char *now;
  int *end_ids; /* union of config, generation_config (GGUF: eos, eot) and the tokenizer's EOS; ascending, distinct */
  size_t end_id_count;
};

int session_open(struct arena *a, const struct session_options *o, struct session *out, struct error *err) MUST_USE;
/* Loads the weights. Where config.adapter is set and no folder names its values, they begin as training does.
 * positions: longest path that will be run (rotary table), 0: what the model allows. */
int session_load(struct session *s, int positions, struct error *err) MUST_USE;

/* Appends a conversation's text by the model's own template. variables: a JSON object of further ones (tools,
   enable_thinking, ...), or NULL; bos_token, eos_token and the like come from the tokenizer. *raised (may be NULL): the
   template itself called raise_exception. No template: ERROR_INPUT. */
int session_render(const struct session *s, const json_t *messages, const json_t *variables, bool add_generation_prompt,
                   struct text *out, bool *raised, struct error *err) MUST_USE;
/* Whether the template marks what the model is to write ({% generation %}), with the tools of these variables. */
bool session_marks_generation(const struct session *s, const json_t *variables);
/* A whole conversation and the marked bytes of it (text/template.h); spans live in arena a. */
int session_render_spans(const struct session *s, struct arena *a, const json_t *messages, const json_t *variables,
                         struct text *out, struct template_spans *spans, struct error *err) MUST_USE;
/* Appends the ids of a prompt: messages through the template (nothing added), plain text with the post-processor's BOS.
 * One of the two is NULL. */
int session_prompt_ids(const struct session *s, const char *prompt, const json_t *messages, const json_t *variables,
                       struct token_list *out, struct error *err) MUST_USE;
/* The same for a problem. */
int session_problem_ids(const struct session *s, const struct problem *p, const json_t *variables,
                        struct token_list *out, struct error *err) MUST_USE;
bool session_is_end(const struct session *s, int32_t id);

#endif

#include "rollout/session.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/file.h"
#include "model/adapter.h"
#include "rollout/gguf_tokenizer.h"
#include "text/template.h"

static void close_device(void *device)
{
  device_close(device);
}

/* What the caller names, else what ASSAY_DEVICE does, else the processor. */
static const char *device_kind(const struct session_options *o)
{
  const char *named = o->device ? o->device : getenv("ASSAY_DEVICE");
  return named && *named ? named : "cpu";
}

static int open_device(struct session *s, const struct session_options *o, struct error *err)
{
  struct device_options options = {.kind = device_kind(o), .threads = o->threads, .type = o->type};
  TRY(device_open(&options, &s->device, err));
  int rc = arena_on_reset(s->arena, close_device, s->device, err);
  if (rc) device_close(s->device);
  return rc;
}

/* ---- tokenizer and template ------------------------------------------------------------------------------------- */

static int open_tokenizer(struct session *s, const struct session_options *o, struct error *err)
{
  if (s->source.gguf && o->tokenizer_optional && !gguf_has_tokenizer(s->source.gguf)) return 0;
  if (s->source.gguf) return gguf_tokenizer_open(s->arena, s->source.gguf, s->source.gguf_path, &s->tokenizer, err);
  char *file = path_join(s->arena, s->source.folder, "tokenizer.json", err);
  if (!file) return err->code;
  if (o->tokenizer_optional && !file_exists(file)) return 0;
  return tokenizer_open_folder(s->arena, s->source.folder, &s->tokenizer, err);
}

static int parse_template(const struct session *s, const char *text, struct template **out, struct error *err)
{
  *out = NULL;
  if (!text) return 0;
  char *name = arena_printf(s->arena, "template", err, "%s (chat template)", s->source.path);
  return name ? template_parse(s->arena, text, strlen(text), name, out, err) : err->code;
}

static int open_text(struct session *s, const struct session_options *o, struct error *err)
{
  TRY(open_tokenizer(s, o, err));
  if (!s->tokenizer) return 0;
  TRY(parse_template(s, tokenizer_chat_template(s->tokenizer), &s->template, err));
  return parse_template(s, tokenizer_tool_template(s->tokenizer), &s->tool_template, err);
}

static int set_now(struct session *s, const char *given, struct error *err)
{
  char text[32] = "1970-01-01T00:00:00";
  time_t seconds = time(NULL);
  struct tm parts;
  if (gmtime_r(&seconds, &parts)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  s->now = arena_strdup(s->arena, given ? given : text, "session", err);
  return s->now ? 0 : err->code;
}

/* ---- end tokens ------------------------------------------------------------------------------------------------- */

bool session_is_end(const struct session *s, int32_t id)
{
  for (size_t i = 0; i < s->end_id_count; i++)
    if (s->end_ids[i] == id) return true;
  return false;
}

/* Keeps the list ascending. */
static void add_end_id(struct session *s, int id)
{
  if (id < 0 || session_is_end(s, id)) return;
  size_t at = s->end_id_count++;
  for (; at > 0 && s->end_ids[at - 1] > id; at--) s->end_ids[at] = s->end_ids[at - 1];
  s->end_ids[at] = id;
}

static int collect_end_ids(struct session *s, struct error *err)
{
  s->end_ids = ARENA_NEW(s->arena, int, s->source.end_id_count + 1, "session", err);
  if (!s->end_ids) return err->code;
  for (size_t i = 0; i < s->source.end_id_count; i++) add_end_id(s, s->source.end_ids[i]);
  if (s->tokenizer) add_end_id(s, tokenizer_eos(s->tokenizer));
  return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static const char RANDOM[] = "random:";

/* A folder that holds tokenizer.json and no model is enough where only text is wanted. */
static int open_source(struct session *s, const struct session_options *o, struct error *err)
{
  s->random = o->allow_random && !strncmp(o->model, RANDOM, strlen(RANDOM));
  s->seed = o->seed;
  const char *model = s->random ? o->model + strlen(RANDOM) : o->model;
  char *config = path_join(s->arena, model, "config.json", err);
  char *tokenizer = config ? path_join(s->arena, model, "tokenizer.json", err) : NULL;
  if (!tokenizer) return err->code;
  if (o->text_only && file_exists(tokenizer) && !file_exists(config)) {
    s->source = (struct model_source){.path = model, .folder = model};
    return 0;
  }
  TRY(model_source_open(s->arena, model, &s->source, &s->config, err));
  s->config.keep = o->keep;
  return o->adapter ? model_source_adapt(s->arena, o->adapter, &s->source, &s->config, err) : 0;
}

int session_open(struct arena *a, const struct session_options *o, struct session *out, struct error *err)
{
  *out = (struct session){.arena = a, .trained = o->trained};
  TRY(set_now(out, o->now, err));
  TRY(open_source(out, o, err));
  if (out->config.scores && !o->may_score)
    FAIL_AT(
        err, ERROR_INPUT, out->source.path, 0, "architectures",
        "found a reward model (%s), which writes no text; expected a causal model; the verifier reward_model scores "
        "answers with it",
        out->config.architecture);
  TRY(open_text(out, o, err));
  TRY(collect_end_ids(out, err));
  return o->text_only ? 0 : open_device(out, o, err);
}

int session_load(struct session *s, int positions, struct error *err)
{
  if (s->tokenizer && tokenizer_vocab_size(s->tokenizer) > (size_t)s->config.vocab)
    FAIL_AT(err, ERROR_INPUT, s->source.path, 0, "vocab_size",
            "found a tokenizer with ids up to %zu and a model with %d; expected no more ids than the model has rows",
            tokenizer_vocab_size(s->tokenizer) - 1, s->config.vocab);
  if (s->trained && !s->config.adapter.rank && s->config.keep != MODEL_KEEP_FULL)
    FAIL_AT(
        err, ERROR_INPUT, NULL, 0, "compute.weights",
        "found compute.weights for a run that trains whole weights; expected full, or a frozen base under an adapter: "
        "lora: {rank: 16}");
  int length = positions > 0 ? positions : s->config.max_positions;
  if (s->random) {
    TRY((s->trained ? model_create : model_create_fixed)(s->arena, s->device, &s->config, length, &s->model, err));
    TRY(model_randomise(s->model, s->seed, err));
    if (s->source.adapter) return adapter_load(s->model, s->source.adapter, err);
  } else {
    TRY((s->trained ? model_load : model_load_fixed)(s->arena, s->device, &s->source, &s->config, length, &s->model,
                                                     err));
  }
  return s->model->adapter && !s->source.adapter ? adapter_randomise(s->model, s->seed, err) : 0;
}

/* ---- prompts ---------------------------------------------------------------------------------------------------- */

static int set_token(const struct tokenizer *t, json_t *variables, const char *name, int32_t id)
{
  if (id < 0) return 0;
  struct token_text text = tokenizer_text_of_id(t, id);
  return json_object_set_new(variables, name, json_stringn(text.bytes, text.size));
}

/* As transformers' apply_chat_template has them: tools and documents are none where there are none, never undefined. */
static json_t *make_variables(const struct session *s, const json_t *messages, const json_t *given,
                              bool add_generation_prompt)
{
  json_t *all = json_object();
  int rc = all ? json_object_set(all, "messages", (json_t *)messages) : -1;
  if (!rc) rc = json_object_set_new(all, "add_generation_prompt", json_boolean(add_generation_prompt));
  if (!rc) rc = json_object_set_new(all, "tools", json_null());
  if (!rc) rc = json_object_set_new(all, "documents", json_null());
  if (!rc) rc = set_token(s->tokenizer, all, "bos_token", tokenizer_bos(s->tokenizer));
  if (!rc) rc = set_token(s->tokenizer, all, "eos_token", tokenizer_eos(s->tokenizer));
  if (!rc) rc = set_token(s->tokenizer, all, "pad_token", tokenizer_pad(s->tokenizer));
  if (!rc && given) rc = json_object_update(all, (json_t *)given);
  if (!rc) return all;
  json_decref(all);
  return NULL;
}

/* The template for a call; NULL after failing. */
static const struct template *template_for(const struct session *s, const json_t *variables, struct error *err)
{
  const json_t *tools = json_object_get(variables, "tools");
  if (s->template) return s->tool_template && tools && !json_is_null(tools) ? s->tool_template : s->template;
  error_fail(err, ERROR_INPUT, s->source.path, 0, "chat_template",
             "found no chat template; expected one in tokenizer_config.json or chat_template.jinja; give prompts as "
             "plain text");
  return NULL;
}

int session_render(const struct session *s, const json_t *messages, const json_t *variables, bool add_generation_prompt,
                   struct text *out, bool *raised, struct error *err)
{
  if (raised) *raised = false;
  const struct template *t = template_for(s, variables, err);
  if (!t) return err->code;
  json_t *all = make_variables(s, messages, variables, add_generation_prompt);
  if (!all) FAIL(err, ERROR_RESOURCE, "no memory for a template's variables");
  int rc = template_render(t, all, s->now, out, raised, err);
  json_decref(all);
  return rc;
}

bool session_marks_generation(const struct session *s, const json_t *variables)
{
  const json_t *tools = json_object_get(variables, "tools");
  const struct template *t = s->tool_template && tools && !json_is_null(tools) ? s->tool_template : s->template;
  return t && template_has_generation(t);
}

int session_render_spans(const struct session *s, struct arena *a, const json_t *messages, const json_t *variables,
                         struct text *out, struct template_spans *spans, struct error *err)
{
  const struct template *t = template_for(s, variables, err);
  if (!t) return err->code;
  json_t *all = make_variables(s, messages, variables, false);
  if (!all) FAIL(err, ERROR_RESOURCE, "no memory for a template's variables");
  int rc = template_render_spans(t, a, all, s->now, out, spans, err);
  json_decref(all);
  return rc;
}

int session_prompt_ids(const struct session *s, const char *prompt, const json_t *messages, const json_t *variables,
                       struct token_list *out, struct error *err)
{
  if (!s->tokenizer)
    FAIL_AT(err, ERROR_INPUT, s->source.path, 0, "tokenizer.json",
            "found no tokenizer; expected one beside the model; give token ids, or add tokenizer.json");
  if (prompt)
    return tokenizer_encode(s->tokenizer, prompt, strlen(prompt), TOKENIZER_SPECIAL | TOKENIZER_ADD_SPECIAL, out, err);
  struct text text = {0};
  int rc = session_render(s, messages, variables, true, &text, NULL, err);
  if (!rc) rc = text_finish(&text, err);
  if (!rc) rc = tokenizer_encode(s->tokenizer, text.size ? text.bytes : "", text.size, TOKENIZER_SPECIAL, out, err);
  text_free(&text);
  return rc;
}

int session_problem_ids(const struct session *s, const struct problem *p, const json_t *variables,
                        struct token_list *out, struct error *err)
{
  int rc = session_prompt_ids(s, p->prompt, p->messages, variables, out, err);
  return rc ? error_place(err, p->source, p->line) : 0;
}

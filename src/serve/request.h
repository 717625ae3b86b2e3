/* serve/request: the body of an OpenAI request, checked and taken apart: /v1/chat/completions and /v1/completions.
 *
 * Every field is either taken, known to change no answer (user, metadata, ...) and passed over, taken at its neutral
 * value only (repetition_penalty: 1), or refused by name. Pure: no model is needed, so that a fuzzer can reach all of
 * it.
 */
#ifndef ASSAY_SERVE_REQUEST_H
#define ASSAY_SERVE_REQUEST_H

#include "core/json.h"
#include "rollout/generate.h"

enum api_kind { API_CHAT, API_COMPLETION };
enum api_format { FORMAT_TEXT, FORMAT_OBJECT /* any JSON object */, FORMAT_SCHEMA };

enum {
  API_TOP = 20,
  API_BIAS = 100 /* largest, either way */,
  API_PENALTY = 2,
  API_STOPS = 16,
  API_STOP_BYTES = 1000,
  API_PROMPTS = 256
};

struct api_prompt {
  const char *text;  /* or NULL: */
  const json_t *ids; /* integers, not yet compared with the vocabulary */
};

struct api_request {
  enum api_kind kind;
  const char *model; /* NULL: not named */
  json_t *messages;  /* chat: as templates want them: contents are strings, arguments of tool calls objects */
  json_t *tools;     /* chat, or NULL */
  json_t *variables; /* of the template: chat_template_kwargs with tools, or NULL */
  bool must_call;    /* the answer is one call of a tool: */
  const char *tool;  /* of this one; NULL: of any */
  struct api_prompt *prompts;
  int32_t prompt_count; /* 1 for a chat */
  int32_t n;            /* answers to each: */
  int32_t drawn;        /* the best of so many (best_of); n: all of them */
  int64_t max_tokens;   /* -1: not given */
  struct sampling sampling;
  double presence, frequency; /* penalties; 0: none */
  struct sample_bias *bias;   /* ids not yet compared with the vocabulary */
  int32_t bias_count;
  int64_t seed; /* -1: not given */
  const char **stop;
  size_t stop_count;
  bool stream, include_usage, echo, logprobs;
  int32_t top; /* most likely tokens wanted beside each */
  enum api_format format;
  json_t *schema; /* FORMAT_SCHEMA */
};

/* The request lives in the arena. ERROR_INPUT with the field as key. */
int api_request_parse(struct arena *a, enum api_kind kind, const char *body, size_t n, struct api_request *out,
                      struct error *err) MUST_USE;

#endif

/* serve/call: one request for generated text from its parsing to its last byte: what its answers are so far, and the
 * JSON and events that say so. The engine feeds it tokens, always on the engine's thread. */
#ifndef ASSAY_SERVE_CALL_H
#define ASSAY_SERVE_CALL_H

#include "rollout/session.h"
#include "serve/grammar.h"
#include "serve/http.h"
#include "serve/request.h"

/* What a completion's or chat's log-probabilities are written into, as lists without their brackets. A chat uses the
 * first alone. */
enum { ENTRY_TOKENS, ENTRY_LOGP, ENTRY_TOP, ENTRY_OFFSETS, ENTRY_IDS, ENTRIES };

struct choice {
  int32_t prompt, rollout; /* which job's, and which of its rollouts */
  struct token_decoder decoder;
  struct text text;  /* as far as it is decoded; with echo the prompt's in front */
  size_t start;      /* where the answer begins in it */
  size_t sent;       /* bytes that were streamed */
  size_t characters; /* of text */
  int32_t tokens;    /* drawn so far */
  struct text entries[ENTRIES];
  bool role_sent, over;
  bool answered;      /* stands in the answer already (best_of) */
  double score;       /* mean log-probability of its tokens, once it is over */
  const char *reason; /* "stop", "length", "tool_calls"; NULL until it is over */
  json_t *tool_calls; /* of an answer that is over, or NULL */
  int32_t top_ids[API_TOP];
  float top_logp[API_TOP];
  struct grammar_state *state; /* NULL: anything may follow */
  uint32_t *allowed;           /* the tokens that may */
  struct sample_bias *bias;    /* what the request's logit_bias and penalties add by now; NULL: nothing ever */
  struct bias_from {
    double given;  /* by logit_bias */
    int32_t drawn; /* so often in this answer */
  } * bias_from;   /* [bias_count] */
  int32_t bias_count;
};

struct call {
  struct http_exchange *exchange;
  struct arena *arena; /* the exchange's */
  struct api_request request;
  const struct session *session;
  const char *model; /* as it is called in answers */
  char id[48];
  int64_t created;
  struct tree *tree;
  struct generate_job *jobs; /* [request.prompt_count] */
  int32_t *leaves;           /* of all choices */
  enum finish *finishes;
  struct choice *choices; /* [choice_count], prompt by prompt */
  int32_t choice_count, left;
  struct grammar *grammar; /* NULL: none */
  int32_t *prompt_top_ids; /* [positions of the prompt, top] where the prompt's own are wanted */
  float *prompt_top_logp;
  int64_t prompt_tokens, generated;
  bool started; /* the stream has */
  bool broken;  /* the client is gone or was told of a failure: nothing more is sent */
  /* the engine's */
  uint64_t client, order;
  int32_t next_job, running; /* jobs and rollouts that were admitted and are not over */
  double arrived, first;     /* clock_seconds; 0: no token yet */
  struct call *next;
};

/* Tokens, tree and jobs of a parsed request. limits: of prompt and answer together, of answers to one prompt, the
 * longest answer where none is asked for. ERROR_INPUT for what the model cannot take. */
struct call_limits {
  int positions, answers;
  int64_t max_tokens;
};
int call_prepare(struct call *c, const struct call_limits *limits, uint64_t seed, uint32_t ordinal,
                 struct error *err) MUST_USE;
/* Frees what is not in the arena. */
void call_close(struct call *c);

struct choice *call_choice(struct call *c, int32_t job, int32_t rollout);
/* The most likely tokens at a place, before the token itself. rollout -1: of the prompt. */
void call_top(struct call *c, int32_t job, int32_t rollout, int32_t position, int32_t k, const int32_t *ids,
              const float *logp);
/* A token was drawn. Sends what can be sent of a stream. */
void call_token(struct call *c, int32_t job, int32_t rollout, const struct token_record *record);
/* A rollout is complete; the last one sends the answer, or the end of the stream. */
void call_finished(struct call *c, int32_t job, int32_t rollout);
/* Tells the client of a failure, as an answer or as the stream's last event. */
void call_fail(struct call *c, int status, const char *type, const char *message);

/* ---- serve/call_bias.c ---- */

/* logit_bias, presence_penalty and frequency_penalty of OpenAI's API: the draw's logit of token v becomes
 *     logit + logit_bias[v] - frequency_penalty c[v] - presence_penalty [c[v] > 0],   c[v]: how often the answer has
 * it. What is reported stays the model's (compute/backend.h, sample_bias). ERROR_INPUT for ids the model lacks. */
bool call_has_penalties(const struct call *c); /* logits move with the tokens that were drawn */
int call_open_bias(struct call *c, struct choice *o, struct error *err) MUST_USE;
/* The token was drawn. */
void call_move_bias(const struct call *c, struct choice *o, int32_t id);

/* ---- serve/call_json.c ---- */

/* The entry of a token; record NULL: the first of a prompt, which has no log-probability. */
void call_put_entry(struct call *c, struct choice *o, int32_t id, const struct token_record *record,
                    const int32_t *top_ids, const float *top_logp);
void call_put_answer(struct call *c, struct text *t);
/* The event with text[from..to) and the entries gathered since the last one; reason NULL: it goes on. */
void call_put_event(struct call *c, struct choice *o, size_t from, size_t to, bool last, struct text *t);
void call_put_usage_event(struct call *c, struct text *t);

#endif

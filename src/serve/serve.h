/* serve/serve: an OpenAI-compatible HTTP interface to a model: what `assay serve` is.
 *
 *     POST /v1/chat/completions   POST /v1/completions   GET /v1/models   GET /health   GET /metrics
 *
 * Requests come in on the threads of serve/http, are parsed and tokenised there (serve/request, serve/call), and wait
 * for the one loop that writes all answers (serve/engine). It stands above train/ and reaches models through
 * rollout/session.h and rollout/generate.h alone, as the commands do, so that what is served is what is trained, bit
 * for bit.
 */
#ifndef ASSAY_SERVE_SERVE_H
#define ASSAY_SERVE_SERVE_H

#include "rollout/session.h"

enum { SERVE_PORT = 8080 }; /* where it listens unless told otherwise */

struct serve_options {
  const char *host;
  int port;
  const char *name;        /* of the model, in answers */
  const char *const *keys; /* API keys; none: open to everybody */
  size_t key_count;
  int slots, queue, context, keep;
  int64_t max_tokens;  /* longest answer where a request does not say */
  uint64_t kv_bytes;   /* at most, of KV */
  uint64_t body_limit; /* bytes of a request */
  int connections;
  double time_limit, grace;
  uint64_t seed;
  bool (*stopped)(void);
  void (*ready)(void *arg, const char *url); /* it listens */
  void *arg;
};

/* Serves until stopped(). The session's weights are loaded, its rotary table as long as the context. */
int serve_run(struct arena *a, const struct session *s, const struct serve_options *o, struct error *err) MUST_USE;
/* Bytes that the server takes beside the weights, and what of it is KV. */
size_t serve_bytes(const struct session *s, const struct serve_options *o, size_t *kv);

#endif

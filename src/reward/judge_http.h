/* reward/judge_http: JSON sent to a judge's server and the answer taken back, by libcurl: bounded in places, time and
 * size, and tried again where that can help.
 *
 * A place is one connection, kept alive; there are `concurrency` of them for all threads, and one is held for a whole
 * verdict. Tried again, up to `retries` times: 408, 429, 500, 502, 503, 504, 529 and connections that fail or break. In
 * front of try k (1 is the first repetition) stands a pause of
 *
 *     backoff * 2^(k-1) * (0.5 + u/2) seconds, at most 60,
 *
 * u in [0, 1) being taken from the SHA-256 of the question and k, so that many questions that failed together do not
 * come back together; the server's Retry-After, if that is longer, stands in its place. A pause that would end behind
 * the time limit is not begun. No proxy, no redirect, no .netrc, no cookie; an answer has at most 1 MiB.
 */
#ifndef ASSAY_REWARD_JUDGE_HTTP_H
#define ASSAY_REWARD_JUDGE_HTTP_H

#include "core/json.h"

enum { JUDGE_ANSWER = 1 << 20 }; /* bytes of an answer, headers not counted */

struct judge_http_options {
  const char *url;     /* http://host:8000/v1: chat/completions is put behind it where it is not there */
  const char *key_env; /* variable that holds the key; NULL: no key is sent */
  int concurrency, retries;
  double backoff; /* seconds */
};

struct judge_http;

struct judge_http_answer {
  const char *body; /* with status 200; of the place, until its next post. The key is blotted out of it */
  size_t size;
  bool timeout;
  char failure[600]; /* why there is no body: a sentence; "": there is one */
};

/* Settings that are no URL, or a variable that is not set: ERROR_INPUT. The key stays in memory. */
int judge_http_open(struct arena *a, const struct judge_http_options *o, struct judge_http **out,
                    struct error *err) MUST_USE;
/* A free place; waits for it. */
int judge_http_take(struct judge_http *h);
void judge_http_give(struct judge_http *h, int place);
/* Asks from the place that the caller holds, until `deadline` (clock_seconds). Memory only is an error. */
int judge_http_post(struct judge_http *h, int place, const char *json, size_t n, double deadline,
                    struct judge_http_answer *out, struct error *err) MUST_USE;

#endif

#include "reward/judge_http.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "core/log.h"
#include "reward/libcurl.h"

enum { PLACES = 256, KEY_LEAST = 8 /* bytes from which a key is a secret: local servers take "none" or "EMPTY" */ };

struct place {
  CURL *curl;       /* made at the first question */
  struct text body; /* bounded by take_body */
  bool flooded, busy;
};

struct judge_http {
  pthread_mutex_t lock;
  pthread_cond_t freed;
  struct place places[PLACES];
  int count, retries;
  double backoff;
  char *url, *shown; /* shown: without the query, which may hold what is private */
  char *key;         /* NULL: none */
  struct curl_slist *headers;
};

/* One exchange: what came of it. */
struct exchange {
  CURLcode code;
  long status;
  double retry_after; /* seconds; 0: not said */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void close_http(void *arg)
{
  struct judge_http *h = arg;
  for (int i = 0; i < h->count; i++) {
    if (h->places[i].curl) libcurl.easy_cleanup(h->places[i].curl);
    text_free(&h->places[i].body);
  }
  libcurl.slist_free_all(h->headers);
  pthread_cond_destroy(&h->freed);
  pthread_mutex_destroy(&h->lock);
}

static int bad_url(const char *url, const char *what, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "url",
          "found url: \"%.200s\", %s; expected the address of an OpenAI-compatible server, like "
          "url: http://127.0.0.1:8000/v1",
          url, what);
}

/* What of the URL stands in messages, and whether it may be asked at all. */
static const char *check_url(CURLU *u, const char *url)
{
  char *scheme = NULL, *user = NULL;
  const char *wrong = NULL;
  if (libcurl.url_set(u, CURLUPART_URL, url, 0))
    wrong = "which is no URL";
  else if (libcurl.url_get(u, CURLUPART_SCHEME, &scheme, 0) || (strcmp(scheme, "http") && strcmp(scheme, "https")))
    wrong = "which is neither http nor https";
  else if (!libcurl.url_get(u, CURLUPART_USER, &user, 0))
    wrong = "which holds a name or password (a key belongs into the variable that key_env names)";
  libcurl.free(scheme);
  libcurl.free(user);
  return wrong;
}

static int copy_url(struct arena *a, CURLU *u, char **out, struct error *err)
{
  char *text = NULL;
  CURLUcode rc = libcurl.url_get(u, CURLUPART_URL, &text, 0);
  *out = rc ? NULL : arena_strdup(a, text, "judge", err);
  libcurl.free(text);
  if (rc) FAIL(err, ERROR_RESOURCE, "out of memory for the judge's address");
  return *out ? 0 : err->code;
}

/* Puts chat/completions behind the path where it is not there. */
static int complete_path(struct arena *a, CURLU *u, struct error *err)
{
  static const char last[] = "/chat/completions";
  char *path = NULL;
  int rc = 0;
  if (libcurl.url_get(u, CURLUPART_PATH, &path, 0)) FAIL(err, ERROR_RESOURCE, "out of memory for the judge's address");
  size_t n = strlen(path);
  while (n && path[n - 1] == '/') n--;
  if (n < sizeof last - 1 || memcmp(path + n - (sizeof last - 1), last, sizeof last - 1)) {
    const char *whole = arena_printf(a, "judge", err, "%.*s%s", (int)n, path, last);
    rc = !whole ? err->code : libcurl.url_set(u, CURLUPART_PATH, whole, 0) ? ERROR_RESOURCE : 0;
  }
  libcurl.free(path);
  return rc;
}

static int read_url(struct arena *a, const char *url, struct judge_http *h, struct error *err)
{
  CURLU *u = libcurl.url();
  if (!u) FAIL(err, ERROR_RESOURCE, "out of memory for the judge's address");
  const char *wrong = check_url(u, url);
  int rc = wrong ? bad_url(url, wrong, err) : complete_path(a, u, err);
  if (!rc) rc = copy_url(a, u, &h->url, err);
  (void)libcurl.url_set(u, CURLUPART_QUERY, NULL, 0);
  if (!rc) rc = copy_url(a, u, &h->shown, err);
  libcurl.url_cleanup(u);
  return rc;
}

static int add_header(struct judge_http *h, const char *line, struct error *err)
{
  struct curl_slist *more = libcurl.slist_append(h->headers, line);
  if (!more) FAIL(err, ERROR_RESOURCE, "out of memory for the judge's headers");
  h->headers = more;
  return 0;
}

static int read_key(struct arena *a, const char *variable, struct judge_http *h, struct error *err)
{
  const char *key = getenv(variable);
  if (!key || !*key)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "key_env",
            "found no environment variable %.100s; expected the judge's key in it, as key_env says; export %.100s=..., "
            "or leave key_env out for a server that wants no key",
            variable, variable);
  for (const char *at = key; *at; at++)
    if (*at <= ' ' || *at > '~')
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "key_env",
              "found a key with blanks or other than printable ASCII letters in the variable %.100s; expected the "
              "bare key",
              variable);
  h->key = arena_strdup(a, key, "judge", err);
  const char *line = h->key ? arena_printf(a, "judge", err, "Authorization: Bearer %s", key) : NULL;
  return line ? add_header(h, line, err) : err->code;
}

int judge_http_open(struct arena *a, const struct judge_http_options *o, struct judge_http **out, struct error *err)
{
  ASSAY_BUG_IF(o->concurrency < 1 || o->concurrency > PLACES);
  TRY(libcurl_open(err));
  struct judge_http *h = ARENA_NEW(a, struct judge_http, 1, "judge", err);
  if (!h) return err->code;
  h->count = o->concurrency;
  h->retries = o->retries;
  h->backoff = o->backoff;
  pthread_mutex_init(&h->lock, NULL);
  pthread_cond_init(&h->freed, NULL);
  int rc = arena_on_reset(a, close_http, h, err);
  if (rc) {
    close_http(h);
    return rc;
  }
  TRY(read_url(a, o->url, h, err));
  TRY(add_header(h, "Content-Type: application/json", err));
  TRY(add_header(h, "Expect:", err)); /* a server that does not know 100-continue costs a second otherwise */
  if (o->key_env) TRY(read_key(a, o->key_env, h, err));
  *out = h;
  return 0;
}

int judge_http_take(struct judge_http *h)
{
  int best = -1;
  pthread_mutex_lock(&h->lock);
  while (best < 0) {
    for (int i = 0; i < h->count; i++) /* one with a connection before one without */
      if (!h->places[i].busy && (best < 0 || (h->places[i].curl && !h->places[best].curl))) best = i;
    if (best < 0) pthread_cond_wait(&h->freed, &h->lock);
  }
  h->places[best].busy = true;
  pthread_mutex_unlock(&h->lock);
  return best;
}

void judge_http_give(struct judge_http *h, int place)
{
  pthread_mutex_lock(&h->lock);
  h->places[place].busy = false;
  pthread_cond_signal(&h->freed);
  pthread_mutex_unlock(&h->lock);
}

/* ---- one exchange ------------------------------------------------------------------------------------------------ */

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
  struct place *p = arg;
  p->flooded = p->flooded || size * count > JUDGE_ANSWER - p->body.size;
  if (!p->flooded) text_add(&p->body, bytes, size * count);
  return p->flooded || p->body.rc ? 0 : size * count;
}

/* What is the same for all questions of a place. */
static int make_handle(const struct judge_http *h, struct place *p, struct error *err)
{
  CURL *c = p->curl = libcurl.easy_init();
  if (!c) FAIL(err, ERROR_RESOURCE, "out of memory for a connection to the judge");
  CURLcode rc = libcurl.easy_setopt(c, CURLOPT_URL, h->url);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_HTTPHEADER, h->headers);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_PROXY, ""); /* not even by the environment */
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L); /* threads */
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_USERAGENT, "assay/" ASSAY_VERSION);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
  if (!rc) rc = libcurl.easy_setopt(c, CURLOPT_WRITEDATA, p);
  if (rc) FAIL(err, ERROR_RESOURCE, "libcurl does not take what the judge needs: %s", libcurl.easy_strerror(rc));
  return 0;
}

static int exchange(const struct judge_http *h, struct place *p, const char *json, size_t n, double left,
                    struct exchange *out, struct error *err)
{
  curl_off_t wait = 0;
  if (!p->curl) TRY(make_handle(h, p, err));
  text_clear(&p->body);
  p->flooded = false;
  *out = (struct exchange){0};
  CURLcode rc = libcurl.easy_setopt(p->curl, CURLOPT_POSTFIELDS, json);
  if (!rc) rc = libcurl.easy_setopt(p->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
  if (!rc) rc = libcurl.easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, (long)(left * 1000) + 1);
  out->code = rc ? rc : libcurl.easy_perform(p->curl);
  libcurl.easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &out->status);
  if (!libcurl.easy_getinfo(p->curl, CURLINFO_RETRY_AFTER, &wait)) out->retry_after = (double)wait;
  if (out->code == CURLE_OUT_OF_MEMORY || p->body.rc) FAIL(err, ERROR_RESOURCE, "out of memory for a judge's answer");
  return 0;
}

/* A key that the server says again is written nowhere. */
static void blot_key(const char *key, struct text *body)
{
  size_t n = key ? strlen(key) : 0;
  if (n < KEY_LEAST || !body->size) return;
  for (char *at = body->bytes; (at = memchr(at, *key, body->size - (size_t)(at - body->bytes))); at++)
    if (body->size - (size_t)(at - body->bytes) >= n && !memcmp(at, key, n)) memset(at, '*', n);
}

/* ---- trying again ------------------------------------------------------------------------------------------------ */

static bool may_help(const struct place *p, const struct exchange *e)
{
  static const long statuses[] = {408, 429, 500, 502, 503, 504, 529};
  static const CURLcode codes[] = {CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_SEND_ERROR,
                                   CURLE_RECV_ERROR,           CURLE_GOT_NOTHING,     CURLE_PARTIAL_FILE,
                                   CURLE_SSL_CONNECT_ERROR,    CURLE_HTTP2,           CURLE_HTTP2_STREAM,
                                   CURLE_WEIRD_SERVER_REPLY};
  if (p->flooded) return false;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (e->code == codes[i]) return true;
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
    if (!e->code && e->status == statuses[i]) return true;
  return false;
}

/* Seconds in front of repetition k >= 1. */
static double pause_of(const struct judge_http *h, const char *json, size_t n, int k, const struct exchange *e)
{
  struct sha256 s;
  uint8_t digest[32], number = (uint8_t)k;
  double pause = h->backoff;
  sha256_start(&s);
  sha256_add(&s, json, n);
  sha256_add(&s, &number, 1);
  sha256_finish(&s, digest);
  for (int i = 1; i < k && pause < 60; i++) pause *= 2;
  pause *= 0.5 + (digest[0] * 256 + digest[1]) / 131072.0;
  if (pause > 60) pause = 60;
  return e->retry_after > pause ? e->retry_after : pause;
}

static void sleep_for(double seconds)
{
  struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&left, &left) && errno == EINTR) {}
}

/* What the server says of its own failure, as one line. */
static void put_server_words(const struct place *p, char *out, size_t size)
{
  json_t *o = p->body.size ? json_loadb(p->body.bytes, p->body.size, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
  const json_t *error = json_object_get(o, "error");
  const char *words = json_string_value(json_object_get(error, "message"));
  if (!words) words = json_string_value(error);
  if (!words) words = json_string_value(json_object_get(o, "message"));
  if (!words) words = p->body.size ? p->body.bytes : "";
  snprintf(out, size, "%s%.200s%s", *words ? ": \"" : "", words, *words ? "\"" : "");
  for (char *c = out; *c; c++)
    if ((unsigned char)*c < ' ') *c = ' ';
  json_decref(o);
}

static const char *advice(long status)
{
  return status == 401 || status == 403 ? "; set key_env to the variable that holds a key which it takes"
         : status == 404                ? "; are url and model right?"
         : status == 400 || status == 422
             ? "; what it does not know can be left out (logprobs: 0, max_tokens: 0, reply_format: text)"
         : status == 429 ? "; lower concurrency or raise retries"
         : status == 413 ? "; the question is too long for it"
                         : "";
}

/* Why the last try gave nothing, as a sentence. */
static void explain(const struct judge_http *h, const struct place *p, const struct exchange *e, int tries,
                    struct judge_http_answer *out)
{
  char words[256], times[40] = "";
  if (tries > 1) snprintf(times, sizeof times, " after %d tries", tries);
  put_server_words(p, words, sizeof words);
  if (p->flooded)
    snprintf(out->failure, sizeof out->failure, "the judge at %.200s sent more than %d bytes", h->shown, JUDGE_ANSWER);
  else if (e->code == CURLE_OPERATION_TIMEDOUT)
    snprintf(out->failure, sizeof out->failure, "the judge at %.200s gave no answer within the time limit%s", h->shown,
             times);
  else if (e->code == CURLE_COULDNT_CONNECT || e->code == CURLE_COULDNT_RESOLVE_HOST)
    snprintf(out->failure, sizeof out->failure, "no judge can be reached at %.200s%s (%s); is it running?", h->shown,
             times, libcurl.easy_strerror(e->code));
  else if (e->code == CURLE_PARTIAL_FILE || e->code == CURLE_RECV_ERROR || e->code == CURLE_GOT_NOTHING)
    snprintf(out->failure, sizeof out->failure, "the answer of the judge at %.200s was cut off%s (%s)", h->shown, times,
             libcurl.easy_strerror(e->code));
  else if (e->code)
    snprintf(out->failure, sizeof out->failure, "the judge at %.200s could not be asked%s (%s)", h->shown, times,
             libcurl.easy_strerror(e->code));
  else
    snprintf(out->failure, sizeof out->failure, "the judge at %.200s answered status %ld%s%s%s", h->shown, e->status,
             times, words, advice(e->status));
  out->timeout = e->code == CURLE_OPERATION_TIMEDOUT;
}

int judge_http_post(struct judge_http *h, int place, const char *json, size_t n, double deadline,
                    struct judge_http_answer *out, struct error *err)
{
  struct place *p = &h->places[place];
  struct exchange e = {.code = CURLE_OPERATION_TIMEDOUT};
  int tries = 0;
  bool late = true;  // no further try because of the time, rather than because it would not help
  *out = (struct judge_http_answer){0};
  text_clear(&p->body);
  for (double left; (left = deadline - clock_seconds()) > 0;) {
    TRY(exchange(h, p, json, n, left, &e, err));
    tries++;
    blot_key(h->key, &p->body);
    if (!e.code && e.status == 200) {
      out->body = p->body.bytes ? p->body.bytes : "";
      out->size = p->body.size;
      return 0;
    }
    if (tries > h->retries || !may_help(p, &e)) {
      late = false;
      break;
    }
    double pause = pause_of(h, json, n, tries, &e);
    if (clock_seconds() + pause >= deadline) break;
    sleep_for(pause);
  }
  explain(h, p, &e, tries, out);
  if (late && !out->timeout) {
    size_t used = strlen(out->failure);
    snprintf(out->failure + used, sizeof out->failure - used, "; the time limit leaves no room for another try");
    out->timeout = true;
  }
  return 0;
}

#include "serve/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const double BOUNDS[METER_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

int meter_open(struct meter *m, struct error *err)
{
  if (pthread_mutex_init(&m->lock, NULL)) FAIL(err, ERROR_RESOURCE, "no memory for a lock");
  return 0;
}

void meter_answer(struct meter *m, int status)
{
  pthread_mutex_lock(&m->lock);
  m->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
  pthread_mutex_unlock(&m->lock);
}

void meter_refused(struct meter *m)
{
  pthread_mutex_lock(&m->lock);
  m->refused++;
  pthread_mutex_unlock(&m->lock);
}

void meter_cancelled(struct meter *m)
{
  pthread_mutex_lock(&m->lock);
  m->cancelled++;
  pthread_mutex_unlock(&m->lock);
}

static void add_time(struct meter_times *t, double seconds)
{
  int i = 0;
  while (i < METER_BUCKETS && seconds > BOUNDS[i]) i++;
  t->bucket[i]++;
  t->count++;
  t->sum += seconds;
}

void meter_call(struct meter *m, int64_t prompt, int64_t kept, int64_t generated, double first_token, double seconds)
{
  pthread_mutex_lock(&m->lock);
  m->prompt_tokens += (uint64_t)prompt;
  m->kept_tokens += (uint64_t)kept;
  m->generated_tokens += (uint64_t)generated;
  add_time(&m->first_token, first_token);
  add_time(&m->request, seconds);
  pthread_mutex_unlock(&m->lock);
}

void meter_set(struct meter *m, const struct meter_gauges *now)
{
  pthread_mutex_lock(&m->lock);
  m->now = *now;
  pthread_mutex_unlock(&m->lock);
}

static void put_one(struct text *t, const char *name, const char *type, const char *help, uint64_t value)
{
  text_printf(t, "# HELP assay_%s %s\n# TYPE assay_%s %s\nassay_%s %" PRIu64 "\n", name, help, name, type, name, value);
}

static void put_times(struct text *t, const char *name, const char *help, const struct meter_times *times)
{
  uint64_t below = 0;
  text_printf(t, "# HELP assay_%s %s\n# TYPE assay_%s histogram\n", name, help, name);
  for (int i = 0; i < METER_BUCKETS; i++) {
    below += times->bucket[i];
    text_printf(t, "assay_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, BOUNDS[i], below);
  }
  text_printf(t, "assay_%s_bucket{le=\"+Inf\"} %" PRIu64 "\nassay_%s_sum ", name, times->count, name);
  json_put_f64(t, times->sum);
  text_printf(t, "\nassay_%s_count %" PRIu64 "\n", name, times->count);
}

/* Resident memory, from the second number of /proc/self/statm; 0 where there is none. */
static uint64_t resident_bytes(void)
{
  unsigned long long all = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "re");
  if (!f) return 0;
  if (fscanf(f, "%llu %llu", &all, &resident) != 2) resident = 0;
  fclose(f);
  return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void meter_put(struct meter *m, struct text *t)
{
  pthread_mutex_lock(&m->lock);
  text_puts(t,
            "# HELP assay_http_answers_total Answers by the first digit of their status; 0: broken off\n"
            "# TYPE assay_http_answers_total counter\n");
  for (int i = 0; i < 6; i++) text_printf(t, "assay_http_answers_total{status=\"%d\"} %" PRIu64 "\n", i, m->answers[i]);
  put_one(t, "requests_refused_total", "counter", "Requests answered 429: the queue was full", m->refused);
  put_one(t, "requests_cancelled_total", "counter", "Requests whose client left before the end", m->cancelled);
  put_one(t, "prompt_tokens_total", "counter", "Tokens of prompts", m->prompt_tokens);
  put_one(t, "prompt_tokens_kept_total", "counter", "Of these, tokens whose KV was still there", m->kept_tokens);
  put_one(t, "generated_tokens_total", "counter", "Tokens drawn", m->generated_tokens);
  put_one(t, "rows_running", "gauge", "Answers that are being written", (uint64_t)m->now.running);
  put_one(t, "requests_waiting", "gauge", "Requests in the queue", (uint64_t)m->now.waiting);
  put_one(t, "kv_blocks_used", "gauge", "KV blocks in use, kept ones included", (uint64_t)m->now.kv_used);
  put_one(t, "kv_blocks_kept", "gauge", "KV blocks kept for prompts to come", (uint64_t)m->now.kv_kept);
  put_one(t, "kv_blocks", "gauge", "KV blocks in all", (uint64_t)m->now.kv_all);
  put_times(t, "first_token_seconds", "From a request to its first token", &m->first_token);
  put_times(t, "request_seconds", "From a request to its last token", &m->request);
  pthread_mutex_unlock(&m->lock);
  put_one(t, "resident_memory_bytes", "gauge", "Resident memory of the process", resident_bytes());
}

/* A reward from an external program that lives as long as the run: one JSON object a line in, one a line out.
 *
 *     in    {"id": 7, "question": ..., "answer": ..., "response": ...} and all other fields of the problem's line
 *     out   {"reward": 0.5, "correct"?: false, "extracted"?: "...", "reason"?: "...", "channels"?: {"style": 1},
 *            "id"?: 7}                                                   or {"error": "why there is no verdict"}
 *
 * `command` is given to /bin/sh -c, so quotes, variables and pipes mean what they mean in a shell; write `exec` in
 * front to be rid of the shell. Up to `workers` of it run at a time, each started when it is first needed and again
 * when it ended. A program that is late (the verifier's timeout), ends, floods or writes what is no such object gave no
 * verdict: VERDICT_FAILED, never a wrong answer; it is killed with its process group, and the next question starts
 * another. A command that the shell cannot find or run ends the run (exit status 3). Answers must come one for one;
 * stdout is for answers alone, stderr goes to the log. See docs/verify/command.md.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "core/math.h"
#include "data/source.h"
#include "reward/child.h"
#include "reward/verifier.h"

enum { WORKERS = 64 };

struct pool {
  pthread_mutex_t lock;
  pthread_cond_t freed;
  struct child child[WORKERS];
  bool busy[WORKERS];
  int count;
  uint64_t asked; /* ids of questions */
};

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

static void close_pool(void *arg)
{
  struct pool *p = arg;
  for (int i = 0; i < p->count; i++) child_close(&p->child[i]);
  pthread_cond_destroy(&p->freed);
  pthread_mutex_destroy(&p->lock);
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  struct pool *p = ARENA_NEW(a, struct pool, 1, "verifier", err);
  if (!p) return err->code;
  if (!verifier_value(c, "command")->set || !*verifier_value(c, "command")->text)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "command",
            "found no command; expected verifier: {command: {command: \"python3 reward.py\"}}, or assay verify command "
            "command=\"python3 reward.py\"");
  p->count = (int)verifier_value(c, "workers")->integer;
  for (int i = 0; i < p->count; i++) child_init(&p->child[i]);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->freed, NULL);
  c->state = p;
  int rc = arena_on_reset(a, close_pool, p, err);
  if (rc) close_pool(p);
  return rc;
}

/* A free place, one with a running program before one without; waits for it. */
static int take_place(struct pool *p, uint64_t *id)
{
  pthread_mutex_lock(&p->lock);
  int best = -1;
  while (best < 0) {
    for (int i = 0; i < p->count; i++)
      if (!p->busy[i] && (best < 0 || (p->child[i].pid && !p->child[best].pid))) best = i;
    if (best < 0) pthread_cond_wait(&p->freed, &p->lock);
  }
  p->busy[best] = true;
  *id = ++p->asked;
  pthread_mutex_unlock(&p->lock);
  return best;
}

static void give_place(struct pool *p, int i)
{
  pthread_mutex_lock(&p->lock);
  p->busy[i] = false;
  pthread_cond_signal(&p->freed);
  pthread_mutex_unlock(&p->lock);
}

/* ---- question and answer ----------------------------------------------------------------------------------------- */

static void put_member(struct text *t, const char *key, const char *s, size_t n)
{
  text_printf(t, ",\"%s\":", key);
  json_put_string(t, s, n);
}

static void put_question(struct text *t, uint64_t id, const struct problem *p, const char *response, size_t n)
{
  const char *key;
  json_t *v;
  text_printf(t, "{\"id\":%llu", (unsigned long long)id);
  json_object_foreach((json_t *)p->fields, key, v)
  {
    if (!strcmp(key, "id") || !strcmp(key, "response") || (!strcmp(key, "answer") && p->answer)) continue;
    text_puts(t, ",");
    json_put_string(t, key, strlen(key));
    text_puts(t, ":");
    json_put_value(t, v);
  }
  if (p->id) put_member(t, "problem", p->id, strlen(p->id));
  if (p->prompt && !json_object_get(p->fields, "prompt")) put_member(t, "prompt", p->prompt, strlen(p->prompt));
  if (p->answer) put_member(t, "answer", p->answer, strlen(p->answer));
  put_member(t, "response", response, n);
  text_puts(t, "}\n");
}

static int fail(struct arena *a, struct verdict *out, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int fail(struct arena *a, struct verdict *out, struct error *err, const char *fmt, ...)
{
  char reason[600];
  va_list args;
  va_start(args, fmt);
  vsnprintf(reason, sizeof reason, fmt, args);
  va_end(args);
  *out = (struct verdict){.status = VERDICT_FAILED, .timeout = out->timeout};
  out->reason = arena_strdup(a, reason, "verdict", err);
  return out->reason ? 0 : err->code;
}

static int take_text(struct arena *a, const json_t *v, const char **out, struct error *err)
{
  TRY(problem_value_text(a, v, out, err));
  return 0;
}

static int take_channels(struct arena *a, const json_t *channels, struct verdict *out, bool *good, struct error *err)
{
  const char *key;
  json_t *v;
  *good = (!channels || json_is_object(channels)) && json_object_size(channels) <= VERDICT_CHANNELS;
  if (!*good) return 0;
  json_object_foreach((json_t *)channels, key, v)
  {
    *good = *good && json_is_number(v) && *key && strcmp(key, "reward") != 0;
    if (!*good) return 0;
    out->channels[out->channel_count].name = arena_strdup(a, key, "verdict", err);
    out->channels[out->channel_count].value = json_number_value(v);
    if (!out->channels[out->channel_count++].name) return err->code;
  }
  return 0;
}

/* The answer as a verdict. in_step: the program may be asked again. */
static int read_answer(struct arena *a, const char *line, uint64_t id, struct verdict *out, bool *in_step,
                       struct error *err)
{
  struct error why = {0};
  json_t *o;
  bool channels;
  if (json_parse(a, line, strlen(line), "command", 0, JSON_READ_UNIQUE, &o, &why) || !json_is_object(o))
    return fail(a, out, err, "the command answered \"%.200s\", which is no JSON object", line);
  const json_t *reward = json_object_get(o, "reward"), *correct = json_object_get(o, "correct"),
               *error = json_object_get(o, "error"), *echo = json_object_get(o, "id");
  *in_step = json_is_string(error);
  if (*in_step) return fail(a, out, err, "the command gave no verdict: %.400s", json_string_value(error));
  if (echo && (!json_is_integer(echo) || (uint64_t)json_integer_value(echo) != id))
    return fail(a, out, err, "the command answered another question than it was asked");
  if (!json_is_number(reward) || !math_is_finite(json_number_value(reward)))
    return fail(a, out, err, "the command answered \"%.200s\", which has no reward that is a number", line);
  if (correct && !json_is_boolean(correct))
    return fail(a, out, err, "the command answered \"%.200s\", whose `correct` is neither true nor false", line);
  *in_step = true;
  *out = (struct verdict){.readable = true, .reward = json_number_value(reward)};
  TRY(take_channels(a, json_object_get(o, "channels"), out, &channels, err));
  if (!channels)
    return fail(a, out, err, "the command answered channels that are no map of at most %d names to numbers",
                VERDICT_CHANNELS);
  out->correct = correct ? json_is_true(correct) : out->reward >= 1;
  TRY(take_text(a, json_object_get(o, "extracted"), &out->extracted, err));
  TRY(take_text(a, json_object_get(o, "reason"), &out->reason, err));
  if (!out->reason) out->reason = "the command gives no reason";
  return 0;
}

/* What was not answered; a command that is not there is no verdict's matter. */
static int explain(struct arena *a, const struct verifier_config *c, const struct child *child,
                   enum child_result result, struct verdict *out, struct error *err)
{
  char how[64];
  const char *command = verifier_value(c, "command")->text;
  if (result == CHILD_LATE) {
    out->timeout = true;
    return fail(a, out, err, "the command gave no line within %g s; does it flush its output?", c->timeout);
  }
  if (result == CHILD_FLOODED)
    return fail(a, out, err, "the command wrote more than one line of at most %d bytes for one question", CHILD_LINE);
  if (child->asked == 1 && WIFEXITED(child->status) && (WEXITSTATUS(child->status) | 1) == 127)
    FAIL_AT(
        err, ERROR_RESOURCE, NULL, 0, "command",
        "the command \"%.200s\" cannot be run (the shell %s); expected a program that is there; its stderr is in the "
        "log",
        command, child_status_text(child, how, sizeof how));
  return fail(a, out, err, "the command %s before it answered", child_status_text(child, how, sizeof how));
}

static int ask(struct arena *a, const struct verifier_config *c, struct child *child, uint64_t id,
               const struct text *question, struct verdict *out, bool *in_step, struct error *err)
{
  enum child_result result = CHILD_ENDED;
  const char *line;
  /* A program may end after a number of answers: it is started again before the question is called unanswered. */
  for (int turn = 0; turn < 2; turn++) {
    bool fresh = !child->pid;
    if (fresh) TRY(child_start(child, verifier_value(c, "command")->text, err));
    TRY(child_ask(child, question->bytes, question->size, c->timeout, &result, &line, err));
    if (result == CHILD_ANSWERED) return read_answer(a, line, id, out, in_step, err);
    if (fresh || result != CHILD_ENDED) break;
  }
  return explain(a, c, child, result, out, err);
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct pool *pool = c->state;
  struct text question = {0};
  uint64_t id;
  bool in_step = false;
  *out = (struct verdict){0};
  int place = take_place(pool, &id);
  put_question(&question, id, p, response, n);
  int rc = text_finish(&question, err);
  if (!rc) rc = ask(a, c, &pool->child[place], id, &question, out, &in_step, err);
  if (!in_step) child_kill(&pool->child[place]); /* the next question starts another */
  text_free(&question);
  give_place(pool, place);
  return rc;
}

/* Every line can be asked about. */
static int check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  (void)a, (void)c, (void)p, (void)err;
  return 0;
}

static const struct setting settings[] = {
    {"command", SETTING_TEXT, 0, 0, NULL, NULL, "given to /bin/sh -c"},
    {"workers", SETTING_INT, 1, WORKERS, "4", NULL, "most programs that run at a time"},
};

const struct verifier verifier_command = {
    .name = "command",
    .help = "an external program gives the reward: JSON lines in and out",
    .fields = "question, answer and all others",
    .outside = true,
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
    .check = check,
};

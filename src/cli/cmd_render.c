#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "core/file.h"
#include "rollout/session.h"
#include "text/template.h"

struct render {
  struct session session;
  struct template *template; /* FILE.jinja, or NULL: the session's */
  char now[32];              /* the time that lines without `now` see, UTC */
  bool failed;               /* a template failed on a line */
};

static bool is_template_file(const char *path)
{
  size_t n = strlen(path);
  return n > 6 && !strcmp(path + n - 6, ".jinja");
}

static int open_template(struct cli *c, struct render *r, struct error *err)
{
  char *text;
  size_t n;
  TRY(file_read(c->arena, c->arguments[0], 16 << 20, &text, &n, err));
  return template_parse(c->arena, text, n, c->arguments[0], &r->template, err);
}

/* messages, add_generation_prompt and the line's variables, for a template without a model. */
static int render_file(const struct render *r, const json_t *messages, const json_t *variables,
                       bool add_generation_prompt, const char *now, struct text *out, bool *raised, struct error *err)
{
  json_t *all = variables ? json_copy((json_t *)variables) : json_object();
  if (!all || json_object_set(all, "messages", (json_t *)messages) != 0 ||
      json_object_set_new(all, "add_generation_prompt", json_boolean(add_generation_prompt)) != 0) {
    json_decref(all);
    FAIL(err, ERROR_RESOURCE, "no memory for a template's variables");
  }
  int rc = template_render(r->template, all, now, out, raised, err);
  json_decref(all);
  return rc;
}

/* The template's own failure is the answer of the line: {"error": {"message", "raised"}}; what it raised in full. */
static void put_failure(struct text *out, const struct error *e, bool raised, const struct text *text)
{
  text_puts(out, "{\"error\": {\"message\": ");
  if (raised && text->size)
    json_put_string(out, text->bytes, text->size);
  else
    json_put_string(out, e->message, strlen(e->message));
  text_printf(out, ", \"raised\": %s}}", raised ? "true" : "false");
}

static int answer(void *arg, struct arena *a, const json_t *line, struct text *out, struct error *err)
{
  struct render *r = arg;
  const json_t *messages = json_object_get(line, "messages"), *variables = json_object_get(line, "variables");
  struct text text = {0};
  struct error failure = {0};
  bool add_generation_prompt, raised = false;
  const char *now;
  (void)a;
  if (!messages)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "messages",
            "found no messages; expected {\"messages\": [{\"role\", \"content\"}, ...]}");
  if (variables && !json_is_object(variables) && !json_is_null(variables))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "variables",
            "found variables that are no object; expected {\"tools\": [...], ...}");
  if (!json_is_object(variables)) variables = NULL;
  TRY(json_bool_or(line, "add_generation_prompt", false, &add_generation_prompt, NULL, err));
  TRY(json_string_or(line, "now", r->now, &now, NULL, err));
  struct session session = r->session; /* with the line's own time */
  session.now = now;
  int rc = r->template ? render_file(r, messages, variables, add_generation_prompt, now, &text, &raised, &failure)
                       : session_render(&session, messages, variables, add_generation_prompt, &text, &raised, &failure);
  if (!rc) rc = text_finish(&text, &failure);
  if (rc == ERROR_INPUT) {
    put_failure(out, &failure, raised, &text);
    r->failed = true;
    rc = 0;
  } else if (rc) {
    *err = failure;
  } else {
    text_puts(out, "{\"text\": ");
    json_put_string(out, text.size ? text.bytes : "", text.size);
    text_puts(out, "}");
  }
  text_free(&text);
  return rc;
}

static void set_now(struct render *r)
{
  time_t seconds = time(NULL);
  struct tm parts;
  snprintf(r->now, sizeof r->now, "1970-01-01T00:00:00");
  if (gmtime_r(&seconds, &parts)) strftime(r->now, sizeof r->now, "%Y-%m-%dT%H:%M:%S", &parts);
}

static int run(struct cli *c, struct error *err)
{
  struct render r = {0};
  set_now(&r);
  if (is_template_file(c->arguments[0]))
    TRY(open_template(c, &r, err));
  else
    TRY(session_open(c->arena, &(struct session_options){.model = c->arguments[0], .text_only = true}, &r.session,
                     err));
  if (!r.template && !r.session.template)
    FAIL_AT(err, ERROR_INPUT, c->arguments[0], 0, "chat_template",
            "found no chat template; expected one in tokenizer_config.json or chat_template.jinja, or give FILE.jinja");
  int rc = answer_lines(c, answer, &r, err);
  return rc ? rc : r.failed ? ERROR_INPUT : 0;
}

const struct command command_render = {
    .name = "render",
    .help = "Conversations to text by a chat template",
    .arguments = "MODEL|FILE.jinja",
    .about =
        "Reads JSON Lines {messages, add_generation_prompt?, variables?, now?}: variables are tools, bos_token, "
        "enable_thinking and whatever else the\n"
        "template reads (bos_token and eos_token come from MODEL unless given); now is what strftime_now tells, like "
        "\"2025-01-15T14:30:05\".\n"
        "Writes {text}, or {error: {message, raised}}: raised is true where the template itself called "
        "raise_exception.",
    .example =
        "echo '{{ messages[0].content }}!' > /tmp/hi.jinja; echo '{\"messages\": [{\"role\": \"user\", \"content\": "
        "\"hi\"}]}' "
        "| assay render /tmp/hi.jinja",
    .least = 1,
    .most = 1,
    .run = run,
};

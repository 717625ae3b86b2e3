#include <string.h>
#include "cli/cli.h"
#include "rollout/session.h"

struct tokenize {
  struct session session;
  struct token_list ids;
  struct text text;
};

static int read_ids(const json_t *list, struct token_list *out, struct error *err)
{
  if (!json_is_array(list))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found ids that are no list; expected [1, 2, ...]");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *id = json_array_get(list, i);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "ids", "found ids[%zu] that is no token id; expected a whole number >= 0", i);
    TRY(token_list_push(out, (int32_t)json_integer_value(id), err));
  }
  return 0;
}

/* The variables of a line: `variables` and, beside it, `tools`. */
static json_t *line_variables(const json_t *line)
{
  const json_t *given = json_object_get(line, "variables"), *tools = json_object_get(line, "tools");
  json_t *all = json_is_object(given) ? json_copy((json_t *)given) : json_object();
  if (all && tools) json_object_set(all, "tools", (json_t *)tools);
  return all;
}

/* Fills text with what is to be encoded: the line's text, or its messages by the template. */
static int make_text(struct tokenize *t, const json_t *line, bool *rendered, struct error *err)
{
  const json_t *text = json_object_get(line, "text"), *messages = json_object_get(line, "messages");
  bool add_generation_prompt;
  *rendered = messages != NULL;
  if (json_is_string(text)) {
    text_add(&t->text, json_string_value(text), json_string_length(text));
    return text_finish(&t->text, err);
  }
  if (!messages) FAIL(err, ERROR_INPUT, "found neither text nor messages nor ids; expected {\"text\": ...}");
  TRY(json_bool_or(line, "add_generation_prompt", false, &add_generation_prompt, NULL, err));
  json_t *variables = line_variables(line);
  int rc = session_render(&t->session, messages, variables, add_generation_prompt, &t->text, NULL, err);
  json_decref(variables);
  return rc;
}

static void put_ids(struct text *out, const struct token_list *ids)
{
  text_puts(out, "{\"ids\": [");
  for (size_t i = 0; i < ids->count; i++) text_printf(out, "%s%d", i ? ", " : "", ids->ids[i]);
  text_puts(out, "], \"text\": ");
}

static int answer(void *arg, struct arena *a, const json_t *line, struct text *out, struct error *err)
{
  struct tokenize *t = arg;
  const struct tokenizer *tokenizer = t->session.tokenizer;
  bool special, add_special, skip_special, rendered = false;
  (void)a;
  token_list_clear(&t->ids);
  text_clear(&t->text);
  TRY(json_bool_or(line, "special", true, &special, NULL, err));
  TRY(json_bool_or(line, "add_special", false, &add_special, NULL, err));
  TRY(json_bool_or(line, "skip_special", false, &skip_special, NULL, err));
  if (json_object_get(line, "ids")) {
    TRY(read_ids(json_object_get(line, "ids"), &t->ids, err));
  } else {
    TRY(make_text(t, line, &rendered, err));
    int flags = (special ? TOKENIZER_SPECIAL : 0) | (add_special ? TOKENIZER_ADD_SPECIAL : 0);
    TRY(tokenizer_encode(tokenizer, t->text.size ? t->text.bytes : "", t->text.size, flags, &t->ids, err));
  }
  if (!rendered) {
    text_clear(&t->text);
    tokenizer_decode(tokenizer, t->ids.ids, t->ids.count, skip_special, &t->text);
  }
  TRY(text_finish(&t->text, err));
  put_ids(out, &t->ids);
  json_put_string(out, t->text.size ? t->text.bytes : "", t->text.size);
  text_puts(out, "}");
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  struct tokenize t = {0};
  TRY(session_open(c->arena, &(struct session_options){.model = c->arguments[0], .text_only = true}, &t.session, err));
  int rc = answer_lines(c, answer, &t, err);
  token_list_free(&t.ids);
  text_free(&t.text);
  return rc;
}

const struct command command_tokenize = {
    .name = "tokenize",
    .help = "Text to token ids and back",
    .arguments = "MODEL",
    .about =
        "Reads JSON Lines: {text}, {messages, tools?, add_generation_prompt?, variables?} or {ids}, each with special? "
        "(default true: special tokens\n"
        "in a text are parsed), add_special? (default false: the model's BOS and EOS around the text) and "
        "skip_special? (default false: leave special\n"
        "tokens out of the decoded text). Writes {ids, text}: text is what the template made of messages, or else the "
        "ids decoded.\n"
        "MODEL may be a folder that holds only tokenizer.json.",
    .example = "echo '{\"text\": \"12+34=\"}' | assay tokenize models/tiny",
    .least = 1,
    .most = 1,
    .run = run,
};

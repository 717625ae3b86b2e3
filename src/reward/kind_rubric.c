/* A list of statements about a response; a language model behind an OpenAI-compatible address says which of them hold.
 *
 *     {"question": ..., "items": [{"text": "names the capital", "weight": 2, "veto": true},
 *                                 {"text": "is polite"},
 *                                 {"text": "makes up a source", "weight": -1}], "response": ...}
 *
 * An item is {text, weight?, veto?} or just its text; weight 1 and veto false are the defaults. A weight below 0 is a
 * penalty: the statement describes a fault. One weight at least is above 0.
 *
 *     reward   sum over the items that hold of w_i, divided by the sum of the w_i > 0; held in 0..1
 *              0 where a veto item fails: one with w_i >= 0 that does not hold, one with w_i < 0 that holds
 *     correct  reward >= threshold (default 1)
 *     channels passed: share of the items that did not fail; item_1 .. item_15: 1 where the item did not fail, else 0
 *
 * Worked example, the items above: capital named, impolite, nothing made up: (2 + 0 + 0) / 3 = 0.667. All three hold:
 * (2 + 1 - 1) / 3 = 0.667. Polite, without the capital: 0, by the veto. A problem's `answer`, if it has one, is shown
 * to the judge as a reference. How the judge is asked, and what is no verdict: judge.h.
 */
#include <stdio.h>
#include <string.h>

#include "core/math.h"
#include "reward/judge.h"

enum { ITEMS = 64, SHOWN = VERDICT_CHANNELS - 1 /* items with a channel */ };

struct item {
  const char *text;
  double weight;
  bool veto;
};

struct items {
  struct item item[ITEMS];
  size_t count;
  double whole; /* sum of the weights above 0 */
};

/* ---- the problem's items ----------------------------------------------------------------------------------------- */

static int bad_item(const struct problem *p, size_t i, const char *what, struct error *err)
{
  FAIL_AT(
      err, ERROR_INPUT, p->source, p->line, "items",
      "found %s in item %zu; expected {\"text\": TEXT, \"weight\": NUMBER, \"veto\": true | false}, weight and veto "
      "only where they are not 1 and false",
      what, i + 1);
}

static int read_item(const struct problem *p, const json_t *o, size_t i, struct item *out, struct error *err)
{
  const json_t *text = json_is_string(o) ? o : json_object_get(o, "text");
  const json_t *weight = json_object_get(o, "weight"), *veto = json_object_get(o, "veto");
  const char *key;
  json_t *unused;
  json_object_foreach((json_t *)o, key, unused)
  {
    (void)unused;
    if (strcmp(key, "text") && strcmp(key, "weight") && strcmp(key, "veto"))
      return bad_item(p, i, "another key than text, weight and veto", err);
  }
  if (!json_string_length(text)) return bad_item(p, i, "no text", err);
  if (weight && !json_is_number(weight)) return bad_item(p, i, "a weight that is no number", err);
  if (veto && !json_is_boolean(veto)) return bad_item(p, i, "a veto that is neither true nor false", err);
  *out = (struct item){json_string_value(text), weight ? json_number_value(weight) : 1, json_is_true(veto)};
  if (!(math_abs(out->weight) <= 1e9)) return bad_item(p, i, "a weight beyond a thousand million", err);
  return 0;
}

static int read_items(const struct problem *p, struct items *out, struct error *err)
{
  const json_t *list = json_object_get(p->fields, "items");
  *out = (struct items){.count = json_array_size(list)};
  if (!out->count || out->count > ITEMS)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "items",
            "found %s; expected a list of 1 to %d: \"items\": [{\"text\": \"names the capital\", \"weight\": 2}, ...]",
            out->count ? "too many items" : "no items", ITEMS);
  for (size_t i = 0; i < out->count; i++) {
    TRY(read_item(p, json_array_get(list, i), i, &out->item[i], err));
    if (out->item[i].weight > 0) out->whole += out->item[i].weight;
  }
  if (!(out->whole > 0))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "items",
            "found no item with a weight above 0; expected one at least: the reward is a share of them");
  return 0;
}

/* ---- what the judge is asked ------------------------------------------------------------------------------------- */

static const char form[] =
    "Decide of each numbered statement of the list whether it holds for the response. Reply with one JSON object and "
    "nothing else: {\"items\": [{\"item\": 1, \"reason\": \"...\", \"holds\": true}, ...]}, with each statement's "
    "number "
    "once, the reason in one sentence, and holds true or false. A statement that holds only in part does not hold.";

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
    "\"item\":{\"type\":\"integer\"},\"reason\":{\"type\":\"string\"},\"holds\":{\"type\":\"boolean\"}},\"required\":["
    "\"item\",\"reason\",\"holds\"],\"additionalProperties\":false}}},\"required\":[\"items\"],"
    "\"additionalProperties\":false}";

static int put_list(struct arena *a, const struct items *items, const char **out, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < items->count; i++) text_printf(&t, "%s%zu. %s", i ? "\n" : "", i + 1, items->item[i].text);
  int rc = text_finish(&t, err);
  *out = rc ? NULL : arena_strndup(a, t.bytes, t.size, "judge", err);
  text_free(&t);
  return rc ? rc : *out ? 0 : err->code;
}

/* The entry of item i (from 0) in an accepted verdict; NULL: none or several. */
static const json_t *entry_of(const json_t *verdict, size_t i)
{
  const json_t *list = json_object_get(verdict, "items"), *entry, *found = NULL;
  size_t at, count = 0;
  json_array_foreach(list, at, entry)
  {
    const json_t *number = json_object_get(entry, "item");
    if (!json_is_integer(number) || json_integer_value(number) != (json_int_t)i + 1) continue;
    found = entry;
    count++;
  }
  return count == 1 ? found : NULL;
}

static const char *accept(struct arena *a, const json_t *verdict, const void *arg, struct error *err)
{
  const struct items *items = arg;
  if (json_array_size(json_object_get(verdict, "items")) != items->count)
    return arena_printf(a, "judge", err, "its \"items\" is no list of %zu entries", items->count);
  for (size_t i = 0; i < items->count; i++)
    if (!json_is_boolean(json_object_get(entry_of(verdict, i), "holds")))
      return arena_printf(a, "judge", err,
                          "it has not exactly one entry with \"item\": %zu and a \"holds\" that is "
                          "true or false",
                          i + 1);
  return NULL;
}

/* ---- the reward -------------------------------------------------------------------------------------------------- */

/* Names of what failed, and why, for a person. */
static int put_failed(struct arena *a, const json_t *entry, const struct item *item, size_t number, struct text *t,
                      struct error *err)
{
  const json_t *words = json_object_get(entry, "reason");
  text_printf(t, "%s%zu \"%s\"%s", t->size ? "; " : "", number,
              verdict_shown(a, item->text, strlen(item->text), 120, err), item->veto ? " (veto)" : "");
  if (json_is_string(words))
    text_printf(t, ": %s", verdict_shown(a, json_string_value(words), json_string_length(words), 200, err));
  return err->code;
}

static int put_reason(struct arena *a, const struct items *items, size_t failed, const struct text *list,
                      struct verdict *out, struct error *err)
{
  if (!failed)
    out->reason = arena_printf(a, "verdict", err, "all %zu items are met", items->count);
  else
    out->reason = arena_printf(a, "verdict", err, "%zu of %zu items failed: %.*s", failed, items->count,
                               (int)(list->size < VERDICT_TEXT ? list->size : VERDICT_TEXT), list->bytes);
  out->extracted = arena_printf(a, "verdict", err, "%zu of %zu", items->count - failed, items->count);
  return out->reason && out->extracted ? 0 : err->code;
}

static int put_verdict(struct arena *a, const struct verifier_config *c, const struct items *items,
                       const json_t *verdict, struct verdict *out, struct error *err)
{
  struct text list = {0};
  double sum = 0;
  size_t failed = 0;
  bool vetoed = false;
  int rc = 0;
  for (size_t i = 0; i < items->count && !rc; i++) {
    const struct item *item = &items->item[i];
    const json_t *entry = entry_of(verdict, i);
    bool holds = json_is_true(json_object_get(entry, "holds")), fails = holds == (item->weight < 0);
    if (holds) sum += item->weight;
    vetoed = vetoed || (item->veto && fails);
    failed += fails;
    if (i < SHOWN) out->channels[i + 1].value = fails ? 0 : 1;
    if (fails) rc = put_failed(a, entry, item, i + 1, &list, err);
  }
  if (!rc) rc = text_finish(&list, err);
  out->readable = true;
  out->reward = vetoed ? 0 : math_clamp(sum / items->whole, 0, 1);
  out->correct = out->reward >= verifier_value(c, "threshold")->real;
  out->channels[0].value = (double)(items->count - failed) / (double)items->count;
  if (!rc) rc = put_reason(a, items, failed, &list, out, err);
  text_free(&list);
  return rc;
}

static void name_channels(const struct items *items, struct verdict *out)
{
  static const char *const names[VERDICT_CHANNELS] = {"passed",  "item_1",  "item_2",  "item_3", "item_4",  "item_5",
                                                      "item_6",  "item_7",  "item_8",  "item_9", "item_10", "item_11",
                                                      "item_12", "item_13", "item_14", "item_15"};
  out->channel_count = 1 + (int)(items->count < SHOWN ? items->count : SHOWN);
  for (int i = 0; i < out->channel_count; i++) out->channels[i].name = names[i];
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct items items;
  struct judge_answer answer;
  struct judge_ask ask = {.key = "items", .form = form, .schema = schema, .extra_name = "LIST", .accept = accept};
  *out = (struct verdict){.reason = "the response ends inside <think>"};
  TRY(read_items(p, &items, err));
  name_channels(&items, out);
  if (!verifier_value(c, "thinking")->integer && !verdict_skip_thinking(&response, &n)) return 0;
  TRY(put_list(a, &items, &ask.extra, err));
  ask.arg = &items;
  TRY(judge_ask(a, c, p, response, n, &ask, &answer, err));
  if (answer.verdict) return put_verdict(a, c, &items, answer.verdict, out, err);
  *out = (struct verdict){.status = VERDICT_FAILED, .timeout = answer.timeout, .reason = answer.failure};
  return 0;
}

static int check(struct arena *a, const struct verifier_config *c, const struct problem *p, struct error *err)
{
  const char *question;
  struct items items;
  TRY(read_items(p, &items, err));
  return judge_question(a, c, p, &question, err);
}

static const struct setting settings[] = {
    JUDGE_SETTINGS,
    {"threshold", SETTING_REAL, 0, 1, "1", NULL, "reward from which a response is correct"},
};

const struct verifier verifier_rubric = {
    .name = "rubric",
    .help = "a language model says which statements of a weighted list hold",
    .fields = "question, items, answer?",
    .outside = true,
    .waits = true,
    .channels =
        "passed item_1 item_2 item_3 item_4 item_5 item_6 item_7 item_8 item_9 item_10 item_11 item_12 item_13 "
        "item_14 item_15",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = judge_open,
    .judge = judge,
    .check = check,
};

/* The run's side of needs: policies that only score, and the step's scoring passes. */
#include <string.h>

#include "core/pool.h"
#include "model/adapter.h"
#include "train/price.h"
#include "train/run.h"
#include "train/score.h"

/* ---- policies --------------------------------------------------------------------------------------------------- */

int run_policy_configs(struct arena *a, const struct recipe *recipe, const struct needs *n,
                       const struct model_config **reference, const struct model_config **policies, struct error *err)
{
  struct model_source source;
  struct model_config *configs = ARENA_NEW(a, struct model_config, NEEDS_NAMED + 1, "policies", err);
  if (!configs) return err->code;
  *reference = recipe->top.reference ? &configs[NEEDS_NAMED] : NULL;
  *policies = configs;
  if (recipe->top.reference && score_wants(n, "reference"))
    TRY(model_source_open(a, recipe->top.reference, &source, &configs[NEEDS_NAMED], err));
  for (int32_t i = 0; n->flags & NEED_POLICY && i < n->policy_count; i++)
    TRY(model_source_open(a, n->policies[i].path, &source, &configs[i], err));
  return 0;
}

static int load_fixed(const struct run *r, struct arena *a, const char *name, const char *path, struct model **out,
                      struct error *err)
{
  struct model_source source;
  struct model_config config;
  TRY(model_source_open(a, path, &source, &config, err));
  if (config.vocab != r->session.config.vocab)
    FAIL_AT(err, ERROR_INPUT, path, 0, "vocab_size", "the %s has %d tokens; expected %d as the model has", name,
            config.vocab, r->session.config.vocab);
  return model_load_fixed(a, r->session.device, &source, &config, r->plan.train.max_path, out, err);
}

/* With an adapter the start is its base: the same weights, seen without it, or with the adapter that the run began
   with. A method that sets the reference anew needs one of its own, which begins by counting nothing. */
static int view_reference(const struct run *r, struct arena *a, struct model **out, struct error *err)
{
  const char *start = r->start_adapter;
  bool own = start || compose_needs(r->methods)->flags & NEED_RESET;
  TRY(model_view(a, r->session.model, own, out, err));
  if (!own) return 0;
  return start ? adapter_load(*out, start, err) : adapter_randomise(*out, r->session.seed, err);
}

int run_load_reference(const struct run *r, struct arena *a, struct model **out, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  if (recipe->top.reference) return load_fixed(r, a, "reference", recipe->top.reference, out, err);
  if (r->session.model && r->session.model->adapter) return view_reference(r, a, out, err);
  if (!r->session.random) return load_fixed(r, a, "reference", recipe->top.model, out, err);
  // a start that was drawn from the seed is drawn again
  TRY(model_create_fixed(a, r->session.device, &r->session.config, r->plan.train.max_path, out, err));
  return model_randomise(*out, r->session.seed, err);
}

/* Weights that are never trained, and a trainer that scores with them. */
static int add_frozen(struct run *r, const char *name, struct model *m, struct error *err)
{
  struct trainer *t;
  struct trainer_options o = r->plan.score;
  if (plan_shares_room(&r->session.config, &m->config)) o.room = r->room;
  TRY(trainer_create(r->arena, m, &o, &t, err));
  policies_add(&r->policies, name, t);
  return 0;
}

static int open_reference(struct run *r, struct error *err)
{
  if (!r->plan.reference) return 0;
  TRY(run_load_reference(r, r->arena, &r->reference, err));
  if (r->resumed_from)
    TRY(checkpoint_load_weights(r->arena, r->resumed_from, "reference", r->reference, &r->reference_moved, err));
  return add_frozen(r, "reference", r->reference, err);
}

/* It begins as the policy, or goes on from the checkpoint. */
static int open_ema(struct run *r, struct error *err)
{
  bool found = false;
  if (r->session.model->adapter)
    TRY(model_view(r->arena, r->session.model, true, &r->ema, err));
  else
    TRY(model_create(r->arena, r->session.device, &r->session.config, r->plan.train.max_path, &r->ema, err));
  if (r->resumed_from) TRY(checkpoint_load_weights(r->arena, r->resumed_from, "ema", r->ema, &found, err));
  if (!found) TRY(policies_blend(r->arena, r->session.model, r->ema, 1, err));
  return add_frozen(r, "ema", r->ema, err);
}

/* A reward model that is trained further begins with its own score. */
static int take_score(struct run *r, struct error *err)
{
  struct weight *score = r->session.model->score;
  if (!score || r->session.config.scores_new) return 0;
  weight_read(score, WEIGHT_MASTER, 0, 1, r->policies.value->net->w, HOST_F64);
  return device_sync(r->session.device, err);
}

int run_open_policies(struct run *r, struct error *err)
{
  const struct needs *n = compose_needs(r->methods);
  policies_start(&r->policies, r->trainer);
  TRY(open_reference(r, err));
  if (n->flags & NEED_EMA) TRY(open_ema(r, err));
  for (int32_t i = 0; n->flags & NEED_POLICY && i < n->policy_count; i++) {
    struct model *m;
    TRY(load_fixed(r, r->arena, n->policies[i].name, n->policies[i].path, &m, err));
    TRY(add_frozen(r, n->policies[i].name, m, err));
  }
  TRY(policies_open(&r->policies, r->arena, n, err));
  if (!r->policies.value) return 0;
  if (r->value.bytes) return network_load(r->policies.value->net, r->value.bytes, r->value.size, err);
  return take_score(r, err);
}

int run_put_score(const struct run *r, struct error *err)
{
  struct weight *score = r->session.model->score;
  if (!score) return 0;
  weight_write(score, WEIGHT_MASTER, 0, 1, r->policies.value->net->w, HOST_F64);
  return device_sync(r->session.device, err);
}

int run_move_policies(struct run *r, const struct observation *seen, bool updated, struct error *err)
{
  const struct needs *n = compose_needs(r->methods);
  struct arena *a = r->step_arena;
  if (r->ema && updated) TRY(policies_blend(a, r->session.model, r->ema, n->ema_rate, err));
  if (seen->reset_reference && r->reference) {
    TRY(policies_blend(a, r->session.model, r->reference, 1, err));
    r->reference_moved = true;
  }
  return seen->reset_optimiser ? policies_forget(a, r->trainer, err) : 0;
}

/* ---- price ------------------------------------------------------------------------------------------------------ */

/* A recipe as the planner sees it. */
struct priced {
  struct model_config config;
  const struct model_config *reference, *policies;
  struct plan plan;
  struct price price;
  struct price_lengths lengths;
};

static void set_price(const struct recipe *r, const struct needs *n, const struct price_lengths *l, struct priced *out)
{
  out->lengths.prompt = l->prompt > 0 ? l->prompt : (double)r->rollout.max_prompt_tokens;
  out->lengths.answer = l->answer > 0 ? l->answer : (double)r->rollout.max_new_tokens;
  const struct price_shape s = {.policy = &out->config,
                                .reference = out->reference,
                                .policies = out->policies,
                                .groups = (double)r->rollout.problems,
                                .prompt = out->lengths.prompt,
                                .group = (double)r->rollout.group,
                                .answer = out->lengths.answer,
                                .second = (double)r->rollout.max_prompt_tokens,
                                .updates = (double)(r->train.epochs * r->train.minibatches),
                                .recompute = out->plan.recompute};
  price_step(n, &s, &out->price);
}

/* What the run will take, from the model's configuration alone. ERROR_RESOURCE: it does not fit; the price is there. */
static int price(struct arena *a, const struct recipe *r, const struct needs *n, const struct price_lengths *l,
                 struct priced *out, struct error *err)
{
  static const char random[] = "random:";
  struct model_source source;
  const char *model = r->top.model;
  if (!strncmp(model, random, sizeof random - 1)) model += sizeof random - 1;
  TRY(model_source_open(a, model, &source, &out->config, err));
  out->config.keep = (enum model_keep)r->compute.weights;
  TRY(run_adapter(a, r, &source, &out->config, err));
  TRY(run_policy_configs(a, r, n, &out->reference, &out->policies, err));
  size_t base = memory_resident_peak();
  struct plan_input in = {.recipe = r,
                          .config = &out->config,
                          .needs = n,
                          .reference = out->reference,
                          .policies = out->policies,
                          .base = base,
                          .limit = r->compute.memory ? (size_t)r->compute.memory : memory_available_bytes() + base,
                          .type = r->compute.type == RECIPE_BF16 ? COMPUTE_BF16 : COMPUTE_F32,
                          .threads = r->compute.threads ? (int)r->compute.threads : cores_available(),
                          .generates = true};
  int rc = plan_make(&in, &out->plan, err);
  set_price(r, n, l, out);
  return rc;
}

/* The parts of a price by name. */
enum { PRICE_PARTS = 6 };
static double price_part(const struct price *p, int i, const char **name, const char **words)
{
  static const char *const names[PRICE_PARTS] = {"passes", "rows", "trained", "updates", "probes", "own"};
  static const char *const said[PRICE_PARTS] = {
      "scoring passes",       "whole rows of logits",         "training beside",
      "moves of the weights", "answers that are not trained", "own arithmetic"};
  const double parts[PRICE_PARTS] = {p->passes, p->rows, p->trained, p->updates, p->probes, p->own};
  *name = names[i];
  *words = said[i];
  return parts[i];
}

static void print_price(const struct priced *p, struct text *t)
{
  const char *name, *words, *before = " (";
  text_printf(t, "price: as long as %.2f forwards a step, at %g tokens a prompt and %g an answer", p->price.total,
              p->lengths.prompt, p->lengths.answer);
  for (int i = 0; i < PRICE_PARTS; i++) {
    double part = price_part(&p->price, i, &name, &words);
    if (part < 0.005 && part > -0.005) continue;
    text_printf(t, "%s%s %.2f", before, words, part);
    before = ", ";
  }
  text_puts(t, *before == ',' ? ")\n" : "\n");
}

int run_price(struct arena *a, const struct recipe *r, const struct needs *n, const struct price_lengths *l,
              struct text *t, struct error *err)
{
  struct priced p = {0};
  score_describe(n, r->train.epochs * r->train.minibatches, t);
  if (!r->top.model) {
    text_puts(t, "memory       depends on the model; give model=PATH\n");
    return 0;
  }
  int rc = price(a, r, n, l, &p, err);
  if (!rc || rc == ERROR_RESOURCE) print_price(&p, t);
  if (rc == ERROR_RESOURCE) {
    text_printf(t, "memory       %s\n", err->message);
    error_clear(err);
    return 0;
  }
  TRY(rc);
  text_puts(t, "memory at the peak:\n");
  plan_print(&p.plan, t);
  return 0;
}

static void put_passes(const struct needs *n, struct text *t)
{
  const char *named[3 + NEEDS_NAMED], *before = "";
  int count = score_policies(n, named);
  for (int i = 0; i < 2 * count; i++) {
    uint32_t askers = score_askers(n, named[i / 2], i % 2);
    if (!askers) continue;
    text_printf(t, "%s{\"policy\": ", before);
    json_put_string(t, named[i / 2], strlen(named[i / 2]));
    text_printf(t, ", \"second\": %s, \"needs\": [", i % 2 ? "true" : "false");
    method_needs_json(askers, t);
    text_puts(t, "]}");
    before = ", ";
  }
}

static void put_parts(const struct plan *p, struct text *t)
{
  text_printf(t, "{\"peak_bytes\": %zu, \"limit_bytes\": %zu, \"parts\": [", p->total, p->limit);
  for (int i = 0; i < p->count; i++) {
    text_printf(t, "%s{\"what\": ", i ? ", " : "");
    json_put_string(t, p->lines[i].what, strlen(p->lines[i].what));
    text_printf(t, ", \"bytes\": %zu, \"needs\": [", p->lines[i].bytes);
    method_needs_json(p->lines[i].needs, t);
    text_puts(t, "]}");
  }
  text_puts(t, "]}");
}

static void put_price(const struct priced *p, struct text *t)
{
  const char *name, *words;
  text_printf(t, "{\"prompt_tokens\": %.17g, \"answer_tokens\": %.17g", p->lengths.prompt, p->lengths.answer);
  for (int i = 0; i < PRICE_PARTS; i++) {
    double part = price_part(&p->price, i, &name, &words);
    text_printf(t, ", \"%s\": %.17g", name, part);
  }
  text_printf(t, ", \"total\": %.17g}", p->price.total);
}

int run_price_json(struct arena *a, const struct recipe *r, const struct needs *n, const struct price_lengths *l,
                   struct text *t, struct error *err)
{
  struct priced p = {0};
  int rc = r->top.model ? price(a, r, n, l, &p, err) : 0;
  if (rc && rc != ERROR_RESOURCE) return rc;
  text_puts(t, "\"forwards\": {\"passes\": [");
  put_passes(n, t);
  text_printf(t, "], \"later_minibatches\": %lld, \"probes\": %d, \"trained_again\": %.17g, \"price\": ",
              (long long)(r->train.epochs * r->train.minibatches - 1), (int)n->probes, n->more_updates.again);
  if (r->top.model)
    put_price(&p, t);
  else
    text_puts(t, "null");
  text_puts(t, "}, \"memory\": ");
  if (rc) {
    text_puts(t, "{\"refused\": ");
    json_put_string(t, err->message, strlen(err->message));
    text_puts(t, "}");
    error_clear(err);
  } else if (r->top.model) {
    put_parts(&p.plan, t);
  } else {
    text_puts(t, "null");
  }
  return 0;
}

/* ---- scoring ---------------------------------------------------------------------------------------------------- */

/* The problem's conversation with another last message of the user. */
static json_t *other_messages(const json_t *messages, const char *text)
{
  json_t *copy = json_deep_copy(messages);
  for (size_t i = json_array_size(copy); i-- > 0;) {
    json_t *message = json_array_get(copy, i);
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!role || strcmp(role, "user")) continue;
    if (json_object_set_new(message, "content", json_string(text))) break;
    return copy;
  }
  json_decref(copy);
  return NULL;
}

/* The ids of a group's problem with another text for the user; none where they are longer than prompts may be. */
static int render(void *arg, const struct step *s, int32_t group, const char *text, const int32_t **ids, int32_t *count,
                  struct error *err)
{
  struct run *r = arg;
  struct token_list list = {0};
  struct problem p = *s->groups[group].problem;
  json_t *messages = p.messages ? other_messages(p.messages, text) : NULL;
  if (p.messages && !messages)
    FAIL_AT(err, ERROR_INPUT, p.source, p.line, "messages",
            "found no message of the user to put a second context in its place; expected one, of valid UTF-8");
  p.prompt = messages ? NULL : text;
  p.messages = messages;
  int rc = session_problem_ids(&r->session, &p, r->template_variables, &list, err);
  *count = 0;
  if (!rc && (int64_t)list.count <= r->recipe->rollout.max_prompt_tokens) {
    int32_t *copy = ARENA_NEW(s->arena, int32_t, list.count, "second contexts", err);
    if (!copy) rc = err->code;
    if (!rc && list.count) memcpy(copy, list.ids, list.count * sizeof *copy);
    *ids = copy;
    *count = (int32_t)list.count;
  }
  token_list_free(&list);
  json_decref(messages);
  return rc;
}

int run_score(struct run *r, struct step *s, struct error *err)
{
  struct second_renderer renderer = {.arg = r, .render = render};
  return score_step(r->methods, s, &r->policies, &renderer, err);
}

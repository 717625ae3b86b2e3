#include "train/run.h"
#include "train/cost.h"
#include "train/given.h"
#include "train/preference.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "core/pool.h"
#include "model/adapter.h"
#include "train/events.h"
#include "train/price.h"
#include "train/score.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- opening: recipe, session, methods -------------------------------------------------------------------------- */

/* What the command line says in the recipe's place. */
static void apply_options(struct recipe *recipe, const struct run_options *o)
{
  enum model_keep keep;
  if (o->seed >= 0) recipe->top.seed = o->seed;
  if (o->compute) recipe->compute.type = strcmp(o->compute, "bf16") ? RECIPE_F32 : RECIPE_BF16;
  if (o->weights && model_keep_find(o->weights, &keep)) recipe->compute.weights = (int)keep;
}

static int read_recipe(struct run *r, const struct run_options *o, struct error *err)
{
  struct recipe *recipe;
  TRY(recipe_read(r->arena, o->recipe, o->sft ? RECIPE_SFT : RECIPE_TRAIN, o->overrides, o->override_count, &recipe,
                  err));
  apply_options(recipe, o);
  if (o->resume) {
    struct recipe *saved;
    char *path = path_join(r->arena, o->folder, "recipe.yaml", err);
    if (!path) return err->code;
    if (!file_exists(path))
      FAIL_AT(err, ERROR_INPUT, o->folder, 0, NULL,
              "holds no run to resume (no recipe.yaml); expected a run folder; leave out --resume to start one");
    TRY(recipe_read(r->arena, path, o->sft ? RECIPE_SFT : RECIPE_TRAIN, NULL, 0, &saved, err));
    if (!recipe->template.now) recipe->template.now = saved->template.now;
    TRY(recipe_check_resume(saved, recipe, err));
  }
  if (!recipe->template.now) {
    char now[32];
    time_t t = time(NULL);
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", &utc);
    recipe->template.now = arena_strdup(r->arena, now, "run", err);
    if (!recipe->template.now) return err->code;
  }
  if (!recipe->top.model)
    FAIL_AT(err, ERROR_INPUT, o->recipe, 0, "model",
            "found no model; expected a folder or a GGUF file; write model: PATH, or give model=PATH");
  r->recipe = recipe;
  return 0;
}

/* What the folder says and the recipe as well must agree. */
static int check_given(const struct recipe *r, const struct adapter_config *c, const char *folder, struct error *err)
{
  const struct adapter_config said = recipe_adapter(r);
  const struct {
    const char *key;
    bool differs;
  } keys[] = {{"lora.rank", said.rank != c->rank},
              {"lora.alpha", said.alpha < c->alpha || said.alpha > c->alpha},
              {"lora.targets", said.targets != c->targets},
              {"lora.rslora", said.rslora != c->rslora}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (keys[i].differs && recipe_gives(r, keys[i].key))
      FAIL_AT(err, ERROR_INPUT, r->file, 0, keys[i].key,
              "%s is another one than that of the adapter %s, with which the run begins; leave it out, or begin a new "
              "adapter",
              keys[i].key, folder);
  return 0;
}

int run_adapter(struct arena *a, const struct recipe *recipe, struct model_source *source, struct model_config *config,
                struct error *err)
{
  if (recipe->lora.adapter) TRY(model_source_adapt(a, recipe->lora.adapter, source, config, err));
  if (source->adapter) return check_given(recipe, &config->adapter, source->adapter, err);
  config->adapter = recipe_adapter(recipe);
  return 0;
}

static int open_session(struct run *r, const struct run_options *o, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  int threads = o->threads ? o->threads : recipe->compute.threads ? (int)recipe->compute.threads : 0;
  const char *model = recipe->top.model;
  if (o->checkpoint && !file_exists(strncmp(model, "random:", 7) ? model : model + 7)) model = o->checkpoint;
  struct session_options s = {.model = model,
                              .threads = threads,
                              .device = recipe->compute.device == RECIPE_DEVICE_CUDA ? "cuda" : NULL,
                              .type = recipe->compute.type == RECIPE_BF16 ? COMPUTE_BF16 : COMPUTE_F32,
                              .keep = (enum model_keep)recipe->compute.weights,
                              .trained = true,
                              .may_score = given_form(recipe) == GIVEN_SCORED,
                              .now = recipe->template.now,
                              .allow_random = true,
                              .seed = (uint64_t)recipe->top.seed};
  TRY(session_open(r->arena, &s, &r->session, err));
  if (s.may_score) model_config_make_scorer(&r->session.config);
  TRY(run_adapter(r->arena, recipe, &r->session.source, &r->session.config, err));
  r->start_adapter = r->session.source.adapter;
  if (s.may_score && r->session.config.adapter.rank)
    FAIL_AT(
        err, ERROR_INPUT, recipe->file, 0, "lora",
        "found lora and examples of a reward model, whose head trains and stands outside of every adapter; expected "
        "one of the two; remove lora");
  if (recipe->template.enable_thinking >= 0) {
    r->template_variables = json_pack("{s:b}", "enable_thinking", recipe->template.enable_thinking);
    if (!r->template_variables) FAIL(err, ERROR_RESOURCE, "no memory for template variables");
  }
  return 0;
}

static int open_methods(struct run *r, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  struct compose_options o = {.seed = (uint64_t)recipe->top.seed,
                              .epochs = (int32_t)recipe->train.epochs,
                              .minibatches = (int32_t)recipe->train.minibatches};
  return compose_open(r->arena, recipe->methods, recipe->method_count, &o, &r->methods, err);
}

/* What a resume may set anew: it moves no bit of what was computed. */
static bool key_may_change(const struct recipe *recipe, const struct recipe_key *k)
{
  if (!strcmp(k->group, "save") || !strcmp(k->group, "eval")) return true;
  if (!strcmp(k->group, "train")) return !strcmp(k->name, "steps") || !strcmp(k->name, "passes");
  if (!strcmp(k->group, "template")) return !strcmp(k->name, "now");  // a time
  if (strcmp(k->group, "compute") != 0) return false;
  if (!strcmp(k->name, "weights")) return recipe->compute.weights < MODEL_KEEP_Q8_0;
  return strcmp(k->name, "type") != 0;  // memory knobs move no bit
}

/* SHA-256 of what may not change on resume, with the names of data and methods. */
static int make_identity(struct run *r, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < recipe_key_count(); i++) {
    const struct recipe_key *k = recipe_key_at(i);
    if (key_may_change(r->recipe, k)) continue;
    text_printf(&t, "%s.%s=", k->group, k->name);
    recipe_value_text(r->recipe, k, &t);
    text_puts(&t, "\n");
  }
  for (size_t i = 0; i < r->recipe->data_count; i++)
    text_printf(&t, "data %s\n",
                r->recipe->data[i].source.path ? r->recipe->data[i].source.path : r->recipe->data[i].source.task);
  for (size_t i = 0; i < r->recipe->method_count; i++) text_printf(&t, "method %s\n", r->recipe->methods[i].name);
  int rc = text_finish(&t, err);
  struct sha256 s;
  uint8_t digest[32];
  sha256_start(&s);
  sha256_add(&s, t.bytes ? t.bytes : "", t.size);
  sha256_finish(&s, digest);
  sha256_hex(digest, r->identity);
  text_free(&t);
  return rc;
}

/* Whether a batch has no prompts but those of the step's problems: nobody sets contexts, asks, or adds sequences. */
static bool prompts_are_shared(const struct composed *methods)
{
  static const enum method_stage adders[] = {STAGE_guide, STAGE_reward, STAGE_revise, STAGE_updates, STAGE_extra};
  for (size_t i = 0; i < sizeof adders / sizeof adders[0]; i++)
    if (compose_contributors(methods, adders[i], NULL, 0)) return false;
  return !(compose_needs(methods)->flags & (NEED_SECOND_CONTEXT | NEED_SLOT));
}

static int make_plan(struct run *r, const struct run_options *o, struct error *err)
{
  int64_t limit = o->memory ? o->memory : r->recipe->compute.memory;
  size_t base = memory_resident_peak(), room = device_memory_room(r->session.device);
  const struct model_config *reference, *policies;
  TRY(run_policy_configs(r->arena, r->recipe, compose_needs(r->methods), &reference, &policies, err));
  struct plan_input in = {.recipe = r->recipe,
                          .config = &r->session.config,
                          .needs = compose_needs(r->methods),
                          .reference = reference,
                          .policies = policies,
                          .base = base,
                          .limit = limit  ? (size_t)limit
                                   : room ? room
                                          : memory_available_bytes() + base,
                          .aside_limit = room ? memory_available_bytes() + base : 0,
                          .type = device_type(r->session.device),
                          .threads = device_threads(r->session.device),
                          .generates = !o->sft,
                          .adapter_begun = r->start_adapter != NULL,
                          .prompts_shared = !o->sft && prompts_are_shared(r->methods),
                          .reference_kept = r->kept != NULL};
  return plan_make(&in, &r->plan, err);
}

/* ---- opening: weights and workspaces ---------------------------------------------------------------------------- */

/* Threads that judge where a kind waits for a server. */
enum { WAITING_JUDGES = 8 };

static int open_engines(struct run *r, struct error *err)
{
  struct session *s = &r->session;
  device_offload(s->device, r->plan.offload);
  TRY(model_make_trainable(s->model, err));
  TRY(workroom_create(r->arena, s->model, &r->plan.room, &r->room, err));
  r->plan.generate.room = r->plan.train.room = r->room;
  if (r->recipe->kind == RECIPE_TRAIN) {
    TRY(generator_create(r->arena, s->model, s->tokenizer, s->end_ids, s->end_id_count, &r->plan.generate,
                         &r->generator, err));
    bool more = verifier_set_waits(r->verifiers) && r->plan.threads < WAITING_JUDGES;
    struct verify_queue_options q = {
        .workers = more ? WAITING_JUDGES : r->plan.threads, .before = r->hooks.before_verdict, .arg = r->hooks.arg};
    TRY(verify_queue_create(r->arena, &q, &r->verify, err));
  }
  TRY(trainer_create(r->arena, s->model, &r->plan.train, &r->trainer, err));
  return 0;
}

/* The numbers of a step that a stop kept from its evaluation. */
static bool read_awaiting(const struct checkpoint_blob *b, struct metrics *out)
{
  const size_t row = sizeof out->rows[0], count = b->size / row;
  if (b->size % row || count > METRICS_MOST) return false;
  memcpy(out->rows, b->bytes, b->size);
  for (size_t i = 0; i < count; i++)
    if (!memchr(out->rows[i].name, 0, sizeof out->rows[i].name)) return false;
  out->count = (int)count;
  return true;
}

static int restore_blobs(struct run *r, const struct checkpoint *c, const char *folder, struct error *err)
{
  for (size_t i = 0; i < c->blob_count; i++) {
    const struct checkpoint_blob *b = &c->blobs[i];
    if (!strcmp(b->name, "methods"))
      TRY(compose_restore(r->methods, b->bytes, b->size, err));
    else if (!strcmp(b->name, "history"))
      TRY(history_load(r->history, b->bytes, b->size, err));
    else if (!strcmp(b->name, "best") && b->size == sizeof(double) + sizeof(int64_t)) {
      memcpy(&r->best, b->bytes, sizeof r->best);
      memcpy(&r->best_step, (const char *)b->bytes + sizeof(double), sizeof r->best_step);
    } else if (!strcmp(b->name, "value")) {
      r->value = *b;  // the head is made later
    } else if (strcmp(b->name, "awaiting") != 0 || !read_awaiting(b, &r->awaiting)) {
      FAIL_AT(
          err, ERROR_INPUT, folder, 0, b->name,
          "found an unknown part of %zu bytes in state.bin; expected methods, history, best, value, awaiting; was it "
          "written by a newer program?",
          b->size);
    }
  }
  return 0;
}

/* The weights of a checkpoint; of a run with an adapter these stand beside the start's base. */
static int load_checkpoint(struct run *r, const char *folder, struct error *err)
{
  struct model_source source;
  struct model_config config;
  if (r->session.config.adapter.rank) {
    r->session.source.adapter = folder;
    return session_load(&r->session, r->plan.train.max_path, err);
  }
  TRY(model_source_open(r->arena, folder, &source, &config, err));
  return model_load(r->arena, r->session.device, &source, &config, r->plan.train.max_path, &r->session.model, err);
}

/* Loads the weights: of the start model, or of the run's last checkpoint with everything beside them. */
static int load_weights(struct run *r, const struct run_options *o, struct error *err)
{
  const char *folder = o->replay ? o->checkpoint : NULL;
  int64_t step = -1;
  if (o->resume) TRY(checkpoint_last(r->arena, r->folder->path, &folder, &step, err));
  if (o->resume) TRY(run_folder_cut_back(r->folder, folder ? step : -1, err));
  TRY(preference_score(r, o->resume, err));
  if (!folder) {
    TRY(session_load(&r->session, r->plan.train.max_path, err));
    return open_engines(r, err);
  }
  struct checkpoint c;
  TRY(load_checkpoint(r, folder, err));
  TRY(open_engines(r, err));
  TRY(checkpoint_load(r->arena, folder, r->identity, r->session.model, &c, err));
  TRY(restore_blobs(r, &c, folder, err));
  const bool recorded = !r->awaiting.count && (c.step > 0 || r->best_step == 0);
  if (o->resume && !recorded) TRY(run_folder_cut_metrics(r->folder, c.step - 1, err));
  r->resumed_from = folder;
  r->step = r->last_saved = c.step;
  r->trainer->updates = c.updates;
  r->trainer->weight_version = c.weight_version;
  stream_seek(r->stream, (uint64_t)c.data_position);
  if (o->resume) log_info("resumed %s at step %" PRId64, r->folder->path, c.step);
  return 0;
}

static int write_recipe(struct run *r, struct error *err)
{
  struct text t = {0};
  struct file_writer *w;
  char *path = path_join(r->arena, r->folder->path, "recipe.yaml", err);
  if (!path) return err->code;
  int rc = recipe_write(r->recipe, r->methods, &t, err);
  if (!rc) rc = text_finish(&t, err);
  if (!rc) rc = file_writer_open(r->arena, path, &w, err);
  if (!rc) rc = file_writer_write(w, t.bytes, t.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&t);
  return rc;
}

static int open_folder(struct run *r, const struct run_options *o, struct error *err)
{
  char *path = (char *)o->folder;
  if (!path) TRY(run_folder_next(r->arena, o->recipe, &path, err));
  TRY(run_folder_open(r->arena, path, o->resume, &r->folder, err));
  char *log = path_join(r->arena, path, "log.txt", err);
  return log ? log_open(log, err) : err->code;
}

/* What has been so far, and the file in which TensorBoard will see it go on. */
static int open_ledger(struct run *r, bool resume, struct error *err)
{
  TRY(ledger_create(r->arena, r->recipe->kind == RECIPE_SFT, &r->ledger, err));
  if (resume) {
    char *path = path_join(r->step_arena, r->folder->path, "metrics.jsonl", err);
    if (!path) return err->code;
    TRY(ledger_read(r->ledger, r->step_arena, path, err));
  }
  return events_open(r->arena, r->folder->path, resume, r->last_saved + 1, &r->events, err);
}

static void close_log(void *unused)
{
  struct error ignored = {0};
  (void)unused;
  if (log_open(NULL, &ignored)) error_clear(&ignored);
}

/* train.passes says how many steps there are. */
static int settle_steps(struct run *r, struct error *err)
{
  struct recipe *recipe = (struct recipe *)r->recipe;
  double passes = recipe->train.passes;
  if (recipe->kind != RECIPE_SFT || !(passes > 0)) return 0;
  for (size_t i = 0; i < r->sources.count; i++)
    if (!source_count(r->sources.items[i]))
      FAIL_AT(err, ERROR_INPUT, recipe->file, 0, "train.passes",
              "found train.passes with %s, which makes problems without end; expected files; set train.steps",
              source_name(r->sources.items[i]));
  recipe->train.steps = -(int64_t)math_floor(-passes * (double)stream_size(r->stream) / (double)recipe->train.batch);
  return 0;
}

int run_open(struct arena *a, const struct run_options *o, struct run **out, struct error *err)
{
  struct run *r = ARENA_NEW(a, struct run, 1, "run", err);
  if (!r) return err->code;
  r->arena = a;
  r->stop = o->stop;
  if (o->hooks) r->hooks = *o->hooks;
  if (o->watch) r->watch = *o->watch;
  r->best = (double)__builtin_nanf("");
  r->best_step = r->last_saved = -1;
  r->step_arena = arena_create("step", 1 << 20, err);
  if (!r->step_arena) return err->code;
  TRY(arena_on_reset(a, (void (*)(void *))arena_destroy, r->step_arena, err));
  TRY(read_recipe(r, o, err));
  TRY(open_methods(r, err));
  TRY(make_identity(r, err));
  TRY(open_session(r, o, err));
  TRY(history_create(a, &r->history, err));
  TRY(verifier_set_create(a, r->recipe->reward.timeout, &r->verifiers, err));
  answer_open(r);
  TRY(run_open_stream(r, err));
  TRY(settle_steps(r, err));
  if (!o->replay) TRY(evaluate_open(r, err));
  TRY(preference_open(r, err));
  TRY(make_plan(r, o, err));
  *out = r;
  if (o->plan_only) return 0;
  if (o->replay) {
    TRY(load_weights(r, o, err));
    TRY(collect_open_journal(r, err));
    return run_open_policies(r, err);
  }
  TRY(arena_on_reset(a, close_log, NULL, err));
  // a model that cannot be loaded leaves no folder behind, and a run that cannot go on stays as it was
  if (o->resume) TRY(open_folder(r, o, err));
  if (!o->resume && o->folder) TRY(run_folder_check_new(a, o->folder, err));
  TRY(load_weights(r, o, err));
  TRY(run_open_policies(r, err));
  if (!o->resume) TRY(open_folder(r, o, err));
  if (!o->sft) TRY(collect_open_journal(r, err));
  TRY(preference_save(r, err));
  TRY(open_ledger(r, o->resume, err));
  return write_recipe(r, err);
}

static void describe_model(const struct run *r, struct text *out)
{
  const struct model_config *c = &r->session.config;
  text_printf(out, "model %s: %s, %.1f M parameters, %d layers, vocabulary %d\n", r->recipe->top.model, c->architecture,
              (double)model_parameters(c) / 1e6, c->layers, c->vocab);
  if (c->adapter.rank)
    text_printf(out, "adapter: rank %d, %.2f M parameters train, %.2f %% of the model's\n", c->adapter.rank,
                (double)adapter_parameters(c) / 1e6, 100 * (double)adapter_parameters(c) / (double)model_parameters(c));
}

void run_describe_briefly(const struct run *r, struct text *out)
{
  const struct recipe *p = r->recipe;
  describe_model(r, out);
  text_puts(out, "data: ");
  if (stream_size(r->stream)) text_printf(out, "%llu problems; ", (unsigned long long)stream_size(r->stream));
  if (p->kind == RECIPE_SFT)
    text_printf(out, "%" PRId64 " %s a step\n", p->train.batch, given_sequences(p) > 1 ? "pairs" : "examples");
  else
    text_printf(out, "%" PRId64 " of them x %" PRId64 " answers a step\n", p->rollout.problems, p->rollout.group);
  text_printf(out, "memory: %.0f MiB of %.0f MiB at the peak; %d threads, %s\n", (double)r->plan.total / 1048576,
              (double)r->plan.limit / 1048576, r->plan.threads, compute_type_name(r->plan.type));
}

void run_describe(const struct run *r, struct text *out)
{
  describe_model(r, out);
  if (stream_size(r->stream)) text_printf(out, "data: %llu problems\n", (unsigned long long)stream_size(r->stream));
  text_puts(out, "memory at the peak:\n");
  plan_print(&r->plan, out);
}

void run_plan_json(const struct run *r, struct text *out)
{
  const struct plan *p = &r->plan;
  text_puts(out, "\"model\": ");
  json_put_string(out, r->recipe->top.model, strlen(r->recipe->top.model));
  text_printf(out, ", \"parameters\": %zu, \"problems\": %" PRIu64 ", \"steps\": %" PRId64 ", \"memory\": {",
              model_parameters(&r->session.config), stream_size(r->stream), r->recipe->train.steps);
  for (int i = 0; i < p->count; i++) {
    if (i) text_puts(out, ", ");
    json_put_string(out, p->lines[i].what, strlen(p->lines[i].what));
    text_printf(out, ": %zu", p->lines[i].bytes);
  }
  text_printf(out, "}, \"peak_bytes\": %zu, \"limit_bytes\": %zu, \"compute\": \"%s\", \"threads\": %d, \"slots\": %d",
              p->total, p->limit, compute_type_name(p->type), p->threads, p->slots);
  text_printf(out, ", \"micro_batch\": %d, \"recompute\": %s, \"vocab_chunk\": %d, \"kv_block\": %d", p->micro_rows,
              p->recompute ? "true" : "false", p->vocab_chunk, p->kv_block);
}

/* Mean tokens of the first problems' prompts (sft: examples). */
static int mean_prompt(struct run *r, double *out, struct error *err)
{
  enum { SAMPLE = 32 };
  uint64_t position = stream_position(r->stream);
  double sum = 0;
  for (int i = 0; i < SAMPLE; i++) {
    struct problem p;
    struct token_list ids = {0};
    struct given g = {0};
    int rc = stream_next(r->stream, r->step_arena, &p, err);
    if (!rc && r->recipe->kind == RECIPE_SFT)
      rc = given_read(r, r->step_arena, &p, &g, err);
    else if (!rc)
      rc = session_problem_ids(&r->session, &p, r->template_variables, &ids, err);
    sum += (double)ids.count;
    for (int32_t k = 0; k < g.count; k++) sum += g.of[k].count;
    token_list_free(&ids);
    TRY(rc);
  }
  stream_seek(r->stream, position);
  *out = sum / SAMPLE;
  return 0;
}

int run_step_cost(struct run *r, struct cost *out, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  bool sft = recipe->kind == RECIPE_SFT;
  struct cost_pace pace;
  struct price price = {0};
  struct cost_work w = {.groups = (double)(sft ? recipe->train.batch : recipe->rollout.problems),
                        .rollouts = sft ? 0 : (double)(recipe->rollout.problems * recipe->rollout.group),
                        .fresh = sft ? 0 : (double)recipe->rollout.max_new_tokens,
                        .epochs = (double)recipe->train.epochs,
                        .moves = (double)(recipe->train.epochs * recipe->train.minibatches)};
  // scoring passes: a move after the first, examples that nobody sampled (unless nothing depends on it), what methods
  // need
  bool scored = (w.moves > 1 || sft) && !compose_coefficients_fixed(r->methods, NULL);
  const struct needs *n = compose_needs(r->methods);
  TRY(mean_prompt(r, &w.prompt, err));
  if (!sft) {
    const struct price_shape shape = {.policy = &r->session.config,
                                      .groups = w.groups,
                                      .prompt = w.prompt,
                                      .group = (double)recipe->rollout.group,
                                      .answer = w.fresh,
                                      .second = (double)recipe->rollout.max_prompt_tokens,
                                      .updates = w.moves,
                                      .recompute = r->plan.recompute};
    price_step(n, &shape, &price);
  }
  w.passes = (scored ? w.epochs : 0) +
             (sft ? score_passes(n) : price.passes + price.rows + price.updates + price.probes / 2 + price.own);
  w.probes = sft ? 0 : (double)(recipe->rollout.problems * n->probes);
  w.again = price.again;
  TRY(cost_measure(r->session.device, &r->session.config, &r->plan, &pace, err));
  cost_step(&pace, &r->session.config, &r->plan, &w, out);
  return 0;
}

int run_recipe(const struct run *r, struct text *out, struct error *err)
{
  return recipe_write(r->recipe, r->methods, out, err);
}

const struct ledger *run_ledger(const struct run *r)
{
  return r->ledger;
}

int64_t run_steps(const struct run *r)
{
  return r->recipe->train.steps;
}

const char *run_weights_hash(const struct run *r)
{
  return r->weights_hash;
}
const char *run_state_hash(const struct run *r)
{
  return r->state_hash;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

double run_learning_rate(const struct recipe *r, int64_t step)
{
  double lr = r->train.lr, warmup = (double)r->train.warmup, total = (double)r->train.steps, at = (double)step;
  if (at < warmup) return lr * (at + 1) / warmup;
  double left = total > warmup ? (total - at) / (total - warmup) : 1;  // 1 at the height, towards 0 at the end
  if (r->train.schedule == RECIPE_LINEAR) return lr * left;
  if (r->train.schedule == RECIPE_COSINE) return lr * 0.5 * (1 + math_cos(3.14159265358979323846 * (1 - left)));
  return lr;
}

static bool due(int64_t step, int64_t every, int64_t last)
{
  return step == last || (every > 0 && step % every == 0);
}

/* Where a step began: what a stop in its midst goes back to. */
struct beginning {
  int64_t step, position; /* of the data */
  struct text methods;    /* their state, where hooks write it while rollouts are made */
};

static int begin_step(struct run *r, struct beginning *b, struct error *err)
{
  b->step = r->step;
  b->position = (int64_t)stream_position(r->stream);
  text_clear(&b->methods);
  return compose_writes_early(r->methods) ? compose_save(r->methods, &b->methods, err) : 0;
}

/* An orderly end: what the unfinished step took from the data and told the methods is taken back, and a checkpoint says
 * where the run stands. */
static int stop_orderly(struct run *r, const struct beginning *b, struct error *err)
{
  struct error saved = *err;
  error_clear(err);
  if (r->step == b->step) {
    stream_seek(r->stream, (uint64_t)b->position);
    if (b->methods.size) TRY(compose_restore(r->methods, b->methods.bytes, b->methods.size, err));
  }
  TRY(run_save_finish(r, err));
  if (r->last_saved != r->step) TRY(run_save_start(r, err));
  TRY(run_save_finish(r, err));
  log_info("stopped after step %" PRId64 "; go on with --resume --run %s", r->step, r->folder->path);
  *err = saved;
  return err->code;
}

static int first_evaluation(struct run *r, struct error *err)
{
  if (r->step > 0 || !r->eval_set_count || r->best_step == 0) return 0;  // a stop behind it
  arena_reset(r->step_arena);
  r->metrics.count = 0;
  metrics_set_int(&r->metrics, "step", 0);
  TRY(evaluate_run(r, err));
  r->last_saved = -1;  // a checkpoint of step 0 does not know of it
  TRY(report_write(r, err));
  return report_curve(r, err);
}

/* Behind a step's training: evaluation, record, checkpoint. A stop in the evaluation leaves its numbers awaiting it, in
 * the checkpoint too. The step of a new best is saved as well: checkpoints/best links to it. */
static int close_step(struct run *r, struct error *err)
{
  int64_t last = r->recipe->train.steps;
  bool evaluate = r->eval_set_count && due(r->step, r->recipe->eval.every, last);
  r->awaiting = r->metrics;
  if (evaluate) TRY(evaluate_run(r, err));
  r->awaiting.count = 0;
  r->last_saved = -1;  // a checkpoint of a stop in the evaluation does not know of it
  TRY(report_write(r, err));
  bool save = due(r->step, r->recipe->save.every, last) || (evaluate && r->best_step == r->step);
  if (save) TRY(run_save_start(r, err));
  return evaluate || save ? report_curve(r, err) : 0;
}

/* A run that was resumed behind its last step has saved nothing. */
static int hash_what_was_resumed(struct run *r, struct error *err)
{
  const char *folder;
  int64_t step;
  TRY(checkpoint_last(r->arena, r->folder->path, &folder, &step, err));
  TRY(checkpoint_state_hash(r->arena, folder, r->state_hash, err));
  return model_hash(r->session.model, r->weights_hash, err);
}

static int all_steps(struct run *r, struct beginning *b, struct error *err)
{
  TRY(begin_step(r, b, err));
  TRY(first_evaluation(r, err));
  if (r->awaiting.count) {
    r->metrics = r->awaiting;
    TRY(close_step(r, err));
  }
  while (r->step < r->recipe->train.steps) {
    TRY(begin_step(r, b, err));
    if (r->stop && r->stop()) FAIL(err, ERROR_STOPPED, "stopped by a signal");
    int rc = run_step(r, err);
    if (rc == ERROR_INPUT || rc == ERROR_RESOURCE) return error_context(err, "computing step %" PRId64, b->step + 1);
    TRY(rc);
    TRY(close_step(r, err));
  }
  return 0;
}

int run_train(struct run *r, struct error *err)
{
  struct beginning b = {0};
  int rc = all_steps(r, &b, err);
  if (rc == ERROR_STOPPED) rc = stop_orderly(r, &b, err);
  text_free(&b.methods);
  TRY(rc);
  if (r->last_saved != r->step) TRY(run_save_start(r, err));
  double start = clock_seconds();
  TRY(run_save_finish(r, err));
  r->save_seconds += clock_seconds() - start;
  if (!r->weights_hash[0]) TRY(hash_what_was_resumed(r, err));
  log_detail(true, "done: %s", r->folder->path);
  log_detail(true, "weights %s state %s", r->weights_hash, r->state_hash);
  return 0;
}

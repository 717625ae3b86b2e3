/* include/assay.h over rollout/session, rollout/generate and train/train. Each handle owns an arena in which it lives;
 * closing destroys the arena, and with it everything the handle opened. */
#include "assay.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "rollout/generate.h"
#include "rollout/session.h"
#include "train/train.h"
#include "train/trainer.h"

enum { ANSWERS = 8, MAX_TOKENS = 1024, MAX_NEW_TOKENS = 256, KV_BLOCK = 32, VOCAB_CHUNK = 4096 };

_Static_assert((int)ASSAY_BUG == ERROR_BUG && (int)ASSAY_INPUT == ERROR_INPUT && (int)ASSAY_LAW == ERROR_LAW &&
                   (int)ASSAY_RESOURCE == ERROR_RESOURCE && (int)ASSAY_STOPPED == ERROR_STOPPED,
               "the codes of assay.h are those of core/error.h");

struct assay_engine {
  struct arena *arena;
  struct session session;
  int positions;
  bool trained; /* a trainer is open */
};

struct assay_session {
  struct arena *arena, *call; /* call: of the newest call, whose answers live in it */
  struct assay_engine *engine;
  struct generator *generator;
  struct trainer *scorer;
  int answers, max_tokens;
};

struct assay_trainer {
  struct arena *arena, *call;
  struct assay_engine *engine;
  struct trainer *trainer;
  struct optimiser optimiser;
  int max_tokens;
};

struct assay_run {
  struct arena *arena;
  struct run *run;
  struct text description;
};

const char *assay_version(void)
{
  return ASSAY_VERSION;
}

void assay_set_quiet(bool quiet)
{
  log_set_quiet(quiet);
}

/* Hands an error over to the caller; the code is the result of every function here. */
static int hand_over(int code, const struct error *e, struct assay_error *out)
{
  if (!out) return code;
  *out = (struct assay_error){.code = code, .line = e->line};
  if (!code) return 0;
  snprintf(out->file, sizeof out->file, "%s", e->file);
  snprintf(out->key, sizeof out->key, "%s", e->key);
  snprintf(out->message, sizeof out->message, "%s", e->message);
  return code;
}

/* ---- engine ------------------------------------------------------------------------------------------------------ */

static int open_engine(struct arena *a, const char *model, const struct assay_engine_options *o,
                       struct assay_engine **out, struct error *err)
{
  struct assay_engine *e = ARENA_NEW(a, struct assay_engine, 1, "engine", err);
  if (!e) return err->code;
  e->arena = a;
  if (!model) FAIL(err, ERROR_INPUT, "found no model; expected a folder, a GGUF file or a run");
  if (o->threads < 0) FAIL(err, ERROR_INPUT, "found threads %d; expected 0 (all cores) or more", o->threads);
  if (o->max_positions < 0)
    FAIL(err, ERROR_INPUT, "found max_positions %d; expected 0 (what the model allows) or more", o->max_positions);
  bool bf16 = o->compute && !strcmp(o->compute, "bf16");
  if (o->compute && !bf16 && strcmp(o->compute, "f32") != 0)
    FAIL(err, ERROR_INPUT, "found compute type \"%s\"; expected f32 or bf16", o->compute);
  struct session_options s = {.model = model,
                              .threads = o->threads,
                              .type = bf16 ? COMPUTE_BF16 : COMPUTE_F32,
                              .trained = true,
                              .tokenizer_optional = true,
                              .allow_random = true,
                              .seed = o->seed};
  TRY(session_open(a, &s, &e->session, err));
  e->positions = e->session.config.max_positions;
  if (o->max_positions && o->max_positions < e->positions) e->positions = o->max_positions;
  TRY(session_load(&e->session, e->positions, err));
  *out = e;
  return 0;
}

int assay_engine_open(const char *model, const struct assay_engine_options *options, struct assay_engine **out,
                      struct assay_error *error)
{
  struct error err = {0};
  const struct assay_engine_options o = options ? *options : (struct assay_engine_options){0};
  struct arena *a = arena_create("engine", 0, &err);
  *out = NULL;
  int rc = a ? open_engine(a, model, &o, out, &err) : err.code;
  if (rc) arena_destroy(a);
  return hand_over(rc, &err, error);
}

void assay_engine_close(struct assay_engine *engine)
{
  if (engine) arena_destroy(engine->arena);
}

size_t assay_engine_parameters(const struct assay_engine *engine)
{
  return model_parameters(&engine->session.config);
}

int assay_engine_vocabulary(const struct assay_engine *engine)
{
  return engine->session.config.vocab;
}

int assay_engine_positions(const struct assay_engine *engine)
{
  return engine->positions;
}

int assay_engine_hash(const struct assay_engine *engine, char hex[65], struct assay_error *error)
{
  struct error err = {0};
  int rc = model_hash(engine->session.model, hex, &err);
  return hand_over(rc, &err, error);
}

static int save_engine(const struct assay_engine *e, const char *folder, struct error *err)
{
  const struct session *s = &e->session;
  if (!folder) FAIL(err, ERROR_INPUT, "found no folder; expected one to write the model into");
  char *config = path_join(e->arena, folder, "config.json", err);
  if (!config) return err->code;
  if (file_exists(config)) FAIL_AT(err, ERROR_INPUT, folder, 0, NULL, "holds a model already; expected a new folder");
  TRY(file_make_folder(folder, err));
  TRY(model_save(s->model, &s->source, folder, SAVE_F32, err));
  return s->tokenizer && !s->source.folder ? tokenizer_write_json(s->tokenizer, e->arena, folder, err) : 0;
}

int assay_engine_save(const struct assay_engine *engine, const char *folder, struct assay_error *error)
{
  struct error err = {0};
  int rc = save_engine(engine, folder, &err);
  return hand_over(rc, &err, error);
}

/* ---- session ----------------------------------------------------------------------------------------------------- */

static int open_workspaces(struct assay_session *s, struct error *err)
{
  const struct session *e = &s->engine->session;
  struct generate_options g = {.slots = s->answers,
                               .prefill_rows = BATCH_UNIT_ROWS,
                               .max_group = s->answers,
                               .max_path = s->max_tokens,
                               .kv_block = KV_BLOCK,
                               .vocab_chunk = VOCAB_CHUNK};
  struct trainer_options t = {.micro_rows = BATCH_UNIT_ROWS,
                              .max_path = s->max_tokens,
                              .max_leaves = 1,
                              .max_prompt = s->max_tokens,
                              .kv_block = KV_BLOCK,
                              .vocab_chunk = VOCAB_CHUNK};
  TRY(generator_create(s->arena, e->model, e->tokenizer, e->end_ids, e->end_id_count, &g, &s->generator, err));
  return trainer_create(s->arena, e->model, &t, &s->scorer, err);
}

static int open_session(struct arena *a, struct assay_engine *engine, const struct assay_session_options *o,
                        struct assay_session **out, struct error *err)
{
  struct assay_session *s = ARENA_NEW(a, struct assay_session, 1, "session", err);
  if (!s) return err->code;
  *s = (struct assay_session){.arena = a, .engine = engine};
  int positions = engine->positions;
  s->answers = o->answers ? o->answers : ANSWERS;
  s->max_tokens = o->max_tokens ? o->max_tokens : positions < MAX_TOKENS ? positions : MAX_TOKENS;
  if (s->answers < 1 || s->answers > 4096)
    FAIL(err, ERROR_INPUT, "found answers %d; expected 1 to 4096, or 0 for %d", o->answers, ANSWERS);
  if (s->max_tokens < 2 || s->max_tokens > positions)
    FAIL(err, ERROR_INPUT, "found max_tokens %d; expected 2 to %d, the engine's positions", s->max_tokens, positions);
  s->call = arena_create("call", 0, err);
  if (!s->call) return err->code;
  int rc = arena_on_reset(a, (void (*)(void *))arena_destroy, s->call, err);
  if (rc) arena_destroy(s->call);
  TRY(rc);
  TRY(open_workspaces(s, err));
  *out = s;
  return 0;
}

int assay_session_open(struct assay_engine *engine, const struct assay_session_options *options,
                       struct assay_session **out, struct assay_error *error)
{
  struct error err = {0};
  const struct assay_session_options o = options ? *options : (struct assay_session_options){0};
  struct arena *a = arena_create("session", 0, &err);
  *out = NULL;
  int rc = a ? open_session(a, engine, &o, out, &err) : err.code;
  if (rc) arena_destroy(a);
  return hand_over(rc, &err, error);
}

void assay_session_close(struct assay_session *session)
{
  if (session) arena_destroy(session->arena);
}

static int check_ids(const struct assay_engine *e, const int32_t *ids, size_t count, struct error *err)
{
  int vocab = e->session.config.vocab;
  for (size_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= vocab)
      FAIL(err, ERROR_INPUT, "found ids[%zu] = %d; expected a token of the model, 0 to %d", i, (int)ids[i], vocab - 1);
  return 0;
}

static int read_text(const struct session *e, const struct assay_prompt *p, struct token_list *out, struct error *err)
{
  if (!p->text) FAIL(err, ERROR_INPUT, "found a prompt with neither text nor ids; expected one of them");
  if (!e->tokenizer)
    FAIL_AT(err, ERROR_INPUT, e->source.path, 0, NULL, "found a text and a model without a tokenizer; expected ids");
  if (!p->chat) return session_prompt_ids(e, p->text, NULL, NULL, out, err);
  json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", p->text);
  if (!messages) FAIL(err, ERROR_INPUT, "found a text that is not UTF-8; expected UTF-8");
  int rc = session_prompt_ids(e, NULL, messages, NULL, out, err);
  json_decref(messages);
  return rc;
}

/* The prompt as a root of the tree. max_tokens: of the longest path. */
static int add_prompt(const struct assay_engine *e, int max_tokens, const struct assay_prompt *p, struct tree *t,
                      int32_t *segment, struct error *err)
{
  struct token_list list = {0};
  const struct token_list given = {.ids = (int32_t *)p->ids, .count = p->count};
  int rc = p->ids ? check_ids(e, p->ids, p->count, err) : read_text(&e->session, p, &list, err);
  const struct token_list *l = p->ids ? &given : &list;
  if (!rc && (!l->count || l->count >= (size_t)max_tokens))
    rc = error_fail(err, ERROR_INPUT, NULL, 0, "prompt",
                    "found a prompt of %zu tokens; expected 1 to %d (max_tokens less one)", l->count, max_tokens - 1);
  if (!rc) rc = tree_add_segment(t, -1, SEGMENT_PROMPT, (int32_t)l->count, segment, err);
  if (!rc) rc = tree_append_ids(t, *segment, l->ids, (int32_t)l->count, 0, err);
  token_list_free(&list);
  return rc;
}

/* The answers are those of `assay generate` to a line with a seed of its own. */
static int make_job(struct assay_session *s, const struct tree *t, int32_t segment, int count,
                    const struct assay_sampling *o, struct generate_job *job, struct error *err)
{
  int32_t left = s->max_tokens - t->segments[segment].count, wanted = o->max_new_tokens;
  if (!wanted) wanted = left < MAX_NEW_TOKENS ? left : MAX_NEW_TOKENS;
  if (wanted < 1 || wanted > left)
    FAIL(err, ERROR_INPUT, "found max_new_tokens %d; expected 1 to %d, what the prompt leaves of max_tokens",
         (int)wanted, (int)left);
  *job = (struct generate_job){.segment = segment,
                               .count = count,
                               .seed = o->seed,
                               .at = {.purpose = RNG_GENERATE},
                               .sampling = {.temperature = o->temperature,
                                            .top_p = o->top_p > 0 ? o->top_p : 1,
                                            .min_p = o->min_p,
                                            .top_k = o->top_k},
                               .max_new_tokens = wanted,
                               .stop = o->stop,
                               .stop_count = o->stop_count,
                               .leaf = ARENA_NEW(s->call, int32_t, (size_t)count, "answers", err),
                               .finish = ARENA_NEW(s->call, enum finish, (size_t)count, "answers", err)};
  return job->leaf && job->finish ? 0 : err->code;
}

static int take_text(struct assay_session *s, const struct generate_job *job, struct assay_answer *out,
                     struct error *err)
{
  struct text text = {0};
  tokenizer_decode(s->engine->session.tokenizer, out->ids, out->count, true, &text);
  int rc = text_finish(&text, err);
  const char *bytes = text.bytes ? text.bytes : "";
  out->text_size = rc ? 0 : generate_find_stop(bytes, text.size, job->stop, job->stop_count);
  out->text = rc ? NULL : arena_strndup(s->call, bytes, out->text_size, "answers", err);
  text_free(&text);
  return rc ? rc : out->text ? 0 : err->code;
}

static int take_answer(struct assay_session *s, const struct tree *t, const struct generate_job *job, int i,
                       struct assay_answer *out, struct error *err)
{
  const struct segment *leaf = &t->segments[job->leaf[i]];
  size_t n = (size_t)leaf->count;
  int32_t *ids = ARENA_NEW(s->call, int32_t, n, "answers", err);
  float *logp = ids ? ARENA_NEW(s->call, float, n, "answers", err) : NULL;
  if (!logp) return err->code;
  for (size_t k = 0; k < n; k++) {
    ids[k] = leaf->tokens[k].id;
    logp[k] = leaf->tokens[k].logp;
  }
  *out = (struct assay_answer){.ids = ids, .logp = logp, .count = n, .stopped = job->finish[i] == FINISH_STOP};
  return s->engine->session.tokenizer ? take_text(s, job, out, err) : 0;
}

static int check_sampling(const struct assay_sampling *o, struct error *err)
{
  if (!(o->temperature >= 0 && o->temperature <= 100))
    FAIL(err, ERROR_INPUT, "found temperature %g; expected 0 to 100", o->temperature);
  if (!(o->top_p >= 0 && o->top_p <= 1)) FAIL(err, ERROR_INPUT, "found top_p %g; expected 0 to 1", o->top_p);
  if (!(o->min_p >= 0 && o->min_p <= 1)) FAIL(err, ERROR_INPUT, "found min_p %g; expected 0 to 1", o->min_p);
  if (o->top_k < 0) FAIL(err, ERROR_INPUT, "found top_k %d; expected 0 (off) or more", (int)o->top_k);
  if (o->stop_count && !o->stop) FAIL(err, ERROR_INPUT, "found stop_count %zu and no stop strings", o->stop_count);
  return 0;
}

static int generate(struct assay_session *s, const struct assay_prompt *prompt, int count,
                    const struct assay_sampling *o, const struct assay_answer **out, struct error *err)
{
  struct generate_job job;
  struct tree *t;
  int32_t segment = 0;
  arena_reset(s->call);
  if (count < 1 || count > s->answers)
    FAIL(err, ERROR_INPUT, "found %d answers; expected 1 to %d, the session's answers", count, s->answers);
  TRY(check_sampling(o, err));
  TRY(tree_create(s->call, &t, err));
  TRY(add_prompt(s->engine, s->max_tokens, prompt, t, &segment, err));
  TRY(make_job(s, t, segment, count, o, &job, err));
  TRY(generator_run(s->generator, t, &job, 1, o->temperature, 0, NULL, NULL, err));
  struct assay_answer *answers = ARENA_NEW(s->call, struct assay_answer, (size_t)count, "answers", err);
  if (!answers) return err->code;
  for (int i = 0; i < count; i++) TRY(take_answer(s, t, &job, i, &answers[i], err));
  *out = answers;
  return 0;
}

int assay_session_generate(struct assay_session *session, const struct assay_prompt *prompt, int count,
                           const struct assay_sampling *sampling, const struct assay_answer **answers,
                           struct assay_error *error)
{
  struct error err = {0};
  const struct assay_prompt nothing = {0};
  const struct assay_sampling greedy = {0};
  *answers = NULL;
  int rc = generate(session, prompt ? prompt : &nothing, count, sampling ? sampling : &greedy, answers, &err);
  return hand_over(rc, &err, error);
}

/* One path: what is given, then what is asked for. */
static int build_batch(struct assay_session *s, const int32_t *ids, size_t count, size_t from, int32_t *leaf,
                       struct batch **out, struct error *err)
{
  struct tree *t;
  int32_t root;
  TRY(tree_create(s->call, &t, err));
  TRY(tree_add_segment(t, -1, SEGMENT_PROMPT, (int32_t)from, &root, err));
  TRY(tree_append_ids(t, root, ids, (int32_t)from, 0, err));
  TRY(tree_add_segment(t, root, SEGMENT_OWN, (int32_t)(count - from), leaf, err));
  TRY(tree_append_ids(t, *leaf, ids + from, (int32_t)(count - from), TOKEN_OWN, err));
  struct batch_path path = {.leaf = *leaf};
  return trainer_batch(s->scorer, s->call, t, &path, 1, out, err);
}

static int score(struct assay_session *s, const int32_t *ids, size_t count, size_t from, double temperature,
                 float *logp, float *entropy, struct error *err)
{
  int32_t leaf = 0;
  struct batch *b;
  arena_reset(s->call);
  if (!ids || from < 1 || from >= count || count > (size_t)s->max_tokens)
    FAIL(err, ERROR_INPUT,
         "found %zu ids from %zu; expected 2 to %d ids (the session's max_tokens) and 1 <= from < %zu", count, from,
         s->max_tokens, count);
  if (!(temperature >= 1e-4 && temperature <= 1e4))
    FAIL(err, ERROR_INPUT, "found temperature %g; expected 0.0001 to 10000", temperature);
  TRY(check_ids(s->engine, ids, count, err));
  TRY(build_batch(s, ids, count, from, &leaf, &b, err));
  double *p = ARENA_NEW(s->call, double, (size_t)b->target_count, "score", err);
  double *h = p ? ARENA_NEW(s->call, double, (size_t)b->target_count, "score", err) : NULL;
  if (!h) return err->code;
  TRY(trainer_score(s->scorer, s->call, b, temperature, p, h, err));
  for (size_t i = 0; i < count - from; i++) {
    int32_t target = batch_target(b, leaf, (int32_t)i);
    logp[i] = (float)p[target];
    if (entropy) entropy[i] = (float)h[target];
  }
  return 0;
}

int assay_session_score(struct assay_session *session, const int32_t *ids, size_t count, size_t from,
                        double temperature, float *logp, float *entropy, struct assay_error *error)
{
  struct error err = {0};
  int rc = score(session, ids, count, from, temperature, logp, entropy, &err);
  return hand_over(rc, &err, error);
}

/* ---- trainer ----------------------------------------------------------------------------------------------------- */

static void end_training(void *arg)
{
  ((struct assay_trainer *)arg)->engine->trained = false;
}

static int check_trainer(const struct assay_trainer_options *o, struct error *err)
{
  if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
    FAIL(err, ERROR_INPUT, "found betas %g and %g; expected 0 to less than 1", o->beta1, o->beta2);
  if (!(o->eps >= 0 && o->weight_decay >= 0 && o->clip_norm >= 0))
    FAIL(err, ERROR_INPUT, "found eps %g, weight_decay %g, clip_norm %g; expected 0 or more", o->eps, o->weight_decay,
         o->clip_norm);
  return 0;
}

static int open_trainer(struct arena *a, struct assay_engine *engine, const struct assay_trainer_options *o,
                        struct assay_trainer **out, struct error *err)
{
  struct assay_trainer *t = ARENA_NEW(a, struct assay_trainer, 1, "trainer", err);
  if (!t) return err->code;
  int positions = engine->positions;
  int most = o->max_tokens ? o->max_tokens : positions < MAX_TOKENS ? positions : MAX_TOKENS;
  if (engine->trained) FAIL(err, ERROR_INPUT, "found a trainer of this engine already; expected one at a time");
  if (most < 2 || most > positions)
    FAIL(err, ERROR_INPUT, "found max_tokens %d; expected 2 to %d, the engine's positions", most, positions);
  TRY(check_trainer(o, err));
  *t = (struct assay_trainer){.arena = a, .engine = engine, .max_tokens = most};
  t->optimiser = (struct optimiser){.beta1 = o->beta1 > 0 ? o->beta1 : 0.9,
                                    .beta2 = o->beta2 > 0 ? o->beta2 : 0.999,
                                    .eps = o->eps > 0 ? o->eps : 1e-8,
                                    .weight_decay = o->weight_decay,
                                    .clip_norm = o->clip_norm};
  struct trainer_options options = {.micro_rows = BATCH_UNIT_ROWS,
                                    .max_path = most,
                                    .max_leaves = 1,
                                    .max_prompt = most,
                                    .max_new = most,
                                    .kv_block = KV_BLOCK,
                                    .vocab_chunk = VOCAB_CHUNK,
                                    .train = true};
  t->call = arena_create("call", 0, err);
  if (!t->call) return err->code;
  int rc = arena_on_reset(a, (void (*)(void *))arena_destroy, t->call, err);
  if (rc) arena_destroy(t->call);
  TRY(rc);
  TRY(model_make_trainable(engine->session.model, err));
  TRY(trainer_create(a, engine->session.model, &options, &t->trainer, err));
  engine->trained = true;
  *out = t;
  return arena_on_reset(a, end_training, t, err);
}

int assay_trainer_open(struct assay_engine *engine, const struct assay_trainer_options *options,
                       struct assay_trainer **out, struct assay_error *error)
{
  struct error err = {0};
  const struct assay_trainer_options o = options ? *options : (struct assay_trainer_options){0};
  struct arena *a = arena_create("trainer", 0, &err);
  *out = NULL;
  int rc = a ? open_trainer(a, engine, &o, out, &err) : err.code;
  if (rc) arena_destroy(a);
  return hand_over(rc, &err, error);
}

void assay_trainer_close(struct assay_trainer *trainer)
{
  if (trainer) arena_destroy(trainer->arena);
}

static int add_gradient(struct assay_trainer *t, const struct assay_prompt *prompt, const struct assay_answer *answer,
                        double temperature, const double *coef, float *logp, struct error *err)
{
  struct tree *tree;
  struct batch *b;
  int32_t root = 0, leaf, count = (int32_t)answer->count;
  arena_reset(t->call);
  if (!answer->count || !coef || answer->count > (size_t)t->max_tokens)
    FAIL(err, ERROR_INPUT, "found an answer of %zu tokens; expected 1 to %d, with a coefficient for each",
         answer->count, t->max_tokens - 1);
  if (!(temperature >= 1e-4 && temperature <= 1e4))
    FAIL(err, ERROR_INPUT, "found temperature %g; expected 0.0001 to 10000", temperature);
  TRY(check_ids(t->engine, answer->ids, answer->count, err));
  TRY(tree_create(t->call, &tree, err));
  TRY(add_prompt(t->engine, t->max_tokens - count + 1, prompt, tree, &root, err));
  TRY(tree_add_segment(tree, root, SEGMENT_OWN, count, &leaf, err));
  TRY(tree_append_ids(tree, leaf, answer->ids, count, TOKEN_OWN, err));
  struct batch_path path = {.leaf = leaf};
  TRY(trainer_batch(t->trainer, t->call, tree, &path, 1, &b, err));
  double *c = ARENA_NEW(t->call, double, (size_t)b->target_count, "trainer", err),
         *p = c ? ARENA_NEW(t->call, double, (size_t)b->target_count, "trainer", err) : NULL;
  if (!p) return err->code;
  for (int32_t i = 0; i < count; i++) c[batch_target(b, leaf, i)] = coef[i];
  TRY(trainer_backward(t->trainer, t->call, b, temperature, c, NULL, p, NULL, err));
  for (int32_t i = 0; logp && i < count; i++) logp[i] = (float)p[batch_target(b, leaf, i)];
  return 0;
}

int assay_trainer_add(struct assay_trainer *trainer, const struct assay_prompt *prompt,
                      const struct assay_answer *answer, double temperature, const double *coef, float *logp,
                      struct assay_error *error)
{
  struct error err = {0};
  int rc = add_gradient(trainer, prompt, answer, temperature, coef, logp, &err);
  return hand_over(rc, &err, error);
}

int assay_trainer_update(struct assay_trainer *trainer, double lr, double *norm, struct assay_error *error)
{
  struct error err = {0};
  double found;
  int rc = lr >= 0 && lr <= 10 ? 0 : error_fail(&err, ERROR_INPUT, NULL, 0, "lr", "found lr %g; expected 0 to 10", lr);
  if (!rc) rc = trainer_update(trainer->trainer, &trainer->optimiser, lr, norm ? norm : &found, &err);
  return hand_over(rc, &err, error);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

static void free_description(void *text)
{
  text_free(text);
}

static int open_run(struct arena *a, const char *recipe, const struct assay_run_options *o, struct assay_run **out,
                    struct error *err)
{
  struct assay_run *r = ARENA_NEW(a, struct assay_run, 1, "run", err);
  if (!r) return err->code;
  r->arena = a;
  if (!recipe) FAIL(err, ERROR_INPUT, "found no recipe; expected a file");
  if (o->resume && !o->folder) FAIL(err, ERROR_INPUT, "found resume without a folder; expected the run's folder");
  if (o->threads < 0) FAIL(err, ERROR_INPUT, "found threads %d; expected 0 (the recipe's) or more", o->threads);
  if (o->memory < 0) FAIL(err, ERROR_INPUT, "found a negative memory limit; expected bytes, or 0 (the recipe's)");
  struct run_options options = {.recipe = recipe,
                                .sft = o->sft,
                                .overrides = o->overrides,
                                .override_count = o->override_count,
                                .folder = o->folder,
                                .resume = o->resume,
                                .plan_only = o->plan_only,
                                .threads = o->threads,
                                .memory = o->memory,
                                .seed = -1,
                                .stop = o->stop};
  TRY(run_open(a, &options, &r->run, err));
  TRY(arena_on_reset(a, free_description, &r->description, err));
  run_describe(r->run, &r->description);
  TRY(text_finish(&r->description, err));
  *out = r;
  return 0;
}

int assay_run_open(const char *recipe, const struct assay_run_options *options, struct assay_run **out,
                   struct assay_error *error)
{
  struct error err = {0};
  const struct assay_run_options o = options ? *options : (struct assay_run_options){0};
  struct arena *a = arena_create("run", 0, &err);
  *out = NULL;
  int rc = a ? open_run(a, recipe, &o, out, &err) : err.code;
  if (rc) arena_destroy(a);
  return hand_over(rc, &err, error);
}

const char *assay_run_describe(struct assay_run *run)
{
  return run->description.bytes;
}

int assay_run_train(struct assay_run *run, struct assay_error *error)
{
  struct error err = {0};
  int rc = run_train(run->run, &err);
  return hand_over(rc, &err, error);
}

const char *assay_run_weights_hash(const struct assay_run *run)
{
  return run_weights_hash(run->run);
}

const char *assay_run_state_hash(const struct assay_run *run)
{
  return run_state_hash(run->run);
}

void assay_run_close(struct assay_run *run)
{
  if (run) arena_destroy(run->arena);
}

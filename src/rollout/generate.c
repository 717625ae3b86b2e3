#include "rollout/generate_internal.h"

#include <string.h>

#include "core/log.h"

/* ---- sizes ----------------------------------------------------------------------------------------------------- */

static int blocks_for(const struct generate_options *o, int positions)
{
  return (positions + o->kv_block - 1) / o->kv_block;
}

int generate_blocks(const struct generate_options *o, int max_prompt, int max_new)
{
  int groups = (o->slots + o->max_group - 1) / o->max_group + 1;
  return most(groups * blocks_for(o, max_prompt) + o->slots * (blocks_for(o, max_new) + 1), generate_blocks_least(o));
}

int generate_blocks_least(const struct generate_options *o)
{
  return 2 * blocks_for(o, o->max_path) + 1;
}

static struct decoder_options decoder_options(const struct generate_options *o)
{
  int head = most(o->slots, o->max_group);
  return (struct decoder_options){.max_rows = most(o->slots, o->prefill_rows),
                                  .max_head_rows = head,
                                  .max_pairs = head,
                                  .sample = true,
                                  .vocab_chunk = o->vocab_chunk};
}

struct workroom_size generator_workroom(const struct model_config *c, const struct generate_options *o)
{
  struct decoder_options d = decoder_options(o);
  int blocks = o->kv_blocks ? o->kv_blocks : generate_blocks(o, o->max_path, o->max_path);
  return (struct workroom_size){decoder_reals(c, &d), o->kv_block, most(blocks, generate_blocks_least(o))};
}

size_t generator_bytes(const struct model_config *c, const struct generate_options *o, enum compute_type type)
{
  struct workroom_size size = generator_workroom(c, o);
  return workroom_bytes(c, &size, type);
}

/* ---- making one -------------------------------------------------------------------------------------------------- */

static int create_passes(struct generator *g, struct arena *a, struct error *err)
{
  size_t top = (size_t)g->head_room * (size_t)g->options.top;
  for (int i = 0; i < 2; i++) TRY(pass_open(g, a, &g->passes[i], err));
  g->top_ids = ARENA_NEW(a, int32_t, top, "generate", err);
  g->top_logp = ARENA_NEW(a, float, top, "generate", err);
  g->ids = ARENA_NEW(a, int32_t, (size_t)g->options.max_path, "generate", err);
  return g->ids && g->top_ids && g->top_logp ? 0 : err->code;
}

static void close_generator(void *arg)
{
  struct generator *g = arg;
  decoder_drop(g->decoder);
  for (int i = 0; i < g->options.slots; i++) text_free(&g->slots[i].tail);
}

enum { TAIL_BYTES = 4096 };

static int create_slots(struct generator *g, struct arena *a, struct error *err)
{
  g->slots = ARENA_NEW(a, struct slot, (size_t)g->options.slots, "generate", err);
  g->prompts = ARENA_NEW(a, struct prompt, (size_t)g->prompt_room, "generate", err);
  if (!g->slots || !g->prompts) return err->code;
  TRY(arena_on_reset(a, close_generator, g, err));
  for (int i = 0; i < g->options.slots; i++) {
    TRY(kv_path_open(a, g->kv, g->options.max_path, &g->slots[i].path, err));
    // the tail never grows past what is taken here, so that the token loop does not allocate
    for (int n = 0; n < TAIL_BYTES; n++) text_add(&g->slots[i].tail, "", 1);
    TRY(text_finish(&g->slots[i].tail, err));
    text_clear(&g->slots[i].tail);
  }
  for (int i = 0; i < g->prompt_room; i++) TRY(kv_path_open(a, g->kv, g->options.max_path, &g->prompts[i].path, err));
  return 0;
}

int generator_create(struct arena *a, const struct model *m, const struct tokenizer *tokenizer, const int *end_ids,
                     size_t end_id_count, const struct generate_options *o, struct generator **out, struct error *err)
{
  ASSAY_BUG_IF(o->room && o->keep);
  ASSAY_BUG_IF(o->slots < 1 || o->prefill_rows < 1 || o->max_group < 1 || o->max_path < 2);
  struct generator *g = ARENA_NEW(a, struct generator, 1, "generate", err);
  if (!g) return err->code;
  g->model = m;
  g->tokenizer = tokenizer;
  g->end_ids = end_ids;
  g->end_id_count = end_id_count;
  g->options = *o;
  g->row_room = most(o->slots, o->prefill_rows);
  g->head_room = most(o->slots, o->max_group);
  g->prompt_room = o->slots + 1;
  g->ahead = o->ahead == AHEAD_ALWAYS || (o->ahead == AHEAD_WHERE_IT_HELPS && device_runs_ahead(m->device));
  struct decoder_options d = decoder_options(o);
  struct workroom_size size = generator_workroom(&m->config, o);
  struct workroom *room = o->room;
  TRY(workroom_take(a, m, &size, &room, err));
  d.buffer = room->activations;
  g->kv = room->kv;
  TRY(decoder_create(a, m, &d, &g->decoder, err));
  TRY(create_slots(g, a, err));
  TRY(keep_open(a, g->kv, o->keep, o->max_path, &g->keep, err));
  TRY(create_passes(g, a, err));
  *out = g;
  return 0;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

/* After a failure nothing is sure of what the passes wrote; where the caller stopped them, all is. */
static void drop_all(struct generator *g, bool sound)
{
  for (int i = 0; i < g->options.slots; i++) {
    if (g->slots[i].live && sound) slot_end(g, &g->slots[i]);
    kv_path_release(g->kv, &g->slots[i].path);
    g->slots[i].live = false;
  }
  for (int i = 0; i < g->prompt_room; i++) prompt_close(g, &g->prompts[i]);
  decoder_drop(g->decoder);
  g->flight = NULL;
  while (!sound && keep_forget_oldest(&g->keep)) continue;
  g->first = NULL;
  g->last = &g->first;
}

void generator_start(struct generator *g, struct tree *t, double record_temperature, int64_t weight_version,
                     const struct generate_hooks *hooks)
{
  decoder_drop(g->decoder);  // of rollouts that were all cancelled
  g->flight = NULL;
  while (g->weight_version != weight_version && keep_forget_oldest(&g->keep)) continue;
  g->tree = t;
  g->first = NULL;
  g->last = &g->first;
  g->short_of_storage = false;
  g->record_temperature = record_temperature > 0 ? record_temperature : 1;
  g->weight_version = weight_version;
  g->hooks = hooks ? *hooks : (struct generate_hooks){0};
  g->counts = (struct generate_counts){0};
}

int generator_add(struct generator *g, struct generate_job *j, struct error *err)
{
  ASSAY_BUG_IF(j->count < 1 || j->count > g->options.max_group || j->max_new_tokens < 1);
  for (size_t s = 0; s < j->stop_count; s++)
    if (!g->tokenizer || strlen(j->stop[s]) > TAIL_BYTES / 4)
      FAIL(err, ERROR_INPUT, "a stop string of %zu bytes; expected a model with a tokenizer and at most %d bytes",
           strlen(j->stop[s]), TAIL_BYTES / 4);
  j->kept = 0;
  j->next = NULL;
  *g->last = j;
  g->last = &j->next;
  return 0;
}

int generator_step(struct generator *g, bool *idle, struct error *err)
{
  bool any, prompts;
  TRY(prompt_admit(g, err));
  if ((prompts = prompt_pending(g))) TRY(prompt_pass(g, err));
  TRY(decode_pass(g, &any, err));
  *idle = !any && !prompts && !g->first;
  for (int i = 0; i < g->prompt_room; i++) *idle = *idle && !g->prompts[i].job;
  return 0;
}

void generator_cancel(struct generator *g, struct generate_job *job)
{
  for (struct generate_job **at = &g->first; *at; at = &(*at)->next) {
    if (*at != job) continue;
    *at = job->next;
    if (!*at) g->last = at;
    g->short_of_storage = false;
    return;
  }
  for (int i = 0; i < g->options.slots; i++) {
    if (g->slots[i].live && g->slots[i].job == job) slot_end(g, &g->slots[i]);
  }
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job == job) prompt_close(g, &g->prompts[i]);
}

int generator_room(const struct generator *g)
{
  int room = g->short_of_storage ? 0 : prompt_free_slots(g);
  for (const struct generate_job *j = g->first; j && room > 0; j = j->next) room -= j->count;
  return room > 0 ? room : 0;
}

void generator_kv(const struct generator *g, int *used, int *kept, int *all)
{
  *all = g->kv->blocks;
  *used = g->kv->blocks - g->kv->free_count;
  *kept = keep_blocks(&g->keep);
}

static int loop(struct generator *g, struct error *err)
{
  for (bool any = true, waiting = true; any || waiting || g->first;) {
    if (g->hooks.cancelled && g->hooks.cancelled(g->hooks.arg)) {
      TRY(decode_land(g, err));
      FAIL(err, ERROR_STOPPED, "stopped while generating");
    }
    TRY(prompt_admit(g, err));
    while (prompt_pending(g)) TRY(prompt_pass(g, err));
    TRY(decode_pass(g, &any, err));
    // nothing decoded: done, unless prompts were just freed and jobs are left
    waiting = false;
    for (int i = 0; i < g->prompt_room; i++) waiting = waiting || g->prompts[i].job;
  }
  return 0;
}

int generator_run(struct generator *g, struct tree *t, struct generate_job *jobs, int32_t job_count,
                  double record_temperature, int64_t weight_version, const struct generate_hooks *hooks,
                  struct generate_counts *counts, struct error *err)
{
  double start = clock_seconds();
  int rc = 0;
  generator_start(g, t, record_temperature, weight_version, hooks);
  for (int32_t i = 0; i < job_count && !rc; i++) {
    jobs[i].number = i;
    rc = generator_add(g, &jobs[i], err);
  }
  if (!rc) rc = loop(g, err);
  if (rc) drop_all(g, rc == ERROR_STOPPED);
  g->counts.seconds = clock_seconds() - start;
  if (counts) *counts = g->counts;
  return rc;
}

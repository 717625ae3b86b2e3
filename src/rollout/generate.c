#include "rollout/generate.h"

#include "core/log.h"
#include "rollout/keep.h"
#include "rollout/kv.h"

#include <string.h>

/* A job whose prompt is in KV, or on its way there. */
struct prompt {
  struct generate_job *job; /* NULL: free */
  int32_t length;           /* tokens of the path */
  int32_t done;             /* rows that have been forwarded */
  int32_t next_rollout;     /* the next of its rollouts that needs a slot */
  bool finished;            /* every rollout has been given a slot (or needs none): its KV goes after this pass */
  struct kv_path path;
};

struct slot {
  bool live;
  struct generate_job *job;
  int32_t rollout;
  int32_t position;    /* of the token that the next pass reads */
  int32_t most_blocks; /* what its path may grow to: the reservation */
  struct kv_path path;
  struct token_decoder decoder;
  struct text tail; /* the last decoded bytes, for stop strings */
};

struct generator {
  const struct model *model;
  const struct tokenizer *tokenizer;
  const int *end_ids;
  size_t end_id_count;
  struct generate_options options;
  struct decoder *decoder;
  struct kv_space *kv;
  struct slot *slots;     /* [slots] */
  struct prompt *prompts; /* [slots + 1]: a window onto the jobs; room counts those in use */
  int32_t prompt_room;
  struct keep keep;
  // one pass: rows and head
  int32_t row_room, head_room;
  int32_t *token, *position, *blocks, *head_row, *ids;
  int32_t block_count;
  struct rows_run *runs;
  struct rows_copy *copies;
  struct rows rows;
  struct head_rows head;
  struct sample_params *params;
  struct sample_result *results;
  struct row_at *who;          /* [head_room] which rollout each head row belongs to */
  struct generate_job **whose; /* [head_room] */
  int32_t *top_ids;            /* [head_room, options.top] */
  float *top_logp;
  // one run
  struct tree *tree;
  struct generate_job *first, **last; /* jobs that wait for their prompt's turn; *last is where the next is linked */
  bool short_of_storage;              /* the first has a slot and no blocks */
  double record_temperature;
  int64_t weight_version;
  struct generate_hooks hooks;
  struct generate_counts counts;
};

static int most(int a, int b)
{
  return a > b ? a : b;
}
static int32_t least(int32_t a, int32_t b)
{
  return a < b ? a : b;
}

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

static int create_pass(struct generator *g, struct arena *a, struct error *err)
{
  size_t rows = (size_t)g->row_room, head = (size_t)g->head_room;
  size_t tables = (size_t)(g->options.slots + g->prompt_room) * (size_t)blocks_for(&g->options, g->options.max_path);
  g->token = ARENA_NEW(a, int32_t, rows, "generate", err);
  g->position = ARENA_NEW(a, int32_t, rows, "generate", err);
  g->runs = ARENA_NEW(a, struct rows_run, rows, "generate", err);
  g->blocks = ARENA_NEW(a, int32_t, tables, "generate", err);
  g->copies = ARENA_NEW(a, struct rows_copy, (size_t)g->options.slots, "generate", err);
  g->head_row = ARENA_NEW(a, int32_t, head, "generate", err);
  g->params = ARENA_NEW(a, struct sample_params, head, "generate", err);
  g->results = ARENA_NEW(a, struct sample_result, head, "generate", err);
  g->who = ARENA_NEW(a, struct row_at, head, "generate", err);
  g->whose = ARENA_NEW(a, struct generate_job *, head, "generate", err);
  g->top_ids = ARENA_NEW(a, int32_t, head * (size_t)g->options.top, "generate", err);
  g->top_logp = ARENA_NEW(a, float, head *(size_t)g->options.top, "generate", err);
  g->ids = ARENA_NEW(a, int32_t, (size_t)g->options.max_path, "generate", err);
  bool ok = g->token && g->position && g->runs && g->blocks && g->copies && g->head_row && g->params && g->results &&
            g->who && g->ids && g->whose && g->top_ids && g->top_logp;
  return ok ? 0 : err->code;
}

static void free_tails(void *arg)
{
  struct generator *g = arg;
  for (int i = 0; i < g->options.slots; i++) text_free(&g->slots[i].tail);
}

enum { TAIL_BYTES = 4096 };

static int create_slots(struct generator *g, struct arena *a, struct error *err)
{
  g->slots = ARENA_NEW(a, struct slot, (size_t)g->options.slots, "generate", err);
  g->prompts = ARENA_NEW(a, struct prompt, (size_t)g->prompt_room, "generate", err);
  if (!g->slots || !g->prompts) return err->code;
  TRY(arena_on_reset(a, free_tails, g, err));
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
  struct decoder_options d = decoder_options(o);
  struct workroom_size size = generator_workroom(&m->config, o);
  struct workroom *room = o->room;
  TRY(workroom_take(a, m, &size, &room, err));
  d.buffer = room->activations;
  g->kv = room->kv;
  TRY(decoder_create(a, m, &d, &g->decoder, err));
  TRY(create_slots(g, a, err));
  TRY(keep_open(a, g->kv, o->keep, o->max_path, &g->keep, err));
  TRY(create_pass(g, a, err));
  *out = g;
  return 0;
}

/* ---- one pass ---------------------------------------------------------------------------------------------------- */

static void pass_start(struct generator *g)
{
  g->rows = (struct rows){
      .token = g->token, .position = g->position, .runs = g->runs, .blocks = g->blocks, .copies = g->copies};
  g->head = (struct head_rows){.row = g->head_row};
  g->block_count = 0;
}

static void pass_add_run(struct generator *g, const struct kv_path *path, int32_t position, int32_t count,
                         const int32_t *ids)
{
  struct rows *r = &g->rows;
  g->runs[r->run_count++] =
      (struct rows_run){.row = r->count, .count = count, .position = position, .table = g->block_count};
  int32_t used = kv_blocks_for(g->kv, position + count);
  memcpy(g->blocks + g->block_count, path->table, (size_t)used * sizeof(int32_t));
  g->block_count += used;
  for (int32_t i = 0; i < count; i++) {
    g->token[r->count] = ids[i];
    g->position[r->count++] = position + i;
  }
}

/* A head row for the token at `position` of a rollout: what will be drawn there, and with which number. */
static void pass_add_head(struct generator *g, int32_t row, struct generate_job *j, int32_t rollout, int32_t position,
                          int32_t generated)
{
  int32_t h = g->head.count++;
  struct rng_at at = j->at;
  at.rollout = (uint32_t)(j->first_rollout + rollout);
  at.position = (uint32_t)position;
  g->head_row[h] = row;
  g->who[h] = (struct row_at){j->number, rollout, position, generated};
  g->whose[h] = j;
  g->params[h] = (struct sample_params){.temperature = (float)j->sampling.temperature,
                                        .top_p = (float)j->sampling.top_p,
                                        .min_p = (float)j->sampling.min_p,
                                        .top_k = j->sampling.top_k,
                                        .forced = -1,
                                        .uniform = rng_uniform(j->seed, &at)};
  if (g->hooks.before_token) g->hooks.before_token(g->hooks.arg, &g->who[h], &g->params[h]);
}

/* The same for a token of the prompt, whose log-probability is wanted: it is forced. */
static void pass_add_given(struct generator *g, int32_t row, struct generate_job *j, int32_t position, int32_t id)
{
  int32_t h = g->head.count++;
  g->head_row[h] = row;
  g->who[h] = (struct row_at){j->number, -1, position, 0};
  g->whose[h] = j;
  g->params[h] = (struct sample_params){.temperature = 1, .top_p = 1, .forced = id};
}

/* The most likely tokens of each row, as many as the row that wants most. */
static int pass_top(struct generator *g, struct error *err)
{
  int k = 0;
  for (int32_t h = 0; h < g->head.count; h++) k = most(k, g->whose[h]->top);
  if (!k || !g->hooks.top) return 0;
  ASSAY_BUG_IF(k > g->options.top);
  TRY(decoder_top(g->decoder, g->record_temperature, &g->head, k, g->top_ids, g->top_logp, err));
  for (int32_t h = 0; h < g->head.count; h++)
    if (g->whose[h]->top)
      g->hooks.top(g->hooks.arg, &g->who[h], g->whose[h]->top, g->top_ids + (size_t)h * (size_t)k,
                   g->top_logp + (size_t)h * (size_t)k);
  return 0;
}

static int pass_run(struct generator *g, struct error *err)
{
  g->counts.passes++;
  TRY(decoder_forward(g->decoder, &g->rows, g->kv->kv, g->head.count ? &g->head : NULL, false, err));
  if (g->hooks.before_draw && g->head.count) {
    if (g->hooks.entropy) TRY(decoder_sample(g->decoder, g->record_temperature, &g->head, g->params, g->results, err));
    for (int32_t h = 0; h < g->head.count; h++)
      g->hooks.before_draw(g->hooks.arg, &g->who[h], g->hooks.entropy ? g->results[h].entropy : __builtin_nanf(""),
                           &g->params[h]);
  }
  if (!g->head.count) return 0;
  TRY(decoder_sample(g->decoder, g->record_temperature, &g->head, g->params, g->results, err));
  return pass_top(g, err);
}

/* ---- the end of a rollout ------------------------------------------------------------------------------------------
 */

size_t generate_find_stop(const char *text, size_t n, const char *const *stop, size_t stop_count)
{
  size_t first = n;
  for (size_t s = 0; s < stop_count; s++) {
    size_t length = strlen(stop[s]);
    for (size_t i = 0; length && i + length <= n && i < first; i++)
      if (!memcmp(text + i, stop[s], length)) first = i;
  }
  return first;
}

static bool is_end_id(const struct generator *g, int32_t id)
{
  for (size_t i = 0; i < g->end_id_count; i++)
    if (g->end_ids[i] == id) return true;
  return false;
}

/* Adds the token's text to the slot's tail, looks for a stop string that ends in it, and keeps what a longer one may
 * still need. */
static bool tail_stops(struct slot *s, int32_t id, const struct generate_job *j)
{
  size_t longest = 1;
  for (size_t i = 0; i < j->stop_count; i++) longest = strlen(j->stop[i]) > longest ? strlen(j->stop[i]) : longest;
  token_decoder_add(&s->decoder, id, &s->tail);
  if (generate_find_stop(s->tail.bytes, s->tail.size, j->stop, j->stop_count) < s->tail.size) return true;
  if (s->tail.size >= longest) {
    memmove(s->tail.bytes, s->tail.bytes + s->tail.size - (longest - 1), longest - 1);
    s->tail.size = longest - 1;
  }
  return false;
}

/* Whether the rollout ends with token `id`, its generated-th (1-based). */
static enum finish ends(struct generator *g, struct slot *s, const struct generate_job *j, int32_t id,
                        int32_t generated)
{
  if (is_end_id(g, id)) return FINISH_STOP;
  if (j->stop_count && tail_stops(s, id, j)) return FINISH_STOP;
  return generated >= j->max_new_tokens ? FINISH_LENGTH : FINISH_NONE;
}

static struct tree *tree_of(const struct generator *g, const struct generate_job *j)
{
  return j->tree ? j->tree : g->tree;
}

/* Writes what head row h gave into its tree: the token drawn, or what is now known of a prompt's. */
static int record(struct generator *g, int32_t h, struct error *err)
{
  struct generate_job *j = g->whose[h];
  const struct row_at *who = &g->who[h];
  const struct sample_params *p = &g->params[h];
  const struct sample_result *r = &g->results[h];
  if (who->rollout < 0) {
    struct token_record *given = tree_at(tree_of(g, j), j->segment, who->position);
    given->logp = r->logp;
    given->entropy = r->entropy;
    return 0;
  }
  struct token_record record = {.id = r->id,
                                .flags = p->forced >= 0 ? TOKEN_FORCED : TOKEN_OWN,
                                .logp = r->logp,
                                .logp_behaviour = r->logp_behaviour,
                                .entropy = r->entropy};
  TRY(tree_append(tree_of(g, j), j->leaf[who->rollout], &record, 1, err));
  if (g->hooks.after_token) g->hooks.after_token(g->hooks.arg, who, &record);
  return 0;
}

static void finish_rollout(struct generator *g, struct generate_job *j, int32_t rollout, enum finish how)
{
  j->finish[rollout] = how;
  if (g->hooks.finished) g->hooks.finished(g->hooks.arg, j->number, rollout);
}

/* The KV of a rollout that is over goes where later prompts look for it. */
static void keep_slot(struct generator *g, struct slot *s)
{
  if (g->options.keep) tree_path_ids(tree_of(g, s->job), s->job->leaf[s->rollout], g->ids);
  keep_take(&g->keep, &s->path, g->ids, s->path.positions);
  s->live = false;
}

/* ---- prefill -------------------------------------------------------------------------------------------------------
 */

static int32_t rollout_blocks(const struct generator *g, const struct prompt *p)
{
  // the last token of a rollout is never read, and the prompt's whole blocks are shared
  int32_t longest = p->length + p->job->max_new_tokens - 1;
  return kv_blocks_for(g->kv, longest) - p->length / g->kv->block;
}

/* Blocks not in use and not promised to live rollouts or to the first rollout of a prompt. */
static int32_t unpromised(const struct generator *g)
{
  int32_t n = g->kv->free_count;
  for (int i = 0; i < g->options.slots; i++)
    if (g->slots[i].live) n -= g->slots[i].most_blocks - g->slots[i].path.count;
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && !g->prompts[i].finished && g->prompts[i].next_rollout == 0)
      n -= rollout_blocks(g, &g->prompts[i]);
  return n;
}

/* Whether so many blocks are there; what is kept gives way to what runs. */
static bool make_room(struct generator *g, int32_t blocks)
{
  while (unpromised(g) < blocks && keep_forget_oldest(&g->keep)) continue;
  return unpromised(g) >= blocks;
}

static struct prompt *free_prompt(struct generator *g)
{
  for (int i = 0; i < g->prompt_room; i++)
    if (!g->prompts[i].job) return &g->prompts[i];
  return NULL;
}

static int open_leaves(struct generator *g, struct generate_job *j, struct error *err)
{
  struct tree *t = tree_of(g, j);
  for (int32_t i = 0; i < j->count; i++) {
    TRY(tree_add_segment(t, j->segment, SEGMENT_OWN, j->max_new_tokens, &j->leaf[i], err));
    t->segments[j->leaf[i]].weight_version = g->weight_version;
    j->finish[i] = FINISH_NONE;
  }
  return 0;
}

/* Storage for the prompt: what is kept of it is shared. false: it does not fit yet. */
static int open_path(struct generator *g, struct prompt *p, bool *fits, struct error *err)
{
  struct rows_copy copy;
  bool copied = false;
  int32_t shared;
  tree_path_ids(tree_of(g, p->job), p->job->segment, g->ids);
  const struct kv_path *kept = p->job->score_prompt ? NULL : keep_find(&g->keep, g->ids, p->length, &shared);
  if (kept) {
    TRY(kv_path_fork(g->kv, kept, shared, &p->path, &copy, &copied, err));
    ASSAY_BUG_IF(copied);
    p->done = p->job->kept = shared;
  }
  *fits = make_room(g, kv_blocks_for(g->kv, p->length) - p->path.count + rollout_blocks(g, p));
  if (!*fits) {
    kv_path_release(g->kv, &p->path);
    return 0;
  }
  g->counts.kept_rows += (uint64_t)p->done;
  return kv_path_extend(g->kv, &p->path, p->length, err);
}

/* Opens the next job's prompt if its KV and one rollout's fit. */
static int admit_job(struct generator *g, int32_t *rollouts, struct error *err)
{
  struct generate_job *j = g->first;
  struct prompt *p = free_prompt(g);
  bool fits;
  *rollouts = 0;
  if (!j || !p) return 0;
  struct prompt next = {.job = j, .length = tree_path_length(tree_of(g, j), j->segment), .path = p->path};
  if (next.length < 1 || next.length + j->max_new_tokens > g->options.max_path)
    FAIL(err, ERROR_BUG, "job %d has a prompt of %d tokens and may add %d; expected at most %d together", j->number,
         next.length, j->max_new_tokens, g->options.max_path);
  TRY(open_path(g, &next, &fits, err));
  if (!fits) return 0;
  *p = next;
  g->first = j->next;
  if (!g->first) g->last = &g->first;
  *rollouts = j->count;
  return open_leaves(g, j, err);
}

/* Puts as much of the prompt into the pass as fits; where that ends it, asks for the first token of each of its
 * rollouts. */
static void add_prompt_rows(struct generator *g, struct prompt *p)
{
  struct generate_job *j = p->job;
  int32_t room = g->head_room - g->head.count;
  int32_t count = least(p->length - p->done, g->row_room - g->rows.count);
  if (j->score_prompt) count = least(count, room);
  bool completes = p->done + count == p->length;
  if (completes && j->count + (j->score_prompt ? count - 1 : 0) > room)
    count--;  // its last row waits for a pass with room in the head
  completes = p->done + count == p->length;
  if (count <= 0) return;
  tree_path_ids(tree_of(g, j), j->segment, g->ids);
  pass_add_run(g, &p->path, p->done, count, g->ids + p->done);
  for (int32_t i = 0; j->score_prompt && i < count - completes; i++)
    pass_add_given(g, g->rows.count - count + i, j, p->done + i + 1, g->ids[p->done + i + 1]);
  p->done += count;
  g->counts.prompt_rows += (uint64_t)count;
  for (int32_t i = 0; completes && i < j->count; i++) pass_add_head(g, g->rows.count - 1, j, i, p->length, 0);
}

static bool prefill_pending(const struct generator *g)
{
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && g->prompts[i].done < g->prompts[i].length) return true;
  return false;
}

static int prefill_pass(struct generator *g, struct error *err)
{
  pass_start(g);
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && g->prompts[i].done < g->prompts[i].length) add_prompt_rows(g, &g->prompts[i]);
  TRY(pass_run(g, err));
  for (int32_t h = 0; h < g->head.count; h++) TRY(record(g, h, err));
  return 0;
}

/* ---- decode ----------------------------------------------------------------------------------------------------- */

/* Gives a rollout, whose first token is drawn, a slot; or none if that token was its last. */
static int start_rollout(struct generator *g, int32_t slot, int32_t prompt, struct error *err)
{
  struct slot *s = &g->slots[slot];
  struct prompt *p = &g->prompts[prompt];
  struct generate_job *j = p->job;
  int32_t rollout = p->next_rollout++;
  p->finished = p->next_rollout == j->count;
  const struct segment *leaf = &tree_of(g, j)->segments[j->leaf[rollout]];
  text_clear(&s->tail);
  token_decoder_start(&s->decoder, g->tokenizer, false);
  enum finish how = ends(g, s, j, leaf->tokens[0].id, 1);
  if (how != FINISH_NONE) {
    finish_rollout(g, j, rollout, how);
    return 0;
  }
  s->job = j;
  s->rollout = rollout;
  s->position = p->length;
  s->most_blocks = kv_blocks_for(g->kv, p->length + j->max_new_tokens - 1);
  bool copied;
  TRY(kv_path_fork(g->kv, &p->path, p->length, &s->path, &g->copies[g->rows.copy_count], &copied, err));
  g->rows.copy_count += copied;
  s->live = true;
  return 0;
}

/* Fills free slots with rollouts that wait; opens prompts only where none waits. */
static int refill(struct generator *g, struct error *err)
{
  for (int32_t s = 0; s < g->options.slots; s++) {
    for (int32_t i = 0; i < g->prompt_room && !g->slots[s].live; i++) {
      struct prompt *p = &g->prompts[i];
      while (p->job && p->done == p->length && !p->finished && !g->slots[s].live) {
        bool first = p->next_rollout == 0;  // its blocks are promised
        if (!first && !make_room(g, rollout_blocks(g, p))) break;
        TRY(start_rollout(g, s, i, err));
      }
    }
  }
  return 0;
}

/* Slots that neither live rollouts nor those of open prompts will take. */
static int32_t free_slots(const struct generator *g)
{
  int32_t room = 0;
  for (int i = 0; i < g->options.slots; i++) room += !g->slots[i].live;
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && !g->prompts[i].finished) room -= g->prompts[i].job->count - g->prompts[i].next_rollout;
  return room;
}

/* Room for more rollouts than wait? Then the next prompts are opened, as many as the free slots can take. */
static int admit(struct generator *g, struct error *err)
{
  int32_t room = free_slots(g), taken = 1;
  while (room > 0 && taken) {
    TRY(admit_job(g, &taken, err));
    room -= taken;
  }
  g->short_of_storage = room > 0 && g->first;
  return 0;
}

static void add_slot_row(struct generator *g, struct slot *s)
{
  const struct segment *leaf = &tree_of(g, s->job)->segments[s->job->leaf[s->rollout]];
  pass_add_run(g, &s->path, s->position, 1, &leaf->tokens[leaf->count - 1].id);
  pass_add_head(g, g->rows.count - 1, s->job, s->rollout, s->position + 1, leaf->count);
}

/* What was drawn goes into the leaf; a finished rollout leaves its slot. */
static int take_token(struct generator *g, struct slot *s, int32_t h, struct error *err)
{
  TRY(record(g, h, err));
  s->position++;
  enum finish how = ends(g, s, s->job, g->results[h].id, g->who[h].generated + 1);
  if (how == FINISH_NONE) return 0;
  keep_slot(g, s);
  finish_rollout(g, s->job, s->rollout, how);
  return 0;
}

/* Prompts of which every rollout has its own path by now: after the pass that made their copies. */
static void release_prompts(struct generator *g)
{
  for (int i = 0; i < g->prompt_room; i++) {
    if (!g->prompts[i].job || !g->prompts[i].finished) continue;
    kv_path_release(g->kv, &g->prompts[i].path);
    g->prompts[i].job = NULL;
  }
}

static int decode_pass(struct generator *g, bool *any, struct error *err)
{
  pass_start(g);
  TRY(refill(g, err));  // copies of forks go into this pass
  for (int i = 0; i < g->options.slots; i++) {
    struct slot *s = &g->slots[i];
    if (!s->live) continue;
    TRY(kv_path_extend(g->kv, &s->path, s->position + 1, err));
    add_slot_row(g, s);
  }
  *any = g->rows.count > 0;
  if (*any) {
    g->counts.decode_rows += (uint64_t)g->rows.count;
    TRY(pass_run(g, err));
    int32_t h = 0;
    for (int i = 0; i < g->options.slots; i++)
      if (g->slots[i].live) TRY(take_token(g, &g->slots[i], h++, err));
  }
  release_prompts(g);
  return 0;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

/* After a failure nothing is sure of what the passes wrote; where the caller stopped them, all is. */
static void drop_all(struct generator *g, bool sound)
{
  for (int i = 0; i < g->options.slots; i++) {
    if (g->slots[i].live && sound) keep_slot(g, &g->slots[i]);
    kv_path_release(g->kv, &g->slots[i].path);
    g->slots[i].live = false;
  }
  for (int i = 0; i < g->prompt_room; i++) {
    kv_path_release(g->kv, &g->prompts[i].path);
    g->prompts[i].job = NULL;
  }
  while (!sound && keep_forget_oldest(&g->keep)) continue;
  g->first = NULL;
  g->last = &g->first;
}

void generator_start(struct generator *g, struct tree *t, double record_temperature, int64_t weight_version,
                     const struct generate_hooks *hooks)
{
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
  TRY(admit(g, err));
  if ((prompts = prefill_pending(g))) TRY(prefill_pass(g, err));
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
    if (g->slots[i].live && g->slots[i].job == job) keep_slot(g, &g->slots[i]);
  }
  for (int i = 0; i < g->prompt_room; i++) {
    if (g->prompts[i].job != job) continue;
    kv_path_release(g->kv, &g->prompts[i].path);
    g->prompts[i].job = NULL;
  }
}

int generator_room(const struct generator *g)
{
  int room = g->short_of_storage ? 0 : free_slots(g);
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
    if (g->hooks.cancelled && g->hooks.cancelled(g->hooks.arg)) FAIL(err, ERROR_STOPPED, "stopped while generating");
    TRY(admit(g, err));
    while (prefill_pending(g)) TRY(prefill_pass(g, err));
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

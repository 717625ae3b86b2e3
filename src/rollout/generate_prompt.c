#include "rollout/generate_internal.h"

int32_t prompt_rollout_blocks(const struct generator *g, const struct prompt *p)
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
      n -= prompt_rollout_blocks(g, &g->prompts[i]);
  return n;
}

/* Whether so many blocks are there; what is kept gives way to what runs. */
bool prompt_make_room(struct generator *g, int32_t blocks)
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
  *fits = prompt_make_room(g, kv_blocks_for(g->kv, p->length) - p->path.count + prompt_rollout_blocks(g, p));
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
static void add_prompt_rows(struct generator *g, struct pass *to, struct prompt *p)
{
  struct generate_job *j = p->job;
  int32_t room = g->head_room - to->head.count;
  int32_t count = least(p->length - p->done, g->row_room - to->rows.count);
  if (j->score_prompt) count = least(count, room);
  bool completes = p->done + count == p->length;
  if (completes && j->count + (j->score_prompt ? count - 1 : 0) > room)
    count--;  // its last row waits for a pass with room in the head
  completes = p->done + count == p->length;
  if (count <= 0) return;
  tree_path_ids(tree_of(g, j), j->segment, g->ids);
  pass_add_run(g, to, &p->path, p->done, count, g->ids + p->done);
  for (int32_t i = 0; j->score_prompt && i < count - completes; i++)
    pass_add_given(g, to, to->rows.count - count + i, j, p->done + i + 1, g->ids[p->done + i + 1]);
  p->done += count;
  g->counts.prompt_rows += (uint64_t)count;
  for (int32_t i = 0; completes && i < j->count; i++) pass_add_head(g, to, to->rows.count - 1, j, i, p->length, 0);
}

/* Slots that neither live rollouts nor those of open prompts will take. */
int32_t prompt_free_slots(const struct generator *g)
{
  int32_t room = 0;
  for (int i = 0; i < g->options.slots; i++) room += !g->slots[i].live;
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && !g->prompts[i].finished) room -= g->prompts[i].job->count - g->prompts[i].next_rollout;
  return room;
}

/* Room for more rollouts than wait? Then the next prompts are opened, as many as the free slots can take. */
int prompt_admit(struct generator *g, struct error *err)
{
  int32_t room = prompt_free_slots(g), taken = 1;
  while (room > 0 && taken) {
    TRY(admit_job(g, &taken, err));
    room -= taken;
  }
  g->short_of_storage = room > 0 && g->first;
  return 0;
}

bool prompt_pending(const struct generator *g)
{
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && g->prompts[i].done < g->prompts[i].length) return true;
  return false;
}

void prompt_close(struct generator *g, struct prompt *p)
{
  kv_path_release(g->kv, &p->path);
  p->job = NULL;
}

/* Behind a pass of decoding that is on its way, whose tokens are taken meanwhile. */
int prompt_pass(struct generator *g, struct error *err)
{
  struct pass *p = pass_begin(g);
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && g->prompts[i].done < g->prompts[i].length) add_prompt_rows(g, p, &g->prompts[i]);
  TRY(pass_start(g, p, err));
  TRY(decode_land(g, err));
  TRY(pass_take(g, p, err));
  for (int32_t h = 0; h < p->head.count; h++) TRY(pass_record(g, p, h, err));
  return 0;
}

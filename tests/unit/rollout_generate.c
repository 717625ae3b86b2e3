/* How rollouts begin, wait, are drawn and end: end tokens, stop strings across tokens, lengths, filters, more rollouts
   than slots, a KV pool in which they wait for each other, a stop from outside, and a token loop without allocation:
   all of it pass by pass, with passes that are started ahead, and on a GPU, which runs ahead by itself. */
#include "check.h"

#include "compute/cuda/queue.h"
#include "core/file.h"
#include "rollout/generate.h"
#include "rollout/session.h"
#include "tiny_model.h"

#include <stdlib.h>
#include <unistd.h>

enum { MOST_ROLLOUTS = 64, MAX_PATH = 48, JOBS = 5 };

static char folder[64];
/* Of the next world. */
static enum generate_ahead ahead;
static const char *device;
static int32_t shorter; /* by so much: the emulated GPU takes its time */

struct world {
  struct arena *arena;
  struct session session;
  struct generator *generator;
  struct generate_options options;
  struct tree *tree;
  struct generate_job jobs[JOBS];
  int32_t job_count;
  int32_t leaves[JOBS][MOST_ROLLOUTS];
  enum finish finishes[JOBS][MOST_ROLLOUTS];
  struct generate_counts counts;
  struct error err;
};

static int32_t id_of(char c)
{
  return c ? c - '!' + 1 : 0;
}

static void open_world(struct world *w, int slots, int max_group, int kv_blocks)
{
  memset(w, 0, sizeof *w);
  char model[96];
  snprintf(model, sizeof model, "random:%s", folder);
  w->arena = arena_create("test", 0, &w->err);
  const struct session_options o = {.model = model, .device = device, .threads = 2, .allow_random = true, .seed = 3};
  CHECK_OK(session_open(w->arena, &o, &w->session, &w->err), &w->err);
  CHECK_OK(session_load(&w->session, 0, &w->err), &w->err);
  w->options = (struct generate_options){.slots = slots,
                                         .prefill_rows = 32,
                                         .max_group = max_group,
                                         .max_path = MAX_PATH,
                                         .kv_block = 4,
                                         .kv_blocks = kv_blocks,
                                         .ahead = ahead};
  if (kv_blocks < 0) w->options.kv_blocks = generate_blocks_least(&w->options);
  CHECK_OK(generator_create(w->arena, w->session.model, w->session.tokenizer, w->session.end_ids,
                            w->session.end_id_count, &w->options, &w->generator, &w->err),
           &w->err);
  CHECK_OK(tree_create(w->arena, &w->tree, &w->err), &w->err);
}

static void close_world(struct world *w)
{
  arena_destroy(w->arena);
}

static struct generate_job *add_job(struct world *w, const char *prompt, int32_t count, int32_t max_new)
{
  int32_t j = w->job_count++, segment;
  CHECK_OK(tree_add_segment(w->tree, -1, SEGMENT_PROMPT, 1, &segment, &w->err), &w->err);
  for (const char *c = prompt; *c; c++) {
    int32_t id = id_of(*c);
    CHECK_OK(tree_append_ids(w->tree, segment, &id, 1, 0, &w->err), &w->err);
  }
  w->jobs[j] = (struct generate_job){.segment = segment,
                                     .count = count,
                                     .seed = 9,
                                     .at = {.purpose = RNG_TRAIN, .step = 2, .group = (uint32_t)j},
                                     .sampling = {.temperature = 1, .top_p = 1},
                                     .max_new_tokens = max_new,
                                     .early = true,
                                     .leaf = w->leaves[j],
                                     .finish = w->finishes[j]};
  return &w->jobs[j];
}

static int run_world(struct world *w, const struct generate_hooks *hooks)
{
  return generator_run(w->generator, w->tree, w->jobs, w->job_count, 1, 7, hooks, &w->counts, &w->err);
}

static const struct segment *leaf(const struct world *w, int32_t job, int32_t rollout)
{
  return &w->tree->segments[w->leaves[job][rollout]];
}

/* ---- ends -----------------------------------------------------------------------------------------------------------
 */

/* What rollout r of a job says: letters that are forced; behind them the model draws. */
struct script {
  const char *const *texts;
};

static void force(void *arg, const struct row_at *at, struct sample_params *p)
{
  const struct script *s = arg;
  const char *text = s->texts[at->rollout];
  if ((size_t)at->generated <= strlen(text)) p->forced = id_of(text[at->generated]);  // the NUL is the end token
}

static void check_said(const struct world *w, int32_t rollout, const char *want, enum finish how)
{
  char got[64] = {0};
  const struct segment *s = leaf(w, 0, rollout);
  CHECK(s->count < (int32_t)sizeof got);
  for (int32_t i = 0; i < s->count; i++) got[i] = s->tokens[i].id ? (char)(s->tokens[i].id + '!' - 1) : '~';
  CHECK_STR(got, want);
  CHECK_INT(w->finishes[0][rollout], how);
}

static void test_end_tokens_and_lengths(void **state)
{
  (void)state;
  static const char *const texts[] = {"ABC", "", "ABCDEFGH", "ABCDEFG"};
  struct script script = {texts};
  struct generate_hooks hooks = {.before_token = force, .arg = &script};
  struct world w;
  open_world(&w, 2, 4, 0);
  add_job(&w, "1+1=", 4, 8);
  CHECK_OK(run_world(&w, &hooks), &w.err);
  check_said(&w, 0, "ABC~", FINISH_STOP);  // the end token is part of the rollout
  check_said(&w, 1, "~", FINISH_STOP);     // its first token ended it
  check_said(&w, 2, "ABCDEFGH", FINISH_LENGTH);
  check_said(&w, 3, "ABCDEFG~", FINISH_STOP);  // at the last place that there was
  for (int32_t r = 0; r < 4; r++) {
    CHECK_INT(leaf(&w, 0, r)->tokens[0].flags, TOKEN_FORCED);
    CHECK_INT(leaf(&w, 0, r)->weight_version, 7);
    CHECK_INT(leaf(&w, 0, r)->start, 4);
    CHECK_INT(leaf(&w, 0, r)->parent, w.jobs[0].segment);
  }
  close_world(&w);
}

static void test_stop_strings(void **state)
{
  (void)state;
  static const char *const texts[] = {"XSTOPYZ", "XSTPSTOOP", "SSTOPXXXX", "9", "ABABAC"};
  static const char *const stop[] = {"STOP", "9", "ABAC"};
  struct script script = {texts};
  struct generate_hooks hooks = {.before_token = force, .arg = &script};
  struct world w;
  open_world(&w, 8, 5, 0);
  struct generate_job *j = add_job(&w, "1+1=", 5, 9);
  j->stop = stop;
  j->stop_count = 3;
  CHECK_OK(run_world(&w, &hooks), &w.err);
  check_said(&w, 0, "XSTOP", FINISH_STOP);
  check_said(&w, 1, "XSTPSTOOP", FINISH_LENGTH);
  check_said(&w, 2, "SSTOP", FINISH_STOP);
  check_said(&w, 3, "9", FINISH_STOP);  // with the first token
  check_said(&w, 4, "ABABAC", FINISH_STOP);
  close_world(&w);
}

static void test_where_a_stop_string_begins(void **state)
{
  (void)state;
  static const char *const stop[] = {"STOP", "TO"};
  CHECK_INT(generate_find_stop("xxSTOP", 6, stop, 1), 2);
  CHECK_INT(generate_find_stop("xxSTOP", 6, stop, 2), 2);  // the first place, not the first string
  CHECK_INT(generate_find_stop("xxTOSTOP", 8, stop, 2), 2);
  CHECK_INT(generate_find_stop("xxSTO", 5, stop, 1), 5);
  CHECK_INT(generate_find_stop("", 0, stop, 2), 0);
  CHECK_INT(generate_find_stop("abc", 3, stop, 0), 3);
}

static void test_stop_strings_that_cannot_be(void **state)
{
  (void)state;
  struct world w;
  char longest[2000];
  const char *stop[] = {longest};
  memset(longest, 'A', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  open_world(&w, 2, 2, 0);
  struct generate_job *j = add_job(&w, "1+1=", 2, 4);
  j->stop = stop;
  j->stop_count = 1;
  CHECK_ERROR(run_world(&w, NULL), &w.err, ERROR_INPUT, "a stop string of 1999 bytes");
  close_world(&w);
}

static void test_one_token(void **state)
{
  (void)state;
  struct world w;
  open_world(&w, 3, 8, 0);
  add_job(&w, "1", 8, 1);
  CHECK_OK(run_world(&w, NULL), &w.err);
  for (int32_t r = 0; r < 8; r++) {
    CHECK_INT(leaf(&w, 0, r)->count, 1);
    CHECK_INT(w.finishes[0][r], leaf(&w, 0, r)->tokens[0].id == 0 ? FINISH_STOP : FINISH_LENGTH);
  }
  CHECK_INT(w.counts.decode_rows, 0);  // the prompt's last row says all of them
  CHECK_INT(w.counts.prompt_rows, 1);
  close_world(&w);
}

/* ---- drawing --------------------------------------------------------------------------------------------------------
 */

/* Distinct first tokens among many rollouts of one prompt. */
static int distinct(struct sampling sampling, int32_t *first)
{
  struct world w;
  bool seen[TINY_VOCAB] = {false};
  int n = 0;
  open_world(&w, 8, MOST_ROLLOUTS, 0);
  struct generate_job *j = add_job(&w, "7+1=", MOST_ROLLOUTS, 1);
  j->sampling = sampling;
  CHECK_OK(run_world(&w, NULL), &w.err);
  for (int32_t r = 0; r < MOST_ROLLOUTS; r++) {
    const struct token_record *t = &leaf(&w, 0, r)->tokens[0];
    CHECK(t->logp <= t->logp_behaviour || sampling.temperature > 1);  // what is left shares the rest's mass
    n += !seen[t->id];
    seen[t->id] = true;
    *first = t->id;
  }
  close_world(&w);
  return n;
}

static void test_filters(void **state)
{
  (void)state;
  int32_t greedy, id;
  CHECK_INT(distinct((struct sampling){.temperature = 0, .top_p = 1}, &greedy), 1);
  CHECK_INT(distinct((struct sampling){.temperature = 1, .top_p = 1, .top_k = 1}, &id), 1);
  CHECK_INT(id, greedy);
  CHECK_INT(distinct((struct sampling){.temperature = 1, .top_p = 1e-6}, &id), 1);
  CHECK_INT(id, greedy);
  CHECK_INT(distinct((struct sampling){.temperature = 1, .top_p = 1, .min_p = 1}, &id), 1);
  CHECK_INT(id, greedy);
  CHECK_INT(distinct((struct sampling){.temperature = 1, .top_p = 1, .top_k = 3}, &id), 3);
  int all = distinct((struct sampling){.temperature = 1, .top_p = 1}, &id);
  int half = distinct((struct sampling){.temperature = 1, .top_p = 0.25}, &id);
  CHECK(all > 30);
  CHECK(half > 3 && half < all / 2 + 4);
}

/* ---- slots and storage ----------------------------------------------------------------------------------------------
 */

static void add_jobs(struct world *w)
{
  static const char *const prompts[JOBS] = {"1", "12+34=", "9+9+9+9+9+9=", "0+0=", "1234567890"};
  for (int32_t j = 0; j < JOBS; j++) add_job(w, prompts[j], 3 + j % 3, (30 - 5 * j) / shorter);
}

static void check_same(const struct world *got, const struct world *want)
{
  for (int32_t j = 0; j < JOBS; j++) {
    for (int32_t r = 0; r < want->jobs[j].count; r++) {
      const struct segment *g = leaf(got, j, r), *s = leaf(want, j, r);
      CHECK_INT(g->count, s->count);
      CHECK_INT(got->finishes[j][r], want->finishes[j][r]);
      CHECK_BITS(g->tokens, s->tokens, (size_t)s->count * sizeof *s->tokens);
    }
  }
}

static void test_slots_and_storage_move_no_bit(void **state)
{
  const enum generate_ahead asked = ahead;
  const char *asked_device = device;
  (void)state;
  static const struct {
    int slots, kv_blocks;  // -1: the fewest that can work
  } settings[] = {{1, 0}, {3, 0}, {7, -1}, {32, -1}, {32, 30}};
  struct world first, w;
  ahead = AHEAD_NEVER;
  device = "cpu";
  open_world(&first, 32, 5, 0);
  ahead = asked;
  device = asked_device;
  add_jobs(&first);
  CHECK_OK(run_world(&first, NULL), &first.err);
  CHECK_INT(first.counts.passes_ahead, 0);
  CHECK_INT(first.counts.rows_wasted, 0);
  for (size_t i = shorter > 1 ? 3 : 0; i < sizeof settings / sizeof settings[0]; i++) {
    open_world(&w, settings[i].slots, 5, settings[i].kv_blocks);
    add_jobs(&w);
    CHECK_OK(run_world(&w, NULL), &w.err);
    check_same(&w, &first);
    CHECK(w.counts.passes > first.counts.passes || settings[i].slots == 32);
    CHECK_INT(w.counts.prompt_rows, first.counts.prompt_rows);
    CHECK_INT(w.counts.decode_rows, first.counts.decode_rows);
    CHECK((w.counts.passes_ahead > 0) == (ahead != AHEAD_NEVER));
    CHECK(w.counts.rows_wasted <= 20);  // at most one a rollout
    close_world(&w);
  }
  close_world(&first);
}

/* What a hook sees when it is asked about a token: all that are before it, unless the job lets it be asked early. */
enum { LOOKER = 3 };
struct look {
  const struct world *world;
  int64_t asked, unseen;
};

static void look(void *arg, const struct row_at *at, struct sample_params *p)
{
  struct look *l = arg;
  (void)p;
  l->asked++;
  l->unseen += at->job == LOOKER && leaf(l->world, at->job, at->rollout)->count < at->generated;
}

static void look_late(void *arg, const struct row_at *at, float entropy, struct sample_params *p)
{
  (void)entropy;
  look(arg, at, p);
}

static void test_hooks_that_look_at_the_text(void **state)
{
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    struct world w;
    struct look l = {.world = &w};
    struct generate_hooks hooks = {.arg = &l, .entropy = kind == 3};
    if (kind < 2)
      hooks.before_token = look;
    else
      hooks.before_draw = look_late;
    open_world(&w, 7, 5, 0);
    add_jobs(&w);
    w.jobs[LOOKER].early = kind == 1;  // where it does not it holds up all, while it lives
    CHECK_OK(run_world(&w, &hooks), &w.err);
    CHECK(l.asked > 100);
    CHECK((l.unseen > 0) == (kind == 1 && ahead != AHEAD_NEVER));
    CHECK((w.counts.passes_ahead > 0) == (kind < 2 && ahead != AHEAD_NEVER));
    close_world(&w);
  }
}

struct watch {
  int64_t finished[JOBS][MOST_ROLLOUTS];
  int64_t tokens, asked, stop_at;
  uint64_t least, most; /* allocations so far, seen in the token loop */
};

static void watch_finished(void *arg, int32_t job, int32_t rollout)
{
  ((struct watch *)arg)->finished[job][rollout]++;
}

static bool watch_cancelled(void *arg)
{
  struct watch *w = arg;
  return w->stop_at && ++w->asked >= w->stop_at;
}

static void watch_token(void *arg, const struct row_at *at, const struct token_record *record)
{
  struct watch *w = arg;
  (void)record;
  w->tokens++;
  if (!at->generated) return;
  uint64_t now = memory_allocations();
  if (!w->least) w->least = now;
  w->most = now;
}

static void test_every_rollout_is_finished_once(void **state)
{
  (void)state;
  struct world w;
  struct watch watch = {0};
  struct generate_hooks hooks = {.finished = watch_finished, .after_token = watch_token, .arg = &watch};
  int64_t tokens = 0;
  open_world(&w, 4, 5, 0);
  add_jobs(&w);
  CHECK_OK(run_world(&w, &hooks), &w.err);
  for (int32_t j = 0; j < JOBS; j++)
    for (int32_t r = 0; r < w.jobs[j].count; r++) {
      CHECK_INT(watch.finished[j][r], 1);
      CHECK(w.finishes[j][r] != FINISH_NONE);
      tokens += leaf(&w, j, r)->count;
    }
  CHECK_INT(watch.tokens, tokens);
  close_world(&w);
}

static void test_the_token_loop_allocates_nothing(void **state)
{
  (void)state;
  static const char *const stop[] = {"STOP"};
  struct world w;
  struct watch watch = {0};
  struct generate_hooks hooks = {.after_token = watch_token, .arg = &watch};
  open_world(&w, 32, 5, 0);
  add_jobs(&w);
  for (int32_t j = 0; j < JOBS; j++) {
    w.jobs[j].stop = stop;
    w.jobs[j].stop_count = 1;
  }
  CHECK_OK(run_world(&w, &hooks), &w.err);
  CHECK(watch.tokens > 200 / shorter);
  CHECK(watch.least > 0);
  // on a GPU a list of launches that comes again is kept as a graph
  CHECK(watch.most - watch.least <= (strcmp(device, "cpu") ? 16 : 0));
  close_world(&w);
}

static void test_a_stop_from_outside(void **state)
{
  (void)state;
  struct world w, whole;
  struct watch watch = {.stop_at = 9};
  struct generate_hooks hooks = {.cancelled = watch_cancelled, .arg = &watch};
  int unfinished = 0;
  open_world(&w, 4, 5, 0);
  add_jobs(&w);
  CHECK_ERROR(run_world(&w, &hooks), &w.err, ERROR_STOPPED, "stopped while generating");
  // jobs that were not begun have no leaves yet
  for (int32_t r = 0; r < w.jobs[0].count; r++) unfinished += w.finishes[0][r] == FINISH_NONE;
  CHECK(unfinished > 0);
  // the generator gave everything back: the same jobs run to their ends in it
  error_clear(&w.err);
  CHECK_OK(run_world(&w, NULL), &w.err);
  open_world(&whole, 32, 5, 0);
  add_jobs(&whole);
  CHECK_OK(run_world(&whole, NULL), &whole.err);
  check_same(&w, &whole);
  close_world(&whole);
  close_world(&w);
}

/* A GPU that breaks with passes on their way: the run says so, and nothing is left of it on either side. */
static void test_a_device_that_breaks(void **state)
{
  (void)state;
  static const long faults[] = {1, 45, 300, 1000};
  for (size_t i = 0; strcmp(device, "cpu") && i < sizeof faults / sizeof faults[0]; i++) {
    struct world w;
    int used, kept, all;
    open_world(&w, 4, 5, 0);
    add_jobs(&w);
    cuda_of(w.session.device)->fault_in = faults[i];
    CHECK_ERROR(run_world(&w, NULL), &w.err, ERROR_RESOURCE, "ASSAY_EMULATED_FAULT");
    CHECK((w.counts.passes_ahead > 0) == (faults[i] >= 300));
    CHECK_INT(device_draws(w.session.device), 0);
    generator_kv(w.generator, &used, &kept, &all);
    CHECK_INT(used, 0);
    close_world(&w);
  }
}

static int make_folder(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-generate-XXXXXX");
  return mkdtemp(folder) ? tiny_model_write(folder) : -1;
}

static int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

#define LONG_TESTS                                                                   \
  cmocka_unit_test(test_where_a_stop_string_begins), cmocka_unit_test(test_filters), \
      cmocka_unit_test(test_hooks_that_look_at_the_text), cmocka_unit_test(test_every_rollout_is_finished_once)
#define TESTS                                                                                                        \
  cmocka_unit_test(test_end_tokens_and_lengths), cmocka_unit_test(test_stop_strings),                                \
      cmocka_unit_test(test_stop_strings_that_cannot_be), cmocka_unit_test(test_one_token),                          \
      cmocka_unit_test(test_slots_and_storage_move_no_bit), cmocka_unit_test(test_the_token_loop_allocates_nothing), \
      cmocka_unit_test(test_a_stop_from_outside), cmocka_unit_test(test_a_device_that_breaks)

int main(void)
{
  const struct CMUnitTest tests[] = {TESTS, LONG_TESTS}, gpu_tests[] = {TESTS};
  int failed = 0;
  device = "cpu";
  shorter = 1;
  for (ahead = AHEAD_NEVER; ahead <= AHEAD_ALWAYS; ahead++)
    failed +=
        cmocka_run_group_tests_name(ahead == AHEAD_NEVER ? "pass by pass" : "ahead", tests, make_folder, remove_folder);
  device = "cuda-emulated";
  shorter = 3;
  ahead = AHEAD_WHERE_IT_HELPS;
  return failed + cmocka_run_group_tests_name("on a GPU", gpu_tests, make_folder, remove_folder);
}

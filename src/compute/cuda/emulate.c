/* cuda/emulate: threads of a team as contexts of <ucontext.h>, each with a stack of its own that is kept. A context
 * runs until it waits or returns; when all lanes of a warp (all warps of a team) wait for each other, they go on. Once
 * begun a context is entered and left by _setjmp and _longjmp, which ask nothing of the kernel. */
#include "compute/cuda/emulate.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "compute/cuda/kernel.h"
#include "core/error.h"
#include "core/pool.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

enum { MOST = 1024, STACK = 64 << 10 };

enum wait { WAIT_NONE, WAIT_LANES, WAIT_TEAM, WAIT_PHASE, WAIT_OVER };

struct team {
  ucontext_t outside, context[MOST];
  jmp_buf scheduler, place[MOST];
  bool made[MOST];
  enum wait wait[MOST];
  const uint64_t *phase[MOST]; /* of WAIT_PHASE */
  uint32_t parity[MOST];
  float brought[MOST];      /* to lane_read */
  uint32_t words[MOST][12]; /* to tile_multiply: a, then b */
  void (*enter)(const void *);
  const void *args;
  bool waits;
  void *scheduler_stack; /* and what it keeps of the scheduler's while a thread runs */
  const void *home;      /* the scheduler's stack, as the address sanitizer sees it */
  size_t home_size;
  _Alignas(64) char stacks[MOST][STACK];
};
static _Thread_local struct team *team;

_Thread_local struct emulated emulated;

/* ---- changing places ---- */

static void switch_begin(void **kept, const void *stack, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(kept, stack, size);
#else
  (void)kept, (void)stack, (void)size;
#endif
}

static void switch_end(void *kept, const void **stack, size_t *size)
{
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(kept, stack, size);
#else
  (void)kept, (void)stack, (void)size;
#endif
}

/* From a thread of the team to the scheduler, and back when it is called again. */
static void leave(enum wait why)
{
  const int thread = emulated.thread;
  void *kept = NULL;
  team->wait[thread] = why;
  switch_begin(&kept, team->home, team->home_size);
  if (!_setjmp(team->place[thread])) _longjmp(team->scheduler, 1);
  switch_end(kept, &team->home, &team->home_size);
}

static void context_main(void)
{
  switch_end(NULL, &team->home, &team->home_size);
  for (;;) {
    team->enter(team->args);
    leave(WAIT_OVER);
  }
}

static void context_make(int thread, char *stack)
{
  ucontext_t *c = &team->context[thread];
  ASSAY_BUG_IF(getcontext(c) != 0);
  c->uc_stack.ss_sp = stack;
  c->uc_stack.ss_size = STACK;
  c->uc_link = NULL;
  makecontext(c, context_main, 0);
}

/* Runs a thread until it leaves. */
static void resume(int thread)
{
  char *stack = team->stacks[thread];
  const bool made = team->made[thread];
  if (!made) context_make(thread, stack);
  team->made[thread] = true;
  emulated.thread = thread;
  team->wait[thread] = WAIT_NONE;
  switch_begin(&team->scheduler_stack, stack, STACK);
  if (!_setjmp(team->scheduler)) {
    if (made) _longjmp(team->place[thread], 1);
    swapcontext(&team->outside, &team->context[thread]);
  }
  switch_end(team->scheduler_stack, NULL, NULL);
}

/* ---- one team ---- */

/* May thread i go on by itself? */
static bool ready(int i)
{
  return team->wait[i] == WAIT_NONE ||
         (team->wait[i] == WAIT_PHASE && emulate_phase_over(*team->phase[i], team->parity[i]));
}

static int waiting(int first, int end, enum wait why)
{
  int count = 0;
  for (int i = first; i < end; i++) count += team->wait[i] == why;
  return count;
}

static void release(int first, int end, enum wait why)
{
  for (int i = first; i < end; i++)
    if (team->wait[i] == why) team->wait[i] = WAIT_NONE;
}

/* Runs the lanes of a warp until each has returned or waits for the team or for a phase. Did any run? */
static bool warp_run(int first, int end)
{
  bool ran = false;
  for (bool again = true; again;) {
    again = false;
    for (int i = first; i < end; i++) {
      if (!ready(i)) continue;
      resume(i);
      again = ran = true;
    }
    const int at_lanes = waiting(first, end, WAIT_LANES);
    ASSAY_BUG_IF(at_lanes && waiting(first, end, WAIT_TEAM)); /* lanes of one warp went different ways */
    if (at_lanes && !waiting(first, end, WAIT_PHASE)) {
      release(first, end, WAIT_LANES);
      again = true;
    }
  }
  return ran;
}

static void team_run(int threads)
{
  for (int i = 0; i < threads; i++) team->wait[i] = WAIT_NONE;
  for (int over = 0; over < threads; over = waiting(0, threads, WAIT_OVER)) {
    bool ran = false;
    for (int first = 0; first < threads; first += WARP)
      ran = warp_run(first, first + WARP < threads ? first + WARP : threads) || ran;
    if (ran) continue;
    const bool a_phase_never_ends = waiting(0, threads, WAIT_PHASE) > 0;
    ASSAY_BUG_IF(a_phase_never_ends);
    release(0, threads, WAIT_TEAM);
  }
}

void *emulate_take(size_t bytes)
{
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSAY_BUG_IF(p == MAP_FAILED);
  return p;
}

void emulate_launch(void (*enter)(const void *), const void *args, size_t blocks_x, size_t blocks_y, int threads,
                    bool waits, size_t shared)
{
  ASSAY_BUG_IF(threads < 1 || threads > MOST || !blocks_x || !blocks_y || blocks_y > 65535 || blocks_x > INT32_MAX);
  if (!team) team = emulate_take(sizeof *team);
  team->enter = enter;
  team->args = args;
  team->waits = waits;
  struct compute_mode mode = compute_mode_enter();
  emulated = (struct emulated){.blocks_x = blocks_x, .blocks_y = blocks_y, .threads = threads, .shared = shared};
  for (emulated.block_y = 0; emulated.block_y < blocks_y; emulated.block_y++)
    for (emulated.block_x = 0; emulated.block_x < blocks_x; emulated.block_x++) {
      if (shared) emulate_room_begin(shared);
      if (waits) team_run(threads);
      if (shared) emulate_wide_end();
      for (emulated.thread = 0; !waits && emulated.thread < threads; emulated.thread++) enter(args);
    }
  compute_mode_leave(mode);
}

/* ---- what a kernel calls ---- */

void emulate_team_wait(void)
{
  ASSAY_BUG_IF(!team->waits);
  leave(WAIT_TEAM);
}

void emulate_lanes_wait(void)
{
  ASSAY_BUG_IF(!team->waits);
  leave(WAIT_LANES);
}

void emulate_phase_wait(const uint64_t *phase, uint32_t parity)
{
  ASSAY_BUG_IF(!team->waits);
  team->phase[emulated.thread] = phase;
  team->parity[emulated.thread] = parity;
  leave(WAIT_PHASE);
}

float emulate_lane_read(float x, int lane)
{
  const int first = emulated.thread / WARP * WARP;
  team->brought[emulated.thread] = x;
  emulate_lanes_wait();
  const float got = team->brought[first + lane];
  emulate_lanes_wait();
  return got;
}

bool emulate_lanes_any(bool x)
{
  const int first = emulated.thread / WARP * WARP;
  bool any = false;
  team->brought[emulated.thread] = x;
  emulate_lanes_wait();
  for (int lane = 0; lane < WARP; lane++) any = any || team->brought[first + lane] != 0;
  emulate_lanes_wait();
  return any;
}

/* 32 terms of row (or column) `line` of an operand: word t of a step is with lane 4 line + t % 4. */
static void tile_terms(const uint32_t (*words)[12], int line, int first, int step_words, int upper, float term[32])
{
  for (int t = 0; t < 32; t++) {
    const int step = t / 16, word = t % 16 / 2;
    term[t] = word_half(words[line * 4 + word % 4][first + step * step_words + word / 4 * (step_words / 2) + upper],
                        (size_t)t);
  }
}

static float tile_output(const float a[32], const float b[32], float c)
{
  float even = 0, odd = 0;
  for (int t = 0; t < 32; t += 2) {
    even = math_fmaf(a[t], b[t], even);
    odd = math_fmaf(a[t + 1], b[t + 1], odd);
  }
  return c + (even + odd);
}

void emulate_tile(const uint32_t a[8], const uint32_t b[4], float c[4])
{
  const int lane = emulated.thread % WARP;
  const uint32_t(*words)[12] = (const uint32_t(*)[12])team->words + (emulated.thread - lane);
  memcpy(team->words[emulated.thread], a, 8 * sizeof *a);
  memcpy(team->words[emulated.thread] + 8, b, 4 * sizeof *b);
  emulate_lanes_wait();
  float rows[2][32], columns[2][32];
  for (int i = 0; i < 2; i++) {
    tile_terms(words, lane / 4, 0, 4, i, rows[i]);
    tile_terms(words, lane % 4 * 2 + i, 8, 2, 0, columns[i]);
  }
  for (int i = 0; i < 4; i++) c[i] = tile_output(rows[i / 2], columns[i % 2], c[i]);
  emulate_lanes_wait();
}

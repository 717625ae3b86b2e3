/* cuda/emulate_hopper: what hopper.h's words do, one thread at a time. Copies are there at once; products are made when
 * they are waited for, from what stands in shared memory then, so that a stage which is given back too early shows. */
#include "compute/cuda/hopper.h"

#include "core/error.h"

enum { PENDING = 32, STEP = 16 /* terms */, CORE_ROWS = 8, CORE_ROW = 16 /* bytes */ };

/* under_way: what a thread of the team has; committed: of these those that a wait is for. */
static _Thread_local struct hopper {
  _Alignas(128) unsigned char room[EMULATED_ROOM_MOST];
  struct under_way {
    struct emulated_wide wide[PENDING];
    int count, committed;
  } under_way[1024];
} * hopper;

void emulate_room_begin(size_t bytes)
{
  ASSAY_BUG_IF(bytes > EMULATED_ROOM_MOST);
  if (!hopper) hopper = emulate_take(sizeof *hopper);
  memset(hopper->room, 0xff, bytes);
}

unsigned char *emulate_room(void)
{
  return hopper->room;
}

uint32_t emulate_room_at(const void *p)
{
  const uintptr_t at = (uintptr_t)p - (uintptr_t)hopper->room;
  ASSAY_BUG_IF(at > emulated.shared);
  return (uint32_t)at;
}

/* ---- phases: parity, arrivals of each phase, arrivals and bytes that are missing ---- */

struct phase {
  unsigned parity, arrivals, missing;
  int64_t bytes;
};

enum { BYTES_ZERO = 1 << 27 };

static struct phase phase_of(uint64_t word)
{
  return (struct phase){(unsigned)(word >> 63), (unsigned)(word >> 40 & 4095), (unsigned)(word >> 28 & 4095),
                        (int64_t)(word & 0xfffffff) - BYTES_ZERO};
}

static uint64_t phase_word(struct phase p)
{
  if (!p.missing && !p.bytes) {
    p.parity ^= 1;
    p.missing = p.arrivals;
  }
  return (uint64_t)p.parity << 63 | (uint64_t)p.arrivals << 40 | (uint64_t)p.missing << 28 |
         (uint64_t)(p.bytes + BYTES_ZERO);
}

void emulate_phase_init(uint64_t *phase, int arrivals)
{
  ASSAY_BUG_IF(arrivals < 1 || arrivals > 4095 || emulate_room_at(phase) % sizeof *phase);
  *phase = phase_word((struct phase){0, (unsigned)arrivals, (unsigned)arrivals, 0});
}

void emulate_phase_arrive(uint64_t *phase, uint32_t bytes)
{
  struct phase p = phase_of(*phase);
  ASSAY_BUG_IF(!p.missing);
  p.missing--;
  p.bytes += bytes;
  *phase = phase_word(p);
}

bool emulate_phase_over(uint64_t phase, uint32_t parity)
{
  return phase_of(phase).parity != parity;
}

void emulate_bulk_copy(void *to, const void *from, uint32_t bytes, uint64_t *phase)
{
  struct phase p = phase_of(*phase);
  ASSAY_BUG_IF(!bytes || bytes % 16 || (uintptr_t)from % 16 || emulate_room_at(to) % 16);
  ASSAY_BUG_IF(emulate_room_at(to) + bytes > emulated.shared);
  memcpy(to, from, bytes);
  p.bytes -= bytes;
  *phase = phase_word(p);
}

/* ---- products ---- */

/* The 32 terms of a line through the descriptors of both steps; 0 where there is no second step. */
static void line_terms(const uint64_t descriptor[2], bool lines, int line, int steps, float term[2 * STEP])
{
  for (int t = 0; t < 2 * STEP; t++) {
    const uint64_t d = descriptor[t / STEP];
    const int at = t % STEP;
    term[t] = 0;
    if (t / STEP >= steps) continue;
    size_t byte = (size_t)(d & 0x3fff) * 16 + (size_t)(d >> 16 & 0x3fff) * 16 * (size_t)(at / CORE_ROWS) +
                  (size_t)(d >> 32 & 0x3fff) * 16 * (size_t)(line / CORE_ROWS);
    byte += (size_t)((lines ? at : line) % CORE_ROWS * CORE_ROW + (lines ? line : at) % CORE_ROWS * 2);
    ASSAY_BUG_IF(byte + 2 > emulated.shared || d >> 46); /* no base offset, no swizzle */
    uint16_t half;
    memcpy(&half, hopper->room + byte, sizeof half);
    term[t] = word_even(half);
  }
}

static float block_sum(const float a[2 * STEP], const float b[2 * STEP], float c)
{
  float even = 0, odd = 0;
  for (int t = 0; t < 2 * STEP; t += 2) {
    even = math_fmaf(a[t], b[t], even);
    odd = math_fmaf(a[t + 1], b[t + 1], odd);
  }
  return c + (even + odd);
}

static void wide_run(const struct emulated_wide *w, int thread)
{
  const int first = thread % WARPGROUP / WARP * STEP + thread % WARP / 4;
  float row[2][2 * STEP], column[2 * STEP];
  for (int i = 0; i < 2 && first + i * 8 < w->rows; i++)
    line_terms(w->left, w->left_lines, first + i * 8, w->steps, row[i]);
  for (int j = 0; j < w->live_groups && first < w->rows; j++)
    for (int c = 0; c < 2; c++) {
      line_terms(w->right, w->right_lines, j * 8 + thread % 4 * 2 + c, w->steps, column);
      for (int i = 0; i < 2 && first + i * 8 < w->rows; i++)
        w->sum[j][2 * i + c] = block_sum(row[i], column, w->sum[j][2 * i + c]);
    }
}

void emulate_wide(const struct emulated_wide *wide)
{
  struct under_way *u = hopper->under_way + emulated.thread;
  ASSAY_BUG_IF(u->count == PENDING || wide->live_groups > wide->groups);
  u->wide[u->count++] = *wide;
}

void emulate_wide_commit(void)
{
  struct under_way *u = hopper->under_way + emulated.thread;
  u->committed = u->count;
}

void emulate_wide_wait(void)
{
  struct under_way *u = hopper->under_way + emulated.thread;
  for (int i = 0; i < u->committed; i++) wide_run(u->wide + i, emulated.thread);
  u->count -= u->committed;
  memmove(u->wide, u->wide + u->committed, (size_t)u->count * sizeof u->wide[0]);
  u->committed = 0;
}

void emulate_wide_end(void)
{
  for (int i = 0; i < emulated.threads; i++) {
    const bool a_product_was_never_waited_for = hopper->under_way[i].count > 0;
    ASSAY_BUG_IF(a_product_was_never_waited_for);
  }
}

/* compute/cpu/amx/tile: the eight tile registers of AMX and the instructions that the products need, as macros, for a
 * register's number is part of its instruction. A tile is 16 rows of 64 bytes.
 *
 *   TILES_BEGIN()             this thread's registers are 16 x 64 bytes each (palette 1)
 *   TILES_END()               gives them back, so that a switch of threads need not save them
 *   TILE_ZERO(t)              t = +0
 *   TILE_LOAD(t, from, step)  row i from address from + i * step bytes
 *   TILE_STORE(t, to, step)
 *   TILE_DOT(c, a, b)         TDPBF16PS: for each i, j: c[i][j] of f32 + the block of 32 terms that row i of a (32
 * bf16) and column j of b (16 words) make: backend.h's order, denormals flushed whatever MXCSR
 *
 * With ASSAY_TILE_MODEL the same names are plain C over an array (tests/unit/compute_overlay.c): the code that uses
 * them can then be run, index for index, on a processor without AMX.
 */
#ifndef ASSAY_COMPUTE_CPU_AMX_TILE_H
#define ASSAY_COMPUTE_CPU_AMX_TILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { TILES = 8, TILE_SIDE = 16, TILE_BYTES = 64 };

struct tile_config {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "as LDTILECFG reads it");

#ifndef ASSAY_TILE_MODEL

static inline void tiles_begin(void)
{
  struct tile_config c = {.palette = 1};
  for (int i = 0; i < TILES; i++) {
    c.bytes[i] = TILE_BYTES;
    c.rows[i] = TILE_SIDE;
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(c));
}
#define TILES_BEGIN() tiles_begin()
#define TILES_END()   __asm__ volatile("tilerelease" ::: "memory")
#define TILE_ZERO(t)  __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_LOAD(t, from, step) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(from)), "r"((size_t)(step)) : "memory")
#define TILE_STORE(t, to, step) \
  __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(to)), "r"((size_t)(step)) : "memory")
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#else

#include "compute/cpu/bf16/bf16.h"

static _Thread_local uint32_t tile_model[TILES][TILE_SIDE][TILE_SIDE];

static inline void tile_model_move(int t, void *memory, const void *from, size_t step)
{
  for (size_t i = 0; i < TILE_SIDE; i++) {
    if (from) memcpy(tile_model[t][i], (const char *)from + i * step, TILE_BYTES);
    if (memory) memcpy((char *)memory + i * step, tile_model[t][i], TILE_BYTES);
  }
}

static inline void tile_model_dot(int c, int a, int b)
{
  for (size_t i = 0; i < TILE_SIDE; i++)
    for (size_t j = 0; j < TILE_SIDE; j++) {
      float x[TERM_BLOCK], y[TERM_BLOCK], sum;
      for (size_t t = 0; t < TERM_BLOCK; t++) {
        x[t] = word_half(tile_model[a][i][t / 2], t);
        y[t] = word_half(tile_model[b][t / 2][j], t);
      }
      memcpy(&sum, &tile_model[c][i][j], sizeof sum);
      sum = bf16_block(x, y, sum);
      memcpy(&tile_model[c][i][j], &sum, sizeof sum);
    }
}
#define TILES_BEGIN()            memset(tile_model, 0xff, sizeof tile_model) /* NaN: a tile that nobody set is seen */
#define TILES_END()              memset(tile_model, 0xff, sizeof tile_model)
#define TILE_ZERO(t)             memset(tile_model[t], 0, sizeof tile_model[t])
#define TILE_LOAD(t, from, step) tile_model_move(t, NULL, from, step)
#define TILE_STORE(t, to, step)  tile_model_move(t, to, NULL, step)
#define TILE_DOT(c, a, b)        tile_model_dot(c, a, b)

#endif
#endif

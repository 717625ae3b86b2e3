/* cuda/emulate: a GPU in plain C, for tests: the teams of a launch run one after another on the calling thread, the
 * threads of a team as contexts that change places where they wait. Same sources, same index arithmetic, same order of
 * every sum; slow, and no model of a GPU's memory or speed. */
#ifndef ASSAY_COMPUTE_CUDA_EMULATE_H
#define ASSAY_COMPUTE_CUDA_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the thread that runs now stands. */
struct emulated {
  size_t block_x, block_y, blocks_x, blocks_y;
  int thread, threads;
  size_t shared; /* bytes of the team's shared memory that the launch asked for */
};
extern _Thread_local struct emulated emulated;

/* enter(args) for every thread of the grid. waits: threads of a team may wait for one another; else they run through,
   each in turn, and a wait is a broken invariant. shared: bytes of emulate_room. */
void emulate_launch(void (*enter)(const void *args), const void *args, size_t blocks_x, size_t blocks_y, int threads,
                    bool waits, size_t shared);
void emulate_team_wait(void);
void emulate_lanes_wait(void);
float emulate_lane_read(float x, int lane); /* what `lane` of this warp brought to the same call */
bool emulate_lanes_any(bool x);             /* whether one of the lanes brought true */
void emulate_tile(const uint32_t a[8], const uint32_t b[4], float c[4]); /* kernel.h: tile_multiply */
/* Until a phase is over (hopper.h). All that wait while nobody can go on: a broken invariant. */
void emulate_phase_wait(const uint64_t *phase, uint32_t parity);

/* What the emulator keeps of a thread that launches, zeroed, for good. As variables of its own (_Thread_local) every
   thread of the program would clear them when it begins. */
void *emulate_take(size_t bytes);

/* emulate_hopper.c: hopper.h's words. A team's room is full of NaN when it begins. */
enum { EMULATED_ROOM_MOST = 227 << 10 /* of a team, as on sm_90 */ };
void emulate_room_begin(size_t bytes);
unsigned char *emulate_room(void);
uint32_t emulate_room_at(const void *p);
void emulate_phase_init(uint64_t *phase, int arrivals);
void emulate_phase_arrive(uint64_t *phase, uint32_t bytes); /* bytes: to expect */
bool emulate_phase_over(uint64_t phase, uint32_t parity);
void emulate_bulk_copy(void *to, const void *from, uint32_t bytes, uint64_t *phase);

/* A thread's share of a wide_block. */
struct emulated_wide {
  uint64_t left[2], right[2]; /* descriptors of the two steps */
  bool left_lines, right_lines;
  int groups, steps, rows, live_groups;
  float (*sum)[4];
};
void emulate_wide(const struct emulated_wide *wide); /* done when it is waited for */
void emulate_wide_commit(void);
void emulate_wide_wait(void);
void emulate_wide_end(void); /* of a launch: nothing is under way */

#endif

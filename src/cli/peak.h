/* cli/peak: what the cores can multiply and add at most, measured: the yardstick of `assay doctor` and `assay bench`.
 */
#ifndef ASSAY_CLI_PEAK_H
#define ASSAY_CLI_PEAK_H

#include "compute/backend.h"

/* Seconds. With one thread the processor time of the program, which others on the machine do not disturb; else the time
   of day. */
double peak_clock(const struct device *d);

/* Floating point operations per second (a fused multiply-add is two) of all threads of the device at once, in vectors
   as wide as its instruction set's, on registers alone: the fastest of nine measurements of some 10 ms. In bf16 with
   AMX of its tiles; without it bf16 is computed by the same multiply-adds as f32. 0 where the instruction set has no
   vectors ("ref"). */
double peak_multiply_adds(struct device *d);

/* Bytes per second that all threads of the device read from memory at once, each its own part of 64 MiB: the fastest of
   nine measurements. ERROR_RESOURCE where there is no room for it. */
int peak_reads(struct device *d, double *out, struct error *err) MUST_USE;

#endif

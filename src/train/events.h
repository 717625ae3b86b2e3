/* train/events: a run's metrics as TensorBoard reads them.
 *
 * The file is a sequence of records: length (u64), masked CRC-32C of the length (u32), the bytes, masked CRC-32C of the
 * bytes (u32), all little-endian (TFRecord; masked: rotated right by 15 bits, plus 0xa282ead8). Each holds a protobuf
 * message tensorboard.Event, written by hand: wall_time = 1 (double), step = 2 (varint), file_version = 3 (string, the
 * first record only), summary = 5 {value = 1 {tag = 1, simple_value = 2 (float)}}, session_log = 7 {status = 1}.
 *
 * A restart record (session_log START at step S) makes TensorBoard drop what stood before it at steps >= S: a run that
 * was resumed shows one curve.
 */
#ifndef ASSAY_TRAIN_EVENTS_H
#define ASSAY_TRAIN_EVENTS_H

#include "train/run_folder.h"

/* CRC-32C (Castagnoli; RFC 3720, B.4) of n bytes, as it stands and as records hold it. */
uint32_t events_crc32c(const void *bytes, size_t n);
uint32_t events_masked_crc32c(const void *bytes, size_t n);

/* Appends the record of a new file's head, of a restart before `step`, of a step's numbers. NaN (a number that the step
   does not have) is left out; infinities stay. wall: seconds since 1970. */
void events_put_version(struct text *t, double wall);
void events_put_restart(struct text *t, double wall, int64_t step);
void events_put_metrics(struct text *t, double wall, const struct metrics *m);

/* Bytes of the whole and sound records at the beginning: what a kill cut short is not counted. */
size_t events_sound_prefix(const void *bytes, size_t n);

/* The run's event file: events.out.tfevents.<seconds>.assay. With resume the newest is cut behind its last sound record
   and gets a restart record before the steps that come, from `next`; where there is none a new one begins. */
int events_open(struct arena *a, const char *folder, bool resume, int64_t next, const char **path,
                struct error *err) MUST_USE;
int events_append(const char *path, const struct metrics *m, struct error *err) MUST_USE;

#endif

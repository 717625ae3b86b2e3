/* train/run_folder: the files of a run (CONTRACT.md, "A run folder"): one writer at a time, nothing half-written, cut
 * back on resume. */
#ifndef ASSAY_TRAIN_RUN_FOLDER_H
#define ASSAY_TRAIN_RUN_FOLDER_H

#include "core/file.h"
#include "core/json.h"

struct run_folder {
  const char *path;
  struct arena *arena;
  int lock; /* held until the arena resets */
};

/* Makes the folder (resume: expects it) and takes its lock. ERROR_INPUT: it holds a run already, it is not there on
   resume, another process writes it, this user may not; ERROR_RESOURCE: the disk is full. */
int run_folder_open(struct arena *a, const char *path, bool resume, struct run_folder **out,
                    struct error *err) MUST_USE;
/* The first of these errors, before anything is made: for callers that have much to do until they open it. */
int run_folder_check_new(struct arena *a, const char *path, struct error *err) MUST_USE;
/* A path for a run without a name: runs/<recipe>-<n>, the first n that is free. */
int run_folder_next(struct arena *a, const char *recipe_path, char **out, struct error *err) MUST_USE;
/* metrics.jsonl, rollouts/ and evaluations/ as they were after `step`. */
int run_folder_cut_back(struct run_folder *r, int64_t step, struct error *err) MUST_USE;
int run_folder_cut_metrics(struct run_folder *r, int64_t step, struct error *err) MUST_USE; /* metrics.jsonl alone */
int run_folder_append_metrics(struct run_folder *r, const char *line, size_t n, struct error *err) MUST_USE;
/* PART/STEP.jsonl.zst, piece by piece: each piece is a frame of its own; visible after file_writer_commit. The writer
   lives in arena a. part: "rollouts", "evaluations". */
int run_folder_open_lines(const struct run_folder *r, struct arena *a, const char *part, int64_t step,
                          struct file_writer **out, struct error *err) MUST_USE;
int run_folder_add_lines(struct arena *a, struct file_writer *w, const char *lines, size_t n,
                         struct error *err) MUST_USE;
/* rollouts/STEP.jsonl.zst in one piece. */
int run_folder_write_rollouts(struct run_folder *r, int64_t step, const char *lines, size_t n,
                              struct error *err) MUST_USE;

/* The numbers of one step, in order of first mention. */
enum { METRICS_MOST = 256 };
struct metrics {
  int count;
  struct {
    char name[64];
    double value;
    bool whole; /* printed as an integer */
  } rows[METRICS_MOST];
};
void metrics_set(struct metrics *m, const char *name, double value);
void metrics_set_int(struct metrics *m, const char *name, int64_t value);
double metrics_get(const struct metrics *m, const char *name);      /* NaN if absent */
void metrics_write_line(const struct metrics *m, struct text *out); /* {"step":1,...}\n */

#endif

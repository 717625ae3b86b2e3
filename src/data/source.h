/* data/source: where problems come from: a problem file (JSON Lines, .gz or .zst too) or a procedural task.
 *
 * A file's line is {id?, question | prompt | messages, answer, ...}. `messages` stands before `prompt`, `prompt` (plain
 * text, no template) before `question` (one user message). The recipe may map other names onto these (fields), put a
 * system message in front and a suffix behind the question. Answers that are numbers are kept as text. Everything else
 * in the line stays with the problem. Blank lines are skipped; a broken line, a file without a problem and an id that
 * occurs twice are errors that name FILE:LINE.
 *
 * A source of a file, and of a task with few problems, is a list: problem i of `count`. A task without end has count 0
 * and any index.
 */
#ifndef ASSAY_DATA_SOURCE_H
#define ASSAY_DATA_SOURCE_H

#include "core/yaml.h"
#include "data/problem.h"
#include "data/task.h"

enum source_split { SPLIT_ALL, SPLIT_TRAIN, SPLIT_HELD_OUT };

struct source_field {
  const char *to;   /* "question" */
  const char *from; /* a field's name, or a text with fields in braces: "{Body}. {Question}" */
};

struct source_options {
  const char *path;                     /* a file, or NULL */
  const char *task;                     /* a task's name, or NULL */
  const struct setting_given *settings; /* the task's keys */
  size_t setting_count;
  const char *verifier;                          /* kind, or NULL: the line's own `verifier`; tasks: "task" */
  const struct setting_given *verifier_settings; /* `verifier: {math: {ordered: true}}` */
  size_t verifier_setting_count;
  double weight;           /* > 0, share in a mixture */
  enum source_split split; /* files: ALL unless asked otherwise; tasks: TRAIN or HELD_OUT */
  double held_out;         /* files with a split: fraction held out, by a hash of the prompt */
  const struct source_field *fields;
  size_t field_count;
  const char *system; /* NULL: none */
  const char *suffix; /* NULL: none */
  const char *file;   /* where the entry stands in a recipe, or NULL */
  int line;
};

/* An entry of a recipe's data list: {path | task, weight, verifier, split, held_out, fields, system, suffix}; a task's
   own keys stand beside them. Or just "FILE" or "task:NAME,key=value,...". split is what tasks get without a `split` of
   their own. */
int source_options_from_yaml(struct arena *a, const struct yaml_node *entry, enum source_split split,
                             struct source_options *out, struct error *err) MUST_USE;
int source_options_from_text(struct arena *a, const char *text, enum source_split split, struct source_options *out,
                             struct error *err) MUST_USE;

struct source;
/* index: the entry's place in the list (problem.source_index). Reads a file whole. */
int source_open(struct arena *a, const struct source_options *o, int index, uint64_t seed, struct source **out,
                struct error *err) MUST_USE;
uint64_t source_count(const struct source *s); /* 0: endless */
double source_weight(const struct source *s);
const char *source_name(const struct source *s); /* path or "task:NAME" */
/* Problem i. A task's problem is made in arena a; a file's lives as long as the source. */
int source_problem(const struct source *s, struct arena *a, uint64_t i, struct problem *out,
                   struct error *err) MUST_USE;

/* A whole `data:` value: one entry or a list of them. */
struct source_list {
  struct source **items;
  size_t count;
};
int source_list_open(struct arena *a, const struct yaml_node *data, enum source_split split, uint64_t seed,
                     struct source_list *out, struct error *err) MUST_USE;

/* A problem from one object, by the rules above; o may be NULL (no mapping). object belongs to arena a and is changed
   by the mapping. Used for lines of `assay verify` and `eval` too. */
int problem_from_object(struct arena *a, json_t *object, const struct source_options *o, const char *file, int line,
                        struct problem *out, struct error *err) MUST_USE;

/* The text of a value, in arena a: a number as its shortest spelling, lists and objects as JSON. NULL (and no error)
 * where it is absent or null. */
int problem_value_text(struct arena *a, const json_t *v, const char **out, struct error *err) MUST_USE;

#endif

/* cli/task_page: what a task is, for readers: the list of tasks, one task with samples on a terminal, and docs/tasks.md
 * (all tasks, made by `assay tasks --markdown`).
 */
#ifndef ASSAY_CLI_TASK_PAGE_H
#define ASSAY_CLI_TASK_PAGE_H

#include "data/problem.h"
#include "data/task.h"

/* One line a task. */
void task_put_list(struct text *t, bool colour);
/* {"name", "help", "right", "keys": [{"key", "default", "help"}]} and a newline. */
void task_put_json(struct text *t, const struct task *task);

/* The head of a task's page: what it is, what a right answer looks like, its keys. */
void task_put_page(struct text *t, const struct task *task, bool colour);
/* Sample `number` (from 1): the question and the answer. */
void task_put_sample(struct text *t, const struct problem *p, int64_t number, bool colour);

/* docs/tasks.md. The sample of a task is the shortest of its first problems under seed 1. */
int task_put_markdown(struct arena *a, struct text *t, struct error *err) MUST_USE;

#endif

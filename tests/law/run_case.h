/* run_case: whole runs on a small random model, in a folder of their own, and the two hashes that they end with. */
#ifndef ASSAY_TESTS_LAW_RUN_CASE_H
#define ASSAY_TESTS_LAW_RUN_CASE_H

#include "check.h"

#include "core/file.h"
#include "core/log.h"
#include "tiny_model.h"
#include "train/run.h"

#include <stdlib.h>

static char folder[64];
static const char *lora = ""; /* of all runs: a line of their recipe */
static CHECK_UNUSED const char LORA[] = "lora: {rank: 4, alpha: 8}\n";

struct run_case {
  const char *name;    /* the run's folder in `folder` */
  const char *methods; /* of the recipe; NULL: left to `recipe` */
  const char *recipe;  /* all lines behind model and methods */
  const char *const *overrides;
  size_t count;
  int threads; /* 0: 1 */
  bool resume, sft;
  const char *compute; /* NULL: as the recipe says */
  bool (*stop)(void);
  const struct run_hooks *hooks;
};

struct result {
  int rc;
  struct error err;
  char weights[65], state[65];
};

static CHECK_UNUSED void write_recipe(struct arena *a, const char *path, const struct run_case *c)
{
  struct error err = {0};
  struct file_writer *w;
  CHECK_OK(file_writer_open(a, path, &w, &err), &err);
  CHECK_OK(file_writer_printf(w, &err, "model: random:%s/model\n", folder), &err);
  if (c->methods) CHECK_OK(file_writer_printf(w, &err, "methods: %s\n", c->methods), &err);
  CHECK_OK(file_writer_printf(w, &err, "%s%s", lora, c->recipe), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static CHECK_UNUSED struct result run_case(const struct run_case *c)
{
  struct result out = {0};
  struct arena *a = arena_create("run", 0, &out.err);
  char recipe[128], path[128];
  struct run *r;
  snprintf(recipe, sizeof recipe, "%s/recipe.yaml", folder);
  snprintf(path, sizeof path, "%s/%s", folder, c->name);
  write_recipe(a, recipe, c);
  struct run_options o = {.recipe = recipe,
                          .sft = c->sft,
                          .overrides = c->overrides,
                          .override_count = c->count,
                          .folder = path,
                          .resume = c->resume,
                          .threads = c->threads ? c->threads : 1,
                          .seed = -1,
                          .compute = c->compute,
                          .stop = c->stop,
                          .hooks = c->hooks};
  out.rc = run_open(a, &o, &r, &out.err);
  if (!out.rc) out.rc = run_train(r, &out.err);
  if (!out.rc) {
    memcpy(out.weights, run_weights_hash(r), 65);
    memcpy(out.state, run_state_hash(r), 65);
  }
  arena_destroy(a);
  return out;
}

/* For cmocka: the folder with the model in it. */
static CHECK_UNUSED int make_folder(void **state)
{
  char model[80];
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-law-XXXXXX");
  log_set_quiet(true);
  if (!mkdtemp(folder)) return -1;
  snprintf(model, sizeof model, "%s/model", folder);
  return tiny_model_write(model);
}

static CHECK_UNUSED int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

#endif

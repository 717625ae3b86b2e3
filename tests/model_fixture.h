/* What the tests of model files share: a device, folders for fixtures and for what a test writes, loading in one call.
 */
#ifndef ASSAY_TESTS_MODEL_FIXTURE_H
#define ASSAY_TESTS_MODEL_FIXTURE_H

#include <stdlib.h>

#include "check.h"
#include "core/file.h"
#include "model/open.h"

static struct device *test_device;
static struct arena *test_arena; /* reset by each test that fills it */

static CHECK_UNUSED int fixture_setup(void **state)
{
  (void)state;
  struct error err = {0};
  struct device_options options = {.kind = "cpu", .threads = 1};
  CHECK_OK(device_open(&options, &test_device, &err), &err);
  test_arena = arena_create("test", 0, &err);
  return test_arena ? 0 : -1;
}

static CHECK_UNUSED int fixture_teardown(void **state)
{
  (void)state;
  arena_destroy(test_arena);
  device_close(test_device);
  return 0;
}

static CHECK_UNUSED const char *fixture_path(const char *name)
{
  struct error err = {0};
  const char *folder = getenv("ASSAY_FIXTURES");
  const char *path = path_join(test_arena, folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures", name, &err);
  CHECK(path != NULL);
  return path;
}

/* For main: 77 (skipped) where the folder is not there. */
static CHECK_UNUSED bool fixtures_absent(const char *what)
{
  const char *folder = getenv("ASSAY_FIXTURES");
  if (file_is_folder(folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures")) return false;
  printf("%s: skipped, ASSAY_FIXTURES names no folder and ../shared/fixtures is absent\n", what);
  return true;
}

/* An empty folder of this name among the build's files. */
static CHECK_UNUSED const char *fresh_folder(const char *name)
{
  struct error err = {0};
  const char *path = path_join(test_arena, ASSAY_BUILD_DIR "/test-files", name, &err);
  CHECK(path != NULL);
  if (file_is_folder(path)) CHECK_OK(file_remove_tree(path, &err), &err);
  CHECK_OK(file_make_folder(path, &err), &err);
  return path;
}

static CHECK_UNUSED int load_model(const char *path, struct model_source *source, struct model **out, struct error *err)
{
  struct model_config config;
  TRY(model_source_open(test_arena, path, source, &config, err));
  return model_load(test_arena, test_device, source, &config, 1, out, err);
}

#endif

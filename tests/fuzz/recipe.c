/* links: train
 * A recipe that reads must resolve or be refused; what is written of it must read back to the same recipe. */
#include <stdint.h>
#include <stdlib.h>

#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
  if (!holds) abort();
}

static void check_recipe(struct arena *a, enum recipe_kind kind, const char *text, size_t size)
{
  struct error err = {0};
  struct recipe *first, *again;
  struct composed *set;
  struct text out = {0};
  struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 1};
  if (recipe_read_text(a, text, size, "fuzz.yaml", kind, NULL, 0, &first, &err)) {
    require(err.code == ERROR_INPUT && err.message[0]);
    return;
  }
  int rc = compose_open(a, first->methods, first->method_count, &o, &set, &err);
  require(rc == 0 || rc == ERROR_INPUT);
  if (rc == 0) {
    require(recipe_write(first, set, &out, &err) == 0);
    require(recipe_read_text(a, out.bytes, out.size, "written.yaml", kind, NULL, 0, &again, &err) == 0);
    require(recipe_check_resume(first, again, &err) == 0);
  }
  text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct arena *a = arena_create("fuzz", 0, NULL);
  if (!a) return 0;
  check_recipe(a, RECIPE_TRAIN, (const char *)bytes, size);
  arena_reset(a);
  check_recipe(a, RECIPE_SFT, (const char *)bytes, size);
  arena_destroy(a);
  return 0;
}

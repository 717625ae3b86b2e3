/* links: rollout. Greedy answers of SmolLM2-135M-Instruct are the fixture's 48 tokens for all six chats (up to the end
   token, behind which the fixture went on): template, tokenizer, GGUF, forward and sampler at once. ASSAY_SMOLLM2 names
   the GGUF file (tools/get-smollm2.sh). */
#include "check.h"

#include "core/file.h"
#include "rollout/generate.h"
#include "rollout/session.h"

#include <stdlib.h>

enum { CHATS = 6, NEW = 48 };

static void make_job(const struct session *s, struct tree *t, const json_t *chat, struct generate_job *job,
                     int32_t *leaf, enum finish *finish)
{
  struct error err = {0};
  struct token_list ids = {0};
  int32_t segment;
  CHECK_OK(session_prompt_ids(s, NULL, json_object_get(chat, "messages"), NULL, &ids, &err), &err);
  const json_t *want = json_object_get(chat, "prompt_ids");
  CHECK_INT(ids.count, json_array_size(want));
  for (size_t i = 0; i < ids.count; i++) CHECK_INT(ids.ids[i], json_integer_value(json_array_get(want, i)));
  CHECK_OK(tree_add_segment(t, -1, SEGMENT_PROMPT, (int32_t)ids.count, &segment, &err), &err);
  CHECK_OK(tree_append_ids(t, segment, ids.ids, (int32_t)ids.count, 0, &err), &err);
  *job = (struct generate_job){
      .segment = segment, .count = 1, .max_new_tokens = NEW, .sampling = {.top_p = 1}, .leaf = leaf, .finish = finish};
  token_list_free(&ids);
}

static void test_greedy_tokens(void **state)
{
  const char *folder = getenv("ASSAY_FIXTURES"), *path = getenv("ASSAY_SMOLLM2");
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char *file = arena_printf(a, "test", &err, "%s/models/smollm2-135m/prompts.json",
                            folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures");
  (void)state;
  if (!path || !file_exists(file)) {
    printf("skipped: %s\n", path ? "no fixtures" : "ASSAY_SMOLLM2 is not set");
    arena_destroy(a);
    skip();
  }
  json_t *all;
  struct session s;
  struct generator *g;
  struct tree *t;
  struct generate_job jobs[CHATS];
  int32_t leaves[CHATS];
  enum finish finishes[CHATS];
  struct generate_options o = {.slots = CHATS, .prefill_rows = 512, .max_group = 1, .max_path = 256, .kv_block = 32};
  CHECK_OK(json_parse_file(a, file, &all, &err), &err);
  if (json_is_object(all)) all = json_object_get(all, "prompts");
  CHECK_INT(json_array_size(all), CHATS);
  CHECK_OK(session_open(a, &(struct session_options){.model = path, .threads = 2}, &s, &err), &err);
  CHECK_OK(session_load(&s, o.max_path, &err), &err);
  CHECK_OK(generator_create(a, s.model, s.tokenizer, s.end_ids, s.end_id_count, &o, &g, &err), &err);
  CHECK_OK(tree_create(a, &t, &err), &err);
  for (int i = 0; i < CHATS; i++) make_job(&s, t, json_array_get(all, (size_t)i), &jobs[i], &leaves[i], &finishes[i]);
  CHECK_OK(generator_run(g, t, jobs, CHATS, 1, 0, NULL, NULL, &err), &err);
  for (int i = 0; i < CHATS; i++) {
    const json_t *want = json_object_get(json_array_get(all, (size_t)i), "continuation_ids");
    const struct segment *leaf = &t->segments[leaves[i]];
    CHECK(leaf->count == NEW || finishes[i] == FINISH_STOP);
    for (int32_t k = 0; k < leaf->count; k++)
      CHECK_INT(leaf->tokens[k].id, json_integer_value(json_array_get(want, (size_t)k)));
  }
  arena_destroy(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_greedy_tokens)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

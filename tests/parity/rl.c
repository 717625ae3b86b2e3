/* What verl, TRL and OpenRLHF themselves returned (ASSAY_FIXTURES/rl, any folder of that layout): every file whose
 * function `assay calc` computes, case by case, to 1e-6 of the largest entry. */
#include "parity/calc_compare.h"

/* fixtures/rl/README.md: the frameworks drop to float32 by themselves in many places */
static const struct tolerance tolerance = {1e-6, 1e-12, "the frameworks drop to float32 by themselves"};

/* FRAMEWORK/FUNCTION that must be there and must be computed. */
static const char *const required[] = {
    "openrlhf/advantages",
    "openrlhf/dpo",
    "openrlhf/kl",
    "openrlhf/overlong_penalty",
    "openrlhf/policy_loss",
    "openrlhf/value_loss",
    "trl/dpo",
    "trl/gmpo",
    "trl/grpo_advantages",
    "trl/grpo_bnpo",
    "trl/grpo_cispo",
    "trl/grpo_dapo",
    "trl/grpo_dr_grpo",
    "trl/grpo_grpo",
    "trl/grpo_luspo",
    "trl/grpo_sapo",
    "trl/grpo_vespo",
    "trl/high_entropy_mask",
    "trl/rloo_advantages",
    "trl/rloo_loss",
    "trl/sampler_ratio",
    "trl/sdpo",
    "verl/adv_gae",
    "verl/adv_gdpo",
    "verl/adv_gpg",
    "verl/adv_grpo",
    "verl/adv_grpo_passk",
    "verl/adv_grpo_vectorized",
    "verl/adv_opo",
    "verl/adv_optimal_token_baseline",
    "verl/adv_reinforce_plus_plus",
    "verl/adv_reinforce_plus_plus_baseline",
    "verl/adv_remax",
    "verl/adv_rloo",
    "verl/adv_rloo_vectorized",
    "verl/adv_tir_optimal_token_baseline",
    "verl/agg_loss",
    "verl/entropy_loss",
    "verl/kl_controller",
    "verl/kl_penalty",
    "verl/loss_bypass_mode",
    "verl/loss_cispo",
    "verl/loss_clip_cov",
    "verl/loss_dppo_kl",
    "verl/loss_dppo_tv",
    "verl/loss_dro",
    "verl/loss_geo_mean",
    "verl/loss_gpg",
    "verl/loss_gspo",
    "verl/loss_kl_cov",
    "verl/loss_sapo",
    "verl/loss_vanilla",
    "verl/old_adv_grpo_vectorized",
    "verl/old_adv_reinforce_plus_plus",
    "verl/old_agg_loss",
    "verl/pf_ppo_weights",
    "verl/rewards_with_kl",
    "verl/rollout_correction",
    "verl/value_loss",
};
enum { REQUIRED = sizeof required / sizeof *required };

/* At most five. */
static const struct refusal refusals[] = {{NULL, NULL, NULL}};

static const char *const frameworks[] = {"verl", "trl", "openrlhf"};

static struct {
  int files, not_computed, cases, equal, wrong;
  bool seen[REQUIRED];
} count;

/* "returns": "advantages" means that the two are equal. */
static const json_t *named(const json_t *part, const json_t *v)
{
  const json_t *other = json_is_string(v) ? json_object_get(part, json_string_value(v)) : NULL;
  return other ? other : v;
}

static bool near(const json_t *got, const json_t *want)
{
  double allowed = tolerance.share * largest_of(want);
  return same(got, want, allowed > tolerance.floor ? allowed : tolerance.floor);
}

/* An object (metrics) is compared member by member, each to its own size. */
static bool agrees(const json_t *got, const json_t *want)
{
  const json_t *x;
  const char *key;
  bool all = true;
  if (!json_is_object(want)) return near(got, want);
  json_object_foreach((json_t *)(uintptr_t)want, key, x) all = all && near(json_object_get(got, key), x);
  return all;
}

static bool compare(const char *file, const json_t *got, const json_t *want, const char *part)
{
  const json_t *v, *mine = json_object_get(got, part), *theirs = json_object_get(want, part);
  const char *key;
  bool all = true;
  json_object_foreach((json_t *)(uintptr_t)theirs, key, v)
  {
    const json_t *a = named(mine, json_object_get(mine, key)), *b = named(theirs, v);
    if (agrees(a, b)) continue;
    char *g = shown(a), *w = shown(b);
    if (all)
      print_message("%s: %s: %s.%s\n  got  %s\n  want %s\n", file, json_string_value(json_object_get(want, "case")),
                    part, key, g ? g : "nothing", w);
    free(g);
    free(w);
    all = false;
  }
  return all;
}

/* Law 3: rewards that are all equal give exactly 0, whatever a mean in float32 leaves over. */
static bool exactly_nothing(const json_t *got)
{
  const json_t *advantages = json_object_get(json_object_get(got, "outputs"), "advantages");
  return json_is_array(advantages) && largest_of(advantages) == 0;
}

static void check_case(const char *file, const json_t *got, const json_t *want)
{
  const char *label = json_string_value(json_object_get(want, "case"));
  const json_t *raises = json_object_get(got, "raises");
  if (find_refusal(refusals, file, label)) return;
  count.cases++;
  if (!raises != !json_object_get(want, "raises")) {
    print_message("%s: %s: %s\n", file, label, raises ? json_string_value(raises) : "was not refused");
    count.wrong++;
  } else if (!strncmp(label, "equal_", 6)) {
    count.equal++;
    if (!exactly_nothing(got)) print_message("%s: %s: not exactly 0\n", file, label);
    count.wrong += !exactly_nothing(got);
  } else if (!raises) {
    bool outputs = compare(file, got, want, "outputs"), grads = compare(file, got, want, "grads");
    count.wrong += !outputs || !grads;
  }
}

static void check_file(const char *path, const char *framework, const char *name)
{
  struct error err = {0};
  json_t *document, *result, *c;
  size_t i;
  char label[256];
  struct arena *a = arena_create("test", 0, &err);
  CHECK_OK(json_parse_file(a, path, &document, &err), &err);
  const char *function = json_string_value(json_object_get(document, "function"));
  CHECK(function != NULL);
  count.files++;
  snprintf(label, sizeof label, "%s/%s", framework, function);
  for (int k = 0; k < REQUIRED; k++) count.seen[k] = count.seen[k] || !strcmp(required[k], label);
  if (calc_find_for(a, document, NULL)) {
    CHECK_OK(calc_run(a, document, path, NULL, NULL, &result, &err), &err);
    json_array_foreach(json_object_get(document, "cases"), i, c)
        check_case(name, json_array_get(json_object_get(result, "cases"), i), c);
  } else {
    count.not_computed++;
    print_message("not computed: %s\n", label);
    for (int k = 0; k < REQUIRED; k++) CHECK(strcmp(required[k], label) != 0);
  }
  arena_destroy(a);
}

static void check_framework(const char *root, const char *framework)
{
  enum { MOST = 256 };
  char path[1100], *names[MOST];
  int n = 0;
  snprintf(path, sizeof path, "%s/%s", root, framework);
  DIR *d = opendir(path);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d)) && n < MOST;)
    if (strlen(e->d_name) > 5 && !strcmp(e->d_name + strlen(e->d_name) - 5, ".json")) names[n++] = strdup(e->d_name);
  closedir(d);
  qsort(names, (size_t)n, sizeof *names, by_name);
  for (int i = 0; i < n; i++) {
    char file[2048], label[512];
    snprintf(file, sizeof file, "%s/%s", path, names[i]);
    snprintf(label, sizeof label, "%s/%s", framework, names[i]);
    check_file(file, framework, label);
    free(names[i]);
  }
}

static void test_rl(void **state)
{
  (void)state;
  char root[1024];
  const char *given = getenv("ASSAY_FIXTURES");
  snprintf(root, sizeof root, "%s/rl", given ? given : ASSAY_SOURCE_DIR "/../shared/fixtures");
  for (size_t i = 0; i < sizeof frameworks / sizeof *frameworks; i++) check_framework(root, frameworks[i]);
  if (!count.files) {
    print_message("skipped: %s is not there\n", root);
    return;
  }
  print_message("rl: %d files, %d not computed, %d cases, %d of them equal rewards, %d wrong\n", count.files,
                count.not_computed, count.cases, count.equal, count.wrong);
  CHECK_INT(count.wrong, 0);
  CHECK(sizeof refusals / sizeof *refusals - 1 <= 5);
  for (int i = 0; i < REQUIRED; i++) {
    if (!count.seen[i]) print_message("no file has %s\n", required[i]);
    /* What older versions of verl returned needs a checkout of theirs: other seeds may come without it. */
    CHECK(count.seen[i] || !strncmp(required[i], "verl/old_", 9));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rl)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

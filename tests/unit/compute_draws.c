/* Draws in two halves: up to two are under way and come back in their order, and the embedding takes tokens of the last
 * one from the device, beside tokens that the host knows. On every kind of device, in every compute type. */
#include "compute_fixture.h"

enum { VOCAB = 200, C = 32, ROWS = 5 };

static void check_draws(struct rig *rig)
{
  struct error err = {0};
  struct weight *w = rig_weight(rig, VOCAB, C, rig_noise(rig, 1, (size_t)VOCAB * C, 1));
  struct view hidden = rig_view(rig, rig_noise(rig, 2, (size_t)ROWS * C, 1), (size_t)ROWS * C),
              scratch = rig_zeros(rig, (size_t)ROWS * VOCAB), y = rig_zeros(rig, (size_t)ROWS * C);
  struct sample_params params[2][ROWS];
  struct sample_result want[2][ROWS], got[2][ROWS];
  CHECK_OK(device_reserve_draws(rig->d, ROWS, &err), &err);
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < ROWS; i++)
      params[k][i] = (struct sample_params){
          .temperature = 1, .top_p = 1, .forced = i == 3 ? 150 + k : -1, .uniform = (i + 0.5 * k) / ROWS};
    rig->ops->head_sample(rig->d, w, 1, ROWS, hidden, scratch, params[k], want[k]);
  }
  CHECK_INT(device_draws(rig->d), 0);
  rig->ops->sample_start(rig->d, w, 1, 2, hidden, scratch, params[0]);
  rig->ops->sample_start(rig->d, w, 1, ROWS, hidden, scratch, params[1]);
  const int32_t tokens[ROWS] = {~4, 7, ~0, VOCAB - 1, ~3};
  rig->ops->embed(rig->d, w, ROWS, tokens, y);
  CHECK_INT(device_draws(rig->d), 2);
  rig->ops->sample_take(rig->d, got[0]);
  CHECK_BITS(got[0], want[0], 2 * sizeof *got[0]);
  rig->ops->sample_take(rig->d, got[1]);
  CHECK_BITS(got[1], want[1], sizeof got[1]);
  CHECK_INT(device_draws(rig->d), 0);

  const double *read = rig_read(rig, y, (size_t)ROWS * C);
  const int32_t known[ROWS] = {got[1][4].id, 7, got[1][0].id, VOCAB - 1, 151};
  rig->ops->embed(rig->d, w, ROWS, known, y);
  CHECK_BITS(rig_read(rig, y, (size_t)ROWS * C), read, (size_t)ROWS * C * sizeof *read);

  // one that nobody wants, and one behind it with more rows than there was room for
  rig->ops->sample_start(rig->d, w, 1, 1, hidden, scratch, params[0]);
  rig->ops->sample_take(rig->d, NULL);
  CHECK_OK(device_reserve_draws(rig->d, 100 * ROWS, &err), &err);
  rig->ops->sample_start(rig->d, w, 1, ROWS, hidden, scratch, params[0]);
  rig->ops->sample_take(rig->d, got[0]);
  CHECK_BITS(got[0], want[0], sizeof got[0]);
}

static void test_draws_in_two_halves(void **state)
{
  (void)state;
  static const char *const kinds[] = {"cpu", "reference64", "cuda-emulated"};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    for (int isa = 0; isa < (k ? 1 : ISA_COUNT); isa++)
      for (enum compute_type type = COMPUTE_F32; type <= (k == 1 ? COMPUTE_F32 : COMPUTE_BF16); type++) {
        struct rig rig;
        if (!rig_open_type(&rig, kinds[k], k ? NULL : isa_names[isa], 2, type)) continue;
        check_draws(&rig);
        rig_close(&rig);
      }
}

/* Where memory is not the host's it pays to go on before results are looked at. */
static void test_who_runs_ahead(void **state)
{
  (void)state;
  struct rig rig;
  CHECK(rig_open(&rig, "cpu", NULL, 1));
  CHECK(!device_runs_ahead(rig.d));
  rig_close(&rig);
  CHECK(rig_open(&rig, "cuda-emulated", NULL, 1));
  CHECK(device_runs_ahead(rig.d));
  rig_close(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_draws_in_two_halves), cmocka_unit_test(test_who_runs_ahead)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

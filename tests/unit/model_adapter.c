/* Adapters: PEFT folders written and read, one base seen by several models, folding and unfolding, hashes, and folders
   that are refused. */
#include "model_fixture.h"

#include "core/json.h"
#include "core/math.h"
#include "core/rng.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "tiny_model.h"

static struct model_config config;
static struct model_source source;

static struct model *new_model(struct adapter_config adapter, uint64_t seed)
{
  struct error err = {0};
  struct model *m;
  const char *folder = fresh_folder("adapter-base");
  CHECK(tiny_model_write(folder) == 0);
  CHECK_OK(model_source_open(test_arena, folder, &source, &config, &err), &err);
  config.adapter = adapter;
  CHECK_OK(model_create(test_arena, test_device, &config, 16, &m, &err), &err);
  CHECK_OK(model_randomise(m, 4, &err), &err);
  if (adapter.rank) CHECK_OK(adapter_randomise(m, seed, &err), &err);
  return m;
}

/* B away from zero. */
static void fill_b(struct model *m)
{
  for (size_t i = 0; i < m->trained_count; i++) {
    struct weight *w = m->trained[i];
    float row[64];
    CHECK(weight_cols(w) <= 64);
    for (size_t r = 0; adapter_is_b(w) && r < weight_rows(w); r++) {
      for (size_t k = 0; k < weight_cols(w); k++) {
        const struct rng_at at = {
            .purpose = RNG_TEST, .group = (uint32_t)i, .rollout = (uint32_t)r, .position = (uint32_t)k};
        row[k] = (float)(0.01 * rng_normal(3, &at));
      }
      weight_write(w, WEIGHT_MASTER, r, 1, row, HOST_F32);
    }
  }
}

static float *values_of(const struct weight *w)
{
  struct error err = {0};
  float *x = ARENA_NEW(test_arena, float, weight_rows(w) * weight_cols(w), "test", &err);
  CHECK(x != NULL);
  weight_read(w, WEIGHT_MASTER, 0, weight_rows(w), x, HOST_F32);
  return x;
}

static const struct adapter_config ALL = {.rank = 3, .alpha = 6, .targets = 127};

/* ---- a start --------------------------------------------------------------------------------- */

static void test_a_start_counts_nothing_and_spans_the_inputs(void **state)
{
  (void)state;
  static const struct adapter_config cases[] = {{.rank = 3, .alpha = 6, .targets = 127},
                                                {.rank = 4, .alpha = 6, .targets = 127, .init = ADAPTER_GAUSSIAN}};
  for (size_t c = 0; c < 2; c++) {
    const struct model *m = new_model(cases[c], 9);
    double sum = 0, most = 0;
    size_t n = 0;
    CHECK_INT(m->trained_count, 2 * 7 * 2);
    for (size_t i = 0; i < m->trained_count; i++) {
      const struct weight *w = m->trained[i];
      const float *x = values_of(w);
      double bound = 1 / math_sqrt((double)weight_cols(w));
      for (size_t k = 0; k < weight_rows(w) * weight_cols(w); k++) {
        if (adapter_is_b(w)) CHECK(x[k] == 0);
        if (adapter_is_b(w)) continue;
        sum += (double)x[k] * (double)x[k] / (bound * bound);
        n++;
        double size = math_abs((double)x[k]) / bound;
        most = size > most ? size : most;
      }
    }
    if (c == 0) CHECK(most <= 1 && most > 0.98);
    // a uniform number's square is 1/3 of the bound's; a normal one's is 1 / rank^2, bounds of widths 32 and 64
    if (c == 0) CHECK_CLOSE(sum / (double)n, 1 / 3.0, 0.03, "four standard deviations of some 1500 squares");
    if (c == 1) CHECK(sum / (double)n > 32 / 16.0 * 0.8 && sum / (double)n < 64 / 16.0 * 1.2);
  }
  // the draw of a product does not depend on which others have an adapter
  struct adapter_config one = ALL;
  one.targets = 1u << ADAPTER_UP;
  const struct model *all = new_model(ALL, 9), *few = new_model(one, 9);
  CHECK_INT(few->trained_count, 4);
  for (size_t i = 0; i < few->trained_count; i++) {
    const struct weight *w = few->trained[i], *same = model_find(all, weight_name(w));
    CHECK_BITS(values_of(w), values_of(same), weight_rows(w) * weight_cols(w) * sizeof(float));
  }
}

/* ---- folders --------------------------------------------------------------------------------- */

static void test_a_folder_comes_back_to_the_bit(void **state)
{
  (void)state;
  struct error err = {0};
  struct adapter_config rs = {.rank = 5, .alpha = 2.5, .rslora = true, .targets = 1u << ADAPTER_Q | 1u << ADAPTER_DOWN};
  const struct adapter_config cases[] = {ALL, rs};
  for (size_t c = 0; c < 2; c++) {
    struct model *m = new_model(cases[c], 7);
    fill_b(m);
    const char *folder = fresh_folder("adapter-saved");
    char want[65], got[65];
    struct model_source back;
    struct model_config read;
    struct model *again;
    CHECK_OK(model_save(m, &source, folder, SAVE_F32, &err), &err);
    CHECK(adapter_folder_is(folder));
    CHECK(file_exists(path_join(test_arena, folder, "tokenizer.json", &err)));
    CHECK(!file_exists(path_join(test_arena, folder, "config.json", &err)));
    CHECK_OK(model_source_open(test_arena, folder, &back, &read, &err), &err);
    CHECK_STR(back.folder, source.folder);
    CHECK_STR(back.adapter, folder);
    CHECK_INT(read.adapter.rank, cases[c].rank);
    CHECK(read.adapter.alpha == cases[c].alpha && read.adapter.rslora == cases[c].rslora);
    CHECK_INT(read.adapter.targets, cases[c].targets);
    CHECK_OK(model_create(test_arena, test_device, &read, 16, &again, &err), &err);
    CHECK_OK(adapter_load(again, folder, &err), &err);
    CHECK_OK(model_hash(m, want, &err), &err);
    CHECK_OK(model_hash(again, got, &err), &err);
    CHECK_STR(got, want);
    for (size_t i = 0; i < m->trained_count; i++)
      CHECK_BITS(values_of(again->trained[i]), values_of(m->trained[i]),
                 weight_rows(m->trained[i]) * weight_cols(m->trained[i]) * sizeof(float));
    // the hash is of the adapter: the base moves none of it, a number of the adapter does
    float one = 1;
    weight_write(again->embed, WEIGHT_MASTER, 0, 1, values_of(m->norm), HOST_F32);
    CHECK_OK(model_hash(again, got, &err), &err);
    CHECK_STR(got, want);
    float *row = values_of(again->trained[0]);
    row[0] += one;
    weight_write(again->trained[0], WEIGHT_MASTER, 0, 1, row, HOST_F32);
    CHECK_OK(model_hash(again, got, &err), &err);
    CHECK(strcmp(got, want) != 0);
  }
}

static const char GOOD[] =
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, \"target_modules\": [\"q_proj\"], "
    "\"base_model_name_or_path\": \"nowhere/at-all\", \"bias\": \"none\"";

static void write_config(const char *folder, const char *more)
{
  struct error err = {0};
  struct file_writer *w;
  CHECK_OK(file_writer_open(test_arena, path_join(test_arena, folder, "adapter_config.json", &err), &w, &err), &err);
  CHECK_OK(file_writer_printf(w, &err, "%s%s}", GOOD, more), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static void test_what_cannot_be_computed_is_refused(void **state)
{
  (void)state;
  static const char *const cases[][2] = {
      {", \"use_dora\": true", "use_dora is set, which means DoRA"},
      {", \"rank_pattern\": {\"q_proj\": 8}", "ranks that differ by module"},
      {", \"modules_to_save\": [\"lm_head\"]", "modules saved whole"},
      {", \"layers_to_transform\": [1]", "adapters in some layers only"},
      {", \"r\": 0", "r"},
      {"", "no such folder or file here; give the base as MODEL and this folder as --adapter"}};
  struct error err = {0};
  struct model *m = new_model(ALL, 7);
  const char *folder = fresh_folder("adapter-refused");
  struct model_source back;
  struct model_config read;
  CHECK_OK(model_save(m, &source, folder, SAVE_F32, &err), &err);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_config(folder, cases[i][0]);
    CHECK_ERROR(model_source_open(test_arena, folder, &back, &read, &err), &err, ERROR_INPUT, cases[i][1]);
    error_clear(&err);
  }
  // another kind of adapter, and a base of another shape
  write_config(folder, "");
  CHECK_OK(model_source_open(test_arena, source.folder, &back, &read, &err), &err);
  CHECK_OK(model_source_adapt(test_arena, folder, &back, &read, &err), &err);
  struct model_config more = read, wide = read;
  more.layers = 3;
  wide.ffn = 72;
  CHECK_OK(model_create(test_arena, test_device, &more, 16, &m, &err), &err);
  CHECK_ERROR(adapter_load(m, folder, &err), &err, ERROR_INPUT, "is missing; expected it in every layer");
  error_clear(&err);
  CHECK_OK(model_create(test_arena, test_device, &wide, 16, &m, &err), &err);
  CHECK_ERROR(adapter_load(m, folder, &err), &err, ERROR_INPUT, "is it the adapter of another model?");
  error_clear(&err);
  CHECK_ERROR(model_source_adapt(test_arena, source.folder, &back, &read, &err), &err, ERROR_INPUT,
              "holds no adapter; expected a folder with adapter_config.json");
}

/* ---- Phi-3: one pair beside a joined matrix ----------------------------------------------------------------- */

static struct model *new_joined(struct adapter_config adapter)
{
  struct error err = {0};
  struct model *m;
  CHECK_OK(model_source_open(test_arena, ASSAY_SOURCE_DIR "/tests/parity/data/models/phi3", &source, &config, &err),
           &err);
  config.adapter = adapter;
  CHECK_OK(model_load(test_arena, test_device, &source, &config, 16, &m, &err), &err);
  return m;
}

static void test_a_joined_folder_comes_back_to_the_bit(void **state)
{
  (void)state;
  struct error err = {0};
  static const struct adapter_config cases[] = {
      {.rank = 2, .alpha = 3, .targets = 127},
      {.rank = 3, .alpha = 2.5, .rslora = true, .targets = 1u << ADAPTER_GATE | 1u << ADAPTER_UP | 1u << ADAPTER_O}};
  for (size_t c = 0; c < 2; c++) {
    struct model *m = new_joined(cases[c]), *again;
    CHECK_OK(adapter_randomise(m, 5, &err), &err);
    fill_b(m);
    const char *folder = fresh_folder("adapter-joined");
    struct safetensors file;
    struct model_source back;
    struct model_config read = config;
    CHECK_OK(model_save(m, &source, folder, SAVE_F32, &err), &err);
    CHECK_OK(
        safetensors_open(test_arena, path_join(test_arena, folder, "adapter_model.safetensors", &err), &file, &err),
        &err);
    CHECK_INT(file.count, c ? 2 * 2 * 2 : 2 * 2 * 4);
    const struct safetensors_tensor *b =
        safetensors_find(&file, "base_model.model.model.layers.1.mlp.gate_up_proj.lora_B.weight");
    CHECK(b && b->dims[0] == 40 && b->dims[1] == 2 * (uint64_t)cases[c].rank);
    CHECK_OK(model_source_open(test_arena, folder, &back, &read, &err), &err);
    CHECK_INT(read.adapter.rank, cases[c].rank);
    CHECK_INT(read.adapter.targets, cases[c].targets);
    CHECK_OK(model_load(test_arena, test_device, &back, &read, 16, &again, &err), &err);
    CHECK_INT(again->trained_count, m->trained_count);
    for (size_t i = 0; i < m->trained_count; i++)
      CHECK_BITS(values_of(again->trained[i]), values_of(m->trained[i]),
                 weight_rows(m->trained[i]) * weight_cols(m->trained[i]) * sizeof(float));
  }
}

/* What PEFT makes: one A for all parts. value: of B's number `at`. */
static float joined_number(size_t tensor, size_t at)
{
  return (float)tensor + (float)at / 1024;
}

static int put_joined(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  const struct save_tensor *t = arg;
  (void)err;
  for (size_t i = 0; i < count * t[index].cols; i++) to[i] = joined_number(index, row * t[index].cols + i);
  return 0;
}

static const char *write_joined(size_t rank)
{
#define JOINED_LAYER(n) "base_model.model.model.layers." #n ".self_attn.qkv_proj.lora_"
  struct error err = {0};
  const char *folder = fresh_folder("adapter-peft");
  struct save_tensor tensors[] = {{JOINED_LAYER(0) "A.weight", rank, 32},
                                  {JOINED_LAYER(0) "B.weight", 64, rank},
                                  {JOINED_LAYER(1) "A.weight", rank, 32},
                                  {JOINED_LAYER(1) "B.weight", 64, rank}};
  struct save_tensors from = {
      .stem = "adapter_model", .tensors = tensors, .count = 4, .whole = true, .read = put_joined, .arg = tensors};
  CHECK_OK(save_tensors(test_arena, &from, folder, SAVE_F32, UINT64_MAX, &err), &err);
  write_config(folder, rank == 9 ? ", \"rank_pattern\": {\"qkv_proj\": 9}, \"alpha_pattern\": {\"qkv_proj\": 18}" : "");
  return folder;
}

static void test_a_joined_pair_of_peft_becomes_one_for_each_part(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = new_joined((struct adapter_config){0});
  struct model_config read = config;
  struct model_source with = source;
  CHECK_OK(model_source_adapt(test_arena, write_joined(3), &with, &read, &err), &err);
  CHECK_INT(read.adapter.targets, 1u << ADAPTER_Q | 1u << ADAPTER_K | 1u << ADAPTER_V);
  CHECK_OK(model_load(test_arena, test_device, &with, &read, 16, &m, &err), &err);
  const struct adapter_pair *pairs = m->adapter->pairs[1];
  CHECK(!pairs[ADAPTER_O].a && !pairs[ADAPTER_GATE].a);
  size_t first = 0;
  for (int t = ADAPTER_Q; t <= ADAPTER_V; t++) {
    float a[3 * 32], b[64 * 3], scratch[64 * 3];
    adapter_file_read(pairs[t].a, a, scratch);
    adapter_file_read(pairs[t].b, b, scratch);
    size_t rows = adapter_file_rows(pairs[t].b);
    CHECK_INT(rows, t == ADAPTER_Q ? 32 : 16);
    for (size_t i = 0; i < 3 * 32; i++) CHECK(a[i] == joined_number(2, i));
    for (size_t i = 0; i < rows * 3; i++) CHECK(b[i] == joined_number(3, first + i));
    first += rows * 3;
  }
  // of three times the rank, but no block for each part
  read = config;
  CHECK_OK(model_source_adapt(test_arena, write_joined(9), &with, &read, &err), &err);
  CHECK_ERROR(model_load(test_arena, test_device, &with, &read, 16, &m, &err), &err, ERROR_INPUT,
              "not one block of 3 for each part");
  error_clear(&err);
  // some parts of a joined matrix
  read = config;
  read.adapter = (struct adapter_config){.rank = 3, .alpha = 6, .targets = 1u << ADAPTER_Q | 1u << ADAPTER_V};
  CHECK_ERROR(model_create(test_arena, test_device, &read, 16, &m, &err), &err, ERROR_INPUT, "some of q, k, v");
}

/* ---- one base, several models ---------------------------------------------------------------- */

static void test_views_share_the_base(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = new_model(ALL, 7), *bare, *own;
  fill_b(m);
  CHECK_OK(model_view(test_arena, m, false, &bare, &err), &err);
  CHECK_OK(model_view(test_arena, m, true, &own, &err), &err);
  CHECK(bare->layer == m->layer && own->layer == m->layer && !bare->adapter && !bare->config.adapter.rank);
  CHECK(own->adapter != m->adapter && own->trained_count == m->trained_count);
  for (size_t i = 0; i < m->trained_count; i++) {
    CHECK(own->trained[i] != m->trained[i]);
    CHECK_BITS(values_of(own->trained[i]), values_of(m->trained[i]),
               weight_rows(m->trained[i]) * weight_cols(m->trained[i]) * sizeof(float));
  }
}

/* ---- folding --------------------------------------------------------------------------------- */

/* W + s B A by the definition, in another order than the program's. */
static float folded(const struct model *m, const float *w, const float *a, const float *b, size_t n, size_t k,
                    size_t wide)
{
  double sum = 0;
  for (size_t r = 3; r-- > 0;) sum += (double)b[n * 3 + r] * (double)a[r * wide + k];
  return (float)((double)w[n * wide + k] + m->adapter->scale * sum);
}

static void test_folding_is_the_product_and_can_be_undone(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = new_model(ALL, 7), *back;
  fill_b(m);
  const char *folder = fresh_folder("adapter-fold");
  CHECK_OK(model_save(m, &source, folder, SAVE_F32, &err), &err);
  const struct adapter_pair pair = m->adapter->pairs[1][ADAPTER_DOWN];
  struct weight *w = m->layer[1].down;
  float a[3 * 64], b[32 * 3], scratch[3 * 64], before[32 * 64];
  adapter_file_read(pair.a, a, scratch);
  adapter_file_read(pair.b, b, scratch);
  memcpy(before, values_of(w), sizeof before);
  float want[32 * 64];
  for (size_t n = 0; n < 32; n++)
    for (size_t k = 0; k < 64; k++) want[n * 64 + k] = folded(m, before, a, b, n, k, 64);
  const float *norm = values_of(m->norm);
  CHECK_OK(adapter_fold(test_arena, m, 1, &err), &err);
  CHECK(!m->adapter && m->trained == m->weights && !m->config.adapter.rank);
  const float *after = values_of(w);
  CHECK(memcmp(after, before, sizeof before) != 0);
  for (size_t i = 0; i < 32 * 64; i++)
    CHECK_CLOSE((double)after[i], (double)want[i], 1e-9, "one rounding of f32 where f64 sums in another order differ");
  CHECK_BITS(values_of(m->norm), norm, 32 * sizeof(float));
  // and out again: the same bits but where adding raised the exponent
  back = new_model(ALL, 7);
  CHECK_OK(adapter_load(back, folder, &err), &err);
  weight_write(back->layer[1].down, WEIGHT_MASTER, 0, 32, after, HOST_F32);
  CHECK_OK(adapter_fold(test_arena, back, -1, &err), &err);
  const float *undone = values_of(back->layer[1].down);
  int other = 0;
  for (size_t i = 0; i < 32 * 64; i++) {
    uint32_t x, y;
    memcpy(&x, &before[i], 4);
    memcpy(&y, &after[i], 4);
    bool same = !memcmp(&undone[i], &before[i], 4);
    if ((x & 0x7f800000) >= (y & 0x7f800000)) CHECK(same);
    other += !same;
  }
  CHECK(other < 32 * 64 / 4);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_start_counts_nothing_and_spans_the_inputs),
                                     cmocka_unit_test(test_a_folder_comes_back_to_the_bit),
                                     cmocka_unit_test(test_what_cannot_be_computed_is_refused),
                                     cmocka_unit_test(test_a_joined_folder_comes_back_to_the_bit),
                                     cmocka_unit_test(test_a_joined_pair_of_peft_becomes_one_for_each_part),
                                     cmocka_unit_test(test_views_share_the_base),
                                     cmocka_unit_test(test_folding_is_the_product_and_can_be_undone)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

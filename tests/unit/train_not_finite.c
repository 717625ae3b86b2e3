/* links: train
 * A gradient that is NaN or infinite moves nothing and is named: the tensor nearest to where it began, and where in it,
 * on the processor and on the kernels of cuda/ alike. */
#include "decoder_rig.h"

#include "train/trainer.h"

static const char *const kinds[] = {"cpu", "cuda-emulated"};
static const struct model_config CONFIG = {.architecture = "LlamaForCausalLM",
                                           .model_type = "llama",
                                           .vocab = 40,
                                           .hidden = 16,
                                           .layers = 12,
                                           .heads = 2,
                                           .kv_heads = 1,
                                           .head_dim = 8,
                                           .ffn = 24,
                                           .max_positions = 16,
                                           .norm_eps = 1e-5,
                                           .rope_theta = 10000,
                                           .tied = true,
                                           .bos = -1,
                                           .eos = 1,
                                           .pad = -1};
static const struct optimiser ADAMW = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

static void spoil(struct model *m, const char *name, size_t row, size_t col, float value)
{
  struct weight *w = model_find(m, name);
  CHECK(w != NULL);
  float values[64];
  CHECK(weight_cols(w) <= 64);
  weight_read(w, WEIGHT_GRAD, row, 1, values, HOST_F32);
  values[col] = value;
  weight_write(w, WEIGHT_GRAD, row, 1, values, HOST_F32);
}

/* An update that fails with these words; the weights stay, the gradient is gone. */
static void check_update(struct decoder_rig *r, const char *says)
{
  struct trainer t = {.model = r->model, .trained = r->model};
  struct error err = {0};
  double norm;
  const size_t n = rig_read(r->model, WEIGHT_MASTER, NULL);
  double *before = ARENA_NEW(r->arena, double, 2 * n, "test", &err), *after = before + n;
  rig_read(r->model, WEIGHT_MASTER, before);
  CHECK_ERROR(trainer_update(&t, &ADAMW, 1e-3, &norm, &err), &err, ERROR_INPUT, says);
  CHECK_INT(t.updates, 0);
  rig_read(r->model, WEIGHT_MASTER, after);
  CHECK_BITS(after, before, n * sizeof *before);
  rig_read(r->model, WEIGHT_GRAD, after);
  for (size_t i = 0; i < n; i++) CHECK(after[i] == 0);
}

static void test_named(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    struct decoder_rig r;
    struct error err = {0};
    CHECK(rig_open(&r, kinds[i], NULL, 1, &CONFIG));
    CHECK_OK(model_make_trainable(r.model, &err), &err);
    // it came down from layer 11, which stands before layer 2 in order of name
    spoil(r.model, "model.layers.11.mlp.up_proj.weight", 5, 3, __builtin_nanf(""));
    spoil(r.model, "model.layers.2.self_attn.q_proj.weight", 1, 0, __builtin_nanf(""));
    spoil(r.model, "model.embed_tokens.weight", 7, 1, __builtin_inff());
    check_update(&r, "model.layers.11.mlp.up_proj.weight has one that is not finite at [5, 3]; expected");
    spoil(r.model, "model.embed_tokens.weight", 39, 15, __builtin_inff());
    check_update(&r, "norm is inf, and model.embed_tokens.weight has one that is not finite at [39, 15]");
    spoil(r.model, "model.norm.weight", 6, 0, -__builtin_inff());
    spoil(r.model, "model.layers.0.input_layernorm.weight", 6, 0, -__builtin_inff());
    check_update(&r, "model.norm.weight has one that is not finite at [6, 0]");
    rig_close(&r);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

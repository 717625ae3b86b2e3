/* links: model. Law 1, one forward: sampler, scorer and trainer have the same bits, whatever the batch, the pieces, the
 * threads, the instruction set, the tree, the storage; and law 3: recomputation, the LM head's chunk and micro-batches
 * move no bit of a gradient. In both compute types. */
#include "decoder_rig.h"

/* Half of the variants; families.c has the others. */
#if !defined(VARIANT_FIRST)
enum { VARIANT_FIRST = 0, VARIANT_END = 7 };
#endif

static const char *const isas[] = {"ref", "avx2", "avx512"};
enum { ISAS = sizeof isas / sizeof isas[0] };

static bool open_or_say(struct decoder_rig *rig, const char *isa, int threads, const struct model_config *c)
{
  if (rig_open(rig, "cpu", isa, threads, c)) return true;
  print_message("skipped: this machine lacks %s\n", isa);
  return false;
}

/* ---- sampler = scorer = trainer, in any batch ------------------------------------------------ */

enum { PROMPT = 13, ANSWER = 24, LENGTH = PROMPT + ANSWER };

/* What the sampler recorded of one sequence; logp[i] and entropy[i] describe token PROMPT + i. */
struct record {
  int32_t ids[LENGTH];
  double logp[ANSWER], entropy[ANSWER];
};

static void prompt_of(int32_t sequence, int vocab, int32_t ids[PROMPT])
{
  for (int32_t i = 0; i < PROMPT; i++) {
    struct rng_at at = {.purpose = RNG_TEST, .step = 6, .rollout = (uint32_t)sequence, .position = (uint32_t)i};
    ids[i] = (int32_t)rng_below(7, &at, (uint32_t)vocab);
  }
}

static struct sample_params params_of(int32_t sequence, int32_t i)
{
  struct rng_at at = {.purpose = RNG_GENERATE, .rollout = (uint32_t)sequence, .position = (uint32_t)i};
  return (struct sample_params){.temperature = 0.8f, .top_p = 1, .forced = -1, .uniform = rng_uniform(7, &at)};
}

/* `count` sequences `first` .. in one batch, one token each a pass. Sequences stand in the batch in the order given,
 * last first where reverse. */
static void generate(struct decoder_rig *rig, int32_t first, int32_t count, bool reverse, struct record *records)
{
  struct error err = {0};
  struct forest f;
  struct run r;
  struct piece pieces[FOREST_BRANCHES];
  struct sample_params params[FOREST_BRANCHES];
  struct sample_result out[FOREST_BRANCHES];
  forest_open(&f, rig->arena, 8);
  for (int32_t s = 0; s < count; s++) {
    int32_t ids[LENGTH] = {0};
    prompt_of(first + s, rig->model->config.vocab, ids);
    forest_add(&f, -1, ids, LENGTH);
    memcpy(records[s].ids, ids, sizeof ids);
  }
  run_open(&r, rig, &f, (struct run_options){.sample = true, .temperature = 0.8});
  for (int32_t step = 0; step < ANSWER; step++) {
    for (int32_t i = 0; i < count; i++) {
      int32_t s = reverse ? count - 1 - i : i;
      pieces[i] = step ? (struct piece){s, PROMPT + step - 1, 1} : (struct piece){s, 0, PROMPT};
      params[i] = params_of(first + s, step);
    }
    pass_build(&f, &r.pass, pieces, count);
    // only the last row of each run is sampled from
    int32_t row[FOREST_BRANCHES];
    for (int32_t i = 0; i < count; i++) row[i] = r.pass.rows.runs[i].row + r.pass.rows.runs[i].count - 1;
    struct head_rows head = {.count = count, .row = row};
    CHECK_OK(decoder_forward(r.d, &r.pass.rows, r.kv, &head, false, &err), &err);
    CHECK_OK(decoder_sample(r.d, 0.8, &head, params, out, &err), &err);
    for (int32_t i = 0; i < count; i++) {
      struct record *to = &records[pieces[i].branch];
      f.branch[pieces[i].branch].ids[PROMPT + step] = to->ids[PROMPT + step] = out[i].id;
      to->logp[step] = (double)out[i].logp;
      to->entropy[step] = (double)out[i].entropy;
    }
  }
  run_close(&r);
}

static void check_record(const struct record *got, const struct record *want)
{
  CHECK_BITS(got->ids, want->ids, sizeof got->ids);
  CHECK_BITS(got->logp, want->logp, sizeof got->logp);
  CHECK_BITS(got->entropy, want->entropy, sizeof got->entropy);
}

/* Scores the sampled sequences whole, and as training does: prompts as shared roots would be, answers as children. */
static void check_scores(struct decoder_rig *rig, const struct record *records, int32_t count)
{
  for (int train = 0; train < 2; train++) {
    struct forest f;
    struct run r;
    forest_open(&f, rig->arena, 8);
    int32_t answer[FOREST_BRANCHES];
    for (int32_t s = 0; s < count; s++) {
      int32_t root = forest_add(&f, -1, records[s].ids, train ? PROMPT : LENGTH);
      answer[s] = train ? f.branch[forest_add(&f, root, records[s].ids + PROMPT, ANSWER)].number
                        : f.branch[root].number + PROMPT;
    }
    run_open(&r, rig, &f,
             (struct run_options){.train = train, .recompute = count % 2, .micro_rows = 60, .temperature = 0.8});
    double *coef = run_reals(&r, (size_t)f.tokens);
    for (int32_t i = 0; i < f.tokens; i++) coef[i] = 1;
    run_all(&r, train ? coef : NULL, NULL);
    for (int32_t s = 0; s < count; s++) {
      CHECK_BITS(r.logp + answer[s], records[s].logp, sizeof records[s].logp);
      double entropy[ANSWER];
      for (int32_t i = 0; i < ANSWER; i++)
        entropy[i] = r.entropy[i ? answer[s] + i - 1 : f.branch[train ? 2 * s : s].number + PROMPT - 1];
      CHECK_BITS(entropy, records[s].entropy, sizeof entropy);
    }
    run_close(&r);
  }
}

static struct record alone[64], batch[64];

static void test_sampler_is_scorer_is_trainer(void **state)
{
  (void)state;
  static const int32_t counts[] = {1, 2, 3, 7, 8, 16, 17, 64};
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    struct decoder_rig rig;
    CHECK(rig_open(&rig, "cpu", NULL, v ? 1 : 2, &variants[v].config));  // threads: see the knobs
    for (int32_t s = 0; s < 64; s++) generate(&rig, s, 1, false, &alone[s]);
    CHECK(memcmp(alone[0].logp, alone[1].logp, sizeof alone[0].logp) != 0);  // they differ among themselves
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      generate(&rig, 0, counts[i], i % 2, batch);
      for (int32_t s = 0; s < counts[i]; s++) check_record(&batch[s], &alone[s]);
      rig_gradients(rig.model);
      check_scores(&rig, batch, counts[i]);
    }
    rig_close(&rig);
  }
}

/* ---- prefill in pieces ----------------------------------------------------------------------- */

enum { LONG = 101 };

static void score_in_pieces(struct decoder_rig *rig, struct forest *f, int32_t size, double *logp, double *entropy)
{
  struct run r;
  run_open(&r, rig, f, (struct run_options){0});
  // size 0: 1, 2, 3, ... tokens
  for (int32_t at = 0, piece = size ? size : 1; at < LONG; at += piece, piece += !size) {
    struct piece p = {0, at, at + piece < LONG ? piece : LONG - at};
    run_forward(&r, &p, 1, false);
  }
  memcpy(logp, r.logp, LONG * sizeof *logp);
  memcpy(entropy, r.entropy, LONG * sizeof *entropy);
  run_close(&r);
}

static void test_prefill_in_pieces(void **state)
{
  (void)state;
  static const int32_t sizes[] = {0, 1, 2, 3, 5, 8, 16, 31, 32, 33, 64, 100};
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    struct decoder_rig rig;
    struct forest f;
    double want[2][LONG], got[2][LONG];
    CHECK(rig_open(&rig, "cpu", NULL, v ? 1 : 2, &variants[v].config));  // threads: see the knobs
    forest_open(&f, rig.arena, 16);
    random_branch(&f, -1, LONG, variants[v].config.vocab, 3);
    score_in_pieces(&rig, &f, LONG, want[0], want[1]);
    CHECK(check_finite(want[0][1]) && check_finite(want[0][LONG - 1]) && want[0][1] < 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      score_in_pieces(&rig, &f, sizes[i], got[0], got[1]);
      CHECK_BITS(got[0] + 1, want[0] + 1, (LONG - 1) * sizeof(double));
      CHECK_BITS(got[1], want[1], (LONG - 1) * sizeof(double));
    }
    rig_close(&rig);
  }
}

/* ---- scores and gradients under every knob --------------------------------------------------- */

struct knobs {
  const char *isa;
  int threads, block, vocab_chunk, micro_rows;
  bool recompute;
};

/* Everything a training run writes: log-probabilities and entropies of the forest, then all gradients. */
struct outcome {
  double *values;
  size_t scores, count;
};

static bool train_once(struct arena *a, const struct variant *v, uint64_t seed, struct knobs k, struct outcome *out)
{
  struct decoder_rig rig;
  struct forest f;
  struct run r;
  struct error err = {0};
  if (!open_or_say(&rig, k.isa, k.threads, &v->config)) return false;
  rig_gradients(rig.model);
  random_forest(&f, rig.arena, k.block, v->config.vocab, 3, 12, seed);
  run_open(&r, &rig, &f,
           (struct run_options){.train = true,
                                .recompute = k.recompute,
                                .vocab_chunk = k.vocab_chunk,
                                .micro_rows = k.micro_rows,
                                .temperature = 0.9});
  double *coef = run_reals(&r, (size_t)f.tokens), *entropy_coef = run_reals(&r, (size_t)f.tokens);
  for (int32_t i = 0; i < f.tokens; i++) {
    coef[i] = noise(seed + 1, (size_t)i);
    entropy_coef[i] = noise(seed + 2, (size_t)i);
  }
  run_all(&r, coef, entropy_coef);
  size_t tokens = (size_t)f.tokens, weights = rig_read(rig.model, WEIGHT_GRAD, NULL);
  *out =
      (struct outcome){ARENA_NEW(a, double, 2 * tokens + weights, "outcome", &err), 2 * tokens, 2 * tokens + weights};
  CHECK(out->values != NULL);
  for (size_t i = 0; i < tokens; i++) {
    out->values[i] = math_is_nan(r.logp[i]) ? 1 : r.logp[i];
    out->values[tokens + i] = math_is_nan(r.entropy[i]) ? -1 : r.entropy[i];
  }
  rig_read(rig.model, WEIGHT_GRAD, out->values + 2 * tokens);
  run_close(&r);
  rig_close(&rig);
  return true;
}

static void check_outcome(struct arena *a, const struct variant *v, uint64_t seed, struct knobs k,
                          const struct outcome *want)
{
  struct outcome got;
  if (!train_once(a, v, seed, k, &got)) return;
  CHECK_INT(got.count, want->count);
  CHECK_BITS(got.values, want->values, want->scores * sizeof(double));
  CHECK_BITS(got.values + want->scores, want->values + want->scores, (want->count - want->scores) * sizeof(double));
}

static void test_no_knob_moves_a_bit(void **state)
{
  (void)state;
  struct error err = {0};
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    struct arena *a = arena_create("law", 0, &err);
    const struct variant *variant = &variants[v];
    uint64_t seed = 900 + (uint64_t)v;
    const struct knobs base = {"ref", 1, 2, 32, 0, false};
    struct outcome want;
    struct knobs k;
    CHECK(train_once(a, variant, seed, base, &want));
    bool alive = false;
    for (size_t i = want.scores; i < want.count; i++) alive = alive || math_abs(want.values[i]) > 1e-3;
    CHECK(alive);
#define WITH(field, ...)                                                  \
  for (size_t i = 0; i < sizeof __VA_ARGS__ / sizeof *__VA_ARGS__; i++) { \
    k = base;                                                             \
    k.field = __VA_ARGS__[i];                                             \
    check_outcome(a, variant, seed, k, &want);                            \
  }
    static const int threads[] = {2, 3, 5}, blocks[] = {4, 8, 16, 32, 64}, chunks[] = {64, 96, 8192},
                     micros[] = {1, 7, 20, 33, 64, 100};
    static const bool on[] = {true};
    WITH(threads, threads)
    WITH(block, blocks)
    WITH(vocab_chunk, chunks)
    WITH(micro_rows, micros)
    WITH(recompute, on)
    WITH(isa, isas)
#undef WITH
    // and all together
    for (int i = 0; i < ISAS; i++)
      check_outcome(a, variant, seed, (struct knobs){isas[i], 3, 8, 64, 20, i % 2 == 0}, &want);
    arena_destroy(a);
  }
}

/* ---- trees ----------------------------------------------------------------------------------- */

static void test_trees_are_their_sequences(void **state)
{
  (void)state;
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    for (uint64_t seed = 0; seed < 3; seed++) {
      struct decoder_rig rig;
      struct forest tree, paths;
      struct run r, s;
      CHECK(rig_open(&rig, "cpu", NULL, v ? 1 : 2, &variants[v].config));  // threads: see the knobs
      random_forest(&tree, rig.arena, 16, variants[v].config.vocab, 2, 40, 70 + seed);
      forest_open(&paths, rig.arena, 4);
      run_open(&r, &rig, &tree, (struct run_options){0});
      run_all(&r, NULL, NULL);
      for (int32_t b = 0; b < tree.count; b++)
        if (forest_is_leaf(&tree, b)) forest_add_path(&paths, &tree, b);
      run_open(&s, &rig, &paths, (struct run_options){.micro_rows = 50});
      run_all(&s, NULL, NULL);
      for (int32_t leaf = 0, path = 0; leaf < tree.count; leaf++) {
        if (!forest_is_leaf(&tree, leaf)) continue;
        const double *alone_logp = s.logp + paths.branch[path].number,
                     *alone_entropy = s.entropy + paths.branch[path].number;
        path++;
        for (int32_t b = leaf; b >= 0; b = tree.branch[b].parent) {
          const struct branch *branch = &tree.branch[b];
          int32_t from = branch->start == 0;  // the first token of all has no log-probability
          if (branch->count > from)
            CHECK_BITS(r.logp + branch->number + from, alone_logp + branch->start + from,
                       (size_t)(branch->count - from) * sizeof(double));
          int32_t rows = branch->count - (b == leaf);  // the last token of a path has no successor
          if (rows > 0)
            CHECK_BITS(r.entropy + branch->number, alone_entropy + branch->start, (size_t)rows * sizeof(double));
        }
      }
      run_close(&s);
      run_close(&r);
      rig_close(&rig);
    }
  }
}

/* ---- a model that is never trained ------------------------------------------------------------ */

/* Bytes of all weights, with their handles. */
static size_t weight_bytes(void)
{
  struct memory_tag tags[256];
  size_t bytes = 0, n = memory_report(tags, 256);
  CHECK(n <= 256);
  for (size_t i = 0; i < n; i++)
    if (!strncmp(tags[i].tag, "weights", 7)) bytes += tags[i].bytes;
  return bytes;
}

/* A second model of the same weights, in an arena of its own; returns the bytes that its weights took. */
static size_t open_second(struct decoder_rig *rig, bool fixed, struct decoder_rig *out)
{
  struct error err = {0};
  size_t before = weight_bytes();
  const struct model_config *c = &rig->model->config;
  *out = (struct decoder_rig){.arena = arena_create("second", 0, &err), .device = rig->device};
  CHECK(out->arena != NULL);
  CHECK_OK((fixed ? model_create_fixed : model_create)(out->arena, rig->device, c, c->max_positions, &out->model, &err),
           &err);
  rig_fill(out->model, 5);
  return weight_bytes() - before;
}

/* It takes the bytes that the planner counts, and gives the same bits as one that is. */
static void test_a_fixed_model_is_the_same(void **state)
{
  (void)state;
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    struct decoder_rig rig, second;
    struct forest f;
    double want[2][LONG], got[2][LONG];
    const struct model_config *c = &variants[v].config;
    CHECK(rig_open(&rig, "cpu", NULL, 1, c));
    forest_open(&f, rig.arena, 16);
    random_branch(&f, -1, LONG, c->vocab, 3);
    score_in_pieces(&rig, &f, LONG, want[0], want[1]);
    size_t whole = open_second(&rig, false, &second);
    arena_destroy(second.arena);
    size_t fixed = open_second(&rig, true, &second);
    size_t less = model_part_bytes(c, sizeof(float)) + model_copy_bytes(c, rig_type) - model_fixed_bytes(c, rig_type);
    if (c->adapter.rank) less = 0;  // the base is frozen either way
    CHECK_INT(whole - fixed, less);
    CHECK((whole > fixed) == (rig_type == COMPUTE_BF16 && !c->adapter.rank));
    score_in_pieces(&second, &f, LONG, got[0], got[1]);
    CHECK_BITS(got[0] + 1, want[0] + 1, (LONG - 1) * sizeof(double));
    CHECK_BITS(got[1], want[1], (LONG - 1) * sizeof(double));
    arena_destroy(second.arena);
    rig_close(&rig);
  }
}

/* ---- and the checks above can fail ----------------------------------------------------------- */

static void test_a_flipped_bit_is_seen(void **state)
{
  (void)state;
  struct decoder_rig rig;
  struct forest f;
  double want[2][LONG], got[2][LONG];
  CHECK(rig_open(&rig, "cpu", NULL, 1, &variants[0].config));
  forest_open(&f, rig.arena, 16);
  random_branch(&f, -1, LONG, variants[0].config.vocab, 3);
  score_in_pieces(&rig, &f, LONG, want[0], want[1]);
  for (size_t i = 0; i < rig.model->trained_count; i++) {
    struct weight *w = rig.model->trained[i];
    size_t row = w == rig.model->embed ? (size_t)f.branch[0].ids[5] : weight_rows(w) / 2, k = weight_cols(w);
    float values[64];
    CHECK(k <= 64);
    weight_read(w, WEIGHT_MASTER, row, 1, values, HOST_F32);
    uint32_t bits;
    memcpy(&bits, &values[k / 2], sizeof bits);
    const uint32_t flip = 1u << (rig_type == COMPUTE_BF16 ? 17 : 12);  // f32: a change of 1 in 2,000 to 1 in 4,000
    bits ^= flip;
    memcpy(&values[k / 2], &bits, sizeof bits);
    weight_write(w, WEIGHT_MASTER, row, 1, values, HOST_F32);
    score_in_pieces(&rig, &f, LONG, got[0], got[1]);
    CHECK(memcmp(got[0] + 1, want[0] + 1, (LONG - 1) * sizeof(double)) != 0);
    bits ^= flip;
    memcpy(&values[k / 2], &bits, sizeof bits);
    weight_write(w, WEIGHT_MASTER, row, 1, values, HOST_F32);
  }
  score_in_pieces(&rig, &f, LONG, got[0], got[1]);
  CHECK_BITS(got[0] + 1, want[0] + 1, (LONG - 1) * sizeof(double));
  rig_close(&rig);
}

/* ---- bf16 beside f32 ------------------------------------------------------------------------- */

/* Each operand of a product is rounded by up to one part in 512, here some twenty products deep, with weights ten times
 * those of a trained model so that every gradient is large. Measured were at most 0.0048 and 0.0483. */
#define BOUND_WHY \
  "rounding to 8 bits at the entry of some twenty products, one behind the other: twice what was measured"
static const double BOUND_SCORES = 0.01, BOUND_GRADIENTS = 0.1;

/* |a - b| / |b| in the Euclidean norm. */
static double distance(const double *a, const double *b, size_t n)
{
  double difference = 0, size = 0;
  for (size_t i = 0; i < n; i++) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return math_sqrt(difference / size);
}

static void test_gradients_are_near_those_of_f32(void **state)
{
  (void)state;
  struct error err = {0};
  for (int v = VARIANT_FIRST; v < VARIANT_END; v++) {
    struct arena *a = arena_create("law", 0, &err);
    struct outcome outcome[2];
    const struct knobs k = {"ref", 1, 2, 32, 0, false};
    for (rig_type = COMPUTE_F32; rig_type <= COMPUTE_BF16; rig_type++)
      CHECK(train_once(a, &variants[v], 77, k, &outcome[rig_type]));
    CHECK_INT(outcome[0].count, outcome[1].count);
    size_t scores = outcome[0].scores, count = outcome[0].count - scores;
    double score = distance(outcome[1].values, outcome[0].values, scores);
    double gradient = distance(outcome[1].values + scores, outcome[0].values + scores, count);
    print_message("%s: log-probabilities and entropies within %.4f of f32, gradients within %.4f\n", variants[v].name,
                  score, gradient);
    CHECK(score > 0 && gradient > 0);
    CHECK_CLOSE(score, 0, BOUND_SCORES, BOUND_WHY);
    CHECK_CLOSE(gradient, 0, BOUND_GRADIENTS, BOUND_WHY);
    arena_destroy(a);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sampler_is_scorer_is_trainer), cmocka_unit_test(test_prefill_in_pieces),
      cmocka_unit_test(test_no_knob_moves_a_bit),          cmocka_unit_test(test_trees_are_their_sequences),
      cmocka_unit_test(test_a_fixed_model_is_the_same),    cmocka_unit_test(test_a_flipped_bit_is_seen)};
  const struct CMUnitTest both[] = {cmocka_unit_test(test_gradients_are_near_those_of_f32)};
  int failed = 0;
  for (rig_type = COMPUTE_F32; rig_type <= COMPUTE_BF16; rig_type++)
    failed += cmocka_run_group_tests_name(compute_type_name(rig_type), tests, NULL, NULL);
  return failed + cmocka_run_group_tests(both, NULL, NULL);
}

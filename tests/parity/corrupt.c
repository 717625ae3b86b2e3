/* links: model
 * The damaged files of fixtures/corrupt: each is refused in one sentence that names file and place, quickly and without
 * memory out of proportion. Where the fixtures' page says "may be accepted", the choice made here is in the table, with
 * its reason. */
#include "model_fixture.h"

#include <time.h>

#include "model/safetensors.h"

struct example {
  const char *name, *part; /* part of the message; NULL: accepted */
};

static const struct example safetensors_files[] = {
    {"dtype-missing", "tensor \"b\": expected exactly dtype, shape and data_offsets"},
    {"dtype-number", "tensor \"b\": dtype must be a string"},
    {"dtype-unknown", "tensor \"b\": unknown dtype \"F33\""},
    {"empty", "at byte 0: the length of the header needs 8 bytes, found 0"},
    {"header-cut", "column 123"},
    {"header-empty", "at byte 8: the header does not begin with '{'"},
    {"header-is-array", "at byte 8: the header does not begin with '{'"},
    {"header-leading-space", "at byte 8: the header does not begin with '{'"}, /* the format demands the brace */
    {"header-length-huge", "at byte 0: the header claims 9223372036854775808 bytes"},
    {"header-length-wraps", "at byte 0: the header claims 18446744073709551608 bytes"},
    {"header-nested-deep", "nested deeper than"},
    {"header-not-json", "at byte 8"},
    {"header-not-utf8", "unable to decode byte 0xff"},
    {"header-past-end", "at byte 8: the header needs 5000 bytes, found 192"},
    {"header-surrogate", "invalid Unicode"},
    {"header-trailing-garbage", "column 64"},
    {"metadata-not-strings", "__metadata__ may hold strings only"},
    {"name-duplicate", "duplicate"},
    {"name-duplicate-masked", "duplicate"},
    {"name-with-nul", "NUL byte"}, /* no weight has such a name: refusing beats carrying lengths everywhere */
    {"number-very-long", "too big integer"},
    {"offsets-beyond-int64", "too big integer"},
    {"offsets-float", "tensor \"b\": data_offsets must be whole numbers"},
    {"offsets-float-whole", "tensor \"a\": data_offsets must be whole numbers"},
    {"offsets-hole", "tensor \"b\": data begins at byte 48, expected 32"},
    {"offsets-missing", "tensor \"b\": expected exactly"},
    {"offsets-negative", "tensor \"a\": data_offsets must be whole numbers >= 0"},
    {"offsets-overflow", "too big integer"},
    {"offsets-overlap", "tensor \"b\": data begins at byte 16, expected 32"},
    {"offsets-reversed", "tensor \"b\": data_offsets end before they begin"},
    {"offsets-string", "tensor \"b\": data_offsets must be [begin, end]"},
    {"offsets-three", "tensor \"b\": data_offsets must be [begin, end]"},
    {"shape-huge-rank", NULL}, /* legal: ranks are not limited here, and a weight's is compared later */
    {"shape-lies", "tensor \"b\": shape and dtype do not give the size"},
    {"shape-negative", "tensor \"b\": shape must hold whole numbers >= 0"},
    {"shape-overflows", "tensor \"b\": shape and dtype do not give the size"},
    {"shape-product-overflows", "tensor \"b\": the number of elements does not fit"},
    {"short-length", "at byte 0: the length of the header needs 8 bytes, found 4"},
    {"trailing-data", "end at byte 64 of the data, but the file holds 70"},
    {"truncated-data", "tensor \"b\": data ends at byte 64, but the file holds only 60"},
};

static const struct example gguf_files[] = {
    {"alignment-0", "general.alignment is 0"},
    {"alignment-3", "general.alignment is 3"},
    {"alignment-is-string", "general.alignment is a string; expected uint32"},
    {"array-count-huge", "value of \"x\": at byte 94: an array needs 1099511627776 bytes"},
    {"array-count-overflows", "at byte 82: an array claims 2305843009213693952 elements"},
    {"array-nested-deep", "arrays are nested more than"},
    {"array-of-strings-huge", "at byte 82: 4294967296 strings are claimed"},
    {"bad-magic", "at byte 0: the file does not begin with \"GGUF\""},
    {"bool-is-7", "at byte 78: a bool is 7"}, /* the specification: only 0 and 1 are valid */
    {"dim-zero", NULL},                       /* an empty tensor harms nobody; a weight's shape is compared later */
    {"dims-count-huge", "tensor \"a\" has 2147483648 dimensions"},
    {"dims-negative", "dimensions of tensor \"a\" do not fit"},
    {"dims-product-overflows", "dimensions of tensor \"a\" do not fit"},
    {"empty", "at byte 0: the magic needs 4 bytes, found 0"},
    {"key-duplicate", "\"llama.block_count\" is there twice"},
    {"key-length-huge", "at byte 32: a key needs 9223372036854775808 bytes"},
    {"key-not-utf8", "at byte 69: a key is not UTF-8"},
    {"key-with-nul", "at byte 69: a key contains a NUL"},
    {"kv-count-huge", "at byte 16: 1152921504606846976 key-value pairs are claimed"},
    {"offset-overflows", "tensor \"b\": 32 bytes at offset 18446744073709551584"},
    {"offset-past-end", "tensor \"b\": 32 bytes at offset 1048576"},
    {"offset-unaligned", "tensor \"b\": offset 33 is no multiple of the alignment 32"},
    {"offsets-overlap", "tensors \"a\" and \"b\" share bytes"},
    {"row-not-whole-blocks", "tensor \"a\" has rows of 33 values; Q4_0 needs a multiple of 32"},
    {"string-length-lies", "at byte 90: a string needs 1000000000 bytes"},
    {"string-length-wraps", "at byte 90: a string needs 18446744073709551612 bytes"},
    {"tensor-count-huge", "at byte 8: 1152921504606846976 tensors are claimed"},
    {"tensor-count-negative", "at byte 8: 18446744073709551615 tensors are claimed"},
    {"tensor-duplicate", "the tensor \"a\" is there twice"},
    {"tensor-name-long", "a tensor's name has 5000 bytes; the format allows 64"}, /* the specification's limit */
    {"tensor-name-not-utf8", "at byte 143: a tensor's name is not UTF-8"},
    {"tensor-type-removed", "tensor \"a\" is of unknown type 4"},
    {"tensor-type-unknown", "tensor \"a\" is of unknown type 200"},
    {"truncated-data", "tensor \"b\": 32 bytes at offset 32, but the data section has 54"},
    {"truncated-header", "at byte 8: the number of tensors needs 8 bytes, found 6"},
    {"truncated-key", "at byte 16: 2 key-value pairs are claimed; the 16 bytes left"},
    {"truncated-tensor-info", "at byte 152: the number of dimensions needs 4 bytes, found 0"},
    {"value-type-unknown", "at byte 78: unknown value type 99"},
    {"version-1", "at byte 4: GGUF version 1; supported are 2 and 3"},
    {"version-99", "at byte 4: GGUF version 99; supported are 2 and 3"},
};

static const struct example folders[] = {
    {"config-absent", "no such file; expected a Hugging Face folder"},
    {"config-eps-nan", "invalid token near 'NaN'"},
    {"config-heads-do-not-divide", "hidden_size 8 is not a multiple of num_attention_heads 3"},
    {"config-hidden-is-string", "hidden_size"},
    {"config-kv-heads-do-not-divide", "2 query heads cannot share 3 key-value heads"},
    {"config-layers-huge", "num_hidden_layers is 2147483647; expected 1 to 1024"},
    {"config-layers-negative", "num_hidden_layers"},
    {"config-model-type-unknown", "model_type \"llamoid\" is not supported and not known here"},
    {"config-not-json", "expected one JSON value"},
    {"config-rope-type-unknown", "rope_type \"spiral\""},
    {"good", NULL},
    {"good-sharded", NULL},
    {"index-absolute", "into \"/dev/zero\"; expected a file in the same folder"},
    {"index-escapes", "into \"../good/model.safetensors\"; expected a file in the same folder"},
    {"index-no-map", "there is no weight_map"},
    {"index-not-strings", "weight_map must give a file name for \"model.layers.0.self_attn.v_proj.weight\""},
    {"shard-absent", "reading the shard that model.safetensors.index.json names"},
    {"shard-lacks-tensor", "is missing, though model.safetensors.index.json says that it is here"},
    {"weight-absent", "the weight \"model.layers.0.self_attn.v_proj.weight\" is missing"},
    {"weight-nan", "\"model.embed_tokens.weight\" is NaN at [0, 0]"},
    {"weight-shape-wrong", "v_proj.weight\" has shape [8, 4]; the configuration asks for [4, 8]"},
    {"weight-unknown", "\"model.layers.0.self_attn.q_norm.weight\" has no place in this configuration"},
    {"weights-absent", "no such file, and no model.safetensors.index.json"},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static int open_safetensors(const char *path, struct error *err)
{
  struct safetensors s;
  return safetensors_open(test_arena, path, &s, err);
}

static int open_gguf(const char *path, struct error *err)
{
  struct gguf *g;
  return gguf_open(test_arena, path, &g, err);
}

static int open_folder(const char *path, struct error *err)
{
  struct model_source source;
  struct model *m;
  return load_model(path, &source, &m, err);
}

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The table and the folder name the same things, so that no damaged file goes untested. */
static void check_complete(const char *folder, const char *suffix, const struct example *table, size_t count)
{
  struct error err = {0};
  char **names;
  size_t found;
  CHECK_OK(file_list(test_arena, fixture_path(folder), &names, &found, &err), &err);
  CHECK_INT(found, count);
  for (size_t i = 0; i < found; i++) {
    size_t known = 0, length = strlen(names[i]) - strlen(suffix);
    CHECK_STR(names[i] + length, suffix);
    for (size_t j = 0; j < count; j++)
      known += strlen(table[j].name) == length && !strncmp(table[j].name, names[i], length);
    if (known != 1) print_error("%s is %zu times in the table\n", names[i], known);
    CHECK_INT(known, 1);
  }
}

static void run(const char *folder, const char *suffix, const struct example *table, size_t count,
                int (*open)(const char *, struct error *))
{
  check_complete(folder, suffix, table, count);
  for (size_t i = 0; i < count; i++) {
    arena_reset(test_arena);
    struct error err = {0};
    char *name = arena_printf(test_arena, "test", &err, "corrupt/%s/%s%s", path_base(folder), table[i].name, suffix);
    const char *path = fixture_path(name);
    struct file_map map = {NULL, 0};
    if (*suffix) CHECK_OK(file_map(test_arena, path, &map, &err), &err);

    size_t before = memory_total();
    double start = seconds();
    int rc = open(path, &err);
    double spent = seconds() - start;

    print_message("%s: %s\n", table[i].name, rc ? err.message : "accepted");
    if (table[i].part) {
      CHECK_ERROR(rc, &err, ERROR_INPUT, table[i].part);
      CHECK(strstr(err.file, table[i].name) != NULL);
      CHECK(!strchr(err.message, '\n'));
    } else {
      CHECK_OK(rc, &err);
    }
    CHECK(spent < 1);
    /* The peak is the process's: it proves the bound for this file and all before it. */
    CHECK(memory_peak() <= before + 4 * map.size + (16u << 20));
  }
  arena_reset(test_arena);
}

static void test_safetensors(void **state)
{
  (void)state;
  run("corrupt/safetensors", ".safetensors", safetensors_files, COUNT(safetensors_files), open_safetensors);
}

static void test_gguf(void **state)
{
  (void)state;
  run("corrupt/gguf", ".gguf", gguf_files, COUNT(gguf_files), open_gguf);
}

static void test_folders(void **state)
{
  (void)state;
  run("corrupt/folders", "", folders, COUNT(folders), open_folder);
}

int main(void)
{
  if (fixtures_absent("parity_corrupt")) return 77;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_safetensors), cmocka_unit_test(test_gguf),
                                     cmocka_unit_test(test_folders)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

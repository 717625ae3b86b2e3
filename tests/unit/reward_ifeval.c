/* Each of IFEval's 25 constraints with responses that follow it and that do not, strict and loose; the counting of
 * sentences and capital words; languages. */
#include <string.h>
#include "check.h"
#include "core/json.h"
#include "reward/ifeval.h"
#include "reward/language.h"
#include "reward/verify_queue.h"

static struct arena *arena;
static struct verifier_config *ifeval;
static struct ifeval_patterns patterns;

static int setup(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  if (!arena || ifeval_compile(arena, &patterns, &err)) return -1;
  return verifier_open(arena, verifier_find("ifeval", &err), NULL, 0, 0, &ifeval, &err);
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int judge(const char *id, const char *kwargs, const char *response, size_t n, struct verdict *v,
                 struct error *err)
{
  json_t *fields;
  char *text = arena_printf(arena, "test", err, "{\"instruction_id_list\": [\"%s\"], \"kwargs\": [%s]}", id, kwargs);
  CHECK_OK(json_parse(arena, text, strlen(text), "test", 0, 0, &fields, err), err);
  struct problem p = {.id = "p", .source = "f.jsonl", .line = 7, .fields = fields};
  return verify_now(arena, ifeval, &p, response, n, v, err);
}

static const struct {
  const char *id, *kwargs, *response;
  const char *outcome; /* strict, loose: "yy", "nn", "ny" */
} cases[] = {
    {"keywords:existence", "{\"keywords\": [\"sun\", \"Moon\"]}", "The SUN and the moon", "yy"},
    {"keywords:existence", "{\"keywords\": [\"sun\", \"moon\"]}", "The sun", "nn"},
    {"keywords:frequency", "{\"keyword\": \"war\", \"frequency\": 2, \"relation\": \"at least\"}", "War and warm",
     "yy"},
    {"keywords:frequency", "{\"keyword\": \"war\", \"frequency\": 2, \"relation\": \"less than\"}", "War, war", "nn"},
    {"keywords:forbidden_words", "{\"forbidden_words\": [\"rock\"]}", "Rocks roll", "yy"},
    {"keywords:forbidden_words", "{\"forbidden_words\": [\"rock\"]}", "On a Rock.", "nn"},
    {"keywords:forbidden_words", "{\"forbidden_words\": [\"sure\"]}", "Sure:\nhere it is", "ny"},
    {"keywords:letter_frequency", "{\"letter\": \"A\", \"let_frequency\": 3, \"let_relation\": \"at least\"}", "aAa",
     "yy"},
    {"keywords:letter_frequency", "{\"letter\": \"a\", \"let_frequency\": 3, \"let_relation\": \"less than\"}", "aAa",
     "nn"},
    {"keywords:letter_frequency", "{\"letter\": \"#\", \"let_frequency\": 2, \"let_relation\": \"at least\"}", "# #",
     "yy"},
    {"language:response_language", "{\"language\": \"de\"}", "Das ist ein Haus und der Hund ist nicht da.", "yy"},
    {"language:response_language", "{\"language\": \"de\"}", "This is a house and the dog is not here.", "nn"},
    {"language:response_language", "{\"language\": \"ko\"}", "한국어 문장입니다", "yy"},
    {"length_constraints:number_sentences", "{\"relation\": \"at least\", \"num_sentences\": 2}", "One. Two!", "yy"},
    {"length_constraints:number_sentences", "{\"relation\": \"less than\", \"num_sentences\": 2}", "One. Two!", "nn"},
    {"length_constraints:number_paragraphs", "{\"num_paragraphs\": 2}", "one\n***\ntwo", "yy"},
    {"length_constraints:number_paragraphs", "{\"num_paragraphs\": 2}", "***\none\n***\ntwo\n***", "yy"},
    {"length_constraints:number_paragraphs", "{\"num_paragraphs\": 2}", "one\n\ntwo", "nn"},
    {"length_constraints:number_paragraphs", "{\"num_paragraphs\": 2}", "one *** *** two", "nn"},
    {"length_constraints:number_words", "{\"relation\": \"at least\", \"num_words\": 4}", "it's two-fold", "yy"},
    {"length_constraints:number_words", "{\"relation\": \"less than\", \"num_words\": 4}", "it's two-fold", "nn"},
    {"length_constraints:nth_paragraph_first_word",
     "{\"num_paragraphs\": 2, \"nth_paragraph\": 2, \"first_word\": \"Weekend\"}", "A\n\n\"weekend's\" on", "yy"},
    {"length_constraints:nth_paragraph_first_word",
     "{\"num_paragraphs\": 2, \"nth_paragraph\": 2, \"first_word\": \"weekend\"}", "A\n\nThe weekend", "nn"},
    {"length_constraints:nth_paragraph_first_word",
     "{\"num_paragraphs\": 3, \"nth_paragraph\": 3, \"first_word\": \"weekend\"}", "A\n\nweekend", "nn"},
    {"detectable_content:number_placeholders", "{\"num_placeholders\": 2}", "[name] of [place]", "yy"},
    {"detectable_content:number_placeholders", "{\"num_placeholders\": 2}", "[name\n] of [place]", "nn"},
    {"detectable_content:postscript", "{\"postscript_marker\": \"P.S.\"}", "Bye.\nP. S. more", "yy"},
    {"detectable_content:postscript", "{\"postscript_marker\": \"P.P.S\"}", "Bye.\np.s. more", "nn"},
    {"detectable_content:postscript", "{\"postscript_marker\": \"P.P.S\"}", "Bye.\nP.P.S. more", "yy"},
    {"detectable_format:number_bullet_lists", "{\"num_bullets\": 2}", "Here:\n* one\n - two", "yy"},
    {"detectable_format:number_bullet_lists", "{\"num_bullets\": 2}", "Here:\n**one**\n* two", "nn"},
    {"detectable_format:constrained_response", "{}", "Well. My answer is maybe.", "yy"},
    {"detectable_format:constrained_response", "{}", "My answer is maybe", "nn"},
    {"detectable_format:number_highlighted_sections", "{\"num_highlights\": 2}", "*one* and *two*", "yy"},
    {"detectable_format:number_highlighted_sections", "{\"num_highlights\": 2}", "*one* and * *", "nn"},
    {"detectable_format:multiple_sections", "{\"section_spliter\": \"SECTION\", \"num_sections\": 2}",
     "SECTION 1\na\nSECTION 2\nb", "yy"},
    {"detectable_format:multiple_sections", "{\"section_spliter\": \"SECTION\", \"num_sections\": 2}",
     "Section 1\na\nSECTION 2\nb", "nn"},
    {"detectable_format:json_format", "{}", "```json\n{\"a\": [1, NaN, -2.5e3, \"\\u00e9\"]}\n```", "yy"},
    {"detectable_format:json_format", "{}", "Here:\n{\"a\": 1}", "ny"},
    {"detectable_format:json_format", "{}", "{\"a\": 01}", "nn"},
    {"detectable_format:json_format", "{}", "{'a': 1}", "nn"},
    {"detectable_format:title", "{}", "<<A title>>\ntext", "yy"},
    {"detectable_format:title", "{}", "<< >>\ntext", "nn"},
    {"combination:two_responses", "{}", "one\n******\ntwo", "yy"},
    {"combination:two_responses", "{}", "one\n******\none", "nn"},
    {"combination:two_responses", "{}", "one\n******\n******\ntwo", "nn"},
    {"combination:repeat_prompt", "{\"prompt_to_repeat\": \"Say it.\"}", " say it. Good", "yy"},
    {"combination:repeat_prompt", "{\"prompt_to_repeat\": \"Say it.\"}", "Sure. Say it.", "nn"},
    {"combination:repeat_prompt", "{\"prompt_to_repeat\": \"Say it.\"}", "Sure.\nSay it.", "ny"},
    {"startend:end_checker", "{\"end_phrase\": \"Any questions?\"}", "No.\n\"any Questions?\"\n", "yy"},
    {"startend:end_checker", "{\"end_phrase\": \"Any questions?\"}", "Any questions? No.", "nn"},
    {"startend:quotation", "{}", " \"All of it\" ", "yy"},
    {"startend:quotation", "{}", "\"", "nn"},
    {"change_case:capital_word_frequency", "{\"capital_frequency\": 3, \"capital_relation\": \"at least\"}",
     "DON'T go to the U.S. Now", "yy"},
    {"change_case:capital_word_frequency", "{\"capital_frequency\": 3, \"capital_relation\": \"less than\"}",
     "DON'T go to the U.S. Now", "nn"},
    {"change_case:english_capital", "{}", "THIS IS THE END OF IT", "yy"},
    {"change_case:english_capital", "{}", "THIS IS THE End OF IT", "nn"},
    {"change_case:english_capital", "{}", "DAS IST DAS ENDE UND NICHT DER ANFANG", "nn"},
    {"change_case:english_lowercase", "{}", "this is the end of it", "yy"},
    {"change_case:english_lowercase", "{}", "this is the End of it", "nn"},
    {"punctuation:no_comma", "{}", "none here", "yy"},
    {"punctuation:no_comma", "{}", "one, two", "nn"},
    {"punctuation:no_comma", "{}", "Sure, here:\nnone", "ny"},
    {"punctuation:no_comma", "{}", "", "nn"}, /* an empty response follows nothing */
};

static void test_constraints(void **state)
{
  (void)state;
  bool seen[64][2] = {{false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct verdict v;
    struct error err = {0};
    char want[64];
    CHECK_OK(judge(cases[i].id, cases[i].kwargs, cases[i].response, strlen(cases[i].response), &v, &err), &err);
    snprintf(want, sizeof want, "\"strict\": [%s], \"loose\": [%s]", cases[i].outcome[0] == 'y' ? "true" : "false",
             cases[i].outcome[1] == 'y' ? "true" : "false");
    if (strcmp(v.more, want) != 0) print_message("%s on \"%s\": %s\n", cases[i].id, cases[i].response, v.reason);
    CHECK_STR(v.more, want);
    CHECK(v.correct == (cases[i].outcome[0] == 'y') && *v.reason);
    for (size_t k = 0; k < constraint_count(); k++)
      if (!strcmp(constraint_at(k), cases[i].id)) seen[k][v.correct] = true;
  }
  CHECK_INT(constraint_count(), 25);
  for (size_t k = 0; k < constraint_count(); k++) CHECK(seen[k][0] && seen[k][1]);
}

static void test_sentences(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int count;
  } rows[] = {{"", 0},
              {"   ", 0},
              {"No end", 1},
              {"One. Two? Three!", 3},
              {"Mr. Smith met Dr. J. Brown, e.g. at 5 p.m. in Rome.", 1},
              {"He lives in the U.S. The end.", 2},
              {"\"Stop!\" he said. (Really.) Yes.", 4},
              {"Version 1.2 is 3.5 times faster.", 1},
              {"It was 1999. Then came 2000.", 2},
              {"Wait... what? Wait... What?", 3}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct span t = {rows[i].text, strlen(rows[i].text)};
    if (ifeval_sentences(t) != rows[i].count) print_message("%s\n", rows[i].text);
    CHECK_INT(ifeval_sentences(t), rows[i].count);
  }
}

static void test_capital_words(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int count;
  } rows[] = {{"I am A B", 3},      {"HELLO, WORLD!", 2}, {"CANNOT", 2},        {"I'M SURE", 3}, {"iPhone X2 3", 1},
              {"**BOLD** (OK)", 2}, {"\"YES\" NO.", 2},   {"A-B-C CO-OP d", 2}, {"", 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct error err = {0};
    int64_t n;
    CHECK_OK(ifeval_capital_words(arena, &patterns, (struct span){rows[i].text, strlen(rows[i].text)}, &n, &err), &err);
    if (n != rows[i].count) print_message("%s\n", rows[i].text);
    CHECK_INT(n, rows[i].count);
  }
}

static void test_languages(void **state)
{
  (void)state;
  static const struct {
    const char *code, *text;
  } rows[] = {
      {"en", "The quick brown fox jumps over the lazy dog, and then it sleeps."},
      {"de", "Der schnelle Fuchs springt über den Hund und dann schläft er ein."},
      {"fr", "Le renard saute par-dessus le chien, puis il dort dans la maison."},
      {"es", "El zorro salta sobre el perro y luego duerme en la casa."},
      {"pt", "A raposa pula sobre o cão e depois dorme em uma casa, mas não muito."},
      {"it", "La volpe salta sopra il cane e poi dorme nella casa, ma non molto."},
      {"nl", "De vos springt over de hond en dan slaapt hij in het huis, maar niet lang."},
      {"fi", "Kettu hyppää koiran yli ja sitten se nukkuu, mutta ei ole väsynyt, kun on yö."},
      {"vi", "Con cáo nhảy qua con chó và sau đó nó ngủ trong nhà của tôi."},
      {"sw", "Mbweha anaruka juu ya mbwa na kisha analala katika nyumba yake kwa sababu ni usiku."},
      {"ru", "Лиса прыгает через собаку, и потом она спит в доме, но не долго. Это было вчера."},
      {"bg", "Лисицата скача над кучето и след това спи в къщата, но не за дълго, защото е късно."},
      {"hi", "लोमड़ी कुत्ते के ऊपर से कूदती है और फिर वह घर में सो जाती है।"},
      {"mr", "कोल्हा कुत्र्यावरून उडी मारतो आणि मग तो घरात झोपतो, पण तो थकलेला नाही. हे आहे."},
      {"ne", "स्याल कुकुरमाथि उफ्रन्छ र त्यसपछि घरमा सुत्छ, तर यो थकित छैन। यस्तो भएको छ।"},
      {"ar", "يقفز الثعلب فوق الكلب ثم ينام في البيت على الأرض."},
      {"fa", "روباه از روی سگ می پرد و در خانه می خوابد که خسته است."},
      {"ur", "لومڑی کتے کے اوپر سے چھلانگ لگاتی ہے اور گھر میں سوتی ہے۔"},
      {"ja", "狐は犬を飛び越えて、それから家で眠ります。"},
      {"zh-cn", "狐狸跳过狗，然后在家里睡觉。"},
      {"th", "สุนัขจิ้งจอกกระโดดข้ามสุนัข"},
      {"kn", "ನರಿ ನಾಯಿಯ ಮೇಲೆ ಹಾರುತ್ತದೆ"},
      {"und", "BETRICE"},
      {"und", "एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *got = language_detect(rows[i].text, strlen(rows[i].text));
    CHECK(got != NULL);
    if (strcmp(got, rows[i].code) != 0) print_message("%s\n", rows[i].text);
    CHECK_STR(got, rows[i].code);
  }
  CHECK(!language_detect("12 + 3 = 15", 11));
  CHECK(!language_detect("", 0));
}

static void test_wrong_problems(void **state)
{
  (void)state;
  static const struct {
    const char *id, *kwargs, *says;
  } rows[] = {{"keywords:existance", "{}", "keywords:existence"},
              {"keywords:existence", "{}", "keywords"},
              {"keywords:frequency", "{\"keyword\": \"a\", \"frequency\": 1, \"relation\": \"about\"}", "at least"},
              {"keywords:frequency", "{\"keyword\": \"a(\", \"frequency\": 1, \"relation\": \"at least\"}", "pattern"},
              {"length_constraints:number_words", "{\"relation\": \"at least\"}", "num_words"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct verdict v;
    struct error err = {0};
    CHECK_ERROR(judge(rows[i].id, rows[i].kwargs, "some text", 9, &v, &err), &err, ERROR_INPUT, rows[i].says);
    CHECK_INT(err.line, 7);
  }
}

/* A megabyte of anything is judged in bounded time and memory by each constraint. */
static void test_hostile(void **state)
{
  (void)state;
  enum { SIZE = 300000 };
  static char text[SIZE];
  size_t size = check_cases(SIZE, SIZE / 10);
  static const char *const fillers[] = {"*", "a.", " A", "\n", "[", "\"'", "\xff\xfe", "```", "<<"};
  for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
    for (size_t i = 0; i < size; i++) text[i] = fillers[f][i % strlen(fillers[f])];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 3) {
      struct verdict v;
      struct error err = {0};
      CHECK_OK(judge(cases[i].id, cases[i].kwargs, text, size, &v, &err), &err);
      if (v.ms > 500) print_message("%s on %s: %g ms\n", cases[i].id, fillers[f], v.ms);
      CHECK(v.reason && v.ms < 20000);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_constraints),    cmocka_unit_test(test_sentences),
                                     cmocka_unit_test(test_capital_words),  cmocka_unit_test(test_languages),
                                     cmocka_unit_test(test_wrong_problems), cmocka_unit_test(test_hostile)};
  return cmocka_run_group_tests(tests, setup, teardown);
}

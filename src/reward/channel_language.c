/* Whether the response keeps to the prompt's writing: letters of the target script / all letters, 0 to 1; 1 where there
 * is no letter. (DeepSeek-R1, 2025, section 2.3.2, counts words of the target language; a script can be told exactly.)
 *
 * The target is the script with most letters in the last user message, ties to the earlier of the list, or the setting
 * `script`. Han and Kana are one where the prompt has Kana. Not counted, since they are written alike everywhere: code
 * between ``` or `, mathematics between $, \( \) or \[ \].
 *
 * Worked example: prompt in Chinese, response with 9 Han characters, 3 Latin letters and "$x$": 0.75.
 */
#include <string.h>
#include <utf8proc.h>
#include "core/cursor.h"
#include "reward/channel.h"

/* In the order in which ties are decided. */
enum script {
  SCRIPT_latin,
  SCRIPT_cyrillic,
  SCRIPT_greek,
  SCRIPT_han,
  SCRIPT_kana,
  SCRIPT_hangul,
  SCRIPT_arabic,
  SCRIPT_hebrew,
  SCRIPT_devanagari,
  SCRIPT_bengali,
  SCRIPT_tamil,
  SCRIPT_telugu,
  SCRIPT_kannada,
  SCRIPT_malayalam,
  SCRIPT_gujarati,
  SCRIPT_gurmukhi,
  SCRIPT_sinhala,
  SCRIPT_thai,
  SCRIPT_lao,
  SCRIPT_khmer,
  SCRIPT_myanmar,
  SCRIPT_georgian,
  SCRIPT_armenian,
  SCRIPT_ethiopic,
  SCRIPT_tibetan,
  SCRIPT_mongolian,
  SCRIPT_other,
  SCRIPT_COUNT
};
static const char *const names[SCRIPT_COUNT] = {
    "latin",   "cyrillic", "greek",   "han",      "kana",      "hangul",   "arabic",   "hebrew",    "devanagari",
    "bengali", "tamil",    "telugu",  "kannada",  "malayalam", "gujarati", "gurmukhi", "sinhala",   "thai",
    "lao",     "khmer",    "myanmar", "georgian", "armenian",  "ethiopic", "tibetan",  "mongolian", "other"};

static const struct {
  uint32_t first, last;
  enum script script;
} blocks[] = {
    {0x0000, 0x024f, SCRIPT_latin},     {0x0370, 0x03ff, SCRIPT_greek},      {0x0400, 0x052f, SCRIPT_cyrillic},
    {0x0530, 0x058f, SCRIPT_armenian},  {0x0590, 0x05ff, SCRIPT_hebrew},     {0x0600, 0x06ff, SCRIPT_arabic},
    {0x0750, 0x077f, SCRIPT_arabic},    {0x08a0, 0x08ff, SCRIPT_arabic},     {0x0900, 0x097f, SCRIPT_devanagari},
    {0x0980, 0x09ff, SCRIPT_bengali},   {0x0a00, 0x0a7f, SCRIPT_gurmukhi},   {0x0a80, 0x0aff, SCRIPT_gujarati},
    {0x0b80, 0x0bff, SCRIPT_tamil},     {0x0c00, 0x0c7f, SCRIPT_telugu},     {0x0c80, 0x0cff, SCRIPT_kannada},
    {0x0d00, 0x0d7f, SCRIPT_malayalam}, {0x0d80, 0x0dff, SCRIPT_sinhala},    {0x0e00, 0x0e7f, SCRIPT_thai},
    {0x0e80, 0x0eff, SCRIPT_lao},       {0x0f00, 0x0fff, SCRIPT_tibetan},    {0x1000, 0x109f, SCRIPT_myanmar},
    {0x10a0, 0x10ff, SCRIPT_georgian},  {0x1100, 0x11ff, SCRIPT_hangul},     {0x1200, 0x139f, SCRIPT_ethiopic},
    {0x1780, 0x17ff, SCRIPT_khmer},     {0x1800, 0x18af, SCRIPT_mongolian},  {0x1c80, 0x1c8f, SCRIPT_cyrillic},
    {0x1c90, 0x1cbf, SCRIPT_georgian},  {0x1e00, 0x1eff, SCRIPT_latin},      {0x1f00, 0x1fff, SCRIPT_greek},
    {0x2c60, 0x2c7f, SCRIPT_latin},     {0x2de0, 0x2dff, SCRIPT_cyrillic},   {0x3005, 0x3007, SCRIPT_han},
    {0x3040, 0x30ff, SCRIPT_kana},      {0x3130, 0x318f, SCRIPT_hangul},     {0x31f0, 0x31ff, SCRIPT_kana},
    {0x3400, 0x4dbf, SCRIPT_han},       {0x4e00, 0x9fff, SCRIPT_han},        {0xa640, 0xa69f, SCRIPT_cyrillic},
    {0xa720, 0xa7ff, SCRIPT_latin},     {0xa8e0, 0xa8ff, SCRIPT_devanagari}, {0xac00, 0xd7ff, SCRIPT_hangul},
    {0xf900, 0xfaff, SCRIPT_han},       {0xfb00, 0xfb06, SCRIPT_latin},      {0xfb1d, 0xfb4f, SCRIPT_hebrew},
    {0xfb50, 0xfdff, SCRIPT_arabic},    {0xfe70, 0xfeff, SCRIPT_arabic},     {0xff21, 0xff5a, SCRIPT_latin},
    {0xff66, 0xff9f, SCRIPT_kana},      {0x20000, 0x3ffff, SCRIPT_han},
};

static enum script script_of(uint32_t c)
{
  size_t low = 0, high = sizeof blocks / sizeof *blocks;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (c > blocks[middle].last)
      low = middle + 1;
    else
      high = middle;
  }
  return low < sizeof blocks / sizeof *blocks && c >= blocks[low].first ? blocks[low].script : SCRIPT_other;
}

static bool is_letter(uint32_t c)
{
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* Bytes of code or mathematics that begin at s[0]; 0: neither. A span that does not end within a line or so is none,
 * but a block of code goes to the end of the text. */
static size_t skip_notation(const char *s, size_t n)
{
  static const struct {
    const char *open, *close;
    size_t most;
  } spans[] = {{"```", "```", SIZE_MAX}, {"`", "`", 500},     {"$$", "$$", 1000},
               {"$", "$", 500},          {"\\(", "\\)", 500}, {"\\[", "\\]", 1000}};
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    size_t open = strlen(spans[i].open), close = strlen(spans[i].close), end = open;
    if (n < open || memcmp(s, spans[i].open, open) != 0) continue;
    size_t most = n < spans[i].most ? n : spans[i].most;
    while (end + close <= most && memcmp(s + end, spans[i].close, close) != 0) end++;
    if (end + close <= most) return end + close;
    return spans[i].most == SIZE_MAX ? n : open;
  }
  return 0;
}

static void count_letters(const char *s, size_t n, int64_t counts[SCRIPT_COUNT])
{
  for (size_t i = 0; i < n;) {
    uint32_t c;
    size_t skipped = strchr("`$\\", s[i]) && s[i] ? skip_notation(s + i, n - i) : 0;
    size_t step = skipped ? skipped : utf8_decode((const uint8_t *)s + i, n - i, &c);
    if (!skipped && step && is_letter(c)) counts[script_of(c)]++;
    i += step ? step : 1;
  }
}

static enum script most_letters(const int64_t counts[SCRIPT_COUNT])
{
  enum script best = SCRIPT_latin;
  for (int i = 1; i < SCRIPT_COUNT; i++)
    if (counts[i] > counts[best]) best = (enum script)i;
  return best;
}

static const char *last_question(const struct problem *p)
{
  for (size_t i = json_array_size(p->messages); i-- > 0;) {
    const json_t *m = json_array_get(p->messages, i);
    const char *role = json_string_value(json_object_get(m, "role")),
               *text = json_string_value(json_object_get(m, "content"));
    if (role && text && !strcmp(role, "user")) return text;
  }
  return p->prompt ? p->prompt : "";
}

static int open(struct arena *a, struct channel_config *c, struct error *err)
{
  const struct setting_value *given = channel_value(c, "script");
  (void)a;
  for (size_t i = 0; given->set && i < SCRIPT_COUNT; i++)
    if (!strcmp(names[i], given->text)) return 0;
  return given->set ? names_unknown("script", given->text, names, SCRIPT_COUNT - 1, NULL, 0, err) : 0;
}

static int value(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
                 struct error *err)
{
  int64_t asked[SCRIPT_COUNT] = {0}, got[SCRIPT_COUNT] = {0}, all = 0;
  const struct setting_value *given = channel_value(c, "script");
  const char *question = last_question(in->problem);
  (void)a, (void)err;
  count_letters(question, strlen(question), asked);
  count_letters(in->response, in->n, got);
  enum script target = most_letters(asked);
  for (int i = 0; given->set && i < SCRIPT_COUNT; i++)
    if (!strcmp(names[i], given->text)) target = (enum script)i;
  for (int i = 0; i < SCRIPT_COUNT; i++) all += got[i];
  int64_t right = got[target];
  bool japanese = (target == SCRIPT_han && asked[SCRIPT_kana]) || target == SCRIPT_kana;
  if (japanese) right = got[SCRIPT_han] + got[SCRIPT_kana];
  bool unknown = !given->set && !asked[target];
  *out = !all || unknown ? 1 : (double)right / (double)all;
  return 0;
}

static const struct setting settings[] = {
    {"script", SETTING_TEXT, 0, 0, NULL, NULL, "target, like latin or han; without it the prompt's"},
};

const struct channel channel_language = {
    .name = "language",
    .help = "0 to 1: the share of letters in the script of the prompt",
    .settings = settings,
    .setting_count = 1,
    .open = open,
    .value = value,
};

#define _GNU_SOURCE
#include "reward/language.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>
#include "text/unicode.h"

enum script { LATIN, CYRILLIC, DEVANAGARI, ARABIC, OWN /* one language: named in the range */, SCRIPT_COUNT };

/* Letters of these code points are of that script; code: the one language that uses it. */
static const struct range {
  uint32_t first, last;
  enum script script;
  const char *code;
} ranges[] = {
    {'A', 'Z', LATIN, NULL},        {'a', 'z', LATIN, NULL},          {0xaa, 0x24f, LATIN, NULL},
    {0x1e00, 0x1eff, LATIN, NULL},  {0x370, 0x3ff, OWN, "el"},        {0x1f00, 0x1fff, OWN, "el"},
    {0x400, 0x52f, CYRILLIC, NULL}, {0x530, 0x58f, OWN, "hy"},        {0x590, 0x5ff, OWN, "he"},
    {0x600, 0x6ff, ARABIC, NULL},   {0x750, 0x77f, ARABIC, NULL},     {0xfb50, 0xfdff, ARABIC, NULL},
    {0xfe70, 0xfeff, ARABIC, NULL}, {0x900, 0x97f, DEVANAGARI, NULL}, {0x980, 0x9ff, OWN, "bn"},
    {0xa00, 0xa7f, OWN, "pa"},      {0xa80, 0xaff, OWN, "gu"},        {0xb00, 0xb7f, OWN, "or"},
    {0xb80, 0xbff, OWN, "ta"},      {0xc00, 0xc7f, OWN, "te"},        {0xc80, 0xcff, OWN, "kn"},
    {0xd00, 0xd7f, OWN, "ml"},      {0xd80, 0xdff, OWN, "si"},        {0xe00, 0xe7f, OWN, "th"},
    {0xe80, 0xeff, OWN, "lo"},      {0x1000, 0x109f, OWN, "my"},      {0x10a0, 0x10ff, OWN, "ka"},
    {0x1200, 0x137f, OWN, "am"},    {0x1780, 0x17ff, OWN, "km"},      {0x1100, 0x11ff, OWN, "ko"},
    {0x3130, 0x318f, OWN, "ko"},    {0xac00, 0xd7a3, OWN, "ko"},      {0x3040, 0x30ff, OWN, "ja"},
    {0x3400, 0x4dbf, OWN, "zh-cn"}, {0x4e00, 0x9fff, OWN, "zh-cn"},
};

/* Frequent words, lower case, between spaces; marks: letters and pieces of words that its neighbours lack.
 */
static const struct row {
  enum script script;
  const char *code, *words, *marks;
} rows[] = {
    {LATIN, "en",
     " the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
     "which "
     "you were all her she there would their we him been has when who will no more if out so up said what its about "
     "than "
     "into them can only other time some could these two may first then do any like my now over such our me even most "
     "your i us how here please also should just ",
     "'s n't ing"},
    {LATIN, "de",
     " der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat "
     "dass "
     "sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr "
     "durch "
     "man sein wurde ich du wir ihr mein dein unser kann wenn ",
     "ß"},
    {LATIN, "fr",
     " de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou son mais "
     "comme on cette nous vous je tu elle être aux ont été leur fait ses ces y sans tout si votre notre c'est d'un ",
     "œ"},
    {LATIN, "es",
     " de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre "
     "este ya entre cuando todo esta ser son dos también fue había era muy hasta desde está mi porque qué yo eso nos ",
     "ñ ¿ ¡"},
    {LATIN, "pt",
     " de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua "
     "ou "
     "ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos você são ",
     "ã õ"},
    {LATIN, "it",
     " di e il la che in a per un è del non sono le con i si da una al dei come lo della ma gli ha nel più anche alla "
     "o "
     "su se questo ci mi delle questa io essere dalla loro tutto nella era fatto ho perché cui quando molto ",
     "ì ò"},
    {LATIN, "nl",
     " de het een van en in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog naar heeft ze "
     "wordt "
     "door over tot hij je ik deze dit wat zo worden meer kan had was u wij we hebben geen ",
     ""},
    {LATIN, "sv",
     " och att det i en som är av på för med till den har de inte om ett var jag från men vi kan så hon han ", "å"},
    {LATIN, "da", " og i at det er en til af på som med for den de ikke der han har et var jeg fra men vi kan hun af ",
     "æ ø"},
    {LATIN, "no", " og i det på som er en til å av for at med har de ikke den han var jeg fra men vi kan hun et ", ""},
    {LATIN, "fi",
     " ja on ei että se hän oli joka mutta ovat kun niin myös tai kuin ole voi sen jos mitä olen tämä minä sinä hänen "
     "olla nyt kaikki siitä ne mukaan sekä ",
     "ä ö"},
    {LATIN, "et", " ja on ei et see ta oli mis kui ka aga või ma sa nad kes seda oma siis veel olen ", "õ"},
    {LATIN, "hu", " a az és hogy nem is egy ez meg csak de ha vagy mint van volt már el én te mert aki ami ", "ő ű"},
    {LATIN, "pl", " w i na z się nie do to że jest o jak po co od za przez dla są jego ale był oraz tym ",
     "ą ę ł ś ć ź ż"},
    {LATIN, "cs", " a v se na je že s z do o to jako za by pro ale jsou po tak si jeho který ve ", "ě ř ů"},
    {LATIN, "sk", " a v sa na je že s z do o to ako za by pre ale sú po tak si jeho ktorý vo ", "ľ ĺ ŕ ô"},
    {LATIN, "ro", " de și în a la cu pe un o nu din că pentru este care mai sunt sau fi ce am ca prin ", "ă ș ț ş ţ"},
    {LATIN, "hr", " i je u da se na za su ne od s kao što o sam koji ali to ili bi kako ", "č ć đ š ž"},
    {LATIN, "sl", " in je v na da se za so ne od s kot ki o sem pa ali to tudi bi ", "č š ž"},
    {LATIN, "tr", " ve bir bu da de için ile çok ne daha gibi olarak var ben sen o kadar ama en olan ", "ı ğ ş"},
    {LATIN, "vi",
     " và của là có các một cho không được người trong đã với những này để khi tôi bạn về đến từ như cũng ra sẽ vào "
     "nhiều "
     "rất làm thể năm ở trên ",
     "ơ ư đ ă ạ ả ấ ầ ẩ ẫ ậ ắ ằ ẳ ẵ ặ ẹ ẻ ẽ ế ề ể ễ ệ ỉ ị ọ ỏ ố ồ ổ ỗ ộ ớ ờ ở ỡ ợ ụ ủ ứ ừ ử ữ ự ỳ ỵ ỷ ỹ"},
    {LATIN, "sw",
     " na ya wa kwa ni katika la cha za kama hii hiyo huo yake wake au pia kuwa watu moja sana mimi wewe yeye sisi "
     "hapa "
     "yao kila lakini ili hivyo vya hili mji nchi siku mtu habari asante ",
     ""},
    {LATIN, "id",
     " yang dan di dengan untuk dari pada ini itu dalam tidak adalah akan ke oleh juga saya anda atau karena ", ""},
    {LATIN, "tl", " ang ng sa na mga at ay ni para hindi ko si kung ito niya siya ako ka ", ""},
    {LATIN, "ca", " de la i el que en a les del per un una és els amb al no es més com ha però són ", "·"},
    {LATIN, "lt", " ir kad yra į su tai ne iš o kaip buvo bet per jis jo dėl tik ar ", "ė į ų ū"},
    {LATIN, "lv", " un ir ka no ar uz par bet tas kā to tika pēc ja viņš ", "ģ ķ ļ ņ"},
    {LATIN, "sq", " dhe në të e i një për me që nga është si ka më do ", "ë"},
    {LATIN, "af", " die en van in is het dat nie te vir met op wat hy ek sy aan was as ook ", ""},
    {LATIN, "so", " oo iyo waa in ka ku ee u la waxaa uu ay si ah soo aan ", ""},
    {LATIN, "cy", " y yn a i yr o ar mae ei am wedi gan fod ac at oedd ", "ŵ ŷ"},
    {CYRILLIC, "ru",
     " и в не на что я с он а как это по но они мы все она так его из у к за вы же от бы для был или о ее было есть то "
     "если когда только может этот который ",
     "ы э ё"},
    {CYRILLIC, "bg",
     " и в на да се не за от с е си са по че това като до как но или той тя беше ще които има го му след може ги при ",
     "ъ"},
    {CYRILLIC, "uk", " і в на не що з до я у та як це він за по але його вони ми для є був від ", "і ї є ґ"},
    {CYRILLIC, "mk", " и во на да се не за од со е што тоа како но или тој таа беше ќе кои има ", "ќ ѓ ѕ"},
    {CYRILLIC, "sr", " и у је да се на за су не од са као што о сам који али то или би ", "ђ ћ џ"},
    {DEVANAGARI, "hi",
     " है के में की को और से का यह हैं पर एक नहीं कि ने भी इस था लिए ही तो हो वह कर हम आप मैं जो गया "
     "किया थे अपने बहुत साथ या रहा करने होता सकते करें ",
     ""},
    {DEVANAGARI, "mr",
     " आहे आणि या मध्ये हे ते ची चा च्या नाही एक आहेत मी तो ती होते व की आपण तुम्ही केले करण्यासाठी "
     "असे आपल्या त्या साठी पण "
     "होता म्हणून काही त्यांच्या माझे माझ्या करा ",
     "ळ"},
    {DEVANAGARI, "ne",
     " छ र को मा हो छन् यो भएको गर्न पनि लागि एक थियो गर्ने हुन् हुन्छ तथा भने मलाई तपाईं हामी "
     "गरेको नै बाट यस त्यो म तर ",
     ""},
    {ARABIC, "ar",
     " في من على إلى أن هذا التي الذي عن مع هو هي لا ما كان كل أو قد بين بعد لم ذلك هذه كما و أنا نحن يا عند حيث ثم "
     "إن ",
     "ة أ إ ى ؤ ئ"},
    {ARABIC, "fa",
     " و در به از که این را با است برای آن یک تا بر هم می شود شد خود ها من ما شما کرد بود باید اگر یا هر نیز است. ",
     "پ چ ژ گ"},
    {ARABIC, "ur",
     " کے کی میں ہے اور سے کا کو یہ نے پر ہیں کہ اس ایک بھی ہو تھا نہیں جو تو وہ آپ ہم لیے گیا کر ساتھ رہا ",
     "ٹ ڈ ڑ ے ں ہ ھ"},
};
enum { ROWS = sizeof rows / sizeof *rows, RANGES = sizeof ranges / sizeof *ranges, WORD = 64, MOST_WORDS = 2000 };

static const struct range *range_of(uint32_t c)
{
  for (size_t i = 0; i < RANGES; i++)
    if (c >= ranges[i].first && c <= ranges[i].last) return &ranges[i];
  return NULL;
}

/* A link or an address begins here: its length. */
static size_t link_length(const char *s, size_t n)
{
  size_t length = 0, at = 0;
  while (length < n && (unsigned char)s[length] > ' ') {
    at += s[length] == '@';
    length++;
  }
  bool link = (length > 7 && !memcmp(s, "http://", 7)) || (length > 8 && !memcmp(s, "https://", 8));
  return link || at == 1 ? length : 0;
}

struct counts {
  size_t script[SCRIPT_COUNT], own[RANGES]; /* letters */
  size_t score[ROWS];                       /* 1 a frequent word of the language, 2 a word with a mark of it */
};

/* ---- the words and marks of all rows, found in one step -----------------------------------------------------------
 */

enum { INDEX = 8192 };
struct entry {
  const char *text;
  size_t length; /* 0: free */
  uint64_t rows; /* bit i: row i has it */
};
static struct entry words_of[INDEX], marks_of[INDEX];
static pthread_once_t made = PTHREAD_ONCE_INIT;
_Static_assert(ROWS <= 64, "a row is a bit of struct entry");

/* The place of a text, or the free one where it would stand (FNV-1a, linear probing). */
static struct entry *place_of(struct entry *index, const char *s, size_t n)
{
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)s[i]) * 1099511628211u;
  size_t at = (size_t)(hash >> 32) % INDEX;
  while (index[at].length && (index[at].length != n || memcmp(index[at].text, s, n) != 0)) at = (at + 1) % INDEX;
  return &index[at];
}

static void add_list(struct entry *index, const char *list, size_t row)
{
  for (size_t n; *list; list += n ? n : 1) {
    n = strcspn(list, " ");
    if (!n) continue;
    struct entry *e = place_of(index, list, n);
    e->text = list;
    e->length = n;
    e->rows |= (uint64_t)1 << row;
  }
}

static void make_index(void)
{
  for (size_t i = 0; i < ROWS; i++) {
    add_list(words_of, rows[i].words, i);
    add_list(marks_of, rows[i].marks, i);
  }
}

/* A word as it grows, in lower case. */
struct word {
  char text[WORD + 8];
  size_t length;
  uint32_t last;  /* its last letter */
  uint64_t marks; /* rows of which it holds a mark */
  bool apostrophe;
};

static void add_letter(struct counts *c, struct word *w, uint32_t ch)
{
  const struct range *r = range_of(ch);
  if (r) {
    c->script[r->script]++;
    if (r->script == OWN) c->own[r - ranges]++;
    w->last = ch;
  }
  w->apostrophe |= ch == '\'';
  if (w->length >= WORD) return;
  char *at = w->text + w->length;
  if (ch < 0x80) {
    at[0] = (char)(ch >= 'A' && ch <= 'Z' ? ch | 32 : ch);
    w->length++;
    return;
  }
  size_t n = (size_t)utf8proc_encode_char(utf8proc_tolower((utf8proc_int32_t)ch), (utf8proc_uint8_t *)at);
  w->length += n;
  w->marks |= place_of(marks_of, at, n)->rows;
}

static void end_word(struct counts *c, struct word *w)
{
  static const char *const pieces[] = {"'s", "n't"}; /* the marks that are more than a letter */
  const struct range *r = range_of(w->last);
  uint64_t known = place_of(words_of, w->text, w->length)->rows;
  for (size_t i = 0; w->apostrophe && i < 2; i++)
    if (memmem(w->text, w->length, pieces[i], strlen(pieces[i])))
      w->marks |= place_of(marks_of, pieces[i], strlen(pieces[i]))->rows;
  for (size_t i = 0; r && r->script != OWN && (known | w->marks) && i < ROWS; i++)
    if (rows[i].script == r->script) c->score[i] += (known >> i & 1) + 2 * (w->marks >> i & 1);
  *w = (struct word){.length = 0};
}

static void count_text(struct counts *c, const char *s, size_t n)
{
  struct word w = {.length = 0};
  for (size_t i = 0, words = 0, step; i < n && words < MOST_WORDS; i += step) {
    size_t skip = !i || (unsigned char)s[i - 1] <= ' ' ? link_length(s + i, n - i) : 0;
    uint32_t ch = unicode_at(s, n, i, &step);
    if (skip) step = skip;
    if (!skip && (unicode_is_word(ch) || (ch == '\'' && w.length))) {
      add_letter(c, &w, ch);
    } else if (w.length) {
      end_word(c, &w);
      words++;
    }
  }
  if (w.length) end_word(c, &w);
}

/* The language of a script that only one uses: the one with most letters; Japanese is written with Han and Kana. */
static const char *own_language(const struct counts *c)
{
  size_t best = 0, japanese = 0;
  for (size_t i = 0; i < RANGES; i++) {
    if (c->own[i] > c->own[best]) best = i;
    if (ranges[i].code && !strcmp(ranges[i].code, "ja")) japanese += c->own[i];
  }
  return !strcmp(ranges[best].code, "zh-cn") && 10 * japanese > c->own[best] ? "ja" : ranges[best].code;
}

/* The script with most letters; Latin only where it has half as many as the others. SCRIPT_COUNT: no letters. */
static enum script main_script(const struct counts *c)
{
  enum script best = SCRIPT_COUNT;
  size_t others = 0, most = 0;
  for (int i = 0; i < SCRIPT_COUNT; i++)
    if (i != LATIN) others += c->script[i];
  for (int i = 0; i < SCRIPT_COUNT; i++) {
    if (c->script[i] <= most || (i == LATIN && 2 * c->script[LATIN] < others)) continue;
    most = c->script[i];
    best = (enum script)i;
  }
  return best;
}

/* The row with the largest score, if it is clearly ahead of the next. */
static const char *best_language(const struct counts *c, enum script script)
{
  size_t best = ROWS, next = 0;
  for (size_t i = 0; i < ROWS; i++) {
    if (rows[i].script != script) continue;
    if (best == ROWS || c->score[i] > c->score[best]) {
      next = best == ROWS ? 0 : c->score[best];
      best = i;
    } else if (c->score[i] > next) {
      next = c->score[i];
    }
  }
  return 10 * c->score[best] > 11 * next ? rows[best].code : "und";
}

const char *language_detect(const char *s, size_t n)
{
  struct counts c = {0};
  pthread_once(&made, make_index);
  count_text(&c, s, n);
  enum script script = main_script(&c);
  if (script == SCRIPT_COUNT) return NULL;
  return script == OWN ? own_language(&c) : best_language(&c, script);
}

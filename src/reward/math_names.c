#include "reward/math_names.h"
#include <string.h>

#define TOKEN(text, type, value)               \
  {                                            \
    text, MATH_USE_TOKEN, MATH_T_##type, value \
  }
#define CALL(text, function)                               \
  {                                                        \
    text, MATH_USE_TOKEN, MATH_T_FUNCTION, MATH_##function \
  }
#define CHARACTER(text, c)               \
  {                                      \
    text, MATH_USE_TOKEN, MATH_T_CHAR, c \
  }
#define SIGN(text, sign)                           \
  {                                                \
    text, MATH_USE_TOKEN, MATH_T_SIGN, MATH_##sign \
  }
#define SPACE(text)                     \
  {                                     \
    text, MATH_USE_SPACE, MATH_T_END, 0 \
  }
#define NONE(text)                     \
  {                                    \
    text, MATH_USE_NONE, MATH_T_END, 0 \
  }
#define TEXT(text)                     \
  {                                    \
    text, MATH_USE_TEXT, MATH_T_END, 0 \
  }
#define STYLE(text)                     \
  {                                     \
    text, MATH_USE_STYLE, MATH_T_END, 0 \
  }
#define ACCENT(text)                       \
  {                                        \
    text, MATH_USE_TOKEN, MATH_T_ACCENT, 0 \
  }

/* By first letter, in the order of use within one. */
static const struct math_name commands[] = {
    SPACE(" "),
    SPACE(","),
    SPACE(";"),
    SPACE(":"),
    SPACE("!"),
    SPACE(">"),
    SPACE("/"),
    CHARACTER("{", 'O'),
    CHARACTER("}", 'C'),
    CHARACTER("%", '%'),
    CHARACTER("|", '|'),
    CHARACTER("_", '_'),
    CHARACTER("&", '&'),
    CHARACTER("#", '#'),
    TOKEN("$", CURRENCY, 0),
    SPACE("("),
    SPACE(")"),
    SPACE("["),
    SPACE("]"),
    TOKEN("\\", ROW, 0),
    CALL("arcsin", ASIN),
    CALL("arccos", ACOS),
    CALL("arctan", ATAN),
    CALL("arccot", ACOT),
    CALL("arcsec", ASEC),
    CALL("arccsc", ACSC),
    SIGN("approx", ABOUT),
    NONE("angle"),
    CHARACTER("ast", '*'),
    TOKEN("begin", BEGIN, 0),
    TOKEN("binom", BINOMIAL, 0),
    STYLE("boxed"),
    STYLE("bm"),
    STYLE("boldsymbol"),
    ACCENT("bar"),
    TOKEN("backslash", DIFFERENCE, 0),
    CHARACTER("bullet", '*'),
    NONE("big"),
    NONE("Big"),
    NONE("bigg"),
    NONE("Bigg"),
    NONE("bigl"),
    NONE("bigr"),
    NONE("Bigl"),
    NONE("Bigr"),
    NONE("biggl"),
    NONE("biggr"),
    NONE("Biggl"),
    NONE("Biggr"),
    TOKEN("bmod", FUNCTION, MATH_MOD),
    TOKEN("bigcup", UNION, 0),
    TOKEN("bigcap", INTERSECTION, 0),
    CHARACTER("cdot", '*'),
    TOKEN("circ", DEGREE, 0),
    TOKEN("cup", UNION, 0),
    TOKEN("cap", INTERSECTION, 0),
    CALL("cos", COS),
    CALL("cot", COT),
    CALL("csc", CSC),
    CALL("cosh", COSH),
    CALL("coth", COTH),
    TOKEN("cdots", DOTS, 0),
    TOKEN("choose", CHOOSE, 0),
    CHARACTER("colon", ':'),
    SIGN("cong", OTHER),
    TOKEN("cfrac", FRACTION, 0),
    TOKEN("cuberoot", SURD, 3),
    TOKEN("dfrac", FRACTION, 0),
    CHARACTER("div", '/'),
    TOKEN("degree", DEGREE, 0),
    NONE("displaystyle"),
    NONE("dollars"),
    TOKEN("dots", DOTS, 0),
    TOKEN("dbinom", BINOMIAL, 0),
    ACCENT("dot"),
    TOKEN("end", FINISH, 0),
    CALL("exp", EXP),
    SIGN("equiv", OTHER),
    SIGN("eq", EQUALS),
    TOKEN("emptyset", EMPTY, 0),
    SPACE("enspace"),
    STYLE("emph"),
    TOKEN("euro", CURRENCY, 0),
    TOKEN("frac", FRACTION, 0),
    STYLE("fbox"),
    TOKEN("fourthroot", SURD, 4),
    CALL("gcd", GCD),
    SIGN("ge", AT_LEAST),
    SIGN("geq", AT_LEAST),
    SIGN("geqslant", AT_LEAST),
    SIGN("geqq", AT_LEAST),
    SIGN("gt", GREATER),
    ACCENT("hat"),
    STYLE("hbox"),
    TOKEN("hspace", OTHER, 0),
    TOKEN("infty", INFINITY, 0),
    SIGN("in", ELEMENT),
    CALL("Im", IM),
    TOKEN("implies", ARROW, 0),
    TOKEN("iff", ARROW, 0),
    NONE("left"),
    SIGN("le", AT_MOST),
    SIGN("leq", AT_MOST),
    SIGN("leqslant", AT_MOST),
    SIGN("leqq", AT_MOST),
    SIGN("lt", LESS),
    CALL("ln", LN),
    CALL("log", LOG),
    CALL("lg", LOG),
    CALL("lcm", LCM),
    CHARACTER("lfloor", 'f'),
    CHARACTER("lceil", 'k'),
    CHARACTER("langle", '<'),
    CHARACTER("lvert", '|'),
    CHARACTER("lVert", '|'),
    CHARACTER("lbrace", 'O'),
    CHARACTER("lbrack", '['),
    TOKEN("ldots", DOTS, 0),
    NONE("limits"),
    {"land", MATH_USE_TOKEN, MATH_T_WORD, 'a'},
    {"lor", MATH_USE_TOKEN, MATH_T_WORD, 'o'},
    TEXT("mbox"),
    {"mathrm", MATH_USE_UPRIGHT, MATH_T_END, 0},
    STYLE("mathbf"),
    STYLE("mathit"),
    STYLE("mathsf"),
    STYLE("mathtt"),
    STYLE("mathcal"),
    STYLE("mathscr"),
    STYLE("mathfrak"),
    STYLE("mathop"),
    TOKEN("mathbb", REALS, 0),
    CHARACTER("mid", '|'),
    NONE("middle"),
    TOKEN("mp", SIGNS, -1),
    CALL("max", MAX),
    CALL("min", MIN),
    TOKEN("mod", FUNCTION, MATH_MOD),
    SIGN("neq", UNEQUAL),
    SIGN("ne", UNEQUAL),
    SIGN("notin", OTHER),
    SIGN("ni", OTHER),
    NONE("nolimits"),
    {"operatorname", MATH_USE_UPRIGHT, MATH_T_END, 0},
    ACCENT("overline"),
    ACCENT("overrightarrow"),
    TOKEN("pi", PI, 0),
    TOKEN("pm", SIGNS, 1),
    TOKEN("pmod", FUNCTION, MATH_MOD),
    SIGN("parallel", OTHER),
    SIGN("perp", OTHER),
    SIGN("propto", OTHER),
    CHARACTER("prime", '\''),
    TOKEN("pounds", CURRENCY, 0),
    SPACE("quad"),
    SPACE("qquad"),
    NONE("right"),
    CHARACTER("rfloor", 'F'),
    CHARACTER("rceil", 'K'),
    CHARACTER("rangle", '>'),
    CHARACTER("rvert", '|'),
    CHARACTER("rVert", '|'),
    CHARACTER("rbrace", 'C'),
    CHARACTER("rbrack", ']'),
    CALL("Re", RE),
    TOKEN("Rightarrow", ARROW, 0),
    TOKEN("Longrightarrow", ARROW, 0),
    TOKEN("rupee", CURRENCY, 0),
    NONE("rm"),
    TOKEN("sqrt", ROOT, 0),
    CALL("sin", SIN),
    CALL("sec", SEC),
    CALL("sinh", SINH),
    TOKEN("setminus", DIFFERENCE, 0),
    TOKEN("smallsetminus", DIFFERENCE, 0),
    CHARACTER("star", '*'),
    TOKEN("surd", SURD, 2),
    SIGN("sim", OTHER),
    SIGN("simeq", ABOUT),
    SIGN("subset", OTHER),
    SIGN("subseteq", OTHER),
    NONE("scriptstyle"),
    TEXT("text"),
    TEXT("textbf"),
    TEXT("textit"),
    TEXT("textrm"),
    TEXT("textsf"),
    TEXT("texttt"),
    TEXT("textnormal"),
    TOKEN("tfrac", FRACTION, 0),
    TOKEN("tbinom", BINOMIAL, 0),
    CHARACTER("times", '*'),
    CALL("tan", TAN),
    CALL("tanh", TANH),
    NONE("textstyle"),
    SPACE("thinspace"),
    ACCENT("tilde"),
    NONE("tiny"),
    NONE("therefore"),
    NONE("triangle"),
    TOKEN("to", ARROW, 0),
    STYLE("underline"),
    CHARACTER("vert", '|'),
    CHARACTER("Vert", '|'),
    ACCENT("vec"),
    TOKEN("varnothing", EMPTY, 0),
    ACCENT("widehat"),
    {"wedge", MATH_USE_TOKEN, MATH_T_WORD, 'a'},
    {"vee", MATH_USE_TOKEN, MATH_T_WORD, 'o'},
    TOKEN("yen", CURRENCY, 0),
};

const struct math_name *math_command(const char *s, size_t n)
{
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (commands[i].name[0] == s[0] && strlen(commands[i].name) == n && !memcmp(commands[i].name, s, n))
      return &commands[i];
  return NULL;
}

int math_plain_function(const char *s, size_t n, int *value, bool *root)
{
  static const struct {
    const char *name;
    int value;
  } names[] = {{"sqrt", -2},
               {"cbrt", -3},
               {"abs", MATH_ABS},
               {"exp", MATH_EXP},
               {"ln", MATH_LN},
               {"log", MATH_LOG},
               {"sin", MATH_SIN},
               {"cos", MATH_COS},
               {"tan", MATH_TAN},
               {"cot", MATH_COT},
               {"sec", MATH_SEC},
               {"csc", MATH_CSC},
               {"arcsin", MATH_ASIN},
               {"arccos", MATH_ACOS},
               {"arctan", MATH_ATAN},
               {"asin", MATH_ASIN},
               {"acos", MATH_ACOS},
               {"atan", MATH_ATAN},
               {"arccot", MATH_ACOT},
               {"arcsec", MATH_ASEC},
               {"arccsc", MATH_ACSC},
               {"sinh", MATH_SINH},
               {"cosh", MATH_COSH},
               {"tanh", MATH_TANH},
               {"coth", MATH_COTH},
               {"asinh", MATH_ASINH},
               {"acosh", MATH_ACOSH},
               {"atanh", MATH_ATANH},
               {"arcsinh", MATH_ASINH},
               {"arccosh", MATH_ACOSH},
               {"arctanh", MATH_ATANH},
               {"arsinh", MATH_ASINH},
               {"arcosh", MATH_ACOSH},
               {"artanh", MATH_ATANH},
               {"floor", MATH_FLOOR},
               {"ceil", MATH_CEIL},
               {"gcd", MATH_GCD},
               {"lcm", MATH_LCM},
               {"max", MATH_MAX},
               {"min", MATH_MIN},
               {"mod", MATH_MOD},
               {"binom", MATH_BINOMIAL},
               {"factorial", MATH_FACTORIAL}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strlen(names[i].name) != n || memcmp(names[i].name, s, n) != 0) continue;
    *root = names[i].value < 0;
    *value = *root ? -names[i].value : names[i].value;
    return 0;
  }
  return -1;
}

static bool in_list(const char *s, size_t n, const char *const *words)
{
  for (; *words; words++)
    if (math_text_is(s, n, *words)) return true;
  return false;
}

bool math_is_greek(const char *s, size_t n)
{
  static const char *const words[] = {"alpha", "beta",   "gamma",    "delta",      "epsilon", "zeta", "eta",
                                      "theta", "iota",   "kappa",    "lambda",     "mu",      "nu",   "xi",
                                      "rho",   "sigma",  "tau",      "upsilon",    "phi",     "chi",  "psi",
                                      "omega", "varphi", "vartheta", "varepsilon", "ell",     "hbar", NULL};
  return in_list(s, n, words);
}

bool math_is_keyword(const char *s, size_t n)
{
  static const char *const words[] = {"and", "or",   "not", "no",   "is",   "are", "if",  "of",   "to",  "in",
                                      "per", "for",  "the", "an",   "as",   "at",  "by",  "with", "so",  "we",
                                      "it",  "be",   "on",  "that", "then", "yes", "was", "its",  "her", "his",
                                      "all", "none", "any", "he",   "she",  "us",  "am",  "pm",   NULL};
  return in_list(s, n, words);
}

int64_t math_number_word(const char *s, size_t n)
{
  static const char *const small[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                                      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const char *const tens[] = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
  static const struct {
    const char *name;
    int64_t value;
  } large[] = {{"hundred", 100},        {"thousand", 1000},          {"million", 1000000},
               {"billion", 1000000000}, {"trillion", 1000000000000}, {"dozen", 12}};
  for (int i = 0; i < 20; i++)
    if (math_text_is(s, n, small[i])) return i;
  for (int i = 0; i < 8; i++)
    if (math_text_is(s, n, tens[i])) return 10 * (i + 2);
  for (size_t i = 0; i < sizeof large / sizeof *large; i++)
    if (math_text_is(s, n, large[i].name)) return large[i].value;
  return -1;
}

int math_part_word(const char *s, size_t n)
{
  static const char *const names[] = {"half",    "third",  "quarter", "fifth", "sixth",
                                      "seventh", "eighth", "ninth",   "tenth"};
  if (math_text_is(s, n, "halves")) return 2;
  for (int i = 0; i < 9; i++)
    if (math_text_is(s, n, names[i]) || (n > 1 && (s[n - 1] | 32) == 's' && math_text_is(s, n - 1, names[i])))
      return i + 2;
  return 0;
}

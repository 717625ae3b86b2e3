#include "data/task_words.h"
#include <string.h>

/* clang-format off */
const char *const task_words[TASK_WORD_COUNT] = {
    "able", "about", "above", "accept", "across", "action", "active", "actor", "address", "advice", "after", "again",
    "against", "agree", "ahead", "airport", "alarm", "album", "alive", "allow", "almost", "alone", "along", "already",
    "also", "although", "always", "amount", "ancient", "anger", "angle", "animal", "annual", "another", "answer",
    "anxious", "anybody", "apart", "apple", "april", "area", "argue", "arm", "army", "around", "arrange", "arrive",
    "arrow", "article", "artist", "ask", "asleep", "attack", "attempt", "attend", "attract", "autumn", "average",
    "avoid", "award", "away", "baby", "back", "bacon", "badge", "balance", "ball", "banana", "band", "bank", "bare",
    "bargain", "barn", "base", "basic", "basin", "basket", "bath", "battle", "beach", "bean", "bear", "beard", "beat",
    "beautiful", "beauty", "because", "become", "bed", "bee", "before", "begin", "behave", "behind", "belief", "bell",
    "belong", "below", "belt", "bench", "bend", "berry", "beside", "best", "better", "between", "beyond", "bicycle",
    "big", "bill", "bird", "birth", "birthday", "biscuit", "bite", "bitter", "black", "blade", "blanket", "blind",
    "block", "blow", "blue", "board", "boat", "body", "boil", "bold", "bone", "book", "boot", "border", "borrow",
    "both", "bottle", "bottom", "bowl", "box", "branch", "brave", "bread", "break", "breakfast", "breath", "brick",
    "bridge", "brief", "bright", "bring", "broad", "broken", "brother", "brown", "brush", "bubble", "bucket", "build",
    "building", "bundle", "burn", "bus", "bush", "business", "busy", "butter", "butterfly", "button", "buyer",
    "cabbage", "cabin", "cable", "cage", "cake", "calendar", "call", "calm", "camel", "camera", "camp", "canal",
    "candle", "canvas", "capital", "captain", "car", "carbon", "card", "careful", "carpet", "carriage", "carrot",
    "carry", "cart", "castle", "cat", "catch", "cattle", "cause", "cave", "ceiling", "cell", "centre", "century",
    "certain", "chain", "chair", "chalk", "chance", "change", "channel", "chapter", "charge", "cheap", "cheese",
    "chemical", "cherry", "chest", "chicken", "chief", "child", "choice", "choose", "church", "circle", "citizen",
    "city", "claim", "class", "clay", "clean", "clear", "clerk", "clever", "climate", "climb", "clock", "close",
    "cloth", "clothes", "cloud", "coach", "coal", "coast", "coat", "coffee", "coin", "cold", "collar", "collect",
    "college", "colour", "column", "comb", "comfort", "command", "common", "company", "compare", "compass", "complete",
    "computer", "concert", "condition", "consider", "contain", "content", "continue", "control", "cook", "cool",
    "copper", "copy", "corn", "corner", "correct", "cost", "cottage", "cotton", "cough", "council", "count", "country",
    "couple", "courage", "course", "court", "cousin", "cover", "cow", "crack", "craft", "crash", "cream", "creature",
    "credit", "crop", "cross", "crowd", "crown", "cry", "culture", "cup", "cupboard", "cure", "current", "curtain",
    "curve", "custom", "customer", "cycle", "daily", "damage", "damp", "dance", "danger", "dangerous", "dark", "date",
    "daughter", "dawn", "day", "deal", "dear", "debate", "debt", "decide", "deep", "deer", "defend", "degree", "delay",
    "deliver", "demand", "depend", "depth", "describe", "desert", "design", "desk", "detail", "develop", "device",
    "diamond", "diary", "dictionary", "differ", "dinner", "direct", "direction", "dirt", "discover", "discuss", "dish",
    "distance", "divide", "doctor", "dog", "dollar", "door", "double", "doubt", "down", "dozen", "dragon", "draw",
    "drawer", "dream", "dress", "drink", "drive", "drop", "drum", "dry", "duck", "dust", "duty", "each", "eager",
    "eagle", "ear", "early", "earn", "earth", "east", "easy", "eat", "echo", "edge", "education", "effect", "effort",
    "egg", "eight", "elbow", "electric", "elephant", "eleven", "else", "empty", "end", "engine", "engineer", "enjoy",
    "enough", "enter", "entire", "entrance", "envelope", "equal", "error", "escape", "evening", "event", "ever",
    "every", "evidence", "exact", "examine", "example", "excellent", "except", "exchange", "excited", "exercise",
    "exist", "expect", "expensive", "experience", "explain", "explore", "express", "extra", "eye", "face", "fact",
    "factory", "fail", "faint", "fair", "faith", "fall", "false", "family", "famous", "fancy", "far", "farm", "farmer",
    "fast", "father", "fault", "favour", "feast", "feather", "feed", "feel", "fellow", "fence", "fetch", "fever",
    "few", "field", "fierce", "figure", "fill", "film", "final", "find", "finger", "finish", "fire", "first", "fish",
    "fit", "flag", "flame", "flash", "flat", "flavour", "flight", "float", "flood", "floor", "flour", "flow", "flower",
    "fly", "fog", "fold", "follow", "food", "foot", "football", "force", "foreign", "forest", "forget", "forgive",
    "fork", "form", "fortune", "forward", "found", "fountain", "four", "fox", "frame", "free", "freedom", "freeze",
    "fresh", "friend", "frog", "front", "frost", "frozen", "fruit", "fuel", "full", "funny", "fur", "furniture",
    "future", "gain", "gallery", "game", "garage", "garden", "garlic", "gate", "gather", "general", "gentle", "ghost",
    "giant", "gift", "ginger", "giraffe", "girl", "give", "glad", "glass", "glove", "glue", "goal", "goat", "gold",
    "golden", "good", "goose", "govern", "grain", "grammar", "grand", "grandfather", "grandmother", "grape", "grass",
    "grateful", "grave", "great", "green", "greet", "grey", "grind", "grocery", "ground", "group", "grow", "growth",
    "guard", "guess", "guest", "guide", "guitar", "habit", "hair", "half", "hall", "hammer", "hand", "handle",
    "handsome", "hang", "happen", "happy", "harbour", "hard", "hardly", "harm", "harvest", "hat", "hawk", "hay",
    "head", "health", "healthy", "hear", "heart", "heat", "heaven", "heavy", "hedge", "height", "hello", "helmet",
    "help", "hen", "herb", "here", "hero", "hidden", "hide", "high", "hill", "hire", "history", "hobby", "hold",
    "hole", "holiday", "hollow", "home", "honest", "honey", "honour", "hook", "hope", "horn", "horse", "hospital",
    "host", "hotel", "hour", "house", "however", "huge", "human", "humble", "hundred", "hungry", "hunt", "hurry",
    "husband", "ice", "icon", "idea", "ideal", "idle", "image", "imagine", "important", "improve", "inch", "include",
    "income", "increase", "indeed", "indoor", "industry", "influence", "inform", "ink", "insect", "inside", "instant",
    "instead", "instrument", "insurance", "intend", "interest", "invent", "invite", "iron", "island", "item", "ivory",
    "jacket", "jam", "jar", "jealous", "jewel", "job", "join", "joke", "journey", "joy", "judge", "jug", "juice",
    "jump", "june", "jungle", "junior", "jury", "just", "justice", "keen", "keep", "kettle", "key", "kick", "kid",
    "kidney", "kind", "king", "kingdom", "kitchen", "kite", "knee", "knife", "knit", "knock", "knot", "know",
    "knowledge", "label", "labour", "lace", "ladder", "lady", "lake", "lamb", "lamp", "land", "language", "lantern",
    "large", "last", "late", "laugh", "laundry", "law", "lawn", "lawyer", "lay", "lazy", "lead", "leader", "leaf",
    "lean", "learn", "leather", "leave", "lecture", "left", "leg", "lemon", "lend", "length", "leopard", "lesson",
    "let", "letter", "lettuce", "level", "liberty", "library", "lid", "lift", "light", "like", "likely", "limit",
    "line", "lion", "lip", "liquid", "list", "listen", "literature", "little", "live", "lizard", "load", "loaf",
    "loan", "local", "lock", "logic", "lonely", "long", "look", "loose", "lord", "lose", "lot", "loud", "love",
    "lovely", "low", "loyal", "luck", "lucky", "luggage", "lunch", "lung", "machine", "magazine", "magic", "magnet",
    "mail", "main", "major", "make", "manage", "manner", "many", "map", "marble", "march", "mark", "market",
    "marriage", "mask", "master", "match", "material", "mathematics", "matter", "maximum", "mayor", "meadow", "meal",
    "mean", "measure", "meat", "medicine", "medium", "meet", "melon", "melt", "member", "memory", "mend", "mental",
    "mention", "menu", "merchant", "merry", "message", "metal", "method", "middle", "midnight", "might", "mild",
    "milk", "mill", "mind", "mine", "mineral", "minimum", "minister", "minor", "minute", "mirror", "miss", "mist",
    "mistake", "mix", "model", "modern", "modest", "moment", "money", "monkey", "month", "moon", "moral", "morning",
    "mother", "motion", "motor", "mountain", "mouse", "mouth", "move", "movie", "mud", "multiply", "muscle", "museum",
    "mushroom", "music", "musical", "must", "mystery", "nail", "name", "napkin", "narrow", "nation", "native",
    "nature", "naughty", "navy", "near", "nearly", "neat", "necessary", "neck", "need", "needle", "neighbour",
    "neither", "nephew", "nerve", "nest", "net", "never", "new", "news", "newspaper", "next", "nice", "night", "nine",
    "noble", "nobody", "noise", "noon", "normal", "north", "nose", "note", "nothing", "notice", "novel", "number",
    "nurse", "nut", "oak", "oar", "oath", "obey", "object", "observe", "obtain", "ocean", "october", "odd", "offer",
    "office", "officer", "often", "oil", "old", "olive", "once", "onion", "only", "open", "opera", "operate",
    "opinion", "opposite", "orange", "orbit", "orchard", "order", "ordinary", "organ", "origin", "other", "ought",
    "outdoor", "outside", "oval", "oven", "over", "owe", "owl", "own", "owner", "oxygen", "oyster", "pack", "page",
    "pain", "paint", "painter", "pair", "palace", "pale", "palm", "pan", "panda", "paper", "parade", "parcel",
    "pardon", "parent", "park", "parrot", "part", "partner", "party", "pass", "passage", "passenger", "past", "paste",
    "path", "patience", "patient", "pattern", "pause", "pay", "peace", "peach", "peak", "pear", "pearl", "pebble",
    "pen", "pencil", "penguin", "penny", "people", "pepper", "perfect", "perform", "perhaps", "period", "permit",
    "person", "phone", "photograph", "piano", "pick", "picnic", "picture", "piece", "pigeon", "pile", "pillow",
    "pilot", "pin", "pine", "pink", "pioneer", "pipe", "pirate", "pity", "place", "plain", "plan", "plane", "planet",
    "plant", "plastic", "plate", "play", "player", "pleasant", "please", "pleasure", "plenty", "plum", "plural",
    "pocket", "poem", "poet", "point", "polar", "police", "policy", "polish", "polite", "pond", "pony", "pool", "poor",
    "popular", "porridge", "port", "position", "possible", "post", "pot", "potato", "pottery", "pound", "pour",
    "powder", "power", "practice", "praise", "prefer", "prepare", "present", "president", "press", "pretty", "prevent",
    "price", "pride", "primary", "prince", "princess", "print", "private", "prize", "problem", "process", "produce",
    "professor", "profit", "program", "promise", "proof", "proper", "protect", "proud", "prove", "provide", "public",
    "pull", "pump", "pupil", "puppy", "pure", "purple", "purpose", "purse", "push", "puzzle", "pyramid", "quality",
    "quantity", "quarrel", "quarter", "queen", "question", "quick", "quiet", "quilt", "quite", "quiz", "rabbit",
    "race", "radio", "rail", "railway", "rain", "rainbow", "raise", "range", "rank", "rapid", "rare", "rather", "raw",
    "reach", "read", "ready", "real", "reason", "receive", "recent", "recipe", "record", "red", "reduce", "refuse",
    "regard", "region", "regret", "regular", "relation", "relax", "remain", "remember", "remind", "remove", "rent",
    "repair", "repeat", "reply", "report", "request", "rescue", "respect", "rest", "restaurant", "result", "return",
    "reward", "rhythm", "ribbon", "rice", "rich", "ride", "right", "ring", "ripe", "rise", "risk", "river", "road",
    "roar", "roast", "robot", "rock", "rocket", "roll", "roof", "room", "root", "rope", "rose", "rough", "round",
    "route", "row", "royal", "rubber", "ruin", "rule", "ruler", "run", "rural", "rush", "rust", "sack", "sad",
    "saddle", "safe", "safety", "sail", "sailor", "salad", "salary", "salmon", "salt", "same", "sand", "sandwich",
    "satisfy", "sauce", "sausage", "save", "say", "scale", "scarf", "scene", "school", "science", "scientist",
    "scissors", "score", "scratch", "screen", "sea", "seal", "search", "season", "seat", "second", "secret", "see",
    "seed", "seem", "seldom", "select", "self", "sell", "send", "sense", "sentence", "separate", "serious", "serve",
    "settle", "seven", "several", "shade", "shadow", "shake", "shallow", "shape", "share", "sharp", "sheep", "sheet",
    "shelf", "shell", "shelter", "shine", "ship", "shirt", "shock", "shoe", "shop", "shore", "short", "shoulder",
    "shout", "show", "shower", "shut", "shy", "side", "sight", "sign", "signal", "silence", "silent", "silk", "silly",
    "silver", "similar", "simple", "since", "sing", "singer", "single", "sink", "sister", "six", "size", "skate",
    "skill", "skirt", "sky", "sleep", "sleeve", "slice", "slide", "slight", "slip", "slope", "slow", "small", "smart",
    "smell", "smile", "smoke", "smooth", "snail", "snake", "snow", "soap", "social", "society", "sock", "soft", "soil",
    "soldier", "solid", "solve", "some", "son", "song", "soon", "sort", "soul", "sound", "soup", "sour", "south",
    "space", "spade", "spare", "speak", "special", "speech", "speed", "spell", "spend", "spice", "spider", "spill",
    "spin", "spirit", "split", "spoil", "sponge", "spoon", "sport", "spot", "spray", "spread", "spring", "square",
    "squirrel", "stable", "staff", "stage", "stair", "stamp", "stand", "standard", "star", "start", "state", "station",
    "statue", "stay", "steady", "steam", "steel", "steep", "stem", "step", "stick", "stiff", "still", "sting", "stir",
    "stock", "stomach", "stone", "stop", "store", "storm", "story", "stove", "straight", "strange", "stranger",
    "straw", "stream", "street", "strength", "stretch", "strict", "strike", "string", "strip", "stripe", "strong",
    "student", "studio", "study", "style", "subject", "succeed", "success", "sudden", "sugar", "suggest", "suit",
    "summer", "sun", "sunset", "supper", "supply", "support", "suppose", "sure", "surface", "surprise", "surround",
    "swallow", "swan", "sweep", "sweet", "swift", "swim", "swing", "symbol", "system", "table", "tail", "tailor",
    "take", "tale", "talent", "talk", "tall", "tame", "tap", "tape", "target", "task", "taste", "tax", "taxi", "tea",
    "teach", "teacher", "team", "tear", "telephone", "television", "tell", "temper", "temple", "ten", "tennis", "tent",
    "term", "test", "text", "thank", "theatre", "theory", "thick", "thin", "thing", "think", "third", "thirst",
    "thirty", "thorn", "thread", "three", "throat", "through", "throw", "thumb", "thunder", "thursday", "ticket",
    "tide", "tidy", "tie", "tiger", "tight", "tile", "time", "tin", "tiny", "tip", "tired", "title", "toast", "today",
    "toe", "together", "tomato", "tomorrow", "tongue", "tonight", "tool", "tooth", "top", "torch", "total", "touch",
    "tour", "toward", "towel", "tower", "town", "toy", "track", "trade", "traffic", "train", "transport", "travel",
    "tray", "treasure", "treat", "tree", "triangle", "trick", "trip", "trouble", "trousers", "truck", "true",
    "trumpet", "trunk", "trust", "truth", "try", "tube", "tune", "tunnel", "turkey", "turn", "turtle", "twelve",
    "twenty", "twice", "twin", "twist", "two", "type", "tyre", "umbrella", "uncle", "under", "understand", "unhappy",
    "uniform", "union", "unit", "universe", "university", "unless", "until", "unusual", "upon", "upper", "upset",
    "upstairs", "upward", "urgent", "use", "useful", "usual", "valley", "value", "van", "vanilla", "variety",
    "various", "vase", "vast", "vegetable", "vehicle", "veil", "velvet", "verb", "verse", "very", "vessel", "view",
    "village", "violet", "violin", "visit", "visitor", "voice", "volcano", "volume", "vote", "vowel", "voyage", "wage",
    "wagon", "waist", "wait", "waiter", "wake", "walk", "wall", "wallet", "walnut", "wander", "want", "warm", "warn",
    "wash", "waste", "watch", "water", "wave", "wax", "way", "weak", "wealth", "wear", "weather", "weave", "wedding",
    "weed", "week", "weigh", "weight", "welcome", "well", "west", "wet", "whale", "wheat", "wheel", "whip", "whisper",
    "whistle", "white", "whole", "wide", "wife", "wild", "will", "win", "wind", "window", "wing", "winter", "wipe",
    "wire", "wisdom", "wise", "wish", "within", "without", "witness", "wolf", "woman", "wonder", "wonderful", "wood",
    "wooden", "wool", "word", "work", "worker", "world", "worm", "worry", "worth", "wrap", "wrist", "write", "writer",
    "wrong", "yard", "yawn", "year", "yellow", "yesterday", "yet", "young", "youth", "zebra", "zero", "zone", "zoo",
};
/* clang-format on */

size_t words_between(int64_t low, int64_t high)
{
  size_t count = 0;
  for (size_t i = 0; i < TASK_WORD_COUNT; i++) {
    int64_t n = (int64_t)strlen(task_words[i]);
    count += n >= low && n <= high;
  }
  return count;
}

const char *words_draw(struct draw *d, int64_t low, int64_t high)
{
  for (;;) {
    const char *word = task_words[draw_index(d, TASK_WORD_COUNT)];
    int64_t n = (int64_t)strlen(word);
    if (n >= low && n <= high) return word;
  }
}

void words_draw_distinct(struct draw *d, int64_t low, int64_t high, const char **out, size_t count)
{
  for (size_t i = 0; i < count;) {
    const char *word = words_draw(d, low, high);
    size_t j = 0;
    while (j < i && out[j] != word) j++;
    if (j == i) out[i++] = word;
  }
}

bool words_has(const char *word, size_t n)
{
  size_t low = 0, high = TASK_WORD_COUNT;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strncmp(word, task_words[middle], n);
    if (!order && task_words[middle][n]) order = -1;
    if (!order) return true;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return false;
}

int words_need(const struct task_config *c, const char *low, const char *high, size_t count, struct error *err)
{
  TRY(task_need_order(c, low, high, err));
  size_t found = words_between(task_int(c, low), task_int(c, high));
  if (found >= count) return 0;
  FAIL_AT(err, ERROR_INPUT, NULL, 0, low, "found %zu words of %s to %s letters (%lld to %lld); expected at least %zu",
          found, low, high, (long long)task_int(c, low), (long long)task_int(c, high), count);
}

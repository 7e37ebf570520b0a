# What the original of BERT's tokenizers (huggingface/tokenizers, which Transformers uses) makes of every character, of odd
# texts, and of the reviews that come with the repository: odd.json.
#
#   python test/golden/tokens/odd.py <folder of bert-base-…-tokenizer.json>
#
# `characters` has a hash for each 4,096 code points: SHA-256, its first 16 digits, over the five lines of each of them (as
# JSON): a, the character and b after each step of BertNormalizer alone, and as words of BertPreTokenizer. `texts` has each
# text normalised in four ways and cut into words, and its tokens by the published vocabularies. `reviews` has a hash for
# each 100 reviews, as hashes.json has them, by the bundled tokenizer.
import csv
import hashlib
import json
import os
import sys

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

BLOCK, REVIEWS = 4096, 100
HERE = os.path.dirname(os.path.abspath(__file__))
BUNDLED = os.path.join(HERE, "../../../train/node/bundled")

TEXTS = [
    "𠮷𠮷", "吉𠮷野家 is 好吃", "漢字かな交じり文", "㐀㐁豈更", "\U0002a6df\U0002a6e0\U0002a700",
    "\U0002b73f\U0002b740\U0002b81f\U0002b820\U0002b91f\U0002b920\U0002ceaf\U0002ceb0",
    "\U0002f800\U0002fa1f\U00030000", "ΟΔΥΣΣΕΥΣ", "ὈΔΥΣΣΕΎΣ, ΣΟΦΌΣ.", "Σ ΑΣ ΣΑΣ.", "İstanbul Iğdır ıI",
    "I\u0307 i\u0307 \u0130\u0307", "Straße STRASSE ẞ", "ǅ Ǆ ǆ ﬁ ﬀ Ŀ", "é e\u0301 ệ e\u0323\u0302 Å Å",
    "Zalgo: H\u0336\u0321e\u0334\u0322", "naïve café Ångström Čapek Łódź đ ø", "\u0301 alone", "한국어 영화",
    "\u1112\u1161\u11ab", "ﾊﾝｸﾞﾙ ｶﾞ", "ＦＵＬＬ　ｗｉｄｔｈ！", "क्षि हिन्दी", "ภาษาไทยดี", "العربيّة مُمتاز", "שָׁלוֹם",
    "👍🏽 ok", "👩\u200d👩\u200d👧 family", "❤\ufe0f love",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "1\ufe0f\u20e3 🇫🇷",
    "zero\u200bwidth\u200djoin\u2060er\ufeff", "soft\u00adhyphen", "tab\tline\nreturn\r\nend",
    "\x00nul\x07bell\x7fdel\x85next", "\ufffdbroken\ufffd", "no\u00a0break\u202fspace\u3000wide\u2028line\u2029para",
    "\u180emongolian\u200e\u200f", "don't — “quoted” ‘s… «no»", "a_b-c/d\\e^f`g|h~i", "€5 £3 ¥2 ₿1 ±½ ²",
    "№1 ™ © ® ° ¶ §", "𝕳𝖊𝖑𝖑𝖔 𝐰𝐨𝐫𝐥𝐝 🅰", "ⅣⅨ ⓐ ㍿", "\ue000private\U000f0000", "[CLS] x[SEP]y [MASK]z [cls]",
    "[UNK][PAD]", "##ing ##", "x" * 100, "x" * 101, "𝕏" * 100, "𝕏" * 101, "مرحبا؟ ، ؛", "।॥ ។ ᭎", "ᴬᴮ ᵃ ˈstress",
    "\U000105c9\U00011938", "Ⱥ Ⱦ ꙗ Ꭰ ꭰ", "", "   ", "a" + "\u0300" * 30,
]
SETTINGS = {
    "uncased": dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
    "cased": dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=False),
    "accents": dict(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=True),
    "bare": dict(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
}
NOTHING = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
STEPS = ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"]


def words(text):
    return [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]


def tokenizer(path):
    made = tokenizers.Tokenizer.from_file(path)
    made.no_truncation()
    made.no_padding()
    return made


def digest(lines):
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


steps = [BertNormalizer(**{**NOTHING, step: True}) for step in STEPS]
characters = []
for first in range(0, 0x110000, BLOCK):
    texts = [f"a{chr(c)}b" for c in range(first, first + BLOCK) if not 0xD800 <= c <= 0xDFFF]
    characters.append(digest(compact([*(step.normalize_str(t) for step in steps), words(t)]) + "\n" for t in texts)[:16])

published = {kind: tokenizer(os.path.join(sys.argv[1], f"bert-base-{kind}-tokenizer.json")) for kind in ("uncased", "cased")}
texts = [{
    "text": text,
    "words": {name: words(BertNormalizer(**setting).normalize_str(text)) for name, setting in SETTINGS.items()},
    "tokens": {kind: made.encode(text, add_special_tokens=False).tokens for kind, made in published.items()},
} for text in TEXTS]

bundled = tokenizer(os.path.join(BUNDLED, "model/tokenizer.json"))
reviews = []
for name in ("train", "test"):
    with open(os.path.join(BUNDLED, f"reviews/{name}.csv"), newline="", encoding="utf-8") as file:
        reviews += [row["text"] for row in csv.DictReader(file)]
ids = [bundled.encode(text).ids for text in reviews]
lines = [",".join(map(str, row)) + "\n" for row in ids]
hashes = [digest(lines[at:at + REVIEWS]) for at in range(0, len(lines), REVIEWS)]
counts = {"count": len(ids), "tokens": sum(map(len, ids)), "block": REVIEWS, "hashes": hashes}

with open(os.path.join(HERE, "odd.json"), "w", encoding="utf-8") as file:
    listed = lambda rows: "[\n  " + ",\n  ".join(map(compact, rows)) + "\n ]"
    file.write("{\n" + ",\n".join([
        f' "versions": {compact({"tokenizers": tokenizers.__version__})}',
        f' "block": {BLOCK}',
        f' "settings": {compact(SETTINGS)}',
        f' "characters": {compact(characters)}',
        f' "texts": {listed(texts)}',
        f' "reviews": {compact(counts)}',
    ]) + "\n}\n")

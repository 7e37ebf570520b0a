# Two hundred pairs of texts, and lists of words, as Transformers tokenises them with the bundled vocabulary: ids and token
# types, cut by each of its strategies. Texts come from the bundled reviews. Writes expected.json, which keeps the first
# ten of each in full and of all a hash.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import transformers
from bundled import sha256, texts, tokenizer
from oracle import beside, versions, words, write

COUNT, KEPT = 200, 10
draw = words("pairs", 4 * COUNT)
SPECIALS = ["", " ", "🎬 naïve café", "a", "它 is good", "don't stop…", "x" * 120]


def text_of(word):
    return SPECIALS[word % len(SPECIALS)] if word % 17 == 0 else texts[word % len(texts)]


def pair(a, b, **options):
    # As a batch of one: given alone, Transformers takes a pair with an empty second text for a single one.
    encoding = tokenizer([a], [b], **options)
    return {key: encoding[key][0] for key in ("input_ids", "token_type_ids")}


def described(encodings):
    rows = [[encoding["input_ids"], encoding["token_type_ids"]] for encoding in encodings]
    return {"kept": rows[:KEPT], "sha256": sha256(rows)}


pairs = [(text_of(int(draw[2 * i])), text_of(int(draw[2 * i + 1]))) for i in range(COUNT)]
lengths = [int(8 + draw[2 * COUNT + i] % 60) for i in range(COUNT)]
out = {"versions": versions(transformers), "pairs": pairs, "lengths": lengths}
out["whole"] = described([pair(a, b) for a, b in pairs])
for strategy in ("longest_first", "only_second"):
    rows = []
    for (a, b), length in zip(pairs, lengths):
        # Only the second is cut where that is enough; Transformers leaves others as they are, or raises.
        first = len(tokenizer(a, add_special_tokens=False)["input_ids"])
        fits = strategy == "longest_first" or length > first + 3
        rows.append(pair(a, b, truncation=strategy, max_length=length) if fits else pair(a, b))
    out[strategy] = described(rows)
lists = [a.split() for a, _ in pairs]
rows = []
for one in lists:
    encoding = tokenizer(one, is_split_into_words=True)
    before, first = None, []
    for word in encoding.word_ids():
        first.append(-1 if word is None or word == before else word)
        before = word
    rows.append({"input_ids": encoding["input_ids"], "token_type_ids": first})
out["words"] = described(rows)
write(beside(__file__, "expected.json"), out)

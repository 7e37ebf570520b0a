# The vocabularies that Hugging Face's trainer learns: expected.json. Of the texts and settings in cases.json in full; of
# 5,000 IMDb reviews as hashes, if their folder is given.
#
#   python test/golden/wordpiece-training/make.py [<folder of IMDb's plain_text>]
#
# The trainer gives the characters with ## the order of a hash map that is seeded anew in each run, and pairs of equal
# count go by these ids, so that two runs differ. Here each run is made twice: the second is given the first one's
# characters as special tokens, by code point, which pins their ids and changes nothing else.
import hashlib
import json
import os
import sys

import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
REVIEWS = 5000


def train(texts, special, size, min_frequency, limit_alphabet=1000, **normalizer):
    tokenizer = tokenizers.BertWordPieceTokenizer(**normalizer)
    tokenizer.train_from_iterator(
        texts, vocab_size=size, min_frequency=min_frequency, limit_alphabet=limit_alphabet,
        special_tokens=special, show_progress=False)
    return [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


def learn(texts, size, **options):
    """The vocabulary with the characters in order."""
    characters = train(texts, SPECIAL, 1, **options)[len(SPECIAL):]
    first = [token for token in characters if len(token) == 1]
    assert first == sorted(first)
    inner = sorted(token for token in characters if len(token) > 1)
    pinned = SPECIAL + first + inner
    vocabulary = train(texts, pinned, size, **options)
    assert vocabulary == train(texts, pinned, size, **options)
    assert vocabulary[:len(pinned)] == pinned
    return vocabulary


def digest(vocabulary):
    return hashlib.sha256("".join(f"{token}\n" for token in vocabulary).encode()).hexdigest()


with open(os.path.join(HERE, "cases.json")) as file:
    cases = json.load(file)
expected = {case["name"]: learn(cases["texts"], **{k: v for k, v in case.items() if k != "name"}) for case in cases["cases"]}

reviews = []
if len(sys.argv) > 1:
    import pyarrow.parquet

    path = os.path.join(sys.argv[1], "train-00000-of-00001.parquet")
    texts = pyarrow.parquet.read_table(path)["text"].to_pylist()[:REVIEWS]
    for size, lowercase in ((8000, True), (6000, False)):
        vocabulary = learn(texts, size, min_frequency=2, lowercase=lowercase)
        reviews.append({"size": size, "lowercase": lowercase, "last": vocabulary[-5:], "sha256": digest(vocabulary)})
else:
    with open(os.path.join(HERE, "expected.json")) as file:
        reviews = json.load(file)["reviews"]

def rows(values):
    return ",\n".join(f"  {value}" for value in values)


with open(os.path.join(HERE, "expected.json"), "w") as file:
    vocabularies = rows(f"{json.dumps(name)}: {json.dumps(tokens, ensure_ascii=False)}" for name, tokens in expected.items())
    file.write(
        f'{{\n "versions": {{"tokenizers": "{tokenizers.__version__}"}},\n "vocabularies": {{\n{vocabularies}\n }},\n'
        f' "count": {REVIEWS},\n "reviews": [\n{rows(map(json.dumps, reviews))}\n ]\n}}\n')

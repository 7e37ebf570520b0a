# What Transformers' tokenizers make of 2,000 IMDb reviews, as hashes: hashes.json. Every 25th review of the training and of
# the test set, which come sorted by class, so that half of them are of each class.
#
#   python test/golden/tokens/make.py <folder of IMDb's plain_text> <folder of bert-base-…-vocab.txt and -tokenizer.json>
#
# A hash is SHA-256 over the ids of a hundred reviews, a line each, with commas between; so a difference tells in which
# hundred it is. Whole reviews, and the same cut to 128 tokens.
import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pyarrow.parquet
import tokenizers
import transformers
from oracle import beside, versions, write

EVERY, BLOCK, SHORT = 25, 100, 128

imdb, vocabularies = sys.argv[1:3]
reviews, labels = [], []
for split in ("train", "test"):
    table = pyarrow.parquet.read_table(os.path.join(imdb, f"{split}-00000-of-00001.parquet"))
    reviews += table["text"].to_pylist()[::EVERY]
    labels += table["label"].to_pylist()[::EVERY]
assert len(reviews) == 2000 and sum(labels) == 1000


def hashes(ids):
    lines = [",".join(map(str, row)) + "\n" for row in ids]
    return [hashlib.sha256("".join(lines[at:at + BLOCK]).encode()).hexdigest() for at in range(0, len(lines), BLOCK)]


found = {}
for kind in ("uncased", "cased"):
    of = lambda file: os.path.join(vocabularies, f"bert-base-{kind}-{file}")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=of("tokenizer.json"))
    from_vocabulary = transformers.BertTokenizer(vocab=of("vocab.txt"), do_lower_case=kind == "uncased")
    whole = tokenizer(reviews)["input_ids"]
    assert whole == from_vocabulary(reviews)["input_ids"]
    short = tokenizer(reviews, truncation=True, max_length=SHORT)["input_ids"]
    found[kind] = {"tokens": sum(map(len, whole)), "longest": max(map(len, whole)), "whole": hashes(whole), "short": hashes(short)}
write(beside(__file__, "hashes.json"), {
    "versions": versions(transformers, tokenizers), "every": EVERY, "block": BLOCK, "maxLength": SHORT, "hashes": found})

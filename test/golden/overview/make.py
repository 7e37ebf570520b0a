# What an overview says, computed another way: log-odds of the words of the bundled reviews and, where the folder of
# IMDb's Parquet files is given, the duplicates within and between its training and test set.
#   python make.py [FOLDER]      needs numpy and regex; with FOLDER pyarrow, too
# Near duplicates are found without hashing texts to signatures: all pairs that share a shingle, except shingles of more
# than MOST texts, which a pair with a similarity of 0.8 cannot share alone.
import csv
import glob
import json
import os
import sys

import numpy as np
import regex

here = os.path.dirname(os.path.abspath(__file__))
bundled = os.path.join(here, "../../../train/node/bundled/reviews/train.csv")
MOST = 200

TAG = regex.compile(r"</?[a-z][^<>]*>|<!--.*?(?:-->|\Z)", regex.I | regex.S)
WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+(?:'[\p{L}\p{M}]+)*")


def words_in(text):
    return WORD.findall(TAG.sub(" ", text).lower().replace("\u2019", "'"))


def log_odds(texts, labels):
    """Monroe, Colaresi & Quinn (2008), with each word's count in all texts as its prior."""
    split = [words_in(text) for text in texts]
    vocabulary = sorted({word for words in split for word in words})
    ids = {word: i for i, word in enumerate(vocabulary)}
    counts = np.zeros((2, len(vocabulary)))
    texts_with = np.zeros(len(vocabulary), dtype=int)
    for words, label in zip(split, labels):
        np.add.at(counts[label], [ids[word] for word in words], 1)
        texts_with[[ids[word] for word in set(words)]] += 1
    prior = counts.sum(0)
    total = prior.sum()
    n = counts.sum(1)
    odds = [(counts[k] + prior) / (n[k] + total - counts[k] - prior) for k in (0, 1)]
    delta = np.log(odds[1]) - np.log(odds[0])
    z = delta / np.sqrt(1 / (counts[0] + prior) + 1 / (counts[1] + prior))
    order = [i for i in np.argsort(-z, kind="stable") if texts_with[i] >= 3]
    def rows(which):
        return [[vocabulary[i], delta[i], z[i], int(counts[0][i]), int(counts[1][i])] for i in which]
    return {"words": len(vocabulary), "class_1": rows(order[:20]), "class_0": rows(order[::-1][:20])}


def duplicates(sets, key):
    keyed = [[key(text) for text in texts] for texts, _ in sets]
    found = {}
    for name, keys, (_, labels) in zip(("train", "test"), keyed, sets):
        rows = {}
        for row, text in enumerate(keys):
            rows.setdefault(text, []).append(row)
        repeated = [group for group in rows.values() if len(group) > 1]
        found[name] = {
            "texts": len(repeated),
            "rows": sum(len(group) - 1 for group in repeated),
            "conflicting": sum(len({labels[row] for row in group}) > 1 for group in repeated),
        }
    train = {}
    for text, label in zip(keyed[0], sets[0][1]):
        train.setdefault(text, set()).add(label)
    shared = [row for row, text in enumerate(keyed[1]) if text in train]
    found["test in train"] = {
        "rows": shared,
        "texts": len({keyed[1][row] for row in shared}),
        "conflicting": [row for row in shared if train[keyed[1][row]] != {sets[1][1][row]}],
    }
    return found


def near_duplicates(sets, key):
    """Rows nearly equal to an earlier one: of the same set, and of train for test. Equal keys do not count."""
    texts = [text for part, _ in sets for text in part]
    first_test = len(sets[0][0])
    ids = {}
    keys, rows, sizes = [], [], []
    for row, text in enumerate(texts):
        hashed = np.array([ids.setdefault(word, len(ids) + 1) for word in words_in(text)], dtype=np.uint64)
        size = min(5, len(hashed))
        shingles = np.full(len(hashed) - size + 1, size, dtype=np.uint64)
        for i in range(size):
            shingles = shingles * np.uint64(1_000_003) + hashed[i : len(hashed) - size + 1 + i]
        shingles = np.unique(shingles)
        sizes.append(len(shingles))
        keys.append(shingles)
        rows.append(np.full(len(shingles), row, dtype=np.int32))
    keys, rows = np.concatenate(keys), np.concatenate(rows)
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    edges = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]]))
    shared = {}
    for start, end in zip(edges[:-1], edges[1:]):
        if not 2 <= end - start <= MOST:
            continue
        group = rows[start:end]
        for i in range(len(group)):
            for j in range(i):
                pair = (int(group[j]), int(group[i]))
                shared[pair] = shared.get(pair, 0) + 1
    found = {"train": set(), "test": set(), "test in train": set()}
    for (a, b), both in shared.items():
        # An upper bound, which leaves room for the shingles that were skipped.
        if both < 0.5 * max(sizes[a], sizes[b]) or key(texts[a]) == key(texts[b]):
            continue
        one, two = ({tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))} for words in (words_in(texts[a]), words_in(texts[b])))
        if len(one & two) / len(one | two) >= 0.8:
            found["train" if b < first_test else "test" if a >= first_test else "test in train"].add(b)
    return {name: len(rows) for name, rows in found.items()}


def imdb(folder):
    import pyarrow.parquet

    sets = []
    for split in ("train", "test"):
        tables = [pyarrow.parquet.read_table(path) for path in sorted(glob.glob(f"{folder}/**/{split}-*.parquet", recursive=True))]
        sets.append(([t for table in tables for t in table["text"].to_pylist()], [l for table in tables for l in table["label"].to_pylist()]))
    normalised = lambda text: " ".join(text.lower().split())
    return {
        "exact": duplicates(sets, lambda text: text),
        "normalised": duplicates(sets, normalised),
        "near": near_duplicates(sets, normalised),
    }


with open(bundled, newline="", encoding="utf-8") as file:
    reviews = list(csv.DictReader(file))
labels = [int(row["label"]) for row in reviews]
path = os.path.join(here, "expected.json")
expected = json.load(open(path)) if os.path.exists(path) else {}
expected["versions"] = {"numpy": np.__version__, "regex": regex.__version__}
expected["bundled"] = log_odds([row["text"] for row in reviews], labels)
if len(sys.argv) > 1:
    expected["imdb"] = imdb(sys.argv[1])
with open(path, "w", encoding="utf-8") as file:
    json.dump(expected, file, ensure_ascii=False, separators=(",", ":"))
    file.write("\n")

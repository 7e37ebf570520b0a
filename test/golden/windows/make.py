# Long texts and pairs in overlapping windows, as Transformers' fast tokenizers give them with `return_overflowing_tokens`,
# with the bundled vocabulary. Texts are bundled reviews in a row, named by their numbers. Writes expected.json, which keeps
# the windows of the first cases in full and of each case a hash.
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import transformers
from bundled import sha256, texts as reviews, tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))

COUNT, KEPT = 60, 2


def case(i):
    texts = [(7 * i + 13 * k) % len(reviews) for k in range(1 + i % 9)]
    text = " ".join(reviews[k] for k in texts)
    pair = i % 3 == 2
    first = reviews[(11 * i) % len(reviews)]
    room = 8 + 5 * (i % 13)
    if pair:
        length = room + 3 + len(tokenizer(first, add_special_tokens=False)["input_ids"])
    else:
        length = room + 2
    stride = [0, 1, room // 4, room // 2, room - 1][i % 5]
    options = dict(truncation="only_second" if pair else True, max_length=length, stride=stride, return_overflowing_tokens=True)
    encoding = tokenizer([first], [text], **options) if pair else tokenizer([text], **options)
    windows = list(zip(encoding["input_ids"], encoding["token_type_ids"]))
    return {
        "texts": texts, **({"first": (11 * i) % len(reviews)} if pair else {}), "maxLength": length, "window": stride,
        "count": len(windows), "sha256": sha256(windows), **({"kept": windows} if KEPT <= i < 2 * KEPT else {}),
    }


cases = [case(i) for i in range(COUNT)]
with open(os.path.join(HERE, "expected.json"), "w") as file:
    rows = ",\n".join("  " + json.dumps(one) for one in cases)
    file.write(f'{{\n "versions": {json.dumps({"transformers": transformers.__version__})},\n "cases": [\n{rows}\n ]\n}}\n')

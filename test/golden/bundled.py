# The bundled tokenizer as Transformers loads it, the texts of the bundled reviews, and the hash that stands for encodings. It
# needs transformers alone, and not oracle.py's PyTorch.
import csv
import hashlib
import os

import transformers

BUNDLED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../train/node/bundled")
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_file=os.path.join(BUNDLED, "model/tokenizer.json"), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
    unk_token="[UNK]", mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"])
with open(os.path.join(BUNDLED, "reviews/train.csv")) as file:
    texts = [row["text"] for row in csv.DictReader(file)]


def sha256(rows):
    """Of pairs of ids and token types: a line each, the two with a semicolon between."""
    lines = "\n".join(",".join(map(str, ids)) + ";" + ",".join(map(str, types)) for ids, types in rows)
    return hashlib.sha256(lines.encode()).hexdigest()

# What Transformers makes of a tokenizer.json whose tokenizer_config.json says otherwise: configs.json. Its classes for BERT keep
# the tokens of the former and take all else from the latter; its general class takes the former as it is.
#
#   python test/golden/tokens/configs.py
#
# Each case has what differs from the files in `base`, the texts' tokens in the order of `texts`.
import itertools
import json
import os
import tempfile

import tokenizers
import transformers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = SPECIAL + ["cafe", "café", "Café", "CAFE", "a", "b", "a-b", "-", "中", "国", "中国", "##国"]
TEXTS = ["Café CAFE a", "中国 a-b", "a [MASK] b"]
SINGLE = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
PAIR = SINGLE + [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]


def bert(**flags):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **flags}


BASE = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [
        {"id": i, "content": token, "special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
        for i, token in enumerate(SPECIAL)
    ],
    "normalizer": bert(),
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing", "single": SINGLE, "pair": PAIR,
        "special_tokens": {token: {"id": token, "ids": [WORDS.index(token)], "tokens": [token]} for token in ("[CLS]", "[SEP]")},
    },
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {word: i for i, word in enumerate(WORDS)},
    },
}


def cases():
    classes = ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "PreTrainedTokenizerFast", None]
    for name, lower, inJson in itertools.product(classes, (True, False, None), (True, False)):
        config = {**({"tokenizer_class": name} if name else {}), **({} if lower is None else {"do_lower_case": lower})}
        yield config, {"normalizer": bert(lowercase=inJson)}
    ofBert = {"tokenizer_class": "BertTokenizer"}
    for flags, normalizer in [
        ({"strip_accents": False}, bert()),
        ({"do_lower_case": False, "strip_accents": True}, bert()),
        ({}, bert(strip_accents=False)),
        ({"tokenize_chinese_chars": False}, bert()),
        ({}, bert(handle_chinese_chars=False)),
        ({"do_lower_case": False}, {"type": "Lowercase"}),
        ({"model_max_length": 4}, bert()),
    ]:
        yield {**ofBert, **flags}, {"normalizer": normalizer}
    for name in ("BertTokenizer", "PreTrainedTokenizerFast"):
        yield {"tokenizer_class": name}, {"pre_tokenizer": {"type": "WhitespaceSplit"}}
        yield {"tokenizer_class": name}, {"normalizer": None}


def tokens(config, changes):
    with tempfile.TemporaryDirectory() as folder:
        files = {"tokenizer.json": {**BASE, **changes}, "tokenizer_config.json": config, "config.json": {"model_type": "bert"}}
        for name, content in files.items():
            with open(os.path.join(folder, name), "w") as file:
                json.dump(content, file)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return [tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) for text in TEXTS]


with open(os.path.join(os.path.dirname(__file__), "configs.json"), "w") as file:
    found = [{"config": config, "changes": changes, "tokens": tokens(config, changes)} for config, changes in cases()]
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in found)
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    head = ", ".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in
                     {"versions": versions, "texts": TEXTS, "base": BASE}.items())
    file.write(f'{{{head}, "cases": [\n{lines}\n]}}\n')

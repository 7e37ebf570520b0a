# What Transformers makes of models that `tilegrad pretrain` saved, the bundled one among them: that it loads whole, with its decoder tied to the word
# embeddings, its tokens, its logits and its guesses at masked places. Writes expected.json. The model in model/ was made by
#
#   node train/node/cli/tilegrad.ts pretrain --data test/train/node/data/fixtures/unlabelled --out run --vocabulary 90 \
#     --hidden 16 --layers 2 --sequence 32 --batch-size 8 --lr 1e-2 --steps 120 --val-split 0.15
import json
import os
import sys

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["the film was [MASK] and the plot is awful", "A [MASK], quite new [MASK].", "great [MASK] great music with a good end is bad"]
# Models by their folders, and of which tokens their logits are kept: of every so many.
MODELS = {"model": 1, "../../../train/node/bundled/model": 50}


def cases_of(name, every):
    folder = os.path.join(HERE, name)
    model, info = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert not info["missing_keys"] and set(info["unexpected_keys"]) <= pooler and not info["mismatched_keys"], info
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.bias.equal(model.cls.predictions.bias)
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert isinstance(tokenizer, transformers.BertTokenizer) or type(tokenizer).__name__ == "BertTokenizerFast", type(tokenizer)
    cases = []
    with torch.no_grad():
        for text in TEXTS:
            encoded = tokenizer(text, return_tensors="pt")
            ids = encoded["input_ids"][0].tolist()
            places = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
            logits = model(**encoded).logits[0][places]
            cases.append({
                "text": text, "ids": ids, "places": places,
                "logits": [[round(float(value), 6) for value in row[::every]] for row in logits],
                "guesses": tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())})
    # The encoder alone goes below a classifier, as in fine-tuning.
    _, info = transformers.BertForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert all(not key.startswith("bert.") or "pooler" in key for key in info["missing_keys"]), info
    print([case["guesses"] for case in cases], file=sys.stderr)
    rows = ",\n".join("   " + json.dumps(case) for case in cases)
    return f'  {{"folder": "{name}", "every": {every}, "cases": [\n{rows}\n  ]}}'


models = ",\n".join(cases_of(name, every) for name, every in MODELS.items())
with open(os.path.join(HERE, "expected.json"), "w") as file:
    file.write(f'{{\n "versions": {{"torch": "{torch.__version__}", "transformers": "{transformers.__version__}"}},\n "models": [\n{models}\n ]\n}}\n')

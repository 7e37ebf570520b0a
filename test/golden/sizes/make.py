# Logits, losses and gradients of every model and batch in cases.json, by Transformers in float64 from weights that are
# f32: bert.json and distilbert.json. oracle.py, one folder up, says where weights and inputs come from.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import transformers
from oracle import CLASSES, beside, describe, fill, inputs, load, numbers, short, versions, write


def run(model, config, batch, typed):
    given = inputs(batch["name"], batch["lengths"], batch.get("sequence", max(batch["lengths"])), config.vocab_size,
                   config.type_vocab_size if typed else 0, config.num_labels, batch.get("holes", False), batch.get("ignore", ()))
    if not typed:
        del given["token_type_ids"]
    model.zero_grad()
    result = model(**given)
    result.loss.backward()
    return {"logits": numbers(result.logits), "loss": short(result.loss.item()),
            "gradients": {name: describe(name, parameter.grad) for name, parameter in model.named_parameters()}}


for family, cases in load(beside(__file__, "cases.json")).items():
    config_class, model_class = CLASSES[family]
    expected = {}
    for case in cases:
        config = config_class(**case["config"], attn_implementation="eager")
        model = model_class(config)
        fill(model, case["seed"])
        model.double().eval()
        expected[case["name"]] = {batch["name"]: run(model, config, batch, family == "bert") for batch in case["batches"]}
    write(beside(__file__, f"{family}.json"), {"versions": versions(transformers), "expected": expected})

# Adapters that PEFT makes and saves, one for each entry of cases.json, and the logits that it gets with them in float64, in
# its own words "unmerged": adapters/ and expected.json. Base models, inputs and the adapters' numbers come by formula.
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import peft
import torch
import transformers
from oracle import CLASSES, beside, fill, inputs, load, numbers, versions, weights, write


def base(fields):
    config_class, model_class = CLASSES[fields["model_type"]]
    config = config_class(**{k: v for k, v in fields.items() if k not in ("seed", "model_type")}, attn_implementation="eager")
    model = model_class(config)
    fill(model, fields["seed"])
    return model.eval(), config


def logits(model, given):
    with torch.no_grad():
        return numbers(model.double()(**given).logits)


def adapter(case, models, batch):
    fields = models[case["model"]]
    model, config = base(fields)
    typed = case["model"] == "bert"
    given = inputs(batch["name"], batch["lengths"], max(batch["lengths"]), config.vocab_size, 2 if typed else 0, config.num_labels)
    del given["labels"]
    if not typed:
        del given["token_type_ids"]
    plain = logits(model, given)
    wrapped = peft.get_peft_model(model.float(), peft.LoraConfig(task_type=case.get("task_type", "SEQ_CLS"), **case["config"]))
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = weights(f"{case['name']}: {name}", tuple(parameter.shape), fields["seed"])
    wrapped.eval()
    folder = beside(__file__, os.path.join("adapters", case["name"]))
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    os.remove(os.path.join(folder, "README.md"))
    return {"base": plain, "logits": logits(wrapped, given)}


cases = load(beside(__file__, "cases.json"))
shutil.rmtree(beside(__file__, "adapters"), ignore_errors=True)
write(beside(__file__, "expected.json"), {
    "versions": versions(transformers, peft),
    "expected": {case["name"]: adapter(case, cases["models"], cases["batch"]) for case in cases["adapters"]},
})

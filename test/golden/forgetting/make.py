# Losses and accuracies at the masked tokens of masks.json, by Transformers' own masked-language models in float64: of a
# base, of the base with an adapter of PEFT merged into its encoder, and of the base with another encoder under its head.
# Writes expected.json and the adapters. Weights come by the formula in oracle.py; the decoder is tied to the embeddings.
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import peft
import torch
import transformers
from oracle import CLASSES, beside, fill, load, short, versions, weights, write

MASKED = {"bert": transformers.BertForMaskedLM, "distilbert": transformers.DistilBertForMaskedLM}


def config_of(fields):
    config_class, _ = CLASSES[fields["model_type"]]
    return config_class(**{k: v for k, v in fields.items() if k not in ("seed", "model_type")}, attn_implementation="eager")


def masked_model(family, fields):
    model = MASKED[family](config_of(fields))
    fill(model, fields["seed"])
    return model.eval()


def with_encoder(model, family, tensors):
    encoder = getattr(model, family)
    # Only the encoder's own: a classifier's has a pooler besides.
    names = [name for name, _ in encoder.named_parameters()]
    with torch.no_grad():
        for name in names:
            encoder.get_parameter(name).copy_(tensors[name])
    return model


def figures(model, masks):
    longest = max(len(row) for row in masks["rows"])
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in masks["rows"]])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in masks["rows"]])
    rows, columns, tokens = (torch.tensor(part) for part in zip(*masks["places"]))
    with torch.no_grad():
        logits = model.double()(input_ids=ids, attention_mask=mask).logits[rows, columns]
    loss = torch.nn.functional.cross_entropy(logits, tokens)
    return {"loss": short(loss), "accuracy": short((logits.argmax(-1) == tokens).double().mean())}


def merged_encoder(family, fields, lora):
    _, classifier = CLASSES[family]
    model = classifier(config_of(fields))
    fill(model, fields["seed"])
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora))
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = weights(f"{family}: {name}", tuple(parameter.shape), fields["seed"])
    folder = beside(__file__, os.path.join("adapters", family))
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    os.remove(os.path.join(folder, "README.md"))
    merged = wrapped.double().merge_and_unload()
    return dict(getattr(merged, family).named_parameters())


def other_encoder(family, fields):
    names = getattr(masked_model(family, fields), family).named_parameters()
    return {name: weights(f"{family}.{name}", tuple(one.shape), fields["seed"] + 1) for name, one in names}


def measure(family, cases, masks):
    fields = cases["models"][family]
    base = lambda: masked_model(family, fields).double()
    return {
        "base": figures(base(), masks),
        "lora": figures(with_encoder(base(), family, merged_encoder(family, fields, cases["lora"][family])), masks),
        "full": figures(with_encoder(base(), family, other_encoder(family, fields)), masks),
    }


cases, masks = load(beside(__file__, "cases.json")), load(beside(__file__, "masks.json"))
shutil.rmtree(beside(__file__, "adapters"), ignore_errors=True)
write(beside(__file__, "expected.json"), {
    "versions": versions(transformers, peft),
    "expected": {family: measure(family, cases, masks) for family in cases["models"]},
})

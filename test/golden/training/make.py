# Fifty steps of LoRA by PEFT and PyTorch: AdamW with decay of weights but not of biases, a clipped norm, warm-up and linear
# decay, two batches a step, no dropout. In float64 from weights that are f32. Writes expected.json and, for each case, the
# weights of the adapter that PEFT saved in the end.
#
# Step t = 1, 2, ... takes the next `accumulate` batches of `rows` examples, going round and round; every example of a step
# counts the same, so that a set of fewer examples than a step takes is one step as a whole.
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import peft
import torch
import transformers
from oracle import CLASSES, beside, fill, inputs, load, short, versions, weights, words, write


def adapted(case):
    config_class, model_class = CLASSES[case["family"]]
    config = config_class(**case["config"], attn_implementation="eager")
    model = model_class(config)
    fill(model, case["seed"])
    lora = case["lora"]
    saved = ["pre_classifier", "classifier"] if case["family"] == "distilbert" else ["classifier"]
    wrapped = peft.get_peft_model(model, peft.LoraConfig(
        task_type="SEQ_CLS", r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=0.0, target_modules=lora["peftTargets"],
        modules_to_save=saved if lora["trainHead"] else None))
    for name, parameter in wrapped.named_parameters():
        # PEFT trains the head of a sequence classifier whether it was asked for or not.
        if "modules_to_save" in name and not lora["trainHead"]:
            parameter.requires_grad = False
        elif "lora_A" in name:
            plain = name.replace("base_model.model.", "").replace(".default", "")
            parameter.data = weights(plain, tuple(parameter.shape), case["seed"])
    return wrapped.double().train(), config


def train(case, options):
    model, config = adapted(case)
    count = case["examples"]
    lengths = [3 + int(word) % (case["longest"] - 2) for word in words(f"{case['name']}.lengths", count)]
    typed = case["family"] == "bert"
    data = inputs(case["name"], lengths, case["longest"], config.vocab_size, 2 if typed else 0, config.num_labels)
    if not typed:
        del data["token_type_ids"]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": options["weightDecay"]},
        {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0},
    ], lr=options["lr"])
    scheduler = transformers.get_scheduler("linear", optimizer, options["warmup"], options["steps"])
    losses, norms, rates = [], [], []
    at = 0
    for _ in range(options["steps"]):
        chosen = []
        for _ in range(options["accumulate"]):
            chosen.append(list(range(at, min(at + options["rows"], count))))
            at = chosen[-1][-1] + 1
            at = 0 if at == count else at
        total = sum(len(rows) for rows in chosen)
        optimizer.zero_grad()
        loss = 0.0
        for rows in chosen:
            part = model(**{key: value[rows] for key, value in data.items()}).loss * (len(rows) / total)
            part.backward()
            loss += part.item()
        losses.append(short(loss))
        norms.append(short(torch.nn.utils.clip_grad_norm_(trained, case.get("clip", options["clip"]))))
        rates.append(short(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    with tempfile.TemporaryDirectory() as folder:
        model.float().save_pretrained(folder, save_embedding_layers=False)
        name = case["name"].replace(",", "").replace(" ", "-")
        shutil.copyfile(os.path.join(folder, "adapter_model.safetensors"), beside(__file__, f"{name}.safetensors"))
    return {"losses": losses, "norms": norms, "rates": rates}


cases = load(beside(__file__, "cases.json"))
write(beside(__file__, "expected.json"), {
    "versions": versions(transformers, peft),
    "expected": {case["name"]: train(case, cases["optimizer"]) for case in cases["cases"]},
})

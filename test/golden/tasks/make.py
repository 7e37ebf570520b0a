# Every kind of task by Transformers and PEFT: logits, loss and every gradient of one batch, and twenty steps of LoRA with
# a trained head on that batch (AdamW with decay of weights but not of biases, a clipped norm, warm-up and linear decay, no
# dropout). Everything in float64 from weights that are f32, by oracle.py's formula. Writes expected.json.
#
# Losses are PyTorch's own: cross_entropy with class weights and label smoothing, BCEWithLogitsLoss with pos_weight (label
# smoothing moves the targets towards 1/2), MSELoss.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import peft
import torch
import torch.nn.functional as F
import transformers
from oracle import beside, describe, fill, inputs, load, numbers, short, units, versions, weights, words, write

VOCABULARY, LONGEST = 97, 17
SIZES = {
    "bert": dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
                 max_position_embeddings=24, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
    "distilbert": dict(vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=24,
                       dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0),
}
CONFIGS = {"bert": transformers.BertConfig, "distilbert": transformers.DistilBertConfig}
SEQUENCE = {"bert": transformers.BertForSequenceClassification, "distilbert": transformers.DistilBertForSequenceClassification}
TOKENS = {"bert": transformers.BertForTokenClassification, "distilbert": transformers.DistilBertForTokenClassification}
TARGETS = {"bert": ["query", "value"], "distilbert": ["q_lin", "v_lin"]}


def batch_of(case):
    lengths = case["lengths"]
    typed = case["family"] == "bert"
    data = inputs(case["name"], lengths, LONGEST, VOCABULARY, 2 if typed else 0, case["labels"], ignore=case["ignore"])
    if not typed:
        del data["token_type_ids"]
    labels = data.pop("labels")
    batch, classes = len(lengths), case["labels"]
    if case["kind"] == "labels":
        labels = torch.from_numpy((words(f"{case['name']}.targets", batch * classes) % np.uint32(2)).astype(np.float64)).reshape(batch, classes)
    elif case["kind"] == "regression":
        labels = torch.from_numpy(2 * units(f"{case['name']}.targets", batch))
    elif case["kind"] == "tokens":
        count = batch * LONGEST
        at = np.tile(np.arange(LONGEST), (batch, 1))
        length = np.array(lengths)[:, None]
        ids = (words(f"{case['name']}.tokens", count) % np.uint32(classes)).astype(np.int64).reshape(batch, LONGEST)
        later = (words(f"{case['name']}.subwords", count) % np.uint32(3)).reshape(batch, LONGEST) == 0
        labels = torch.from_numpy(np.where(later | (at == 0) | (at >= length - 1), -100, ids))
    return data, labels


def loss_of(case, logits, labels):
    smoothing = case.get("labelSmoothing", 0.0)
    if case["kind"] == "regression":
        return F.mse_loss(logits.reshape(-1), labels)
    if case["kind"] == "labels":
        factor = torch.tensor(case["positiveWeights"], dtype=torch.float64) if "positiveWeights" in case else None
        return F.binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2, pos_weight=factor)
    factor = torch.tensor(case["classWeights"], dtype=torch.float64) if "classWeights" in case else None
    return F.cross_entropy(logits.reshape(-1, case["labels"]), labels.reshape(-1), weight=factor, label_smoothing=smoothing)


def model_of(case):
    kinds = TOKENS if case["kind"] == "tokens" else SEQUENCE
    config = CONFIGS[case["family"]](**SIZES[case["family"]], num_labels=case["labels"], attn_implementation="eager")
    model = kinds[case["family"]](config)
    fill(model, case["seed"])
    return model


def once(case):
    model = model_of(case).double().eval()
    data, labels = batch_of(case)
    logits = model(**data).logits
    loss = loss_of(case, logits, labels)
    loss.backward()
    gradients = {name: describe(name, parameter.grad) for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {"logits": describe("logits", logits), "loss": short(loss.detach()), "gradients": gradients}


def steps(case, options, lora):
    model = model_of(case)
    tokens = case["kind"] == "tokens"
    saved = ["classifier"] if tokens or case["family"] == "bert" else ["pre_classifier", "classifier"]
    wrapped = peft.get_peft_model(model, peft.LoraConfig(
        task_type="TOKEN_CLS" if tokens else "SEQ_CLS", r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=0.0,
        target_modules=TARGETS[case["family"]], modules_to_save=saved))
    for name, parameter in wrapped.named_parameters():
        if "lora_A" in name:
            parameter.data = weights(name.replace("base_model.model.", "").replace(".default", ""), tuple(parameter.shape), case["seed"])
    wrapped = wrapped.double().train()
    data, labels = batch_of(case)
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": options["weightDecay"]},
        {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0},
    ], lr=options["lr"])
    scheduler = transformers.get_scheduler("linear", optimizer, options["warmup"], options["steps"])
    losses, norms = [], []
    for _ in range(options["steps"]):
        optimizer.zero_grad()
        loss = loss_of(case, wrapped(**data).logits, labels)
        loss.backward()
        losses.append(short(loss.detach()))
        norms.append(short(torch.nn.utils.clip_grad_norm_(trained, options["clip"])))
        optimizer.step()
        scheduler.step()
    values = {}
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad:
            plain = name.replace("base_model.model.", "").replace(".default", "").replace(".modules_to_save", "")
            values[plain] = describe(plain, parameter)
    return {"losses": losses, "norms": norms, "trained": values}


cases = load(beside(__file__, "cases.json"))
out = {"versions": versions(transformers, peft)}
for case in cases["cases"]:
    out[case["name"]] = {**once(case), "steps": steps(case, cases["optimizer"], cases["lora"])}
write(beside(__file__, "expected.json"), out)

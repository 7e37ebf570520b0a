# Makes the numbers beside this file with PyTorch, Transformers and PEFT (2.2.2, 4.46.3, 0.13.2). No test runs it: the
# tests read what it wrote. Weights are rounded to f32, everything is then computed in float64.
import json
import os

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (BertConfig, BertForMaskedLM, BertForSequenceClassification, DistilBertConfig,
                          DistilBertForSequenceClassification)

OUT = os.path.dirname(os.path.abspath(__file__))
IDS = [[2, 9, 17, 5, 30, 11, 3], [2, 21, 6, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0]]
MASK = [[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5]
TYPES = [[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0], [0] * 7]
LABELS = [1, -100, 2]
POSITIONS = [2, 5, 9]  # rows of batch · sequence whose token is guessed
ORIGINALS = [8, 31, 0]


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        norm = "LayerNorm.weight" in name or "layer_norm.weight" in name
        values = torch.randn(parameter.shape, generator=generator) * 0.3 + (1 if norm else 0)
        parameter.data = values.to(parameter.dtype)


def numbers(tensor):
    return tensor.detach().double().flatten().tolist()


def inputs(typed):
    batch = {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}
    if typed:
        batch["token_type_ids"] = torch.tensor(TYPES)
    return batch


def loss_of(logits, labels):
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels), ignore_index=-100)


def classify(model, typed):
    model.zero_grad()
    logits = model(**inputs(typed)).logits
    loss = loss_of(logits, LABELS)
    loss.backward()
    return logits, loss


def one(family, model, typed, targets, extra):
    folder = os.path.join(OUT, family)
    randomise(model, 7)
    model.eval()
    model.save_pretrained(folder, safe_serialization=True)
    model.double()
    logits, loss = classify(model, typed)
    expected = {"logits": numbers(logits), "loss": loss.item(), **extra}
    save_file({n: p.grad.float().contiguous() for n, p in model.named_parameters()}, os.path.join(folder, "gradients.safetensors"))

    config = LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, lora_dropout=0.0, target_modules=targets,
                        rank_pattern={targets[0]: 2})
    wrapped = get_peft_model(model, config).double()
    generator = torch.Generator().manual_seed(11)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = (torch.randn(parameter.shape, generator=generator) * 0.3).double()
    wrapped.eval()
    wrapped.float().save_pretrained(os.path.join(folder, "adapter"), safe_serialization=True)
    wrapped.double()
    logits, loss = classify(wrapped, typed)
    gradients = {n.replace(".default", "").replace(".modules_to_save", ""): p.grad.float().contiguous()
                 for n, p in wrapped.named_parameters() if p.requires_grad}
    save_file(gradients, os.path.join(folder, "adapter-gradients.safetensors"))
    expected["adapter"] = {"logits": numbers(logits), "loss": loss.item(), "losses": []}

    # Ten steps of AdamW on one batch, norms and biases without decay.
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0},
    ], lr=0.02, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(10):
        _, loss = classify(wrapped, typed)
        expected["adapter"]["losses"].append(loss.item())
        norm = torch.nn.utils.clip_grad_norm_(trained, 0.5)
        expected["adapter"].setdefault("norms", []).append(norm.item())
        optimizer.step()
    os.remove(os.path.join(folder, "adapter", "README.md"))
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump({"ids": IDS, "mask": MASK, "types": TYPES, "labels": LABELS, **expected}, file, indent=1)
        file.write("\n")


def masked(config):
    model = BertForMaskedLM(config)
    randomise(model, 5)
    model.eval()
    model.save_pretrained(os.path.join(OUT, "bert-masked"), safe_serialization=True)
    os.remove(os.path.join(OUT, "bert-masked", "generation_config.json"))
    model.double()
    logits = model(**inputs(True)).logits.reshape(-1, config.vocab_size)[POSITIONS]
    loss = loss_of(logits, ORIGINALS)
    loss.backward()
    words = model.bert.embeddings.word_embeddings.weight.grad
    return {"masked": {"positions": POSITIONS, "labels": ORIGINALS, "logits": numbers(logits), "loss": loss.item(),
                       "wordGradient": numbers(words)}}


torch.manual_seed(0)
labels = {"id2label": {0: "bad", 1: "fair", 2: "good"}, "label2id": {"bad": 0, "fair": 1, "good": 2}}
bert = dict(vocab_size=32, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
            max_position_embeddings=9, pad_token_id=0, attn_implementation="eager")
extra = masked(BertConfig(**bert))
one("bert", BertForSequenceClassification(BertConfig(**bert, **labels)), True, ["query", "value", "attention.output.dense"], extra)
one("distilbert", DistilBertForSequenceClassification(DistilBertConfig(
    vocab_size=32, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=9, pad_token_id=0,
    attn_implementation="eager", **labels)), False, ["q_lin", "v_lin", "lin1", "lin2"], {})

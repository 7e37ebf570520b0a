"""A step of `tilegrad pretrain` in PyTorch: masked-language modelling of a small BERT with AdamW, in f32.

    python3 bench/peers/torch_pretrain.py [--batch 8] [--sequence 128] [--steps 20]

Prints one JSON object with the tokens per second of the median step. Needs torch and transformers. Rows are full, the
weights are random, and 15 % of the tokens are scored, at their places alone, as tilegrad does; there is no second loss, so
compare with a run without --text-loss. `examples_per_second` of such a run's metrics.jsonl, times the tokens of a row, is
the number to put beside it.
"""

import argparse
import json
import platform
import statistics
import time

import torch
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--sequence", type=int, default=128)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--vocabulary", type=int, default=8000)
parser.add_argument("--hidden", type=int, default=128)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--heads", type=int, default=2)
options = parser.parse_args()

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
model = transformers.BertForMaskedLM(transformers.BertConfig(
    vocab_size=options.vocabulary, hidden_size=options.hidden, num_hidden_layers=options.layers,
    num_attention_heads=options.heads, intermediate_size=4 * options.hidden, max_position_embeddings=options.sequence,
    hidden_dropout_prob=0, attention_probs_dropout_prob=0)).to(device).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
masked = round(0.15 * (options.sequence - 2)) * options.batch


def step():
    ids = torch.randint(5, options.vocabulary, (options.batch, options.sequence), device=device)
    places = torch.randperm(ids.numel(), device=device)[:masked]
    hidden = model.bert(ids).last_hidden_state.flatten(0, 1)[places]
    loss = torch.nn.functional.cross_entropy(model.cls(hidden), ids.flatten()[places])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
    optimizer.step()
    return loss.item()


def seconds():
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


for _ in range(3):
    step()
median = statistics.median(seconds() for _ in range(options.steps))
print(json.dumps({
    "tokens_per_second": options.batch * options.sequence / median,
    "step_ms": 1000 * median,
    "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads",
    "torch": torch.__version__,
    "transformers": transformers.__version__,
}))

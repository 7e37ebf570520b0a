"""The training step that `npm run bench` times, in PyTorch: LoRA on a BERT or DistilBERT classifier with AdamW.

    python3 bench/peers/torch_step.py [--model distilbert] [--batch 32] [--sequence 256]

Times f32, TF32 and bf16 autocast, eager and compiled, and prints one JSON object; status 1 where any of them failed. Needs
torch and nothing else; TF32 means something on CUDA only and is left out elsewhere. Weights are random: time does not depend
on them. Rows are full, so there is no mask, which leaves PyTorch its fastest attention. The last layer goes on with each
row's first token alone, as tilegrad's does, since nothing else reaches the loss; --all-tokens has it as Transformers does.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

# The shapes of the published models, the activation of the layer before the classifier, and the small BERT that
# `npm run bench:peers` trains (which has no dropout). BERT drops after attention's projection, DistilBERT does not.
MODELS = {
    "distilbert": dict(hidden=768, layers=6, heads=12, intermediate=3072, types=0, dropout=0.1, activation=F.relu),
    "bert": dict(hidden=768, layers=12, heads=12, intermediate=3072, types=2, dropout=0.1, activation=torch.tanh),
    "small": dict(hidden=256, layers=2, heads=4, intermediate=1024, types=2, dropout=0.0, activation=torch.tanh),
}
VOCABULARY, POSITIONS, EPSILON = 30522, 512, 1e-12


class LoraLinear(nn.Linear):
    """x W^T + b + scale (x A^T) B^T, with A and B the only parameters that train."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float):
        super().__init__(inputs, outputs)
        self.lora_a = nn.Parameter(torch.empty(rank, inputs).uniform_(-1, 1) / math.sqrt(inputs))
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)


class Layer(nn.Module):
    def __init__(self, model: dict, rank: int, alpha: float):
        super().__init__()
        hidden, intermediate = model["hidden"], model["intermediate"]
        self.heads, self.dropout, self.drops_projection = model["heads"], model["dropout"], bool(model["types"])
        self.query = LoraLinear(hidden, hidden, rank, alpha)
        self.key = nn.Linear(hidden, hidden)
        self.value = LoraLinear(hidden, hidden, rank, alpha)
        self.projection = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, EPSILON)
        self.up = LoraLinear(hidden, intermediate, rank, alpha)
        self.down = LoraLinear(intermediate, hidden, rank, alpha)
        self.output_norm = nn.LayerNorm(hidden, EPSILON)

    def forward(self, x: torch.Tensor, queries: int) -> torch.Tensor:
        """x [batch, tokens, hidden] to [batch, queries, hidden]: the first so many tokens."""
        split = lambda rows: rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        rate = self.dropout if self.training else 0.0
        first = x[:, :queries]
        mixed = F.scaled_dot_product_attention(split(self.query(first)), split(self.key(x)), split(self.value(x)), dropout_p=rate)
        projected = self.projection(mixed.transpose(1, 2).flatten(-2))
        x = self.attention_norm((F.dropout(projected, rate, self.training) if self.drops_projection else projected) + first)
        return self.output_norm(F.dropout(self.down(F.gelu(self.up(x))), rate, self.training) + x)


class Classifier(nn.Module):
    """Embeddings, layers, a dense layer on the first token, two classes; everything but the adapters is frozen."""

    def __init__(self, model: dict, rank: int, alpha: float, all_tokens: bool):
        super().__init__()
        hidden = model["hidden"]
        self.words, self.positions = nn.Embedding(VOCABULARY, hidden), nn.Embedding(POSITIONS, hidden)
        self.types = nn.Embedding(model["types"], hidden) if model["types"] else None
        self.norm = nn.LayerNorm(hidden, EPSILON)
        self.layers = nn.ModuleList(Layer(model, rank, alpha) for _ in range(model["layers"]))
        self.dense, self.classifier = nn.Linear(hidden, hidden), nn.Linear(hidden, 2)
        self.dropout, self.activation, self.all_tokens = model["dropout"], model["activation"], all_tokens
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("lora_" in name)

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        if self.types is not None:
            x = x + self.types.weight[0]
        x = F.dropout(self.norm(x), self.dropout, self.training)
        for layer in self.layers:
            last = layer is self.layers[-1]
            x = layer(x, 1 if last and not self.all_tokens else x.shape[1])
        first = F.dropout(self.activation(self.dense(x[:, 0])), self.dropout, self.training)
        return F.cross_entropy(self.classifier(first).float(), labels)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(args: argparse.Namespace, device: torch.device, precision: str, compiled: bool) -> dict:
    """Milliseconds a step: `first` with everything that is made once, then the quartiles of the others."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    model = Classifier(MODELS[args.model], args.rank, args.alpha, args.all_tokens).to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=device.type == "cuda")
    loss_of = torch.compile(model) if compiled else model
    ids = torch.randint(VOCABULARY, (args.batch, args.sequence), device=device)
    labels = torch.arange(args.batch, device=device) % 2
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    start = time.perf_counter()
    step()
    synchronize(device)
    first = time.perf_counter() - start
    for _ in range(args.warmup):
        step()
    samples = []
    for _ in range(args.samples):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(args.repeats):
            loss = step()
        synchronize(device)
        samples.append(1000 * (time.perf_counter() - start) / args.repeats)
    p25, median, p75 = statistics.quantiles(samples, n=4, method="inclusive")
    return {
        "precision": precision, "compiled": compiled, "milliseconds": {"median": median, "p25": p25, "p75": p75, "count": len(samples)},
        "first_milliseconds": 1000 * first, "tokens_per_second": 1000 * args.batch * args.sequence / median,
        "examples_per_second": 1000 * args.batch / median, "loss": loss.item(),
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def at_least(least: int):
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
        return value
    parse.__name__ = "whole number"
    return parse


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description="Times a LoRA training step in PyTorch and prints JSON.")
    parser.add_argument("--model", choices=MODELS, default="distilbert")
    parser.add_argument("--batch", type=at_least(1), default=32)
    parser.add_argument("--sequence", type=at_least(1), default=256)
    parser.add_argument("--rank", type=at_least(1), default=8)
    parser.add_argument("--alpha", type=finite, default=1.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--samples", type=at_least(5), default=7, help="timed samples, at least 5 (default 7)")
    parser.add_argument("--repeats", type=at_least(1), help="steps a sample (default 10 on CUDA, else 1)")
    parser.add_argument("--warmup", type=at_least(0), default=2)
    parser.add_argument("--all-tokens", action="store_true", help="the last layer for every token, as Transformers computes it")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    args = parser.parse_args()
    if args.sequence > POSITIONS:
        parser.error(f"--sequence is at most {POSITIONS}")
    try:
        device = torch.device(args.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {args.device}: {str(error).splitlines()[0]}")
    args.repeats = args.repeats or (10 if device.type == "cuda" else 1)

    rows = []
    for precision in ["f32", *(["tf32"] if device.type == "cuda" else []), "bf16"]:
        for compiled in [False] if args.no_compile else [False, True]:
            print(f"{precision}, {'compiled' if compiled else 'eager'}", file=sys.stderr)
            try:
                rows.append(measure(args, device, precision, compiled))
            except Exception as error:  # A compiler that isn't there must not cost the other rows.
                rows.append({"precision": precision, "compiled": compiled, "failed": str(error).split("\n")[0]})
    print(json.dumps({
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version(),
        "model": args.model, "batch": args.batch, "sequence": args.sequence, "rank": args.rank, "alpha": args.alpha, "all_tokens": args.all_tokens,
        "rows": rows,
    }, indent=2))
    if any("failed" in row for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The training step that `npm run bench` times, in PyTorch: LoRA on a BERT or DistilBERT classifier with AdamW.

    python3 bench/peers/torch_step.py [--model distilbert] [--batch 32] [--sequence 256]

Times f32, TF32 and bf16 autocast, eager and compiled, and prints one JSON object. Needs torch and nothing else; TF32 means
something on CUDA only and is left out elsewhere. Weights are random: time does not depend on them.
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

# The shapes of the published models, and of the small BERT that `npm run bench:peers` trains (which has no dropout).
MODELS = {
    "distilbert": dict(hidden=768, layers=6, heads=12, intermediate=3072, types=0, dropout=0.1),
    "bert": dict(hidden=768, layers=12, heads=12, intermediate=3072, types=2, dropout=0.1),
    "small": dict(hidden=256, layers=2, heads=4, intermediate=1024, types=2, dropout=0.0),
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
        self.heads, self.dropout = model["heads"], model["dropout"]
        self.query = LoraLinear(hidden, hidden, rank, alpha)
        self.key = nn.Linear(hidden, hidden)
        self.value = LoraLinear(hidden, hidden, rank, alpha)
        self.projection = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, EPSILON)
        self.up = LoraLinear(hidden, intermediate, rank, alpha)
        self.down = LoraLinear(intermediate, hidden, rank, alpha)
        self.output_norm = nn.LayerNorm(hidden, EPSILON)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        split = lambda rows: rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=mask, dropout_p=rate)
        x = self.attention_norm(self.projection(mixed.transpose(1, 2).flatten(-2)) + x)
        return self.output_norm(F.dropout(self.down(F.gelu(self.up(x))), rate, self.training) + x)


class Classifier(nn.Module):
    """Embeddings, layers, a dense layer on the first token, two classes; everything but the adapters is frozen."""

    def __init__(self, model: dict, rank: int, alpha: float):
        super().__init__()
        hidden = model["hidden"]
        self.words, self.positions = nn.Embedding(VOCABULARY, hidden), nn.Embedding(POSITIONS, hidden)
        self.types = nn.Embedding(model["types"], hidden) if model["types"] else None
        self.norm = nn.LayerNorm(hidden, EPSILON)
        self.layers = nn.ModuleList(Layer(model, rank, alpha) for _ in range(model["layers"]))
        self.dense, self.classifier = nn.Linear(hidden, hidden), nn.Linear(hidden, 2)
        self.dropout = model["dropout"]
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("lora_" in name)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        if self.types is not None:
            x = x + self.types.weight[0]
        x = F.dropout(self.norm(x), self.dropout, self.training)
        attended = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, attended)
        first = F.dropout(F.relu(self.dense(x[:, 0])), self.dropout, self.training)
        return F.cross_entropy(self.classifier(first).float(), labels)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(args: argparse.Namespace, device: torch.device, precision: str, compiled: bool) -> dict:
    """Milliseconds a step: `first` with everything that is made once, then the quartiles of the others."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    model = Classifier(MODELS[args.model], args.rank, args.alpha).to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=device.type == "cuda")
    loss_of = torch.compile(model) if compiled else model
    ids = torch.randint(VOCABULARY, (args.batch, args.sequence), device=device)
    mask = torch.ones_like(ids)
    labels = torch.arange(args.batch, device=device) % 2
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(ids, mask, labels)
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


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description="Times a LoRA training step in PyTorch and prints JSON.")
    parser.add_argument("--model", choices=MODELS, default="distilbert")
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--sequence", type=positive, default=256)
    parser.add_argument("--rank", type=positive, default=8)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--samples", type=int, default=7, help="timed samples, at least 5 (default 7)")
    parser.add_argument("--repeats", type=positive, help="steps a sample (default 10 on CUDA, else 1)")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    args = parser.parse_args()
    if args.samples < 5:
        parser.error("--samples is at least 5")
    if args.sequence > POSITIONS:
        parser.error(f"--sequence is at most {POSITIONS}")
    device = torch.device(args.device)
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
        "model": args.model, "batch": args.batch, "sequence": args.sequence, "rank": args.rank, "alpha": args.alpha, "rows": rows,
    }, indent=2))


if __name__ == "__main__":
    main()

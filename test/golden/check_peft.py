# Loads what golden/peft/export.ts wrote in Transformers and PEFT, and sees that the logits are ours: of the base model, with
# the adapter, with PEFT merging it, and of the model that was merged before it was saved.
#
#   python test/golden/check_peft.py <folder> [--keep]
#
# --keep writes what was seen to golden/peft: verified.json, with the hash of every adapter file, PEFT's logits with it, and the
# versions of PEFT that loaded these very files; and the files themselves of those adapters that were made here, in exported/.
import argparse
import hashlib
import os
import shutil
import warnings

import peft
import torch
import transformers
from oracle import beside, inputs, load, numbers, versions, write
from safetensors.torch import load_file

BAR = 1e-4
FILES = ("adapter_config.json", "adapter_model.safetensors")


def logits(model, given):
    with torch.no_grad():
        return model.eval()(**given).logits


def load_base(folder):
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).double()


def check(folder):
    case = load(os.path.join(folder, "case.json"))
    base = load_base(os.path.join(folder, "base"))
    config, typed = base.config, case["family"] == "bert"
    batch = case["batch"]
    given = inputs(batch["name"], batch["lengths"], max(batch["lengths"]), config.vocab_size, 2 if typed else 0, config.num_labels)
    del given["labels"]
    if not typed:
        del given["token_type_ids"]
    plain = logits(base, given)
    found = {"base": plain} if case["base"] else {}
    with warnings.catch_warnings():
        # PEFT only warns of adapter weights that are missing.
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        model = peft.PeftModel.from_pretrained(base, os.path.join(folder, "adapter"))
    model = model.double()
    lost = lost_tensors(model, os.path.join(folder, "adapter", FILES[1]))
    if lost:
        raise SystemExit(f"{folder}: PEFT has no place for {lost}")
    found["logits"] = logits(model, given)
    if float((found["logits"] - plain).abs().max()) < 100 * BAR:
        raise SystemExit(f"{folder}: the adapter changes nothing")
    peft_merged = logits(model.merge_and_unload(), given)
    found["merged"] = logits(load_base(os.path.join(folder, "merged")), given)
    found["merged by PEFT"] = peft_merged
    ours = {**case, "merged by PEFT": case["logits"]}
    largest = lambda value, wanted: float((value.flatten() - torch.tensor(wanted, dtype=torch.float64)).abs().max())
    return case["name"], numbers(found["logits"]), {what: largest(value, ours[what]) for what, value in found.items()}


def lost_tensors(model, file):
    """The tensors of a file whose values did not arrive anywhere in the model."""
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    everything = {name.replace(".default", ""): value for name, value in model.state_dict().items()}
    arrived = lambda name, value: any(
        other is not None and other.shape == value.shape and torch.equal(other.float(), value)
        for other in (state.get(name), everything.get(name)))
    return [name for name, value in load_file(file).items() if not arrived(name, value)]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--keep", action="store_true")
arguments = parser.parse_args()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

verified = {}
exported = beside(__file__, "peft/exported")
if arguments.keep:
    shutil.rmtree(exported, ignore_errors=True)
failed = False
for entry in sorted(os.listdir(arguments.folder)):
    folder = os.path.join(arguments.folder, entry)
    name, theirs, differences = check(folder)
    print(f"{name:45}" + "  ".join(f"{what} {value:.1e}" for what, value in differences.items()))
    failed = failed or not all(value <= BAR for value in differences.values())
    adapter = os.path.join(folder, "adapter")
    verified[name] = {"logits": theirs, "sha256": {file: sha256(os.path.join(adapter, file)) for file in FILES}}
    if arguments.keep and not name.endswith("-again"):
        shutil.copytree(adapter, os.path.join(exported, name))
if failed:
    raise SystemExit(f"a difference is above {BAR}")
if arguments.keep:
    path = beside(__file__, "peft/verified.json")
    before = load(path) if os.path.exists(path) else {"verified": {}}
    hashes = lambda entries: {name: entry["sha256"] for name, entry in entries.items()}
    same = hashes(before["verified"]) == hashes(verified)
    write(path, {"versions": versions(transformers),
                 "peft": sorted({peft.__version__, *(before["peft"] if same else [])}), "verified": verified})
print(f"{len(verified)} adapters load in PEFT {peft.__version__} with our logits")

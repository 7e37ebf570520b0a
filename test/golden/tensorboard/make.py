# An event file as TensorBoard's own classes write it, from the lines in cases.json, and what its reader says of it.
#   python make.py           writes expected.json
#   python make.py FOLDER    compares the events in a run's folder with its metrics.jsonl, through TensorBoard's reader
import glob
import json
import os
import sys
import tempfile

import numpy as np
import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

here = os.path.dirname(os.path.abspath(__file__))


def scalars_of(line):
    named = {f"{line.get('split', 'train')}/{name}": value for name, value in line.items() if name not in ("step", "split", "wall_seconds")}
    return {tag: value for tag, value in named.items() if isinstance(value, (int, float))}


def read(folder):
    events = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload()
    return {tag: [[e.wall_time, e.step, e.value] for e in events.Scalars(tag)] for tag in sorted(events.Tags()["scalars"])}


def expected_of(lines, began):
    found = {}
    for line in lines:
        for tag, value in scalars_of(line).items():
            found.setdefault(tag, []).append([began + line["wall_seconds"], line["step"], float(np.float32(value))])
    return dict(sorted(found.items()))


if len(sys.argv) > 1:
    from datetime import datetime

    run = sys.argv[1]
    began = datetime.fromisoformat(json.load(open(f"{run}/config.json"))["created_at"].replace("Z", "+00:00")).timestamp()
    lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    assert read(f"{run}/tensorboard") == expected_of(lines, began)
    print(f"{len(lines)} lines, the same in {glob.glob(f'{run}/tensorboard/*')}")
    sys.exit()

cases = json.load(open(os.path.join(here, "cases.json"), encoding="utf-8"))
began, lines = cases["began"], cases["lines"]
with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/events.out.tfevents.1.test"
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
        for line in lines:
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars_of(line).items()]
            if values:
                event = Event(wall_time=began + line["wall_seconds"], step=line["step"], summary=Summary(value=values))
                writer.write(event.SerializeToString())
        writer.flush()
    content = open(path, "rb").read()
    assert read(folder) == expected_of(lines, began)
with open(os.path.join(here, "expected.json"), "w") as file:
    json.dump({"tensorboard": tensorboard.__version__, "file": content.hex()}, file, indent=1)
    file.write("\n")

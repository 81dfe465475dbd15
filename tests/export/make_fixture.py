#!/usr/bin/env python3
"""Writes pytorch.safetensors and pytorch.json: the weights of a small PyTorch network in F32, BF16, F16 and F64, and its
outputs for a few samples (channels last). tests/cli/weights.py loads them by pytorch.yaml.

Needs torch==2.13.0 and safetensors==0.8.0 from pip. The suite never runs it; commit both files after a change here.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
TYPES = {"features.0.weight": torch.float32, "features.0.bias": torch.float64, "features.1.weight": torch.bfloat16,
         "features.1.bias": torch.float16, "features.1.running_mean": torch.bfloat16, "features.1.running_var": torch.float16,
         "classifier.1.weight": torch.float16, "classifier.1.bias": torch.bfloat16, "unused.weight": torch.float32}

torch.manual_seed(7)
features = torch.nn.Sequential(torch.nn.Conv2d(2, 4, (3, 2)), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 2 * 3, 3), torch.nn.Softmax(1))
model = torch.nn.Sequential()
model.add_module("features", features)
model.add_module("classifier", classifier)
with torch.no_grad():
    for parameter in features[1].parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    features[1].running_mean.normal_(0.0, 0.5)
    features[1].running_var.uniform_(0.5, 2.0)
state = {**model.state_dict(), "unused.weight": torch.zeros(2, 3)}
stored = {name: value.to(TYPES.get(name, value.dtype)).contiguous() for name, value in state.items()}
model.load_state_dict({name: stored[name].to(value.dtype) for name, value in model.state_dict().items()})
x = torch.randn(5, 6, 7, 2)  # channels last
with torch.no_grad():
    y = model.eval().double()(x.double().movedim(-1, 1))
save_file(stored, HERE / "pytorch.safetensors", {"format": "pt"})
(HERE / "pytorch.json").write_text(json.dumps({"x": x.tolist(), "probability": y.tolist()}) + "\n")

#!/bin/sh
# Writes test/golden/splat_*.safetensors again and checks them by the second renderer.
# PYTHON names the interpreter that has torch.
set -eu
cd "$(dirname "$0")"
"${PYTHON:-python3}" splat_goldens.py
"${PYTHON:-python3}" splat_goldens.py --check

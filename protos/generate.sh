#!/usr/bin/env bash
# Writes fastvol/pb from protos/. PYTHON names an interpreter with grpcio-tools; OUT another target.
#
# The virtual path (fastvol/pb stands for protos) makes protoc emit imports within the package, so
# that its output needs no editing. No *_pb2_grpc modules: those refuse to load under a grpcio older
# than the generator, and all they hold can be read from the descriptors.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-.}
mkdir -p "$OUT/fastvol/pb"
"${PYTHON:-python3}" -m grpc_tools.protoc -Ifastvol/pb=protos \
    --python_out="$OUT" --pyi_out="$OUT" \
    fastvol/pb/remote.proto fastvol/pb/volume_server.proto fastvol/pb/master.proto

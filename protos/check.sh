#!/usr/bin/env bash
# Fails unless fastvol/pb is what generate.sh writes today from protos/.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
OUT=$scratch protos/generate.sh
diff -r -u --exclude=__init__.py --exclude=__pycache__ "$scratch/fastvol/pb" fastvol/pb || {
    echo "fastvol/pb differs from protos/: run protos/generate.sh and commit the result" >&2
    exit 1
}

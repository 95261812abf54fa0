#!/usr/bin/env bash
# Compile <image>/requirements.lock from the image's group in pyproject.toml, and <image>/environment.yml from the lock.
# Usage: containers/lock.sh [image…]
# The root lock is the constraint: an image never holds a version that the tests have not run with, but for onnxruntime-gpu,
# which comes out after onnxruntime and so is the newest that is not newer. The old file is not read (uv would keep what it
# says, and fail on one with a merge conflict), hence the temporary name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. containers/images.sh
uv=.venv/bin/uv
[ -x "$uv" ] || { echo "lock: no $uv; run 'make setup' first" >&2; exit 2; }
if (($# == 0)); then set -- "${images[@]}"; fi
known_images lock "$@"
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
sed -nE 's/^onnxruntime==([0-9.]+).*/onnxruntime-gpu<=\1/p' requirements.lock > "$constraints"
for image; do
  lock=containers/$image/requirements.lock
  # CUDA wheels are there for one platform alone.
  case $image in
    *-cuda) platform=(--python-platform x86_64-manylinux_2_28) ;;
    *) platform=(--universal) ;;
  esac
  "$uv" pip compile --quiet "${platform[@]}" --generate-hashes --no-header --no-annotate --python-version 3.11 \
    --group "$image" --constraint requirements.lock --constraint "$constraints" --output-file "$lock.tmp"
  mv "$lock.tmp" "$lock"
  .venv/bin/python setup/conda_environment.py "$image"
done

#!/usr/bin/env bash
# Compile <image>/requirements.lock from the image's group in pyproject.toml. Usage: containers/lock.sh [image…]
# The root lock is the constraint: an image never holds a version that the tests have not run with. The old file is not
# read (uv would keep what it says, and fail on one with a merge conflict), hence the temporary name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || { echo "lock: no $uv; run 'make setup' first" >&2; exit 2; }
if (($# == 0)); then set -- slides deep encode stats report; fi
for image; do
  [ -e "containers/$image/Dockerfile" ] || { echo "lock: no image $image (no containers/$image/Dockerfile)" >&2; exit 2; }
  lock=containers/$image/requirements.lock
  "$uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
    --group "$image" --constraint requirements.lock --output-file "$lock.tmp"
  mv "$lock.tmp" "$lock"
done

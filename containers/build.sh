#!/usr/bin/env bash
# Build the images and print seconds and size. Usage: containers/build.sh [image…], an image being a folder beside this file.
# Without names all but those for GPUs.
# BASE=<image> builds on another base than the Dockerfiles name, such as a mirror's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. containers/images.sh
docker info >/dev/null 2>&1 || { echo "build: docker is not installed, or its daemon does not answer to this user" >&2; exit 2; }
if (($# == 0)); then for image in "${images[@]}"; do [[ $image == *-cuda ]] || set -- "$@" "$image"; done; fi
known_images build "$@"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for image; do
  start=$SECONDS
  tag=$(tag_of "$image")
  docker build --tag "$tag" --label "org.opencontainers.image.version=$version" ${BASE:+--build-arg "BASE=$BASE"} \
    "containers/$image" >"$log" 2>&1 || { cat "$log" >&2; echo "build: $tag failed" >&2; exit 1; }
  bytes=$(docker image inspect --format '{{.Size}}' "$tag")
  printf '%-32s %5d MB  %4d s\n' "$tag" $((bytes / 1000000)) $((SECONDS - start))
done
# What was built here has no digest of a registry: a release's conf/containers.config would not find it.
python3 setup/container_names.py

#!/usr/bin/env bash
# Build the images and print seconds and size. Usage: containers/build.sh [image…], an image being a folder beside this file:
# stats is histogex/stats:<version>-cpu, encode-cuda is histogex/encode:<version>-cuda. Without names all but those for GPUs.
# BASE=<image> builds on another base than the Dockerfiles name, such as a mirror's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
docker info >/dev/null 2>&1 || { echo "build: docker is not installed, or its daemon does not answer to this user" >&2; exit 2; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
if (($# == 0)); then set -- slides deep encode stats report; fi
for image; do
  [ -e "containers/$image/Dockerfile" ] || { echo "build: no image $image (no containers/$image/Dockerfile)" >&2; exit 2; }
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for image; do
  start=$SECONDS
  case $image in
    *-cuda) tag=histogex/${image%-cuda}:$version-cuda ;;
    *) tag=histogex/$image:$version-cpu ;;
  esac
  docker build --tag "$tag" --label "org.opencontainers.image.version=$version" ${BASE:+--build-arg "BASE=$BASE"} \
    "containers/$image" >"$log" 2>&1 || { cat "$log" >&2; echo "build: $tag failed" >&2; exit 1; }
  bytes=$(docker image inspect --format '{{.Size}}' "$tag")
  printf '%-32s %5d MB  %4d s\n' "$tag" $((bytes / 1000000)) $((SECONDS - start))
done
# What was built here has no digest of a registry: a release's conf/containers.config would not find it.
python3 setup/container_names.py

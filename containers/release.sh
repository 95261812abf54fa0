#!/usr/bin/env bash
# Build all images, push them to $REGISTRY (registry and namespace, such as ghcr.io/my-lab) and write their digests to
# conf/containers.config, so that this version of the pipeline runs exactly what was pushed. Usage: REGISTRY=… containers/release.sh
# [image…]; images that are not named stay named by tag. Log in first: docker login.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. containers/images.sh
registry=${REGISTRY:-}
registry=${registry%/}
[ -n "$registry" ] || { echo "release: say where to: make release REGISTRY=ghcr.io/my-lab" >&2; exit 2; }
if (($# == 0)); then set -- "${images[@]}"; fi
bash containers/build.sh "$@"
digests=()
for image; do
  name=$(tag_of "$image")
  docker tag "$name" "$registry/$name"
  docker push --quiet "$registry/$name" >/dev/null || { echo "release: $registry/$name was not pushed; conf/containers.config names images by tag" >&2; exit 1; }
  digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$registry/$name" | sed -n "s|^$registry/${name%%:*}@||p")
  printf '%s %s\n' "$registry/$name" "$digest"
  digests+=("$name=$digest")
done
python3 setup/container_names.py --registry "$registry" "${digests[@]}"
echo "release: conf/containers.config names these images by digest: commit it with version $version"

# What the scripts beside this file share; sourced in the repository's root, never run. An image is a folder of containers/.
images=(slides deep deep-cuda encode encode-cuda stats report)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)

# Name and tag: stats is histogex/stats:<version>-cpu, encode-cuda is histogex/encode:<version>-cuda.
tag_of() {
  case $1 in
    *-cuda) printf 'histogex/%s:%s-cuda\n' "${1%-cuda}" "$version" ;;
    *) printf 'histogex/%s:%s-cpu\n' "$1" "$version" ;;
  esac
}

# Exit 2 where a name is none of an image. Usage: known_images SCRIPT IMAGE…
known_images() {
  local script=$1 image
  shift
  for image; do
    [ -e "containers/$image/Dockerfile" ] || { echo "$script: no image $image (no containers/$image/Dockerfile)" >&2; exit 2; }
  done
}

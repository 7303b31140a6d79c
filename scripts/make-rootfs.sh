#!/usr/bin/env bash
# Builds a root file system by a recipe, as a tar, without a daemon; docs/image-catalog.md.
#
#   scripts/make-rootfs.sh debian-bookworm      by a recipe of the catalog: build/manual/debian-bookworm.tar
#   scripts/make-rootfs.sh recipe.toml          by one of your own: build/manual/recipe.tar
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "one recipe: a name of the catalog, or a file"
recipe=$1
name=$(basename "$recipe" .toml)
out=$root/build/manual/$name.tar
mkdir -p "$root/build/manual"
work=$(mktemp -d "$root/build/manual/.rootfs-XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ -f "$recipe" ]; then recipe=$(realpath -- "$recipe"); fi
cargo run --quiet --locked --manifest-path "$root/Cargo.toml" -p catalog --example catalog -- \
    image "$recipe" "$work" >"$work/rootfs.tar"
mv "$work/rootfs.tar" "$out"
say "$out: scripts/make-bundle.sh $name --rootfs-tar $out --kernel debian-cloud"

#!/usr/bin/env bash
# Makes a bundle of an image or a kernel, with its entry for a catalog beside it; docs/image-catalog.md.
#
#   scripts/make-bundle.sh NAME --rootfs-tar FILE --kernel KERNEL [--distro D] [--description TEXT]
#   scripts/make-bundle.sh NAME --kernel-from DIR [--distro D] [--description TEXT]
#
# Both land in build/manual/bundles (or BANGER_BUNDLES): NAME-ARCH-HASH.tar.zst and NAME.json, whose path is printed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 1 ] || die "a name, and --rootfs-tar FILE --kernel KERNEL or --kernel-from DIR"
name=$1
shift
bundles=${BANGER_BUNDLES:-$root/build/manual/bundles}
use_banger

mkdir -p "$bundles"
entry=$("$banger" internal make-bundle --name "$name" --out "$bundles" "$@")
printf '%s\n' "$entry" >"$bundles/.$name.json"
mv "$bundles/.$name.json" "$bundles/$name.json"
printf '%s\n' "$bundles/$name.json"

#!/usr/bin/env bash
# Builds an image of the catalog, makes a bundle of it and publishes it; where to, scripts/publish says.
#
#   scripts/publish-golden-image.sh debian-bookworm [--kernel debian-cloud]
#   scripts/publish-golden-image.sh NAME --rootfs-tar FILE [--kernel K]      of a root file system that is there
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || die "which image? debian-bookworm, debian-trixie, or another of the catalog's"
name=$1 tar='' kernel=debian-cloud
shift
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || die "$1 lacks a value"
    case $1 in
        --rootfs-tar) tar=$2 ;;
        --kernel) kernel=$2 ;;
        *) die "no option \`$1\`: --rootfs-tar or --kernel" ;;
    esac
    shift 2
done

# Before the work and not after it.
"$root/scripts/publish" ready
if [ -z "$tar" ]; then
    "$root/scripts/make-rootfs.sh" "$name"
    tar=$root/build/manual/$name.tar
fi
# What listings say of it, as long as nothing is published.
description=$(sed -n "/^name = \"$name\"\$/,/^\[\[/s/^description = \"\(.*\)\"\$/\1/p" "$root/crates/catalog/data/images.toml" | head -n 1)
entry=$("$root/scripts/make-bundle.sh" "$name" --rootfs-tar "$tar" --kernel "$kernel" \
    --distro debian --description "$description")
"$root/scripts/publish" images "$entry"

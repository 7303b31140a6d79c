#!/usr/bin/env bash
# Makes a bundle of a kernel's folder and publishes it; where to, scripts/publish says.
#
#   scripts/publish-kernel.sh generic [--from DIR]      DIR as scripts/make-generic-kernel.sh leaves it, the default
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || { [ $# = 3 ] && [ "$2" = --from ]; } || die "a name, and perhaps --from DIR"
name=$1 from=${3:-$root/build/manual/kernel-generic}
[ -d "$from" ] || die "no folder $from: scripts/make-generic-kernel.sh makes one"
"$root/scripts/publish" ready
entry=$("$root/scripts/make-bundle.sh" "$name" --kernel-from "$from")
"$root/scripts/publish" kernels "$entry"

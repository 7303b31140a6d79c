#!/usr/bin/env bash
# Builds the generic guest kernel of images/kernel/ from source that somebody vouches for; docs/kernel-catalog.md.
#
#   scripts/make-generic-kernel.sh [--package linux-source-6.12]
#       from the distribution's own package, which apt verifies
#   scripts/make-generic-kernel.sh --tarball linux-6.12.1.tar.xz --keyring signers.gpg [--signature linux-6.12.1.tar.sign]
#       from upstream's, held against its signature by a key of that keyring
#   --out DIR    where it goes: build/manual/kernel-generic, for `banger kernel import NAME --from DIR`
set -euo pipefail
. "$(dirname "$0")/lib.sh"

package=linux-source tarball='' signature='' keyring='' out=$root/build/manual/kernel-generic
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || die "$1 lacks a value"
    case $1 in
        --package) package=$2 ;;
        --tarball) tarball=$2 ;;
        --signature) signature=$2 ;;
        --keyring) keyring=$2 ;;
        --out) out=$2 ;;
        *) die "no option \`$1\`: --package, --tarball, --signature, --keyring or --out" ;;
    esac
    shift 2
done

out=$(realpath -m -- "$out")
mkdir -p "$(dirname "$out")"
# Beside what it becomes, so that it is renamed and not copied; some gigabytes while it compiles.
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The distribution's source as `$work/linux.tar*`: apt holds the package against the archive's signed index.
fetch_package() {
    command -v apt-get >/dev/null || die "no apt-get here: give upstream's source with --tarball"
    local newest
    newest=$(apt-cache depends --important "$package" 2>/dev/null | sed -nE 's/^ *Depends: (linux-source-[0-9.]+)$/\1/p')
    say "fetching ${newest:-$package}"
    # Root's apt would change to a user who may not write here.
    (cd "$work" && apt-get -qq -o APT::Get::AllowUnauthenticated=false -o APT::Sandbox::User=root download "${newest:-$package}") ||
        die "apt has no verified package \`${newest:-$package}\`"
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --wildcards './usr/src/linux-source-*.tar.*'
    mv "$work"/usr/src/linux-source-*.tar.* "$work/linux.tar.packed"
    origin=$(basename "$work"/*.deb)
}

# Upstream signs the archive as it is before it is packed: one key for all its packed forms.
verify_tarball() {
    [ -f "$tarball" ] || die "no such file: $tarball"
    [ -n "$signature" ] || signature=${tarball%.*}.sign
    [ -f "$signature" ] || die "$tarball has no signature: $signature is not there (--signature FILE)"
    [ -n "$keyring" ] || die "whose signature is good? --keyring FILE holds the keys (docs/kernel-catalog.md)"
    [ -s "$keyring" ] || die "no such keyring: $keyring"
    command -v gpgv >/dev/null || die "gpgv is missing: no signature can be checked"
    unpack "$tarball" >"$work/linux.tar" || die "$tarball is damaged, or not packed as its name says"

    local status
    status=$(gpgv --keyring "$(binary_keyring)" --status-fd 1 "$signature" "$work/linux.tar" 2>"$work/gpgv.log") || true
    case $status in
        *'[GNUPG:] BADSIG '* | *'[GNUPG:] EXPSIG '* | *'[GNUPG:] EXPKEYSIG '* | *'[GNUPG:] REVKEYSIG '*) ;;
        # A good signature, and nothing that takes it back.
        *'[GNUPG:] GOODSIG '*'[GNUPG:] VALIDSIG '*)
            origin="$(basename "$tarball") $(sed -nE 's/.*VALIDSIG ([0-9A-F]+) .*/signed by \1/p' <<<"$status" | head -n 1)"
            return
            ;;
        *'[GNUPG:] NO_PUBKEY '*)
            die "$tarball is signed by a key that $keyring does not hold: ${status##*NO_PUBKEY }"
            ;;
    esac
    tail -n 2 "$work/gpgv.log" >&2
    die "$tarball is not what $signature signs: refused"
}

# gpgv reads binary keyrings only; people have what `gpg --export --armor` wrote.
binary_keyring() {
    if grep -q '^-----BEGIN PGP PUBLIC KEY BLOCK-----' "$keyring" 2>/dev/null; then
        gpg --batch --dearmor <"$keyring" >"$work/keyring.gpg"
        echo "$work/keyring.gpg"
    else
        realpath -- "$keyring"
    fi
}

unpack() {
    case $1 in
        *.xz | *.packed) xz -dc -- "$1" ;;
        *.gz) gzip -dc -- "$1" ;;
        *.tar) cat -- "$1" ;;
        *) die "$1 is neither .tar.xz, .tar.gz nor .tar" ;;
    esac
}

# What was asked for and is not in the configuration that came of it, one a line.
dropped() {
    local line name
    while IFS= read -r line; do
        case $line in
            CONFIG_*) grep -qxF -- "$line" "$1" || echo "$line" ;;
            '# CONFIG_'*' is not set')
                name=${line#\# }
                ! grep -E "^${name%% *}=" "$1" || true
                ;;
        esac
    done <"$root/images/kernel/generic.config"
}

# Runs make in the source; what it says matters when it fails.
in_source() {
    local date
    date=$(LC_ALL=C date -u -d "@$(stat -c %Y "$source/Makefile")")
    # Who builds it, where and when is no part of it: as the kernel's time it says its source's.
    make -C "$source" O="$work/build" ARCH=x86_64 KBUILD_BUILD_USER=banger KBUILD_BUILD_HOST=banger \
        KBUILD_BUILD_TIMESTAMP="$date" "$@" >>"$work/log" 2>&1 && return
    tail -n 20 "$work/log" >&2
    die "make $* failed; what it needs comes with \`scripts/setup kernel\`"
}

if [ -n "$tarball" ]; then
    verify_tarball
else
    fetch_package
    unpack "$work/linux.tar.packed" >"$work/linux.tar"
fi
say "source: $origin"
mkdir "$work/source" "$work/build" "$work/out"
tar -x -C "$work/source" --strip-components=1 --no-same-owner -f "$work/linux.tar"
rm -f "$work/linux.tar" "$work"/*.packed "$work"/*.deb
source=$work/source

cat "$root/images/kernel/generic.config" "$root/images/kernel/where-there.config" >"$work/wanted"
in_source KCONFIG_ALLCONFIG="$work/wanted" allnoconfig
lost=$(dropped "$work/build/.config")
[ -z "$lost" ] || die "this source does not take all of images/kernel/generic.config:"$'\n'"$lost"

say "compiling; some ten minutes on two processors"
in_source -j "$(nproc)" bzImage
install -m 644 "$work/build/arch/x86/boot/bzImage" "$work/build/.config" "$work/out"
mv "$work/out/.config" "$work/out/config"
printf '%s\n' "$origin" >"$work/out/source"
rm -rf "$out"
mv "$work/out" "$out"
say "$out: banger kernel import generic --from $out"

# shellcheck shell=bash
# What the scripts of this folder share; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
export root target_dir

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Sets `banger` to the one that has been built, or to BANGER.
use_banger() {
    banger=${BANGER:-$root/build/bin/banger}
    [ -x "$banger" ] || die "no $banger: run \`make build\` first"
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root, and sudo is missing; run as root: $*"
    fi
}

# Installs those Debian packages of the list that are missing; quick when none is.
need_packages() {
    local package missing=()
    for package in "$@"; do
        # shellcheck disable=SC2016 # dpkg's own variable
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "no apt-get here; install what corresponds to: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
}

# Puts a cargo subcommand (`cargo-deny`) on PATH if it is installed, here or for the whole machine.
use_tool() {
    command -v "$1" >/dev/null && return
    [ -x "$root/build/tools/$1/bin/$1" ] || return 1
    PATH="$root/build/tools/$1/bin:$PATH"
}

# Installs a cargo subcommand below build/tools, as the prebuilt wheel that scripts/tools pins by hash.
install_tool_wheel() {
    python3 -m pip --version >/dev/null 2>&1 || return 1
    python3 -m pip install -q --root-user-action=ignore --no-deps --only-binary=:all: --require-hashes --upgrade \
        --target "$root/build/tools/$1" -r "$root/scripts/tools/$1.txt"
}

# The same from source, in the version that scripts/tools pins: minutes instead of seconds.
install_tool_source() {
    local version
    version=$(sed -nE 's/^[a-z-]+==([0-9.]+).*/\1/p' "$root/scripts/tools/$1.txt")
    say "building $1 $version from source"
    cargo install -q --locked --root "$root/build/tools/$1" "$1@$version"
}

# Puts a cargo subcommand on PATH, installing it first where it is missing.
need_tool() {
    use_tool "$1" || { install_tool_wheel "$1" || install_tool_source "$1"; use_tool "$1"; } ||
        die "$1 is missing and could not be installed"
}

# Whether arguments for cargo name packages: with those and `--workspace`, cargo takes all.
name_packages() {
    case " $* " in
        *" -p "* | *" --package "* | *" --package="*) return 0 ;;
    esac
    return 1
}

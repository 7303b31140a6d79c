# An outer VM of banger's whose emulated processor has virtualisation, for hosts whose KVM runs no guests. Sourced after
# lib.sh, by scripts/test-kvm and scripts/bench; needs build/bin.
# shellcheck shell=bash
set -euo pipefail

: "${root:?}" "${target_dir:?}"

# What a script that runs in it ends with where its kernel crashed or hangs.
readonly crashed=75
# Seconds that it may be silent.
readonly silence=300
outer=outer
kept=$root/build/test-kvm
mkdir -p "$kept"
exec 9>"$kept/lock"
flock -n 9 || die "another one is running"
work=$(mktemp -d)

# With a home of its own. The daemon must not inherit the lock.
banger() {
    env XDG_CONFIG_HOME="$kept/config" XDG_STATE_HOME="$kept/state" XDG_CACHE_HOME="$kept/cache" \
        XDG_RUNTIME_DIR="$work/run" "$root/build/bin/banger" "$@" 9>&-
}

clean_up() {
    trap '' INT TERM
    # A client would start a daemon only to delete nothing.
    if [ -S "$work/run/banger/bangerd.sock" ]; then
        banger vm delete -q "$outer" 2>"$work/deleted" || grep -q 'no VM' "$work/deleted" || cat "$work/deleted" >&2
        banger daemon stop >/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The folder with the small image and its kernel, of which tests and measurements make their VMs.
keep_state() { realpath "$(cargo run --quiet --locked -p smoke -- keep)"; }

# Whether guests execute on this host; says why not.
guests_execute() { "$target_dir/debug/examples/guests_execute" build/tools/firecracker/firecracker 2>&1; }

build_outer_image() {
    local recipe=images/test-kvm/outer.toml mark
    mark=$(cat "$recipe" crates/catalog/data/recipes/debian-minimal.toml | sha256sum)
    if [ "$(cat "$kept/recipe" 2>/dev/null)" = "$mark" ] && banger image show test-kvm >/dev/null 2>&1; then
        return
    fi
    say "$SECONDS s: building the outer VM's image"
    banger image build -q test-kvm -f "$recipe" >/dev/null
    printf '%s\n' "$mark" >"$kept/recipe"
}

# How many processors it may have. KVM patches kernel code with its first and last VM. In QEMU before 8.1 an emulated
# processor may keep executing what another has just patched: within some hundred VMs the outer kernel hangs.
outer_processors() {
    local version
    version=$(qemu-system-x86_64 --version | sed -nE '1s/.*version ([0-9.]+).*/\1/p')
    if printf '%s\n' 8.1 "$version" | sort -V -C; then echo 2; else echo 1; fi
}

in_outer() { banger vm exec "$outer" -- "$@"; }

of_outer() { banger vm show "$outer" --json | jq -r "$1"; }

# Boots it. `$1`: what keep_state said, where its image and kernel begin from.
start_outer() {
    mkdir -p "$kept/config/banger" "$kept/state"
    # The kernel and the image to build on are there already.
    [ -e "$kept/state/banger" ] || cp -a "$1" "$kept/state/banger"
    printf '%s\n' 'default_image_name = "debian-minimal"' 'vmm = "qemu"' >"$kept/config/banger/config.toml"
    build_outer_image
    # Left behind by a run that was killed.
    banger vm delete -q "$outer" >/dev/null 2>&1 || true
    say "$SECONDS s: starting the outer VM"
    banger vm run -q -d --name "$outer" --image test-kvm --vcpu "$(outer_processors)" --memory 4G --disk-size 12G >/dev/null
}

# Copies the repository's files, the binaries, Firecracker and the state that keep_state said to the same paths, owned by
# the image's plain user; then what else tar is told (`-C FOLDER NAME…`).
bring_into_outer() {
    local state=$1
    shift
    git ls-files -z --cached --others --exclude-standard >"$work/files"
    in_outer mkdir -p "$root"
    tar -c --owner=1000 --group=1000 --numeric-owner -C "$root" --null -T "$work/files" --no-null \
        build/bin build/tools/firecracker "${state#"$root/"}" "$@" |
        banger vm cp -q -a - "$outer:$root"
    in_outer "$root/scripts/outer-vm-setup" "$target_dir"
    say "$SECONDS s: outer VM: $(of_outer '"\(.kernel), \(.vcpu) vcpu, \(.memory_mib) MiB, on \(.vmm)"')"
}

# The first line of a crash of its kernel's.
outer_crash() {
    banger vm logs "$outer" 2>/dev/null |
        grep -aE 'Kernel panic|BUG: (unable|kernel)|Oops: |general protection fault' | head -n 1 || true
}

# Runs a command in it and watches whether it answers: watch_outer SECONDS ARGUMENTS-OF-EXEC…
watch_outer() {
    local longest=$1 boot began=$SECONDS answered=$SECONDS running code=0 line
    shift
    boot=$(of_outer .boot_id)
    banger vm exec "$outer" --workdir "$root" "$@" &
    running=$!
    while kill -0 "$running" 2>/dev/null; do
        sleep 5
        if banger vm ping "$outer" >/dev/null 2>&1; then answered=$SECONDS; fi
        if [ $((SECONDS - answered)) -gt $silence ]; then
            line=$(banger vm logs "$outer" | tail -n 1)
            say "the outer kernel hangs: silent for $silence s; its console's last line: $line"
            exit $crashed
        fi
        [ $((SECONDS - began)) -le "$longest" ] || die "it has not ended within $longest s"
    done
    wait "$running" || code=$?
    say "$SECONDS s: ended in the outer VM"
    line=$(banger vm logs "$outer" | grep -acE 'soft lockup|detected stall' || true)
    [ "$line" = 0 ] || say "the outer kernel reported $line soft lockups"
    [ "$code" != 0 ] || return 0
    line=$(outer_crash)
    if [ -n "$line" ]; then
        say "the outer kernel crashed: $line"
        exit $crashed
    fi
    if [ "$(of_outer .boot_id)" != "$boot" ]; then
        say "the outer VM ended: $(of_outer '.reason // "it booted again"')"
        exit $crashed
    fi
    return $code
}

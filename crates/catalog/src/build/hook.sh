#!/bin/sh
# Run by mmdebstrap with the tree's path, after the packages. No value stands in here: all are in files beside it.
set -eu
exec >&2 </dev/null
umask 022
root=$1
here=${0%/*}

inside() {
    env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" chroot "$root" "$@"
}

# Its own name for env and chroot, since xargs calls programs and no functions.
words_inside() {
    words=$1
    shift
    xargs --null --arg-file="$words" --no-run-if-empty --exit \
        env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" chroot "$root" "$@"
}

echo "catalog-step files"
inside tar --extract --file=- --directory=/ --numeric-owner --same-owner --same-permissions --keep-directory-symlink \
    <"$here/files.tar"
echo "catalog-step enable"
words_inside "$here/enable" systemctl --quiet enable --
echo "catalog-step disable"
words_inside "$here/disable" systemctl --quiet disable --
echo "catalog-step mask"
words_inside "$here/mask" systemctl --quiet mask --
for command in "$here"/commands/*; do
    [ -e "$command" ] || continue
    echo "catalog-step command ${command##*/}"
    words_inside "$command"
done
echo "catalog-step clean"
inside sh -s <"$here/clean.sh"

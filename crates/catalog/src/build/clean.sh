# Run in the tree: removes what is not the same in every build, and what no two machines may share.
set -eu

# What the build's apt and dpkg were told; the image has its own sources.
rm -f /etc/apt/sources.list.d/0000catalog.sources /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
# The host's.
rm -f /etc/resolv.conf /etc/hostname

# Ids and keys: each machine makes its own.
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
: >/etc/machine-id
chmod 0444 /etc/machine-id
# dbus's tmpfiles.d makes it a link to the other.
rm -f /var/lib/dbus/machine-id

# Logs, caches and what the tools kept of earlier states.
rm -rf /var/log/apt /var/log/journal
rm -f /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log
find /var/log -type f -exec truncate --size=0 -- {} +
rm -rf /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/cache/ldconfig
find /var/lib/apt/lists -mindepth 1 ! -name lock ! -name partial -delete
# Its number is that of the host's user for downloads.
chown 0:0 /var/cache/apt/archives/partial /var/lib/apt/lists/partial
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
find / -xdev -type d -name __pycache__ -prune -exec rm -rf -- {} +

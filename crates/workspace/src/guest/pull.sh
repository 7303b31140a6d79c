# Prints the id of what is checked out, on a line, then a pack of the commits that lead there.
# Arguments: the workspace's folder, the commit that the host has or `-`.
path=$1 base=$2
cd "$path" 2>/dev/null && git rev-parse --git-dir >/dev/null 2>&1 || exit 92
head=$(git rev-parse -q --verify 'HEAD^{commit}') || exit 95
printf '%s\n' "$head"
[ "$head" != "$base" ] || exit 0
if [ "$base" = - ]; then
    printf '%s\n' "$head"
else
    git cat-file -e "$base" 2>/dev/null || exit 94
    printf '%s\n^%s\n' "$head" "$base"
fi | git pack-objects --revs --stdout -q --delta-base-offset --depth=50

# Takes away what was received, where the rest of it does not come.
# Arguments: the workspace's folder, `new` or `again`.
path=$1 turn=$2
if [ "$turn" = new ]; then
    rm -rf "$path.banger-incoming"
else
    cd "$path" 2>/dev/null && git rev-parse -q --verify refs/banger/prepared >/dev/null || exit 92
    rm -rf .git/banger-*
fi

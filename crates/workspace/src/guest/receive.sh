# Makes ready for a workspace, and takes the objects that come on stdin.
# Arguments: the workspace's folder, `new` or `again`, the object format, the commit that is there, whether objects
# come (`pack`; `indexed` where their index comes later; `none`), `force` or nothing.
path=$1 turn=$2 format=$3 base=$4 objects=$5 force=$6
if [ "$turn" = new ]; then
    if [ -e "$path" ] && { [ ! -d "$path" ] || [ -n "$(ls -A "$path")" ]; } && [ -z "$force" ]; then
        exit 91
    fi
    tree=$path.banger-incoming
    rm -rf "$tree"
    mkdir -p "$tree"
    # A guest's git may be too old for the option, and then has but the one format.
    if [ "$format" = sha1 ]; then
        git init -q --template= "$tree"
    else
        git init -q --template= --object-format="$format" "$tree"
    fi
    # As git's own template has them, so that a hook, or what is to be ignored, can be put there.
    mkdir "$tree/.git/hooks" "$tree/.git/info"
else
    tree=$path
    [ -d "$path/.git" ] && cd "$path" && git rev-parse -q --verify refs/banger/prepared >/dev/null || exit 92
    # Another repository at the host's path may name its objects otherwise.
    [ "$(git config extensions.objectFormat || echo sha1)" = "$format" ] || exit 92
    [ "$base" = - ] || git cat-file -e "$base" 2>/dev/null || exit 92
fi
cd "$tree"
rm -rf .git/banger-*
[ "$objects" = none ] || {
    # Aside, so that what breaks off takes no room.
    aside=$PWD/.git/banger-objects
    mkdir -p "$aside/pack"
    if [ "$turn" = new ]; then gone=$tree; else gone=$aside; fi
    trap 'rm -rf "$gone"' EXIT
    trap 'exit 1' HUP INT TERM
    if [ "$objects" = indexed ]; then
        cat >"$aside/pack/incoming"
    else
        (
            export GIT_OBJECT_DIRECTORY="$aside" GIT_ALTERNATE_OBJECT_DIRECTORIES="$PWD/.git/objects"
            git index-pack --stdin --fix-thin >/dev/null
        )
        # A pack's index makes it seen: last.
        for end in pack rev idx; do
            for file in "$aside/pack/"*."$end"; do
                [ ! -e "$file" ] || mv -f "$file" .git/objects/pack/
            done
        done
        rm -rf "$aside"
    fi
    trap - EXIT
}

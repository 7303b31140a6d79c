# Gives the workspace to a user of the guest's, who can get there then.
# Arguments: the folder, the user (a name or a number, and after a colon a group), `check` or `give`: whether there is
# such a user, or all of it.
path=$1 user=$2 turn=$3
case $user in
*:*) owner=$user ;;
*[!0-9]*) owner=$user: ;;
# A number need not be known: it has no group of its own then.
*) owner=$user ;;
esac
name=${user%%:*}
case $name in
*[!0-9]*) id -u "$name" >/dev/null 2>&1 || exit 97 ;;
esac
[ "$turn" = give ] || exit 0
[ -d "$path" ] || exit 92
chown -R -h "$owner" "$path"
folder=$(dirname "$path")
while [ "$folder" != / ]; do
    # Through, and no more: what is in the folder is not listed.
    case $(ls -ld "$folder") in
    d????????[xt]*) ;;
    *) chmod a+x "$folder" ;;
    esac
    folder=$(dirname "$folder")
done
name_as_safe "$path"

# Where each part goes: sourced by install and uninstall, never run.
# shellcheck shell=bash disable=SC2034

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}

program=$PREFIX/bin/larder
manual=$PREFIX/share/man/man1/larder.1
# mount(8) looks for helpers in /sbin and nowhere else, whatever the prefix is.
helpers=(/sbin/mount.larder /sbin/mount.fuse.larder)
units=$PREFIX/lib/systemd
system_units=("$units/system/larder.service" "$units/system/larder@.service" "$units/system/larder-cache@.service")
user_unit=$units/user/larder.service
declare -A completions=(
    [bash]=$PREFIX/share/bash-completion/completions/larder
    [zsh]=$PREFIX/share/zsh/site-functions/_larder
    [fish]=$PREFIX/share/fish/vendor_completions.d/larder.fish
)

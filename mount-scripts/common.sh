# Shared by the scripts beside it: sourced, never run.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# shellcheck disable=SC2034  # for the scripts that source this
readonly here root

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

as_root() { [ "$(id -u)" -eq 0 ] || die "must run as root, for example: sudo $0"; }

# install_packages SET...: installs what is missing of the named sets of `packages`, and nothing when nothing is.
install_packages() {
    local missing=() package
    for package in $("$here/packages" "$@"); do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "not installed: ${missing[*]}. As root: apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# use_toolchain: puts a Swift that can build Larder first on PATH, fetching it where there is none.
use_toolchain() {
    local bin
    bin=$("$here/toolchain")
    PATH=$bin:$PATH
    export PATH
}

# SPDX-License-Identifier: BSD-3-Clause
# What quickstart.sh and the tests share: packages, build, hugepages. To be sourced by a script that has
# set `root` to the top of the source tree. POSIX shell.

say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
  say "$*"
  exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    return 126
  fi
}

# What hongbao is built from.
build_packages="
  gcc libc6-dev
  meson ninja-build pkg-config
  libdpdk-dev
  liburcu-dev
  libcyaml-dev libyaml-dev
  libevent-dev
  libjs-dygraphs
  libjansson-dev
  libsodium-dev
  libpcap-dev
  libpq-dev
"

# Installs those of the named Debian packages that are missing.
install_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing:$missing"
  log=$(mktemp)
  # shellcheck disable=SC2086
  if ! { as_root apt-get update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
    >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not install:$missing; as root: apt-get update && apt-get install$missing"
  fi
  rm -f "$log"
}

# build DIRECTORY OPTION...: configures once, then builds what changed. Quiet unless it fails.
build() {
  directory=$1
  shift
  log=$(mktemp)
  if [ ! -f "$directory/build.ninja" ]; then
    # A set-up that was cut off leaves a directory that meson would refuse.
    rm -rf "$directory"
    meson setup "$directory" "$root" "$@" >"$log" 2>&1 || {
      tail -n 30 "$log" >&2
      die "could not configure $directory; the lines above say why"
    }
  fi
  # shellcheck disable=SC2086
  ninja -C "$directory" ${build_targets:-} >"$log" 2>&1 || {
    grep -E 'error|FAILED|ninja:' "$log" >&2 || tail -n 30 "$log" >&2
    die "could not build $directory; the lines above say why"
  }
  rm -f "$log"
}

pages_file=/proc/sys/vm/nr_hugepages
pages_before=

# Asks the host for at least so many free hugepages of 2 MiB. Where it doesn't give them, hongbaod runs
# without and says so.
reserve_hugepages() {
  [ -r "$pages_file" ] || return 0
  free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)
  [ "${free:-0}" -lt "$1" ] || return 0
  before=$(cat "$pages_file")
  if as_root sh -c "echo $((before + $1 - ${free:-0})) >$pages_file" 2>/dev/null; then
    pages_before=$before
  else
    say "no hugepages here, so slower: $pages_file cannot be written"
  fi
}

# Gives back what reserve_hugepages took.
return_hugepages() {
  [ -z "$pages_before" ] || as_root sh -c "echo $pages_before >$pages_file" 2>/dev/null || true
  pages_before=
}

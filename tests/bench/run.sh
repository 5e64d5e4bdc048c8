#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds what the benchmark suite needs and runs it: bench.py, whose --help says the rest. As root.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/app/setup.sh"

suite() {
  python3 "$root/tests/bench/bench.py" "$@"
}

install_packages python3 util-linux
# What only asks needs no build; a wrong command line ends here, too.
case " $* " in
*" --list "* | *" --help "* | *" -h "*)
  suite "$@"
  exit
  ;;
esac
packages=$(suite --packages "$@") || exit

# shellcheck disable=SC2086
install_packages $build_packages libcmocka-dev $packages
say "building"
build "$root/build-bench" --werror
case " $packages " in
*" valgrind "*) build "$root/build-portable" --werror -Disa=portable ;;
esac

reserve_hugepages "$(suite --hugepages "$@")"
trap return_hugepages EXIT
trap 'exit 130' INT TERM

suite "$@"

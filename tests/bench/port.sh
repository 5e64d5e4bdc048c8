#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Sets up and runs port.py, which says what it measures. As root: testpmd wants hugepages.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/app/setup.sh"

bench_packages="
  dpdk-dev
  python3
"

# shellcheck disable=SC2086
install_packages $build_packages $bench_packages
build "$root/build" -Dtests=false
# The capture's frames, some 450 bytes each, and 24 bytes for each row of the table.
reserve_hugepages 5000
trap return_hugepages EXIT
trap 'exit 130' INT TERM

python3 "$root/tests/bench/port.py" --build "$root/build" "$@"

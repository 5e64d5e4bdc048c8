#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds hongbao in each way that counts and runs every test. The last line is `N passed, N failed,
# N skipped`; the exit code is 0 only when nothing failed. As root, or as a user with sudo.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/app/setup.sh"

# What the tests need beside the build. Of postgresql they run the programs, not the cluster that it makes.
test_packages="
  libcmocka-dev
  python3
  valgrind
  iproute2 iputils-ping
  systemd libseccomp2
  bash zsh mandoc
  postgresql
"

# What tests/nic needs: where it can't be had, these tests are skipped, and counted as skipped.
nic_packages="
  qemu-system-x86
  busybox-static
"

# What tests/system/test_warroom_page.py needs: likewise.
browser_packages="
  chromium chromium-driver
"

# shellcheck disable=SC2086
install_packages $build_packages $test_packages
# shellcheck disable=SC2086
(install_packages $nic_packages) || say "tests/nic will be SKIPPED"
# shellcheck disable=SC2086
(install_packages $browser_packages) || say "the test of the war room's page will be SKIPPED"
# The kernel that the guest boots isn't installed but fetched, in the version that apt knows of; nor is
# Prometheus, whose package would start a service. Where they can't be had, their tests are skipped.
{ [ -d "$root/build-portable/nic/kernel" ] && [ -d "$root/build-test/prometheus" ]; } ||
  as_root apt-get update >/dev/null 2>&1 || true

# For two at a time.
reserve_hugepages 256
trap return_hugepages EXIT
trap 'exit 130' INT TERM

failed_to_run=0

# check DIRECTORY SUITE...: runs suites of a build directory.
check() {
  directory=$1
  shift
  say "testing ${directory##*/}: $*"
  suites=
  for suite in "$@"; do
    suites="$suites --suite hongbao:$suite"
  done
  # shellcheck disable=SC2086
  meson test -C "$directory" --no-rebuild --print-errorlogs $suites ||
    failed_to_run=$((failed_to_run + 1))
}

results() {
  for directory in "$@"; do
    printf '%s\n' "$directory/meson-logs/testlog.junit.xml"
  done
}

say "building: optimised for this machine, warnings are errors"
build "$root/build-test" --werror
say "building: portable, as a package would be, what the instruction set makes a difference to"
build_targets=portable build "$root/build-portable" --werror -Disa=portable
say "building: with the address and undefined-behaviour sanitizers"
build "$root/build-asan" --werror -Db_sanitize=address,undefined -Db_lundef=false \
  -Doptimization=1

say "building: with the thread sanitizer, what threads share"
build_targets=threads build "$root/build-tsan" --werror -Db_sanitize=thread -Db_lundef=false \
  -Doptimization=1

rm -f "$root"/build-*/meson-logs/testlog*
check "$root/build-test" unit sim plain system
check "$root/build-portable" portable nic
check "$root/build-asan" unit system sanitized
check "$root/build-tsan" threads

# shellcheck disable=SC2046
python3 "$root/tests/count.py" "$failed_to_run" \
  $(results "$root/build-test" "$root/build-portable" "$root/build-asan" "$root/build-tsan")

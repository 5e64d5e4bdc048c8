#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds hongbao and plays the night of 2015 through it, at 1/11,000: 1 million requests from a capture,
# answered, journalled and audited. Safe to repeat. As root, or as a user with sudo.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/app/setup.sh"

work=$root/build/quickstart

# shellcheck disable=SC2086
install_packages $build_packages
say "building"
build "$root/build" -Dtests=false

reserve_hugepages 96
trap return_hugepages EXIT
trap 'exit 130' INT TERM

rm -rf "$work"
mkdir -p "$work"
cd "$work"

# Keys of this show: one for the users of this epoch, one for the payment side.
random_key() {
  od -An -tx1 -N16 /dev/urandom | tr -d ' \n'
}
(
  umask 077
  printf 'epochs: { 0: %s }\nissuer: %s\n' "$(random_key)" "$(random_key)" >keys.yaml
)
cat >gala.yaml <<'END'
host: 1
listen: { ipv4: 10.0.0.1, base_port: 8192 }
ports:
  - profile: pcap
    device: "net_pcap0,rx_pcap=requests.pcap,tx_pcap=replies.pcap"
workers: 1
users: 1000000
journal: journal
keys: keys.yaml
clock: packet
seed: 0
campaigns:
  - id: 7
    name: gala
    opens: "2015-02-18T20:00:00+08:00"
    closes: "2015-02-19T00:48:00+08:00"
    envelopes: { count: 11000, total: 5500000, split: lucky }
    odds: 0.012
    wins_per_user: 1
END

say "making the capture: the night of 18 February 2015, 1 shake of 11,000"
../app/hongbao-trace/hongbao-trace gala-2015 --requests 1000000 --users 400000 --seed 2015 \
  --keys keys.yaml -o requests.pcap
say "playing it through hongbaod"
../app/hongbaod/hongbaod -c gala.yaml --report report.json --exit-when-idle 500
say "auditing the journal"
../app/hongbao-audit/hongbao-audit journal
say "good. All of it is in $work: the configuration, both captures, the journal, report.json"

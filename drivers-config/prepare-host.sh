#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Looks at what a host lacks for hongbaod on a device, and says it in the words of `hongbaod --check`; asked
# to, it does it, and takes it back. Nothing is changed without --apply. POSIX shell; as root to apply.
set -eu

usage() {
  cat <<'END'
usage: prepare-host.sh --profile NAME --device DEVICE [--workers N] [--users N]
         [--packets N] [--packet-shares N]
         [--hugepages N[,node=K][,size=2M|1G]] [--no-iommu]
       prepare-host.sh [--isolate CPUS] [--limits USER]
       prepare-host.sh --undo
Each with --apply to do it; without, it prints the commands that it would run.

  --profile NAME    a profile of drivers-config
  --device DEVICE   a PCI address (0000:03:00.0), or a device as in the configuration
  --workers N       workers of the configuration (1)
  --users N         users of the configuration (1000000)
  --packets N       packets: { open: N } of the configuration (100000)
  --packet-shares N packets: { shares: N } of the configuration (1000000)
  --hugepages ...   so many pages, of 2 MiB unless size=1G, on NUMA node K if given
  --no-iommu        let vfio work without an IOMMU: the NIC may then write all memory
  --isolate CPUS    keep other work off these CPUs (1-3,5) from the next boot on
  --limits USER     let a user lock memory and open files as hongbaod needs them
  --undo            take back what --apply did, the last first
  --apply           do it

A PCI device is bound to what its profile names, with driverctl where that is installed, else with
dpdk-devbind.py. What it was before is kept in /var/lib/hongbao/prepare-host.undo.

exit codes: 0 good; 1 a command failed; 2 wrong command line; 3 no such profile; 4 the host lacks something
END
}

# What stands before /sys, /proc, /dev, /etc and /var, for tests.
root=${HONGBAO_SYSROOT:-}
undo_file=/var/lib/hongbao/prepare-host.undo
mib=1048576
page_2m=2097152
page_1g=1073741824

say() {
  printf 'prepare-host: %s\n' "$*" >&2
}

wrong() {
  say "$*; try: prepare-host.sh --help"
  exit 2
}

# ---- the command line ------------------------------------------------------------------

profile='' device='' workers=1 users=1000000 packets=100000 packet_shares=1000000
pages='' pages_node='' pages_size=$page_2m
no_iommu='' isolate='' limits='' undo='' apply=''

is_number() {
  case $1 in
    '' | *[!0-9]* | 0[0-9]*) return 1 ;;
  esac
  [ "${#1}" -le 13 ]
}

take_hugepages() {
  rest=$1,
  pages=${rest%%,*}
  rest=${rest#*,}
  is_number "$pages" || wrong "--hugepages takes a number of pages first, not $1"
  while [ -n "$rest" ]; do
    part=${rest%%,*}
    rest=${rest#*,}
    case $part in
      node=*) pages_node=${part#node=} ;;
      size=2M) pages_size=$page_2m ;;
      size=1G) pages_size=$page_1g ;;
      *) wrong "--hugepages takes node=K and size=2M or size=1G, not $part" ;;
    esac
  done
  [ -z "$pages_node" ] || is_number "$pages_node" || wrong "node=$pages_node is no number"
}

while [ $# -gt 0 ]; do
  option=$1
  shift
  case $option in
    --help)
      usage
      exit 0
      ;;
    --apply) apply=1 ;;
    --undo) undo=1 ;;
    --no-iommu) no_iommu=1 ;;
    --profile | --device | --workers | --users | --packets | --packet-shares | --hugepages | \
      --isolate | --limits)
      [ $# -gt 0 ] || wrong "a value is missing behind $option"
      case $option in
        --profile) profile=$1 ;;
        --device) device=$1 ;;
        --workers) workers=$1 ;;
        --users) users=$1 ;;
        --packets) packets=$1 ;;
        --packet-shares) packet_shares=$1 ;;
        --hugepages) take_hugepages "$1" ;;
        --isolate) isolate=$1 ;;
        --limits) limits=$1 ;;
      esac
      shift
      ;;
    *) wrong "no such option: $option" ;;
  esac
done

if ! is_number "$workers" || [ "$workers" -lt 1 ] || [ "$workers" -gt 64 ]; then
  wrong "--workers takes 1 to 64, not $workers"
fi
if ! is_number "$users" || [ "$users" -lt 1 ]; then
  wrong "--users takes a number from 1 up, not $users"
fi
is_number "$packets" || wrong "--packets takes a number, not $packets"
is_number "$packet_shares" || wrong "--packet-shares takes a number, not $packet_shares"
case $isolate in
  *[!0-9,-]* | -* | ,*) wrong "--isolate takes CPUs as 1-3,5, not $isolate" ;;
esac
case $limits in
  *[!A-Za-z0-9._-]* | -*) wrong "--limits takes the name of a user, not $limits" ;;
esac
[ -n "$profile" ] || [ -z "$device" ] || wrong "--profile is missing beside --device"
[ -z "$profile" ] || [ -n "$device" ] || wrong "--device is missing beside --profile"
[ -n "$profile$isolate$limits$undo$pages$no_iommu" ] || wrong "what is to be looked at?"

# ---- the profile -----------------------------------------------------------------------

# value KEY: of the profile, where it is a plain one on the key's own line.
value() {
  sed -n "s/^$1: *//p" "$profile_file" | head -n 1
}

if [ -n "$profile" ]; then
  case $profile in
    */* | .*) wrong "$profile is no name of a profile" ;;
  esac
  profile_file=${HONGBAO_PROFILES:-$(dirname "$0")}/$profile.yaml
  if [ ! -r "$profile_file" ]; then
    say "there is no profile $profile_file; try: ls $(dirname "$profile_file")"
    exit 3
  fi
  vdev=$(value vdev)
  kernel_driver=$(value kernel_driver)
  needs=$(value needs)
fi

# ---- reading /sys and /proc ------------------------------------------------------------

# The first line of a file, "" where there is none.
line_of() {
  head -n 1 "$root$1" 2>/dev/null | sed 's/^[[:space:]]*//; s/[[:space:]]*$//' || true
}

number_of() {
  number=$(line_of "$1")
  printf '%s' "${number:-0}"
}

# The last part of where a link leads.
link_of() {
  target=$(readlink "$root$1" 2>/dev/null) || target=
  printf '%s' "${target##*/}"
}

# The line of a file that begins with a key, from behind it.
field_of() {
  sed -n "s/^$2[[:space:]]*//p" "$root$1" 2>/dev/null | head -n 1 || true
}

# cpus LIST: 0-2,5 as one number a line.
cpus() {
  printf '%s\n' "$1" | tr ',' '\n' | awk -F- '/^[0-9]/ { for (i = $1; i <= (NF > 1 ? $2 : $1); i++) print i + 0 }'
}

# The CPUs that the workers will have: hongbaod gives the first that it may use to its main lcore, the next
# to the workers, and begins anew where there are too few.
worker_cpus() {
  cpus "$(field_of /proc/self/status Cpus_allowed_list:)" | sort -n |
    awk -v workers="$workers" '{ cpu[NR - 1] = $1 }
      END { for (i = 1; NR > 0 && i <= workers; i++) print cpu[i % NR] }' | sort -n -u
}

# outside LIST: the workers' CPUs that are not in it, as 1,2.
outside() {
  { cpus "$1" | sed 's/^/in /'; worker_cpus; } |
    awk '$1 == "in" { is[$2] = 1; next } !($1 in is) { printf "%s%s", n++ ? "," : "", $1 }'
}

# ---- findings --------------------------------------------------------------------------

errors=0

# finding SEVERITY TEXT COMMAND
finding() {
  say "$1: $2; try: $3"
  [ "$1" != error ] || errors=$((errors + 1))
}

is_userspace() {
  case $1 in
    vfio-pci | uio_pci_generic | igb_uio) return 0 ;;
  esac
  return 1
}

# The command that binds a device.
binding() {
  if [ -e "$root/sys/bus/pci/drivers/$2" ]; then
    printf 'dpdk-devbind.py -b %s %s' "$2" "$1"
  else
    printf 'modprobe %s && dpdk-devbind.py -b %s %s' "$2" "$2" "$1"
  fi
}

has_default_route() {
  awk -v name="$1" '$1 == name && $8 ~ /^0+$/ { found = 1 } END { exit !found }' \
    "$root/proc/net/route" 2>/dev/null ||
    awk -v name="$1" '$10 == name && $2 ~ /^0+$/ { found = 1 } END { exit !found }' \
      "$root/proc/net/ipv6_route" 2>/dev/null
}

# The interface of a device that a default route leaves by.
default_interface() {
  for path in "$root/sys/bus/pci/devices/$1"/net/* "$root/sys/bus/pci/devices/$1"/virtio*/net/*; do
    if [ -e "$path" ] && has_default_route "${path##*/}"; then
      printf '%s' "${path##*/}"
      return 0
    fi
  done
}

is_nic() {
  case $(line_of "/sys/bus/pci/devices/$1/class") in
    0x02*) return 0 ;;
  esac
  return 1
}

# 03:00.0,arg=1 as 0000:03:00.0, "" where it is no address.
address_of() {
  parts=$(printf '%s\n' "${1%%,*}" | tr '[:upper:]' '[:lower:]' | sed -n \
    's/^\(\([0-9a-f]\{1,4\}\):\)\{0,1\}\([0-9a-f]\{1,2\}\):\([0-9a-f]\{1,2\}\)\.\([0-7]\)$/0x0\2 0x\3 0x\4 0x\5/p')
  # shellcheck disable=SC2086
  [ -z "$parts" ] || printf '%04x:%02x:%02x.%x' $parts
}

# ---- the checks, in the order of lib/port/preflight.c ------------------------------------

node=-1 physical='' vfio='' frames=0 all=0

take_needs() {
  rx=$(value rx_descriptors) tx=$(value tx_descriptors) buffer=$(value mbuf_bytes)
  if [ "$workers" -le 4 ]; then
    slots=2048
  elif [ "$workers" -le 16 ]; then
    slots=512
  else
    slots=256
  fi
  # Frames that queues, hand-over and host rings, parked replies and caches hold; see
  # hb_mbufs_needed().
  count=$((workers * (16384 + (workers - 1) * slots + 2 * 256 + 4 * 64 + 2 * 256 + rx + tx) + 2 * 256))
  frames=$((count * (buffer + 128 + 512) + 64 * mib))
  # The rows of the users; see hb_users_bytes().
  buckets=$((users * 3 / 10))
  [ "$buckets" -ge $(((users + 3) / 4)) ] || buckets=$(((users + 3) / 4))
  all=$((frames + buckets * 4 * 20))
  # The packets, their shares and their wheel; see hb_packets_bytes().
  if [ "$packets" -gt 0 ]; then
    round=64
    while [ $round -lt 1048576 ] && [ $round -lt $((packets / 64)) ]; do
      round=$((round * 2))
    done
    all=$((all + packets * 64 + packet_shares * 16 + round * 4 + packet_shares / 8 + 8))
  fi
}

check_capability() {
  held=$(field_of /proc/self/status CapEff:)
  [ $((0x${held:-0} >> $2 & 1)) -eq 0 ] || return 0
  finding error "device $1: needs $3, which this user has not" \
    "setcap $(printf '%s' "$3" | tr '[:upper:]' '[:lower:]')+ep \"\$(command -v hongbaod)\""
}

check_vdev() {
  name=${device%%,*}
  case $needs in
    *tun*)
      if [ ! -e "$root/dev/net/tun" ]; then
        finding error "device $name: there is no /dev/net/tun" "modprobe tun"
      elif [ ! -r "$root/dev/net/tun" ] || [ ! -w "$root/dev/net/tun" ]; then
        finding error "device $name: this user may not use /dev/net/tun" "chmod 666 /dev/net/tun"
      fi
      ;;
  esac
  case $needs in
    *net_admin*) check_capability "$name" 12 CAP_NET_ADMIN ;;
  esac
  case $needs in
    *net_raw*) check_capability "$name" 13 CAP_NET_RAW ;;
  esac
}

check_taken() {
  interface=$(default_interface "$address")
  if is_userspace "$driver"; then
    if [ "$kernel_driver" = vfio-pci ] && [ "$driver" != vfio-pci ]; then
      finding warning "device $address: is bound to $driver, without an IOMMU; better is vfio-pci" \
        "$(binding "$address" vfio-pci)"
    fi
  elif [ -n "$interface" ]; then
    finding error "device $address: its interface $interface has the default route: bound to $kernel_driver it would cut this host off; name another NIC" \
      "dpdk-devbind.py --status-dev net"
  elif [ -n "$driver" ]; then
    finding error "device $address: is bound to $driver, profile $profile needs $kernel_driver" \
      "$(binding "$address" "$kernel_driver")"
  else
    finding warning "device $address: is bound to no driver, profile $profile needs $kernel_driver" \
      "$(binding "$address" "$kernel_driver")"
  fi
}

check_shared() {
  if [ -z "$driver" ]; then
    finding error "device $address: is bound to no driver, profile $profile needs the kernel's own" \
      "echo $address > /sys/bus/pci/drivers_probe"
  elif is_userspace "$driver"; then
    finding error "device $address: is bound to $driver, profile $profile needs the kernel's own" \
      "dpdk-devbind.py -u $address && echo > /sys/bus/pci/devices/$address/driver_override && echo $address > /sys/bus/pci/drivers_probe"
  fi
}

# check_companion GROUP OTHER
check_companion() {
  class=$(line_of "/sys/bus/pci/devices/$2/class")
  other=$(link_of "/sys/bus/pci/devices/$2/driver")
  [ "$2" != "$address" ] || return 0
  case $class in
    0x0604*) return 0 ;;
  esac
  case $other in
    '' | vfio-pci | pci-stub) return 0 ;;
  esac
  case $class in
    0x02*) mending=$(binding "$2" vfio-pci) ;;
    *) mending= ;;
  esac
  if [ -z "$mending" ] || [ -n "$(default_interface "$2")" ]; then
    mending="ls -l /sys/kernel/iommu_groups/$1/devices"
  fi
  finding error "device $address: IOMMU group $1 has $2 too, bound to $other: vfio-pci wants all of it" \
    "$mending"
}

check_iommu() {
  through=$kernel_driver
  ! is_userspace "$driver" || through=$driver
  if [ "$through" != vfio-pci ]; then
    [ "$kernel_driver" = none ] || physical=1
    return 0
  fi
  vfio=1
  group=$(link_of "/sys/bus/pci/devices/$address/iommu_group")
  mode=$(line_of /sys/module/vfio/parameters/enable_unsafe_noiommu_mode)
  if [ -z "$group" ] && [ "$mode" = Y ]; then
    physical=1
  elif [ -z "$group" ]; then
    finding error "device $address: has no IOMMU: boot with intel_iommu=on or amd_iommu=on, or, where it may write all memory, go without" \
      "modprobe vfio && echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
  else
    [ "$(line_of "/sys/kernel/iommu_groups/$group/name")" != vfio-noiommu ] || physical=1
    for path in "$root/sys/kernel/iommu_groups/$group/devices"/*; do
      check_companion "$group" "${path##*/}"
    done
  fi
}

check_numa() {
  own=$(line_of "/sys/bus/pci/devices/$address/numa_node")
  own=${own:--1}
  [ "$own" -ge 0 ] && [ -e "$root/sys/devices/system/node/node$own/cpulist" ] || return 0
  node=$own
  list=$(line_of "/sys/devices/system/node/node$node/cpulist")
  away=$(outside "$list")
  [ -z "$away" ] ||
    finding warning "device $address: is on NUMA node $node, CPU $away of the workers elsewhere" \
      "taskset -c $list hongbaod -c FILE"
}

check_pci() {
  address=$(address_of "$device")
  if [ -z "$address" ]; then
    finding error "device $device: is no PCI address, profile $profile needs one" \
      "dpdk-devbind.py --status-dev net"
    return 0
  fi
  if [ ! -e "$root/sys/bus/pci/devices/$address" ]; then
    finding error "device $address: is not there" "dpdk-devbind.py --status-dev net"
    return 0
  fi
  # It may be what the host's disks hang on: never bound, nor said how.
  if ! is_nic "$address"; then
    finding error "device $address: is no NIC, its class is $(line_of "/sys/bus/pci/devices/$address/class")" \
      "dpdk-devbind.py --status-dev net"
    return 0
  fi
  driver=$(link_of "/sys/bus/pci/devices/$address/driver")
  if [ "$kernel_driver" = none ]; then
    check_shared
  else
    check_taken
  fi
  check_iommu
  check_numa
}

# pages_place NODE BYTES: where pages of a size are counted.
pages_place() {
  if [ "$1" -ge 0 ]; then
    printf '/sys/devices/system/node/node%s/hugepages/hugepages-%skB' "$1" $(($2 / 1024))
  else
    printf '/sys/kernel/mm/hugepages/hugepages-%skB' $(($2 / 1024))
  fi
}

free_bytes() {
  printf '%s' $(($(number_of "$(pages_place "$1" $page_2m)/free_hugepages") * page_2m + \
    $(number_of "$(pages_place "$1" $page_1g)/free_hugepages") * page_1g))
}

# more_pages NODE BYTES: the command that makes so many bytes more.
more_pages() {
  size=$page_2m
  [ -e "$root$(pages_place "$1" $size)/nr_hugepages" ] || size=$page_1g
  place=$(pages_place "$1" $size)/nr_hugepages
  printf 'echo %s > %s' $(($(number_of "$place") + ($2 + size - 1) / size)) "$place"
}

check_hugepages() {
  free=$(free_bytes -1)
  there=$free
  [ "$node" -lt 0 ] || there=$(free_bytes "$node")
  severity=warning
  if [ -n "$physical" ] && [ "$free" -lt "$frames" ]; then
    severity=error
  fi
  if [ "$free" -lt "$all" ]; then
    finding $severity "hugepages: $((free / mib)) MiB are free, $((all / mib)) MiB are needed" \
      "$(more_pages "$node" $((all - free)))"
  elif [ "$there" -lt "$frames" ]; then
    finding warning "hugepages: $((there / mib)) MiB are free on node $node, where $address is, $((frames / mib)) MiB are needed there" \
      "$(more_pages "$node" $((frames - there)))"
  fi
}

check_mount() {
  uid=$(id -u)
  [ "$uid" -ne 0 ] && [ ! -w "$root/dev/hugepages" ] || return 0
  if [ -e "$root/dev/hugepages" ]; then
    mending="chown $uid /dev/hugepages"
  else
    mending="mkdir -p /dev/hugepages && mount -t hugetlbfs -o uid=$uid hugetlbfs /dev/hugepages"
  fi
  finding warning "hugepages: this user may not write /dev/hugepages" "$mending"
}

check_isolation() {
  isolated=$(line_of /sys/devices/system/cpu/isolated)
  away=$(outside "$isolated")
  if [ -n "$away" ]; then
    mending="sh drivers-config/prepare-host.sh --isolate $away --apply && reboot"
    [ -z "$isolated" ] || mending="taskset -c $isolated hongbaod -c FILE"
    finding warning "CPU $away of the workers is not isolated: other work runs there too" "$mending"
    return 0
  fi
  away=$(outside "$(line_of /sys/devices/system/cpu/nohz_full)")
  [ -z "$away" ] ||
    finding warning "CPU $away of the workers is isolated, but its timer ticks (nohz_full)" \
      "sh drivers-config/prepare-host.sh --isolate $isolated --apply && reboot"
}

check_governor() {
  slow='' first=''
  for cpu in $(worker_cpus); do
    governor=$(line_of "/sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor")
    if [ -n "$governor" ] && [ "$governor" != performance ]; then
      slow=${slow:+$slow,}$cpu
      first=${first:-$governor}
    fi
  done
  [ -z "$slow" ] ||
    finding warning "CPU $slow of the workers has the governor $first" \
      "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
}

# The soft limit of a name, a large number where there is none.
limit() {
  soft=$(field_of /proc/self/limits "$1" | awk '{ print $1 }')
  is_number "$soft" || soft=9223372036854775807
  printf '%s' "$soft"
}

check_limits() {
  lock=$(limit "Max locked memory")
  files=$(limit "Max open files")
  open=$((frames / page_2m + 256))
  if [ "$(id -u)" -ne 0 ] && [ -n "$vfio" ] && [ "$lock" -lt "$frames" ]; then
    finding warning "limits: this user may lock $((lock / mib)) MiB, $((frames / mib)) MiB are needed" \
      "sh drivers-config/prepare-host.sh --limits $(id -un) --apply"
  fi
  [ "$files" -ge "$open" ] ||
    finding warning "limits: $files files may be open, $open are needed" "ulimit -n $open"
}

check_all() {
  take_needs
  if [ "$vdev" = true ]; then
    check_vdev
    return 0
  fi
  check_pci
  check_hugepages
  check_mount
  check_isolation
  check_governor
  check_limits
}

# ---- doing it --------------------------------------------------------------------------

# Notes what takes a step back: before the step, so that one that is cut off is known too.
remember() {
  mkdir -p "$root${undo_file%/*}"
  printf '%s\n' "$*" >>"$root$undo_file"
}

failed() {
  say "failed: $*; try: prepare-host.sh --undo --apply"
  exit 1
}

# write VALUE FILE: into a file of /sys.
write() {
  if [ -z "$apply" ]; then
    printf 'would run: echo %s > %s\n' "$1" "$2"
    return 0
  fi
  say "echo $1 > $2"
  printf '%s\n' "$1" >"$root$2" || failed "echo $1 > $2"
}

# run COMMAND ...
run() {
  if [ -z "$apply" ]; then
    printf 'would run: %s\n' "$*"
    return 0
  fi
  say "$*"
  "$@" || failed "$*"
}

# set_file TEXT FILE: a file of ours in /etc.
set_file() {
  if [ -z "$apply" ]; then
    printf "would run: printf '%s' > %s\n" "$1" "$2"
    return 0
  fi
  say "writing $2"
  mkdir -p "$root${2%/*}"
  # shellcheck disable=SC2059
  printf "$1" >"$root$2" || failed "writing $2"
}

# change VALUE FILE: writes it and notes what it was, unless it is so already.
change() {
  before=$(line_of "$2")
  [ "$before" != "$1" ] || return 0
  [ -z "$apply" ] || remember "write $before $2 $1"
  write "$1" "$2"
}

do_hugepages() {
  place=$(pages_place "${pages_node:--1}" "$pages_size")/nr_hugepages
  if [ ! -e "$root$place" ]; then
    say "there is no $place; try: ls /sys/kernel/mm/hugepages /sys/devices/system/node"
    exit 4
  fi
  change "$pages" "$place"
  [ -z "$apply" ] || [ "$(line_of "$place")" = "$pages" ] || {
    say "only $(line_of "$place") of $pages pages could be had: memory is in pieces; try: the boot, with hugepages=$pages"
    exit 4
  }
}

do_no_iommu() {
  place=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
  [ -e "$root$place" ] || run modprobe vfio
  [ "$(line_of $place)" = Y ] || {
    [ -z "$apply" ] || remember "write 0 $place Y"
    write 1 $place
  }
}

# bind ADDRESS DRIVER: where the device is to go back to is noted first.
bind() {
  [ -e "$root/sys/bus/pci/drivers/$2" ] || run modprobe "$2"
  if command -v driverctl >/dev/null 2>&1; then
    [ -z "$apply" ] || remember "run driverctl unset-override $1"
    run driverctl set-override "$1" "$2"
  else
    [ -z "$apply" ] || remember "bind $1 ${driver:-none}"
    run dpdk-devbind.py -b "$2" "$1"
  fi
}

do_bind() {
  address=$(address_of "$device")
  [ -n "$address" ] && [ -e "$root/sys/bus/pci/devices/$address" ] || return 0
  driver=$(link_of "/sys/bus/pci/devices/$address/driver")
  if [ "$kernel_driver" = none ] || [ "$driver" = "$kernel_driver" ]; then
    return 0
  fi
  if is_userspace "$driver" && [ "$kernel_driver" != vfio-pci ]; then
    return 0
  fi
  # The check says that it would cut the host off, or is no NIC, and its exit code that nothing was done.
  is_nic "$address" || return 0
  [ -z "$(default_interface "$address")" ] || return 0
  bind "$address" "$kernel_driver"
}

do_isolate() {
  place=/etc/default/grub.d/hongbao.cfg
  text="GRUB_CMDLINE_LINUX=\"\$GRUB_CMDLINE_LINUX isolcpus=$isolate nohz_full=$isolate\""
  [ "$(line_of $place)" != "$text" ] || return 0
  if [ -n "$apply" ]; then
    remember "run update-grub"
    remember "remove $place"
  fi
  set_file "$text\\n" $place
  run update-grub
  say "the CPUs $isolate are isolated from the next boot on"
}

do_limits() {
  place=/etc/security/limits.d/hongbao.conf
  [ "$(line_of $place)" != "$limits - memlock unlimited" ] || return 0
  [ -z "$apply" ] || remember "remove $place"
  set_file "$limits - memlock unlimited\\n$limits - nofile 65536\\n" $place
  say "$limits has these limits from the next login on"
}

# One line of the undo file.
take_back() {
  case $1 in
    write)
      # What somebody else has set since is theirs.
      if [ "$(line_of "$3")" = "$4" ]; then
        write "$2" "$3"
      else
        say "$3 is $(line_of "$3"), not $4 as it was set to: left as it is"
      fi
      ;;
    remove) run rm -f "$root$2" ;;
    run)
      shift
      run "$@"
      ;;
    bind)
      now=$(link_of "/sys/bus/pci/devices/$2/driver")
      if [ "$3" = none ]; then
        [ -z "$now" ] || run dpdk-devbind.py -u "$2"
      elif [ "$now" != "$3" ]; then
        run dpdk-devbind.py -b "$3" "$2"
      fi
      ;;
  esac
}

do_undo() {
  [ -e "$root$undo_file" ] || {
    say "nothing was done that could be taken back"
    return 0
  }
  backwards=$(awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' "$root$undo_file")
  while read -r step; do
    # shellcheck disable=SC2086
    take_back $step
  done <<END
$backwards
END
  [ -z "$apply" ] || rm -f "$root$undo_file"
}

if [ -n "$undo" ]; then
  do_undo
  exit 0
fi
# The findings are of the host as it is left: with --apply after the doing, else before it.
[ -z "$profile" ] || [ -n "$apply" ] || check_all
[ -z "$pages" ] || do_hugepages
[ -z "$no_iommu" ] || do_no_iommu
[ -z "$profile" ] || [ "$vdev" = true ] || do_bind
[ -z "$isolate" ] || do_isolate
[ -z "$limits" ] || do_limits
[ -z "$profile" ] || [ -z "$apply" ] || check_all
[ "$errors" -eq 0 ] || exit 4

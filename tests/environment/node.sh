#!/bin/sh
# The keeper of a node: makes what outlives processes (a bridge, control groups), runs containerd and
# the kubelet in namespaces of their own, and takes everything away again when its standard input
# closes, which also happens when the environment is killed.
#
# In a process and a mount namespace the kernel itself does most of that work: at the end of the
# namespace's first process every shim and container is killed and every mount is gone.
#
#   sh node.sh DIRECTORY GROUP BRIDGE ADDRESS KUBELET [ARGUMENT]...
#
# DIRECTORY holds containerd.toml and receives logs; the kubelet starts once DIRECTORY/start exists;
# DIRECTORY/ended tells what ended although it should not have, and its status.
set -u
PATH=$PATH:/usr/sbin:/sbin
directory=$1 group=$2 bridge=$3 address=$4
shift 4

each_hierarchy() { # prints the group's path in every hierarchy, of cgroup v1 and v2 alike
  if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    echo "/sys/fs/cgroup/$group"
  else
    for hierarchy in /sys/fs/cgroup/*/cgroup.procs; do
      echo "${hierarchy%/cgroup.procs}/$group"
    done | sort -u
  fi
}

clean() {
  ip link del "$bridge" 2>/dev/null
  each_hierarchy | while read -r path; do
    [ ! -d "$path" ] || find "$path" -depth -type d -exec rmdir {} + 2>/dev/null
  done
  left=$(each_hierarchy | while read -r path; do [ ! -d "$path" ] || echo "$path"; done)
  [ -z "$left" ]
}

if [ "${KEEPER_ONLY_CLEANS:-}" ]; then
  clean
  exit
fi

# Inside a group of its own containerd also keeps the groups of its containers: beside its own on
# cgroup v2, below it on v1.
join() {
  for path in $(each_hierarchy); do
    mkdir -p "$path/runtime" || return
    for level in "$path" "$path/runtime"; do
      for file in cpuset.cpus cpuset.mems; do # empty in a new group of v1, and then nobody may join
        [ ! -e "$level/$file" ] || [ -e "$level/cpuset.cpus.effective" ] ||
          cat "${level%/*}/$file" >"$level/$file" || return
      done
    done
    # sh's own pid, as $$ is the keeper's in a subshell.
    sh -c 'echo $PPID' >"$path/runtime/cgroup.procs" || return
  done
}

ip link add "$bridge" type bridge || exit # somebody else's when it is there already
ip address add "$address/32" dev "$bridge" && ip link set "$bridge" up || {
  clean
  exit 1
}

export directory
isolated() {
  join || exit
  exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc sh -c '
    # Where v1 and v2 are both mounted, runc would also use the top of v2, whatever it is told.
    [ ! -e /sys/fs/cgroup/unified/cgroup.procs ] || umount /sys/fs/cgroup/unified || exit
    # What containerd and the kubelet keep at fixed places stays in here.
    mkdir -p /run/containerd /var/lib/kubelet
    mount -t tmpfs tmpfs /run/containerd &&
      mount -t tmpfs tmpfs /var/lib/kubelet &&
      mount -t tmpfs tmpfs /var/log || exit
    {
      containerd --config "$directory/containerd.toml" >"$directory/containerd.log" 2>&1
      echo "containerd $?" >>"$directory/ended"
    } &
    {
      until [ -e "$directory/start" ]; do sleep 0.05; done
      "$@" >"$directory/kubelet.log" 2>&1
      echo "kubelet $?" >>"$directory/ended"
    } &
    wait
  ' sh "$@"
}
{
  (isolated "$@")
  echo "keeper $?" >>"$directory/ended"
} &
namespace=$!

cat >/dev/null # until the environment closes it
kill -9 $namespace # and with it, by --pdeathsig and --kill-child, everything in the namespaces
wait $namespace 2>/dev/null
rmdir /var/lib/kubelet /run/containerd 2>/dev/null # only where they were made above, and empty

# What was just killed leaves its group a moment later; groups that can be removed prove its end.
tries=0
until clean; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || exit 1
  sleep 0.05
done

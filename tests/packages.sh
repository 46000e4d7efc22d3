#!/bin/bash
# Installs what is missing from Debian 12, by need. Touches nothing when all of it is there.
#   tests/packages.sh build        to compile the program and its tests
#   tests/packages.sh build test   … and to run the cluster tests and the demonstration
#   tests/packages.sh --list build  prints their names, one a line, and installs nothing
# Groups: build, image, release, arm64, containerfile, test, fuzz, lint, and go (only needed where there is no Go to start from).
set -euo pipefail
. "$(dirname "$0")/step.sh"

packages_of() {
  case $1 in
    build)
      echo g++ cmake ninja-build ccache pkg-config zlib1g-dev libssl-dev \
        libcpprest-dev libyaml-cpp-dev nlohmann-json3-dev libexpected-dev libcli11-dev \
        prometheus-cpp-dev libboost-dev libboost-system-dev libboost-context-dev \
        libgtest-dev libgmock-dev librapidcheck-dev libmimalloc-dev libbenchmark-dev valgrind patch
      ;;
    image) echo libdeflate-tools ca-certificates tzdata binutils ;;
    release) echo gnupg ;;
    arm64) echo g++-12-aarch64-linux-gnu qemu-user-static ;;
    containerfile) echo mmdebstrap buildah crun ;;
    test) echo containerd runc docker-registry skopeo iproute2 gnupg ;;
    go) echo python3-venv ;;
    fuzz) echo clang libclang-rt-14-dev ;; # Debian 12's clang is 14
    lint) echo clang-format clang-tidy libclang-rt-14-dev shellcheck ;; # sanitizer/*.h as clang has them
    *) echo "packages.sh: no such group: $1" >&2; return 2 ;;
  esac
}

list_only=false
if [ "${1:-}" = --list ]; then list_only=true && shift; fi
wanted=()
for group in "$@"; do
  list=$(packages_of "$group")
  # shellcheck disable=SC2206  # a list of names without spaces
  wanted+=($list)
done
[ ${#wanted[@]} -gt 0 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
if $list_only; then printf '%s\n' "${wanted[@]}" && exit; fi

missing=()
present=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' "${wanted[@]}" 2>/dev/null || true)"
for package in "${wanted[@]}"; do
  [[ $present == *" installed=$package "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

debian=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}") || true
if [ "$debian" != "debian 12" ] || ! command -v apt-get >/dev/null; then
  echo "packages.sh: this needs Debian 12 and apt; here is '${debian:-an unknown system}'." >&2
  echo "Missing, by their names in Debian 12: ${missing[*]}" >&2
  echo "On any other system docker or podman build the image, with a Debian of its own (docs/image.md):" >&2
  echo "  docker build -f Containerfile -t quay-rotator ." >&2
  exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    echo "packages.sh: installing needs root, and sudo is not available here. As root, run:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi

echo "Installing from Debian${root:+ with sudo}: ${missing[*]}" >&2
# The tests start these programs themselves, so their packages must not leave a service running.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  "${root[@]}" true # asks for sudo's password, if any, before the progress begins
  trap '"${root[@]}" rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
  "${root[@]}" chmod 755 $policy
fi
apt() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" >&2; }
step "Reading Debian's package lists" apt update
step "Installing ${#missing[@]} packages and what they depend on" apt install -y --no-install-recommends "${missing[@]}"
if [ -d /run/systemd/system ]; then
  for service in containerd docker-registry; do
    [[ " ${missing[*]} " != *" $service "* ]] || "${root[@]}" systemctl disable --now -q $service.service
  done
fi

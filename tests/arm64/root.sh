#!/usr/bin/env bash
# Build a folder with Debian's arm64 Python that runs on an x86-64 Linux under QEMU: no container,
# no root, no binfmt.  A second run does nothing.
#
#   root.sh DIR [pip requirement ...]
#   DIR/python [--cpu cortex-a72|cortex-a76|max|...] [python arguments ...]
#
# Needs apt, dpkg-deb and pip of a Debian or Ubuntu host.  ARM64_SUITE: bookworm (Python 3.11, as
# Raspberry Pi OS 12; the default) or trixie (3.13).  ARM64_MIRROR: a Debian mirror; that of this
# machine's apt if not given.
set -euo pipefail
mkdir -p "$1" && dir=$(cd "$1" && pwd) && shift
suite=${ARM64_SUITE:-bookworm}
case $suite in
  bookworm) version=3.11 ;;
  trixie) version=3.13 ;;
  *) echo "root.sh: ARM64_SUITE is $suite, expected bookworm or trixie" >&2 && exit 2 ;;
esac
root=$dir/root
site=$root/usr/local/lib/python$version/dist-packages
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# is_done NAME INPUT...: whether the step was finished for these inputs; `finish` says so.
is_done() {
  stamp=$dir/done-$1 wanted=$(printf '%s\n' "$@")
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]
}
finish() { printf '%s\n' "$wanted" >"$stamp"; }

mirror() {
  if [ -n "${ARM64_MIRROR:-}" ]; then echo "${ARM64_MIRROR%/}" && return; fi
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -m 1 -E '/debian/?$' | sed 's,/$,,' ||
    { echo "root.sh: apt knows no Debian mirror; set ARM64_MIRROR" >&2 && exit 1; }
}

# download SUITE ARCHITECTURE PACKAGE...: debs and what they depend on, to $tmp/debs.  apt works
# on a state of its own, as if nothing were installed.
download() {
  local suite=$1 architecture=$2 from
  from=$(mirror)
  shift 2
  rm -rf "$tmp/apt" "$tmp/debs"
  mkdir -p "$tmp/apt/lists/partial" "$tmp/debs/partial"
  : >"$tmp/apt/status"
  echo "deb [arch=$architecture signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
    "$from $suite main" >"$tmp/apt/sources.list"
  local options=(
    -qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    -o "Dir::Etc::SourceList=$tmp/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State=$tmp/apt" -o "Dir::State::Status=$tmp/apt/status"
    -o "Dir::Cache=$tmp/apt" -o "Dir::Cache::Archives=$tmp/debs"
    -o APT::Install-Recommends=0 -o APT::Sandbox::User=
  )
  apt-get "${options[@]}" update
  apt-get "${options[@]}" -y --download-only install "$@" >/dev/null
}

unpack() { # unpack DEB FOLDER [MEMBER]: /lib stays a link to /usr/lib
  dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2" ${3:+"$3"}
}

if ! is_done qemu; then # Debian 13's is linked statically, and emulates /proc/cpuinfo
  download trixie "$(dpkg --print-architecture)" qemu-user
  unpack "$tmp"/debs/qemu-user_*.deb "$tmp" ./usr/bin/qemu-aarch64
  mv "$tmp/usr/bin/qemu-aarch64" "$dir/qemu-aarch64"
  finish
fi

if ! is_done python "$suite"; then
  rm -rf "$root" "$dir/done-wheels"
  for name in bin sbin lib lib64; do
    mkdir -p "$root/usr/$name"
    ln -s "usr/$name" "$root/$name"
  done
  download "$suite" arm64 "python$version" libstdc++6
  for deb in "$tmp"/debs/*.deb; do
    case ${deb##*/} in dpkg_* | tar_*) ;; *) unpack "$deb" "$root" ;; esac
  done
  finish
fi

if [ $# -gt 0 ] && ! is_done wheels "$suite" "$@"; then
  platforms=()
  for glibc in 17 24 26 27 28 31 34 35 36; do
    platforms+=(--platform "manylinux_2_${glibc}_aarch64")
  done
  rm -rf "$site"
  python3 -m pip install --quiet --disable-pip-version-check --target "$site" --no-compile \
    --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
    --abi "cp${version/./}" --abi abi3 --abi none "${platforms[@]}" \
    --platform manylinux2014_aarch64 "$@"
  # A child process starts sys.executable: it must be something that the host can run.
  echo 'import os, sys; sys.executable = os.environ.get("ARM64_PYTHON", sys.executable)' \
    >"$site/arm64.pth"
  finish
fi

cat >"$dir/python" <<EOT
#!/bin/sh
# python [--cpu NAME] [python arguments ...]; the default CPU is a Raspberry Pi 5's
dir=\$(dirname "\$(readlink -f "\$0")")
if [ "\${1-}" = --cpu ]; then ARM64_CPU=\$2 && shift 2; fi
export ARM64_CPU="\${ARM64_CPU:-cortex-a76}" ARM64_PYTHON="\$dir/python"
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONHOME OPENBLAS_CORETYPE
exec "\$dir/qemu-aarch64" -cpu "\$ARM64_CPU" -L "\$dir/root" "\$dir/root/usr/bin/python$version" "\$@"
EOT
chmod +x "$dir/python"

#!/usr/bin/env bash
# Looks a Jetson over, step by step, for edge-arm: what is there, and the command for what is not.
# Works before anything of edge-arm is installed, and writes into a temporary folder alone.
#
#   install_check.sh [--bundle DIR] [--edge-arm COMMAND] [--root DIR]
#
# --bundle    folder of the bundle (build/bundle); its hashes are checked, and a drawn clip is
#             answered by the model that `edge-arm run` takes on this machine.
# --edge-arm  the command, where it is not on the PATH (/opt/edge-arm/bin/edge-arm).
# --root      where the file system begins; another one only in tests.
#
# Exit status 0 if everything that is needed is there, 1 if not, 2 on wrong use.
set -u

bundle=build/bundle
edge_arm=edge-arm
root=/
missing=0

usage() {
  printf 'install_check.sh: got %s, expected [--bundle DIR] [--edge-arm COMMAND] [--root DIR]\n' "$1" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage "'$1' without a value"
  case $1 in
    --bundle) bundle=$2 ;;
    --edge-arm) edge_arm=$2 ;;
    --root) root=$2 ;;
    *) usage "'$1'" ;;
  esac
  shift 2
done
root=${root%/}

yes() { printf 'yes  %-18s %s\n' "$1" "$2"; }
note() { printf 'note %-18s %s\n' "$1" "$2"; }
no() { # name, what is wrong, command or advice
  missing=$((missing + 1))
  printf 'no   %-18s %s\n' "$1" "$2"
  [ -z "${3-}" ] || printf '     %-18s   -> %s\n' '' "$3"
}
is_there() { compgen -G "$1" >/dev/null; }

check_board() {
  local model release number
  model=$(tr -d '\0' 2>/dev/null <"$root/proc/device-tree/model")
  case $model in
    *Jetson*) yes board "$model" ;;
    '') no board 'this machine does not say what it is, expected a Jetson' 'see docs/desktop.md' ;;
    *) no board "$model, expected a Jetson" 'see docs/desktop.md' ;;
  esac
  release=$(sed -nE '1s/^# R([0-9]+) \(release\), REVISION: ([0-9.]+).*/\1.\2/p' \
    "$root/etc/nv_tegra_release" 2>/dev/null)
  number=${release%%.*}
  if [ -z "$release" ]; then
    no 'Jetson Linux' 'no /etc/nv_tegra_release, expected R36 (JetPack 6) or newer' \
      'sudo apt install --reinstall nvidia-l4t-core   # in a container: docker run --runtime nvidia'
  elif [ "$number" -lt 36 ]; then
    no 'Jetson Linux' "R$release is of JetPack 5 or older, expected R36 (JetPack 6) or newer" \
      'flash JetPack 6; until then give the ONNX files to trtexec'
  else
    yes 'Jetson Linux' "R$release"
  fi
}

check_system() {
  local free_mib
  if ! command -v python3 >/dev/null; then
    no python3 'not there' 'sudo apt install python3 python3-venv'
  elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    no python3 "$(python3 -V 2>&1), expected 3.10 or newer" 'flash JetPack 6'
  elif ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    no python3 "$(python3 -V 2>&1) without venv" 'sudo apt install python3-venv'
  else
    yes python3 "$(python3 -V 2>&1)"
  fi
  if is_there "$root/usr/lib/python3*/dist-packages/tensorrt"; then
    yes TensorRT "$(cd "$root/usr/lib" && compgen -G 'python3*/dist-packages/tensorrt' | head -1)"
  else
    no TensorRT 'no Python module of it in /usr/lib/python3*/dist-packages' \
      'sudo apt install nvidia-jetpack'
  fi
  if is_there "$root/usr/lib/aarch64-linux-gnu/*/libcuda.so.1" \
    || is_there "$root/usr/lib/aarch64-linux-gnu/libcuda.so.1"; then
    yes 'GPU driver' 'libcuda.so.1'
  else
    no 'GPU driver' 'no libcuda.so.1' 'sudo apt install --reinstall nvidia-l4t-cuda'
  fi
  if [ -x "$root/usr/local/cuda/bin/nvcc" ]; then
    yes 'CUDA toolkit' '/usr/local/cuda, for compiling pycuda'
  else
    note 'CUDA toolkit' "none: pycuda cannot be compiled; take '.[cuda-python]' and --cuda cuda-python"
  fi
  free_mib=$(sed -nE 's/^MemAvailable: +([0-9]+) kB/\1/p' "$root/proc/meminfo" 2>/dev/null)
  if [ -z "$free_mib" ]; then
    note memory 'unknown'
  elif [ $((free_mib / 1024)) -lt 2048 ]; then
    note memory "$((free_mib / 1024)) MiB free; a build wants 2048: stop the desktop, or add swap"
  else
    yes memory "$((free_mib / 1024)) MiB free"
  fi
}

check_rights() {
  local group lacking=''
  if [ "$(id -u)" = 0 ]; then
    yes rights 'root'
  else
    for group in video render; do
      id -nG | tr ' ' '\n' | grep -qx "$group" || lacking="$lacking,$group"
    done
    if [ -n "$lacking" ]; then
      no rights "this user is not in ${lacking#,}, which own the GPU and the cameras" \
        "sudo usermod -aG ${lacking#,} $(id -un)   # then log in again"
    else
      yes rights "$(id -un) is in video and render"
    fi
  fi
  if is_there "$root/dev/video*"; then
    yes camera "$(cd "$root/dev" && compgen -G 'video*' | sort -V | paste -sd ' ')"
  else
    note camera 'no /dev/video*: pictures, files and streams only'
  fi
}

check_edge_arm() {
  local version answer folder
  if ! command -v "$edge_arm" >/dev/null; then
    no edge-arm "no command '$edge_arm'" \
      "python3 -m venv --system-site-packages ~/edge-arm && ~/edge-arm/bin/pip install '.[tensorrt]'"
    return
  fi
  if ! version=$("$edge_arm" --version 2>&1); then
    no edge-arm "it does not start: $(tail -1 <<<"$version")" 'install it again'
    return
  fi
  yes edge-arm "$version"
  if ! answer=$("$edge_arm" bundle verify "$bundle" 2>&1); then
    no bundle "${answer#error: }" 'edge-arm bundle unpack FILE --out DIR, or name it with --bundle'
    return
  fi
  yes bundle "$answer"
  if ! folder=$(mktemp -d 2>&1); then
    no answers "no temporary folder ($folder)" 'free some space, or set TMPDIR'
    return
  fi
  if "$edge_arm" data clip --out "$folder/clip.avi" --seconds 1 --fps 10 --size 320x240 --faces 1 \
    >"$folder/log" 2>&1 \
    && "$edge_arm" run "$folder/clip.avi" --bundle "$bundle" --json-lines "$folder/lines" \
      >>"$folder/log" 2>&1; then
    yes answers "$(tail -1 "$folder/log")"
  else
    no answers "$(tail -1 "$folder/log")" "$edge_arm doctor"
  fi
  rm -rf "$folder"
}

check_board
check_system
check_rights
check_edge_arm

if [ "$missing" -gt 0 ]; then
  printf '%s of the steps above are missing; do the first one and run this again.\n' "$missing"
  exit 1
fi
printf 'Everything is there.\n'

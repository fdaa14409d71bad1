#!/bin/sh
# Runs inside the demo's containers: shows what an application would find there.
look() {
  printf '     # %s\n' "$1"
  eval "$1" 2>&1 | sed 's/^/       /'
}
look 'ls -l /usr/local/nvidia/lib64'
look 'ls -ld /dev/nvidia-caps'
look "ldconfig -p | grep -E 'libcuda|libc\.so'"
look 'probe libcuda.so.1'

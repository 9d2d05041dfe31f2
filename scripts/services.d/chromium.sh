# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# Chromium, for the tests that look at a page as people do.

chromium_program() {
  command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable
}

chromium_remedy() { echo "apt-get install chromium fonts-dejavu-core"; }

chromium_install() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    say chromium "there is no apt-get here: install Chromium or Chrome by hand" >&2
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  say chromium "installing Debian's package, which takes a minute"
  "${as_root[@]}" apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
}

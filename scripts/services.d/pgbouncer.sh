# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# PgBouncer, for the tests that go through a pooler of transactions.

pgbouncer_program() { PATH=$PATH:/usr/sbin command -v pgbouncer; }

pgbouncer_remedy() { echo "apt-get install pgbouncer"; }

pgbouncer_install() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    say pgbouncer "there is no apt-get here: install PgBouncer by hand" >&2
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  say pgbouncer "installing Debian's package"
  "${as_root[@]}" apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null
}

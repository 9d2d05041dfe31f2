# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# Redis, which acknowledges what is on the disk. Tests of failures start servers of their own, with the same program.

redis_variable=TIDINGS_TEST_REDIS_URL
redis_version=7.0.0
redis_container_port=6379

redis_url() { echo "redis://127.0.0.1:$1"; }

# The sentinel is the same program under another name, in a package of its own.
redis_program() {
  local program version
  program=$(command -v redis-server) && command -v redis-sentinel >/dev/null || return 1
  version=$("$program" --version | sed 's/.* v=\([0-9.]*\).*/\1/')
  at_least "$redis_version" "$version" || return 1
  echo "$program"
}

redis_remedy() { echo "apt-get install redis-server redis-sentinel"; }

redis_install() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    say redis "there is no apt-get here: install Redis $redis_version or newer by hand" >&2
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  say redis "installing Debian's packages"
  "${as_root[@]}" apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends redis-server redis-sentinel >/dev/null
}

redis_start() { # port, data folder
  # redis-server changes its command line to a title; that is where the data folder has to be.
  spawn redis "$(redis_program)" --port "$1" --bind 127.0.0.1 --dir "$2" --appendonly yes --appendfsync always --save '' \
    --proc-title-template "redis-server $2 {listen-addr}"
}

redis_ready() { # port
  local answer
  answer=$(exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" && printf 'PING\r\n' >&3 && IFS= read -r -t 2 answer <&3 && echo "$answer") || return 1
  [[ $answer == +PONG* ]]
}

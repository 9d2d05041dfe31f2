# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# PostgreSQL with settings near those of production: what is committed is on the disk.

postgres_variable=TIDINGS_TEST_POSTGRES_URL
postgres_version=13
postgres_container_port=5432

postgres_url() { echo "postgres://postgres@127.0.0.1:$1/postgres?sslmode=disable"; }

# Debian keeps the servers out of PATH, one folder per version. The newest comes first.
postgres_program() {
  local program version
  for program in $(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -rV) "$(command -v postgres || true)"; do
    [[ -x $program && -x ${program%/*}/initdb ]] || continue
    version=$("$program" --version | sed -E 's/^[^0-9]*([0-9.]+).*/\1/')
    if at_least "$postgres_version" "$version"; then
      echo "$program"
      return
    fi
  done
  return 1
}

postgres_remedy() { echo "apt-get install postgresql"; }

# A cluster of Debian's own would be started by the package; nobody asked for that.
postgres_install() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    say postgres "there is no apt-get here: install PostgreSQL $postgres_version or newer by hand" >&2
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  say postgres "installing Debian's package"
  "${as_root[@]}" apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null &&
    "${as_root[@]}" sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

postgres_start() { # port, data folder
  local program as_postgres=()
  program=$(postgres_program)
  chmod 700 "$2"
  if [[ $(id -u) == 0 ]]; then # PostgreSQL refuses root.
    chown postgres "$2"
    as_postgres=(setpriv --reuid postgres --regid postgres --init-groups)
  fi
  "${as_postgres[@]}" "${program%/*}/initdb" --pgdata="$2" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
    >"$root/postgres/log" 2>&1
  spawn postgres "${as_postgres[@]}" "$program" -D "$2" -c listen_addresses=127.0.0.1 -c port="$1" -c unix_socket_directories="$2" \
    -c max_connections=300 -c max_prepared_transactions=10
}

# A server that is starting up takes connections and turns them away, so one has to introduce oneself: R means welcome.
postgres_ready() { # port
  local answer
  answer=$(exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" && printf '\0\0\0\x17\0\3\0\0user\0postgres\0\0' >&3 &&
    IFS= read -r -t 2 -n 1 answer <&3 && echo "$answer") || return 1
  [[ $answer == R ]]
}

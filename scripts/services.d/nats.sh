# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# NATS with JetStream. Debian's package is too old, so the server is built from its module.

nats_variable=TIDINGS_TEST_NATS_URL
nats_version=2.15.2
nats_container_port=4222

nats_url() { echo "nats://127.0.0.1:$1"; }

# The private copy goes first, then one in PATH, if it is new enough.
nats_program() {
  local program version
  for program in "$bin/nats-server" "$(command -v nats-server || true)"; do
    [[ -x $program ]] || continue
    version=$("$program" --version | sed 's/.*v//')
    if at_least "$nats_version" "$version"; then
      echo "$program"
      return
    fi
  done
  return 1
}

nats_remedy() { echo "go install github.com/nats-io/nats-server/v2@v$nats_version"; }

nats_install() {
  say nats "building nats-server v$nats_version into ${bin#"$project"/}"
  GOBIN=$bin go install "github.com/nats-io/nats-server/v2@v$nats_version"
}

nats_start() { # port, data folder
  spawn nats "$(nats_program)" --config "$project/scripts/services.d/nats.conf" --addr 127.0.0.1 --port "$1" --store_dir "$2"
}

# A NATS server greets with a line about itself.
nats_ready() { # port
  local greeting
  greeting=$(exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" && IFS= read -r -t 2 greeting <&3 && echo "$greeting") || return 1
  [[ $greeting == INFO*'"jetstream":true'* ]]
}

# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# The official CloudEvents SDK for Python, in an environment of its own: what tidings writes is read by it, and the other way round.

cloudevents_version=2.2.0

# It prints the Python that has it.
cloudevents_program() {
  local python=$bin/cloudevents-$cloudevents_version/bin/python
  [[ -x $python ]] && "$python" -c 'import cloudevents.core' 2>/dev/null || return 1
  echo "$python"
}

cloudevents_remedy() { echo "apt-get install python3-venv && scripts/services up --install"; }

cloudevents_install() {
  local environment=$bin/cloudevents-$cloudevents_version as_root=()
  say cloudevents "installing the SDK for Python $cloudevents_version into ${environment#"$project"/}"
  rm -rf "$environment"
  if ! python3 -m venv "$environment" >/dev/null 2>&1; then # Debian has venv in a package of its own
    if ! command -v apt-get >/dev/null; then
      say cloudevents "there is no Python with venv, and no apt-get: install Python 3.10 or newer by hand" >&2
      return 1
    fi
    if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update -qq >/dev/null &&
      DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends python3-venv >/dev/null &&
      python3 -m venv "$environment" || return 1
  fi
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "cloudevents==$cloudevents_version"
}

# shellcheck shell=bash
# To be sourced: `step NAME COMMAND...` runs a command that takes a while.
# It names the step, tells the seconds so far while it runs, and shows the command's standard error
# only when it fails. Standard output is the command's own. All of it goes to standard error.

step() {
  local name=$1 log start=$SECONDS pid status=0 last=0
  shift
  log=$(mktemp)
  echo "==> $name" >&2
  "$@" 2>"$log" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ -t 2 ]; then
      printf '\r    %s s ' $((SECONDS - start)) >&2
    elif [ $((SECONDS - start - last)) -ge 15 ]; then
      last=$((SECONDS - start))
      echo "    $last s" >&2
    fi
  done
  wait "$pid" || status=$?
  [ ! -t 2 ] || printf '\r' >&2
  if [ "$status" = 0 ]; then
    echo "    done in $((SECONDS - start)) s" >&2
  else
    tail -n 40 "$log" >&2
    echo "    FAILED after $((SECONDS - start)) s: $name" >&2
  fi
  rm -f "$log"
  return "$status"
}

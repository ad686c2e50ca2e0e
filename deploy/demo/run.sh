#!/usr/bin/env bash
# The demonstration behind `make demo`: two versions of a shop, a gateway in front of them, and what it does.
#
# Works on a copy of deploy/examples/canary and /tls, so that nothing of the repository is changed. Takes other ports
# when 8080, 8443 or those of the upstreams are taken. On a terminal it goes on until Ctrl-C; otherwise it stops by
# itself, with status 0 only if everything that it shows held.
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${PORTCULLIS_BIN_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}
requests=${PORTCULLIS_DEMO_REQUESTS:-1000}
failures=0

for tool in curl openssl; do
  command -v "$tool" > /dev/null || { echo "the demo needs $tool" >&2; exit 1; }
done
for program in portcullis portcullis-control portcullis-dataplane; do
  [ -x "$bin/$program" ] || { echo "$bin/$program is not built: run make demo" >&2; exit 1; }
done

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' good=$'\e[32m' bad=$'\e[1;31m' dim=$'\e[2m' off=$'\e[0m'
else bold='' good='' bad='' dim='' off=''; fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
show() { printf '  %s%s%s\n' "$dim" "$*" "$off"; }
# verdict CONDITION-STATUS TEXT
verdict() {
  if [ "$1" = 0 ]; then printf '  %sok%s   %s\n' "$good" "$off" "$2"
  else printf '  %sFAIL%s %s\n' "$bad" "$off" "$2"; failures=$((failures + 1)); fi
}
# expect TEXT PATTERN WHAT: the text must match the extended regular expression.
expect() { [[ $1 =~ $2 ]]; verdict $? "$3"; [[ $1 =~ $2 ]] || show "got: $1"; }

# --- ports, folders, cleaning up -----------------------------------------------------------------------------------

taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null || (exec 3<> "/dev/tcp/::1/$1") 2> /dev/null; }
# port WANTED: that port, or the next free one above it.
port() {
  local port=$1
  while taken "$port"; do port=$((port + 1)); done
  [ "$port" = "$1" ] || echo "port $1 is taken, the demo uses $port" >&2
  echo "$port"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-demo.XXXXXX")
config=$work/config
log=$work/gateway.log
children=()

clean_up() {
  trap - EXIT INT TERM
  # The gateway first: it drains, and its upstreams must outlive it.
  [ -z "${gateway:-}" ] || { kill -TERM "$gateway" 2> /dev/null; wait "$gateway" 2> /dev/null; }
  for child in "${children[@]:-}"; do [ -z "$child" ] || kill -TERM "$child" 2> /dev/null; done
  wait 2> /dev/null
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

http=$(port 8080)
https=$(port 8443)
v1=$(port 9001)
v2=$(port $((v1 + 1)))
other=$(port $((v2 + 1)))
# Control's, and one more for each worker; 0 lets the gateway find a free range.
admin=19000
for number in $(seq 0 "$(nproc)"); do
  ! taken $((19000 + number)) || admin=0
done

# --- the configuration: two of the examples, with the ports that are free --------------------------------------------

mkdir -p "$config/canary" "$config/tls"
cp "$root"/deploy/examples/canary/*.yaml "$config/canary/"
cp "$root"/deploy/examples/tls/*.yaml "$config/tls/"
"$root/deploy/examples/tls/certificates.sh" "$config/tls/certificates" 2> /dev/null || exit 1
sed -i "s/port: 9001\$/port: first/; s/port: 9002\$/port: $v2/; s/port: first\$/port: $v1/; s/shop\.example\.com:8080/shop.example.com:$http/" "$config"/canary/*.yaml
# In this example the names shop-v1, shop-v2 and the host shop.example.com belong to the canary; here it is `secure`.
sed -i "s/port: 9001\$/port: $other/; s/port: 9002\$/port: $other/; s/example\.com:8443/example.com:$https/
        s/portRedirect: 8443/portRedirect: $https/; s/bindPort: 8080/bindPort: $http/; s/bindPort: 8443/bindPort: $https/" \
  "$config"/tls/*.yaml
sed -i "s/^  name: shop\$/  name: secure-shop/; s/^            name: shop\$/            name: secure-shop/" "$config"/tls/*.yaml

# --- start -----------------------------------------------------------------------------------------------------------

printf '%sPortcullis demo%s, configuration in %s\n' "$bold" "$off" "$config"
"$bin/portcullis" hello --listen "127.0.0.1:$v1" --name v1 2> /dev/null & children+=($!)
"$bin/portcullis" hello --listen "127.0.0.1:$v2" --name v2 2> /dev/null & children+=($!)
"$bin/portcullis" hello --listen "127.0.0.1:$other" --name secure 2> /dev/null & children+=($!)

title "1. The folder is valid"
show "portcullis check -f $config"
checked=$("$bin/portcullis" check -f "$config" 2>&1)
verdict $? "$(tail -n 1 <<< "$checked")"
[ "$(wc -l <<< "$checked")" = 1 ] || sed 's/^/  /' <<< "$checked"

title "2. The gateway starts"
show "portcullis up --config $config"
# A session of its own: Ctrl-C reaches this script only, which then stops the gateway once, so that it drains.
setsid "$bin/portcullis" up --config "$config" --data-dir "$work/state" --admin "127.0.0.1:$admin" > "$log" 2>&1 < /dev/null &
gateway=$!
for _ in $(seq 600); do
  grep -q '^ready:' "$log" && break
  kill -0 "$gateway" 2> /dev/null || break
  sleep 0.1
done
ready=$(grep '^ready:' "$log")
verdict $? "${ready:-it did not become ready:}"
[ -n "$ready" ] || { sed 's/^/  /' "$log"; exit 1; }
while ! admin=$(grep -o 'admin http://[0-9.:]*' "$log"); do sleep 0.1; done
export PORTCULLIS_ADMIN=${admin#admin http://}

# --- what it does ------------------------------------------------------------------------------------------------------

shop=(-sS --max-time 10 -H "Host: shop.example.com")
title "3. Routing: the first route that matches wins"
show "curl -H 'Host: shop.example.com' http://localhost:$http/cart"
answer=$(curl "${shop[@]}" "http://127.0.0.1:$http/cart")
printf '  %s\n' "$answer"
expect "$answer" '"name":"v[12]".*"path":"/cart"' "the shop answers"
answer=$(curl "${shop[@]}" -H 'x-stage: canary' "http://127.0.0.1:$http/cart")
expect "$answer" '"name":"v2"' "with the header x-stage: canary it is always v2"
answer=$(curl "${shop[@]}" "http://127.0.0.1:$http/api/items?page=2")
expect "$answer" '"path":"/items","query":"page=2"' "/api/items reaches the shop as /items, with its query"
answer=$(curl "${shop[@]}" -o /dev/null -w '%{http_code} %{redirect_url}' "http://127.0.0.1:$http/basket/7")
expect "$answer" '^301 http://shop.example.com/cart/7$' "/basket/7 is redirected: $answer"
# The TLS example serves every other Host on this port, and sends it to https.
answer=$(curl -sS --max-time 10 -o /dev/null -w '%{http_code} %{redirect_url}' -H 'Host: blog.example.com' "http://127.0.0.1:$http/x")
expect "$answer" "^301 https://blog.example.com:$https/x\$" "any other host is sent to HTTPS: $answer"

# split COUNT: requests over one connection after the other; prints how many v1 and v2 answered.
split() {
  curl "${shop[@]}" "http://127.0.0.1:$http/cart?n=[1-$1]" 2> "$work/curl.err" \
    | grep -o '"name":"v[12]"' | sort | uniq -c | awk '{ n[$2] = $1 } END { printf "%d %d", n["\"name\":\"v1\""], n["\"name\":\"v2\""] }'
}

title "4. The split: 90 % to v1, 10 % to v2"
read -r first second <<< "$(split "$requests")"
# Ten standard deviations would be 9.5 % of 1000: this bound fails once in many thousand runs.
[ $((first + second)) = "$requests" ] && [ $((second * 100)) -ge $((requests * 6)) ] && [ $((second * 100)) -le $((requests * 14)) ]
verdict $? "$requests requests: v1 answered $first, v2 answered $second"

title "5. HTTPS: a certificate for each name, chosen by SNI"
for name in shop blog; do
  show "openssl s_client -servername $name.example.com -connect localhost:$https"
  subject=$(openssl s_client -servername "$name.example.com" -connect "127.0.0.1:$https" < /dev/null 2> /dev/null \
    | openssl x509 -noout -subject 2> /dev/null)
  expect "$subject" "$name\.example\.com" "the certificate of $name.example.com is presented"
done
answer=$(curl -sS --max-time 10 --cacert "$config/tls/certificates/ca.pem" --resolve "blog.example.com:$https:127.0.0.1" \
  -w ' %{http_version}' "https://blog.example.com:$https/")
expect "$answer" '"name":"secure".* 2$' "curl trusts it, and speaks HTTP/2"

title "6. An edit takes effect: all to v2"
show "weights 90/10 become 0/100 in canary/weights.yaml"
sed 's/weight: 90/weight: 0/; s/weight: 10$/weight: 100/' "$config/canary/weights.yaml" > "$work/weights.new"
micros() { echo "${EPOCHREALTIME/[.,]/}"; }
mv "$work/weights.new" "$config/canary/weights.yaml"
edited=$(micros)
# In effect when every answer comes from v2: the first answer of that run had arrived at `since`.
since='' run=0 lost=0
while [ "$run" -lt 50 ] && [ $(($(micros) - edited)) -lt 20000000 ]; do
  answer=$(curl "${shop[@]}" "http://127.0.0.1:$http/cart")
  arrived=$(micros)
  case $answer in
    *'"name":"v2"'*) [ "$run" != 0 ] || since=$arrived; run=$((run + 1)) ;;
    *'"name":"v1"'*) run=0 ;;
    *) run=0 lost=$((lost + 1)) ;;
  esac
done
[ "$run" -ge 50 ]
verdict $? "from $(((${since:-$edited} - edited) / 1000)) ms after the edit on, every answer came from v2 (a curl takes some of them)"
[ "$lost" = 0 ]
verdict $? "no request was lost meanwhile"
read -r first second <<< "$(split "$requests")"
[ "$first" = 0 ] && [ "$second" = "$requests" ]
verdict $? "$requests requests: v1 answered $first, v2 answered $second"

title "7. What is served, and why"
show "portcullis get vs"
"$bin/portcullis" get vs | sed 's/^/  /'
verdict "${PIPESTATUS[0]}" "control lists the virtual services"
show "portcullis explain GET http://shop.example.com/api/items"
"$bin/portcullis" explain GET http://shop.example.com/api/items | sed 's/^/  /'
verdict "${PIPESTATUS[0]}" "control explains the route of a request"

# --- the end -------------------------------------------------------------------------------------------------------------

echo
if [ "$failures" != 0 ]; then
  printf '%s%s of the checks above failed.%s Log of the gateway:\n' "$bad" "$failures" "$off"
  grep -v '"access"' "$log" | tail -n 50
  exit 1
fi
printf '%sAll of it held.%s\n' "$good" "$off"
if [ -t 0 ] && [ -t 1 ]; then
  cat <<TEXT

The gateway goes on until Ctrl-C. Try:
  curl -H 'Host: shop.example.com' http://localhost:$http/cart
  $bin/portcullis get all --admin $PORTCULLIS_ADMIN
  an edit of $config/canary/weights.yaml
TEXT
  trap 'exit 0' INT
  wait "$gateway"
fi

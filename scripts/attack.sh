#!/bin/bash
# Attacks a server on throw-away data with tools that other people wrote (Debian packages testssl.sh, slowhttptest, sqlmap), and says
# what they found. Usage: scripts/attack.sh testssl|slowhttptest|sqlmap. Everything stays on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?testssl, slowhttptest or sqlmap}
tool=$what
command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install ${what/testssl/testssl.sh}"; exit 1; }
dir=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
port=${PORT:-18443}
bin=$dir/yarrow
CGO_ENABLED=0 go build -o "$bin" ./cmd/yarrow
"$bin" practice add willow Willow --data "$dir/data" >/dev/null 2>&1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
tls=(--cert "$dir/cert.pem" --key "$dir/key.pem"); base=https://localhost:$port
[ "$what" != sqlmap ] || { tls=(--proxy); base=http://127.0.0.1:$port; }
"$bin" serve --data "$dir/data" --url "https://localhost:$port" --listen "127.0.0.1:$port" "${tls[@]}" >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -sk "$base/readyz" >/dev/null && break; sleep 0.1; done

case $what in
testssl)
	testssl --quiet --color 0 --warnings off --ip one "$base" >"$dir/out" || true
	cat "$dir/out"
	# A certificate of our own has no chain, no revocation and a short life: those are the only findings there may be.
	! grep -E 'NOT ok|VULNERABLE|offered \(NOT|Obsolete CBC.* offered' "$dir/out" | grep -vE 'not vulnerable|not offered|self signed|Chain of trust|CRL|OCSP|revocation|Grade|BREACH' ;;
slowhttptest)
	for mode in "-H -i 3 -l 40 -x 24" "-B -i 5 -l 100 -s 8192 -x 10" "-X -i 5 -l 60 -w 1 -y 10 -n 5 -z 32 -k 3"; do
		# shellcheck disable=SC2086
		slowhttptest $mode -c 300 -r 150 -p 5 -u "$base/willow/sign-in" | tee "$dir/out" | sed 's/\x1b\[[0-9;]*[mHJ]//g' | tail -12
		! sed 's/\x1b\[[0-9;]*[mHJ]//g' "$dir/out" | grep -q 'service available: *NO' || { echo "others were kept out"; exit 1; }
	done ;;
sqlmap)
	token=$("$bin" token --data "$dir/data" --practice willow --scope 'system/*.cruds' --ttl 1h)
	curl -s -H "Authorization: Bearer $token" -H 'Content-Type: application/fhir+json' "$base/willow/fhir/Patient" -d '{"resourceType":"Patient","name":[{"family":"Heron"}]}' >/dev/null
	# One address for each type with every parameter that the server says it has, with a value it takes, and those that all types have.
	curl -s "$base/willow/fhir/metadata" | TYPES=${TYPES:-"Patient Observation"} BASE=$base node -e '
		let s = ""; process.stdin.on("data", d => s += d).on("end", () => {
			for (const r of JSON.parse(s).rest[0].resource) if (process.env.TYPES.split(" ").includes(r.type))
				console.log(process.env.BASE + "/willow/fhir/" + r.type + "?" + [...r.searchParam.filter(p => !p.name.startsWith("_")).map(p => p.name + "=" + ({date: "ge2020-01-01", number: "1", quantity: "1", uri: "http://x", composite: "x$1"}[p.type] || "x")),
					"_include=" + r.type + ":" + (r.searchParam.find(p => p.type === "reference") || {name: "x"}).name, "_id=x", "_sort=_lastUpdated", "_elements=id", "_count=10", "_total=none", "_lastUpdated=ge2020-01-01"].join("&"))
		})' >"$dir/urls"
	echo "$base/willow/sign-in?to=1" >>"$dir/urls"
	sqlmap -m "$dir/urls" --batch --disable-coloring --output-dir "$dir/map" --headers "Authorization: Bearer $token" --level "${LEVEL:-1}" --risk "${RISK:-1}" --threads 4 --timeout 20 --retries 1 ${SMART:+--smart} --flush-session -v 1 >"$dir/out" 2>&1 || true
	grep -cE "testing '" "$dir/out" | sed 's/$/ kinds of injection tried/'
	grep -hE 'is vulnerable|appears to be.*injectable|identified the following injection' "$dir/out" && exit 1
	! grep -qE 'SQLSTATE|sqlite3:|panic' "$dir/log" || { echo "the server says:"; grep -E 'SQLSTATE|sqlite3:|panic' "$dir/log" | head; exit 1; }
	echo "sqlmap found nothing in $(wc -l <"$dir/urls") addresses, $(tr '?&' '\n\n' <"$dir/urls" | grep -c =) parameters" ;;
esac

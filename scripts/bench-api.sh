#!/bin/bash
# Measures `yarrow serve` through its FHIR interface against a bare server that does as little as FHIR allows (tools/floor, with its
# durable audit row), in short turns one after the other, so that what else the machine does falls on all of them. On both databases.
#
#   BUNDLES='/data/synthea/*.json.gz'  Synthea transaction bundles; without it the load generator makes its own
#   ROUNDS=3  DUR=5s  WARM=1s  CONNS=1,8,32  BUNDLE_CONNS=1,8  SEED=30  NBUNDLES=30
#   OPS=bundle,create,read,update,search-obs,search-name,chart
#   SERVERS='floor pg embedded'   OUT=artefacts/bench-api   PGBIN=/usr/lib/postgresql/15/bin   PORT=54900
#
# Ends with the table of docs/performance.md. Needs the PostgreSQL programs; as root it runs them as the user postgres.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3} DUR=${DUR:-5s} WARM=${WARM:-1s} CONNS=${CONNS:-1,8,32} BUNDLE_CONNS=${BUNDLE_CONNS:-1,8} SEED=${SEED:-30} NBUNDLES=${NBUNDLES:-30}
OPS=${OPS:-bundle,create,read,update,search-obs,search-name,chart} SERVERS=${SERVERS:-floor pg embedded} PORT=${PORT:-54900}
OUT=${OUT:-artefacts/bench-api}
PGBIN=${PGBIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}
mkdir -p "$OUT"; OUT=$(cd "$OUT" && pwd)
dir=$(mktemp -d /tmp/yarrow-bench.XXXXXX); chmod 755 "$dir"
pids=()
as_pg() { if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --init-groups "$@"); else "$@"; fi; }
end() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  [ -d "$dir/pg" ] && as_pg "$PGBIN/pg_ctl" -D "$dir/pg" -m fast -w stop >/dev/null 2>&1 || true
  if [ -z "${KEEP:-}" ]; then rm -rf "$dir"; fi
}
trap end EXIT

CGO_ENABLED=0 go build -trimpath -o "$dir/yarrow" ./cmd/yarrow
(cd tools/fhirbench && go build -o "$dir/fhirbench" .)
(cd tools/floor && go build -o "$dir/floor" .)

pgpid=
if [[ "$SERVERS" == *floor* || "$SERVERS" == *pg* ]]; then
  mkdir "$dir/pg"; [ "$(id -u)" != 0 ] || chown postgres "$dir/pg"
  as_pg "$PGBIN/initdb" -D "$dir/pg" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
  as_pg "$PGBIN/pg_ctl" -D "$dir/pg" -w -l "$dir/pg/log" -o "-c listen_addresses= -c unix_socket_directories=$dir/pg -c port=$PORT -c max_connections=100 -c shared_buffers=1GB -c max_wal_size=4GB -c fsync=on -c synchronous_commit=on -c jit=off" start >/dev/null
  pgpid=$(head -1 "$dir/pg/postmaster.pid")
  sql() { "$PGBIN/psql" -h "$dir/pg" -p "$PORT" -U postgres -qAt "$@"; }
  sql -c "CREATE ROLE yarrow_owner LOGIN CREATEROLE" -c "CREATE DATABASE yarrow OWNER yarrow_owner" -c "CREATE DATABASE floor" postgres
fi

# start NAME PORT: starts a server and sets base, auth, procs and size of it.
declare -A base auth procs size data
start() {
  local name=$1 port=$2 pid
  case $name in
  floor)
    "$dir/floor" -dsn "host=$dir/pg port=$PORT user=postgres dbname=floor" -listen 127.0.0.1:$port -audit serve >"$dir/$name.log" 2>&1 &
    pid=$! base[$name]=http://127.0.0.1:$port auth[$name]= procs[$name]="server=$pid;pg=$pgpid" size[$name]="$PGBIN/psql -h $dir/pg -p $PORT -U postgres -Atc 'select pg_database_size(current_database())' floor"
    ;;
  pg | embedded)
    data[$name]="--master-key $dir/$name.key --keystore $dir/$name.keys --data $dir/$name"
    if [ $name = pg ]; then
      "$dir/yarrow" migrate --database "postgres://yarrow_owner@/yarrow?host=$dir/pg&port=$PORT" >/dev/null
      data[$name]="--master-key $dir/$name.key --keystore $dir/$name.keys --database postgres://yarrow_app@/yarrow?host=$dir/pg&port=$PORT"
    fi
    "$dir/yarrow" practice add ${data[$name]} bench "Bench practice" >/dev/null 2>&1
    PROF=$OUT/$name.prof "$dir/yarrow" serve ${data[$name]} --proxy --listen 127.0.0.1:$port --url https://bench.example.org --requests 100000000 >"$dir/$name.log" 2>&1 &
    pid=$! base[$name]=http://127.0.0.1:$port/bench/fhir procs[$name]="server=$pid;pg=$pgpid" size[$name]="$PGBIN/psql -h $dir/pg -p $PORT -U postgres -Atc 'select pg_database_size(current_database())' yarrow"
    if [ $name = embedded ]; then procs[$name]="server=$pid" size[$name]="du -sB1 --apparent-size $dir/$name | cut -f1"; fi
    ;;
  esac
  pids+=($pid)
  echo $pid >"$OUT/$name.pid"
  for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; kill -0 $pid || { cat "$dir/$name.log"; exit 1; }; sleep 0.1; done
}
port=$((PORT + 1))
for s in $SERVERS; do start $s $port; port=$((port + 1)); done
if [ -n "${PRIO:-}" ]; then PIDS="${pids[*]} $pgpid" bash "$PRIO"; fi

: >"$OUT/out.jsonl"
for round in $(seq "$ROUNDS"); do
  for op in ${OPS//,/ }; do
    for s in $SERVERS; do
      # A token is good for an hour at most.
      if [ $s != floor ]; then auth[$s]="Bearer $("$dir/yarrow" token ${data[$s]} --practice bench --scope 'system/*.cruds' --ttl 60m)"; fi
      seed=0; [ -e "$dir/$s.state" ] || seed=$SEED
      "$dir/fhirbench" -label $s -base "${base[$s]}" -auth "${auth[$s]}" -procs "${procs[$s]}" -dbsize-cmd "${size[$s]}" \
        ${BUNDLES:+-bundles "$BUNDLES"} -seed $seed -nbundles "$NBUNDLES" -ops $op -conns "$CONNS" -bundle-conns "$BUNDLE_CONNS" \
        -dur "$DUR" -warm "$WARM" -rand "$round" -state "$dir/$s.state" -out "$OUT/out.jsonl" >>"$OUT/log" 2>&1 || { tail -5 "$OUT/log"; tail -5 "$dir/$s.log"; exit 1; }
    done
  done
done
[ -z "$pgpid" ] || uptime >>"$OUT/log"
"$dir/fhirbench" -report "$OUT/out.jsonl" | tee "$OUT/table.md"

#!/usr/bin/env bash
# Reads afterbell with curl. Usage: examples/curl.sh [REST-ADDRESS] [FOLDER]
set -euo pipefail
rest=${1:-http://localhost:7780}
into=${2:-.}
mkdir -p "$into"

# Which tables there are, and up to which day.
curl -sSf "$rest/v1/data" -o "$into/tables.json"

# A table as a file, for pandas, polars, DuckDB or Excel.
curl -sSf "$rest/v1/data/daily_prices.parquet" -o "$into/prices.parquet"
curl -sSf "$rest/v1/data/daily_prices.csv?symbols=600519.SH,510300.SH" -o "$into/prices.csv"

# The version that was read. Naming it reads the same again, whatever runs meanwhile.
version=$(curl -sSfI "$rest/v1/data/daily_prices.csv" | tr -d '\r' | awk -F': ' 'tolower($1) == "x-afterbell-version" {print $2}')
curl -sSf "$rest/v1/data/daily_prices.ndjson?symbols=600519.SH&version=$version" -o "$into/prices.ndjson"

# Only what is complete: 200 with rows, or 412, which says what is missing and when it is
# fetched next.
code=$(curl -s -o "$into/complete.csv" -w '%{http_code}' "$rest/v1/data/daily_prices.csv?require=complete&start_date=2000-01-03")
case $code in
  200) echo "complete since 2000" ;;
  412) echo "not complete: $(head -c 300 "$into/complete.csv")" ;;
  *) echo "answered $code" >&2; exit 1 ;;
esac
echo "version $version in $into"
